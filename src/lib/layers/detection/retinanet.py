"""RetinaNet: dense detection on a feature pyramid (Lin et al., ICCV 2017)."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.layers.detection.anchors import (
    IGNORED,
    anchor_shapes,
    assign_anchors,
    pyramid_anchors,
)
from lib.layers.detection.boxes import (
    box_iou,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    part_by_class,
    suppress,
)
from lib.layers.detection.fpn import FPN


class Outputs(NamedTuple):
    """What a RetinaNet says of a batch, one entry a level.

    Attributes:
        logits: of each class at each anchor, (B, N_i, classes).
        deltas: place and size as seen from the anchor, (B, N_i, 4).
        anchors: boxes (N_i, 4).
    """

    logits: list[Tensor]
    deltas: list[Tensor]
    anchors: list[Tensor]


class Detections(NamedTuple):
    """The objects found in one picture, best first.

    Attributes:
        boxes: (n, 4), x1 y1 x2 y2 in pixels.
        scores: (n,), in [0, 1].
        labels: int64 (n,).
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


def focal_loss(
    logits: Tensor, targets: Tensor, *, alpha: float = 0.25, gamma: float = 2.0
) -> Tensor:
    """Weigh cross entropy down where the answer is already good.

    `-alpha_t (1 - p_t)^gamma log p_t` with p_t the probability given to the truth,
    so that the many easy background anchors do not drown the few objects
    (Lin et al., ICCV 2017, equation 5).

    Args:
        logits: any shape.
        targets: 0 or 1, of the same shape.
        alpha: weight of the ones; zeros weigh 1 - alpha.
        gamma: 0 for weighted cross entropy.

    Returns:
        One loss an entry, of the same shape.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return weight * (1 - torch.exp(-entropy)) ** gamma * entropy


def tower(width: int, outputs: int, depth: int = 4, groups: int = 0) -> nn.Sequential:
    """Make the small network that every level and every place shares.

    Args:
        width: width of the pyramid and of the hidden layers.
        outputs: numbers predicted at each place.
        depth: hidden 3x3 convolutions with ReLU.
        groups: of a group normalisation after each; 0, as in the paper, for none.
    """
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers.append(nn.Conv2d(width, width, 3, padding=1))
        layers += [nn.GroupNorm(groups, width)] if groups else []
        layers.append(nn.ReLU())
    layers.append(nn.Conv2d(width, outputs, 3, padding=1))
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return nn.Sequential(*layers)


def by_anchor(x: Tensor, numbers: int) -> Tensor:
    """Give each anchor its row: (B, A * numbers, H, W) -> (B, H * W * A, numbers)."""
    x = x.unflatten(1, (-1, numbers))  # (B, A, numbers, H, W)
    return x.permute(0, 3, 4, 1, 2).flatten(1, 3)


class RetinaHead(nn.Module):
    """Two towers, shared by all levels: what is at each anchor, and where exactly.

    Args:
        width: width of the pyramid.
        num_classes: number of classes, without background.
        anchors: number of anchors a place.
        depth: hidden layers of each tower.
        groups: of a group normalisation in the towers; 0 for none.
        prior: probability of each class at each anchor before training; without it
            the background would swamp the first steps (section 4.1).

    Shape: levels (B, width, H_i, W_i) -> logits (B, H_i W_i A, num_classes) and deltas
    (B, H_i W_i A, 4) of each.

    Raises:
        ValueError: for an argument out of range.
    """

    def __init__(
        self,
        width: int,
        num_classes: int,
        anchors: int,
        *,
        depth: int = 4,
        groups: int = 0,
        prior: float = 0.01,
    ) -> None:
        super().__init__()
        if num_classes < 1 or not 0 < prior < 1:
            raise ValueError(
                f"num_classes={num_classes}, prior={prior}; allowed are 1 class or "
                "more and a probability inside (0, 1)"
            )
        self.num_classes = num_classes
        self.classify = tower(width, anchors * num_classes, depth, groups)
        self.locate = tower(width, anchors * 4, depth, groups)
        nn.init.constant_(self.classify[-1].bias, -math.log((1 - prior) / prior))  # type: ignore[arg-type]

    def forward(self, levels: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the logits and the deltas of every level."""
        logits = [by_anchor(self.classify(p), self.num_classes) for p in levels]
        return logits, [by_anchor(self.locate(p), 4) for p in levels]


def maps_from(maps: Sequence[Tensor], stride: int, count: int) -> Sequence[Tensor]:
    """Take the maps from a stride on, of those at strides 4, 8, 16, ...

    Raises:
        ValueError: if these are not `count`.
    """
    maps = maps[int(math.log2(stride)) - 2 :]
    if len(maps) != count:
        raise ValueError(
            f"channels: {count} given, but the backbone has {len(maps)} maps from "
            f"stride {stride} on"
        )
    return maps


class RetinaNet(nn.Module):
    """Say at every place and scale of a pyramid what is there, and where exactly.

    Args:
        backbone: has `features(x)`, which gives maps at strides 4, 8, 16, ...
        channels: widths of the maps that are used, finest first.
        num_classes: number of classes, without background.
        stride: of the finest map that is used, 4 or a multiple by a power of two.
        width: width of pyramid and towers.
        extra: coarser levels that the pyramid adds.
        shapes: width and height of the anchors at each place in strides of the level,
            (A, 2), as `anchor_shapes` makes them; by default nine of 4 strides and up.
        head: `depth`, `groups` and `prior` of `RetinaHead`.

    Shape: (B, 3, H, W) -> `Outputs`.

    Raises:
        ValueError: for an argument out of range, or if the backbone gives another
            number of maps.
    """

    shapes: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        channels: Sequence[int],
        num_classes: int,
        *,
        stride: int = 8,
        width: int = 256,
        extra: int = 2,
        shapes: Tensor | None = None,
        **head: Any,
    ) -> None:
        super().__init__()
        if stride < 4 or stride & (stride - 1):
            raise ValueError(f"stride={stride}; allowed are 4, 8, 16 and so on")
        self.stride = stride
        self.backbone: Any = backbone
        self.fpn = FPN(channels, width, extra=extra)
        shapes = anchor_shapes(4.0) if shapes is None else shapes
        self.register_buffer("shapes", shapes, persistent=False)
        self.head = RetinaHead(width, num_classes, len(shapes), **head)

    def forward(self, x: Tensor) -> Outputs:
        """Return logits, deltas and anchors of every level."""
        maps = self.backbone.features(x)  # at strides 4, 8, 16, ...
        levels = self.fpn(maps_from(maps, self.stride, len(self.fpn.lateral)))
        logits, deltas = self.head(levels)  # each (B, width, H_i, W_i)
        sizes = [level.shape[-2:] for level in levels]
        return Outputs(logits, deltas, pyramid_anchors(sizes, self.stride, self.shapes))

    @torch.no_grad()
    def detect(self, x: Tensor, **options: Any) -> list[Detections]:
        """Find the objects in pictures (B, 3, H, W); options are those of `select`."""
        if self.training:  # pictures of a batch would share their statistics
            raise ValueError("model.training=True: detect() needs model.eval() first")
        return select(self(x), x.shape[-2:], **options)


def retinanet_loss(
    outputs: Outputs,
    boxes: Tensor,
    labels: Tensor,
    *,
    beta: float = 1 / 9,
    high: float = 0.5,
    low: float = 0.4,
) -> tuple[Tensor, Tensor]:
    """Compare with the truth: focal loss on classes, smooth L1 on boxes.

    Both are summed and divided by the number of anchors that have a box in the whole
    batch (Lin et al., ICCV 2017, section 4.1).

    Args:
        outputs: of a batch of B pictures.
        boxes: (B, K, 4), filled up to K boxes a picture with any numbers.
        labels: (B, K), the class, or -1 where there is no box.
        beta: error from which smooth L1 grows linearly.
        high: IoU from which an anchor has a box, see `assign_anchors`.
        low: IoU below which an anchor is background.

    Returns:
        Loss of the classes and loss of the boxes, to be added.

    Raises:
        ValueError: for a label that is no class, or sizes that do not fit.
    """
    logits, deltas = torch.cat(outputs.logits, 1), torch.cat(outputs.deltas, 1)
    anchors = torch.cat(outputs.anchors)  # (N, 4)
    classes = logits.shape[-1]
    if labels.numel() and not -1 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"labels from {labels.min()} to {labels.max()}; allowed are -1 (no box) to "
            f"{classes - 1}"
        )
    found = assign_anchors(anchors, boxes, labels, high=high, low=low)  # (B, N)
    positive = found >= 0
    count = positive.sum().clamp(min=1)
    picture, place = positive.nonzero(as_tuple=True)  # (P,), one entry a positive
    mine = found[positive]

    truth = torch.zeros_like(logits)  # (B, N, classes)
    truth[picture, place, labels[picture, mine]] = 1
    class_loss = focal_loss(logits, truth)[found != IGNORED].sum() / count
    wanted = encode_boxes(boxes[picture, mine], anchors[place])  # (P, 4)
    box_loss = F.smooth_l1_loss(deltas[positive], wanted, beta=beta, reduction="sum")
    return class_loss, box_loss / count


def candidates(
    outputs: Outputs, size: Sequence[int], top: int = 1000
) -> tuple[Tensor, Tensor, Tensor]:
    """Collect the most probable pairs of anchor and class of each level.

    Args:
        outputs: of a batch of B pictures.
        size: height and width of the pictures.
        top: how many to take from each level at most.

    Returns:
        Boxes (B, n, 4), cut off at the edges; scores (B, n), best first; labels (B, n).
    """
    found = []
    for logits, deltas, anchors in zip(*outputs, strict=True):
        classes = logits.shape[-1]
        n = min(top, logits.shape[1:].numel())
        scores, pair = logits.flatten(1).topk(n)  # (B, n), logits so far
        anchor = pair // classes
        move = deltas.gather(1, anchor[..., None].expand(-1, -1, 4))
        boxes = clip_boxes(decode_boxes(move, anchors[anchor]), size)
        found.append((boxes, scores.sigmoid(), pair % classes))
    boxes, scores, labels = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    boxes = boxes.gather(1, order[..., None].expand(-1, -1, 4))
    return boxes, scores, labels.gather(1, order)


def select(
    outputs: Outputs,
    size: Sequence[int],
    *,
    score: float = 0.05,
    top: int = 1000,
    overlap: float = 0.5,
    most: int = 100,
) -> list[Detections]:
    """Turn what the network says into a short list of objects for each picture.

    Args:
        outputs: of a batch of B pictures.
        size: height and width of the pictures.
        score: least score of an object.
        top: pairs of anchor and class taken from each level at most.
        overlap: IoU above which the lower score of the same class is dropped.
        most: objects a picture at most.

    Raises:
        ValueError: for an argument out of range.
    """
    if not (0 <= score <= 1 and 0 <= overlap <= 1 and top >= 1 and most >= 1):
        raise ValueError(
            f"score={score}, overlap={overlap}, top={top}, most={most}; allowed are "
            "numbers in [0, 1] for the first two and from 1 for the others"
        )
    boxes, scores, labels = candidates(outputs, size, top)
    good = scores > score  # (B, n), true first
    longest = int(good.sum(dim=1).max()) if len(good) else 0
    boxes, scores, labels, good = (
        x[:, :longest] for x in (boxes, scores, labels, good)
    )
    apart = part_by_class(boxes, labels)
    keep = good & suppress((box_iou(apart, apart) > overlap) & good[..., None])
    keep &= keep.cumsum(dim=1) <= most
    return [
        Detections(b[k], s[k], c[k])
        for b, s, c, k in zip(boxes, scores, labels, keep, strict=True)
    ]
