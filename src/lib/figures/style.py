"""The book's drawing style for matplotlib: sizes, colours, stable PNG bytes."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from lib.figures.palette import PALETTE, SERIES

if TYPE_CHECKING:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
    from PIL import Image

P = ParamSpec("P")
R = TypeVar("R")

# A figure of WIDTH inches is shown 600 CSS pixels wide in text of 70 characters, and
# about 350 wide on a telephone: 10 points are then 15 and 9 pixels.
WIDTH = 5.4
CSS_WIDTH = 600
DPI = 180

_LIGHT = PALETTE["light"]
# Each runs monotonically in lightness, so it survives print and any colour vision.
SEQUENTIAL = ["#f7f5ee", "#b9d6e8", "#4299d1", "#1d5c99", "#14263f"]
DIVERGING = [
    "#7a2e08",
    "#b54a12",
    "#e8b48f",
    "#f7f5ee",
    "#a3c4de",
    "#1d5c99",
    "#123a63",
]
HEAT = ["#fff3c4", "#f2b441", "#d1601f", "#8a2350", "#3b0f3f"]


def house_style() -> Any:
    """Return the matplotlib settings of the book (a dictionary of rcParams)."""
    from cycler import cycler

    return {
        "figure.figsize": (WIDTH, WIDTH * 0.58),
        "figure.dpi": 100,
        "figure.facecolor": _LIGHT["surface"],
        "figure.constrained_layout.use": True,
        "savefig.dpi": DPI,
        "savefig.facecolor": _LIGHT["surface"],
        "savefig.bbox": None,
        "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
        "mathtext.fontset": "dejavusans",
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 10,
        "xtick.labelsize": 9.5,
        "ytick.labelsize": 9.5,
        "legend.fontsize": 9.5,
        "legend.frameon": False,
        "text.color": _LIGHT["ink"],
        "axes.labelcolor": _LIGHT["ink"],
        "axes.edgecolor": _LIGHT["muted"],
        "axes.facecolor": _LIGHT["surface"],
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": False,
        "axes.axisbelow": True,
        "axes.prop_cycle": cycler(color=SERIES),
        "grid.color": _LIGHT["line"],
        "grid.linewidth": 0.8,
        "xtick.color": _LIGHT["muted"],
        "ytick.color": _LIGHT["muted"],
        "xtick.labelcolor": _LIGHT["ink"],
        "ytick.labelcolor": _LIGHT["ink"],
        "lines.linewidth": 2.0,
        "lines.markersize": 6.0,
        "patch.linewidth": 0.8,
        "image.cmap": "pb_sequential",
        "image.interpolation": "nearest",
    }


def _register_colour_maps() -> None:
    import matplotlib

    for name in ("sequential", "diverging", "heat"):
        if f"pb_{name}" not in matplotlib.colormaps:
            matplotlib.colormaps.register(colour_map(name))


def use_house_style() -> None:
    """Set the book's style for every figure drawn from here on.

    It also registers the colour maps `pb_sequential`, `pb_diverging` and `pb_heat`.
    """
    import matplotlib

    _register_colour_maps()
    matplotlib.rcParams.update(house_style())


def in_house_style(draw: Callable[P, R]) -> Callable[P, R]:
    """Make `draw` use the book's style whatever the notebook has set."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib

        _register_colour_maps()
        with matplotlib.rc_context(house_style()):
            return draw(*args, **kwargs)

    return styled


def colour_map(name: str) -> LinearSegmentedColormap:
    """Return a colour map that every colour vision can read.

    `sequential` is for amounts (light is little), `diverging` for signed values around
    zero (orange below, blue above), `heat` for attention laid over a picture.

    Raises:
        ValueError: `name` is none of the three.
    """
    from matplotlib.colors import LinearSegmentedColormap

    stops = {"sequential": SEQUENTIAL, "diverging": DIVERGING, "heat": HEAT}
    if name not in stops:
        raise ValueError(f"name={name!r} must be one of {sorted(stops)}")
    return LinearSegmentedColormap.from_list(f"pb_{name}", stops[name])


def figure_image(figure: Figure, dpi: float = DPI) -> Image.Image:
    """Draw a matplotlib figure and return it as an opaque RGB picture."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    picture = Image.open(buffer).convert("RGBA")
    ground = Image.new("RGBA", picture.size, _LIGHT["surface"])
    return Image.alpha_composite(ground, picture).convert("RGB")


def few_colours(picture: Image.Image, colours: int = 256) -> Image.Image:
    """Return the picture with at most so many colours and no dithering.

    A line drawing looks the same with 256 and takes a third of the bytes. With fewer,
    colours are chosen so that none is far from all of them: a small patch keeps its
    hue, which the usual cut by numbers of pixels would give to its neighbours.
    """
    from PIL import Image

    kinds, dither = Image.Quantize, Image.Dither.NONE
    method = kinds.MEDIANCUT if colours > 128 else kinds.MAXCOVERAGE
    return picture.quantize(colours, method=method, dither=dither)


def png_bytes(picture: Image.Image) -> bytes:
    """Encode a picture as PNG without date or software: same picture, same bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True, pnginfo=None)
    return buffer.getvalue()
