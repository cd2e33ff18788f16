"""Figures of detectors: boxes on pictures, anchors, and what a threshold changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.figures.player import Player
from lib.figures.plots import as_picture, bare, new_figure
from lib.figures.style import WIDTH, in_house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

# On the dark ground of the scenes: found boxes white, true ones dotted and pale.
FOUND, TRUE, GROUND = "#ffffff", "#9fb3c8", "#1c2430"


def draw_boxes(
    axis: Axes,
    boxes: ArrayLike,
    texts: Sequence[str] | None = None,
    *,
    scores: ArrayLike | None = None,
    colour: str = FOUND,
    style: str = "-",
) -> None:
    """Draw boxes on axes that show a picture.

    Args:
        axis: the axes.
        boxes: x1 y1 x2 y2 in pixels, (n, 4); x2 and y2 exclusive.
        texts: what stands beside each box.
        scores: (n,); with them, of boxes on one object only the surest bears its text,
            followed by the number of the others, such as "+2".
        colour: of lines and texts.
        style: of the lines.

    Raises:
        ValueError: boxes of another shape, or another number of texts or scores.
    """
    from matplotlib.patches import Rectangle

    found = np.asarray(boxes, dtype=float)
    if found.size and (found.ndim != 2 or found.shape[1] != 4):
        raise ValueError(f"boxes of shape {found.shape} must be (n, 4)")
    for name, given in (("texts", texts), ("scores", scores)):
        count = len(found) if given is None else len(np.asarray(given))
        if count != len(found):
            raise ValueError(f"{name} has {count} entries for {len(found)} boxes")
    for x1, y1, x2, y2 in found:
        corner = (x1 - 0.5, y1 - 0.5)  # imshow puts pixel 0 at -0.5 to 0.5
        axis.add_patch(
            Rectangle(corner, x2 - x1, y2 - y1, fill=False, ec=colour, ls=style, lw=1.2)
        )
    if texts is not None and len(found):
        crowds = [[i] for i in range(len(found))]
        if scores is not None:
            crowds = crowds_of_boxes(found, np.asarray(scores, dtype=float))
        more = [f" +{len(crowd) - 1}" if len(crowd) > 1 else "" for crowd in crowds]
        named = [texts[crowd[0]] + n for crowd, n in zip(crowds, more, strict=True)]
        _write_beside(axis, found[[crowd[0] for crowd in crowds]], named, colour)


def crowds_of_boxes(boxes: NDArray, scores: NDArray) -> list[list[int]]:
    """Group boxes that lie on one object: rows of `boxes`, the surest first.

    A box joins the surest one that shares half of the smaller of the two.

    Args:
        boxes: (n, 4).
        scores: (n,).
    """
    crowds: list[list[int]] = []
    for i in np.argsort(-scores, kind="stable").tolist():
        for crowd in crowds:
            one, two = boxes[i], boxes[crowd[0]]
            low, high = np.maximum(one[:2], two[:2]), np.minimum(one[2:], two[2:])
            shared = np.prod(np.maximum(high - low, 0))
            smaller = min(np.prod(one[2:] - one[:2]), np.prod(two[2:] - two[:2]))
            if shared > 0.5 * smaller:
                crowd.append(i)
                break
        else:
            crowds.append([i])
    return crowds


def _write_beside(
    axis: Axes, boxes: NDArray, texts: Sequence[str], colour: str
) -> None:
    """Write each text on a dark ground, where it hides least."""
    figure = axis.get_figure(root=True)
    assert figure is not None  # the axes come from `new_figure`
    figure.draw_without_rendering()
    frame = axis.get_window_extent()
    corners = axis.transData.transform((boxes - 0.5).reshape(-1, 2)).reshape(-1, 4)
    # y runs down in the picture and up on the canvas.
    blocked = [(x1, y2, x2, y1) for x1, y1, x2, y2 in corners.tolist()]
    for place, words in zip(list(blocked), texts, strict=True):
        text = axis.text(
            0, 0, words, color=colour, fontsize=7.5, ha="left", va="bottom",
            bbox={"boxstyle": "square,pad=0.1", "fc": GROUND, "ec": "none",
                  "alpha": 0.75},
        )  # fmt: skip
        text.set_in_layout(False)
        box = text.get_window_extent()
        x0, y0, x1, y1 = place
        gap = 3
        places = [
            (x, y)
            for y in (y1 + gap, y0 - gap - box.height)  # above, then below
            for x in (x0, x1 - box.width)
        ] + [(x, y1 - box.height) for x in (x1 + gap, x0 - gap - box.width)]

        def hidden(at: tuple[float, float], size: Any = box) -> float:
            x, y = at
            a, b = x + size.width, y + size.height
            cost = sum(
                max(0, min(a, x3) - max(x, x2)) * max(0, min(b, y3) - max(y, y2))
                for x2, y2, x3, y3 in blocked
            )
            out = max(0, frame.x0 - x) + max(0, a - frame.x1)
            return cost + 1e3 * (out + max(0, frame.y0 - y) + max(0, b - frame.y1))

        best = min(places, key=hidden)
        text.set_position(tuple(axis.transData.inverted().transform(best)))
        blocked.append((*best, best[0] + box.width, best[1] + box.height))


@in_house_style
def boxes_on_images(
    images: Sequence[ArrayLike],
    found: Sequence[Any],
    truth: Sequence[ArrayLike] | None = None,
    *,
    names: Sequence[str] | None = None,
    columns: int = 3,
) -> Figure:
    """Draw what a detector found on pictures of one size.

    Of boxes on one object the surest bears its name; "+2" says that two more lie there.

    Args:
        images: pictures (H, W, 3) or (3, H, W).
        found: for each picture an object with `boxes`, `scores` and `labels`.
        truth: for each picture the true boxes (k, 4), drawn dotted.
        names: of the labels; without them no text is written.
        columns: pictures in a row.

    Raises:
        ValueError: no picture, or numbers that differ.
    """
    if not len(images) or len(found) != len(images):
        raise ValueError(f"found has {len(found)} entries for {len(images)} images")
    pictures = [as_picture(image) for image in images]
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    shape = pictures[0].shape[0] / pictures[0].shape[1]
    figure, axes = new_figure(rows, columns, height=rows * WIDTH / columns * shape)
    for axis in axes.flat[len(pictures) :]:
        axis.set_axis_off()
    for i, (axis, picture) in enumerate(zip(axes.flat, pictures, strict=False)):
        axis.imshow(picture, interpolation="nearest")
        if truth is not None:
            draw_boxes(axis, truth[i], colour=TRUE, style=":")
        texts = None
        if names is not None:
            texts = [names[int(label)] for label in found[i].labels]
        bare(axis)
        draw_boxes(axis, found[i].boxes, texts, scores=found[i].scores)
    return figure


@in_house_style
def anchors_on_image(
    image: ArrayLike, groups: Sequence[ArrayLike], titles: Sequence[str]
) -> Figure:
    """Draw groups of boxes on one picture, a panel a group.

    Args:
        image: (H, W, 3) or (3, H, W).
        groups: boxes (n, 4) of each panel.
        titles: one a panel.

    Raises:
        ValueError: no group, or another number of titles.
    """
    if not len(groups) or len(titles) != len(groups):
        raise ValueError(f"titles has {len(titles)} entries for {len(groups)} groups")
    picture = as_picture(image)
    shape = picture.shape[0] / picture.shape[1]
    height = WIDTH / len(groups) * shape + 0.25
    figure, axes = new_figure(1, len(groups), height=height)
    for axis, boxes, title in zip(axes.flat, groups, titles, strict=True):
        axis.imshow(picture, interpolation="nearest")
        draw_boxes(axis, boxes)
        axis.set_xlim(-0.5, picture.shape[1] - 0.5)
        axis.set_ylim(picture.shape[0] - 0.5, -0.5)
        bare(axis, title)
    return figure


def threshold_player(
    image: ArrayLike,
    found: Any,
    truth: ArrayLike,
    *,
    names: Sequence[str],
    thresholds: Sequence[float] = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9),
    **about: Any,
) -> Player:
    """Return a slider over the least score that a box must have to be shown.

    Args:
        image: (H, W, 3) or (3, H, W).
        found: an object with `boxes`, `scores` and `labels`.
        truth: the true boxes (k, 4), drawn dotted.
        names: of the labels.
        thresholds: least scores, at least two.
        about: `caption` and `name` of the figure.
    """
    scores = np.asarray(found.scores, dtype=float)
    boxes, labels = np.asarray(found.boxes), np.asarray(found.labels)
    frames, notes = [], []
    for least in thresholds:
        keep = scores >= least
        texts = [
            f"{names[int(label)]} {score:.2f}"
            for label, score in zip(labels[keep], scores[keep], strict=True)
        ]
        frames.append(_one_picture(image, boxes[keep], texts, scores[keep], truth))
        notes.append(_counted(int(keep.sum()), len(np.asarray(truth))))
    return Player(
        frames,
        label="Least score",
        values=[f"{least:g}" for least in thresholds],
        alts=[
            f"The scene with the boxes whose score is {least:g} or more: {note}"
            for least, note in zip(thresholds, notes, strict=True)
        ],
        captions=notes,
        **about,
    )


def block_player(
    image: ArrayLike,
    found: Sequence[Any],
    truth: ArrayLike,
    *,
    names: Sequence[str],
    **about: Any,
) -> Player:
    """Return a slider over the blocks of a head, each with the boxes it would give.

    Args:
        image: (H, W, 3) or (3, H, W).
        found: for each block an object with `boxes`, `scores` and `labels`.
        truth: the true boxes (k, 4), drawn dotted.
        names: of the labels.
        about: `caption` and `name` of the figure.
    """
    frames, alts, notes = [], [], []
    for i, one in enumerate(found):
        texts = [names[int(label)] for label in one.labels]
        frames.append(_one_picture(image, one.boxes, texts, one.scores, truth))
        notes.append(_counted(len(texts), len(np.asarray(truth))))
        alts.append(f"The scene with the boxes after block {i + 1}: {notes[-1]}")
    return Player(
        frames,
        label="Block of the head",
        values=[str(i + 1) for i in range(len(frames))],
        alts=alts,
        captions=notes,
        **about,
    )


def _counted(boxes: int, objects: int) -> str:
    few = "1 box" if boxes == 1 else f"{boxes} boxes"
    return f"{few} for {objects} {'object' if objects == 1 else 'objects'}."


@in_house_style
def _one_picture(
    image: ArrayLike,
    boxes: ArrayLike,
    texts: Sequence[str],
    scores: ArrayLike,
    truth: ArrayLike,
) -> Figure:
    picture = as_picture(image)
    shape = picture.shape[0] / picture.shape[1]
    figure, axes = new_figure(1, 1, width=3.4, height=3.4 * shape)
    axis = axes.flat[0]
    axis.imshow(picture, interpolation="nearest")
    draw_boxes(axis, truth, colour=TRUE, style=":")
    bare(axis)
    draw_boxes(axis, boxes, texts, scores=scores)
    return figure
