"""World 1, cue scenes: find the digit that has the colour of the cue.

Data card
---------
*What.* A scene is a square RGB picture cut into `grid` x `grid` cells. `objects`
handwritten digits stand in cells of their own, each in another colour. `cues` small
squares stand in further cells; each has the colour of one digit and so asks for it.
Digits that no cue asks for distract. Gaussian noise lies over everything.

*Two tasks.* With one cue: say in which cell the digit of the cue's colour stands
(`target`). The answer needs information from far away, written back to a place; but
one number for the whole picture, "the cue is red", is enough to find it. With several
cues and several `marks`: write at each asked digit the mark of its own cue, and 0
everywhere else (`target_map`). Now colour and mark belong together, cue by cue, and
the answers live at different places.

*Made from.* scikit-learn's digits (UCI, "Optical Recognition of Handwritten Digits",
CC BY 4.0), 1200 pictures for `split="train"`, 597 others for `"test"`; everything else
is drawn. No person can be recognised.

*Exact by construction.* Boxes, masks, classes, colours and answers. Boxes are tight
around the mask; a pixel belongs to the mask where ink is at least a quarter.

*Not in it.* Overlap, occlusion, rotation, texture, light. Colour alone tells digits
apart, so colour-blind readers should use the boxes. Success here shows that a network
can move information; it says nothing about photographs.

*Same everywhere.* Drawn with NumPy's PCG64 in float64, rounded to 1e-6 before uint8,
in blocks with seeds of their own: the first rows of a longer data set are the shorter
one. `lib.data.column_hash` is pinned in the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lib.data.columns import from_arrays
from lib.data.digits import SPLITS, digit_arrays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datasets import Dataset

CLASS_NAMES = (*"0123456789", "cue")
"""Names of an object's class, by label."""

MARKS = ("solid", "ring", "rows", "columns")
"""Names of the cues' marks; mark m is `MARKS[m - 1]`."""

_BLOCK = 256  # scenes drawn at a time: bounds the memory, fixed for good
_INK = 0.25  # ink from which a pixel counts as part of its object
_MARKS = np.array(
    [
        [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]],
        [[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]],
        [[1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]],
        [[1, 0, 0, 1], [1, 0, 0, 1], [1, 0, 0, 1], [1, 0, 0, 1]],
    ],
    dtype=np.float64,
)


def cue_scenes(
    n: int,
    seed: int,
    *,
    split: str = "train",
    size: int = 32,
    grid: int = 4,
    objects: int = 4,
    cues: int = 1,
    marks: int = 1,
    colours: int = 6,
    noise: float = 0.1,
    scales: Sequence[int] | None = None,
    jitter: bool = False,
) -> Dataset:
    """Draw cue scenes: coloured digits, and cues that ask for some of them.

    Args:
        n: number of scenes, at least 1.
        seed: 0 or more. Different splits never share scenes, whatever the seed.
        split: which of scikit-learn's digits are used: `"train"` or `"test"`.
        size: side of the picture in pixels, a multiple of `grid`.
        grid: cells along a side; a cell must measure at least 8 pixels.
        objects: digits in a scene, at most `colours`.
        cues: squares that ask for a digit, at most `objects`.
        marks: how many of the marks `MARKS` cues may carry, 1 to 4; with 1 all cues
            are solid.
        colours: number of evenly spaced hues; six give red, yellow,
            green, cyan, blue and magenta.
        noise: standard deviation of the noise, in units of the brightness range.
        scales: magnifications drawn from for each object; a digit then measures
            8 and a cue 4 times that many pixels. By default the largest that fits.
        jitter: whether objects stand anywhere in their cells rather than centred.

    Returns:
        One row a scene, with K = objects + cues objects; object j < `cues` is the
        digit that cue number j, object `objects + j`, asks for:

        - `image`: uint8 `(size, size, 3)`, RGB
        - `target`: cell of the first cue's digit, row by row from 0
        - `target_map`: int64 `(grid * grid,)`; the mark of its cue (from 1) in the
          cell of each digit that is asked for, 0 in all other cells
        - `labels`: class of each object, `(K,)`, see `CLASS_NAMES`
        - `boxes`: float32 `(K, 4)`, x1 y1 x2 y2 in pixels, x2 and y2 exclusive
        - `colours`, `cells`: int64 `(K,)`, hue number and cell of each object
        - `marks`: int64 `(K,)`, a cue's own mark, a digit's cue's mark, 0 for none
        - `instances`: uint8 `(size, size)`, 0 ground, j + 1 object j
        - `classes`: uint8 `(size, size)`, 0 ground, label + 1

    Raises:
        ValueError: an argument outside the range named above.
    """
    from datasets import Array2D, Array3D, ClassLabel, Features, Sequence, Value

    _check("n", n, 1)
    _check("seed", seed, 0)
    _check("grid", grid, 1)
    _check("size", size, 8 * grid)
    if size % grid:
        raise ValueError(f"size={size} must be a multiple of grid={grid}")
    if split not in SPLITS:
        raise ValueError(f"split={split!r} is unknown; allowed: 'train', 'test'")
    _check("colours", colours, 1, 64)
    _check("objects", objects, 1, min(colours, grid * grid - 1), "colours, free cells")
    _check("cues", cues, 1, min(objects, grid * grid - objects), "objects, free cells")
    _check("marks", marks, 1, len(MARKS))
    if not 0 <= noise < np.inf:
        raise ValueError(f"noise={noise} must be a number that is 0 or more")
    fits = size // grid // 8
    for scale in (scales := (fits,) if scales is None else tuple(scales)) or (0,):
        _check("scales", scale, 1, fits, "a digit must fit into its cell")

    blocks = [
        _block(
            np.random.Generator(
                np.random.PCG64([seed, list(SPLITS).index(split), block])
            ),
            *digit_arrays(split),
            size=size,
            grid=grid,
            objects=objects,
            cues=cues,
            marks=marks,
            colours=colours,
            noise=noise,
            scales=np.array(scales),
            jitter=jitter,
        )
        for block in range(-(-n // _BLOCK))
    ]
    columns = {
        name: np.concatenate([block[name] for block in blocks])[:n]
        for name in blocks[0]
    }
    count = objects + cues
    numbers = Sequence(Value("int64"), length=count)
    features = Features(
        {
            "image": Array3D((size, size, 3), "uint8"),
            "target": Value("int64"),
            "target_map": Sequence(Value("int64"), length=grid * grid),
            "labels": Sequence(ClassLabel(names=list(CLASS_NAMES)), length=count),
            "boxes": Array2D((count, 4), "float32"),
            "colours": numbers,
            "cells": numbers,
            "marks": numbers,
            "instances": Array2D((size, size), "uint8"),
            "classes": Array2D((size, size), "uint8"),
        }
    )
    return from_arrays(columns, features)


def palette(colours: int = 6) -> np.ndarray:
    """Give evenly spaced, fully saturated hues, starting at red.

    Returns:
        float64 `(colours, 3)`, RGB in [0, 1].
    """
    hue = np.arange(colours)[:, None] * 6 / colours
    return np.clip(np.abs((hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)


def _block(
    rng: np.random.Generator,
    digit_ink: np.ndarray,
    digit_labels: np.ndarray,
    *,
    size: int,
    grid: int,
    objects: int,
    cues: int,
    marks: int,
    colours: int,
    noise: float,
    scales: np.ndarray,
    jitter: bool,
) -> dict[str, np.ndarray]:
    """Draw one block of scenes; all arrays are (scene, object, ...) until the end."""
    side, count, scene = size // grid, objects + cues, np.arange(_BLOCK)[:, None]

    # What stands where. Sorting random numbers gives distinct cells and hues.
    cells = rng.random((_BLOCK, grid * grid)).argsort(1, kind="stable")[:, :count]
    hues = rng.random((_BLOCK, colours)).argsort(1, kind="stable")[:, :objects]
    picks = (rng.random((_BLOCK, objects)) * len(digit_ink)).astype(np.int64)
    cue_marks = 1 + (rng.random((_BLOCK, cues)) * marks).astype(np.int64)
    scale = scales[(rng.random((_BLOCK, count)) * len(scales)).astype(np.int64)]
    shift = rng.random((2, _BLOCK, count))
    labels = np.full((_BLOCK, count), CLASS_NAMES.index("cue"))
    labels[:, :objects] = digit_labels[picks]
    hues = np.concatenate([hues, hues[:, :cues]], 1)
    unasked = np.zeros((_BLOCK, objects - cues), np.int64)
    object_marks = np.concatenate([cue_marks, unasked, cue_marks], 1)

    # Ink of each object in its cell: look up the glyph's pixel under each pixel.
    bank = np.concatenate([digit_ink, np.pad(_MARKS, ((0, 0), (0, 4), (0, 4)))])
    glyph = np.concatenate([picks, len(digit_ink) + cue_marks - 1], 1)
    extent = scale * np.where(np.arange(count) < objects, 8, 4)
    room = side - extent
    corner = np.floor(shift * (room + 1)).astype(np.int64) if jitter else room // 2
    top, left = np.broadcast_to(corner, (2, _BLOCK, count))
    pixel = np.arange(side)
    row = (pixel - top[..., None]) // scale[..., None]
    column = (pixel - left[..., None]) // scale[..., None]
    inside = (row >= 0) & (row < 8), (column >= 0) & (column < 8)
    row, column = row.clip(0, 7)[..., None], column.clip(0, 7)[..., None, :]
    ink = bank[glyph[..., None, None], row, column]
    ink = ink * (inside[0][..., None] & inside[1][..., None, :])
    mask = ink >= _INK

    # Boxes: first and last row and column of the mask, then the cell's own place.
    across, down = mask.any(2), mask.any(3)
    x, y = cells % grid * side, cells // grid * side
    boxes = np.stack(
        [
            x + across.argmax(2),
            y + down.argmax(2),
            x + side - across[..., ::-1].argmax(2),
            y + side - down[..., ::-1].argmax(2),
        ],
        2,
    )

    # Onto the canvas: every object has a cell to itself.
    number = np.arange(1, count + 1)[:, None, None]
    paint = ink[..., None] * palette(colours)[hues][:, :, None, None]
    picture = np.zeros((_BLOCK, grid * grid, side, side, 3))
    instances = np.zeros((_BLOCK, grid * grid, side, side), np.uint8)
    classes = np.zeros_like(instances)
    picture[scene, cells] = paint
    instances[scene, cells] = mask * number
    classes[scene, cells] = mask * (1 + labels[..., None, None])
    picture = _join(picture, grid) + noise * rng.standard_normal(
        (_BLOCK, size, size, 3)
    )
    target_map = np.zeros((_BLOCK, grid * grid), np.int64)
    target_map[scene, cells[:, :objects]] = object_marks[:, :objects]
    return {
        "image": np.rint(picture.clip(0, 1).round(6) * 255).astype(np.uint8),
        "target": cells[:, 0],
        "target_map": target_map,
        "labels": labels,
        "boxes": boxes.astype(np.float32),
        "colours": hues,
        "cells": cells,
        "marks": object_marks,
        "instances": _join(instances, grid),
        "classes": _join(classes, grid),
    }


def _join(cells: np.ndarray, grid: int) -> np.ndarray:
    """Join cells (scene, cell, y, x, ...) into pictures (scene, y, x, ...)."""
    scenes, _, side, _, *rest = cells.shape
    rows = cells.reshape(scenes, grid, grid, side, side, *rest).swapaxes(2, 3)
    return rows.reshape(scenes, grid * side, grid * side, *rest)


def _check(
    name: str, value: int, low: int, high: int | None = None, why: str = ""
) -> None:
    """Refuse anything but a whole number in range, in one sentence."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        span = f"from {low} to {high}" if high is not None else f"of {low} or more"
        because = f" ({why})" if why else ""
        raise ValueError(f"{name}={value!r} must be a whole number {span}{because}")
