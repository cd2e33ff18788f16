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
    from lib.metrics.clustering import (
        ari,
        clustering_report,
        davies_bouldin,
        hungarian_accuracy,
        knn_accuracy,
        nmi,
        purity,
        silhouette,
    )
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
    "ari",
    "average_precision",
    "bootstrap_interval",
    "clustering_report",
    "confusion_matrix",
    "count_macs",
    "davies_bouldin",
    "ecdf",
    "hungarian_accuracy",
    "iou_per_class",
    "kendall_tau",
    "knn_accuracy",
    "macs_by_part",
    "mean_iou",
    "nmi",
    "paired_difference",
    "paired_interval",
    "pixel_accuracy",
    "purity",
    "ruggedness",
    "silhouette",
    "t_interval",
    "top_k_overlap",
    "verdict",
]

_LATER = {
    "Ruggedness": "ranking",
    "ari": "clustering",
    "average_precision": "detection",
    "clustering_report": "clustering",
    "confusion_matrix": "segmentation",
    "count_macs": "macs",
    "davies_bouldin": "clustering",
    "ecdf": "ranking",
    "hungarian_accuracy": "clustering",
    "iou_per_class": "segmentation",
    "kendall_tau": "ranking",
    "knn_accuracy": "clustering",
    "macs_by_part": "macs",
    "mean_iou": "segmentation",
    "nmi": "clustering",
    "pixel_accuracy": "segmentation",
    "purity": "clustering",
    "ruggedness": "ranking",
    "silhouette": "clustering",
    "top_k_overlap": "ranking",
}


def __getattr__(name: str) -> Any:
    """Import a measure on first use."""
    if name in _LATER:
        import importlib

        return getattr(importlib.import_module(f"lib.metrics.{_LATER[name]}"), name)
    raise AttributeError(f"module 'lib.metrics' has no attribute {name!r}")
