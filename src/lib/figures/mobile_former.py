"""The figures and widgets of the chapter on Mobile-Former.

Everything arrives as numbers and arrays, so nothing here knows the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from lib.figures.diagrams import arrow, badge, box, lane
from lib.figures.palette import SERIES
from lib.figures.player import BarPlayer, GridPlayer, Player
from lib.figures.plots import (
    LINE,
    MUTED,
    as_picture,
    bar_stack,
    bare,
    curve_family,
    draw_curves,
    heat_on_image,
    heat_over,
    new_figure,
    scatter_labelled,
)
from lib.figures.style import colour_map, in_house_style

MOBILE, FORMER, SLOPES = SERIES[0], SERIES[1], SERIES[3]
# The same part has the same colour in every figure; others take what is left.
PART_COLOURS = {
    "Stem": SERIES[6],
    "Mobile": MOBILE,
    "Dynamic ReLU": SLOPES,
    "Mobile → Former": SERIES[4],
    "Former": FORMER,
    "Mobile ← Former": SERIES[5],
    "Head": SERIES[2],
}


# --- the block ----------------------------------------------------------------------


@in_house_style
def block_diagram(
    channels: int = 48,
    hidden: int = 192,
    size: int = 28,
    tokens: int = 6,
    width: int = 192,
) -> Figure:
    """Draw one Mobile-Former block, its two lanes and the bridge, with shapes.

    Args:
        channels: C of the features that enter and leave.
        hidden: width inside the inverted bottleneck.
        size: H = W of the features.
        tokens: M.
        width: D of the tokens.
    """
    figure, axes = new_figure(height=6.1)
    axis = axes[0, 0]
    axis.set(xlim=(0, 10), ylim=(0, 11.3))
    axis.set_axis_off()
    left, right = 2.75, 7.6
    features = f"{channels} × {size} × {size}"
    memory = f"{tokens} × {width}"
    for x, colour, name in ((left, MOBILE, "Mobile"), (right, FORMER, "Former")):
        lane(axis, x, 5.45, 4.5 if x == left else 4.1, 9.0, colour)
        axis.text(
            x - 2.05 if x == left else x + 1.9, 9.62, name, color=colour, weight="bold",
            fontsize=11, ha="left" if x == left else "right", va="center",
        )  # fmt: skip

    axis.text(left, 11.05, "features X", ha="center", va="center", weight="bold")
    axis.text(left, 10.6, features, ha="center", va="center", fontsize=9)
    axis.text(right, 11.05, "tokens Z", ha="center", va="center", weight="bold")
    axis.text(right, 10.6, memory, ha="center", va="center", fontsize=9)
    axis.text(left, 0.55, "features X′", ha="center", va="center", weight="bold")
    axis.text(left, 0.1, features, ha="center", va="center", fontsize=9)
    axis.text(right, 0.55, "tokens Z′", ha="center", va="center", weight="bold")
    axis.text(right, 0.1, memory, ha="center", va="center", fontsize=9)

    # The Former lane, then the Mobile lane; the numbers give the order of computing.
    arrow(axis, (right, 10.35), (right, 9.1), FORMER)
    box(axis, right, 8.4, 3.7, 1.4, "Mobile → Former",
         "tokens ask, pixels answer\nsoftmax over pixels", FORMER)  # fmt: skip
    arrow(axis, (right, 7.7), (right, 6.85), FORMER)
    box(axis, right, 6.15, 3.7, 1.4, "Former",
         "self-attention of the\ntokens, then an MLP", FORMER)  # fmt: skip
    arrow(axis, (right, 5.45), (right, 0.85), FORMER)

    arrow(axis, (left, 10.35), (left, 5.75), MOBILE)
    axis.plot([left], [8.4], marker="o", ms=6, color=MOBILE, zorder=4)
    arrow(axis, (left, 8.4), (right - 1.85, 8.4), MOBILE)
    box(axis, left, 4.62, 4.1, 2.26, "Mobile",
         f"pointwise → {hidden}\ndynamic ReLU, depthwise 3×3\n"
         f"dynamic ReLU, pointwise → {channels}\n+ X", MOBILE)  # fmt: skip
    arrow(axis, (left, 3.49), (left, 2.85), MOBILE)
    box(axis, left, 2.15, 4.1, 1.4, "Mobile ← Former",
         "pixels ask, tokens answer\nsoftmax over tokens, added", MOBILE)  # fmt: skip
    arrow(axis, (left, 1.45), (left, 0.85), MOBILE)

    arrow(axis, (right, 5.0), (left + 2.05, 5.0), SLOPES)
    axis.plot([right], [5.0], marker="o", ms=6, color=SLOPES, zorder=4)
    axis.text(5.75, 4.82, "slopes from\nthe first token", ha="left", va="top",
              fontsize=9, color=SLOPES, linespacing=1.2)  # fmt: skip
    arrow(axis, (right, 2.15), (left + 2.05, 2.15), FORMER)
    axis.plot([right], [2.15], marker="o", ms=6, color=FORMER, zorder=4)

    badge(axis, right - 1.85, 9.1, 1, FORMER)
    badge(axis, right - 1.85, 6.85, 2, FORMER)
    badge(axis, left - 2.05, 5.75, 3, MOBILE)
    badge(axis, left - 2.05, 2.85, 4, MOBILE)
    return figure


# --- costs --------------------------------------------------------------------------


def macs_per_part(
    macs: Mapping[str, Mapping[str, float]], *, share: bool = False
) -> Figure:
    """Draw where each variant's multiply–adds sit.

    Args:
        macs: variant -> part -> multiply–adds (a plain count, not millions). The parts
            named in `PART_COLOURS` keep their colour.
        share: as parts of 100 %.
    """
    return bar_stack(
        _millions(macs), unit="multiply–adds (M)", share=share, colours=PART_COLOURS
    )


def parameters_per_part(
    parameters: Mapping[str, Mapping[str, float]], *, share: bool = False
) -> Figure:
    """Draw where each variant's parameters sit (plain counts); see `macs_per_part`."""
    return bar_stack(
        _millions(parameters), unit="parameters (M)", share=share, colours=PART_COLOURS
    )


def _millions(
    table: Mapping[str, Mapping[str, float]],
) -> dict[str, dict[str, float]]:
    return {
        row: {part: count / 1e6 for part, count in counts.items()}
        for row, counts in table.items()
    }


def accuracy_against_macs(
    points: Mapping[str, Sequence[tuple[float, float, str]]],
    *,
    source: str,
    connect: Sequence[str] = (),
) -> Figure:
    """Draw published accuracy over multiply–adds, naming where the numbers come from.

    Args:
        points: family -> (multiply–adds in M, top-1 in %, label).
        source: the table or page the numbers were published in.
        connect: families whose points are joined.
    """
    return scatter_labelled(
        points,
        xlabel="multiply–adds (M)",
        ylabel="ImageNet top-1 (%)",
        source=f"Source: {source}",
        connect=connect,
    )


# --- attention and activation -------------------------------------------------------


def token_attention(image: ArrayLike, attention: ArrayLike) -> Figure:
    """Draw which pixels each token reads in Mobile → Former.

    Args:
        image: (H, W, 3) or (3, H, W).
        attention: (M, h, w), not negative; h and w divide H and W.
    """
    maps = np.asarray(attention, dtype=float)
    titles = [f"token {i}" for i in range(len(maps))]
    columns = 3 if len(maps) in (2, 5) else 4
    return heat_on_image(image, list(maps), titles=titles, columns=columns)


def dynamic_relu(x: ArrayLike, a1: ArrayLike, a2: ArrayLike) -> NDArray:
    """Return max(a1·x, a2·x) for each pair of slopes: (K,), (K,) and (N,) to (K, N)."""
    points = np.asarray(x, dtype=float)
    first, second = np.asarray(a1, dtype=float), np.asarray(a2, dtype=float)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(
            f"a1 of shape {first.shape} and a2 of shape {second.shape} must be (K,)"
        )
    return np.maximum(first[:, None] * points, second[:, None] * points)


def dynamic_relu_curves(
    a1: ArrayLike, a2: ArrayLike, *, labels: Sequence[str] | None = None
) -> Figure:
    """Draw the activation of each channel, with the plain ReLU dashed.

    Args:
        a1: (K,) slopes, 0 to 2.
        a2: (K,) slopes, -1 to 1.
        labels: K names; without them the curves are coloured by `a1`.
    """
    x = np.linspace(-2, 2, 81)
    return curve_family(
        x,
        dynamic_relu(x, a1, a2),
        xlabel="x",
        ylabel="max(a1·x, a2·x)",
        labels=labels,
        reference=np.maximum(x, 0),
        reference_label="ReLU",
        order=None if labels else a1,
    )


# --- widgets ------------------------------------------------------------------------


def budget_explorer(
    cost: Callable[..., Mapping[str, float]],
    axes: Mapping[str, Mapping[str, Any]],
    *,
    start: Sequence[int] | None = None,
    caption: str | None = None,
    name: str | None = None,
) -> BarPlayer:
    """Return sliders over the sizes of a model and the multiply–adds that follow.

    Args:
        cost: called with one keyword an axis, returns part -> multiply–adds.
        axes: keyword of `cost` -> {"label": text of the slider, "values": list}.
        start: where the sliders stand at first, one index an axis.
        caption: the caption of the figure.
        name: its anchor.
    """
    table = {
        state: {
            part: count / 1e6
            for part, count in cost(**dict(zip(axes, state, strict=True))).items()
        }
        for state in product(*(axis["values"] for axis in axes.values()))
    }
    return BarPlayer(
        table,
        axes={axis["label"]: axis["values"] for axis in axes.values()},
        label="Multiply–adds by part",
        unit="MAdds (M)",
        start=start,
        caption=caption,
        name=name,
        colours=PART_COLOURS,
    )


def token_viewer(
    image: ArrayLike,
    reads: Mapping[str, ArrayLike],
    listens: Mapping[str, ArrayLike],
    *,
    caption: str | None = None,
    name: str | None = None,
) -> GridPlayer:
    """Return sliders over block and token that show both directions of the bridge.

    Four panels: the picture, the pixels that the token reads (Mobile → Former), the
    weight that each pixel gives the token (Mobile ← Former), and which token each pixel
    listens to most.

    Args:
        image: (H, W, 3) or (3, H, W).
        reads: block -> (M, h, w), each map adding up to 1; h and w divide H and W.
        listens: block -> (M, h, w), adding up to 1 over the tokens of a pixel.
        caption: the caption of the figure.
        name: its anchor.

    Raises:
        ValueError: blocks or numbers of tokens that differ.
    """
    if list(reads) != list(listens) or not reads:
        raise ValueError(
            f"listens has the blocks {list(listens)}, must have those of reads: "
            f"{list(reads)}"
        )
    seen = {block: np.asarray(maps, dtype=float) for block, maps in reads.items()}
    heard = {block: np.asarray(maps, dtype=float) for block, maps in listens.items()}
    counts = {len(maps) for maps in (*seen.values(), *heard.values())}
    if len(counts) > 1:
        raise ValueError(f"blocks have different numbers of tokens: {sorted(counts)}")
    tokens = [str(i) for i in range(counts.pop())]
    picture = as_picture(image)
    frames, alts = {}, {}
    for block, (i, token) in product(seen, enumerate(tokens)):
        frames[block, token] = _token_panels(picture, seen[block], heard[block], i)
        strongest = float((heard[block].argmax(axis=0) == i).mean())
        h, w = seen[block].shape[1:]
        row, column = np.unravel_index(int(seen[block][i].argmax()), (h, w))
        alts[block, token] = (
            f"{block}, token {token}: it reads most at row {row + 1} of {h}, column "
            f"{column + 1} of {w}; {100 * strongest:.0f} % of the pixels listen to it "
            "most."
        )
    return GridPlayer(
        frames,
        axes={"Block": list(seen), "Token": tokens},
        alts=alts,
        label="What a token reads and who listens to it",
        caption=caption,
        name=name,
    )


@in_house_style
def _token_panels(
    picture: NDArray, seen: NDArray, heard: NDArray, token: int
) -> Figure:
    shape = picture.shape[0] / picture.shape[1]
    figure, axes = new_figure(2, 2, width=4.4, height=4.4 * shape + 0.55)
    panels = axes.flat
    panels[0].imshow(picture, cmap="gray", vmin=0, vmax=1)
    bare(panels[0], "Picture")
    panels[1].imshow(heat_over(picture, seen[token]))
    bare(panels[1], f"Token {token} reads")
    panels[2].imshow(
        heard[token], cmap="pb_sequential", vmin=0, vmax=1, interpolation="nearest"
    )
    bare(panels[2], f"Pixels' weight on token {token}")
    _strongest_token(panels[3], heard, token)
    return figure


def _strongest_token(axis: Axes, heard: NDArray, token: int) -> None:
    """Colour each pixel by the token it listens to most; outline the chosen one."""
    count = len(heard)
    colours = (
        ListedColormap(SERIES[:count])
        if count <= len(SERIES)
        else ListedColormap(colour_map("sequential")(np.linspace(0.1, 1, count)))
    )
    winner = heard.argmax(axis=0)
    axis.imshow(winner, cmap=colours, vmin=-0.5, vmax=count - 0.5, alpha=0.35)
    chosen = np.ma.masked_where(winner != token, winner)
    axis.imshow(chosen, cmap=colours, vmin=-0.5, vmax=count - 0.5)
    # A number in the middle of a token's pixels: colour alone is not enough.
    for i in range(count):
        rows, columns = np.nonzero(winner == i)
        if len(rows) == 0:
            continue
        centre = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
        axis.text(
            columns[centre], rows[centre], str(i), ha="center", va="center",
            fontsize=9, weight="bold",
            bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": LINE, "lw": 0.6},
        )  # fmt: skip
    bare(axis, "Strongest token")


def dynamic_relu_explorer(
    positions: ArrayLike,
    a1: ArrayLike,
    a2: ArrayLike,
    maps: ArrayLike,
    *,
    channel: int = 0,
    label: str = "Position of token 0",
    caption: str | None = None,
    name: str | None = None,
) -> Player:
    """Return a slider that moves token 0 and shows what the activation does.

    Left the curves of all channels with one picked out, right that channel's map after
    the activation, on one colour scale for all positions.

    Args:
        positions: (K,) where token 0 stands.
        a1: (K, C) slopes.
        a2: (K, C) slopes.
        maps: (K, h, w) the picked channel after the activation.
        channel: which channel is picked out.
        label: text of the slider.
        caption: the caption of the figure.
        name: its anchor.

    Raises:
        ValueError: lengths that differ, or no such channel.
    """
    places = np.asarray(positions, dtype=float)
    first, second = np.asarray(a1, dtype=float), np.asarray(a2, dtype=float)
    after = np.asarray(maps, dtype=float)
    if not len(places) == len(first) == len(second) == len(after):
        raise ValueError(
            f"positions, a1, a2 and maps must have one length, got {len(places)}, "
            f"{len(first)}, {len(second)}, {len(after)}"
        )
    if not 0 <= channel < first.shape[1]:
        raise ValueError(f"channel={channel} must be 0 to {first.shape[1] - 1}")
    reach = float(np.abs(after).max()) or 1.0
    frames = [
        _activation_panels(first[k], second[k], after[k], channel, reach)
        for k in range(len(places))
    ]
    alts = [
        f"Token 0 at {place:+.1f}: channel {channel} has slopes a1 {u[channel]:.2f} "
        f"and a2 {v[channel]:.2f}; its map runs from {m.min():.1f} to {m.max():.1f}."
        for place, u, v, m in zip(places, first, second, after, strict=True)
    ]
    return Player(
        frames,
        label=label,
        values=[f"{place:+.1f}".replace("-", "−") for place in places],
        alts=alts,
        caption=caption,
        name=name,
    )


@in_house_style
def _activation_panels(
    a1: NDArray, a2: NDArray, after: NDArray, channel: int, reach: float
) -> Figure:
    figure = Figure(figsize=(5.0, 2.75))
    curves, picture = figure.subplots(1, 2, width_ratios=[1.15, 1])
    x = np.linspace(-2, 2, 41)
    some = np.linspace(0, len(a1) - 1, min(len(a1), 24)).astype(int)
    for curve in dynamic_relu(x, a1[some], a2[some]):
        curves.plot(x, curve, color=SERIES[5], lw=0.7, alpha=0.5)
    draw_curves(
        curves,
        x,
        dynamic_relu(x, a1[[channel]], a2[[channel]]),
        labels=[f"channel {channel}"],
        reference=np.maximum(x, 0),
        reference_label="ReLU",
    )
    curves.set(ylim=(-1.2, 4.2), xlabel="x", ylabel="activation")
    curves.legend(loc="upper left", handlelength=1.4, borderaxespad=0)
    slopes = f"a1 {a1[channel]:.2f}, a2 {a2[channel]:.2f}".replace("-", "−")
    curves.set_title(slopes, fontsize=9.5, weight="normal", loc="center")
    shown = picture.imshow(after, cmap="pb_diverging", vmin=-reach, vmax=reach)
    bare(picture, f"channel {channel} after it")
    bar = figure.colorbar(shown, ax=picture, shrink=0.75, pad=0.03)
    bar.outline.set_visible(False)
    bar.ax.tick_params(color=MUTED, length=2)
    return figure
