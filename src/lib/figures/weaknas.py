"""The figures and the widget of the chapter on WeakNAS.

Everything arrives as numbers and arrays, so nothing here knows a search or a network.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from html import escape
from string import Template
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from lib.figures.cswin import Look
from lib.figures.palette import PALETTE, SERIES, text_on
from lib.figures.player import _PLAY, Widget
from lib.figures.plots import INK, LINE, MUTED, bare, legend_above, new_figure
from lib.figures.style import SEQUENTIAL, colour_map, in_house_style
from lib.metrics.ranking import ecdf

RING, STAR = SERIES[1], SERIES[4]
SURFACE = PALETTE["light"]["surface"]
GOOD_ROWS = 50  # the paper's probabilities are those of the true top 50

LOOKS: dict[str, Look] = {
    "weak_nas": Look("WeakNAS", SERIES[0], "o"),
    "strong_predictor": Look("strong predictor", SERIES[1], "s"),
    "regularised_evolution": Look("evolution", SERIES[2], "^"),
    "local_search": Look("local search", SERIES[3], "D"),
    "random_search": Look("random search", SERIES[6], "X"),
    "greedy": Look("greedy loop", SERIES[5], "v", (0, (4, 1.5))),
}
"""What a search is called, and how it looks in every figure."""

Steps = Sequence[tuple[ArrayLike, ArrayLike]]
"""For each step the rows asked so far and the rows of the predicted top set."""


def in_words(name: str) -> str:
    """Return what a search is called in figures; others keep their name."""
    return LOOKS[name].words if name in LOOKS else name


def _looks(names: Sequence[str]) -> list[Look]:
    """Return a look for each name; those not in `LOOKS` take what colours are left."""
    taken = {LOOKS[name].colour for name in names if name in LOOKS}
    free = [colour for colour in SERIES if colour not in taken]
    marks = {LOOKS[name].mark for name in names if name in LOOKS}
    left = [mark for mark in "osD^vPX" if mark not in marks]
    others = [name for name in names if name not in LOOKS]
    if len(others) > min(len(free), len(left)):
        raise ValueError(
            f"{list(names)} need more colours than the {len(SERIES)} there are"
        )
    fresh = dict(zip(others, map(Look, others, free, left), strict=False))
    return [LOOKS[name] if name in LOOKS else fresh[name] for name in names]


# --- the space ----------------------------------------------------------------------


def _digits(code: Sequence[int] | str, ops: Sequence[str]) -> list[int]:
    digits = [int(d) for d in code]
    nodes = (1 + math.isqrt(1 + 8 * len(digits))) // 2
    if not digits or nodes * (nodes - 1) // 2 != len(digits):
        raise ValueError(
            f"code={code!r} must have one digit for each pair of nodes: 1, 3, 6, 10 ..."
        )
    if not all(0 <= d < len(ops) for d in digits):
        raise ValueError(f"code={code!r} must hold digits from 0 to {len(ops) - 1}")
    return digits


def _live(digits: Sequence[int], nodes: int, none: int) -> list[bool]:
    """Say which edges lie on a way from the first node to the last."""
    edges = [(i, j) for j in range(1, nodes) for i in range(j)]
    there = [e for e, d in zip(edges, digits, strict=True) if d != none]
    fed, used = {0}, {nodes - 1}
    for i, j in there:  # ordered by their end, so starts are settled before
        fed |= {j} if i in fed else set()
    for i, j in sorted(there, reverse=True):  # later starts first
        used |= {i} if j in used else set()
    return [
        d != none and i in fed and j in used
        for (i, j), d in zip(edges, digits, strict=True)
    ]


def _op_looks(ops: Sequence[str], none: str, skip: str) -> list[tuple[str, Any]]:
    """Return colour and line of each operation."""
    colours = iter(SERIES[:4] + SERIES[5:])
    if len(set(ops) - {none, skip}) > 6:
        raise ValueError(f"ops={list(ops)} has more names than there are colours")
    known: dict[str, tuple[str, Any]] = {none: (MUTED, (0, (1, 2.2)))}
    known[skip] = (SERIES[4], (0, (4, 1.6)))
    return [known[op] if op in known else (next(colours), "-") for op in ops]


@in_house_style
def cell_graph(
    codes: Sequence[Sequence[int] | str],
    ops: Sequence[str],
    *,
    titles: Sequence[str] | None = None,
    notes: Sequence[str] | None = None,
    none: str = "none",
    skip: str = "skip",
) -> Figure:
    """Draw cells as graphs, two a row, each above its digits.

    Each edge carries its digit. An edge whose operation cannot change the output, since
    its start has no input or its end leads nowhere, is drawn pale.

    Args:
        codes: one to six cells, a digit an edge in the order 0-1, 0-2, 1-2, 0-3 ...
        ops: names of the operations; digit d stands for ops[d].
        titles: one a cell; "cell 333132" and so on when left out.
        notes: a line a cell below its digits, such as what it computes.
        none: the operation that brings nothing.
        skip: the operation that brings its input unchanged.

    Raises:
        ValueError: no cell or too many, digits that fit no cell or no operation, a
            text missing, or too many operations.
    """
    if not 1 <= len(codes) <= 6:
        raise ValueError(f"codes has {len(codes)} cells; allowed are 1 to 6")
    for argument, texts in (("titles", titles), ("notes", notes)):
        if texts is not None and (isinstance(texts, str) or len(texts) != len(codes)):
            raise ValueError(
                f"{argument} has {len(texts)} texts for {len(codes)} cells"
            )
    found = [_digits(code, ops) for code in codes]
    looks = _op_looks(ops, none, skip)
    absent = list(ops).index(none) if none in ops else -1
    columns = min(2, len(codes))
    rows = -(-len(codes) // columns)
    figure, axes = new_figure(
        rows, columns, height=rows * (2.75 if notes else 2.6) + 0.45
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for k, (axis, digits) in enumerate(zip(axes.flat, found, strict=False)):
        title = titles[k] if titles else "cell " + "".join(map(str, digits))
        _cell(axis, digits, looks, absent, title, notes[k] if notes else "")
    figure.legend(
        [Line2D([], [], color=colour, ls=line) for colour, line in looks],
        [f"{d} {op.replace('_', ' ')}" for d, op in enumerate(ops)],
        loc="outside upper left", ncols=len(ops) if len(ops) < 5 else 3,
        handlelength=1.9, columnspacing=1.2, borderaxespad=0.0,
    )  # fmt: skip
    return figure


def _cell(
    axis: Axes,
    digits: Sequence[int],
    looks: Sequence[tuple[str, Any]],
    absent: int,
    title: str,
    note: str,
) -> None:
    """Draw the nodes of one cell on a line, its edges as arcs, its digits below."""
    nodes = (1 + math.isqrt(1 + 8 * len(digits))) // 2
    scale = 3 / (nodes - 1)  # nodes spread over three units, as four nodes are
    edges = [(i, j) for j in range(1, nodes) for i in range(j)]
    live = _live(digits, nodes, absent)
    for (i, j), digit, alive in zip(edges, digits, live, strict=True):
        colour, line = looks[digit]
        faint = digit != absent and not alive
        # Arcs from even nodes run above, from odd ones below, longer ones further out.
        lift = 0.62 * (j - i - 1) * (1 if i % 2 == 0 else -1) * scale
        axis.add_patch(
            FancyArrowPatch(
                (i * scale, 0), (j * scale, 0), arrowstyle="-|>", mutation_scale=9,
                connectionstyle=f"arc3,rad={-2 * lift / ((j - i) * scale)}",
                shrinkA=8, shrinkB=8.5, color=colour, ls=line, zorder=2,
                lw=1.0 if digit == absent or faint else 2.0,
                alpha=0.35 if faint else 1,
            )
        )  # fmt: skip
        axis.text(
            (i + j) / 2 * scale, lift, str(digit), ha="center", va="center",
            fontsize=9, color=colour if digit == absent or faint else text_on(colour),
            weight="bold", zorder=4,
            bbox={"boxstyle": "circle,pad=0.18", "ec": colour, "lw": 0.8,
                  "fc": SURFACE if digit == absent or faint else colour},
        )  # fmt: skip
    for k in range(nodes):
        axis.text(
            k * scale, 0, str(k), ha="center", va="center", fontsize=9.5, zorder=5,
            bbox={"boxstyle": "circle,pad=0.28", "fc": SURFACE, "ec": INK, "lw": 1.4},
        )  # fmt: skip
    for x, words, side in ((-0.4, "input", "left"), (3.45, "output", "right")):
        axis.text(x, -0.36, words, ha=side, va="top", fontsize=9, color=MUTED)
    width = 3.7 / len(digits)
    for k, ((i, j), digit) in enumerate(zip(edges, digits, strict=True)):
        left, colour = -0.35 + k * width, looks[digit][0]
        fill = SURFACE if digit == absent else colour
        axis.add_patch(
            Rectangle((left + 0.03, -1.62), width - 0.06, 0.46, fc=fill, ec=colour)
        )
        axis.text(
            left + width / 2, -1.4, str(digit), ha="center", va="center", fontsize=10,
            weight="bold", color=colour if digit == absent else text_on(colour),
        )  # fmt: skip
        axis.text(
            left + width / 2, -1.7, f"{i}–{j}", ha="center", va="top",
            fontsize=9 if len(digits) <= 6 else 7, color=MUTED,
        )  # fmt: skip
    top = 0.62 * max(nodes - 2, 0) * scale
    axis.set(xlim=(-0.45, 3.45), ylim=(-2.35 if note else -2.05, top + 0.3))
    axis.set_aspect("equal")
    axis.set_title(title, loc="center", fontsize=9.5)
    if note:
        axis.text(1.5, -2.08, note, ha="center", va="top", fontsize=9, color=INK)


def plane(
    features: ArrayLike, *, spread: float = 0.7, jitter: float = 0.012
) -> NDArray:
    """Lay the rows of a table out in a plane: (n, d) to (n, 2), from 0 to 1.

    The two directions along which the rows differ most (principal components), found
    by singular value decomposition. Rows that would coincide are moved apart by a small
    spiral that depends on their number alone. Codes fall into a few heaps, so both
    axes are stretched where rows are dense: order is kept, distance is not. In a space
    with all its codes every direction is as good as any other, and only differences
    between maps of one space can be read.

    Args:
        features: (n, d), such as one-hot codes, n and d at least 2.
        spread: from 0, distances as they are, to 1, rows evenly spaced along each axis.
        jitter: radius of the spiral, as a part of the map.

    Raises:
        ValueError: another shape, numbers that are not finite, rows all alike, or a
            spread outside 0 to 1.
    """
    if not 0 <= spread <= 1:
        raise ValueError(f"spread={spread} must lie between 0 and 1")
    x = np.asarray(features, dtype=float)
    if x.ndim != 2 or min(x.shape) < 2 or not np.isfinite(x).all():
        raise ValueError(
            f"features of shape {x.shape} must be finite and (n, d), n and d at least 2"
        )
    x = x - x.mean(0)
    if not x.any():
        raise ValueError("features must not be the same in every row")
    _, _, axes = np.linalg.svd(x, full_matrices=False)
    axes = axes[:2]
    # A component's sign is free: its largest entry is made positive.
    largest = axes[np.arange(2), abs(axes).argmax(1)]
    at = x @ (axes * np.where(largest < 0, -1, 1)[:, None]).T
    at -= at.min(0)
    at /= np.maximum(at.max(0), 1e-12)
    turn = np.arange(len(at)) * 2.399963229728653  # the golden angle
    radius = jitter * np.sqrt((np.arange(len(at)) * 0.618033988749895) % 1)
    at += radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    at = np.clip(at, 0, 1)
    rank = at.argsort(0, kind="stable").argsort(0, kind="stable") / (len(at) - 1)
    return (1 - spread) * at + spread * rank


def _rows(given: ArrayLike, n: int, argument: str) -> NDArray[np.int64]:
    """Return row numbers, all different and below n."""
    rows = np.asarray(given)
    rows = rows.astype(np.int64) if rows.size == 0 else rows
    if (
        rows.ndim != 1
        or rows.dtype.kind not in "iu"
        or len(np.unique(rows)) < len(rows)
        or not ((rows >= 0) & (rows < n)).all()
    ):
        raise ValueError(f"{argument} must be different rows from 0 to {n - 1}")
    return rows.astype(np.int64)


def _accuracies(accuracy: ArrayLike, n: int) -> NDArray:
    values = np.asarray(accuracy, dtype=float)
    if values.shape != (n,) or not np.isfinite(values).all():
        raise ValueError(
            f"accuracy of shape {values.shape} must be finite and ({n},), one a row"
        )
    return values


@in_house_style
def space_map(
    features: ArrayLike,
    accuracy: ArrayLike,
    steps: Mapping[int, tuple[ArrayLike, ArrayLike]],
    *,
    label: str = "validation accuracy (%)",
) -> Figure:
    """Draw the space as a map, once a step: what was asked, what is predicted best.

    Colour is the true accuracy, which a search does not know, in steps that each hold
    a tenth to a fifth of the rows. The best row carries a star.

    Args:
        features: (n, d), laid out by `plane`.
        accuracy: (n,), in percent.
        steps: number of the step -> rows asked so far and rows of the predicted top
            set, which may be empty; one to six steps, such as 0, 2, 5 and 10.
        label: what the colours mean.

    Raises:
        ValueError: no step or too many, accuracies that do not match or are all alike,
            or rows that do not exist.
    """
    at = plane(features)
    values = _accuracies(accuracy, len(at))
    if not 1 <= len(steps) <= 6:
        raise ValueError(f"steps has {len(steps)} entries; allowed are 1 to 6")
    columns = min(2, len(steps))
    rows = -(-len(steps) // columns)
    figure, axes = new_figure(rows, columns, height=rows * 2.35 + 1.0)
    for axis in axes.flat[len(steps) :]:
        axis.set_axis_off()
    # Accuracies crowd near the top: each colour holds as many rows as the shares say.
    edges = np.unique(np.quantile(values, [0, 0.1, 0.3, 0.5, 0.7, 0.9, 1]))
    if len(edges) < 2:
        raise ValueError("accuracy must not be the same in every row")
    shades = ListedColormap(
        colour_map("sequential")(np.linspace(0.08, 1, len(edges) - 1))
    )
    tint = {"cmap": shades, "norm": BoundaryNorm(edges, len(edges) - 1)}
    order = np.argsort(values, kind="stable")  # the best on top
    keys: dict[str, Any] = {}
    for axis, (step, (asked, top)) in zip(axes.flat, steps.items(), strict=False):
        done = _rows(asked, len(at), f"steps[{step}]: the rows asked")
        best = _rows(top, len(at), f"steps[{step}]: the top set")
        dots = axis.scatter(
            *at[order].T, s=9, c=values[order], ec=LINE, lw=0.3, zorder=2, **tint
        )
        keys["asked"] = axis.scatter(
            *at[done].T, s=26, c=values[done], ec=INK, lw=1.3, zorder=3, **tint
        )
        keys["predicted top"] = axis.scatter(
            *at[best].T, s=54, c="none", ec=RING, lw=1.5, zorder=4
        )
        keys["best row"] = axis.scatter(
            *at[values.argmax()], marker="*", s=95, c=STAR, ec=INK, lw=0.9, zorder=6
        )
        axis.set(xlim=(-0.04, 1.04), ylim=(-0.05, 1.05))
        bare(axis, f"step {step}: {len(done)} asked")
    bar = figure.colorbar(
        dots, ax=list(axes.flat), location="bottom", aspect=45, pad=0.02,
        ticks=edges, format="%.1f",
    )  # fmt: skip
    bar.set_label(label)
    bar.outline.set_edgecolor(LINE)
    keys["asked"] = Line2D([], [], ls="", marker="o", ms=4.5, mfc=SERIES[5], mec=INK)
    legend_above(figure, list(keys.values()), list(keys))
    return figure


# --- who finds the best row, and when -----------------------------------------------


def _runs(name: str, given: Any) -> NDArray:
    """Return (runs, K); a run that ended early keeps its last value."""
    rows = list(given)
    if rows and np.ndim(rows[0]) == 0:
        rows = [rows]
    runs = [np.asarray(row, dtype=float) for row in rows]
    if not runs or any(
        run.ndim != 1 or not len(run) or not np.isfinite(run).all() for run in runs
    ):
        raise ValueError(
            f"the values of {name!r} must be one or more runs of finite numbers"
        )
    longest = max(map(len, runs))
    return np.stack([np.pad(run, (0, longest - len(run)), mode="edge") for run in runs])


def _band(runs: NDArray, level: float) -> NDArray:
    """Return half the width of the t-interval of the mean, column by column."""
    if len(runs) < 2:
        return np.zeros(runs.shape[1])
    from scipy.special import stdtrit

    error = runs.std(0, ddof=1) / math.sqrt(len(runs))
    return float(stdtrit(len(runs) - 1, (1 + level) / 2)) * error


def _plain(axis: Axes) -> None:
    """Write the ticks of a logarithmic axis as plain numbers."""
    low, high = axis.get_xlim()
    ticks = [m * 10**e for e in range(6) for m in (1, 2, 5) if low <= m * 10**e <= high]
    axis.set_xticks(ticks)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(axis="x", which="minor", length=0)


@in_house_style
def best_so_far_curves(
    curves: Mapping[str, Any],
    *,
    live: Mapping[str, Any] | None = None,
    first: int = 10,
    best: float | None = None,
    level: float = 0.95,
    ylabel: str = "best so far: validation accuracy (%)",
) -> Figure:
    """Draw the mean best-so-far against the number of queries, on a logarithmic axis.

    The band is Student's interval of the mean at each number of queries, cut off at the
    best row. A method with live runs has none: the runs themselves show their spread.

    Args:
        curves: method -> (K,) or (seeds, K), the best value after 1, 2 ... queries;
            seeds may have different lengths, and a search that ended early keeps its
            last value. The methods of `LOOKS` get their names in words and colours.
        live: method -> a few runs, drawn as thin lines in place of its band.
        first: number of queries from which on the curves are drawn.
        best: the best value of the table, drawn as a line; no run may lie above it.
        level: coverage of the bands, between 0 and 1.
        ylabel: label of the vertical axis.

    Raises:
        ValueError: no method, values that are not finite or above `best`, runs too
            short for `first`, a level outside, or live runs of a method without a
            curve.
    """
    if not curves:
        raise ValueError("curves={} must hold at least one method")
    if not 0 < level < 1:
        raise ValueError(f"level={level} must lie between 0 and 1")
    live = live or {}
    if not set(live) <= set(curves):
        raise ValueError(f"live has {sorted(live)}; the curves are {list(curves)}")
    runs = {name: _runs(name, given) for name, given in curves.items()}
    shortest = min(values.shape[1] for values in runs.values())
    if not 1 <= first <= shortest:
        raise ValueError(f"first={first} must be 1 to {shortest}")
    highest = max(float(values.max()) for values in runs.values())
    if best is not None and highest > best + 1e-6:
        raise ValueError(f"best={best:g} is not the best: a curve reaches {highest:g}")
    figure, axes = new_figure(height=3.7)
    axis = axes[0, 0]
    handles = []
    looks = dict(zip(runs, _looks(list(runs)), strict=True))
    for k, (name, values) in enumerate(runs.items()):
        one, x = looks[name], np.arange(first, values.shape[1] + 1)
        mean, half = values.mean(0)[first - 1 :], _band(values, level)[first - 1 :]
        if name not in live:
            top = mean + half if best is None else np.minimum(mean + half, best)
            axis.fill_between(x, mean - half, top, color=one.colour, alpha=0.18, lw=0)
        # Marks stand evenly on the logarithmic axis, shifted from curve to curve.
        places = np.geomspace(first, values.shape[1], 6)[:-1] * 1.06**k
        marks = np.unique(np.clip(places.round().astype(int), first, x[-1]) - first)
        handles += axis.plot(
            x, mean, color=one.colour, ls=one.line, marker=one.mark, ms=6, mec="white",
            mew=0.8, markevery=marks.tolist(), zorder=3,
        )  # fmt: skip
    for name, given in live.items():
        for run in _runs(name, given):
            x = np.arange(first, len(run) + 1)
            if len(x):
                axis.plot(
                    x, run[first - 1 :], color=looks[name].colour, lw=0.7, alpha=0.75,
                    zorder=2,
                )  # fmt: skip
    if best is not None:
        axis.axhline(best, color=MUTED, lw=1, ls=":")
        axis.text(
            0.995, best, "best row", transform=axis.get_yaxis_transform(), ha="right",
            va="bottom", fontsize=9, color=MUTED,
        )  # fmt: skip
    axis.set_xscale("log")
    axis.set_xlim(first, max(values.shape[1] for values in runs.values()))
    _plain(axis)
    axis.grid(axis="y")
    axis.set(xlabel="queries (logarithmic)", ylabel=ylabel)
    legend_above(figure, handles, [one.words for one in looks.values()])
    return figure


@in_house_style
def hit_ecdf(
    hits: Mapping[str, Sequence[float | None]],
    cap: float,
    *,
    log_x: bool = False,
    xlabel: str = "queries until the best row",
) -> Figure:
    """Draw the share of runs that have found the best row by so many queries.

    A run that misses within the cap stays in the count: its curve ends below 1, with a
    cross. The legend says how many runs found it.

    Args:
        hits: method -> for each run the number of queries, None for a miss; a number
            above the cap is a miss as well.
        cap: number of queries at which the curves end.
        log_x: a logarithmic horizontal axis.
        xlabel: its label.

    Raises:
        ValueError: no method, no run, a number below 1, or a cap below 1.
    """
    if not hits or not all(len(runs) for runs in hits.values()):
        raise ValueError("hits must hold at least one method, each with a run or more")
    if not cap >= 1:
        raise ValueError(f"cap={cap} must be 1 or more")
    figure, axes = new_figure(height=3.5)
    axis = axes[0, 0]
    handles, labels = [], []
    for (name, runs), one in zip(hits.items(), _looks(list(hits)), strict=True):
        found = np.array([np.inf if hit is None else float(hit) for hit in runs])
        if not (found >= 1).all():
            raise ValueError(f"hits[{name!r}]={list(runs)} must be 1 or more, or None")
        at, share = ecdf(np.where(found <= cap, found, np.inf))
        last = float(share[-1]) if len(share) else 0.0
        x, y = np.r_[1, at, cap], np.r_[0, share, last]
        handles += axis.plot(
            x, y, drawstyle="steps-post", color=one.colour, ls=one.line, zorder=3,
            clip_on=False, marker=one.mark, ms=6, mec="white", mew=0.8,
            markevery=(1, max(1, len(at) // 5)),
        )  # fmt: skip
        count = int((found <= cap).sum())
        if count < len(found):
            axis.plot(
                cap, last, marker="x", ms=8, mew=2, color=one.colour, clip_on=False,
                zorder=5,
            )  # fmt: skip
        labels.append(f"{one.words}: {count} of {len(found)}")
    axis.axhline(1, color=LINE, lw=1, zorder=1)
    if log_x:
        axis.set_xscale("log")
    axis.set_xlim(1 if log_x else 0, cap)
    if log_x:
        _plain(axis)
    axis.set(ylim=(0, 1.03), xlabel=xlabel, ylabel="share of the runs")
    axis.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axis.grid(axis="y")
    legend_above(figure, handles, labels)
    return figure


@in_house_style
def top_fifty(
    probability: ArrayLike,
    tau: ArrayLike,
    *,
    fresh: ArrayLike | None = None,
    best_rows: int = GOOD_ROWS,
    chance: float | None = None,
) -> Figure:
    """Draw, step by step, what the predictor knows about the top of the space.

    Left the probability that a draw from the predicted top set is one of the true best
    rows, right Kendall's tau of prediction and truth among these. With several runs the
    thick line is their mean.

    Args:
        probability: (steps,) or (runs, steps), 0 to 1.
        tau: the same shape, -1 to 1; not a number where it is not defined.
        fresh: the probability for a draw among the rows of the top set that were not
            asked yet, the same shape; not a number where too few are left to say.
        best_rows: how many rows count as the true best.
        chance: probability of a draw from the whole space, drawn dotted.

    Raises:
        ValueError: shapes that differ or have no step, or numbers outside.
    """
    p = np.atleast_2d(np.asarray(probability, dtype=float))
    t = np.atleast_2d(np.asarray(tau, dtype=float))
    if p.ndim != 2 or p.shape != t.shape or p.size == 0:
        raise ValueError(
            f"probability of shape {np.shape(probability)} and tau of shape "
            f"{np.shape(tau)} must both be (steps,) or (runs, steps)"
        )
    f = np.full(p.shape, np.nan) if fresh is None else np.atleast_2d(np.asarray(fresh))
    if f.shape != p.shape:
        raise ValueError(f"fresh of shape {f.shape} must be {p.shape}")
    for argument, share in (("probability", p), ("fresh", f)):
        unknown = np.isnan(share) & (argument == "fresh")
        if not (unknown | (share >= 0) & (share <= 1)).all():
            raise ValueError(f"{argument} must lie between 0 and 1")
    if not (np.isnan(t) | (abs(t) <= 1)).all():
        raise ValueError("tau must lie between -1 and 1")
    figure, axes = new_figure(1, 2, height=2.9)
    x = np.arange(p.shape[1])
    titles = f"draw is in the true top {best_rows}", f"tau in the true top {best_rows}"
    words = "probability", "Kendall’s tau"
    for axis, runs, title, label, colour, mark in zip(
        axes.flat, (p, t), titles, words, SERIES[:2], "os", strict=True
    ):
        if len(runs) > 1:
            axis.plot(x, runs.T, color=colour, lw=0.7, alpha=0.4, zorder=2)
        axis.plot(
            x, _known_mean(runs), color=colour, marker=mark, ms=6, mec="white", mew=0.8,
            zorder=3,
        )  # fmt: skip
        axis.set_title(title, loc="center", weight="normal", fontsize=9.5)
        axis.set(xlabel="step", ylabel=label)
        axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axis.grid(axis="y")
    left, right = axes.flat
    if fresh is not None:
        left.plot(
            x, _known_mean(f), color=SERIES[2], marker="^", ms=6.5, mec="white",
            mew=0.8, ls=(0, (4, 1.5)), zorder=3,
        )  # fmt: skip
        lines = [line for line in left.lines if line.get_marker() in ("o", "^")]
        legend_above(figure, lines, ["whole top set", "its rows not yet asked"])
    left.set_ylim(0, 1.03 * max(float(p.max()), float(np.nan_to_num(f).max()),
                                chance or 0, 1e-9))  # fmt: skip
    right.axhline(0, color=LINE, lw=1, zorder=1)
    if chance is not None:
        left.axhline(chance, color=MUTED, lw=1, ls=":")
        left.text(
            0.985, chance, "whole space", transform=left.get_yaxis_transform(),
            ha="right", va="bottom", fontsize=9, color=MUTED,
        )  # fmt: skip
    return figure


def _known_mean(runs: NDArray) -> NDArray:
    """Return the mean over runs, of what is a number; not a number if nothing is."""
    known = ~np.isnan(runs)
    counts = known.sum(0)
    mean = np.where(known, runs, 0).sum(0) / np.maximum(counts, 1)
    return np.where(counts > 0, mean, np.nan)


VERDICTS = {
    "supported": (SERIES[0], "o", "fewer queries"),
    "inconclusive": (MUTED, "D", "inconclusive"),
    "not supported": (SERIES[1], "s", "more queries"),
}
"""Colour, mark and word of each verdict on "fewer queries than the rival"."""


@in_house_style
def query_differences(
    panels: Mapping[str, Mapping[str, tuple[float, float, float, str]]],
    *,
    xlabel: str = "queries of WeakNAS minus the rival’s",
) -> Figure:
    """Draw how many queries fewer or more than its rivals a search needs, by table.

    Args:
        panels: table -> rival (of `LOOKS`, or any words) -> mean, low and high of the
            difference and its verdict, a key of `VERDICTS`; the same rivals in each.
        xlabel: what the difference is.

    Raises:
        ValueError: no table or rival, rivals that differ, an interval without its
            mean, or an unknown verdict.
    """
    rivals = [list(rows) for rows in panels.values()]
    if not rivals or not rivals[0] or any(some != rivals[0] for some in rivals):
        raise ValueError(
            f"panels has the rivals {rivals}; each table must have the same ones"
        )
    for table, rows in panels.items():
        for name, (mean, low, high, verdict) in rows.items():
            if not low <= mean <= high or verdict not in VERDICTS:
                raise ValueError(
                    f"panels[{table!r}][{name!r}]: {mean} in [{low}, {high}], "
                    f"{verdict!r}; needed are low <= mean <= high and one of "
                    f"{list(VERDICTS)}"
                )
    figure, axes = new_figure(1, len(panels), height=1.15 + 0.32 * len(rivals[0]))
    ends = [end for rows in panels.values() for _, *two, _ in rows.values()
            for end in two]  # fmt: skip
    room = 0.05 * (max(*ends, 0) - min(*ends, 0))
    for axis, (table, rows) in zip(axes.flat, panels.items(), strict=True):
        for y, (mean, low, high, verdict) in enumerate(rows.values()):
            colour, mark, _ = VERDICTS[verdict]
            axis.plot([low, high], [y, y], color=colour, lw=2.2, zorder=3)
            axis.plot(mean, y, mark, color=colour, ms=7, mec="white", mew=0.8, zorder=4)
        axis.axvline(0, color=INK, lw=1, zorder=1)
        axis.set_title(table, loc="center", weight="normal", fontsize=9.5)
        axis.set_xlim(min(*ends, 0) - room, max(*ends, 0) + room)
        axis.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        axis.set_ylim(len(rows) - 0.5, -0.5)
        names = [in_words(name) for name in rows] if axis is axes[0, 0] else []
        axis.set_yticks(range(len(rows)) if names else [], names)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="x")
    figure.supxlabel(xlabel, fontsize=10)
    keys = [
        Line2D([], [], color=colour, marker=mark, ms=7, mec="white", lw=2.2)
        for colour, mark, _ in VERDICTS.values()
    ]
    legend_above(figure, keys, [word for *_, word in VERDICTS.values()])
    return figure


@in_house_style
def ruggedness_bars(tables: Mapping[str, tuple[int, int, float, str]]) -> Figure:
    """Draw for several tables how many starts lead up to the best row, and who wins.

    The bar's colour and the word at its end name the search that needs fewest queries;
    the number of local optima stands below the table's name.

    Args:
        tables: name -> local optima, rows, basin share (0 to 1), winner: one of `LOOKS`
            or any words.

    Raises:
        ValueError: no table, a share outside, or optima that are not 1 to rows.
    """
    if not tables:
        raise ValueError("tables={} must hold at least one table")
    for name, (optima, rows, share, _) in tables.items():
        if not 0 <= share <= 1 or not 1 <= optima <= rows:
            raise ValueError(
                f"tables[{name!r}]: {optima} local optima of {rows} rows and a basin "
                f"share of {share}; allowed are 1 to rows, and 0 to 1"
            )
    winners = list(dict.fromkeys(winner for *_, winner in tables.values()))
    looks = dict(zip(winners, _looks(winners), strict=True))
    figure, axes = new_figure(height=0.75 + 0.52 * len(tables))
    axis = axes[0, 0]
    for k, (_, _, share, winner) in enumerate(tables.values()):
        one = looks[winner]
        axis.barh(k, 100 * share, height=0.6, color=one.colour, ec="white", lw=0.6)
        axis.text(
            100 * share + 1.5, k, f"{100 * share:.0f} %: {one.words}", va="center",
            weight="bold", fontsize=9.5,
        ).set_in_layout(False)  # fmt: skip
    names = [
        f"{name}\n{optima:,} optima of {rows:,}"
        for name, (optima, rows, *_) in tables.items()
    ]
    axis.set_yticks(range(len(tables)), names)
    axis.tick_params(axis="y", length=0)
    axis.invert_yaxis()
    axis.set_xticks(range(0, 101, 25))
    axis.set_xlabel("starts from which steepest ascent ends in the best row (%)")
    axis.xaxis.label.set_horizontalalignment("right")
    axis.xaxis.label.set_x(1)
    figure.draw_without_rendering()
    wide = axis.get_window_extent().width
    ends = [
        text.get_position()[0] / (1 - min(text.get_window_extent().width / wide, 0.9))
        for text in axis.texts
    ]
    axis.set_xlim(0, max(105, *ends))  # so wide that the words fit behind their bars
    return figure


# --- the network that was found -----------------------------------------------------


def _by_stage(given: Sequence[Any], depths: Sequence[int], what: str) -> list[list]:
    """Return the choices of five stages, from 20 in a row or from five lists."""
    stages = [
        given[4 * s : 4 * s + 4] if len(given) == 20 else given[s]
        for s in range(5)
        if len(given) in (5, 20)
    ]
    lists = [list(np.atleast_1d(np.asarray(stage))) for stage in stages]
    allowed = {"kernels": {3, 5, 7}, "expands": {3, 4, 6}}[what]
    if len(lists) != 5 or any(
        not depth <= len(stage) <= 4 or set(map(int, stage)) - allowed
        for stage, depth in zip(lists, depths, strict=False)
    ):
        raise ValueError(
            f"{what}={given} must be 20 numbers, or a list for each of 5 stages with "
            f"at least its depth, out of {sorted(allowed)}"
        )
    return [[int(choice) for choice in stage] for stage in lists]


@in_house_style
def ofa_diagram(
    kernels: Sequence[Any],
    expands: Sequence[Any],
    depths: Sequence[int],
    *,
    widths: Sequence[int] = (32, 48, 96, 136, 192),
) -> Figure:
    """Draw a network of the MobileNet space: a row a stage, a box a block.

    A box is as wide as the side of its kernel, and the darker the more it expands; an
    empty place is a block that the stage leaves out.

    Args:
        kernels: 3, 5 or 7 for each block: 20 numbers as in the code (four a stage), or
            five lists, one a stage.
        expands: 3, 4 or 6 for each block, in the same form.
        depths: 2, 3 or 4 blocks for each of the five stages.
        widths: channels of the stages.

    Raises:
        ValueError: a wrong number of choices, or one that is not allowed.
    """
    depths = [int(depth) for depth in depths]
    if len(depths) != 5 or set(depths) - {2, 3, 4} or len(widths) != 5:
        raise ValueError(
            f"depths={list(depths)} must be five numbers out of (2, 3, 4), and "
            f"widths={list(widths)} five numbers"
        )
    k, e = (
        _by_stage(given, depths, what)
        for given, what in ((kernels, "kernels"), (expands, "expands"))
    )
    shades = {3: SEQUENTIAL[1], 4: SEQUENTIAL[2], 6: SEQUENTIAL[3]}
    figure, axes = new_figure(height=3.5)
    axis = axes[0, 0]
    axis.set_axis_off()
    for stage in range(5):
        axis.text(
            -0.25, stage, f"stage {stage + 1}\n{widths[stage]} channels", ha="right",
            va="center", fontsize=9, linespacing=1.25,
        )  # fmt: skip
        axis.plot([-0.1, 4 * 1.9], [stage, stage], color=LINE, lw=1.2, zorder=1)
        for block in range(4):
            middle = 1.9 * block + 0.92
            if block >= depths[stage]:
                axis.add_patch(
                    Rectangle(
                        (middle - 0.36, stage - 0.3), 0.72, 0.6, fc=SURFACE, ec=MUTED,
                        ls=(0, (2, 2)), lw=0.9, zorder=2,
                    )
                )  # fmt: skip
                continue
            side, expand = k[stage][block], e[stage][block]
            wide = {3: 1.22, 5: 1.48, 7: 1.74}[side]
            fill = shades[expand]
            axis.add_patch(
                Rectangle(
                    (middle - wide / 2, stage - 0.36), wide, 0.72, fc=fill, ec=INK,
                    lw=0.8, zorder=2,
                )
            )  # fmt: skip
            axis.text(
                middle, stage, f"{side}×{side}\nexpand {expand}", ha="center",
                va="center", fontsize=9, color=text_on(fill), linespacing=1.25,
            )  # fmt: skip
    axis.set(xlim=(-1.75, 7.7), ylim=(4.5, -0.5))
    keys = [
        Rectangle((0, 0), 1, 1, fc=fill, ec=INK, lw=0.8) for fill in shades.values()
    ]
    keys.append(Rectangle((0, 0), 1, 1, fc=SURFACE, ec=MUTED, ls=(0, (2, 2))))
    labels = [*(f"expands {expand}×" for expand in shades), "left out"]
    legend_above(figure, keys, labels)
    return figure


def genotype_diagram(cells: Mapping[str, Sequence[tuple[str, int]]]) -> Figure:
    """Draw cells of the NASNet space: a row a node, a box for each of its two inputs.

    Nodes 0 and 1 are the outputs of the two cells before. A box names an operation and
    the node that it reads; its shade is its kind.

    Args:
        cells: name -> operation and node it reads, two for each node from 2 on.

    Raises:
        ValueError: for no cell, an odd number of operations, or a node that reads a
            later one.
    """
    for name, edges in cells.items():
        reads = [source for _, source in edges]
        if not reads or len(reads) % 2:
            raise ValueError(f"{name}: {len(reads)} operations; two a node are needed")
        if any(not 0 <= source < 2 + i // 2 for i, source in enumerate(reads)):
            raise ValueError(f"{name}: a node must read earlier nodes, not {reads}")
    if not cells:
        raise ValueError("cells: none given; one is needed")
    kinds = ("skip", "pool", "dil", "sep")
    shades = dict(zip(kinds, (SURFACE, *SEQUENTIAL[1:4]), strict=True))
    words = ("copies", "pools", "dilated filter", "separable filter, twice")
    rows = max(len(edges) // 2 for edges in cells.values())
    figure, axes = new_figure(columns=len(cells), height=0.75 + 0.62 * rows)
    for axis, (title, edges) in zip(axes[0], cells.items(), strict=True):
        axis.set_axis_off()
        axis.set_title(title)
        for i, (name, source) in enumerate(edges):
            row, column = divmod(i, 2)
            kind = next(kind for kind in kinds if kind in name)
            size = name.rpartition("_")[2].replace("x", "×")
            does = f"{kind} {size}" if "×" in size else kind
            axis.add_patch(
                Rectangle(
                    (column + 0.1, row - 0.36), 0.8, 0.72, fc=shades[kind], ec=INK,
                    lw=0.8,
                )
            )  # fmt: skip
            axis.text(
                column + 0.5, row, f"{does}\nof node {source}", ha="center",
                va="center", fontsize=9, color=text_on(shades[kind]), linespacing=1.25,
            )  # fmt: skip
            if column:
                axis.text(-0.08, row, f"node {row + 2} =", ha="right", va="center")
                axis.text(1, row, "+", ha="center", va="center")
        axis.set(xlim=(-0.75, 2.05), ylim=(rows - 0.5, -0.5))
    used = {
        kind
        for edges in cells.values()
        for n, _ in edges
        for kind in kinds
        if kind in n
    }
    keys = [
        (Rectangle((0, 0), 1, 1, fc=shades[kind], ec=INK, lw=0.8), word)
        for kind, word in zip(kinds, words, strict=True)
        if kind in used
    ]
    legend_above(figure, [k for k, _ in keys], [w for _, w in keys])
    return figure


# --- the widget ---------------------------------------------------------------------

# As all handlers: `this` is the figure, `i` the step, no double quotes. The places of
# the points stand once in the page, in the outline of the grey dots.
_SHOW_TARGET = (
    "const d=JSON.parse(this.dataset.target),q=s=>this.querySelector(s),"
    "m=+q('[type=radio]:checked').value,"
    "at=q('.pb-all').getAttribute('d').split('M').slice(1),"
    "put=(c,v)=>q('.pb-'+c).setAttribute('d',v.map(j=>'M'+at[j]).join('')),"
    "asked=d.asked[m].slice(0,i+1).flat(),top=d.top[m][i],good=new Set(d.good),"
    "tone=j=>good.has(j)?2:d.acc[j]>=d.mid?1:0;"
    "['low','mid','good'].forEach((c,k)=>put(c,asked.filter(j=>tone(j)===k)));"
    "put('ring',top);put('gap',top);"
    "let say=d.names[m]+d.say[0]"
    ".replace('{k}',i).replace('{a}',asked.length)"
    ".replace('{b}',(Math.max(...asked.map(j=>d.acc[j]))/10).toFixed(1));"
    "if(top.length)say+=d.say[1].replace('{N}',top.length)"
    ".replace('{h}',top.filter(j=>good.has(j)).length);"
    "say+='.'+(asked.includes(d.best)?d.say[2]:'');"
    "q('.pb-note').textContent=say;q('.pb-map').setAttribute('aria-label',say);"
)
_TARGET_STYLE = (
    ".pb-player .pb-methods{display:block;min-width:0;margin:0 0 .3rem;padding:0;"
    "border:0}"
    ".pb-player .pb-methods legend{float:none;width:auto;margin:0;padding:0;"
    "font-size:1em;font-weight:600;color:$ink}"
    ".pb-player .pb-methods label{display:inline-flex;align-items:center;gap:.4rem;"
    "min-height:2.25rem;margin:0 1.1rem 0 0;color:$ink;cursor:pointer}"
    ".pb-player .pb-methods input{width:1.1rem;height:1.1rem;margin:0;"
    "accent-color:$accent}"
    ".pb-player .pb-map{display:block;width:100%;height:auto}"
    ".pb-player .pb-map path{fill:none;stroke-linecap:round;stroke-width:13}"
    ".pb-player .pb-map .pb-all{stroke:$muted;stroke-opacity:.38;stroke-width:11}"
    ".pb-player .pb-map .pb-ring{stroke:$ring;stroke-width:28}"
    ".pb-player .pb-map .pb-gap{stroke:$surface;stroke-width:20}"
    ".pb-player .pb-map .pb-low,.pb-player .pb-low{stroke:$low;color:$low}"
    ".pb-player .pb-map .pb-mid,.pb-player .pb-mid{stroke:$mid;color:$mid}"
    ".pb-player .pb-map .pb-good,.pb-player .pb-good{stroke:$good;color:$good}"
    ".pb-player .pb-map .pb-best{fill:$star;stroke:$ink;stroke-width:3;"
    "stroke-linejoin:round}"
    ".pb-player .pb-keys{margin:.3rem 0 0;font-size:.85em;color:$muted}"
    ".pb-player .pb-keys span{white-space:nowrap;margin-right:.9em}"
    ".pb-player .pb-keys b{font-weight:700;margin-right:.15em}"
    ".pb-player .pb-target-note{min-height:4.8em}"
    "@media print{.pb-player .pb-methods{display:none}}"
)
_TONES = {"low": SERIES[5], "mid": SERIES[0], "good": SEQUENTIAL[4]}


def _dots(places: NDArray, rows: Sequence[int] | NDArray) -> str:
    """Return the outline of a dot at the place of each row."""
    return "".join(f"M{places[j, 0]} {places[j, 1]}h0" for j in rows)


def _star(x: float, y: float, size: float) -> str:
    turns = math.pi * (np.arange(10) / 5 - 0.5)
    radius = np.where(np.arange(10) % 2, 0.42 * size, size)
    corners = zip(x + radius * np.cos(turns), y + radius * np.sin(turns), strict=True)
    return "M" + "L".join(f"{a:.0f} {b:.0f}" for a, b in corners) + "z"


class TargetPlayer(Widget):
    """A map of a space on which a search draws its circle closer, step by step.

    Radio buttons choose the search, a slider the step. Grey is not asked, filled is
    asked (the darker the better), a ring is predicted to be in the top set, the star is
    the best row. A sentence says how far the search has come. Without JavaScript the
    state at the start stands, by default the last step.

    Args:
        points: (n, 2), where the rows lie, any range; see `plane`.
        accuracy: (n,), in percent.
        methods: at least two searches, name -> the rows asked so far and the predicted
            top set (may be empty) for each step from 0, the same number of steps in
            each, at least two. Rows once asked stay asked.
        best_rows: how many rows count as the true best.
        method: the search shown at first; the last when left out.
        start: the step shown at first; the last when left out.
        label: what the widget shows.
        caption: the caption of the whole figure.
        name: the figure's anchor in the page.

    Raises:
        ValueError: shapes that do not match, accuracies outside 0 to 100 or all below
            1 (they must be in percent), rows that do not exist or are asked no longer,
            numbers of steps that differ, or an unknown method.
    """

    _update = _SHOW_TARGET
    _size = (1000, 640)

    def __init__(
        self,
        points: ArrayLike,
        accuracy: ArrayLike,
        methods: Mapping[str, Steps],
        *,
        best_rows: int = GOOD_ROWS,
        method: str | None = None,
        start: int | None = None,
        label: str = "How a search closes in on the best row",
        caption: str | None = None,
        name: str | None = None,
    ) -> None:
        at = np.asarray(points, dtype=float)
        if at.ndim != 2 or at.shape[1] != 2 or not np.isfinite(at).all():
            raise ValueError(f"points of shape {at.shape} must be finite and (n, 2)")
        n = len(at)
        values = _accuracies(accuracy, n)
        if not (values.min() >= 0 and 1 < values.max() <= 100):
            raise ValueError(
                f"accuracy from {values.min():.3g} to {values.max():.3g} must be in "
                "percent, 0 to 100"
            )
        if not 1 <= best_rows <= n:
            raise ValueError(f"best_rows={best_rows} must be 1 to {n}")
        lengths = {len(steps) for steps in methods.values()}
        if len(methods) < 2 or len(lengths) != 1:
            raise ValueError(
                f"methods has {len(methods)} searches of {sorted(lengths)} steps; it "
                "must have two or more with the same number of steps"
            )
        if method is not None and method not in methods:
            raise ValueError(f"method={method!r} must be one of {list(methods)}")
        steps = lengths.pop()
        last = steps - 1 if start is None else start
        super().__init__(
            {"Step": range(steps)},
            start=(last,), label=label, caption=caption, name=name,
        )  # fmt: skip
        self.names = [self._title(key) for key in methods]
        self.chosen = (
            len(methods) - 1 if method is None else list(methods).index(method)
        )
        self.best_rows = best_rows
        # Accuracies in tenths of a percent; the order is that of the exact ones.
        self.tenths = np.floor(10 * values + 0.5).astype(int)
        self.good = np.argsort(-values, kind="stable")[:best_rows]
        low, span = at.min(0), np.maximum(np.ptp(at, axis=0), 1e-12)
        room = np.array(self._size) - 50
        unit = (at - low) / span * [1, -1] + [0, 1]  # y points down on a screen
        self.places = (25 + unit * room).round().astype(int)
        self.fresh: list[list[list[int]]] = []
        self.top: list[list[list[int]]] = []
        for key, some in methods.items():
            fresh, top = self._steps(key, some, n)
            self.fresh.append(fresh)
            self.top.append(top)

    @staticmethod
    def _title(key: str) -> str:
        words = in_words(key)
        return words[:1].upper() + words[1:]

    @staticmethod
    def _steps(key: str, some: Steps, n: int) -> tuple[list, list]:
        """Return for each step the rows that are new, and the top set."""
        known: set[int] = set()
        fresh, tops = [], []
        for k, (asked, top) in enumerate(some):
            where = f"methods[{key!r}], step {k}"
            now = _rows(asked, n, f"{where}: the rows asked").tolist()
            if not known <= set(now) or not now:
                raise ValueError(
                    f"{where}: {len(now)} rows asked; at least one, "
                    "and all of the step before, are needed"
                )
            fresh.append([row for row in now if row not in known])
            known |= set(now)
            tops.append(_rows(top, n, f"{where}: the top set"))
        return fresh, [top.tolist() for top in tops]

    def _asked(self, method: int, step: int) -> list[int]:
        return [row for some in self.fresh[method][: step + 1] for row in some]

    def _says(self) -> list[str]:
        return [
            f", step {{k}}: asked {{a}} of {len(self.tenths)}, best so far {{b}} %",
            f", predicted top {{N}} holds {{h}} of the true top {self.best_rows}",
            " The best row has been found.",
        ]

    def sentence(self, method: int, step: int) -> str:
        """Say in words what this search, counted from 0, has reached at this step."""
        asked, top = self._asked(method, step), self.top[method][step]
        first, second, found = self._says()
        say = self.names[method] + first.format(
            k=step, a=len(asked), b=f"{max(self.tenths[asked]) / 10:.1f}"
        )
        if top:
            held = len(set(top) & set(self.good.tolist()))
            say += second.format(N=len(top), h=held)
        return say + "." + (found if self.good[0] in asked else "")

    def _data(self) -> str:
        data = {
            "acc": self.tenths.tolist(), "mid": int(np.median(self.tenths)),
            "good": self.good.tolist(), "best": int(self.good[0]),
            "names": self.names, "say": self._says(), "asked": self.fresh,
            "top": self.top,
        }  # fmt: skip
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        return f' data-target="{escape(text)}"'

    def _buttons(self) -> str:
        play = _PLAY.format(interval=900)
        return f'<button type="button" class="pb-play" onclick="{play}">Play</button>'

    def _radios(self) -> str:
        # Two widgets of a page must not share a group of buttons.
        group = f"pb-{zlib.crc32((self._data() + (self.name or '')).encode()):x}"
        return "".join(
            f'<label><input type="radio" name="{group}" value="{k}" autocomplete="off"'
            f"{' checked' if k == self.chosen else ''}>{escape(words)}</label>"
            for k, words in enumerate(self.names)
        )

    def _body(self) -> str:
        (step,) = self.start
        asked, top = self._asked(self.chosen, step), self.top[self.chosen][step]
        good, mid = set(self.good.tolist()), np.median(self.tenths)
        tones = [2 if j in good else int(self.tenths[j] >= int(mid)) for j in asked]
        layers = [("ring", top), ("gap", top), ("all", range(len(self.tenths)))]
        layers += [
            (tone, [j for j, t in zip(asked, tones, strict=True) if t == k])
            for k, tone in enumerate(_TONES)
        ]
        paths = "".join(
            f'<path class="pb-{kind}" d="{_dots(self.places, rows)}"></path>'
            for kind, rows in layers
        )
        style = Template(_TARGET_STYLE).substitute(
            PALETTE["light"], ring=RING, star=STAR, **_TONES
        )
        say = escape(self.sentence(self.chosen, step))
        wide, tall = self._size
        x, y = self.places[self.good[0]]
        best = _star(x, y, 21)
        return (
            f"<style>{style}</style>"
            f'<fieldset class="pb-methods"><legend>Search</legend>{self._radios()}'
            f'</fieldset><svg class="pb-map" viewBox="0 0 {wide} {tall}" role="img" '
            f'aria-label="{say}">{paths}<path class="pb-best" d="{best}"></path></svg>'
            f'<p class="pb-note pb-target-note" aria-live="polite">{say}</p>'
            f'<p class="pb-keys">{self._keys()}</p>'
        )

    def _keys(self) -> str:
        keys = [
            ("#b9bdc3", "●", "not asked"), (_TONES["low"], "●", "asked, lower half"),
            (_TONES["mid"], "●", "asked, upper half"),
            (_TONES["good"], "●", f"asked, true top {self.best_rows}"),
            (RING, "◯", "predicted top"), (STAR, "★", "best row"),
        ]  # fmt: skip
        return " ".join(
            f'<span><b style="color:{colour}" aria-hidden="true">{mark}</b> {words}'
            "</span>"
            for colour, mark, words in keys
        )

    def _repr_html_(self) -> str:
        # The handlers that all players share look for sliders among all inputs.
        return super()._repr_html_().replace("('input')", "('[type=range]')")


def shrinking_target(
    points: ArrayLike,
    accuracy: ArrayLike,
    methods: Mapping[str, Steps],
    *,
    best_rows: int = GOOD_ROWS,
    method: str | None = None,
    start: int | None = None,
    caption: str | None = None,
    name: str | None = None,
) -> TargetPlayer:
    """Return the widget "the shrinking target"; see `TargetPlayer`.

    Args:
        points: (n, 2), from `plane`.
        accuracy: (n,), in percent.
        methods: search -> one pair for each step from 0: the rows asked so far, and the
            rows of the predicted top set (empty where there is none).
        best_rows: how many rows count as the true best.
        method: the search shown at first; the last when left out.
        start: the step shown at first; the last when left out.
        caption: the caption of the figure.
        name: its anchor.
    """
    return TargetPlayer(
        points, accuracy, methods, best_rows=best_rows, method=method, start=start,
        caption=caption, name=name,
    )  # fmt: skip
