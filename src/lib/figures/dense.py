"""Figures of dense prediction: class masks, scores by class, padded stripes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.figures.palette import PALETTE, SERIES
from lib.figures.player import Player
from lib.figures.plots import LINE, MARKERS, as_picture, bare, legend_above, new_figure
from lib.figures.style import WIDTH, in_house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

GROUND = "#12161d"
CLASS_COLOURS = (
    *(GROUND, "#ffffff", *SERIES[:6]),
    *("#e8b48f", "#7fd1ae", "#d99ccf", "#a7c7e7"),
)
"""One colour a class: the ground dark, the first class white, the others in between."""

IGNORED = 255
HATCH = "#8a93a0"
STRIPES = ("#b9d6e8", "#7fb0d3")  # two shades, by turns


def class_picture(mask: ArrayLike) -> NDArray:
    """Paint a mask: (H, W) whole numbers -> (H, W, 3) floats from 0 to 1.

    Classes have the colours of `CLASS_COLOURS`; 255, "does not count", is grey.

    Raises:
        ValueError: another shape, or a class without a colour.
    """
    from matplotlib.colors import to_rgb

    classes = np.asarray(mask)
    if classes.ndim != 2:
        raise ValueError(f"mask of shape {classes.shape} must be (H, W)")
    top = len(CLASS_COLOURS)
    wrong = classes[(classes != IGNORED) & ((classes < 0) | (classes >= top))]
    if wrong.size:
        raise ValueError(
            f"mask holds class {wrong[0]}; there are colours for 0 to {top - 1} and "
            f"{IGNORED}"
        )
    colours = np.array([to_rgb(c) for c in (*CLASS_COLOURS, HATCH)])
    return colours[np.where(classes == IGNORED, top, classes)]


@in_house_style
def mask_rows(
    rows: Mapping[str, Sequence[ArrayLike]], names: Sequence[str] | None = None
) -> Figure:
    """Draw pictures above their masks, a row for each kind, with a key of colours.

    Args:
        rows: what stands at the left of a row -> its pictures (3, H, W) or (H, W, 3)
            or masks (H, W), equally many in each row and of one size.
        names: of the classes, for the key; none without.

    Raises:
        ValueError: no rows, rows of unequal length, or more names than colours.
    """
    from matplotlib.patches import Patch

    lengths = {len(row) for row in rows.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"rows have {sorted(lengths)} pictures; all must have as many")
    if names is not None and len(names) > len(CLASS_COLOURS):
        raise ValueError(f"names has {len(names)}, colours {len(CLASS_COLOURS)}")
    columns = lengths.pop()
    painted = {name: [_paint(p) for p in row] for name, row in rows.items()}
    first = next(iter(painted.values()))[0]
    cell = (WIDTH - 0.3) / columns
    height = len(rows) * cell * first.shape[0] / first.shape[1]
    figure, axes = new_figure(
        len(rows), columns, height=height + (0.35 if names else 0.05)
    )
    for line, (name, row) in zip(axes, painted.items(), strict=True):
        for axis, picture in zip(line, row, strict=True):
            axis.imshow(picture, interpolation="nearest")
            bare(axis)
        line[0].set_ylabel(name, fontsize=9.5)
    if names is not None:
        keys = [
            Patch(facecolor=colour, edgecolor=LINE)
            for colour in CLASS_COLOURS[: len(names)]
        ]
        _key(figure, keys, names, handletextpad=0.4)
    return figure


def _key(
    figure: Figure, handles: Sequence[Any], names: Sequence[str], **options: Any
) -> None:
    """Put a key above the axes, in one line."""
    figure.legend(
        handles,
        names,
        loc="outside upper left",
        ncols=len(names),
        handlelength=0.9,
        handleheight=0.9,
        columnspacing=0.9,
        borderaxespad=0.0,
        **options,
    )


def _paint(picture: ArrayLike) -> NDArray:
    """Return a mask painted, a picture as floats."""
    array = np.asarray(picture)
    return class_picture(array) if array.ndim == 2 else as_picture(array)


def mask_player(
    image: ArrayLike,
    truth: ArrayLike,
    masks: Mapping[int, ArrayLike],
    **about: Any,
) -> Player:
    """Return a slider over the steps of a training, each with the mask it gave.

    Args:
        image: (3, H, W) or (H, W, 3).
        truth: the true mask (H, W).
        masks: number of steps -> the predicted mask (H, W), at least two.
        about: `caption` and `name` of the figure.
    """
    wanted = np.asarray(truth)
    shares = [float((np.asarray(m) == wanted).mean()) for m in masks.values()]
    notes = [f"{share:.0%} of the pixels are right." for share in shares]
    return Player(
        [_three(image, wanted, mask) for mask in masks.values()],
        label="Steps of training",
        values=[str(step) for step in masks],
        alts=[
            f"A scene, its true mask, and the mask after {step} steps: {note}"
            for step, note in zip(masks, notes, strict=True)
        ],
        captions=notes,
        **about,
    )


@in_house_style
def _three(image: ArrayLike, truth: ArrayLike, mask: ArrayLike) -> Figure:
    pictures = {
        "scene": as_picture(image),
        "truth": class_picture(truth),
        "found": class_picture(mask),
    }
    figure, axes = new_figure(1, 3, width=4.2, height=1.6)
    for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=True):
        axis.imshow(picture, interpolation="nearest")
        bare(axis, title)
    return figure


@in_house_style
def iou_by_class(scores: Mapping[str, ArrayLike], names: Sequence[str]) -> Figure:
    """Draw the intersection over union of each class, a mark for each method.

    Args:
        scores: method -> one number in [0, 1] a class; one that is not finite, of a
            class that never occurs, is left out.
        names: of the classes.

    Raises:
        ValueError: no method, more than seven, or another number of scores than names.
    """
    if not 1 <= len(scores) <= len(SERIES):
        raise ValueError(f"scores of {len(scores)} methods; allowed are 1 to 7")
    figure, axes = new_figure(height=2.7)
    axis = axes[0, 0]
    handles = []
    for i, (method, values) in enumerate(scores.items()):
        heights = np.asarray(values, dtype=float)
        if heights.shape != (len(names),):
            raise ValueError(
                f"scores[{method!r}] of shape {heights.shape}; there are {len(names)} "
                "names"
            )
        shift = 0.16 * (i - (len(scores) - 1) / 2)  # equal scores stay visible
        handles += axis.plot(
            np.arange(len(names)) + shift,
            heights,
            linestyle="none",
            marker=MARKERS[i],
            color=SERIES[i],
        )
    axis.set_xticks(range(len(names)), names)
    axis.set_ylim(-0.03, 1.03)
    axis.set_ylabel("IoU")
    axis.set_xlabel("class")
    axis.grid(axis="y")
    if sum(map(len, scores)) + 6 * len(scores) <= 76:  # characters in the width
        _key(figure, handles, list(scores))
    else:
        legend_above(figure, handles, list(scores))
    return figure


@in_house_style
def padded_stripes(
    rows: int, columns: int, stripe: int, change: ArrayLike | None = None
) -> Figure:
    """Draw a map with the zeros that fill its stripes, and what masking them changes.

    Args:
        rows: height of the map in tokens.
        columns: its width.
        stripe: width of a stripe.
        change: how far the result at each token moves when the zeros are masked,
            (rows, columns), not negative; without it that panel is left out.

    Raises:
        ValueError: a side or a stripe below 1, or a change of another shape.
    """
    if min(rows, columns, stripe) < 1:
        raise ValueError(
            f"rows={rows}, columns={columns}, stripe={stripe} must be 1 or more"
        )
    moved = None if change is None else np.asarray(change, dtype=float)
    if moved is not None and moved.shape != (rows, columns):
        raise ValueError(
            f"change of shape {moved.shape} must be {(rows, columns)}, the map's"
        )
    panels = 2 if moved is None else 3
    (above, below), (left, right) = (_filled(n, stripe) for n in (rows, columns))
    tall, wide = rows + above + below, columns + left + right
    height = WIDTH / panels * tall / wide + (0.45 if moved is None else 1.0)
    figure, axes = new_figure(1, panels, height=height)
    _stripes(axes[0, 0], (0, 0), (left, right), (rows, columns), stripe, True)
    _stripes(axes[0, 1], (above, below), (0, 0), (rows, columns), stripe, False)
    for axis, name, zeros in (
        (axes[0, 0], "column", left + right),
        (axes[0, 1], "row", above + below),
    ):
        kind = "vertical" if name == "column" else "horizontal"
        bare(axis, f"{kind}, {zeros} zero {name}{'' if zeros == 1 else 's'}")
    if moved is not None:
        shown = axes[0, 2].imshow(
            moved, cmap="pb_heat", vmin=0, extent=(0, columns, rows, 0)
        )
        bare(axes[0, 2], "change by masking")
        bar = figure.colorbar(shown, ax=axes[0, 2], location="bottom", pad=0.04)
        bar.outline.set_visible(False)
        bar.ax.locator_params(nbins=3)
        bar.set_label("share of its norm")
    for axis in axes[0]:  # one scale, the map at one place, titles at one height
        axis.set_anchor("N")
        axis.set_xlim(-left - 0.1, columns + right + 0.1)
        axis.set_ylim(rows + below + 0.1, -above - 0.1)
        axis.set_aspect("equal")
        for spine in axis.spines.values():
            spine.set_visible(False)
    return figure


def _filled(size: int, stripe: int) -> tuple[int, int]:
    """Count the zeros before and after, as `lib.layers.pad_rows` adds them."""
    extra = -size % stripe
    return extra // 2, extra - extra // 2


def _stripes(
    axis: Axes,
    rows: tuple[int, int],
    columns: tuple[int, int],
    size: tuple[int, int],
    stripe: int,
    vertical: bool,
) -> None:
    """Draw the tokens of one branch, shaded by stripe, and hatched zeros around."""
    from matplotlib.patches import Rectangle

    for i in range(-rows[0], size[0] + rows[1]):
        for j in range(-columns[0], size[1] + columns[1]):
            zero = not (0 <= i < size[0] and 0 <= j < size[1])
            number = (j + columns[0] if vertical else i + rows[0]) // stripe
            axis.add_patch(
                Rectangle(
                    (j, i),
                    1,
                    1,
                    facecolor="white" if zero else STRIPES[number % 2],
                    edgecolor=HATCH if zero else PALETTE["light"]["surface"],
                    hatch="////" if zero else None,
                    lw=0.6,
                )
            )
