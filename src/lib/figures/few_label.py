"""The figures and widgets of the chapter on few-label transfer.

Everything arrives as numbers and arrays, so nothing here knows an encoder or a rule.
Results arrive as `claims.json` keeps them: seed -> {"arms": {arm: {metric: number}}}.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from html import escape
from string import Template
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from lib.figures.cswin import Look
from lib.figures.live import live
from lib.figures.palette import PALETTE, SERIES, contrast
from lib.figures.player import Player, Widget
from lib.figures.plots import (
    INK,
    LINE,
    MUTED,
    as_picture,
    bare,
    legend_above,
    new_figure,
)
from lib.figures.style import WIDTH, in_house_style
from lib.metrics.intervals import Interval, paired_difference, t_interval

Arms = Mapping[str, Mapping[str, float]]
Seeds = Mapping[Any, Mapping[str, Arms]]
"""Seed -> {"arms": {arm: {metric: number}}}, `data[label]["seeds"]` of claims.json."""

Sheet = tuple[Sequence[ArrayLike], ArrayLike, Sequence[str]]
"""Pictures, their labels and the names of the classes."""

SURFACE = PALETTE["light"]["surface"]
LABELS = (1, 2, 4, 8)
MOST_DOTS = 400  # of a frame: a player holds many frames

LOOKS: dict[str, Look] = {
    "random": Look("random weights", SERIES[6], "X", (0, (1, 1.4))),
    "supervised": Look("supervised source", SERIES[1], "s"),
    "source": Look("MoCo source", SERIES[5], "v"),
    "target": Look("MoCo target", SERIES[4], "D"),
    "tup": Look("TUP", SERIES[0], "o"),
    "sequential": Look("source, then both", SERIES[2], "^", (0, (4, 1.5))),
    "supervised_tup": Look("supervised, then TUP", SERIES[3], "P"),
}
"""What a pretraining is called, and how it looks in every figure."""

RULE_WORDS: dict[str, str] = {
    "random": "random",
    "balanced": "balanced (oracle)",
    "kmeans": "k-means",
    "ackmeans": "anchored k-means",
    "kcentre": "k-centre",
    "typiclust": "TypiClust",
    "probcover": "ProbCover",
    "usl": "USL",
    "progressive": "loop",
    "at_random": "random",
    "at_once": "k-means at once",
}
"""What a rule that chooses pictures is called; the last three fine-tune."""

_METRICS = {
    "probe": "probe accuracy",
    "mean": "nearest-mean accuracy",
    "finetune": "fine-tuned accuracy",
    "classes": "share of classes met",
    "nmi": "NMI",
    "ari": "ARI",
    "purity": "purity",
    "knn": "k-NN accuracy",
    "silhouette": "silhouette",
}


def in_words(name: str) -> str:
    """Return what a pretraining, a rule or "pretraining/rule" is called in figures."""
    encoder, slash, rule = name.partition("/")
    words = LOOKS[encoder].words if encoder in LOOKS else encoder
    return f"{words}, {RULE_WORDS.get(rule, rule)}" if slash else words


def metric_in_words(metric: str) -> str:
    """Return what a metric such as "probe_1" or "nmi" is called in figures."""
    kind, _, k = metric.partition("_")
    words = _METRICS.get(kind, kind)
    if not k:
        return f"{words}, mean of 1 to 8 labels" if kind == "probe" else words
    return f"{words}, {k} label{'' if k == '1' else 's'} a class"


def _looks(names: Sequence[str]) -> dict[str, Look]:
    """Return a look for each arm; those not in `LOOKS` take what colours are left."""
    taken = {LOOKS[name].colour for name in names if name in LOOKS}
    marks = {LOOKS[name].mark for name in names if name in LOOKS}
    free = [colour for colour in SERIES if colour not in taken]
    left = [mark for mark in "osD^vPX" if mark not in marks]
    others = [name for name in names if name not in LOOKS]
    if not names or len(set(names)) < len(names) or len(others) > len(free):
        raise ValueError(
            f"arms={list(names)} must be 1 to {len(SERIES)} different names"
        )
    fresh = dict(zip(others, zip(free, left, strict=False), strict=False))
    return {
        name: LOOKS[name] if name in LOOKS else Look(in_words(name), *fresh[name])
        for name in names
    }


def _on_white(colour: str) -> str:
    """Return a colour for words: the same where it is legible, else ink."""
    return colour if contrast(colour, SURFACE) >= 4.5 else INK


def values_of(seeds: Seeds, arm: str, metric: str) -> list[float]:
    """Return one number a seed.

    Raises:
        ValueError: no seed, or one that lacks the arm or the metric.
    """
    if not seeds:
        raise ValueError("seeds={} must hold at least one seed")
    found = []
    for seed, result in seeds.items():
        arms = result["arms"]
        if arm not in arms or metric not in arms[arm]:
            known = sorted(arms[arm]) if arm in arms else sorted(arms)
            raise ValueError(f"seed {seed} has no {arm!r} {metric!r}; it has {known}")
        found.append(float(arms[arm][metric]))
    return found


def _labels(labels: ArrayLike, n: int) -> NDArray[np.int64]:
    given = np.asarray(labels)
    if given.shape != (n,) or given.dtype.kind not in "iu" or (n and given.min() < 0):
        raise ValueError(
            f"labels of shape {given.shape} must be whole numbers from 0, one for each "
            f"of the {n} rows"
        )
    return given.astype(np.int64)


# --- pictures -----------------------------------------------------------------------


def _mosaic(rows: Sequence[Sequence[NDArray]], gap: int = 2) -> NDArray:
    """Return pictures (H, W, 3) of one size side by side, with white between them."""
    tall, wide = rows[0][0].shape[:2]
    columns = max(map(len, rows))
    page = np.ones(
        (len(rows) * (tall + gap) - gap, columns * (wide + gap) - gap, 3), dtype=float
    )
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            y, x = i * (tall + gap), j * (wide + gap)
            page[y : y + tall, x : x + wide] = picture
    return page


def _coloured(image: ArrayLike) -> NDArray:
    picture = as_picture(image)
    return np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture


def _class_rows(
    images: Sequence[ArrayLike], labels: ArrayLike, names: Sequence[str], per_class: int
) -> list[list[NDArray]]:
    """Return the first pictures of each class, a list a class."""
    y = _labels(labels, len(images))
    if per_class < 1:
        raise ValueError(f"per_class={per_class} must be 1 or more")
    counts = np.bincount(y, minlength=len(names))
    if len(names) == 0 or len(counts) > len(names) or counts.min() < per_class:
        raise ValueError(
            f"labels hold {counts.tolist()} pictures of each class; {len(names)} names "
            f"need {per_class} or more of each"
        )
    return [
        [_coloured(images[i]) for i in np.flatnonzero(y == c)[:per_class]]
        for c in range(len(names))
    ]


def _draw_sheet(axis: Axes, rows: Sequence[Sequence[NDArray]], names: Any) -> None:
    tall = rows[0][0].shape[0]
    axis.imshow(_mosaic(rows))
    axis.set_axis_on()
    bare(axis)
    axis.spines[:].set_visible(False)
    axis.set_yticks([(tall + 2) * i + tall / 2 for i in range(len(rows))], names)
    axis.tick_params(axis="y", length=0, labelsize=9)


def _cell(columns: int, room: float) -> float:
    """Return the height of one row of pictures in inches."""
    return min(0.46, room / columns)


@in_house_style
def sheet(
    images: Sequence[ArrayLike],
    labels: ArrayLike,
    names: Sequence[str],
    per_class: int = 8,
) -> Figure:
    """Draw a contact sheet: a row a class, its first pictures side by side.

    Args:
        images: n pictures of one size, see `lib.figures.plots.as_picture`.
        labels: (n,) classes from 0.
        names: of the classes.
        per_class: pictures in a row, 1 or more.

    Raises:
        ValueError: labels that do not match, or a class with too few pictures.
    """
    rows = _class_rows(images, labels, names, per_class)
    tall = len(rows) * _cell(per_class, WIDTH - 1.4) + 0.1
    figure, axes = new_figure(height=tall)
    _draw_sheet(axes[0, 0], rows, names)
    return figure


@in_house_style
def two_sheets(
    source: Sheet,
    target: Sheet,
    per_class: int = 2,
    *,
    titles: tuple[str, str] = ("source", "target"),
) -> Figure:
    """Draw the classes of two data sets side by side: a row a shape, textures beside.

    Args:
        source: pictures, labels, and names of the classes such as "disc, solid", every
            shape with every texture.
        target: the same of the other data set; its classes may be others.
        per_class: pictures of a class, 1 or more.
        titles: of the two sheets.

    Raises:
        ValueError: as `sheet`, or names that are no shapes and textures.
    """
    pages, words = [], []
    for images, labels, names in (source, target):
        rows = _class_rows(images, labels, names, per_class)
        shapes, textures = pairs = _parts_of(names)
        if len(names) != len(shapes) * len(textures):
            raise ValueError(
                f"names={list(names)} must pair each of {shapes} with each of "
                f"{textures}"
            )
        of = dict(zip(names, rows, strict=True))
        pages.append([[p for b in textures for p in of[f"{a}, {b}"]] for a in shapes])
        words.append(pairs)
    # As tall as each other: pictures of fewer rows are larger.
    ratios = [len(page[0]) / len(page) for page in pages]
    tall = (WIDTH - 1.6) / sum(ratios)
    figure = Figure(figsize=(WIDTH, tall + 0.6))
    axes = figure.subplots(1, 2, width_ratios=ratios)
    for axis, page, (shapes, textures), title in zip(
        axes, pages, words, titles, strict=True
    ):
        _draw_sheet(axis, page, shapes)
        step = page[0][0].shape[1] + 2
        at = [(k + 0.5) * per_class * step for k in range(len(textures))]
        axis.set_xticks(at, textures)
        axis.tick_params(axis="x", length=0, labelsize=9, labelbottom=False,
                         labeltop=True)  # fmt: skip
        axis.set_title(title, loc="center")
    return figure


@in_house_style
def view_pairs(
    images: Sequence[ArrayLike],
    first: Sequence[ArrayLike],
    second: Sequence[ArrayLike],
) -> Figure:
    """Draw pictures in a row, the two views of each below it.

    Args:
        images: 1 to 12 pictures of one size.
        first: one view of each, of the same size.
        second: another view of each.

    Raises:
        ValueError: no picture or too many, or numbers or sizes that differ.
    """
    rows = [[_coloured(image) for image in row] for row in (images, first, second)]
    shapes = {picture.shape for row in rows for picture in row}
    if not 1 <= len(images) <= 12 or len(set(map(len, rows))) > 1 or len(shapes) > 1:
        raise ValueError(
            f"images, first and second have {[len(row) for row in rows]} pictures of "
            f"shapes {sorted(shapes)}; they must be 1 to 12 each, of one shape"
        )
    height = 3 * min(0.8, (WIDTH - 0.8) / len(images)) + 0.1
    figure, axes = new_figure(height=height)
    _draw_sheet(axes[0, 0], rows, ["picture", "view 1", "view 2"])
    return figure


# --- training -----------------------------------------------------------------------


@in_house_style
def loss_curve(
    losses: ArrayLike | Mapping[str, ArrayLike],
    *,
    chance: float | None = None,
    window: int = 25,
    first: int = 0,
) -> Figure:
    """Draw the loss at each step, thin, and the mean of the steps around it, thick.

    Args:
        losses: (steps,), or pretraining -> (steps,); lengths may differ.
        chance: the loss of a guess, such as ln(K + 1), drawn dotted.
        window: steps of the mean, half of them before and half behind where it stands.
        first: so many steps are drawn in a panel of their own on the left, and the
            mean begins behind them; 0 for none.

    Raises:
        ValueError: no curve, one that is not finite or too short for the window, a
            window below 1, or `first` below 0.
    """
    curves = losses if isinstance(losses, Mapping) else {"loss": losses}
    looks = _looks(list(curves)) if len(curves) != 1 else {}
    if first < 0:
        raise ValueError(f"first={first} must be 0 or more")
    figure = Figure(figsize=(WIDTH, 3.2))
    ratios = [1, 2] if first else [1]
    axes = figure.subplots(
        1, len(ratios), width_ratios=ratios, sharey=True, squeeze=False
    )
    *early, axis = axes.flat
    for name, given in curves.items():
        loss = np.asarray(given, dtype=float)
        if (
            loss.ndim != 1
            or not 1 <= window <= len(loss) - first
            or not np.isfinite(loss).all()
        ):
            raise ValueError(
                f"losses {name!r} of shape {loss.shape} must be finite and (steps,), "
                f"with at least window={window} (1 or more) steps behind the first "
                f"{first}"
            )
        colour = looks[name].colour if looks else SERIES[0]
        steps = np.arange(1, len(loss) + 1)
        axis.plot(steps, loss, color=colour, lw=0.6, alpha=0.45)
        # Behind the first steps, which have a panel: a mean would blur their jump.
        mean = np.convolve(loss[first:], np.full(window, 1 / window), mode="valid")
        axis.plot(
            steps[first : first + len(mean)] + (window - 1) / 2, mean, color=colour,
            zorder=3, ls=looks[name].line if looks else "-",
        )  # fmt: skip
        for own in early:
            own.plot(steps[:first], loss[:first], color=colour, lw=1.2)
    for own in axes.flat:
        if chance is not None:
            own.axhline(chance, color=MUTED, lw=1, ls=":", zorder=1)
        own.grid(axis="y")
        own.set(xlabel="step", xlim=(0, None))
    for own in early:
        own.set(xlabel="the first steps", xlim=(0, first))
    axes.flat[0].set_ylabel("loss")
    _loss_legend(figure, looks, window, chance is not None)
    return figure


def _loss_legend(
    figure: Figure, looks: Mapping[str, Look], window: int, chance: bool
) -> None:
    """Say what the lines are: the colours, where there are several, and the kinds."""
    colour = MUTED if looks else SERIES[0]
    keys = [
        (Line2D([], [], color=look.colour, ls=look.line), look.words)
        for look in looks.values()
    ]
    keys += [
        (Line2D([], [], color=colour, lw=0.8, alpha=0.7), "each step"),
        (Line2D([], [], color=colour), f"mean of {window}"),
    ]
    if chance:
        keys.append((Line2D([], [], color=MUTED, lw=1, ls=":"), "chance"))
    legend_above(figure, *zip(*keys, strict=True))


def _chance(axis: Axes, level: float) -> None:
    axis.axhline(level, color=MUTED, lw=1, ls=":", zorder=1)
    axis.text(
        0.995, level, "chance", transform=axis.get_yaxis_transform(), ha="right",
        va="bottom", fontsize=9, color=MUTED,
    )  # fmt: skip


# --- clouds -------------------------------------------------------------------------


MARKS = "o^s"  # of dots too small for finer shapes


def class_looks(
    classes: int, names: Sequence[str] | None = None
) -> list[tuple[str, str]]:
    """Return a colour and a marker for each class, no two alike.

    Args:
        classes: 1 to 21.
        names: of the classes. Where they are shapes with textures, such as "disc,
            solid", up to seven of those and three of these, a shape has a colour and a
            texture a marker.

    Raises:
        ValueError: not 1 to 21 classes.
    """
    if not 1 <= classes <= len(MARKS) * len(SERIES):
        raise ValueError(
            f"classes={classes} must be 1 to {len(MARKS) * len(SERIES)}: each has a "
            "colour and a marker of its own"
        )
    if names is not None and _paired(names[:classes]):
        shapes, textures = _parts_of(names[:classes])
        pairs = (name.split(", ") for name in names[:classes])
        return [(SERIES[shapes.index(a)], MARKS[textures.index(b)]) for a, b in pairs]
    return [(SERIES[c % len(SERIES)], MARKS[c // len(SERIES)]) for c in range(classes)]


def _parts_of(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the shapes and the textures of names such as "disc, solid"."""
    pairs = [name.split(", ") for name in names]
    if any(len(pair) != 2 for pair in pairs) or len(set(names)) < len(names):
        raise ValueError(f"names={list(names)} must be different shapes and textures")
    shapes, textures = (list(dict.fromkeys(part)) for part in zip(*pairs, strict=True))
    return shapes, textures


def _paired(names: Sequence[str]) -> bool:
    """Return whether colours for shapes and markers for textures will do."""
    try:
        shapes, textures = _parts_of(names)
    except ValueError:
        return False
    return len(shapes) <= len(SERIES) and 1 < len(textures) <= len(MARKS)


def _pale(colour: str, strength: float) -> str:
    """Return a colour mixed with white; at strength 1 it stays."""
    channels = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 + strength * (c - 255)):02x}" for c in channels)


def _places(points: ArrayLike, argument: str) -> NDArray:
    at = np.asarray(points, dtype=float)
    if at.ndim != 2 or at.shape[1] != 2 or len(at) < 2 or not np.isfinite(at).all():
        raise ValueError(f"{argument} of shape {at.shape} must be finite and (n, 2)")
    return at


def _dots(
    axis: Axes, at: NDArray, y: NDArray, looks: Sequence[tuple[str, str]], **style: Any
) -> None:
    """Draw each row in the colour and marker of its class: one call a marker."""
    strength = style.pop("strength", 1.0)
    for mark in dict.fromkeys(mark for _, mark in looks):
        rows = [k for k, c in enumerate(y) if looks[c][1] == mark]
        if rows:
            colours = [_pale(looks[y[k]][0], strength) for k in rows]
            x, height = at[rows].T
            axis.scatter(x, height, c=colours, marker=mark, **style)


def _room(axis: Axes, at: NDArray, title: str, ratio: float = 1.0) -> None:
    """Show a cloud on one scale in a box `ratio` times as wide as tall."""
    low, high = at.min(0), at.max(0)
    wide, tall = (high - low) / 2
    tall = 1.08 * max(tall, wide / ratio, 1e-9)
    x, y = (low + high) / 2
    axis.set_aspect("equal")
    axis.set(xlim=(x - ratio * tall, x + ratio * tall), ylim=(y - tall, y + tall))
    bare(axis, title)


def _class_words(names: Sequence[str] | None, classes: int) -> list[str]:
    if names is not None and len(names) < classes:
        raise ValueError(f"names has {len(names)} entries for {classes} classes")
    return list(names or map(str, range(classes)))[:classes]


def _columns(words: Sequence[str]) -> int:
    """Return so many columns of a legend that its rows are full and fit the width."""
    if sum(map(len, words)) + 5 * len(words) <= 80:
        return len(words)
    most = max(1, min(len(words), 70 // (max(map(len, words)) + 6)))
    return -(-len(words) // -(-len(words) // most))


def _class_keys(words: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return words, colour and marker of each key: of classes, or of their parts."""
    if not _paired(words):
        looks = class_looks(len(words))
        return [(word, *look) for word, look in zip(words, looks, strict=True)]
    shapes, textures = _parts_of(words)
    keys = [(shape, SERIES[k], "s") for k, shape in enumerate(shapes)]
    return keys + [(texture, INK, MARKS[k]) for k, texture in enumerate(textures)]


def _class_legend(figure: Figure, words: Sequence[str]) -> None:
    keys = _class_keys(words)
    # A bar says a colour, as no dot of the cloud looks like it.
    handles = [
        Line2D([], [], color=colour, lw=5, solid_capstyle="butt")
        if mark == "s" and len(keys) != len(words)
        else Line2D([], [], ls="", color=colour, marker=mark, ms=5.5, mew=0)
        for _, colour, mark in keys
    ]
    said = [word for word, *_ in keys]
    figure.legend(
        handles, said, loc="outside upper left", ncols=_columns(said),
        handlelength=1.0, columnspacing=0.9, handletextpad=0.4, borderaxespad=0.0,
    )  # fmt: skip


def _panels(
    count: int, words: Sequence[str], argument: str
) -> tuple[Figure, list[Axes], str]:
    """Return a figure with so many square panels, and what parts words in a title.

    Args:
        count: of panels, 1 to 9, two or three a row.
        words: of the legend above them, for which there is room; none for no legend.
        argument: named when there are too many.
    """
    if not 1 <= count <= 9:
        raise ValueError(f"{argument} has {count} entries; allowed are 1 to 9")
    columns = count if count < 3 else 2 if count == 4 else 3
    rows = -(-count // columns)
    side = WIDTH / columns if columns > 1 else 3.4
    title = 0.42 if columns == 3 else 0.25
    said = [word for word, *_ in _class_keys(words)] if words else []
    legend = 0.21 * -(-len(said) // _columns(said)) if said else 0
    figure, axes = new_figure(rows, columns, height=rows * (side + title) + legend)
    if words:
        _class_legend(figure, words)
    for axis in axes.flat[count:]:
        axis.set_axis_off()
    return figure, list(axes.flat[:count]), "\n" if columns == 3 else ": "


@in_house_style
def clouds(
    points: Mapping[str, ArrayLike],
    labels: ArrayLike,
    *,
    nmi: Mapping[str, float] | None = None,
    names: Sequence[str] | None = None,
) -> Figure:
    """Draw 2-D embeddings of the same pictures under several pretrainings.

    Each class has a colour and a marker of its own; a panel carries the name of its
    pretraining and, where given, the NMI of its clusters. Axes have no unit.

    Args:
        points: pretraining -> (n, 2), 1 to 9 of them.
        labels: (n,) classes from 0, at most 21.
        nmi: pretraining -> NMI of its clusters, 0 to 1, measured before the embedding.
        names: of the classes, see `class_looks`; their numbers when left out.

    Raises:
        ValueError: no cloud or too many, shapes that differ, or NMI of another cloud.
    """
    found = {name: _places(at, f"points[{name!r}]") for name, at in points.items()}
    if not set(nmi or {}) <= set(found):
        raise ValueError(f"nmi has {sorted(nmi or {})}; the clouds are {list(found)}")
    n = len(next(iter(found.values()), []))
    y = _labels(labels, n)
    words = _class_words(names, int(y.max(initial=0)) + 1)
    figure, axes, between = _panels(len(found), words, "points")
    for axis, (name, at) in zip(axes, found.items(), strict=True):
        if len(at) != n:
            raise ValueError(f"points[{name!r}] has {len(at)} rows, must have {n}")
        _dots(axis, at, y, class_looks(len(words), words), s=9, lw=0)
        score = f"{between}NMI {nmi[name]:.2f}" if nmi and name in nmi else ""
        _room(axis, at, in_words(name) + score)
    return figure


def _picks(given: ArrayLike, n: int, argument: str) -> NDArray[np.int64]:
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


def _draw_chosen(
    axis: Axes,
    at: NDArray,
    y: NDArray,
    rows: NDArray,
    title: str,
    names: Sequence[str] | None,
    size: float = 6,
) -> None:
    """Draw a pale cloud with the chosen rows on it; the title counts their classes."""
    looks = class_looks(int(y.max()) + 1, names)
    _dots(axis, at, y, looks, s=size, lw=0, strength=0.32, zorder=1)
    _dots(axis, at[rows], y[rows], looks, s=46, ec=INK, lw=1.1, zorder=3)
    _room(axis, at, title + _met(y, rows))


def _met(y: NDArray, rows: NDArray) -> str:
    return f"{len(np.unique(y[rows]))} of {len(np.unique(y))} classes"


@in_house_style
def chosen(
    points: ArrayLike,
    labels: ArrayLike,
    picks: Mapping[str, ArrayLike],
    *,
    names: Sequence[str] | None = None,
) -> Figure:
    """Draw which pictures each rule chooses, and how many classes they meet.

    Args:
        points: (n, 2), a 2-D embedding.
        labels: (n,) classes from 0, at most 21; no rule but the oracle knows them.
        picks: rule -> chosen rows, 1 to 9 rules.
        names: of the classes, for a legend; none is drawn when left out.

    Raises:
        ValueError: shapes that differ, no rule or too many, or rows that do not exist.
    """
    at = _places(points, "points")
    y = _labels(labels, len(at))
    words = _class_words(names, int(y.max()) + 1) if names is not None else []
    figure, axes, between = _panels(len(picks), words, "picks")
    for axis, (rule, given) in zip(axes, picks.items(), strict=True):
        rows = _picks(given, len(at), f"picks[{rule!r}]")
        _draw_chosen(axis, at, y, rows, RULE_WORDS.get(rule, rule) + between, names)
    return figure


# --- results over seeds -------------------------------------------------------------


@in_house_style
def label_curves(
    seeds: Seeds,
    arms: Sequence[str],
    metric: str = "probe",
    *,
    labels: Sequence[int] = LABELS,
    chance: float | None = None,
    level: float = 0.95,
) -> Figure:
    """Draw accuracy against labels a class: means over seeds with Student's intervals.

    Args:
        seeds: seed -> {"arms": {arm: {metric: number}}}, accuracies 0 to 1; one seed
            has no band.
        arms: pretrainings, or "pretraining/rule", 1 to 7.
        metric: "probe", "mean" or "finetune"; the numbers are `probe_1`, `probe_2` ...
        labels: labels a class, rising, two or more.
        chance: accuracy of a guess, drawn dotted.
        level: coverage of the bands, between 0 and 1.

    Raises:
        ValueError: a number is missing, or too many arms or too few labels.
    """
    looks = _looks(arms)
    figure, axes = new_figure(height=3.7)
    axis = axes[0, 0]
    ends = _draw_curves(axis, seeds, looks, metric, labels, level)
    if chance is not None:
        _chance(axis, chance)
    axis.set_ylabel(_METRICS.get(metric, metric))
    _end_labels(axis, ends, looks, labels[-1])
    return figure


def _draw_curves(
    axis: Axes,
    seeds: Seeds,
    looks: Mapping[str, Look],
    metric: str,
    labels: Sequence[int],
    level: float,
    size: float = 7,
) -> dict[str, float]:
    """Draw a curve with its band for each arm, and return where the curves end."""
    if len(labels) < 2 or labels[0] < 1 or list(labels) != sorted(set(labels)):
        raise ValueError(f"labels={list(labels)} must be two or more, rising from 1")
    ends: dict[str, float] = {}
    for name, look in looks.items():
        rows = [values_of(seeds, name, f"{metric}_{k}") for k in labels]
        means = [float(np.mean(row)) for row in rows]
        if len(seeds) > 1:
            bands = [t_interval(row, level) for row in rows]
            axis.fill_between(
                labels, [b.low for b in bands], [b.high for b in bands],
                color=look.colour, alpha=0.15, lw=0,
            )  # fmt: skip
        axis.plot(
            labels, means, color=look.colour, ls=look.line, marker=look.mark, ms=size,
            mec="white", mew=0.8, zorder=3,
        )  # fmt: skip
        ends[name] = means[-1]
    axis.set_xscale("log", base=2)
    axis.set_xticks(labels)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlim(labels[0] * 0.93, labels[-1] * 1.07)
    axis.grid(axis="y")
    axis.set_xlabel("labels a class")
    return ends


@in_house_style
def label_panels(
    groups: Mapping[str, Seeds],
    arms: Sequence[str],
    metric: str = "probe",
    *,
    chance: Mapping[str, float] | None = None,
    labels: Sequence[int] = LABELS,
    level: float = 0.95,
) -> Figure:
    """Draw `label_curves` of several data sets side by side on one scale.

    Args:
        groups: title -> seeds, as `label_curves` takes them, 1 to 3; the number of
            seeds stands below the title.
        arms: as there.
        metric: as there.
        chance: title -> accuracy of a guess, drawn dotted.
        labels: as there.
        level: as there.

    Raises:
        ValueError: as there, no data set or too many, or a chance of another one.
    """
    looks = _looks(arms)
    if not 1 <= len(groups) <= 3 or not set(chance or {}) <= set(groups):
        raise ValueError(
            f"groups={list(groups)} must be 1 to 3, chance={chance} of these"
        )
    figure = Figure(figsize=(WIDTH, 3.6))
    axes = figure.subplots(1, len(groups), squeeze=False, sharey=True)
    for axis, (title, seeds) in zip(axes.flat, groups.items(), strict=True):
        _draw_curves(axis, seeds, looks, metric, labels, level, 5)
        axis.set_title(f"{title}\n{len(seeds)} seeds", loc="center", fontsize=9.5)
        if chance and title in chance:
            axis.axhline(chance[title], color=MUTED, lw=1, ls=":", zorder=1)
    axes.flat[0].set_ylabel(_METRICS.get(metric, metric))
    keys = [
        Line2D([], [], color=look.colour, ls=look.line, marker=look.mark, ms=6, mew=0)
        for look in looks.values()
    ]
    said = [look.words for look in looks.values()]
    if chance:
        keys.append(Line2D([], [], color=MUTED, lw=1, ls=":"))
        said.append("chance")
    figure.legend(
        keys, said, loc="outside upper left", ncols=3, columnspacing=1.2,
        handlelength=1.6, borderaxespad=0.0,
    )  # fmt: skip
    return figure


def _end_labels(
    axis: Axes, ends: Mapping[str, float], looks: Mapping[str, Look], x: float
) -> None:
    """Write each curve's name at its end, moved apart where they would touch."""
    low, high = axis.get_ylim()
    gap = 0.062 * (high - low)
    order = sorted(ends, key=ends.__getitem__)
    at = spread([ends[name] for name in order], gap)
    # Never off the axis: all move as one.
    shift = max(0, low + gap / 2 - at[0]) - max(0, at[-1] - high + gap / 2)
    for name, y in zip(order, at, strict=True):
        axis.annotate(
            looks[name].words, (x, ends[name]), (1.05, y + shift),
            textcoords=("axes fraction", "data"), va="center", fontsize=9.5,
            color=_on_white(looks[name].colour), annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": looks[name].colour, "lw": 0.8,
                        "shrinkA": 1, "shrinkB": 5},
        )  # fmt: skip


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Return rising values moved as little as need be to lie a gap apart."""
    # Groups that touch share one middle; each new value may push groups together.
    groups: list[list[float]] = []
    for value in values:
        groups.append([value])
        while len(groups) > 1:
            (a, b), reach = groups[-2:], gap * (len(groups[-2]) + len(groups[-1])) / 2
            if sum(b) / len(b) - sum(a) / len(a) >= reach:
                break
            groups[-2:] = [a + b]
    return [
        sum(group) / len(group) + gap * (k - (len(group) - 1) / 2)
        for group in groups
        for k in range(len(group))
    ]


@in_house_style
def quality_against_accuracy(
    seeds: Seeds, arms: Sequence[str], x: str = "nmi", y: str = "probe_1"
) -> Figure:
    """Draw cluster quality against accuracy: one dot a pretraining and seed.

    Args:
        seeds: seed -> {"arms": {arm: {metric: number}}}.
        arms: pretrainings, 1 to 7.
        x: metric of the clusters.
        y: metric of the accuracy.

    Raises:
        ValueError: a number is missing, or too many arms.
    """
    looks = _looks(arms)
    figure, axes = new_figure(height=3.9)
    axis = axes[0, 0]
    dots = {}
    for name, look in looks.items():
        dots[name] = np.array([values_of(seeds, name, metric) for metric in (x, y)]).T
        axis.scatter(
            *dots[name].T, s=46, color=look.colour, marker=look.mark, ec="white",
            lw=0.8, zorder=3,
        )  # fmt: skip
    axis.margins(0.1)
    axis.yaxis.set_major_locator(MaxNLocator(nbins=6))
    axis.grid()
    axis.set(xlabel=metric_in_words(x), ylabel=metric_in_words(y))
    _label_groups(figure, axis, dots, looks)
    return figure


def _label_groups(
    figure: Figure, axis: Axes, dots: Mapping[str, NDArray], looks: Mapping[str, Look]
) -> None:
    """Write each group's name once, beside the dot where it covers least."""
    figure.draw_without_rendering()
    frame, reach = axis.get_window_extent(), 5 * figure.dpi / 72
    pixels = {name: axis.transData.transform(at) for name, at in dots.items()}
    every = np.concatenate(list(pixels.values()))
    taken = [(*(p - reach), *(p + reach)) for p in every]
    sides = [(sx, sy) for sx in (1, -1, 0) for sy in (0, 1, -1) if sx or sy]
    for name, own in pixels.items():
        text = axis.annotate(
            looks[name].words, dots[name].mean(0), (0, 0), textcoords="offset points",
            fontsize=9.5, color=_on_white(looks[name].colour), zorder=4,
        )  # fmt: skip
        text.set_in_layout(False)
        box = text.get_window_extent()
        half = np.array([box.width, box.height]) / 2
        best: tuple[float, Any, Any] | None = None
        for dot, place in zip(dots[name], own, strict=True):
            for side in sides:
                middle = place + np.array(side) * (half + 1.3 * reach)
                low, high = middle - half, middle + half
                cost = sum(
                    max(0, min(high[0], c) - max(low[0], a))
                    * max(0, min(high[1], d) - max(low[1], b))
                    for a, b, c, d in taken
                )
                out = [frame.x0 - low[0], high[0] - frame.x1]
                out += [frame.y0 - low[1], high[1] - frame.y1]
                cost += 1e3 * sum(max(0, o) for o in out)
                cost += 0.05 * float(np.linalg.norm(middle - own.mean(0)))
                if best is None or cost < best[0]:
                    best = cost, dot, middle - place
        assert best is not None
        _, text.xy, offset = best
        text.set(ha="center", va="center")
        text.set_position(tuple(offset * 72 / figure.dpi))
        middle = axis.transData.transform(text.xy) + offset
        taken.append((*(middle - half), *(middle + half)))


@in_house_style
def gains(
    seeds: Seeds,
    encoders: Sequence[str],
    rules: Sequence[str],
    metric: str = "probe_1",
    *,
    baseline: str = "random",
    level: float = 0.95,
) -> Figure:
    """Draw what each rule gains over random choice, seed by seed, for each encoder.

    A filled mark is an interval without zero; it stays open, on a thin line, where
    the interval includes zero or ends within a tenth of its length from it. An
    encoder's mean NMI stands below its name where the seeds have it.

    Args:
        seeds: two or more, seed -> {"arms": {"encoder/rule": {metric: number}}}.
        encoders: pretrainings on whose features the rules choose, 1 to 4.
        rules: that choose; from above to below.
        metric: such as "probe_1", 0 to 1; gains are drawn in points of a percent.
        baseline: the rule that is subtracted.
        level: coverage of the intervals, between 0 and 1.

    Raises:
        ValueError: a number is missing, fewer than two seeds, no rule, or too many
            encoders.
    """
    if not 1 <= len(encoders) <= 4 or not rules:
        raise ValueError(
            f"encoders={list(encoders)} and rules={list(rules)} must be 1 to 4, and "
            "1 or more"
        )
    met: set[str] = set()
    figure = Figure(figsize=(WIDTH, 1.5 + 0.27 * len(rules)))
    axes = figure.subplots(1, len(encoders), squeeze=False, sharex=True, sharey=True)
    for axis, encoder in zip(axes.flat, encoders, strict=True):
        base = values_of(seeds, f"{encoder}/{baseline}", metric)
        axis.axvline(0, color=MUTED, lw=1, zorder=1)
        for k, rule in enumerate(rules):
            own = values_of(seeds, f"{encoder}/{rule}", metric)
            gain = paired_difference(own, base, level)
            kind = _kind(gain)
            look = _KINDS[kind]
            met.add(kind)
            axis.plot(
                [100 * gain.low, 100 * gain.high], [k, k], color=look.colour, zorder=2,
                lw=2 if look.full else 1.2, marker="|", ms=7, mew=1.2,
            )  # fmt: skip
            axis.plot(
                100 * gain.mean, k, color=look.colour, ms=7, zorder=3, mew=1.3,
                mec=look.colour, marker=look.mark,
                mfc=look.colour if look.full else SURFACE,
            )  # fmt: skip
        axis.set_title(_encoder_title(seeds, encoder), loc="center", fontsize=9.5)
        axis.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="x")
    first = axes.flat[0]
    first.set_yticks(range(len(rules)), [RULE_WORDS.get(rule, rule) for rule in rules])
    first.set_ylim(len(rules) - 0.5, -0.5)
    words = RULE_WORDS.get(baseline, baseline)
    figure.supxlabel(f"points above {words} ({metric_in_words(metric)})", fontsize=10)
    looks = [look for kind, look in _KINDS.items() if kind in met]
    keys = [
        Line2D([], [], color=look.colour, marker=look.mark, ms=6,
               lw=2 if look.full else 1.2, mfc=look.colour if look.full else SURFACE)
        for look in looks
    ]  # fmt: skip
    legend_above(figure, keys, [kind for kind in _KINDS if kind in met])
    return figure


class _Kind(NamedTuple):
    """How an interval is drawn; a mark that is not full is open, on a thin line."""

    colour: str
    mark: str
    full: bool


_KINDS: dict[str, _Kind] = {
    "above 0": _Kind(SERIES[0], "o", True),
    "barely above": _Kind(SERIES[0], "o", False),
    "includes 0": _Kind(MUTED, "o", False),
    "barely below": _Kind(SERIES[1], "D", False),
    "below 0": _Kind(SERIES[1], "D", True),
}


def _kind(gain: Interval) -> str:
    """Return where an interval lies; "barely" is within a tenth of its length."""
    if gain.low <= 0 <= gain.high:
        return "includes 0"
    side = "above" if gain.low > 0 else "below"
    near = min(abs(gain.low), abs(gain.high)) < 0.1 * (gain.high - gain.low)
    return f"barely {side}" if near else f"{side} 0"


def _encoder_title(seeds: Seeds, encoder: str) -> str:
    words = in_words(encoder).replace(", ", ",\n")
    try:
        nmi = values_of(seeds, encoder, "nmi")
    except ValueError:
        return words
    return f"{words}\nNMI {np.mean(nmi):.2f}"


# --- players ------------------------------------------------------------------------


def _thinned(n: int, keep: NDArray | Sequence[int] = ()) -> NDArray[np.int64]:
    """Return at most `MOST_DOTS` rows spread evenly, and those to keep."""
    some = np.linspace(0, n - 1, min(n, MOST_DOTS)).round().astype(np.int64)
    return np.union1d(some, np.asarray(keep, dtype=np.int64))


def aligned(points: Sequence[ArrayLike]) -> list[NDArray]:
    """Turn, mirror and scale each cloud so that it lies best on the one before.

    An embedding may be turned and mirrored freely; between frames that would look like
    a change. Clouds are centred, with a mean squared radius of 1.

    Args:
        points: clouds (n, 2) of the same rows.

    Raises:
        ValueError: shapes that differ.
    """
    found: list[NDArray] = []
    for k, given in enumerate(points):
        at = _places(given, f"points[{k}]")
        at = at - at.mean(0)
        at = at / max(math.sqrt((at**2).sum(1).mean()), 1e-12)
        if found:
            if at.shape != found[-1].shape:
                raise ValueError(
                    f"points[{k}] of shape {at.shape} must be {found[-1].shape}"
                )
            u, _, v = np.linalg.svd(at.T @ found[-1])  # orthogonal Procrustes
            at = at @ (u @ v)
        found.append(at)
    return found


def share_frames(
    points: Mapping[float, ArrayLike],
    labels: ArrayLike,
    nmi: Mapping[float, float],
    probe: Mapping[float, float],
    *,
    names: Sequence[str] | None = None,
    caption: str | None = None,
    name: str | None = None,
) -> Player:
    """Return a slider over the target's share of a batch: the cloud, NMI and probe.

    Clouds are turned onto one another (`aligned`); of many rows 400 are drawn.

    Args:
        points: share -> (n, 2), rising shares from 0 to 1, at least two.
        labels: (n,) classes from 0.
        nmi: share -> NMI of all rows, 0 to 1.
        probe: share -> accuracy of the probe, 0 to 1.
        names: of the classes, see `class_looks`; no legend is drawn.
        caption: the caption of the figure.
        name: its anchor.

    Raises:
        ValueError: shares that differ or do not rise, numbers outside 0 to 1, or
            shapes that do not match.
    """
    shares = list(points)
    if shares != sorted(set(shares)) or not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"points has the shares {shares}; they must rise from 0 to 1")
    for argument, given in (("nmi", nmi), ("probe", probe)):
        if set(given) != set(shares) or not all(0 <= v <= 1 for v in given.values()):
            raise ValueError(
                f"{argument}={dict(given)} must hold a number from 0 to 1 for each "
                f"share of {shares}"
            )
    found = aligned(list(points.values()))
    y = _labels(labels, len(found[0]) if found else 0)
    scores, rates = ([given[s] for s in shares] for given in (nmi, probe))
    frames = [
        _share_frame(at, y, shares, k, scores, rates, names)
        for k, at in enumerate(found)
    ]
    alts = [
        f"Target pictures in a 2-D embedding, coloured by class, and two curves, at a "
        f"target share of {s:g}: NMI {nmi[s]:.2f}, probe {probe[s]:.2f}."
        for s in shares
    ]
    return Player(
        frames, label="Target share of a batch", alts=alts,
        values=[f"{100 * s:.3g} %" for s in shares], caption=caption, name=name,
    )  # fmt: skip


@in_house_style
def _share_frame(
    at: NDArray, y: NDArray, shares: Sequence[float], k: int,
    nmi: Sequence[float], probe: Sequence[float], names: Sequence[str] | None = None,
) -> Figure:  # fmt: skip
    """Draw the cloud of one share above the two numbers of all shares."""
    figure = Figure(figsize=(WIDTH, 4.7))
    cloud, axis = figure.subplots(2, 1, height_ratios=[2.1, 1])
    rows = _thinned(len(at))
    looks = class_looks(int(y.max()) + 1, names)
    _dots(cloud, at[rows], y[rows], looks, s=13, lw=0)
    _room(cloud, at, f"target share {100 * shares[k]:.3g} %", 1.7)
    x = np.arange(len(shares))
    axis.axvline(k, color=LINE, lw=8, zorder=0)
    tops = (probe[k] >= nmi[k], probe[k] < nmi[k])
    for values, words, colour, mark, top in zip(
        (probe, nmi), ("probe", "NMI"), SERIES[:2], "os", tops, strict=True
    ):
        axis.plot(x, values, color=colour, lw=1.4, marker=mark, ms=4)
        axis.plot(k, values[k], color=colour, marker=mark, ms=9, mec="white")
        axis.annotate(
            f"{words} {values[k]:.2f}", (k, values[k]), (0, 7 if top else -7),
            textcoords="offset points", va="bottom" if top else "top", weight="bold",
            ha="left" if k == 0 else "right" if k == len(x) - 1 else "center",
            color=colour,
        )  # fmt: skip
    low, high = min(*nmi, *probe), max(*nmi, *probe)
    pad = 0.35 * max(high - low, 0.1)
    axis.set(ylim=(low - pad, high + pad), xlim=(-0.4, len(x) - 0.6))
    axis.set_xticks(x, [f"{100 * share:.3g}" for share in shares])
    axis.set_xlabel("target share of a batch (%), not to scale")
    axis.yaxis.set_major_locator(MaxNLocator(nbins=4))
    axis.grid(axis="y")
    return figure


def budget_frames(
    points: ArrayLike,
    labels: ArrayLike,
    picks: Mapping[str, Mapping[int, ArrayLike]],
    *,
    accuracy: Mapping[str, Mapping[int, float]] | None = None,
    names: Sequence[str] | None = None,
    caption: str | None = None,
    name: str | None = None,
) -> Player:
    """Return a slider over labels bought: what two rules choose, side by side.

    Of many rows 400 and those that are chosen are drawn.

    Args:
        points: (n, 2), a 2-D embedding.
        labels: (n,) classes from 0.
        picks: two rules -> budget -> chosen rows, as many as the budget says; the same
            rising budgets for both, at least two.
        accuracy: rule -> budget -> accuracy with these labels, 0 to 1, said below.
        names: of the classes, see `class_looks`; no legend is drawn.
        caption: the caption of the figure.
        name: its anchor.

    Raises:
        ValueError: not two rules, budgets that differ or do not rise, rows that do not
            exist, or an accuracy missing.
    """
    at = _places(points, "points")
    y = _labels(labels, len(at))
    budgets = [list(by) for by in picks.values()]
    if (
        len(budgets) != 2
        or budgets[0] != budgets[1]
        or budgets[0] != sorted(budgets[0])
    ):
        raise ValueError(
            f"picks has the rules {list(picks)} with the budgets {budgets}; it must "
            "have two rules with the same rising budgets"
        )
    words = [RULE_WORDS.get(rule, rule) for rule in picks]
    frames, alts, captions = [], [], []
    for budget in budgets[0]:
        chosen_rows = [
            _picks(by[budget], len(at), f"picks[{rule!r}][{budget}]")
            for rule, by in picks.items()
        ]
        if any(len(rows) != budget for rows in chosen_rows):
            raise ValueError(
                f"picks at the budget {budget} has {[len(r) for r in chosen_rows]} "
                "rows; there must be as many as the budget"
            )
        frames.append(_budget_frame(at, y, words, chosen_rows, names))
        said = []
        for rule, word, rows in zip(picks, words, chosen_rows, strict=True):
            line = f"{word} meets {_met(y, rows)}"
            if accuracy is not None:
                if budget not in accuracy.get(rule, {}):
                    raise ValueError(f"accuracy has no {rule!r} at the budget {budget}")
                line += f", accuracy {accuracy[rule][budget]:.2f}"
            said.append(line)
        captions.append(f"{budget} labels: {'; '.join(said)}.")
        alts.append(
            f"Two clouds with {budget} chosen pictures each: {'; '.join(said)}."
        )
    return Player(
        frames, label="Labels bought", alts=alts, values=budgets[0], captions=captions,
        caption=caption, name=name,
    )  # fmt: skip


@in_house_style
def _budget_frame(
    at: NDArray, y: NDArray, words: Sequence[str], rows: Sequence[NDArray],
    names: Sequence[str] | None = None,
) -> Figure:  # fmt: skip
    figure, axes = new_figure(1, 2, height=WIDTH / 2 + 0.25)
    some = _thinned(len(at), np.concatenate(rows))
    back = {row: k for k, row in enumerate(some)}
    for axis, word, own in zip(axes.flat, words, rows, strict=True):
        places = np.array([back[row] for row in own], dtype=np.int64)
        _draw_chosen(axis, at[some], y[some], places, f"{word}: ", names, 9)
    return figure


# --- the temperature ----------------------------------------------------------------

# As all handlers: `this` is the figure, no double quotes. The shared part has put the
# temperature into the output beside its slider.
_SHOW_WEIGHTS = (
    "const T=+this.querySelector('.pb-row output').value,"
    "rows=[...this.querySelectorAll('div.pb-sim')],"
    "s=rows.map(r=>+r.querySelector('input').value),"
    "top=Math.max(...s),e=s.map(x=>Math.exp((x-top)/T)),"
    "sum=e.reduce((a,b)=>a+b),w=e.map(x=>x/sum),"
    "loss=Math.log(sum)+(top-s[0])/T,"
    "hard=100*Math.max(...w.slice(1))/w.slice(1).reduce((a,b)=>a+b);"
    "rows.forEach((r,k)=>{const p=(100*w[k]).toFixed(1)+' %',"
    "c=r.querySelectorAll('.pb-number');c[0].textContent=s[k].toFixed(2);"
    "c[1].textContent=(s[k]/T).toFixed(2);c[2].textContent=p;"
    "r.querySelector('.pb-pull span').style.width=100*w[k]+'%';"
    "r.querySelector('input').setAttribute('aria-valuetext',"
    "s[k].toFixed(2)+', weight '+p)});"
    "this.querySelector('.pb-note').textContent=this.dataset.say"
    ".replace('{T}',T).replace('{w}',(100*w[0]).toFixed(1))"
    ".replace('{loss}',loss.toFixed(2)).replace('{hard}',hard.toFixed(0));"
)
_WEIGHT_STYLE = (
    ".pb-player .pb-sim{display:grid;align-items:center;gap:0 .5rem;"
    "grid-template-columns:5.8rem minmax(5rem,1fr) 3rem 3.6rem minmax(4rem,1fr) 3.9rem}"
    ".pb-player .pb-sim label span{grid-column:auto;font-weight:400;"
    "white-space:nowrap;color:$ink}"
    ".pb-player .pb-sim:first-of-type label span{font-weight:700}"
    ".pb-player .pb-sim input[type=range]{grid-area:auto;height:1.9rem;"
    "accent-color:$accent}"
    ".pb-player .pb-number{text-align:right;font-variant-numeric:tabular-nums;"
    "white-space:nowrap;color:$ink;font-size:.92em}"
    ".pb-player .pb-pull{display:block;height:1rem;background:#f1eee5}"
    ".pb-player .pb-pull span{display:block;height:100%}"
    ".pb-player .pb-heads{margin:0;font-size:.85em;color:$muted}"
    ".pb-player .pb-heads span{text-align:right}"
    ".pb-player .pb-heads span:nth-child(-n+2),.pb-player .pb-heads span:nth-child(5)"
    "{text-align:left}"
    ".pb-player .pb-hint{margin:.3rem 0 0;font-size:.85em;color:$muted}"
    "@media (max-width:40rem){.pb-player .pb-sim{"
    "grid-template-columns:5.8rem minmax(3rem,1fr) 2.6rem 3.4rem}"
    ".pb-player .pb-pull{grid-column:1/4}"
    ".pb-player .pb-heads span:nth-child(5){grid-column:1/4}}"
    "@media print{.pb-player .pb-sim input{visibility:hidden}}"
)


def _fixed(number: float, places: int) -> str:
    """Write a number as JavaScript's `toFixed` does: ties go away from zero."""
    step = Decimal(1).scaleb(-places)
    text = str(Decimal(number).quantize(step, ROUND_HALF_UP))
    return text.removeprefix("-") if number == 0 else text


class TemperaturePlayer(Widget):
    """Sliders for the similarities of a positive and negatives, and the temperature.

    The bars are the softmax weights of similarity / T, a sentence says the loss. The
    page computes them itself; without JavaScript the first state stands.

    Args:
        positive: similarity of the query to its positive key, -1 to 1, rounded to
            hundredths.
        negatives: similarities to 1 to 12 negative keys.
        temperatures: at least two, rising from 0.01 or more.
        start: index of the temperature shown at first; that nearest to 0.2 when left
            out.
        label: what the widget shows.
        caption: the caption of the whole figure.
        name: the figure's anchor in the page.

    Raises:
        ValueError: a similarity outside -1 to 1, no negative or too many, or
            temperatures that do not rise from 0.01 or more.
    """

    _update = _SHOW_WEIGHTS

    def __init__(
        self,
        positive: float,
        negatives: Sequence[float],
        temperatures: Sequence[float],
        *,
        start: int | None = None,
        label: str = "InfoNCE: how the temperature spreads the weights",
        caption: str | None = None,
        name: str | None = None,
    ) -> None:
        given = [float(s) for s in (positive, *negatives)]
        if not 2 <= len(given) <= 13 or not all(-1 <= s <= 1 for s in given):
            raise ValueError(
                f"positive={positive} and negatives={list(negatives)} must be one "
                "and 1 to 12 similarities from -1 to 1"
            )
        heats = [float(t) for t in temperatures]
        if not all(0.01 <= t < math.inf for t in heats) or heats != sorted(set(heats)):
            raise ValueError(f"temperatures={heats} must rise from 0.01 or more")
        if start is None and heats:
            start = min(range(len(heats)), key=lambda k: abs(heats[k] - 0.2))
        super().__init__(
            {"Temperature T": [f"{t:g}" for t in heats]},
            start=None if start is None else (start,),
            label=label, caption=caption, name=name,
        )  # fmt: skip
        self.similarities = [round(s, 2) + 0.0 for s in given]
        self.temperatures = heats

    def weights(self) -> list[float]:
        """Return the softmax weights of the first state, the positive's first."""
        heat = self.temperatures[self.start[0]]
        top = max(self.similarities)
        powers = [math.exp((s - top) / heat) for s in self.similarities]
        return [power / sum(powers) for power in powers]

    def _says(self) -> str:
        n = len(self.similarities)
        chance = f"ln {n} = {_fixed(math.log(n), 2)}"
        say = (
            "At T = {T} the positive has {w} % of the weight: the loss is {loss}, "
            f"and {chance} where all {n} are alike."
        )
        if n > 2:
            say += " Of the weight of the negatives the hardest has {hard} %."
        return say

    def sentence(self) -> str:
        """Say in words what the first state shows."""
        weights = self.weights()
        return self._says().format(
            T=self.axes["Temperature T"][self.start[0]],
            w=_fixed(100 * weights[0], 1),
            loss=_fixed(abs(math.log(weights[0])), 2),
            hard=_fixed(100 * max(weights[1:]) / sum(weights[1:]), 0),
        )

    def _data(self) -> str:
        return f' data-say="{escape(self._says())}"'

    def _body(self) -> str:
        heat = self.temperatures[self.start[0]]
        rows = []
        for k, (s, w) in enumerate(zip(self.similarities, self.weights(), strict=True)):
            words = f"negative {k}" if k else "positive"
            share = f"{_fixed(100 * w, 1)} %"
            rows.append(
                f'<div class="pb-sim"><label><span>{words}</span><input type="range" '
                f'min="-1" max="1" step="0.01" value="{s:.2f}" autocomplete="off" '
                f'aria-valuetext="{s:.2f}, weight {share}"></label>'
                f'<span class="pb-number">{s:.2f}</span>'
                f'<span class="pb-number">{_fixed(s / heat, 2)}</span>'
                f'<span class="pb-pull" aria-hidden="true"><span style="width:'
                f'{100 * w:.4f}%;background:{SERIES[1 if k else 0]}"></span></span>'
                f'<span class="pb-number">{share}</span></div>'
            )
        heads = "".join(
            f"<span>{head}</span>"
            for head in ("key", "similarity", "s", "s / T", "softmax", "weight")
        )
        return (
            f"<style>{Template(_WEIGHT_STYLE).substitute(PALETTE['light'])}</style>"
            f'<p class="pb-sim pb-heads" aria-hidden="true">{heads}</p>{"".join(rows)}'
            f'<p class="pb-note" aria-live="polite">{escape(self.sentence())}</p>'
            '<p class="pb-hint">The gradient pulls the query to the positive with '
            "(1 − its weight) / T and pushes it from each negative with that "
            "one’s weight / T.</p>"
        )

    def _repr_html_(self) -> str:
        # The handlers that all players share look for sliders among all inputs.
        every, own = (
            "this.querySelectorAll('" + at for at in ("input", ".pb-row input")
        )
        return super()._repr_html_().replace(f"{every}')", f"{own}')")


def temperature_widget(
    positive: float = 0.8,
    negatives: Sequence[float] = (0.7, 0.5, 0.4, 0.3, 0.1, 0.0, -0.2, -0.5),
    temperatures: Sequence[float] = (0.05, 0.07, 0.1, 0.2, 0.3, 0.5, 1.0),
    *,
    start: int | None = None,
    caption: str | None = None,
    name: str | None = None,
) -> TemperaturePlayer:
    """Return the widget of the InfoNCE temperature; see `TemperaturePlayer`.

    Args:
        positive: similarity of the query to its positive key.
        negatives: similarities to the negative keys.
        temperatures: values of its slider.
        start: index of the temperature shown at first.
        caption: the caption of the figure.
        name: its anchor.
    """
    return TemperaturePlayer(
        positive, negatives, temperatures, start=start, caption=caption, name=name
    )


# --- live ---------------------------------------------------------------------------


def live_choice(
    points: ArrayLike,
    labels: ArrayLike,
    choose: Callable[[int, str], ArrayLike],
    *,
    budget: tuple[int, ...] = (10, 80, 10),
    rules: Sequence[str] = ("random", "kmeans", "typiclust", "kcentre"),
    score: Callable[[NDArray], float] | None = None,
) -> Callable[..., Figure]:
    """Let a reader with a kernel choose budget and rule; see `lib.figures.live`.

    Args:
        points: (n, 2), a 2-D embedding.
        labels: (n,) classes from 0.
        choose: budget, rule -> chosen rows.
        budget: smallest, largest and step of the slider.
        rules: names that `choose` knows.
        score: chosen rows -> accuracy with these labels, 0 to 1, written below.

    Returns:
        The function behind the controls: budget, rule -> figure.

    Raises:
        ValueError: shapes that differ.
    """
    at = _places(points, "points")
    y = _labels(labels, len(at))

    def draw(budget: int, rule: str) -> Figure:
        rows = np.asarray(choose(budget, rule))
        figure = chosen(at, y, {rule: rows})
        if score is not None:
            words = f"{budget} labels: accuracy {score(rows):.2f}"
            figure.axes[0].set_xlabel(words)
        return figure

    live(draw, budget=budget, rule=list(rules))
    return draw
