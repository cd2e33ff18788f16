"""Measures used by the chapters, and intervals over seeds."""

from typing import TYPE_CHECKING, Any

from lib.metrics.intervals import Interval, paired_difference, t_interval, verdict

if TYPE_CHECKING:  # heavy, so they are loaded when first used
    from lib.metrics.detection import average_precision
    from lib.metrics.macs import count_macs, macs_by_part

__all__ = [
    "Interval",
    "average_precision",
    "count_macs",
    "macs_by_part",
    "paired_difference",
    "t_interval",
    "verdict",
]

_LATER = {
    "average_precision": "detection",
    "count_macs": "macs",
    "macs_by_part": "macs",
}


def __getattr__(name: str) -> Any:
    """Import a measure on first use."""
    if name in _LATER:
        import importlib

        return getattr(importlib.import_module(f"lib.metrics.{_LATER[name]}"), name)
    raise AttributeError(f"module 'lib.metrics' has no attribute {name!r}")
