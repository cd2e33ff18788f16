"""Many small networks of different codes trained at once, in one graph."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lib.data.columns import column
from lib.papers.weaknas.cells import (
    MixNet,
    cell_edges,
    pool_matrix,
    read_code,
    to_tokens,
)

TOKENS, CLASSES, CELLS, OPS = 16, 10, 2, 5
SIZES = {"train": 4000, "val": 2000, "test": 4000}
"""Pictures of each split on which the book's table was made."""

Code = tuple[int, ...]
Data = Mapping[str, tuple[Tensor, Tensor]]
"""Split -> tokens (T, n, 4) and labels (n,)."""


def cell_data(seed: int = 0, *, device: str | torch.device = "cpu") -> Data:
    """Draw the three splits of `cell_digits` as tokens.

    Args:
        seed: of the data; the book's table is made with 0.
        device: where the tensors shall lie.
    """
    from lib.data.worlds import cell_digits

    data = {}
    for split, size in SIZES.items():
        rows = cell_digits(size, seed, split=split)
        images = torch.from_numpy(column(rows, "image"))
        labels = torch.from_numpy(column(rows, "label")).to(device)
        data[split] = (to_tokens(images).to(device), labels)
    return data


@dataclass(frozen=True)
class CellResults:
    """What came of the training of K networks.

    Attributes:
        val: validation accuracy in percent, float64 (K,).
        test: test accuracy in percent, float64 (K,).
        losses: mean cross entropy of each step, float32 (steps, K).
    """

    val: Tensor
    test: Tensor
    losses: Tensor


@dataclass(frozen=True)
class Fan:
    """The edges that start at one node, in all networks of a stack.

    Attributes:
        pick: the network of each edge, sorted by operation, then by target node.
        counts: number of edges of each operation (skip, channel, spatial, pool).
        targets: for each operation, pairs of target node and its networks.
    """

    pick: Tensor
    counts: list[int]
    targets: list[list[tuple[int, Tensor]]]


def stacked_cell(
    x: Tensor, fans: Sequence[Fan], mixes: Iterator[Tensor], pool: Tensor
) -> Tensor:
    """Run one cell of every network of a stack, (K, T, B, C) -> (K, T, B, C).

    Args:
        x: the inputs.
        fans: the edges that start at each node but the last.
        mixes: for each node the weights of its channel mixes, (k, C, C), and of its
            spatial mixes, (k, T, T).
        pool: the fixed mean pool as a matrix (T, T).
    """
    nodes = [x, *(torch.zeros_like(x) for _ in fans)]
    for node, fan in zip(nodes, fans, strict=False):
        picked = node.index_select(0, fan.pick)  # (edges, T, B, C)
        skip, channel, spatial, pooled = picked.split(fan.counts)
        channel = (channel.relu().flatten(1, 2) @ next(mixes)).view_as(channel)
        spatial = (next(mixes) @ spatial.relu().flatten(2)).view_as(spatial)
        if len(pooled):
            every = pool.expand(len(pooled), -1, -1)
            pooled = (every @ pooled.flatten(2)).view_as(pooled)
        for out, targets in zip(
            (skip, channel, spatial, pooled), fan.targets, strict=True
        ):
            parts = out.split([len(rows) for _, rows in targets])
            for part, (target, rows) in zip(parts, targets, strict=True):
                nodes[target].index_add_(0, rows, part)
    return nodes[-1]


class CellStack:
    """K networks of the kind `MixNet`, each of its own code, as one function.

    Activations are (K, T, B, C). For each node and operation, the edges of all networks
    that start there share one batched product, and the results are added to their rows
    of the later nodes. All weights lie in one vector, `flat`: it is cut into stacks
    (k, ...) of weights of one shape.

    Args:
        codes: (K, 6) digits, or K codes as text.
        channels: C.
        seed: of the weights; see `initial_weights`.
        device: where to compute.
    """

    def __init__(
        self,
        codes: Tensor | Sequence[str],
        channels: int = 12,
        *,
        seed: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        self.codes = [read_code(code, OPS) for code in codes]
        self.channels = channels
        self.fans = [plan_fan(self.codes, node, device) for node in range(3)]
        self.places = place_weights(self.codes)
        own = [initial_weights(code, channels, seed) for code in self.codes]
        flat = [own[k][i].flatten() for places in self.places for k, i in places]
        self.flat = torch.cat(flat).to(device).requires_grad_()
        self.pool = pool_matrix(TOKENS).to(device)
        self.mean = torch.full((channels, channels), 1 / channels, device=device)

    def weights(self) -> list[Tensor]:
        """Give `flat` cut into its stacks, (k, ...) each, as views."""
        return cut_stacks(self.flat, [len(p) for p in self.places], self.channels)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the scores of all networks: (T, B, 4) -> (K, B, 10)."""
        embed, position, head, *rest = self.weights()
        T, B, _ = x.shape
        h = (x.flatten(0, 1) @ embed).unflatten(1, (T, B)) + position  # (K, T, B, C)
        mixes = iter(rest)
        for _ in range(CELLS):
            h = stacked_cell(h, self.fans, mixes, self.pool)
            # The mean over C as a product: no operand is broadcast, which is faster.
            h = h * (h.square() @ self.mean + 1e-4).rsqrt()
        return h.relu().mean(1) @ head  # (K, B, 10)

    def network(self, k: int) -> MixNet:
        """Give the k-th network as a plain module with the present weights."""
        numbered = {
            i: weight
            for stack, places in zip(self.weights(), self.places, strict=True)
            for weight, (owner, i) in zip(stack, places, strict=True)
            if owner == k
        }
        net = MixNet(self.codes[k], self.channels)
        for i, parameter in enumerate(net.parameters()):
            parameter.data.copy_(numbered[i])
        return net


def cut_stacks(flat: Tensor, counts: list[int], channels: int) -> list[Tensor]:
    """Cut a vector into stacks of weights of one shape, (k, ...) each, as views.

    Args:
        flat: embeddings, positions and heads, then channel and spatial mixes in turn.
        counts: k of each stack.
        channels: C.
    """
    C, T = channels, TOKENS
    shapes = [(4, C), (T, 1, C), (C, CLASSES)] + 3 * CELLS * [(C, C), (T, T)]
    sizes = [n * math.prod(shape) for n, shape in zip(counts, shapes, strict=True)]
    parts = zip(flat.split(sizes), counts, shapes, strict=True)
    return [part.view(n, *shape) for part, n, shape in parts]


def plan_fan(codes: list[Code], node: int, device: str | torch.device) -> Fan:
    """Sort the edges that start at `node` by operation, then by target."""
    edges = cell_edges(len(codes[0]))
    targets: list[list[tuple[int, Tensor]]] = []
    for digit in range(1, OPS):
        rows = [
            (target, [k for k, code in enumerate(codes) if code[place] == digit])
            for place, (source, target) in enumerate(edges)
            if source == node
        ]
        targets.append([(t, torch.tensor(ks, device=device)) for t, ks in rows if ks])
    pick = [rows for group in targets for _, rows in group]
    counts = [sum(len(rows) for _, rows in group) for group in targets]
    none = torch.zeros(0, dtype=torch.long, device=device)
    return Fan(torch.cat([none, *pick]), counts, targets)


def place_weights(codes: list[Code]) -> list[list[tuple[int, int]]]:
    """List, for each stack of weights, the network and its parameter's number.

    The stacks: embedding, position and head of every network; then, cell by cell and
    node by node, the channel and the spatial mixes of the edges that start there, in
    the order of `Fan.pick`. A parameter's number is its place in `MixNet.parameters()`.
    """
    places = [[(k, i) for k in range(len(codes))] for i in range(3)]
    edges = cell_edges(len(codes[0]))
    mixes = [sum(digit in (2, 3) for digit in code) for code in codes]
    for cell in range(CELLS):
        for node in range(3):
            starts = [e for e, (source, _) in enumerate(edges) if source == node]
            for mix in (2, 3):
                places.append(
                    [
                        (k, 3 + cell * mixes[k] + sum(d in (2, 3) for d in code[:e]))
                        for e in starts
                        for k, code in enumerate(codes)
                        if code[e] == mix
                    ]
                )
    return places


def initial_weights(code: Code, channels: int, seed: int) -> list[Tensor]:
    """Draw the weights of one network in the order of `MixNet.parameters()`.

    They depend on the seed and the code alone, not on the company in a stack.

    Args:
        code: six digits.
        channels: C.
        seed: 0 to 4000.

    Raises:
        ValueError: a seed outside the range.
    """
    if not 0 <= seed <= 4000:  # the generator reads 32 bits
        raise ValueError(f"seed={seed} must be from 0 to 4000")
    number = int("".join(map(str, code)))
    generator = torch.Generator().manual_seed(10**6 * seed + number)
    C, T = channels, TOKENS
    kinds = [((4, C), 0.5), ((T, 1, C), 0.5), ((C, CLASSES), C**-0.5)]
    widths = [{2: C, 3: T}[digit] for digit in code if digit in (2, 3)]
    kinds += CELLS * [((n, n), (2 / n) ** 0.5) for n in widths]
    return [std * torch.randn(shape, generator=generator) for shape, std in kinds]


class FlatAdam:
    """Adam (Kingma and Ba, ICLR 2015) on one vector, without weight decay.

    Args:
        flat: the vector, changed in place.
        betas: decay of the means of gradient and squared gradient.
        eps: added to the root.
    """

    def __init__(
        self, flat: Tensor, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        self.flat, self.betas, self.eps = flat, betas, eps
        self.mean, self.square = torch.zeros_like(flat), torch.zeros_like(flat)
        self.steps = 0

    @torch.no_grad()
    def step(self, gradient: Tensor, lr: float) -> None:
        """Move against the gradient."""
        self.steps += 1
        first, second = self.betas
        self.mean.lerp_(gradient, 1 - first)
        self.square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        size = self.square.div(1 - second**self.steps).sqrt_().add_(self.eps)
        self.flat.addcdiv_(self.mean, size, value=-lr / (1 - first**self.steps))


def train_cells(
    codes: Tensor | Sequence[str],
    data: Data,
    *,
    channels: int = 12,
    epochs: int = 5,
    batch: int = 40,
    lr: float = 1e-2,
    seed: int = 0,
) -> CellResults:
    """Train one network a code, all in one graph, and score them.

    Adam without decay; the rate falls from `lr` to 0 along half a cosine. All networks
    of one seed see the same batches in the same order. The defaults are the recipe of
    the book's table, 500 steps.

    Args:
        codes: (K, 6) digits, or K codes as text; 16 to 32 at once are fastest.
        data: as `cell_data` gives it; the networks train where it lies.
        channels: C.
        epochs: passes through the training data.
        batch: pictures a step; a rest smaller than this is left out.
        lr: largest learning rate.
        seed: of weights and batches, 0 to 4000.
    """
    x, y = data["train"]
    stack = CellStack(codes, channels, seed=seed, device=x.device)
    adam = FlatAdam(stack.flat)
    shuffler = torch.Generator().manual_seed(seed)
    steps = epochs * (len(y) // batch)
    losses: list[Tensor] = []
    for _ in range(epochs):
        order = torch.randperm(len(y), generator=shuffler).to(x.device)
        for rows in order[: len(y) // batch * batch].split(batch):
            rate = lr * (1 + math.cos(math.pi * len(losses) / steps)) / 2
            loss = stack_losses(stack(x[:, rows]), y[rows])  # (K,)
            (gradient,) = torch.autograd.grad(loss.sum(), stack.flat)
            adam.step(gradient, rate)
            losses.append(loss.detach())
    scores = {split: accuracy(stack, *data[split]) for split in ("val", "test")}
    return CellResults(**scores, losses=torch.stack(losses))


def stack_losses(scores: Tensor, labels: Tensor) -> Tensor:
    """Give the mean cross entropy of each network: (K, B, 10), (B,) -> (K,)."""
    labels = labels.expand(len(scores), -1)  # (K, B)
    loss = functional.cross_entropy(
        scores.flatten(0, 1), labels.flatten(), reduction="none"
    )
    return loss.view_as(labels).mean(1)


@torch.no_grad()
def accuracy(stack: CellStack, x: Tensor, y: Tensor, rows: int = 400) -> Tensor:
    """Give the accuracy of each network in percent, float64 (K,), on the CPU."""
    right = [
        (stack(part).argmax(-1) == labels).sum(1)
        for part, labels in zip(x.split(rows, dim=1), y.split(rows), strict=True)
    ]
    return 100 * torch.stack(right).sum(0).cpu().double() / len(y)
