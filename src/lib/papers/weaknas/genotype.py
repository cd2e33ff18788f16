"""The network that the paper found in the NASNet space, as its authors released it.

A cell takes the outputs of the two cells before it, nodes 0 and 1. Each further node is
the sum of two operations on earlier nodes, and the output is what these nodes hold,
side by side. The operations are those of DARTS (Liu et al., ICLR 2019). No code of the
search in this space was released; cells, width and depth stand in the code of the
training.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

Edge = tuple[str, int]


class Genotype(NamedTuple):
    """Two kinds of cells: one keeps the size of the map, one halves it.

    Args:
        normal: operation and node it reads, two for each node from 2 on.
        reduce: the same for the cell that halves the map.
    """

    normal: tuple[Edge, ...]
    reduce: tuple[Edge, ...]


WEAKNAS_NASNET = Genotype(
    normal=(
        ("sep_conv_5x5", 1),
        ("dil_conv_3x3", 0),
        ("sep_conv_3x3", 0),
        ("sep_conv_3x3", 2),
        ("skip_connect", 0),
        ("dil_conv_5x5", 1),
        ("sep_conv_3x3", 1),
        ("sep_conv_5x5", 3),
    ),
    reduce=(
        ("sep_conv_5x5", 0),
        ("sep_conv_5x5", 1),
        ("sep_conv_3x3", 1),
        ("sep_conv_5x5", 2),
        ("sep_conv_3x3", 3),
        ("sep_conv_5x5", 2),
        ("sep_conv_5x5", 4),
        ("sep_conv_3x3", 4),
    ),
)
"""Found after 800 questions; 14 cells of width 46 in the released network."""


def mix_channels(cin: int, cout: int, stride: int = 1) -> nn.Sequential:
    """Bend, mix channels by a 1x1 convolution, normalise."""
    conv = nn.Conv2d(cin, cout, 1, stride=stride, bias=False)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(cout))


def depthwise(channels: int, kernel: int, stride: int, dilation: int) -> nn.Sequential:
    """Bend, filter each channel by itself, mix channels, normalise."""
    filters = nn.Conv2d(
        channels,
        channels,
        kernel,
        stride=stride,
        padding=dilation * (kernel // 2),
        dilation=dilation,
        groups=channels,
        bias=False,
    )
    return nn.Sequential(
        nn.ReLU(),
        filters,
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
    )


class HalveMap(nn.Module):
    """Halve a map with two 1x1 convolutions, one on even places and one on odd ones.

    Args:
        cin: channels in.
        cout: channels out, even.

    Shape: (B, cin, H, W) -> (B, cout, H / 2, W / 2), H and W even.
    """

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.even, self.odd = (
            nn.Conv2d(cin, cout // 2, 1, stride=2, bias=False) for _ in range(2)
        )
        self.norm = nn.BatchNorm2d(cout)

    def forward(self, x: Tensor) -> Tensor:
        """Return both halves of the channels, normalised."""
        x = x.relu()
        return self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], dim=1))


def operation(name: str, channels: int, stride: int) -> nn.Module:
    """Build one operation of the space: (B, C, H, W) -> (B, C, H / stride, W / stride).

    Args:
        name: "skip_connect", "avg_pool_3x3", "max_pool_3x3", or "sep_conv_KxK" and
            "dil_conv_KxK" with an odd K.
        channels: C.
        stride: 1 or 2.

    Raises:
        ValueError: for another name.
    """
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else HalveMap(channels, channels)
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
    if name == "max_pool_3x3":
        return nn.MaxPool2d(3, stride, padding=1)
    kind, _, size = name.rpartition("_")
    if kind not in ("sep_conv", "dil_conv") or size not in ("3x3", "5x5", "7x7"):
        raise ValueError(
            f"name={name!r}; allowed are skip_connect, avg_pool_3x3, max_pool_3x3, and "
            "sep_conv_ and dil_conv_ with 3x3, 5x5 or 7x7"
        )
    kernel = int(size[0])
    if kind == "dil_conv":
        return depthwise(channels, kernel, stride, dilation=2)
    return nn.Sequential(  # a separable convolution is applied twice
        depthwise(channels, kernel, stride, dilation=1),
        depthwise(channels, kernel, 1, dilation=1),
    )


class GenotypeCell(nn.Module):
    """One cell: each node adds two operations on earlier nodes.

    Args:
        edges: operation and node it reads, two for each node from 2 on.
        widths: channels of the two inputs.
        channels: C, the width of every node.
        halve: whether the operations on the two inputs halve the map.
        halved_before: whether the cell before did, so that input 0 is twice as large.

    Shape: two maps -> (B, nodes * C, H, W).
    """

    def __init__(
        self,
        edges: tuple[Edge, ...],
        widths: tuple[int, int],
        channels: int,
        *,
        halve: bool,
        halved_before: bool,
    ) -> None:
        super().__init__()
        older, newer = widths
        first = HalveMap if halved_before else mix_channels
        self.enter = nn.ModuleList(
            [first(older, channels), mix_channels(newer, channels)]
        )
        self.sources = [source for _, source in edges]
        self.operations = nn.ModuleList(
            operation(name, channels, 2 if halve and source < 2 else 1)
            for name, source in edges
        )

    def forward(self, older: Tensor, newer: Tensor) -> Tensor:
        """Return the nodes side by side."""
        nodes = [self.enter[0](older), self.enter[1](newer)]
        steps = zip(self.operations, self.sources, strict=True)
        seen = [(apply, source) for apply, source in steps]
        for (one, i), (two, j) in zip(seen[::2], seen[1::2], strict=True):
            nodes.append(one(nodes[i]) + two(nodes[j]))
        return torch.cat(nodes[2:], dim=1)


class GenotypeNetwork(nn.Module):
    """A stem that divides the sides by eight, a stack of cells, and the classes.

    The cells after one and two thirds of the stack halve the map and double the width.

    Args:
        genotype: the two kinds of cells.
        channels: C of the first cells.
        cells: number of cells.
        num_classes: number of classes.

    Shape: (B, 3, H, W) -> (B, num_classes), H and W multiples of 32.

    Source: the authors' code, `nasnet_800`.
    """

    def __init__(
        self,
        genotype: Genotype = WEAKNAS_NASNET,
        channels: int = 46,
        cells: int = 14,
        num_classes: int = 1000,
    ) -> None:
        super().__init__()
        half, C = channels // 2, channels

        def shrink(cin: int, cout: int) -> list[nn.Module]:
            conv = nn.Conv2d(cin, cout, 3, stride=2, padding=1, bias=False)
            return [conv, nn.BatchNorm2d(cout)]

        self.stem = nn.Sequential(*shrink(3, half), nn.ReLU(), *shrink(half, C))
        self.stem_again = nn.Sequential(nn.ReLU(), *shrink(C, C))
        self.cells = nn.ModuleList()
        widths, halved = (C, C), True
        for i in range(cells):
            halve = i in (cells // 3, 2 * cells // 3)
            C = 2 * C if halve else C
            edges = genotype.reduce if halve else genotype.normal
            self.cells.append(
                GenotypeCell(edges, widths, C, halve=halve, halved_before=halved)
            )
            widths, halved = (widths[1], len(edges) // 2 * C), halve
        self.head = nn.Linear(widths[1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        older = self.stem(x)
        newer = self.stem_again(older)
        for cell in self.cells:
            older, newer = newer, cell(older, newer)
        return self.head(newer.mean(dim=(2, 3)))
