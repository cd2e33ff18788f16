"""World 2, tile scenes: one fact that every place must learn, one pair to be ordered.

Data card: tile scenes
----------------------
*What.* A scene is a grid of tiles, each 2 x 2 pixels, on a dark ground with Gaussian
noise. There are two tasks.

*`task="tell"`.* One tile is the cue, two pixels of four lit on a diagonal, in one of
four colours; three tiles are plain squares in colours of their own, drawn afresh, and
distract. Every tile must name the colour of the cue (`target_map`). A tile can do so
only if information reaches it from wherever the cue stands: the share of right answers
measures how far an attention carries. The colour is one fact for the whole picture;
its place and the distance to it are in the columns.

*`task="domino"`.* A red and a blue tile touch. The two must say on which side of the
red one the blue one lies: right, left, below, above. Single red and single blue tiles
stand elsewhere and touch no other, so that colours alone say nothing: the order of two
neighbours is asked. No other tile has an answer (-100, which a loss skips).

*Made from.* Random numbers only; no pictures, no persons.

*Exact by construction.* Answers, cells and distances.

*Not in it.* Shape, texture, overlap. Success shows that information moves, or that
order is told; it says nothing about photographs.

*Same everywhere.* Drawn with NumPy's PCG64 in float64, rounded to 1e-6 before uint8,
in blocks with seeds of their own: the first rows of a longer data set are the shorter
one. `lib.data.column_hash` is pinned in the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lib.data.columns import from_arrays

if TYPE_CHECKING:
    from datasets import Dataset

COLOURS = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]])
"""RGB of the cue's colours: red, green, blue, yellow."""

SIDES = ((0, 1), (0, -1), (1, 0), (-1, 0))
"""Step (row, column) from the red tile to the blue one: right, left, below, above."""

TASKS = ("tell", "domino")
SKIP = -100
"""Answer of a tile that is not asked; `cross_entropy` leaves it out."""

_BLOCK = 256  # scenes drawn at a time: fixed for good
_SPLITS = ("train", "test")


def tile_scenes(
    n: int,
    seed: int,
    *,
    split: str = "train",
    task: str = "tell",
    grid: int = 12,
    distractors: int = 3,
    noise: float = 0.05,
) -> Dataset:
    """Draw tile scenes: a cue that every tile must name, or a domino to be ordered.

    Args:
        n: number of scenes, at least 1.
        seed: 0 or more. Different splits and tasks never share scenes.
        split: `"train"` or `"test"`.
        task: `"tell"` or `"domino"`.
        grid: tiles along a side, 4 or more; the picture has twice as many pixels.
        distractors: plain tiles beside the cue or the domino, 0 to `grid`.
        noise: standard deviation of the noise, in units of the brightness range.

    Returns:
        One row a scene:

        - `image`: uint8 `(2 * grid, 2 * grid, 3)`, RGB
        - `target`: colour of the cue, or side of the blue tile: 0 to 3
        - `target_map`: int64 `(grid * grid,)`, the answer of each tile, row by row,
          or `SKIP`
        - `cell`: tile of the cue, or of the red half of the domino
        - `distance`: int64 `(grid * grid,)`, larger of the distances in rows and in
          columns from each tile to `cell`

    Raises:
        ValueError: an argument outside the range named above.
    """
    from datasets import Array3D, ClassLabel, Features, Sequence, Value

    for name, value, low in (("n", n, 1), ("seed", seed, 0), ("grid", grid, 4)):
        if not isinstance(value, int | np.integer) or value < low:
            raise ValueError(f"{name}={value!r} must be a whole number from {low} on")
    if split not in _SPLITS:
        raise ValueError(f"split={split!r} is unknown; allowed: 'train', 'test'")
    if task not in TASKS:
        raise ValueError(f"task={task!r} is unknown; allowed: 'tell', 'domino'")
    if not 0 <= distractors <= grid:
        raise ValueError(f"distractors={distractors}; allowed are 0 to grid={grid}")
    if not 0 <= noise < np.inf:
        raise ValueError(f"noise={noise} must be a number that is 0 or more")
    draw = _tell if task == "tell" else _domino
    tag = [seed, _SPLITS.index(split), TASKS.index(task)]
    blocks = [
        draw(np.random.Generator(np.random.PCG64([*tag, b])), grid, distractors, noise)
        for b in range(-(-n // _BLOCK))
    ]
    columns = {
        name: np.concatenate([block[name] for block in blocks])[:n]
        for name in blocks[0]
    }
    names = ["red", "green", "blue", "yellow"]
    if task == "domino":
        names = ["right", "left", "below", "above"]
    cells = Sequence(Value("int64"), length=grid * grid)
    features = Features(
        {
            "image": Array3D((2 * grid, 2 * grid, 3), "uint8"),
            "target": ClassLabel(names=names),
            "target_map": cells,
            "cell": Value("int64"),
            "distance": cells,
        }
    )
    return from_arrays(columns, features)


def _tell(
    rng: np.random.Generator, grid: int, distractors: int, noise: float
) -> dict[str, np.ndarray]:
    """Draw one block of the task "tell"."""
    scene = np.arange(_BLOCK)[:, None]
    cells = rng.random((_BLOCK, grid * grid)).argsort(1, kind="stable")
    cells = cells[:, : 1 + distractors]
    colour = (rng.random((_BLOCK, 1 + distractors)) * len(COLOURS)).astype(np.int64)
    tiles = np.zeros((_BLOCK, grid * grid, 2, 2, 3))
    tiles[scene, cells] = COLOURS[colour][:, :, None, None]
    checker = np.eye(2)[:, :, None]  # the cue: lit on its diagonal
    tiles[scene, cells[:, :1]] *= checker
    answer = np.repeat(colour[:, :1], grid * grid, axis=1)
    return _finish(rng, tiles, noise, colour[:, 0], answer, cells[:, 0])


def _domino(
    rng: np.random.Generator, grid: int, distractors: int, noise: float
) -> dict[str, np.ndarray]:
    """Draw one block of the task "domino"."""
    scene = np.arange(_BLOCK)
    side = (rng.random(_BLOCK) * len(SIDES)).astype(np.int64)
    step = np.array(SIDES)[side]
    low, high = (-step).clip(0), grid - step.clip(0)  # where the red tile may stand
    red = low + np.floor(rng.random((_BLOCK, 2)) * (high - low)).astype(np.int64)
    blue = red + step

    # Distractors: one after the other, each where nothing stands next to it.
    row, column = np.divmod(np.arange(grid * grid), grid)
    order = rng.random((distractors, _BLOCK, grid * grid))
    kinds = rng.random((distractors, _BLOCK)) < 0.5

    def near(place: np.ndarray) -> np.ndarray:
        across = abs(row - place[:, :1]) <= 1
        return across & (abs(column - place[:, 1:]) <= 1)

    taken = near(red) | near(blue)
    tiles = np.zeros((_BLOCK, grid * grid, 2, 2, 3))
    for scores, kind in zip(order, kinds, strict=True):
        free = ~taken
        pick = np.where(free, scores, -1).argmax(1)
        there = free.any(1)  # a crowded picture goes with fewer distractors
        colour = COLOURS[np.where(kind, 0, 2)]
        tiles[scene, pick] += (there[:, None] * colour)[:, None, None]
        taken |= near(np.stack([row[pick], column[pick]], 1)) & there[:, None]
    at_red, at_blue = (place[:, 0] * grid + place[:, 1] for place in (red, blue))
    tiles[scene, at_red], tiles[scene, at_blue] = COLOURS[0], COLOURS[2]
    answer = np.full((_BLOCK, grid * grid), SKIP)
    answer[scene, at_red] = answer[scene, at_blue] = side
    return _finish(rng, tiles, noise, side, answer, at_red)


def _finish(
    rng: np.random.Generator,
    tiles: np.ndarray,
    noise: float,
    target: np.ndarray,
    answer: np.ndarray,
    cell: np.ndarray,
) -> dict[str, np.ndarray]:
    """Join the tiles, (scene, tile, 2, 2, 3), and add noise and distances."""
    grid = round(tiles.shape[1] ** 0.5)
    picture = tiles.reshape(-1, grid, grid, 2, 2, 3).swapaxes(2, 3)
    picture = picture.reshape(-1, 2 * grid, 2 * grid, 3)
    picture = picture + noise * rng.standard_normal(picture.shape)
    row, column = np.divmod(np.arange(grid * grid), grid)
    own_row, own_column = (part[:, None] for part in np.divmod(cell, grid))
    return {
        "image": np.rint(picture.clip(0, 1).round(6) * 255).astype(np.uint8),
        "target": target,
        "target_map": answer,
        "cell": cell,
        "distance": np.maximum(abs(row - own_row), abs(column - own_column)),
    }
