"""World 4b, paper digits: handwriting on the ruled paper of the ink domain.

Data card: paper digits
-----------------------
*What.* One handwritten digit a picture, 10 classes, written in the ink of the domain
`"ink"` of the two-domain shapes on its ruled paper, with its noise. It is a target
whose classes nobody designed: strokes of 13 people instead of formulas.

*Made from.* The 1797 digits that scikit-learn ships (UCI "Optical recognition of
handwritten digits", test part, 13 writers; CC BY 4.0), 8 x 8 pixels in 17 steps of ink.
The first 1200 serve `split="train"`, the other 597 `"test"`: no picture serves both,
and writers are kept together as far as the order of the source allows. No person can be
recognised. Everything else is drawn.

*Formulas.* Centre, radius, angle, ruling and colours are drawn as in the ink domain.
The 8 x 8 ink covers u and v from -1 to 1 and is read between its pixels by bilinear
interpolation, with no ink beyond the border; it mixes the ground with the first colour.

*Exact by construction.* The label, the row of the source picture and all other columns.

*Not in it.* More than 1797 different digits: rows of a split repeat its sources, so
2000 rows are not 2000 digits. Ink is blurred, since 8 pixels are spread over some 22.
A second colour is drawn but not shown.

*Same everywhere.* Drawn with NumPy's PCG64 in float64, rounded to 1e-6 before uint8,
in blocks with seeds of their own: the first rows of a longer data set are the shorter
one. `lib.data.column_hash` is pinned in the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lib.data.columns import from_arrays
from lib.data.digits import SPLITS as SOURCES
from lib.data.digits import digit_arrays
from lib.data.worlds.domains import (
    NOISE,
    SIDE,
    SPLITS,
    check_request,
    draw_ground,
    draw_placement,
    object_axes,
    quantise,
)

if TYPE_CHECKING:
    from datasets import Dataset

_BLOCK = 256  # pictures drawn at a time: fixed for good
_TAG = 2  # after the numbers of the two domains, so that no draws are shared


def paper_digits(
    n: int, seed: int, *, split: str = "train", noise: float | None = None
) -> Dataset:
    """Draw handwritten digits in ink on ruled paper.

    Args:
        n: number of pictures, at least 1.
        seed: 0 or more. Different splits never share a source picture or a draw.
        split: `"train"` or `"test"`.
        noise: standard deviation of the pixel noise; by default the ink domain's, 0.08.

    Returns:
        One row a picture:

        - `image`: uint8 `(32, 32, 3)`, RGB
        - `label`: the digit, 0 to 9
        - `source`: row of the picture among scikit-learn's 1797 digits
        - `centre`, `radius`, `angle`, `ruling`, `colours`: as in `two_domain_shapes`

    Raises:
        ValueError: an argument outside the range named above.
    """
    from datasets import Array2D, Array3D, ClassLabel, Features, Sequence, Value

    check_request(n, seed, split)
    noise = NOISE["ink"] if noise is None else noise
    if not 0 <= noise < np.inf:
        raise ValueError(f"noise={noise} must be a number that is 0 or more")
    ink, labels = digit_arrays(split)
    tag = [seed, _TAG, SPLITS.index(split)]
    blocks = [
        _block(np.random.Generator(np.random.PCG64([*tag, b])), ink, noise)
        for b in range(-(-n // _BLOCK))
    ]
    columns = {
        name: np.concatenate([block[name] for block in blocks])[:n]
        for name in blocks[0]
    }
    columns["label"] = labels[columns["source"]]
    columns["source"] = columns["source"] + SOURCES[split].start
    number = Value("float64")
    return from_arrays(
        columns,
        Features(
            {
                "image": Array3D((SIDE, SIDE, 3), "uint8"),
                "label": ClassLabel(names=[str(digit) for digit in range(10)]),
                "source": Value("int64"),
                "centre": Sequence(number, length=2),
                "radius": number,
                "angle": number,
                "ruling": number,
                "colours": Array2D((3, 3), "float64"),
            }
        ),
    )


def _block(rng: np.random.Generator, ink: np.ndarray, noise: float) -> dict:
    """Draw one block of pictures; `source` counts from the start of the split."""
    source = np.floor(rng.random(_BLOCK) * len(ink)).astype(np.int64)
    placement = draw_placement(rng, _BLOCK, "ink")
    u, v = object_axes(placement)

    # A border of no ink around the digit; places beyond it are read on the border.
    padded = np.pad(ink[source], ((0, 0), (1, 1), (1, 1)))
    column, row = (((axis + 1) * 4 + 0.5).clip(0, 9) for axis in (u, v))
    left, top = (np.floor(place).clip(0, 8).astype(np.int64) for place in (column, row))
    right, below = column - left, row - top
    every = np.arange(_BLOCK)[:, None, None]
    upper, lower = (
        (1 - right) * padded[every, line, left] + right * padded[every, line, left + 1]
        for line in (top, top + 1)
    )
    written = ((1 - below) * upper + below * lower)[..., None]

    ground = draw_ground(placement, "ink")
    paint = placement["colours"][:, 0, None, None]
    return {
        "image": quantise(ground + written * (paint - ground), noise, rng),
        "source": source,
        **placement,
    }
