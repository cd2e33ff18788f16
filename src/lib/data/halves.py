"""Two tasks out of one data set: some classes for the source, the rest as target."""

from __future__ import annotations

import torch
from torch import Tensor


def class_split(
    images: Tensor, labels: Tensor, first: int
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Split pictures by class: labels below `first`, and the rest counted from 0.

    Args:
        images: `(n, ...)`, as `lib.data.to_tensors` gives.
        labels: `(n,)`, whole numbers from 0.
        first: number of classes in the first half; both halves must hold pictures.

    Returns:
        `(images, labels)` of the classes 0 to `first` - 1, and of the other classes
        with `first` subtracted from their labels; rows keep their order. The halves
        are copies.

    Raises:
        ValueError: labels are no vector of whole numbers from 0, their number is not
            that of the pictures, or one half would be empty.
    """
    if labels.ndim != 1 or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(
            f"labels of shape {tuple(labels.shape)} and type {labels.dtype} must be a "
            "vector of whole numbers"
        )
    if len(images) != len(labels):
        raise ValueError(
            f"images has {len(images)} rows and labels {len(labels)}; allowed are "
            "equal numbers"
        )
    low, high = (int(labels.min()), int(labels.max())) if len(labels) else (0, -1)
    if low < 0:
        raise ValueError(f"labels={low} occurs; labels must be 0 or more")
    if not low < first <= high:
        raise ValueError(
            f"first={first} leaves a half empty: labels run from {low} to {high}, so "
            f"allowed are {low + 1} to {high}"
        )
    source = labels < first
    return (
        (images[source], labels[source]),
        (images[~source], labels[~source] - first),
    )
