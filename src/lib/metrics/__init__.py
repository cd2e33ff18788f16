"""Measures used by the chapters, and intervals over seeds."""

from typing import TYPE_CHECKING, Any

from lib.metrics.intervals import Interval, paired_difference, t_interval, verdict

if TYPE_CHECKING:  # heavy, so they are loaded when first used
    from lib.metrics.detection import average_precision
    from lib.metrics.macs import count_macs, macs_by_part
    from lib.metrics.segmentation import (
        confusion_matrix,
        iou_per_class,
        mean_iou,
        pixel_accuracy,
    )

__all__ = [
    "Interval",
    "average_precision",
    "confusion_matrix",
    "count_macs",
    "iou_per_class",
    "macs_by_part",
    "mean_iou",
    "paired_difference",
    "pixel_accuracy",
    "t_interval",
    "verdict",
]

_LATER = {
    "average_precision": "detection",
    "confusion_matrix": "segmentation",
    "count_macs": "macs",
    "iou_per_class": "segmentation",
    "macs_by_part": "macs",
    "mean_iou": "segmentation",
    "pixel_accuracy": "segmentation",
}


def __getattr__(name: str) -> Any:
    """Import a measure on first use."""
    if name in _LATER:
        import importlib

        return getattr(importlib.import_module(f"lib.metrics.{_LATER[name]}"), name)
    raise AttributeError(f"module 'lib.metrics' has no attribute {name!r}")
