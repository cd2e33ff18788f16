"""The handwritten digits that scikit-learn ships: 1797 pictures of 8 by 8 pixels."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from lib.data.columns import from_arrays

if TYPE_CHECKING:
    from datasets import Dataset

SPLITS = {"train": slice(0, 1200), "test": slice(1200, 1797)}
"""Rows of each split, in the order of the source, which keeps writers together."""


def digit_images(split: str = "train") -> Dataset:
    """Give the digits as a data set with a fixed split into 1200 and 597 pictures.

    Args:
        split: `"train"` (1200 rows) or `"test"` (597 rows).

    Returns:
        Columns `image` (uint8, 8 x 8 x 1, 0 paper to 255 full ink) and `label` (the
        digit, 0 to 9).

    Raises:
        ValueError: unknown split.
    """
    from datasets import Array3D, ClassLabel, Features

    ink, labels = digit_arrays(split)
    names = [str(digit) for digit in range(10)]
    return from_arrays(
        {"image": np.rint(ink * 255).astype(np.uint8)[..., None], "label": labels},
        Features(
            {"image": Array3D((8, 8, 1), "uint8"), "label": ClassLabel(names=names)}
        ),
    )


def digit_arrays(split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Give the digits of a split as arrays.

    Returns:
        Ink `(n, 8, 8)` in [0, 1] in steps of 1/16, and labels `(n,)`.

    Raises:
        ValueError: unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"split={split!r} is unknown; allowed: 'train', 'test'")
    ink, labels = _all_digits()
    return ink[SPLITS[split]], labels[SPLITS[split]]


@cache
def _all_digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    ink, labels = digits.images / 16, digits.target.astype(np.int64)
    ink.flags.writeable = labels.flags.writeable = False  # shared between callers
    return ink, labels
