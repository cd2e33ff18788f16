"""Seeds, averaged weights, schedules, checkpoints and progress; no trainer class.

The training loop stays in the notebook, where it can be read.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lib.training.averaging import EMA
    from lib.training.bars import progress
    from lib.training.checkpoints import (
        load_checkpoint,
        save_checkpoint,
        write_atomically,
    )
    from lib.training.loops import batches, seed_everything
    from lib.training.schedules import cosine_momentum, warmup_cosine

__all__ = [
    "EMA",
    "batches",
    "cosine_momentum",
    "load_checkpoint",
    "progress",
    "save_checkpoint",
    "seed_everything",
    "warmup_cosine",
    "write_atomically",
]

_HOMES = {
    "EMA": "averaging",
    "batches": "loops",
    "cosine_momentum": "schedules",
    "load_checkpoint": "checkpoints",
    "progress": "bars",
    "save_checkpoint": "checkpoints",
    "seed_everything": "loops",
    "warmup_cosine": "schedules",
    "write_atomically": "checkpoints",
}


def __getattr__(name: str) -> Any:
    """Import a function when it is first named."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"lib.training.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'lib.training' has no attribute {name!r}")
