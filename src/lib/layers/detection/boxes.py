"""Boxes as tensors: overlap, the numbers a network predicts, and suppression.

A box is x1 y1 x2 y2 in pixels; x2 and y2 are exclusive, so that its width is x2 - x1.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

LARGEST = math.log(1000 / 16)
"""Upper bound of a predicted log factor, so that exp() cannot overflow."""

_TINY = 1e-12  # keeps 0 / 0 away where both boxes are empty


def _areas(boxes: Tensor) -> Tensor:
    """Return the areas (..., N) of boxes (..., N, 4)."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def _meet(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the areas of the pairs' intersections and unions, both (..., N, M)."""
    for name, boxes in (("a", a), ("b", b)):
        if boxes.shape[-1:] != (4,):
            raise ValueError(
                f"{name} of shape {tuple(boxes.shape)} must be (..., N, 4)"
            )
    low = torch.maximum(a[..., :, None, :2], b[..., None, :, :2])  # (..., N, M, 2)
    high = torch.minimum(a[..., :, None, 2:], b[..., None, :, 2:])
    shared = (high - low).clamp(min=0).prod(-1)  # (..., N, M)
    return shared, _areas(a)[..., :, None] + _areas(b)[..., None, :] - shared


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Divide intersection by union, for every pair of boxes.

    Args:
        a: boxes (..., N, 4).
        b: boxes (..., M, 4) with the same or broadcastable axes in front.

    Returns:
        (..., N, M) in [0, 1]; 0 for two empty boxes.

    Raises:
        ValueError: if the last axis of either has not 4 entries.
    """
    shared, union = _meet(a, b)
    return shared / union.clamp(min=_TINY)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Compute the generalised IoU, which tells apart how far disjoint boxes are.

    From the IoU is subtracted the share of the smallest box around both that neither
    of them covers (Rezatofighi et al., CVPR 2019).

    Args:
        a: boxes (..., N, 4).
        b: boxes (..., M, 4) with the same or broadcastable axes in front.

    Returns:
        (..., N, M) in (-1, 1].

    Raises:
        ValueError: if the last axis of either has not 4 entries.
    """
    shared, union = _meet(a, b)
    low = torch.minimum(a[..., :, None, :2], b[..., None, :, :2])  # (..., N, M, 2)
    high = torch.maximum(a[..., :, None, 2:], b[..., None, :, 2:])
    hull = (high - low).clamp(min=0).prod(-1).clamp(min=_TINY)
    return shared / union.clamp(min=_TINY) - (hull - union) / hull


def _centres(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return centres and sides of boxes, both (..., 2)."""
    low, high = boxes.split(2, dim=-1)
    return (low + high) / 2, high - low


def encode_boxes(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Say where boxes lie as seen from their anchors.

    The shift of the centre in units of the anchor's sides, and the logarithms of the
    factors on these sides (Ren et al., NeurIPS 2015, section 3.1.2; all weights 1).

    Args:
        boxes: (..., 4), with sides above 0.
        anchors: (..., 4), with sides above 0.

    Returns:
        dx, dy, dw, dh, (..., 4).

    Raises:
        ValueError: if a box or an anchor has an empty side.
    """
    (centre, side), (from_centre, from_side) = _centres(boxes), _centres(anchors)
    for name, sides in (("boxes", side), ("anchors", from_side)):
        if (sides <= 0).any():
            raise ValueError(
                f"{name}: the shortest side is {sides.min():g}; all must be above 0"
            )
    shift = (centre - from_centre) / from_side
    return torch.cat([shift, (side / from_side).log()], dim=-1)


def decode_boxes(deltas: Tensor, anchors: Tensor) -> Tensor:
    """Turn predicted numbers back into boxes; the reverse of `encode_boxes`.

    Args:
        deltas: dx, dy, dw, dh, (..., 4); dw and dh are cut off at log(1000 / 16).
        anchors: (..., 4).

    Returns:
        Boxes (..., 4).
    """
    centre, side = _centres(anchors)
    shift, grow = deltas.split(2, dim=-1)
    centre = centre + shift * side
    half = grow.clamp(max=LARGEST).exp() * side / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def clip_boxes(boxes: Tensor, size: Sequence[int]) -> Tensor:
    """Cut boxes off at the edges of the picture.

    Args:
        boxes: (..., 4).
        size: height and width of the picture.
    """
    height, width = size
    edge = boxes.new_tensor([width, height, width, height])
    return boxes.clamp(min=0).minimum(edge)


def suppress(overlaps: Tensor) -> Tensor:
    """Decide who stays where the better of two that overlap must not bear the other.

    Greedy suppression without a loop over the boxes: start with all, and again and
    again keep those that no kept better one overlaps. After n rounds the first n are
    settled, so that it ends, and what no round changes is the greedy answer. The
    rounds are as many as the longest chain of boxes that decide about each other.

    Args:
        overlaps: boolean (..., N, N), best first; only pairs with the better one as
            row are read.

    Returns:
        Boolean (..., N), true for those that stay.
    """
    beats = overlaps.triu(1)
    keep = beats.new_ones(beats.shape[:-1])
    while True:
        after = ~(beats & keep[..., :, None]).any(dim=-2)  # (..., N)
        if torch.equal(after, keep):
            return keep
        keep = after


def nms(boxes: Tensor, scores: Tensor, threshold: float = 0.5) -> Tensor:
    """Keep the best of the boxes that overlap by more than a threshold.

    Non-maximum suppression; time and memory grow with the square of N.

    Args:
        boxes: (N, 4).
        scores: (N,).
        threshold: IoU in [0, 1] above which the lower score loses.

    Returns:
        Indices of the boxes that stay, best first; of equal scores the first wins.

    Raises:
        ValueError: for sizes that do not fit or a threshold outside [0, 1].
    """
    if boxes.ndim != 2 or boxes.shape[0] != len(scores):
        raise ValueError(
            f"boxes of shape {tuple(boxes.shape)} must be (N, 4) with N={len(scores)}, "
            "the number of scores"
        )
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold={threshold} must lie in [0, 1]")
    order = scores.argsort(descending=True, stable=True)
    ranked = boxes[order]
    return order[suppress(box_iou(ranked, ranked) > threshold)]


def part_by_class(boxes: Tensor, classes: Tensor) -> Tensor:
    """Move the boxes of each class to a place of their own, so that they never meet.

    In double precision, where the shift changes neither sides nor overlaps of boxes
    measured in pixels.

    Args:
        boxes: (..., N, 4).
        classes: whole numbers (..., N).

    Returns:
        float64 (..., N, 4).
    """
    if not boxes.numel():
        return boxes.double()
    low, high = boxes.aminmax()
    step = (high - low).double().ceil() + 1
    return boxes.double() + (classes * step)[..., None]


def batched_nms(
    boxes: Tensor, scores: Tensor, classes: Tensor, threshold: float = 0.5
) -> Tensor:
    """Suppress boxes within their class only.

    Args:
        boxes: (N, 4).
        scores: (N,).
        classes: whole numbers (N,).
        threshold: IoU in [0, 1] above which the lower score loses.

    Returns:
        Indices of the boxes that stay, best first.

    Raises:
        ValueError: for sizes that do not fit or a threshold outside [0, 1].
    """
    if classes.shape != scores.shape:
        raise ValueError(
            f"classes of shape {tuple(classes.shape)} must be "
            f"{tuple(scores.shape)}, as the scores"
        )
    return nms(part_by_class(boxes, classes), scores, threshold)
