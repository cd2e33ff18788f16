"""How well the classes of pixels agree: confusions, intersection over union."""

import torch
from torch import Tensor


def confusion_matrix(
    predicted: Tensor, target: Tensor, num_classes: int, *, ignore: int = 255
) -> Tensor:
    """Count how often each class was taken for each.

    Matrices of parts of a data set add up to the matrix of the whole, from which
    `mean_iou` is then read; a mean over pictures would be another number.

    Args:
        predicted: classes of any shape, integers in [0, num_classes).
        target: true classes of the same shape, integers in [0, num_classes) or
            `ignore`.
        num_classes: number of classes.
        ignore: the label of places that do not count; their prediction may be
            anything.

    Returns:
        Counts (num_classes, num_classes), rows the truth, columns the prediction.

    Raises:
        ValueError: for unequal shapes or a class outside the allowed range.
    """
    if predicted.shape != target.shape:
        raise ValueError(
            f"predicted and target: shapes {tuple(predicted.shape)} and "
            f"{tuple(target.shape)} given; they must be equal"
        )
    counted = target != ignore
    predicted, target = predicted[counted].long(), target[counted].long()
    for name, classes in (("predicted", predicted), ("target", target)):
        wrong = classes[(classes < 0) | (classes >= num_classes)]
        if len(wrong):
            raise ValueError(
                f"{name}: class {int(wrong[0])} given; allowed are 0 to "
                f"{num_classes - 1}" + f" and {ignore}" * (name == "target")
            )
    pairs = target * num_classes + predicted
    counts = torch.bincount(pairs, minlength=num_classes**2)
    return counts.view(num_classes, num_classes)


def iou_per_class(matrix: Tensor) -> Tensor:
    """Return each class's intersection over union, 0 / 0 if it never occurs.

    Args:
        matrix: counts (K, K) from `confusion_matrix`.

    Returns:
        (K,) in [0, 1]: the places where truth and prediction agree on the class,
        divided by those where at least one of them names it.
    """
    both = matrix.diagonal()
    either = matrix.sum(0) + matrix.sum(1) - both
    return both.double() / either  # 0 / 0 gives no number


def mean_iou(matrix: Tensor) -> float:
    """Return the mean intersection over union of the classes that occur.

    Args:
        matrix: counts (K, K) from `confusion_matrix`; a class that neither the truth
            nor the prediction names is left out.

    Returns:
        From 0 to 1; not a number if nothing was counted.
    """
    return float(iou_per_class(matrix).nanmean())


def pixel_accuracy(matrix: Tensor) -> float:
    """Return the share of right places; not a number if nothing was counted."""
    return float(matrix.diagonal().sum().double() / matrix.sum())
