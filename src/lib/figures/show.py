"""Show a figure in a notebook together with what a reader who cannot see it needs."""

from __future__ import annotations

import base64
import sys
from typing import TYPE_CHECKING

from lib.figures.style import (
    CSS_WIDTH,
    WIDTH,
    few_colours,
    figure_image,
    png_bytes,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHORTEST_ALT = 20


def checked_alt(alt: str, argument: str = "alt") -> str:
    """Return `alt` in one line.

    Raises:
        ValueError: it has fewer than 20 characters, too few to say what is seen.
    """
    text = " ".join(alt.split()) if isinstance(alt, str) else ""
    if len(text) < SHORTEST_ALT:
        raise ValueError(
            f"{argument}={alt!r} must say in at least {SHORTEST_ALT} characters what "
            "the picture shows"
        )
    return text


def show(
    fig: Figure, *, alt: str, caption: str | None = None, name: str | None = None
) -> None:
    """Display a matplotlib figure with its alternative text, then close it.

    The output is a PNG with the same bytes at each run. Its metadata carry `alt`,
    `caption`, `name` (the label for cross references) and the width in CSS pixels, from
    which the site makes a numbered figure.

    Raises:
        ValueError: `alt` has fewer than 20 characters.
    """
    from IPython.display import display

    alt = checked_alt(alt)
    width = round(CSS_WIDTH * min(fig.get_figwidth() / WIDTH, 1.2))
    about = {"alt": alt, "caption": caption, "name": name, "width": width}
    picture = figure_image(fig)
    if not any(axis.images for axis in fig.axes):  # photographs keep every colour
        picture = few_colours(picture)
    png = base64.b64encode(png_bytes(picture)).decode("ascii")
    display(
        {"image/png": png, "text/plain": f"Figure: {alt}"},
        raw=True,
        metadata={"image/png": {k: v for k, v in about.items() if v is not None}},
    )
    if "matplotlib.pyplot" in sys.modules:  # otherwise nothing keeps the figure
        sys.modules["matplotlib.pyplot"].close(fig)
