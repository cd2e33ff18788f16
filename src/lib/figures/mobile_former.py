"""The figures and widgets of the chapter on Mobile-Former.

Everything arrives as numbers and arrays, so nothing here knows the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from lib.figures.diagrams import arrow, badge, box, lane
from lib.figures.palette import SERIES
from lib.figures.player import BarPlayer, GridPlayer, Player
from lib.figures.plots import (
    INK,
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

OUTLINES = ("-", "--", ":", "-.")  # line styles of outlined places, in order


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
    return _parts_of(macs, "multiply–adds", share)


def parameters_per_part(
    parameters: Mapping[str, Mapping[str, float]], *, share: bool = False
) -> Figure:
    """Draw where each variant's parameters sit (plain counts); see `macs_per_part`."""
    return _parts_of(parameters, "parameters", share)


def _parts_of(
    table: Mapping[str, Mapping[str, float]], what: str, share: bool
) -> Figure:
    millions = {
        row: {part: count / 1e6 for part, count in counts.items()}
        for row, counts in table.items()
    }
    figure = bar_stack(millions, unit=f"{what} (M)", share=share, colours=PART_COLOURS)
    if share:  # lengths and numbers have units of their own
        figure.axes[0].set_xlabel(f"share of {what} (%); numbers in M")
    return figure


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


@in_house_style
def seed_dots(
    arms: Mapping[str, Sequence[float]], *, xlabel: str, ylabel: str
) -> Figure:
    """Draw one dot a seed over the arms of a sweep, and a line at each mean.

    Args:
        arms: name -> one number a seed, in the order of the axis.
        xlabel: what the names are.
        ylabel: what the numbers are.

    Raises:
        ValueError: no arm, or one without numbers.
    """
    if not arms or not all(len(values) for values in arms.values()):
        raise ValueError(f"arms={dict(arms)!r} must hold at least one number each")
    figure, axes = new_figure(height=2.9)
    axis = axes[0, 0]
    for i, values in enumerate(arms.values()):
        wide = 0.045 * (len(values) - 1)
        # Ordered sideways by size, so that equal numbers do not hide each other.
        axis.scatter(
            i + np.linspace(-wide, wide, len(values)), sorted(values), s=42,
            color=MOBILE, ec="white", lw=0.8, zorder=3,
        )  # fmt: skip
        axis.hlines(np.mean(values), i - 0.25, i + 0.25, color=INK, lw=1.6, zorder=2)
    names = [
        f"{name}\n{len(values)} {'seed' if len(values) == 1 else 'seeds'}"
        for name, values in arms.items()
    ]
    axis.set_xticks(range(len(arms)), names)
    axis.set_xlim(-0.5, len(arms) - 0.5)
    axis.set_ylim(bottom=0)
    axis.grid(axis="y")
    axis.set(xlabel=xlabel, ylabel=ylabel)
    return figure


# --- the task -----------------------------------------------------------------------


@in_house_style
def expected_answers(
    image: ArrayLike, answers: ArrayLike, words: Sequence[str]
) -> Figure:
    """Draw a scene with its grid and, beside it, the right answer in each cell.

    Args:
        image: (H, W, 3) or (3, H, W).
        answers: (rows, columns) whole numbers; 0 is nothing.
        words: what each number means.

    Raises:
        ValueError: a number without a word.
    """
    picture, wanted = as_picture(image), np.asarray(answers)
    if wanted.min() < 0 or wanted.max() >= len(words):
        raise ValueError(
            f"answers from {wanted.min()} to {wanted.max()} must be numbers of words, "
            f"0 to {len(words) - 1}"
        )
    figure, axes = new_figure(1, 2, height=2.9)
    (tall, wide), (rows, columns) = picture.shape[:2], wanted.shape
    for axis, shade, title in zip(
        axes[0], (1.0, 0.35), ("Scene", "Right answers"), strict=True
    ):
        axis.imshow(shade * picture, interpolation="nearest", vmin=0, vmax=1)
        for i in range(1, rows):
            axis.axhline(i * tall / rows - 0.5, color=LINE, lw=0.6)
        for i in range(1, columns):
            axis.axvline(i * wide / columns - 0.5, color=LINE, lw=0.6)
        bare(axis, title)
    for (row, column), answer in np.ndenumerate(wanted):
        axes[0, 1].text(
            (column + 0.5) * wide / columns - 0.5,
            (row + 0.5) * tall / rows - 0.5,
            f"{answer}\n{words[answer]}" if answer else "0",
            color="white", fontsize=9, ha="center", va="center",
            weight="bold" if answer else "normal",
        )  # fmt: skip
    return figure


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
    outlines: Mapping[str, Sequence[float]] | None = None,
    caption: str | None = None,
    name: str | None = None,
) -> GridPlayer:
    """Return sliders over block and token that show both directions of the bridge.

    Four panels: the picture, the pixels that the token reads (Mobile → Former), which
    token each pixel listens to most, and the weight that each pixel gives the chosen
    token (Mobile ← Former).

    Args:
        image: (H, W, 3) or (3, H, W).
        reads: block -> (M, h, w), each map adding up to 1; h and w divide H and W.
        listens: block -> (M, h, w), adding up to 1 over the tokens of a pixel.
        outlines: name -> x1 y1 x2 y2 in pixels of the picture, x2 and y2 exclusive;
            these places are outlined in every panel, at most four of them.
        caption: the caption of the figure.
        name: its anchor.

    Raises:
        ValueError: blocks or numbers of tokens that differ, or too many outlines.
    """
    places = dict(outlines or {})
    if len(places) > len(OUTLINES):
        raise ValueError(
            f"outlines has {len(places)} entries; allowed are up to {len(OUTLINES)}"
        )
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
        frames[block, token] = _token_panels(
            picture, seen[block], heard[block], i, places
        )
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
    picture: NDArray,
    seen: NDArray,
    heard: NDArray,
    token: int,
    outlines: Mapping[str, Sequence[float]],
) -> Figure:
    shape = picture.shape[0] / picture.shape[1]
    figure, axes = new_figure(2, 2, width=4.6, height=3.9 * shape + 1.0)
    (plain, read), (strongest, weight) = axes
    plain.imshow(picture, cmap="gray", vmin=0, vmax=1)
    bare(plain, "Picture")
    read.imshow(heat_over(picture, seen[token]))
    bare(read, f"Token {token} reads")
    most = float(seen[token].max())
    # Three decimals at all times, so that no frame of the slider is shifted.
    _weight_bar(figure, read, colour_map("heat"), most, f"{most:.3f}")
    keys = _strongest_token(strongest, heard, token)
    weight.imshow(
        heard[token], cmap="pb_sequential", vmin=0, vmax=1, interpolation="nearest"
    )
    bare(weight, f"Pixels' weight on token {token}")
    _weight_bar(figure, weight, colour_map("sequential"), 1.0, "1")
    for (label, place), style in zip(outlines.items(), OUTLINES, strict=False):
        for axis, size in (
            (plain, picture.shape), (read, picture.shape),
            (strongest, heard.shape[1:]), (weight, heard.shape[1:]),
        ):  # fmt: skip
            line = _outline(axis, place, size[1] / picture.shape[1], style)
        keys[label] = line
    figure.legend(
        list(keys.values()), list(keys), loc="outside upper left", fontsize=8.5,
        ncols=7, handlelength=1.6, handleheight=1.0, columnspacing=1.1, borderaxespad=0,
    )  # fmt: skip
    return figure


def _weight_bar(
    figure: Figure, axis: Axes, colours: Colormap, most: float, text: str
) -> None:
    """Say what the colours of a panel mean: weights from 0 to `most`."""
    shades = ScalarMappable(Normalize(0, most), colours)
    bar = figure.colorbar(shades, ax=axis, shrink=0.8, pad=0.03, ticks=[0, most])
    bar.outline.set_visible(False)
    bar.ax.tick_params(color=MUTED, length=2, labelsize=8)
    bar.ax.set_yticklabels(["0", text])


def _outline(axis: Axes, place: Sequence[float], scale: float, style: str) -> Line2D:
    """Draw a box of the picture into a panel that has `scale` times its pixels."""
    x1, y1, x2, y2 = (scale * end - 0.5 for end in place)
    corners = [x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1]
    above: dict[str, Any] = {
        "clip_on": False,
        "scalex": False,
        "scaley": False,
        "zorder": 5,
    }
    axis.plot(*corners, color="white", lw=3.2, **above)
    (line,) = axis.plot(*corners, color=INK, lw=1.6, ls=style, **above)
    return line


def _strongest_token(axis: Axes, heard: NDArray, token: int) -> dict[str, Any]:
    """Colour each pixel by the token it listens to most; return keys for a legend."""
    count = len(heard)
    colours = (
        ListedColormap(SERIES[:count])
        if count <= len(SERIES)
        else ListedColormap(colour_map("sequential")(np.linspace(0.1, 1, count)))
    )
    winner = heard.argmax(axis=0)
    axis.imshow(winner, cmap=colours, vmin=-0.5, vmax=count - 0.5)
    # A number in the middle of a token's pixels: colour alone is not enough.
    for i in range(count):
        rows, columns = np.nonzero(winner == i)
        if len(rows) == 0:
            continue
        centre = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
        axis.text(
            columns[centre], rows[centre], str(i), ha="center", va="center",
            fontsize=9, weight="bold" if i == token else "normal", zorder=6,
            bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": LINE, "lw": 0.6},
        )  # fmt: skip
    bare(axis, "Strongest token")
    names = ["token 0", *map(str, range(1, count))]
    return {names[i]: Patch(color=colours(i)) for i in range(count)}


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
