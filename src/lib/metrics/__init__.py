"""Measures used by the chapters, and intervals over seeds."""

from typing import TYPE_CHECKING, Any

from lib.metrics.intervals import (
    Interval,
    bootstrap_interval,
    paired_difference,
    paired_interval,
    t_interval,
    verdict,
)

if TYPE_CHECKING:  # heavy, so they are loaded when first used
    from lib.metrics.detection import average_precision
    from lib.metrics.macs import count_macs, macs_by_part
    from lib.metrics.ranking import (
        Ruggedness,
        ecdf,
        kendall_tau,
        ruggedness,
        top_k_overlap,
    )
    from lib.metrics.segmentation import (
        confusion_matrix,
        iou_per_class,
        mean_iou,
        pixel_accuracy,
    )

__all__ = [
    "Interval",
    "Ruggedness",
    "average_precision",
    "bootstrap_interval",
    "confusion_matrix",
    "count_macs",
    "ecdf",
    "iou_per_class",
    "kendall_tau",
    "macs_by_part",
    "mean_iou",
    "paired_difference",
    "paired_interval",
    "pixel_accuracy",
    "ruggedness",
    "t_interval",
    "top_k_overlap",
    "verdict",
]

_LATER = {
    "Ruggedness": "ranking",
    "average_precision": "detection",
    "confusion_matrix": "segmentation",
    "count_macs": "macs",
    "ecdf": "ranking",
    "iou_per_class": "segmentation",
    "kendall_tau": "ranking",
    "macs_by_part": "macs",
    "mean_iou": "segmentation",
    "pixel_accuracy": "segmentation",
    "ruggedness": "ranking",
    "top_k_overlap": "ranking",
}


def __getattr__(name: str) -> Any:
    """Import a measure on first use."""
    if name in _LATER:
        import importlib

        return getattr(importlib.import_module(f"lib.metrics.{_LATER[name]}"), name)
    raise AttributeError(f"module 'lib.metrics' has no attribute {name!r}")
