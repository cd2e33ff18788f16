"""Procedural worlds, bundled and real pictures, all as Hugging Face datasets.

Nothing heavy is imported before it is named: `import lib.data` loads neither
`datasets` nor scikit-learn.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lib.data.augment import BatchAugment, two_views
    from lib.data.columns import column, column_hash, from_arrays
    from lib.data.digits import digit_images
    from lib.data.halves import class_split
    from lib.data.real import load_pictures
    from lib.data.tensors import random_crop_flip, to_tensors

__all__ = [
    "BatchAugment",
    "class_split",
    "column",
    "column_hash",
    "digit_images",
    "from_arrays",
    "load_pictures",
    "random_crop_flip",
    "to_tensors",
    "two_views",
    "worlds",
]

_HOMES = {
    "BatchAugment": "augment",
    "class_split": "halves",
    "column": "columns",
    "column_hash": "columns",
    "from_arrays": "columns",
    "digit_images": "digits",
    "load_pictures": "real",
    "random_crop_flip": "tensors",
    "to_tensors": "tensors",
    "two_views": "augment",
}


def __getattr__(name: str) -> Any:
    """Import a function, or the room `worlds`, when it is first named."""
    if name == "worlds":
        return importlib.import_module("lib.data.worlds")
    if name in _HOMES:
        return getattr(importlib.import_module(f"lib.data.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'lib.data' has no attribute {name!r}")
