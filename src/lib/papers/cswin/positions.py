"""Five ways to tell a transformer where its tokens lie (paper, section 3.3, table 10).

APE and CPE are added to the tokens, so they stand before a block; `position_before`
builds them. RPE and LePE belong to the attention: RPE is added to its logits, LePE to
what it returns.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POSITIONS = ("none", "ape", "ape_sincos", "cpe", "cpe_every", "rpe", "lepe")


def sincos_table(dim: int, side: tuple[int, int]) -> Tensor:
    """Return a vector for each place: sines and cosines of its row and its column.

    Half of the channels belong to the row, half to the column. The frequencies fall
    from 1 towards 1 / 100 of a radian a token (Vaswani et al., Attention Is All You
    Need, 2017, has 1 / 10,000, for longer sequences).

    Args:
        dim: width C of the tokens, a multiple of 4.
        side: height H and width W of the table.

    Returns:
        Table (1, C, H, W) with values in [-1, 1].

    Raises:
        ValueError: if 4 does not divide the width.
    """
    if dim % 4:
        raise ValueError(f"dim={dim}; allowed are multiples of 4")
    frequency = 100.0 ** -torch.arange(0, 1, 4 / dim)  # (C / 4)
    H, W = side
    row = torch.arange(H)[:, None] * frequency  # (H, C / 4)
    column = torch.arange(W)[:, None] * frequency
    row, column = (torch.cat([t.sin(), t.cos()], dim=1) for t in (row, column))
    both = row[:, None].expand(H, W, -1), column.expand(H, W, -1)
    return torch.cat(both, dim=2).permute(2, 0, 1)[None]


class AbsolutePosition(nn.Module):
    """Add a learned vector to each place of the map (APE).

    A map of another size gets the table resized by bicubic interpolation. The table
    starts as small random numbers, or as `sincos_table`, and is learned from there.

    Args:
        dim: width C of the tokens.
        side: height and width of the table.
        sincos: whether the table starts as sines and cosines.

    Shape: (B, H, W, C) -> (B, H, W, C).

    Raises:
        ValueError: for sines and cosines of a width that 4 does not divide.
    """

    def __init__(self, dim: int, side: tuple[int, int], sincos: bool = False) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(1, dim, *side))
        if sincos:
            self.table.data.copy_(sincos_table(dim, side))
        else:
            nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens with their places added."""
        table: Tensor = self.table  # (1, C, H, W)
        if table.shape[2:] != x.shape[1:3]:
            size = x.shape[1:3]
            table = F.interpolate(table, size, mode="bicubic", align_corners=False)
        return x + table.permute(0, 2, 3, 1)  # (1, H, W, C)


class ConditionalPosition(nn.Module):
    """Add to each token a depthwise 3x3 convolution of its neighbours (CPE).

    The border of the map, padded with zeros, is what gives places away (Chu et al.,
    Conditional Positional Encodings, 2021).

    Args:
        dim: width C of the tokens.

    Shape: (B, H, W, C) -> (B, H, W, C).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens with what their neighbours say added."""
        y = self.conv(x.permute(0, 3, 1, 2))  # (B, C, H, W)
        return x + y.permute(0, 2, 3, 1)


class RelativeBias(nn.Module):
    """Give each head a number for every offset from a query to a key (RPE).

    Offsets beyond the table, on maps larger than it was built for, take the nearest
    entry. On smaller maps the table is used as it is: an offset keeps its meaning.

    Args:
        heads: number of heads.
        side: height and width of the region in which a query sees keys.

    Shape: the bias for a region of h by w tokens is (heads, h * w, h * w).
    """

    def __init__(self, heads: int, side: tuple[int, int]) -> None:
        super().__init__()
        self.side = side
        self.table = nn.Parameter(torch.empty(heads, 2 * side[0] - 1, 2 * side[1] - 1))
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, h: int, w: int) -> Tensor:
        """Return the bias between all pairs of a region, queries first."""
        rows, columns = (
            self.entries(n, limit) for n, limit in zip((h, w), self.side, strict=True)
        )
        # Query (i, j), key (k, l): rows[i, k] and columns[j, l] say where to look.
        bias = self.table[:, rows[:, None, :, None], columns[None, :, None, :]]
        return bias.reshape(len(bias), h * w, h * w)

    def entries(self, n: int, limit: int) -> Tensor:
        """Return the entry along one axis for each pair of its places, (n, n)."""
        place = torch.arange(n, device=self.table.device)
        offset = place[None, :] - place[:, None]  # key minus query
        return offset.clamp(1 - limit, limit - 1) + limit - 1


def position_before(
    position: str, dim: int, side: tuple[int, int], stage: int, index: int
) -> nn.Module | None:
    """Build what is added to the tokens before a block, if anything is.

    "ape" and "ape_sincos" stand before the very first block, "cpe" before the first
    block of each stage, "cpe_every" before all blocks.

    Args:
        position: one of `POSITIONS`.
        dim: width C of the tokens.
        side: height and width of the map that the network is built for.
        stage: number of the stage, from 0.
        index: number of the block inside its stage, from 0.

    Returns:
        A module from (B, H, W, C) to the same shape, or None.

    Raises:
        ValueError: for a position that is not known, or "ape_sincos" with a width that
            4 does not divide.
    """
    if position not in POSITIONS:
        raise ValueError(f"position={position!r}; allowed are {', '.join(POSITIONS)}")
    if position.startswith("ape") and stage == index == 0:
        return AbsolutePosition(dim, side, sincos=position == "ape_sincos")
    if position == "cpe_every" or (position == "cpe" and index == 0):
        return ConditionalPosition(dim)
    return None
