"""World 3, cell digits: small noisy digits on which hundreds of networks are trained.

Data card: cell digits
----------------------
*What.* Handwritten digits of 8 x 8 pixels, each drawn with replacement from the
pictures of its split. Its ink is scaled by a number between 0.6 and 1.3, Gaussian noise
of standard deviation 0.15 is added, and the brightness is standardised to
(brightness - 0.3) / 0.5. A table of trained networks needs a task that one network
learns in a second and that still tells a good network from a fair one.

*Made from.* The 1797 digits that scikit-learn ships (UCI "Optical recognition of
handwritten digits", test part, 13 writers; CC BY 4.0). They are shuffled once and split
**before** anything is drawn: 900 for training, 400 for validation, 497 for testing. No
picture serves two splits; a writer does.

*Exact by construction.* The label, and the row of the source picture.

*Not in it.* Writers that were not trained on, shifts, rotations, anything larger than
8 x 8. Rows of a split repeat its source pictures, so 4000 rows are not 4000 digits, and
validation and test accuracy differ by more than the number of rows suggests.

*Same everywhere.* Drawn with NumPy's PCG64 in float64, rounded to 1e-6, stored as
float32 (noise below 0 is kept, so these are no uint8 pictures), in blocks with seeds of
their own: the first rows of a longer data set are the shorter one.
`lib.data.column_hash` is pinned in the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lib.data.columns import from_arrays
from lib.data.digits import digit_arrays

if TYPE_CHECKING:
    from datasets import Dataset

SPLITS = {"train": slice(0, 900), "val": slice(900, 1300), "test": slice(1300, 1797)}
"""Places of each split in the shuffled order of the source pictures."""

_BLOCK = 256  # pictures drawn at a time: fixed for good


def cell_digits(n: int, seed: int, *, split: str = "train") -> Dataset:
    """Draw noisy digits, standardised, from the source pictures of one split.

    Args:
        n: number of pictures, at least 1.
        seed: 0 or more. Different splits never share a source picture.
        split: `"train"`, `"val"` or `"test"`.

    Returns:
        One row a picture:

        - `image`: float32 `(8, 8)`, standardised brightness, about -1.5 to 3
        - `label`: the digit, 0 to 9
        - `source`: row of the picture among scikit-learn's 1797 digits

    Raises:
        ValueError: an argument outside the range named above.
    """
    from datasets import Array2D, ClassLabel, Features, Value

    for name, value, low in (("n", n, 1), ("seed", seed, 0)):
        if not isinstance(value, int | np.integer) or value < low:
            raise ValueError(f"{name}={value!r} must be a whole number from {low} on")
    if split not in SPLITS:
        raise ValueError(f"split={split!r} is unknown; allowed: {', '.join(SPLITS)}")
    ink, labels = (
        np.concatenate(parts)
        for parts in zip(digit_arrays("train"), digit_arrays("test"), strict=True)
    )
    shuffled = np.random.Generator(np.random.PCG64(0)).random(len(ink))
    rows = shuffled.argsort(kind="stable")[SPLITS[split]]  # one order for all seeds
    tag = [seed, list(SPLITS).index(split)]
    images, sources = [], []
    for block in range(-(-n // _BLOCK)):
        rng = np.random.Generator(np.random.PCG64([*tag, block]))
        source = rows[np.floor(rng.random(_BLOCK) * len(rows)).astype(np.int64)]
        scale = 0.6 + 0.7 * rng.random((_BLOCK, 1, 1))
        noise = 0.15 * rng.standard_normal((_BLOCK, 8, 8))
        images.append((ink[source] * scale + noise - 0.3) / 0.5)
        sources.append(source)
    source = np.concatenate(sources)[:n]
    return from_arrays(
        {
            "image": np.concatenate(images)[:n].round(6).astype(np.float32),
            "label": labels[source],
            "source": source,
        },
        Features(
            {
                "image": Array2D((8, 8), "float32"),
                "label": ClassLabel(names=[str(digit) for digit in range(10)]),
                "source": Value("int64"),
            }
        ),
    )
