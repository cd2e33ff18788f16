"""The figures and widgets of the chapter on CSWin.

Everything arrives as numbers and arrays, so nothing here knows the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import ArrayLike, NDArray

from lib.figures.diagrams import adder, arrow, box, lane
from lib.figures.palette import SERIES, part_colours, text_on
from lib.figures.player import BarPlayer
from lib.figures.plots import (
    INK,
    LINE,
    MUTED,
    bar_stack,
    bare,
    legend_above,
    new_figure,
)
from lib.figures.style import SEQUENTIAL, WIDTH, colour_map, in_house_style
from lib.figures.tokens import (
    ReachPlayer,
    TilePlayer,
    checked_reach,
    percent,
    seen_colours,
)

VERTICAL, HORIZONTAL, LOCAL = SERIES[0], SERIES[1], SERIES[2]
GROUND = SEQUENTIAL[0]


class Look(NamedTuple):
    """What a method or an encoding is called, and how it looks in every figure."""

    words: str
    colour: str
    mark: str
    line: Any = "-"  # as matplotlib writes it


LOOKS: dict[str, Look] = {
    "cross_shaped": Look("cross-shaped", SERIES[0], "o"),
    "shifted": Look("shifted windows", SERIES[1], "s"),
    "window": Look("windows", SERIES[4], "D"),
    "axial": Look("axial", SERIES[2], "^"),
    "sequential": Look("stripes in turn", SERIES[5], "v"),
    "criss_cross": Look("criss-cross", SERIES[3], "P"),
    "sliding": Look("sliding windows", INK, "*"),
    "full": Look("full", SERIES[6], "X"),
    "lepe": Look("LePE", SERIES[0], "o"),
    "ape": Look("APE", SERIES[1], "s"),
    "ape_sincos": Look("APE from sines", SERIES[2], "P"),
    "cpe": Look("CPE", SERIES[4], "D"),
    "cpe_every": Look("CPE in every block", SERIES[2], "v"),
    "rpe": Look("RPE", SERIES[3], "^"),
    "none": Look("no encoding", SERIES[6], "X"),
}
COST_COLOURS = {
    "projections": SERIES[0],
    "linear layers": SERIES[0],
    "attention": SERIES[1],
    "MLP": SERIES[5],
}


def look(name: str) -> Look | None:
    """Return how a name of `LOOKS` looks; None for others.

    A number at its end, as in "axial_1", is a depth that differs from the others':
    same colour, another line.
    """
    if name in LOOKS:
        return LOOKS[name]
    base, _, depth = name.rpartition("_")
    if base not in LOOKS or not depth.isdigit():
        return None
    words = f"{LOOKS[base].words}, {depth} block{'s' if depth != '1' else ''}"
    return LOOKS[base]._replace(words=words, line=(0, (1, 1.2)))


def in_words(name: str) -> str:
    """Return what a method or an encoding is called in figures; others keep theirs."""
    found = look(name)
    return found.words if found else name


def _looks(names: Sequence[str]) -> list[Look]:
    """Return a look for each name; those not in `LOOKS` take what colours are left."""
    known = [look(name) for name in names]
    taken = {found.colour for found in known if found}
    free = [colour for colour in SERIES if colour not in taken]
    others = [name for name, found in zip(names, known, strict=True) if not found]
    if len(others) > len(free):
        raise ValueError(
            f"{list(names)} need more colours than the {len(SERIES)} there are"
        )
    marks = [m for m in "osD^vPX" if m not in {found.mark for found in known if found}]
    fresh = dict(zip(others, map(Look, others, free, marks), strict=False))
    return [found or fresh[name] for name, found in zip(names, known, strict=True)]


# --- who sees whom ------------------------------------------------------------------


def _place(token: Sequence[int], side: Sequence[int]) -> tuple[int, int]:
    row, column = token
    if not (0 <= row < side[0] and 0 <= column < side[1]):
        raise ValueError(f"token={tuple(token)} must lie on a map of {tuple(side)}")
    return row, column


def _band(n: int, size: int, at: int, shift: int = 0) -> NDArray:
    """Say which of n places share a band with place `at`; borders each `size`."""
    bands = (np.arange(n) + -shift % size) // size
    return bands == bands[at]


def regions(
    side: int = 8, token: tuple[int, int] = (2, 5), stripe: int = 2, window: int = 4
) -> dict[str, dict[str, NDArray]]:
    """Return which tokens one token attends to: attention -> who looks -> (side, side).

    Args:
        side: height and width of the map in tokens.
        token: row and column of the token that asks.
        stripe: width of the stripes of "cross-shaped"; axial attention has 1.
        window: side of the windows.

    Raises:
        ValueError: the token lies outside, or a stripe or a window does not fit.
    """
    row, column = _place(token, (side, side))
    for name, value in (("stripe", stripe), ("window", window)):
        if not 1 <= value <= side or side % value:
            raise ValueError(f"{name}={value} must divide side={side}")

    def tile(h: int, w: int, shift: int = 0) -> NDArray:
        return np.outer(_band(side, h, row, shift), _band(side, w, column, shift))

    vertical, horizontal = tile(side, 1), tile(1, side)
    return {
        "Full": {"all heads": tile(side, side)},
        "Windows": {"all heads": tile(window, window)},
        "Shifted windows": {
            "block 1": tile(window, window),
            "block 2": tile(window, window, window // 2),
        },
        "Axial": {"block 1": vertical, "block 2": horizontal},
        "Criss-cross": {"all heads": vertical | horizontal},
        "Cross-shaped": {
            "half of the heads": tile(side, stripe),
            "other half": tile(stripe, side),
        },
    }


def _cells(axis: Axes, masks: Sequence[NDArray], colours: Sequence[str]) -> None:
    """Draw a map whose cells take the colour of each mask that holds them."""
    h, w = masks[0].shape
    marks = ["|", "_"] if len(masks) == 2 else []
    for i, j in np.ndindex(h, w):
        inside = [c for mask, c in zip(masks, colours, strict=True) if mask[i, j]]
        fill = inside[0] if inside else GROUND
        axis.add_patch(Rectangle((j, i), 1, 1, fc=fill, ec="white", lw=0.8))
        if len(inside) == 2:  # both: the cell is cut along its diagonal
            half = Polygon([(j + 1, i), (j + 1, i + 1), (j, i + 1)], fc=inside[1])
            axis.add_patch(half)
    for mask, mark in zip(masks, marks, strict=False):
        rows, columns = np.nonzero(mask)
        axis.scatter(columns + 0.5, rows + 0.5, marker=mark, s=22, c="white", lw=1.1)
    axis.set(xlim=(0, w), ylim=(h, 0), aspect="equal")
    bare(axis)


def _asker(axis: Axes, row: int, column: int, size: float = 46) -> None:
    axis.scatter(
        [column + 0.5], [row + 0.5], s=size, c="white", ec=INK, lw=1.6, zorder=5,
    )  # fmt: skip


@in_house_style
def attention_regions(
    side: int = 8, token: tuple[int, int] = (2, 5), stripe: int = 2, window: int = 4
) -> Figure:
    """Draw what one token sees in six kinds of attention; arguments as in `regions`.

    Two colours stand for two blocks, or for the two halves of the heads; a cell that
    both see is cut along its diagonal.
    """
    found = regions(side, token, stripe, window)
    figure, axes = new_figure(2, 3, height=5.7)
    for axis, (name, parts) in zip(axes.flat, found.items(), strict=True):
        colours = [VERTICAL, HORIZONTAL] if len(parts) == 2 else [LOCAL]
        _cells(axis, list(parts.values()), colours)
        _asker(axis, *token)
        axis.set_title(name, loc="center")
        counts = {int(mask.sum()) for mask in parts.values()}
        keys = " or ".join(str(n) for n in sorted(counts)) + " keys"
        lines = [*parts, keys if len(parts) == 1 else f"{keys} each"]
        shades = [*colours, INK]
        for k, (line, colour) in enumerate(zip(lines, shades, strict=True)):
            mark = {0: "|  ", 1: "–  "}.get(k, "") if len(parts) == 2 else ""
            axis.text(
                0.5, -0.05 - 0.125 * k, mark + line, transform=axis.transAxes,
                ha="center", va="top", fontsize=9, color=colour,
                weight="bold" if colour != INK else "normal",
            )  # fmt: skip
        axis.set_xlabel("\n\n\n", fontsize=10)  # room for three lines below each panel
    return figure


@in_house_style
def reach_maps(
    reach: Mapping[str, ArrayLike],
    token: tuple[int, int],
    side: tuple[int, int],
    *,
    blocks: Sequence[int] | None = None,
) -> Figure:
    """Draw which tokens can influence one token after one block, two, ...

    Dark cells were reached in the last block, lighter ones before; the share of the map
    stands above.

    Args:
        reach: method -> booleans (blocks, N, N), see `lib.figures.tokens`.
        token: row and column of the token that asks.
        side: H and W.
        blocks: which numbers of blocks are drawn, from 1; all when left out.

    Raises:
        ValueError: no method, shapes that do not match, a set that shrinks, or a number
            of blocks that was not given.
    """
    found = checked_reach(reach, side)
    row, column = _place(token, side)
    deepest = min(map(len, found.values()))
    blocks = range(1, deepest + 1) if blocks is None else blocks
    if not blocks or not all(1 <= b <= deepest for b in blocks):
        raise ValueError(f"blocks={list(blocks)} must be numbers from 1 to {deepest}")
    cell = (WIDTH - 0.9) / len(blocks)
    height = len(found) * (cell * side[0] / side[1] + 0.26) + 0.15
    figure, axes = new_figure(len(found), len(blocks), height=height)
    colours = ListedColormap([GROUND, SEQUENTIAL[2], SEQUENTIAL[3]])
    for i, (name, sets) in enumerate(found.items()):
        for j, b in enumerate(blocks):
            axis = axes[i, j]
            seen = sets[b - 1, row * side[1] + column]
            before = sets[blocks[j - 1] - 1, row * side[1] + column] if j else ~seen
            state = np.where(seen, np.where(before, 1, 2), 0).reshape(side)
            axis.pcolormesh(
                state, cmap=colours, vmin=0, vmax=2, ec="white", lw=0.4, zorder=1
            )
            axis.invert_yaxis()
            axis.set_aspect("equal")
            _asker(axis, row, column, size=26)
            share = f"{percent(int(seen.sum()), seen.size)} %"
            bare(axis, f"block {b}: {share}" if i == 0 else share)
        words = in_words(name).replace(" ", "\n").replace("-", "-\n")
        axes[i, 0].set_ylabel(
            words, rotation=0, ha="right", va="center", fontsize=9.5, labelpad=6,
            color=INK,
        )  # fmt: skip
    return figure


# --- the block ----------------------------------------------------------------------


@in_house_style
def block_diagram(
    height: int = 28, width: int = 28, channels: int = 128, stripe: int = 2
) -> Figure:
    """Draw one CSWin block, from the map that enters to the map that leaves.

    Args:
        height: H of the map in tokens.
        width: W of the map in tokens.
        channels: C.
        stripe: width of a stripe in tokens; must divide H and W.

    Raises:
        ValueError: stripes that do not fill the map, or an odd number of channels.
    """
    if stripe < 1 or height % stripe or width % stripe or channels % 2:
        raise ValueError(
            f"stripe={stripe} must divide height={height} and width={width}, and "
            f"channels={channels} must be even"
        )
    figure, axes = new_figure(height=7.3)
    axis = axes[0, 0]
    axis.set(xlim=(0, 10), ylim=(0, 13.5))
    axis.set_axis_off()
    mid, left, right, skip = 5.3, 3.15, 7.55, 0.45
    size = f"{height} × {width} × {channels}"
    half = channels // 2

    def write(y: float, bold: str, plain: str) -> None:
        axis.text(mid, y, bold, ha="center", va="center", weight="bold")
        axis.text(mid, y - 0.42, plain, ha="center", va="center", fontsize=9)

    def beside(x: float, y: float, words: str, ha: str = "left") -> None:
        axis.text(x, y, words, ha=ha, va="center", fontsize=9, color=MUTED)

    write(13.2, "map X", size)
    arrow(axis, (mid, 12.5), (mid, 11.95), INK)
    box(axis, mid, 11.45, 5.4, 1.0, "LayerNorm, linear", f"C → 3C: {channels} → "
        f"{3 * channels}")  # fmt: skip
    for x, colour in ((left, VERTICAL), (right, HORIZONTAL)):
        lane(axis, x, 8.62, 4.2, 3.6, colour)
        arrow(axis, (x, 10.95), (x, 10.12), colour)
        beside(x + 0.2, 10.66, f"q, k, v: {half} each")
    box(axis, left, 9.07, 3.9, 2.1, "Vertical stripes",
        f"{width // stripe} stripes\nof {height} × {stripe} tokens\n"
        "softmax attention", VERTICAL)  # fmt: skip
    box(axis, right, 9.07, 3.9, 2.1, "Horizontal stripes",
        f"{height // stripe} stripes\nof {stripe} × {width} tokens\n"
        "softmax attention", HORIZONTAL)  # fmt: skip
    for x, colour in ((left, VERTICAL), (right, HORIZONTAL)):
        axis.text(
            x, 7.42, "+ LePE: 3×3 depthwise\non v, inside each stripe", ha="center",
            va="center", fontsize=9, color=colour, linespacing=1.25,
        )  # fmt: skip
        arrow(axis, (x, 6.95), (x, 6.3), colour)
    box(axis, mid, 5.8, 5.4, 1.0, "Concatenate, linear", f"C → C: {half} + {half} → "
        f"{channels}")  # fmt: skip
    arrow(axis, (mid, 5.3), (mid, 4.85), INK)
    adder(axis, mid, 4.55)
    arrow(axis, (mid, 4.27), (mid, 3.6), INK)
    box(axis, mid, 2.9, 5.4, 1.4, "LayerNorm, MLP",
        f"C → 4C → C: {channels} → {4 * channels} → {channels}\n"
        "GELU in between", SERIES[2])  # fmt: skip
    arrow(axis, (mid, 2.2), (mid, 1.75), INK)
    adder(axis, mid, 1.45)
    arrow(axis, (mid, 1.17), (mid, 0.75), INK)
    write(0.52, "map X′", size)
    # Past both halves on the left: what the block adds to.
    for top, bottom in ((12.25, 4.55), (4.0, 1.45)):
        axis.plot([mid, skip, skip], [top, top, bottom], color=INK, lw=1.8, zorder=1)
        axis.plot([mid], [top], "o", ms=5, color=INK)
        arrow(axis, (skip, bottom), (mid - 0.3, bottom), INK)
    return figure


@in_house_style
def lepe_taps(gradients: Mapping[str, ArrayLike]) -> Figure:
    """Draw which taps of the 3 x 3 kernels of LePE are alive.

    Args:
        gradients: title -> (3, 3), how large the gradient of each tap is, on average
            over the channels; exactly zero is a tap that never meets a token.

    Raises:
        ValueError: no kernel, more than four, a wrong shape or a negative number.
    """
    if not 1 <= len(gradients) <= 4:
        raise ValueError(f"gradients has {len(gradients)} kernels; allowed are 1 to 4")
    found = {title: np.asarray(size, dtype=float) for title, size in gradients.items()}
    for title, size in found.items():
        if size.shape != (3, 3) or not (size >= 0).all() or not size.any():
            raise ValueError(
                f"gradients[{title!r}] of shape {size.shape} must be (3, 3), not "
                "negative and not zero everywhere"
            )
    largest = max(size.max() for size in found.values())
    colours = colour_map("sequential")
    count = max(len(found), 2)
    figure, axes = new_figure(1, count, height=WIDTH / count + 0.62)
    for axis in axes.flat[len(found) :]:
        axis.set_axis_off()
    for axis, (title, size) in zip(axes.flat, found.items(), strict=False):
        for i, j in np.ndindex(3, 3):
            value = size[i, j]
            fill = colours(0.15 + 0.85 * value / largest) if value else GROUND
            axis.add_patch(
                Rectangle((j, i), 1, 1, fc=fill, ec=LINE, hatch="" if value else "///")
            )
            code = (
                "#{:02x}{:02x}{:02x}".format(*(int(255 * c) for c in fill[:3]))
                if value
                else GROUND
            )
            axis.text(
                j + 0.5, i + 0.5, f"{value / largest:.2f}" if value else "0",
                ha="center", va="center", fontsize=10, color=text_on(code),
                bbox=None if value else {"boxstyle": "round,pad=0.15", "fc": GROUND,
                                         "ec": "none"},
            )  # fmt: skip
        axis.set(xlim=(0, 3), ylim=(3, 0), aspect="equal")
        bare(axis, title)
        axis.set_xlabel(f"{int((size > 0).sum())} of 9 alive", fontsize=9.5)
    return figure


# --- widgets ------------------------------------------------------------------------


def reach_widget(
    reach: Mapping[str, ArrayLike],
    side: tuple[int, int],
    *,
    start: Sequence[int] | None = None,
    caption: str | None = None,
    name: str | None = None,
) -> ReachPlayer:
    """Return a map on which the set that a clicked token sees grows block by block.

    Args:
        reach: method -> booleans (blocks, N, N), see `lib.figures.tokens`; the methods
            of `LOOKS` get their names in words.
        side: H and W of the map in tokens.
        start: where the sliders stand at first: blocks, method, row, column, from 0.
        caption: the caption of the figure.
        name: its anchor.
    """
    words = {in_words(method): sets for method, sets in reach.items()}
    return ReachPlayer(words, side, start=start, caption=caption, name=name)


def stripe_painter(
    side: tuple[int, int] = (4, 6),
    stripe: int = 2,
    window: int = 2,
    *,
    caption: str | None = None,
    name: str | None = None,
) -> TilePlayer:
    """Return a small map that is cut into stripes or windows, step by step.

    Args:
        side: H and W of the map in tokens.
        stripe: width of the stripes; must divide both.
        window: side of the windows; must divide both.
        caption: the caption of the figure.
        name: its anchor.
    """
    H, W = side
    tiles = {
        "vertical stripes": (H, stripe),
        "horizontal stripes": (stripe, W),
        "windows": (window, window),
    }
    return TilePlayer(side, tiles, caption=caption, name=name)


# --- costs --------------------------------------------------------------------------


@in_house_style
def cost_bars(
    costs: Mapping[str, Mapping[str, float]],
    *,
    rows: str | None = None,
    share: bool = False,
) -> Figure:
    """Draw where the multiply–adds sit for each choice of stripe widths.

    Args:
        costs: choice -> part -> multiply–adds (a plain count, not millions); the parts
            "linear layers", "projections", "attention" and "MLP" keep their colours.
        rows: what the choices are, written beside them.
        share: as parts of 100 %.
    """
    millions = {
        row: {part: count / 1e6 for part, count in parts.items()}
        for row, parts in costs.items()
    }
    figure = bar_stack(
        millions, unit="multiply–adds (M)", share=share, colours=COST_COLOURS
    )
    axis = figure.axes[0]
    if not share:
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        _name_ends(axis, millions)
    if rows:
        axis.set_ylabel(rows)
    return figure


def _name_ends(axis: Axes, costs: Mapping[str, Mapping[str, float]]) -> None:
    """Write the last part of each bar behind it where it is too short for a number."""
    shown = {(text.get_text(), text.get_position()[1]) for text in axis.texts}
    totals = [text for text in axis.texts if text.get_fontweight() == "bold"]
    for i, (parts, total) in enumerate(zip(costs.values(), totals, strict=True)):
        number = f"{list(parts.values())[-1]:,.0f}"
        if (number, i) in shown:
            continue
        colour = part_colours(list(parts), COST_COLOURS)[-1]
        end = axis.annotate(
            number, (total.get_position()[0], i), va="center", fontsize=9,
            color=colour,
        )  # fmt: skip
        total.remove()
        axis.annotate(
            total.get_text(), (1, 0.5), xycoords=end, xytext=(7, 0), va="center",
            textcoords="offset points", weight="bold",
        )  # fmt: skip


def cost_widget(
    cost: Callable[[int, int, int, int], Mapping[str, float]],
    *,
    heights: Sequence[int] = (14, 28, 56, 112),
    widths: Sequence[int] = (14, 28, 56, 112),
    channels: Sequence[int] = (64, 128, 256, 512),
    stripes: Sequence[int] = (1, 2, 7, 14),
    start: Sequence[int] = (1, 1, 1, 1),
    caption: str | None = None,
    name: str | None = None,
) -> BarPlayer:
    """Return sliders over map, channels and stripe width, with the cost of one block.

    A sentence names the side M of the square windows that cost as much, from
    M * M = sw (H + W) / 2 (equation 3 of the paper).

    Args:
        cost: height, width, channels, stripe -> part -> multiply–adds of one block.
        heights: values of H, in tokens.
        widths: values of W.
        channels: values of C.
        stripes: values of sw; each must divide all heights and widths.
        start: where the sliders stand at first, one index each.
        caption: the caption of the figure.
        name: its anchor.

    Raises:
        ValueError: stripes that do not fill a map.
    """
    axes = {"Height H": heights, "Width W": widths, "Channels C": channels,
            "Stripe width sw": stripes}  # fmt: skip
    values, notes = {}, {}
    for state in product(*axes.values()):
        H, W, _, sw = state
        if H % sw or W % sw:
            raise ValueError(f"stripes has {sw}, which does not divide {H} and {W}")
        values[state] = {part: n / 1e6 for part, n in cost(*state).items()}
        notes[state] = (
            f"A token sees {sw * H} keys with half of the heads and {sw * W} with the "
            f"other half. Windows of side M = {(sw * (H + W) / 2) ** 0.5:.1f} cost as "
            f"much; with full attention it would see {H * W:,}."
        )
    return BarPlayer(
        values,
        axes=axes,
        label="Multiply–adds of one block by part",
        unit="MAdds (M)",
        start=start,
        places=2,
        colours=COST_COLOURS,
        notes=notes,
        caption=caption,
        name=name,
    )


@in_house_style
def reach_and_cost(
    sets: ArrayLike,
    costs: Mapping[int, Mapping[str, float]],
    *,
    stripe: int,
    token: tuple[int, int],
    side: tuple[int, int],
) -> Figure:
    """Draw what one token sees with some stripe width, and what each width costs.

    Args:
        sets: booleans (blocks, N, N) of the chosen width, see `lib.figures.tokens`.
        costs: stripe width -> part -> multiply–adds of one block.
        stripe: the chosen width, one of `costs`.
        token: row and column of the token that asks.
        side: H and W of the map in tokens.

    Raises:
        ValueError: a width without a cost, a token outside, or sets that do not match.
    """
    if stripe not in costs:
        raise ValueError(f"stripe={stripe} has no cost; known are {list(costs)}")
    row, column = _place(token, side)
    found = checked_reach({"sets": sets}, side)["sets"][:, row * side[1] + column]
    figure = Figure(figsize=(WIDTH, 3.1))
    place, bars = figure.subplots(1, 2, width_ratios=[1, 1.05])
    first = np.where(found.any(0), found.argmax(0) + 1, 0).reshape(side)
    grounds = ListedColormap([GROUND, *seen_colours(len(found))])
    place.pcolormesh(first, cmap=grounds, vmin=0, vmax=len(found), ec="white", lw=0.4)
    place.invert_yaxis()
    place.set_aspect("equal")
    _asker(place, row, column)
    share = percent(int(found[-1].sum()), found[-1].size)
    blocks = f"{len(found)} block{'s' if len(found) > 1 else ''}"
    bare(place, f"stripe width {stripe}, {blocks}: {share} %")
    for k, (width, parts) in enumerate(costs.items()):
        left = 0.0
        for part, colour in zip(
            parts, part_colours(list(parts), COST_COLOURS), strict=True
        ):
            bars.barh(
                k, parts[part] / 1e6, left=left, color=colour, height=0.7, ec="white",
                lw=0.6, alpha=1 if width == stripe else 0.35,
                label=part if width == stripe else None,
            )  # fmt: skip
            left += parts[part] / 1e6
    bars.set_yticks(range(len(costs)), [str(width) for width in costs])
    bars.invert_yaxis()
    bars.set(xlabel="multiply–adds of one block (M)", ylabel="stripe width")
    bars.tick_params(axis="y", length=0)
    handles, labels = bars.get_legend_handles_labels()
    legend_above(figure, handles, labels)
    return figure


# --- measured -----------------------------------------------------------------------


def _seeds(name: str, values: ArrayLike, n: int) -> NDArray:
    """Return one row a seed, (seeds, n)."""
    rows = np.atleast_2d(np.asarray(values, dtype=float))
    if rows.ndim != 2 or rows.shape[1] != n or not np.isfinite(rows).all():
        raise ValueError(
            f"the values of {name!r} have shape {np.shape(values)}, must be finite and "
            f"({n},) or (seeds, {n})"
        )
    return rows


def _measured(
    axis: Axes, x: NDArray, curves: Mapping[str, ArrayLike], dodge: float = 0.0
) -> tuple[list, list[str]]:
    """Draw means over seeds as lines, all seeds as bands; return keys and labels.

    Curves that lie on one another stay in sight: the lower one is wider, and their
    marks take turns along a long axis, or stand beside each other by `dodge` along a
    short one.
    """
    handles: list = []
    looks = _looks(list(curves))
    found = [_seeds(name, values, len(x)) for name, values in curves.items()]
    means = np.array([rows.mean(0) for rows in found])  # (K, N)
    alike = abs(means[:, None] - means[None]).max(-1) < 0.03  # (K, K)
    for k, (rows, one) in enumerate(zip(found, looks, strict=True)):
        at = x + dodge * (k - (len(found) - 1) / 2)
        turn = int(alike[k, :k].sum()) % len(x), min(int(alike[k].sum()), len(x))
        axis.fill_between(
            at, rows.min(0), rows.max(0), color=one.colour, alpha=0.2, lw=0
        )
        handles += axis.plot(
            at, means[k], color=one.colour, ls=one.line, marker=one.mark, ms=7,
            mec="white", mew=0.8, markevery=1 if dodge else turn,
            lw=2 + 3 * min(2, int(alike[k, k + 1 :].sum())),
        )  # fmt: skip
    return handles, [one.words for one in looks]


def _accuracy_axis(axis: Axes, chance: float | None) -> None:
    if chance is not None:
        axis.axhline(chance, color=MUTED, lw=1, ls=":")
        axis.text(
            0.01, chance - 0.015, "chance", transform=axis.get_yaxis_transform(),
            ha="left", va="top", fontsize=9, color=MUTED,
        )  # fmt: skip
    axis.set(ylim=(0, 1.04), ylabel="accuracy")
    axis.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axis.grid(axis="y")


@in_house_style
def distance_curves(
    distances: ArrayLike,
    curves: Mapping[str, ArrayLike],
    predicted: Mapping[str, ArrayLike] | None = None,
    *,
    chance: float | None = 0.25,
) -> Figure:
    """Draw accuracy against the distance to the cue, with what reach predicts dashed.

    Args:
        distances: (N,) Chebyshev distances, in tiles.
        curves: method -> (N,) or (seeds, N) accuracies, 0 to 1; with seeds the line is
            their mean and the band holds them all.
        predicted: method -> (N,) accuracies that follow from the sets reached.
        chance: accuracy of guessing; None draws no line.

    Raises:
        ValueError: no curve, lengths that differ, or a prediction without a curve.
    """
    x = np.asarray(distances, dtype=float)
    if not curves:
        raise ValueError("curves={} must hold at least one method")
    predicted = predicted or {}
    if not set(predicted) <= set(curves):
        raise ValueError(
            f"predicted has {sorted(predicted)}; the curves are {list(curves)}"
        )
    figure, axes = new_figure(height=3.6)
    axis = axes[0, 0]
    handles, labels = _measured(axis, x, curves)
    for name, level in predicted.items():
        level = _seeds(name, level, len(x))[0]
        dashed = axis.plot(x, level, color=INK, lw=1.1, ls=(0, (5, 3)), zorder=4)
    if predicted:
        handles += dashed
        labels.append("predicted from reach")
    _accuracy_axis(axis, chance)
    axis.set_xlabel("distance to the cue (tiles)")
    axis.set_xticks(x[:: max(1, len(x) // 12)])
    legend_above(figure, handles, labels)
    return figure


@in_house_style
def resolution_curves(
    grids: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    trained: float | None = 12,
    chance: float | None = 0.25,
) -> Figure:
    """Draw accuracy against the size of the grid, for each position encoding.

    Args:
        grids: (N,) tiles along a side.
        curves: encoding -> (N,) or (seeds, N) accuracies, 0 to 1.
        trained: the size that the networks were trained on.
        chance: accuracy of guessing; None draws no line.

    Raises:
        ValueError: no curve, or lengths that differ.
    """
    x = np.asarray(grids, dtype=float)
    if not curves:
        raise ValueError("curves={} must hold at least one encoding")
    figure, axes = new_figure(height=3.3)
    axis = axes[0, 0]
    if trained is not None:
        axis.axvline(trained, color=LINE, lw=6, zorder=0)
        axis.text(
            trained, 0.02, "trained", transform=axis.get_xaxis_transform(),
            ha="center", va="bottom", fontsize=9, color=MUTED,
        )  # fmt: skip
    dodge = 0.012 * float(np.ptp(x))
    handles, labels = _measured(axis, x, curves, dodge)
    _accuracy_axis(axis, chance)
    axis.set_xlabel("tiles along a side")
    axis.set_xticks(x)
    legend_above(figure, handles, labels)
    return figure
