"""Anchors: the boxes from which a detector predicts, and which of them is whose."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lib.layers.detection.boxes import box_iou

SCALES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
"""Three sizes within an octave (Lin et al., ICCV 2017, section 4)."""

RATIOS = (0.5, 1.0, 2.0)
"""Height over width."""

NEGATIVE, IGNORED = -1, -2
"""What `assign_anchors` says of an anchor that has no box."""


def anchor_shapes(
    size: float,
    scales: Sequence[float] = SCALES,
    ratios: Sequence[float] = RATIOS,
) -> Tensor:
    """Make the shapes of the anchors at one place: every scale in every ratio.

    Args:
        size: side of the square anchor of scale 1, in pixels.
        scales: factors on the size.
        ratios: height over width; the area does not depend on it.

    Returns:
        Width and height, (A, 2), scale by scale.

    Raises:
        ValueError: for a number that is not above 0.
    """
    for name, values in (("size", (size,)), ("scales", scales), ("ratios", ratios)):
        if not values or min(values) <= 0:
            raise ValueError(f"{name}={values!r}; allowed are numbers above 0")
    sides = size * torch.tensor(scales)[:, None]  # (scales, 1)
    root = torch.tensor(ratios).sqrt()  # (ratios,)
    return torch.stack([sides / root, sides * root], dim=-1).flatten(0, 1)


def grid_anchors(size: Sequence[int], stride: int, shapes: Tensor) -> Tensor:
    """Centre all shapes on every pixel of a map.

    Args:
        size: height and width of the map.
        stride: pixels of the picture between neighbours in the map.
        shapes: width and height of each anchor, (A, 2).

    Returns:
        Boxes (H * W * A, 4), row by row, at each place in the order of `shapes`.
    """
    y, x = ((torch.arange(n, device=shapes.device) + 0.5) * stride for n in size)
    centres = torch.cartesian_prod(y, x).flip(-1)[:, None]  # (H W, 1, 2), x first
    corners = torch.cat([centres - shapes / 2, centres + shapes / 2], dim=-1)
    return corners.flatten(0, 1)  # (H W A, 4)


def pyramid_anchors(
    sizes: Sequence[Sequence[int]], stride: int, shapes: Tensor
) -> list[Tensor]:
    """Make the anchors of every level; with the stride grow the shapes.

    Args:
        sizes: height and width of each level, finest first.
        stride: of the finest level; each further one has twice the stride.
        shapes: width and height of each anchor in strides, (A, 2).

    Returns:
        For each level boxes (H_i * W_i * A, 4), see `grid_anchors`.
    """
    strides = [stride * 2**i for i in range(len(sizes))]
    return [
        grid_anchors(size, step, shapes * step)
        for size, step in zip(sizes, strides, strict=True)
    ]


def assign_anchors(
    anchors: Tensor,
    boxes: Tensor,
    labels: Tensor,
    *,
    high: float = 0.5,
    low: float = 0.4,
) -> Tensor:
    """Find for each anchor the box that it has to predict, if any.

    An anchor belongs to the box that it overlaps most if their IoU is `high` or more;
    below `low` it is background, and between the two it counts neither way. So that
    no box goes without, the anchors that overlap a box most (ties included) are that
    box's, however little it is, unless they are also the best for a closer one.

    Args:
        anchors: (N, 4).
        boxes: (B, K, 4), filled up to K boxes a picture with any numbers.
        labels: whole numbers (B, K), negative where there is no box.
        high: IoU from which an anchor has a box.
        low: IoU below which it is background, at most `high`.

    Returns:
        (B, N): number of the box, `NEGATIVE` or `IGNORED`.

    Raises:
        ValueError: for sizes that do not fit, or unless 0 <= low <= high <= 1.
    """
    if boxes.ndim != 3 or boxes.shape[:2] != labels.shape:
        raise ValueError(
            f"boxes of shape {tuple(boxes.shape)} must be (B, K, 4) and labels of "
            f"shape {tuple(labels.shape)} (B, K)"
        )
    if not 0 <= low <= high <= 1:
        raise ValueError(f"low={low}, high={high}; allowed are 0 <= low <= high <= 1")
    if not labels.shape[1]:
        return labels.new_full((len(labels), len(anchors)), NEGATIVE)
    iou = box_iou(anchors, boxes)  # (B, N, K)
    iou = iou.where((labels >= 0)[:, None], -1.0)  # no box overlaps nothing
    overlap, box = iou.max(dim=2)  # (B, N)
    found = box.where(overlap >= high, IGNORED).where(overlap >= low, NEGATIVE)
    closest = iou.amax(dim=1, keepdim=True)  # (B, 1, K)
    claimed = iou.where((iou == closest) & (closest > 0), -1.0)  # (B, N, K)
    claim, claimant = claimed.max(dim=2)
    return claimant.where(claim > 0, found)
