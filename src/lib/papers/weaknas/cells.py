"""A code of six digits as a network: the cell, its operations, and MixNet around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Makers = tuple[Callable[[], nn.Module], ...]
"""One maker of an operation for each digit of a code."""


def read_code(code: str | Sequence[int] | Tensor, ops: int) -> tuple[int, ...]:
    """Give the digits of a code, checked.

    Args:
        code: one digit an edge, as text (`"322233"`), numbers or a tensor.
        ops: number of operations; digits run from 0 to `ops - 1`.

    Raises:
        ValueError: a digit that names no operation, or a number of digits that is
            not 1, 3, 6, 10, ... (every pair of nodes has one edge).
    """
    try:
        digits = tuple(int(digit) for digit in code)
    except (TypeError, ValueError):
        raise ValueError(f"code={code!r} must be digits, such as '322233'") from None
    if not digits or any(not 0 <= digit < ops for digit in digits):
        raise ValueError(f"code={code!r} must be of digits from 0 to {ops - 1}")
    if len(digits) not in {n * (n - 1) // 2 for n in range(2, 20)}:
        raise ValueError(
            f"code={code!r} has {len(digits)} digits; allowed are 1, 3, 6, 10, ..."
        )
    return digits


def cell_edges(count: int) -> list[tuple[int, int]]:
    """Give source and target node of each digit: 0-1, 0-2, 1-2, 0-3, 1-3, 2-3, ..."""
    edges = [(i, j) for j in range(1, count + 1) for i in range(j)]
    return edges[:count]


class Zero(nn.Module):
    """The operation `none`: nothing passes."""

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros of the shape of the input."""
        return torch.zeros_like(x)


class ChannelMix(nn.Module):
    """ReLU, then the same linear map of the channels at every token; no bias.

    A 1 x 1 convolution in other words.

    Shape: (T, B, C) -> (T, B, C).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        weight = torch.randn(channels, channels) * (2 / channels) ** 0.5
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the channels."""
        return x.relu() @ self.weight  # (T, B, C)


class SpatialMix(nn.Module):
    """ReLU, then the same linear map of the tokens in every channel; no bias.

    The token mixing of MLP-Mixer with one layer.

    Shape: (T, B, C) -> (T, B, C).
    """

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(tokens, tokens) * (2 / tokens) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the tokens."""
        mixed = self.weight @ x.relu().flatten(1)  # (T, B * C)
        return mixed.view_as(x)


class MeanPool(nn.Module):
    """Mean over the 3 x 3 neighbours of each token that lie in the square grid.

    Shape: (T, B, C) -> (T, B, C).
    """

    weight: Tensor

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.register_buffer("weight", pool_matrix(tokens), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Average the neighbours."""
        return (self.weight @ x.flatten(1)).view_as(x)


def pool_matrix(tokens: int) -> Tensor:
    """Give the 3 x 3 mean pool on a square grid as a matrix (T, T), rows adding to 1.

    Raises:
        ValueError: `tokens` is no square number.
    """
    side = round(tokens**0.5)
    if side * side != tokens:
        raise ValueError(f"tokens={tokens} must be a square number")
    row, column = torch.arange(tokens) // side, torch.arange(tokens) % side
    near = (row[:, None] - row).abs() <= 1
    near &= (column[:, None] - column).abs() <= 1
    return near.float() / near.sum(1, keepdim=True)


def mix_ops(channels: int, tokens: int = 16) -> Makers:
    """Give the operations of MixCell by digit: four, and the mean pool of MixCell-5.

    Every one takes and gives (T, B, C). None has a bias or a scale of its own, so two
    codes whose expressions simplify to the same one are the same function where equal
    operations on equal sources share weights.

    Args:
        channels: C.
        tokens: T, a square number.
    """
    return (
        Zero,
        nn.Identity,
        lambda: ChannelMix(channels),
        lambda: SpatialMix(tokens),
        lambda: MeanPool(tokens),
    )


def nb201_ops(channels: int) -> Makers:
    """Give the operations of NAS-Bench-201 by digit.

    Nothing, skip, convolutions 1 x 1 and 3 x 3 (ReLU, convolution, normalisation) and
    the 3 x 3 mean. Every one takes and gives (B, C, H, W).

    Args:
        channels: C.
    """

    def conv(kernel: int) -> nn.Module:
        return nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(channels),
        )

    return (
        Zero,
        nn.Identity,
        lambda: conv(1),
        lambda: conv(3),
        lambda: nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
    )


class Cell(nn.Module):
    """A cell: each node is the sum of an operation of every node before it.

    Node 0 is the input, the last node the output. The digits of the code name the
    operations of the edges 0-1, 0-2, 1-2, 0-3, 1-3, 2-3.

    Args:
        code: one digit an edge, as text, numbers or a tensor.
        op_factory: gives the makers of the operations; `mix_ops` or `nb201_ops`.
        channels: handed to `op_factory`.

    Shape: as the operations, the output like the input.
    """

    def __init__(
        self,
        code: str | Sequence[int] | Tensor,
        op_factory: Callable[[int], Makers],
        channels: int,
    ) -> None:
        super().__init__()
        makers = op_factory(channels)
        digits = read_code(code, len(makers))
        self.edges = nn.ModuleList(makers[digit]() for digit in digits)

    def forward(self, x: Tensor) -> Tensor:
        """Add up the nodes, one after the other."""
        nodes, edges = [x], iter(self.edges)
        for edge in edges:  # the edge from node 0 to the next node
            new = edge(x)
            for node in nodes[1:]:
                new = new + next(edges)(node)
            nodes.append(new)
        return nodes[-1]


def to_tokens(images: Tensor, patch: int = 2) -> Tensor:
    """Cut pictures into square patches, tokens first.

    Args:
        images: (B, H, W).
        patch: side of a patch; it divides H and W.

    Returns:
        (T, B, patch * patch), T = H * W / patch².
    """
    B, H, W = images.shape
    x = images.reshape(B, H // patch, patch, W // patch, patch)
    return x.permute(1, 3, 0, 2, 4).reshape(-1, B, patch * patch)


def rms_norm(x: Tensor) -> Tensor:
    """Divide by the root of the mean square over the channels, the last axis."""
    return x * (x.square().mean(-1, keepdim=True) + 1e-4).rsqrt()


class MixNet(nn.Module):
    """The network of the book's own table: two cells of one code on 16 tokens.

    Patches of 2 x 2 pixels are embedded, a learned position is added, two cells with
    weights of their own follow, each with a normalisation, then ReLU, the mean over the
    tokens and a linear head. Nothing has a bias.

    Args:
        code: six digits; 0 none, 1 skip, 2 channel mix, 3 spatial mix, 4 mean pool.
        channels: C.

    Shape: (16, B, 4) -> (B, 10).
    """

    def __init__(self, code: str | Sequence[int] | Tensor, channels: int = 12) -> None:
        super().__init__()
        self.embed = nn.Parameter(torch.randn(4, channels) * 0.5)
        self.position = nn.Parameter(torch.randn(16, 1, channels) * 0.5)
        self.cells = nn.ModuleList(Cell(code, mix_ops, channels) for _ in range(2))
        self.head = nn.Parameter(torch.randn(channels, 10) * channels**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of the ten digits."""
        x = x @ self.embed + self.position  # (T, B, C)
        for cell in self.cells:
            x = rms_norm(cell(x))
        return x.relu().mean(0) @ self.head  # (B, 10)
