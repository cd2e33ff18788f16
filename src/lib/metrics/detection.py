"""Average precision of detections, as COCO defines it."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np


def average_precision(
    predictions: Sequence[Any],
    targets: Sequence[Any],
    *,
    num_classes: int | None = None,
    max_detections: int = 100,
) -> dict[str, Any]:
    """Compute COCO's average precision by pycocotools.

    Precision is averaged over 101 levels of recall, over classes that occur, and
    ("AP") over the IoUs .50, .55, ..., .95 from which a box counts as found.

    Args:
        predictions: one entry a picture, a dictionary or object with `boxes` (n, 4),
            x1 y1 x2 y2, `scores` (n,) and `labels` (n,); arrays or tensors.
        targets: one entry a picture, with `boxes` (k, 4) and `labels` (k,); negative
            labels mark places that hold no box.
        num_classes: labels run below it; by default as far as they do.
        max_detections: boxes counted of each picture and class, best first.

    Returns:
        `AP`, `AP50` and `AP75` in [0, 1], and `per_class`: label -> the same three,
        for the classes that occur in the targets.

    Raises:
        ValueError: for numbers of pictures, shapes or labels that do not fit, scores
            or boxes that are not finite, boxes of negative size, or targets without
            any box.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if len(predictions) != len(targets):
        raise ValueError(
            f"predictions for {len(predictions)} pictures, targets for {len(targets)}; "
            "both must have one entry a picture"
        )
    if max_detections < 1:
        raise ValueError(f"max_detections={max_detections}; allowed are 1 and more")
    truth = [_read(t, f"targets[{i}]", num_classes) for i, t in enumerate(targets)]
    found = [
        _read(p, f"predictions[{i}]", num_classes, scored=True)
        for i, p in enumerate(predictions)
    ]
    none = np.zeros(0, int)
    classes = np.unique(np.concatenate([none, *(t["labels"] for t in truth)]))
    if not len(classes):
        raise ValueError("targets: hold no box at all; average precision is undefined")

    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports each step
        sides = []
        for entries in (truth, found):
            coco = COCO()
            coco.dataset = _coco(entries, classes)
            coco.createIndex()
            sides.append(coco)
        judge = COCOeval(*sides, iouType="bbox")
        judge.params.maxDets = [max_detections]
        judge.params.areaRng, judge.params.areaRngLbl = [[0, np.inf]], ["all"]
        judge.evaluate()
        judge.accumulate()
    # (IoU, recall, class) -> (IoU, class)
    precision = judge.eval["precision"][..., 0, 0].mean(axis=1)
    names = {"AP": slice(None), "AP50": 0, "AP75": 5}
    result: dict[str, Any] = {k: float(precision[i].mean()) for k, i in names.items()}
    result["per_class"] = {
        int(label): {k: float(precision[i, c].mean()) for k, i in names.items()}
        for c, label in enumerate(classes)
    }
    return result


def _read(
    entry: Any, name: str, num_classes: int | None, *, scored: bool = False
) -> dict[str, np.ndarray]:
    """Check one picture's boxes, labels and scores and make arrays of them."""
    parts = {}
    for key in ("boxes", "labels", *(["scores"] if scored else [])):
        try:
            value = entry[key] if isinstance(entry, dict) else getattr(entry, key)
        except (KeyError, AttributeError):
            raise ValueError(f"{name}: has no {key!r}") from None
        parts[key] = np.asarray(value)
    n = parts["labels"].size
    shapes = {"boxes": (n, 4), "labels": (n,), "scores": (n,)}
    for key, value in parts.items():
        if n == value.size == 0:  # an empty list has no second axis
            parts[key] = value = value.reshape(shapes[key])
        if value.shape != shapes[key]:
            raise ValueError(
                f"{name}: {key} of shape {value.shape}; with {n} labels it must be "
                f"{shapes[key]}"
            )
        if not np.isfinite(value).all():
            raise ValueError(f"{name}: {key} holds numbers that are not finite")
    if (parts["boxes"][:, 2:] < parts["boxes"][:, :2]).any():
        raise ValueError(f"{name}: boxes must be x1 y1 x2 y2 with x1 <= x2, y1 <= y2")
    labels = parts["labels"]
    wrong = labels[(labels >= num_classes) if num_classes is not None else []]
    if scored:
        wrong = np.concatenate([wrong, labels[labels < 0]])
    if wrong.size or (n and labels.dtype.kind not in "iu"):
        below = "" if num_classes is None else f" below {num_classes}"
        raise ValueError(
            f"{name}: labels {labels.tolist()[:5]}; allowed are whole numbers{below}"
            f"{' from 0' if scored else ''}"
        )
    there = labels >= 0
    return {key: value[there] for key, value in parts.items()}


def _coco(entries: list[dict[str, np.ndarray]], classes: np.ndarray) -> dict[str, Any]:
    """Write boxes as COCO's dictionary; numbers of boxes start at 1 (0 means none)."""
    boxes = np.concatenate([np.zeros((0, 4)), *(e["boxes"] for e in entries)])
    labels = np.concatenate([np.zeros(0, int), *(e["labels"] for e in entries)])
    pictures = np.repeat(np.arange(len(entries)), [len(e["labels"]) for e in entries])
    sides = boxes[:, 2:] - boxes[:, :2]
    columns: dict[str, Any] = {
        "id": range(1, len(boxes) + 1),
        "image_id": pictures.tolist(),
        "category_id": labels.tolist(),
        "bbox": np.concatenate([boxes[:, :2], sides], axis=1).tolist(),
        "area": sides.prod(axis=1).tolist(),
        "iscrowd": [0] * len(boxes),
    }
    if entries and "scores" in entries[0]:
        columns["score"] = np.concatenate([e["scores"] for e in entries]).tolist()
    return {
        "images": [{"id": i} for i in range(len(entries))],
        "categories": [{"id": label} for label in classes.tolist()],
        "annotations": [
            dict(zip(columns, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ],
    }
