"""Plots that several chapters share, all in the house style.

Each returns a matplotlib figure, to be handed to `lib.figures.show` or to a player.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from lib.figures.palette import PALETTE, SERIES, part_colours, text_on
from lib.figures.style import WIDTH, colour_map, in_house_style

INK, MUTED, LINE = (PALETTE["light"][name] for name in ("ink", "muted", "line"))
MARKERS = ["o", "s", "D", "^", "v", "P", "X"]  # shape repeats what the colour says


def new_figure(
    rows: int = 1, columns: int = 1, height: float = 3.1, width: float = WIDTH
) -> tuple[Figure, NDArray]:
    """Return a figure and its axes (rows, columns), kept out of pyplot's memory.

    Args:
        rows: rows of axes.
        columns: columns of axes.
        height: inches; the page shows 111 pixels for an inch.
        width: inches.
    """
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, squeeze=False)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


@in_house_style
def bar_stack(
    values: Mapping[str, Mapping[str, float]],
    *,
    unit: str,
    share: bool = False,
    colours: Mapping[str, str] | None = None,
) -> Figure:
    """Draw one horizontal stacked bar a row, the total written at its end.

    Args:
        values: row -> part -> amount, the same parts in each row, none negative.
        unit: the label of the axis, such as "multiply–adds (M)".
        share: draw each row as parts of 100 %; the amounts are still written.
        colours: part -> colour; without it the series colours in order.

    Raises:
        ValueError: no rows, more parts than colours, parts differ, or an amount is
            negative.
    """
    if not values:
        raise ValueError("values={} must hold at least one row")
    parts = list(next(iter(values.values())))
    shades = part_colours(parts, colours)
    for row, amounts in values.items():
        if set(amounts) != set(parts):
            raise ValueError(
                f"values[{row!r}] has parts {list(amounts)}, must be {parts}"
            )
        if min(amounts.values()) < 0 or sum(amounts.values()) <= 0:
            raise ValueError(f"values[{row!r}]={dict(amounts)} must not be negative")

    figure, axes = new_figure(height=0.95 + 0.36 * len(values))
    axis = axes[0, 0]
    longest = max(sum(amounts.values()) for amounts in values.values())
    for i, amounts in enumerate(values.values()):
        total = sum(amounts.values())
        scale = 100 / total if share else 1.0
        full = 100.0 if share else longest
        left = 0.0
        for part, colour in zip(parts, shades, strict=True):
            length = amounts[part] * scale
            axis.barh(
                i, length, left=left, height=0.68, color=colour, ec="white", lw=0.6
            )
            if length > 0.11 * full:  # else the number would not fit
                axis.text(
                    left + length / 2,
                    i,
                    _number(amounts[part]),
                    ha="center",
                    va="center",
                    color=text_on(colour),
                    fontsize=9,
                )
            left += length
        axis.text(left + 0.012 * full, i, _number(total), va="center", weight="bold")
    axis.set_yticks(range(len(values)), list(values))
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.1 * (100 if share else longest))
    axis.set_xlabel(f"share of {unit}, %" if share else unit)
    if share:
        axis.set_xticks(range(0, 101, 25))
    handles = [axis.patches[i] for i in range(len(parts))]
    legend_above(figure, handles, parts)
    return figure


def legend_above(figure: Figure, handles: Sequence, labels: Sequence[str]) -> None:
    """Put a legend above the axes, in as many columns as the width allows."""
    room = 69  # characters in the width of a figure, each key counting as six
    columns = max(1, min(len(labels), room // (max(map(len, labels)) + 6)))
    figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=columns,
        handlelength=1.0,
        handleheight=1.0,
        columnspacing=1.2,
        borderaxespad=0.0,
    )


def as_picture(image: ArrayLike) -> NDArray:
    """Return a picture as floats from 0 to 1, (H, W) or (H, W, 3).

    Takes (H, W), (H, W, 3) or a tensor's (3, H, W); uint8 or floats from 0 to 1.

    Raises:
        ValueError: another shape, or floats outside 0 to 1.
    """
    picture = np.asarray(image)
    if picture.ndim == 3 and picture.shape[0] == 3 and picture.shape[2] != 3:
        picture = picture.transpose(1, 2, 0)
    if picture.ndim not in (2, 3) or (picture.ndim == 3 and picture.shape[2] != 3):
        raise ValueError(
            f"image of shape {picture.shape} must be (H, W), (H, W, 3) or (3, H, W)"
        )
    if picture.dtype == np.uint8:
        return picture / 255.0
    if not (picture.min() >= -1e-6 and picture.max() <= 1 + 1e-6):
        raise ValueError(
            f"image with values from {picture.min():.3g} to {picture.max():.3g} must "
            "hold numbers from 0 to 1, or uint8"
        )
    return np.clip(picture.astype(float), 0, 1)


def bare(axis: Axes, title: str = "") -> None:
    """Take ticks from an axis that holds a picture, frame it, and set its title."""
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(True)
        spine.set_color(LINE)
    if title:
        axis.set_title(title, weight="normal", loc="center", fontsize=9.5)


@in_house_style
def image_grid(
    images: Sequence[ArrayLike],
    *,
    titles: Sequence[str] | None = None,
    columns: int = 4,
    cmap: str | None = None,
) -> Figure:
    """Draw pictures of one size in rows, each with its title.

    Args:
        images: pictures (H, W), (H, W, 3) or (3, H, W). With `cmap`, maps (H, W) of any
            range, all drawn on one scale.
        titles: one a picture.
        columns: pictures in a row.
        cmap: colour map for maps; "pb_diverging" is centred on zero.

    Raises:
        ValueError: no picture, a number of titles that differs, or a wrong shape.
    """
    if len(images) == 0:
        raise ValueError("images=[] must hold at least one picture")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"titles has {len(titles)} entries for {len(images)} images")
    scale: dict[str, float | str] = {"cmap": cmap or "gray", "vmin": 0.0, "vmax": 1.0}
    if cmap is None:
        pictures = [as_picture(image) for image in images]
    else:
        pictures = [np.asarray(image, dtype=float) for image in images]
        scale |= {
            "vmin": min(map(np.min, pictures)),
            "vmax": max(map(np.max, pictures)),
        }
        if "diverging" in cmap:
            reach = max(abs(float(scale["vmin"])), abs(float(scale["vmax"])))
            scale |= {"vmin": -reach, "vmax": reach}
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    shape = pictures[0].shape[0] / pictures[0].shape[1]
    cell = WIDTH / columns
    height = rows * (cell * shape + (0.24 if titles else 0.05))
    figure, axes = new_figure(rows, columns, height=height)
    for axis in axes.flat[len(pictures) :]:
        axis.set_axis_off()
    for i, (axis, picture) in enumerate(zip(axes.flat, pictures, strict=False)):
        axis.imshow(picture, **scale)
        bare(axis, titles[i] if titles else "")
    return figure


def heat_over(image: ArrayLike, heat: ArrayLike, *, strength: float = 0.9) -> NDArray:
    """Lay a map of attention over a picture: (H, W, 3), floats from 0 to 1.

    The picture is greyed and lightened so that colour means attention alone; the map is
    enlarged to it in whole steps where it is smaller, and scaled to its own maximum.

    Args:
        image: as for `as_picture`.
        heat: (h, w), not negative; H and W are multiples of h and w.
        strength: how much the strongest place hides the picture, 0 to 1.

    Raises:
        ValueError: sizes that do not divide, or a negative map.
    """
    picture, weights = as_picture(image), np.asarray(heat, dtype=float)
    if weights.ndim != 2 or not (weights >= 0).all():
        raise ValueError(
            f"heat of shape {weights.shape} must be (h, w) and not negative"
        )
    (tall, wide), (h, w) = picture.shape[:2], weights.shape
    if tall % h or wide % w:
        raise ValueError(
            f"heat of {h} x {w} must divide the picture's {tall} x {wide} pixels"
        )
    weights = np.kron(weights, np.ones((tall // h, wide // w)))
    weights = weights / max(weights.max(), 1e-12)
    grey = picture if picture.ndim == 2 else picture @ [0.2126, 0.7152, 0.0722]
    ground = 0.35 + 0.65 * grey[..., None] * np.ones(3)
    alpha = strength * np.sqrt(weights)[..., None]  # weak attention should still show
    return (1 - alpha) * ground + alpha * colour_map("heat")(weights)[..., :3]


@in_house_style
def heat_on_image(
    image: ArrayLike,
    maps: Sequence[ArrayLike],
    *,
    titles: Sequence[str] | None = None,
    columns: int = 4,
) -> Figure:
    """Draw a picture and, beside it, each map laid over it; see `heat_over`.

    Raises:
        ValueError: no map, titles that do not match, or sizes that do not divide.
    """
    if len(maps) == 0:
        raise ValueError("maps=[] must hold at least one map")
    if titles is not None and len(titles) != len(maps):
        raise ValueError(f"titles has {len(titles)} entries for {len(maps)} maps")
    picture = as_picture(image)
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    names = ["Picture", *(titles or [f"map {i}" for i in range(1, len(maps) + 1)])]
    overlays = [heat_over(picture, heat) for heat in maps]
    return image_grid([picture, *overlays], titles=names, columns=columns)


@in_house_style
def curve_family(
    x: ArrayLike,
    curves: ArrayLike,
    *,
    xlabel: str,
    ylabel: str,
    labels: Sequence[str] | None = None,
    reference: ArrayLike | None = None,
    reference_label: str = "reference",
    order: ArrayLike | None = None,
) -> Figure:
    """Draw curves that belong together over one axis.

    With `labels` (at most seven curves) each has a colour of its own and a legend; else
    they run through the sequential colour map in the order given.

    Args:
        x: (N,).
        curves: (K, N).
        xlabel: label of the horizontal axis.
        ylabel: label of the vertical axis.
        labels: K names.
        reference: (N,), drawn dashed above the others.
        reference_label: its name in the legend.
        order: (K,) values that colour the curves, when there are no labels.

    Raises:
        ValueError: shapes that do not match, or more labels than colours.
    """
    figure, axes = new_figure(height=3.2)
    draw_curves(
        axes[0, 0], x, curves, labels=labels, reference=reference,
        reference_label=reference_label, order=order,
    )  # fmt: skip
    axes[0, 0].set(xlabel=xlabel, ylabel=ylabel)
    return figure


def draw_curves(
    axis: Axes,
    x: ArrayLike,
    curves: ArrayLike,
    *,
    labels: Sequence[str] | None = None,
    reference: ArrayLike | None = None,
    reference_label: str = "reference",
    order: ArrayLike | None = None,
) -> None:
    """Draw a family of curves into `axis`; arguments as in `curve_family`."""
    x, curves = np.asarray(x, dtype=float), np.asarray(curves, dtype=float)
    if curves.ndim != 2 or x.shape != curves.shape[1:] or len(curves) == 0:
        raise ValueError(
            f"curves of shape {curves.shape} must be (K, N) with x of shape (N,), "
            f"got {x.shape}"
        )
    if labels is not None and not len(labels) == len(curves) <= len(SERIES):
        raise ValueError(
            f"labels has {len(labels)} entries for {len(curves)} curves; allowed are "
            f"equal numbers up to {len(SERIES)}"
        )
    rank = np.linspace(0, 1, len(curves))
    if order is not None:
        values = np.asarray(order, dtype=float)
        rank = (values - values.min()) / max(np.ptp(values), 1e-12)
    colours = SERIES if labels else colour_map("sequential")(0.25 + 0.7 * rank)
    axis.axhline(0, color=LINE, lw=0.8)
    axis.axvline(0, color=LINE, lw=0.8)
    for i, curve in enumerate(curves):
        axis.plot(
            x, curve, color=colours[i], lw=2 if labels else 1.1,
            alpha=1 if labels else 0.75, label=labels[i] if labels else None,
        )  # fmt: skip
    if reference is not None:
        axis.plot(
            x, reference, color=INK, lw=1.6, ls=(0, (4, 2)), label=reference_label
        )
    if labels or reference is not None:
        axis.legend(loc="best", handlelength=1.8)


@in_house_style
def scatter_labelled(
    points: Mapping[str, Sequence[tuple[float, float, str]]],
    *,
    xlabel: str,
    ylabel: str,
    source: str | None = None,
    connect: Sequence[str] = (),
    log_x: bool = False,
) -> Figure:
    """Draw groups of points, each point with its own label.

    Labels avoid one another: of the eight places around a point each takes the one that
    covers least of what is there already.

    Args:
        points: group -> (x, y, label); an empty label writes none.
        xlabel: label of the horizontal axis.
        ylabel: label of the vertical axis.
        source: where the numbers come from, written small below the axes.
        connect: groups whose points are joined by a line in the order given.
        log_x: a logarithmic horizontal axis.

    Raises:
        ValueError: no group, too many groups, or an unknown group in `connect`.
    """
    if not 1 <= len(points) <= len(SERIES):
        raise ValueError(
            f"points has {len(points)} groups; allowed: 1 to {len(SERIES)}"
        )
    for group in connect:
        if group not in points:
            raise ValueError(f"connect names {group!r}; the groups are {list(points)}")
    figure, axes = new_figure(height=3.7)
    axis = axes[0, 0]
    for i, (group, rows) in enumerate(points.items()):
        x, y = [row[0] for row in rows], [row[1] for row in rows]
        if group in connect:
            axis.plot(x, y, color=SERIES[i], lw=1.4, alpha=0.6, zorder=1)
        axis.scatter(
            x, y, s=46, color=SERIES[i], marker=MARKERS[i], label=group, zorder=3,
            edgecolor="white", linewidth=0.8,
        )  # fmt: skip
    if log_x:
        axis.set_xscale("log")
    axis.margins(0.1)
    axis.yaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))
    axis.grid(axis="y")
    below = f"{xlabel}\n" if source else xlabel
    axis.set(xlabel=below, ylabel=ylabel)
    handles, names = axis.get_legend_handles_labels()
    legend_above(figure, handles, names)
    if source:
        figure.text(0.99, 0.01, source, color=MUTED, fontsize=8.5, ha="right")
    _place_labels(figure, axis, points, connect)
    return figure


def _place_labels(
    figure: Figure,
    axis: Axes,
    points: Mapping[str, Sequence[tuple[float, float, str]]],
    connect: Sequence[str],
) -> None:
    """Write each point's label at the side where it overlaps least."""
    figure.draw_without_rendering()
    frame = axis.get_window_extent()
    dots = [
        tuple(axis.transData.transform((row[0], row[1])))
        for rows in points.values()
        for row in rows
    ]
    for group in connect:  # the lines are in the way as well
        corners = axis.transData.transform([row[:2] for row in points[group]])
        steps = np.linspace(0, len(corners) - 1, 20 * len(corners))
        at = np.arange(len(corners))
        dots += [
            (np.interp(t, at, corners[:, 0]), np.interp(t, at, corners[:, 1]))
            for t in steps
        ]
    reach = 4 * figure.dpi / 72
    taken = [(x - reach, y - reach, x + reach, y + reach) for x, y in dots]

    def overlap(box: tuple[float, float, float, float]) -> float:
        x0, y0, x1, y1 = box
        shared = sum(
            max(0, min(x1, c) - max(x0, a)) * max(0, min(y1, d) - max(y0, b))
            for a, b, c, d in taken
        )
        outside = max(0, frame.x0 - x0) + max(0, x1 - frame.x1)
        return shared + 1e3 * (outside + max(0, frame.y0 - y0) + max(0, y1 - frame.y1))

    sides = [
        (6, -5, "left", "top"),
        (-6, 5, "right", "bottom"),
        (7, 0, "left", "center"),
        (0, 7, "center", "bottom"),
        (0, -7, "center", "top"),
        (-7, 0, "right", "center"),
        (6, 5, "left", "bottom"),
        (-6, -5, "right", "top"),
    ]
    for (_, rows), colour in zip(points.items(), SERIES, strict=False):
        for x, y, label in rows:
            if not label:
                continue
            best = None
            for dx, dy, ha, va in sides:
                text = axis.annotate(
                    label, (x, y), (dx, dy), textcoords="offset points", ha=ha, va=va,
                    fontsize=9, color=INK if colour == SERIES[4] else colour,
                )  # fmt: skip
                extent = text.get_window_extent()
                cost = overlap((extent.x0, extent.y0, extent.x1, extent.y1))
                if best is None or cost < best[0]:
                    if best is not None:
                        best[1].remove()
                    best = (cost, text, extent)
                else:
                    text.remove()
            if best is not None:
                taken.append((best[2].x0, best[2].y0, best[2].x1, best[2].y1))
