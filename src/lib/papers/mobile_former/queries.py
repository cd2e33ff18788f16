"""An end-to-end detector whose tokens are object queries.

It follows the idea of the paper's second detector (E2E-MF-DETR): DETR whose encoder and
decoder are Mobile-Former blocks. The authors released no code for it, and the details
are unverified. What is known of it: a backbone with spatial dynamic ReLU, a head of
Mobile-Former blocks with learned queries as its tokens, from the coarsest map to finer
ones, positions that are adapted after every block, and DETR's set loss with auxiliary
losses.

Of our own choosing, so that it learns in minutes: all sizes; how a position acts,
namely as the code of a place, whose match with the codes of the pixels is added to the
scores of both bridges (in the spirit of Conditional DETR, Meng et al., ICCV 2021); a
code of places on the maps themselves; ReLU6 inside the head, where no token is the
first; and no convolutions in the last block, since nobody would read its map.
"""

from collections.abc import Sequence
from itertools import islice, pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from lib.layers import (
    ConvBNAct,
    FormerToMobile,
    MobileToFormer,
    PostNormBlock,
    merge_heads,
    split_heads,
)
from lib.layers.detection import Detections, giou
from lib.papers.mobile_former.blocks import MobileBlock
from lib.papers.mobile_former.model import Backbone

# A book-scale detector for pictures of 64x64: the maps of the head are 8x8 and 16x16.
# Cue scenes have sixteen cells with at most one object each, and sixteen queries come
# to take a cell each; with fewer they would have to share the cells out anew.
QUERY_NANO: dict[str, Any] = {
    "backbone": {
        "blocks": [
            ("lite", 16, 8),
            ("MF-down", (32, 48), 16),
            ("MF", 64, 16),
            ("MF-down", (64, 96), 32),
            ("MF", 128, 32),
        ],
        "stem": 8,
        "tokens": 4,
        "dim": 48,
    },
    "strides": (8, 4),
    "depths": (3, 2),
    "queries": 16,
    "dim": 64,
    "channels": 48,
}

# Of the class, the distance of the boxes and their GIoU, in matching and in the loss.
WEIGHTS = (1.0, 5.0, 2.0)


class Prediction(NamedTuple):
    """What the queries of a batch say.

    Attributes:
        logits: (B, M, classes + 1); the last class is "no object".
        boxes: centre x, centre y, width and height in [0, 1], (B, M, 4).
    """

    logits: Tensor
    boxes: Tensor


def corners(boxes: Tensor) -> Tensor:
    """Turn centres and sizes (..., 4) into corners x1 y1 x2 y2."""
    centre, size = boxes.split(2, dim=-1)
    return torch.cat([centre - size / 2, centre + size / 2], dim=-1)


def unit_boxes(boxes: Tensor, size: Sequence[int]) -> Tensor:
    """Turn corners in pixels into what the detector predicts.

    Args:
        boxes: x1 y1 x2 y2, (..., 4).
        size: height and width of the picture.

    Returns:
        Centre x, centre y, width and height in parts of the picture, (..., 4).
    """
    height, width = size
    low, high = (boxes / boxes.new_tensor([width, height] * 2)).split(2, dim=-1)
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def position_code(height: int, width: int, channels: int) -> Tensor:
    """Say in sines and cosines where each pixel of a map lies.

    Half of the channels tell the row, half the column. The waves are from two pictures
    to a tenth of a picture long, however many pixels it has, so that maps of all
    strides agree.

    Args:
        height: rows of the map.
        width: columns of the map.
        channels: a multiple of 4.

    Returns:
        Values in [-1, 1], (channels, height, width).

    Raises:
        ValueError: if `channels` is no multiple of 4.
    """
    if channels < 4 or channels % 4:
        raise ValueError(f"channels={channels}; allowed are multiples of 4")
    waves = torch.pi * 20 ** torch.linspace(0, 1, channels // 4)  # (channels / 4,)
    y = (torch.arange(height) + 0.5)[:, None] / height * waves  # (H, channels / 4)
    x = (torch.arange(width) + 0.5)[:, None] / width * waves
    y, x = (torch.cat([p.sin(), p.cos()], dim=1).T for p in (y, x))
    shape = (channels // 2, height, width)
    return torch.cat([y[:, :, None].expand(shape), x[:, None].expand(shape)])


class QueryLook(MobileToFormer):
    """Queries look at the picture, first of all at what is near to them.

    The bridge Mobile->Former with one addition: how near each pixel is to a query
    is added to the scores before the softmax.

    Shape: x (B, C, H, W), queries (B, M, D), near (B, M, H * W) -> (B, M, D).
    """

    def forward(self, x: Tensor, queries: Tensor, near: Tensor | None = None) -> Tensor:
        """Return the queries after one look at the picture."""
        bias = None if near is None else near[:, None]  # (B, 1, M, HW), for all heads
        pixels = split_heads(x.flatten(2).transpose(1, 2), self.heads)
        q = split_heads(self.query(queries), self.heads)  # (B, h, M, C / h)
        found = F.scaled_dot_product_attention(q, pixels, pixels, attn_mask=bias)
        found = merge_heads(found)  # (B, M, C)
        if self.gate is not None:
            found = found * 2 * F.hardsigmoid(self.gate(queries))
        return self.norm(queries + self.drop_path(self.out(found)))  # (B, M, D)


class QueryFormer(PostNormBlock):
    """Queries look at each other: by content and position, exchanging content.

    This is where two queries can agree that only one of them keeps an object.

    Shape: queries and position (B, M, D) -> (B, M, D).
    """

    def forward(self, queries: Tensor, position: Tensor | float = 0.0) -> Tensor:
        """Return the queries after they have looked at each other."""
        placed = queries + position
        q = split_heads(self.query(placed), self.heads)  # (B, h, M, D / h)
        k = split_heads(self.key(placed), self.heads)
        v = split_heads(self.value(queries), self.heads)
        mixed = merge_heads(F.scaled_dot_product_attention(q, k, v))  # (B, M, D)
        queries = self.norm1(queries + self.drop_path(self.out(mixed)))
        return self.norm2(queries + self.ffn(queries))


class QueryWrite(FormerToMobile):
    """The picture looks at the queries, first at the near ones: DETR lacks this step.

    Shape: x (B, C, H, W), queries (B, M, D), near (B, M, H * W) -> (B, C, H, W).
    """

    def forward(self, x: Tensor, queries: Tensor, near: Tensor | None = None) -> Tensor:
        """Return the map with a mixture of queries added at every pixel."""
        bias = None if near is None else near.transpose(1, 2)[:, None]  # (B, 1, HW, M)
        q = split_heads(x.flatten(2).transpose(1, 2), self.heads)  # (B, h, HW, C/h)
        k = split_heads(self.key(queries), self.heads)  # (B, h, M, C / h)
        v = split_heads(self.value(queries), self.heads)
        mix = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        mix = merge_heads(mix).transpose(1, 2)  # (B, C, HW)
        return x + self.drop_path(mix.unflatten(2, x.shape[-2:]))


def perceptron(widths: Sequence[int]) -> nn.Sequential:
    """Build linear layers of the given widths with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class QueryBlock(nn.Module):
    """A Mobile-Former block of the head, whose tokens are object queries.

    The order is that of every block (look, think, filter, write back); the bridges
    prefer what is near. Then the positions are adapted to what the queries have found,
    p + MLP(q), and the next block looks there.

    Args:
        channels: width C of the map.
        dim: width D of the queries.
        expand: Mobile's hidden layers have `expand * channels` channels.
        heads: heads of the two bridges; must divide C.
        write: whether the map is filtered and written to. The last block does not,
            nor does it adapt positions: nobody would read them.
        adapt: whether the positions are adapted.

    Shape: x (B, C, H, W), queries and position (B, M, D) -> the same three.
    """

    def __init__(
        self,
        channels: int,
        dim: int,
        *,
        expand: int = 2,
        heads: int = 2,
        write: bool = True,
        adapt: bool = True,
    ) -> None:
        super().__init__()
        self.look = QueryLook(channels, dim, heads=heads)
        self.former = QueryFormer(dim)
        self.mobile = self.write = self.adapt = None
        if write:
            self.mobile = MobileBlock(channels, expand * channels, channels)
            self.write = QueryWrite(dim, channels, heads=heads)
        if write and adapt:
            self.adapt = perceptron([dim, dim, dim])

    def forward(
        self, x: Tensor, queries: Tensor, position: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the new map, queries and positions."""
        dim = position.shape[-1]
        code = position_code(x.shape[2], x.shape[3], dim).to(x)  # (D, H, W)
        near = position @ code.flatten(1) * dim**-0.5  # (B, M, HW)
        queries = self.former(self.look(x, queries, near), position)  # (B, M, D)
        if self.mobile is not None and self.write is not None:
            x = self.write(self.mobile(x), queries, near)  # (B, C, H, W)
        if self.adapt is not None:
            position = position + self.adapt(queries)
        return x, queries, position


class MapEntry(ConvBNAct):
    """Bring a map of the backbone to the head's width, with the code of places.

    Without the code a query could find an object, but not read where it is.

    Shape: (B, channels_in, H, W) -> (B, channels_out, H, W).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the map with the code added."""
        x = super().forward(x)  # (B, C, H, W)
        return x + position_code(x.shape[2], x.shape[3], x.shape[1]).to(x)


class Answer(nn.Module):
    """Read class and box from the queries, by one small network each.

    Args:
        dim: width D of the queries.
        num_classes: without "no object".

    Shape: queries and position (B, M, D) -> `Prediction`.
    """

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.classify = perceptron([dim, dim, num_classes + 1])
        self.locate = perceptron([dim, dim, dim, 4])

    def forward(self, queries: Tensor, position: Tensor) -> Prediction:
        """Return what each query says; boxes also depend on where it had looked."""
        boxes = self.locate(queries + position).sigmoid()  # (B, M, 4)
        return Prediction(self.classify(queries), boxes)


class QueryHead(nn.Module):
    """Learned queries pass through blocks on ever finer maps, and each names a box.

    Between two scales the map is up-sampled and the backbone's map of the finer
    stride is added. The queries answer after every block, for the auxiliary losses.

    Args:
        widths: of the backbone's maps, the coarsest first.
        depths: number of blocks at each of them.
        num_classes: without "no object".
        queries: number M of queries.
        dim: width D of the queries, a multiple of 4.
        channels: width C of the maps inside the head, a multiple of 4.
        adapt_position: whether positions are adapted after every block.

    Shape: maps (B, widths[i], H_i, W_i) -> one `Prediction` a block, the last is best.
    """

    def __init__(
        self,
        widths: Sequence[int],
        depths: Sequence[int],
        num_classes: int,
        *,
        queries: int,
        dim: int,
        channels: int,
        adapt_position: bool = True,
    ) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, dim))
        places = position_code(32, 32, dim).flatten(1).T  # (1024, D)
        self.position = nn.Parameter(places[torch.randperm(1024)[:queries]])
        self.entries = nn.ModuleList(
            MapEntry(width, channels, kernel=1, act=None) for width in widths
        )
        self.depths, last = tuple(depths), sum(depths) - 1
        self.blocks = nn.ModuleList(
            QueryBlock(channels, dim, write=i < last, adapt=adapt_position)
            for i in range(last + 1)
        )
        self.answer = Answer(dim, num_classes)

    def forward(self, maps: Sequence[Tensor]) -> list[Prediction]:
        """Return what the queries say after each block."""
        batch, said = len(maps[0]), []
        queries = self.queries.expand(batch, -1, -1)  # (B, M, D)
        position = self.position.expand(batch, -1, -1)
        x = maps[0].new_zeros(batch, 1, 1, 1)  # before the first map there is none
        blocks = iter(self.blocks)
        for entry, fine, n in zip(self.entries, maps, self.depths, strict=True):
            new = entry(fine)  # (B, C, H, W), finer each time
            x = new + F.interpolate(x, new.shape[-2:], mode="bilinear")
            for block in islice(blocks, n):
                before = position
                x, queries, position = block(x, queries, position)
                said.append(self.answer(queries, before))
        return said


class QueryDetector(nn.Module):
    """Mobile-Former from the pixels to the boxes: no anchors, nothing suppressed.

    Args:
        num_classes: without "no object".
        backbone: options of `Backbone`, whose activations are spatial dynamic ReLU.
        strides: of the backbone's maps that the head reads, the coarsest first.
        depths: number of blocks of the head at each of them.
        options: `queries`, `dim`, `channels` and `adapt_position` of `QueryHead`.

    Shape: (B, 3, H, W) -> one `Prediction` a block of the head; any H and W.

    Raises:
        ValueError: if the backbone has no map of a stride, the strides do not fall,
            or their number is not that of the depths.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: dict[str, Any],
        strides: Sequence[int],
        depths: Sequence[int],
        **options: Any,
    ) -> None:
        super().__init__()
        self.backbone = Backbone(**{"act": "spatial"} | backbone)
        rows = zip(self.backbone.strides, backbone["blocks"], strict=True)
        widths = {stride: row[-1] for stride, row in rows}  # of the last map of each
        if list(strides) != sorted(set(strides) & set(widths), reverse=True):
            raise ValueError(
                f"strides={strides}; allowed are falling ones of {sorted(widths)}"
            )
        if len(depths) != len(strides) or min(depths, default=0) < 1:
            raise ValueError(
                f"depths={depths}; allowed is 1 or more for each of {strides}"
            )
        self.strides = tuple(strides)
        self.head = QueryHead(
            [widths[s] for s in strides], depths, num_classes, **options
        )

    def forward(self, x: Tensor) -> list[Prediction]:
        """Return what the queries say after each block of the head."""
        maps, _ = self.backbone.run(x)
        return self.head([maps[stride] for stride in self.strides])

    def detect(self, x: Tensor, *, score: float = 0.05) -> list[Detections]:
        """Find the objects in each picture, see the function `detect`."""
        return detect(self, x, score=score)


@torch.no_grad()
def hungarian_match(
    prediction: Prediction,
    boxes: Tensor,
    labels: Tensor,
    *,
    weights: Sequence[float] = WEIGHTS,
) -> Tensor:
    """Give every object a query of its own, so that the costs add up to the least.

    A pair costs minus the probability of the object's class, plus the L1 distance of
    the boxes, minus their generalised IoU, each with its weight (Carion et al., ECCV
    2020, equation 1 and section 3.1).

    Args:
        prediction: of one block.
        boxes: of the objects, as the detector gives them, (B, K, 4).
        labels: their classes, int64 (B, K); -1 where there is no object.
        weights: of class, L1 and GIoU.

    Returns:
        The query of each object, int64 (B, K); -1 where there is no object.

    Raises:
        ValueError: if a picture has more objects than there are queries.
    """
    there = labels >= 0  # (B, K)
    queries, most = prediction.logits.shape[1], int(there.sum(dim=1).max())
    if most > queries:
        raise ValueError(f"labels: {most} objects in a picture, {queries} queries")
    index = labels.clamp(min=0)[:, None].expand(-1, queries, -1)  # (B, M, K)
    chance = prediction.logits.softmax(dim=-1).gather(2, index)
    apart = torch.cdist(prediction.boxes, boxes, p=1)
    overlap = giou(corners(prediction.boxes), corners(boxes))
    cost = weights[1] * apart - weights[0] * chance - weights[2] * overlap
    query = torch.full_like(labels, -1)
    for picture, own in enumerate(there):  # each is a problem of its own
        table = cost[picture, :, own].T.cpu().numpy()  # (objects, M)
        chosen = linear_sum_assignment(table)[1]
        query[picture, own] = torch.from_numpy(chosen).to(query)
    return query


def set_loss(
    prediction: Prediction, boxes: Tensor, labels: Tensor, *, no_object: float = 0.1
) -> dict[str, Tensor]:
    """Compare the queries with the objects that they were matched to, as DETR does.

    Args:
        prediction: of one block.
        boxes: of the objects, as the detector gives them, (B, K, 4).
        labels: their classes, int64 (B, K); -1 where there is no object.
        no_object: weight of "no object" in the cross entropy; most queries find none.

    Returns:
        "class" (weighted mean over the queries), "l1" and "giou" (sums over the pairs
        divided by their number in the batch), each before its weight in the total.
    """
    query = hungarian_match(prediction, boxes, labels)  # (B, K)
    picture, thing = (query >= 0).nonzero(as_tuple=True)  # (N,) each
    query, boxes = query[picture, thing], boxes[picture, thing]  # (N,), (N, 4)
    logits = prediction.logits.transpose(1, 2)  # (B, classes + 1, M)
    nothing = logits.shape[1] - 1
    wanted = torch.full_like(logits[:, 0], nothing, dtype=torch.long)  # (B, M)
    wanted[picture, query] = labels[picture, thing]
    weight = logits.new_ones(nothing + 1)
    weight[nothing] = no_object
    own, count = prediction.boxes[picture, query], max(1, len(query))
    # Each box with its own object alone: (N, 1, 4) and (N, 1, 4) -> (N, 1, 1).
    overlap = giou(corners(own)[:, None], corners(boxes)[:, None])
    return {
        "class": F.cross_entropy(logits, wanted, weight),
        "l1": (own - boxes).abs().sum() / count,
        "giou": (1 - overlap).sum() / count,
    }


def detection_loss(
    predictions: Sequence[Prediction],
    boxes: Tensor,
    labels: Tensor,
    *,
    weights: Sequence[float] = WEIGHTS,
    auxiliary: bool = True,
) -> Tensor:
    """Add up the set loss of the last block and, if asked to, of all before it.

    Args:
        predictions: one a block, as the detector returns them.
        boxes: of the objects, as the detector gives them, (B, K, 4).
        labels: their classes, int64 (B, K); -1 where there is no object.
        weights: of class, L1 and GIoU.
        auxiliary: whether the earlier blocks count; each is matched on its own.
    """
    total = predictions[-1].logits.new_zeros(())
    for prediction in predictions if auxiliary else predictions[-1:]:
        parts = set_loss(prediction, boxes, labels)
        for weight, name in zip(weights, ("class", "l1", "giou"), strict=True):
            total = total + weight * parts[name]
    return total


@torch.no_grad()
def detect(
    model: QueryDetector, images: Tensor, *, score: float = 0.05
) -> list[Detections]:
    """Return the queries that name a class: no query twice, and nothing suppressed.

    Args:
        model: the detector, in eval mode.
        images: (B, 3, H, W).
        score: least probability of the best class that is not "no object".

    Returns:
        Boxes (x1 y1 x2 y2 in pixels), scores and labels of each picture, best first.

    Raises:
        ValueError: if `score` is not in [0, 1], or in training mode, in which the
            pictures of a batch share statistics.
    """
    if not 0 <= score <= 1:
        raise ValueError(f"score={score}; allowed is 0 to 1")
    if model.training:
        raise ValueError("model.training=True: detect() needs model.eval() first")
    height, width = images.shape[-2:]
    last = model(images)[-1]
    scores, labels = last.logits.softmax(dim=-1)[..., :-1].max(dim=-1)  # (B, M)
    boxes = corners(last.boxes) * last.boxes.new_tensor([width, height] * 2)
    found = []
    for box, chance, label in zip(boxes, scores, labels, strict=True):
        order = chance.argsort(descending=True)
        order = order[chance[order] >= score]
        found.append(Detections(box[order], chance[order], label[order]))
    return found
