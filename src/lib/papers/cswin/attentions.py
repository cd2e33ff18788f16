"""The attentions that cross-shaped windows are compared with, on the same body.

All take and return (B, H, W, C), project by one linear layer to queries, keys and
values and by another at the end, and have the parameters of `CrossShapedAttention`:
only the region that a token sees differs (paper, tables 8 and 9). They work on maps of
any size; what is added to fill the last windows is never seen.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.layers import (
    CrossShapedAttention,
    StripeAttention,
    stripe_merge,
    stripe_partition,
)
from lib.papers.cswin.positions import POSITIONS, RelativeBias

KINDS = (
    "cross_shaped",
    "full",
    "window",
    "shifted",
    "sliding",
    "axial",
    "sequential",
    "criss_cross",
)


def bands(n: int, size: int, shift: int = 0) -> Tensor:
    """Say in which band each of `n` places lies.

    The first border is at `shift`, the others follow each `size` places.

    Args:
        n: number of places.
        size: width of a band.
        shift: width of the first band; 0, or a multiple of `size`, for a whole one.

    Returns:
        Numbers of the bands (n,), from 0 upwards.
    """
    return (torch.arange(n) + -shift % size) // size


def convolve_within(
    conv: nn.Module, x: Tensor, rows: Tensor, columns: Tensor
) -> Tensor:
    """Convolve a map so that nothing crosses from one band to the next.

    A row of zeros between two bands of rows, and a column between two of columns, is
    all that a 3x3 kernel needs to see each region as if it stood alone.

    Args:
        conv: convolution 3x3 with padding 1.
        x: map (B, H, W, C).
        rows: band of each row, (H,), from `bands`.
        columns: band of each column, (W,).

    Returns:
        Map (B, H, W, C).
    """
    B, H, W, C = x.shape
    i = (torch.arange(H) + rows)[:, None]  # where a row goes once the gaps are in
    j = torch.arange(W) + columns
    gapped = x.new_zeros(B, H + int(rows[-1]), W + int(columns[-1]), C)
    gapped[:, i, j] = x
    y = conv(gapped.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    return y[:, i, j]  # (B, H, W, C)


class RegionAttention(nn.Module):
    """What the attentions share; a subclass says in `attend` who sees whom.

    Args:
        dim: width C.
        heads: number of heads; must divide C.
        lepe: whether to add a depthwise convolution of the values.

    Shape: (B, H, W, C) -> (B, H, W, C), any H and W.

    Raises:
        ValueError: if the heads do not divide C.
    """

    def __init__(self, dim: int, heads: int, *, lepe: bool = True) -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise ValueError(f"heads={heads} must divide the width, {dim}")
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.lepe = nn.Conv2d(dim, dim, 3, padding=1, groups=dim) if lepe else None
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return what every token gathered from its region."""
        qkv = self.qkv(x)  # (B, H, W, 3C)
        y = self.attend(qkv)  # (B, H, W, C)
        if self.lepe is not None:
            v = qkv.chunk(3, dim=-1)[2]
            y = y + convolve_within(self.lepe, v, *self.borders(*v.shape[1:3]))
        return self.proj(y)

    def attend(self, qkv: Tensor) -> Tensor:
        """Mix the values by softmax attention: (B, H, W, 3C) -> (B, H, W, C)."""
        raise NotImplementedError

    def borders(self, H: int, W: int) -> tuple[Tensor, Tensor]:
        """Return the bands that LePE must not leave; here one, the whole map."""
        return bands(H, H), bands(W, W)


@dataclass(frozen=True)
class Windows:
    """Windows on a map: how they cut it, put it together, and part its tokens.

    A shift moves the borders up and to the left. The map is rolled for that, as in
    Swin; tokens that came round from the other end share a window with others, but not
    a region. Nor do the zeros that fill the last windows.

    Attributes:
        side: height and width of the map.
        size: height and width of a window.
        shift: how far the borders are moved along each axis, less than `size`.
    """

    side: tuple[int, int]
    size: tuple[int, int]
    shift: tuple[int, int] = (0, 0)

    def borders(self) -> tuple[Tensor, Tensor]:
        """Return the bands that rows and columns lie in, (H,) and (W,)."""
        rows, columns = map(bands, self.side, self.size, self.shift)
        return rows, columns

    def cut(self, x: Tensor, fill: float = 0) -> Tensor:
        """Fill, roll, cut: (B, H, W, C) -> (B * windows, h * w, C)."""
        (H, W), (h, w), (s, t) = self.side, self.size, self.shift
        x = F.pad(x, (0, 0, 0, -W % w, 0, -H % h), value=fill)
        return stripe_partition(x.roll((-s, -t), (1, 2)), h, w)

    def merge(self, x: Tensor) -> Tensor:
        """Undo `cut`: (B * windows, h * w, C) -> (B, H, W, C)."""
        (H, W), (h, w) = self.side, self.size
        x = stripe_merge(x, h, w, H + -H % h, W + -W % w)
        return x.roll(self.shift, (1, 2))[:, :H, :W]

    def sees(self) -> Tensor | None:
        """Return who sees whom, (windows, 1, h * w, h * w); None for everything."""
        (H, W), (h, w) = self.side, self.size
        if not (any(self.shift) or H % h or W % w):
            return None
        rows, columns = self.borders()
        region = rows[:, None] * W + columns  # (H, W), a number for each region
        region = self.cut(region[None, ..., None], fill=-1)  # (windows, h * w, 1)
        return (region == region.mT).unsqueeze(1)


class WindowAttention(RegionAttention):
    """Attention inside windows, which cut the map into rectangles.

    A window as large as the map is full attention; one token wide and as long as the
    map, it is axial attention; wider, a stripe. `shift=True` moves the borders by half
    a window (Swin, Liu et al., ICCV 2021), except along an axis that one window covers.

    Args:
        dim: width C.
        heads: number of heads; must divide C.
        window: height and width of a window in tokens, None for the whole side.
        shift: whether the borders are moved.
        lepe: whether to add LePE, which stays inside the windows.
        bias: gives what is added to the scores, (h, w) -> (heads, h * w, h * w).
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        window: tuple[int | None, int | None] = (None, None),
        shift: bool = False,
        lepe: bool = True,
        bias: nn.Module | None = None,
    ) -> None:
        super().__init__(dim, heads, lepe=lepe)
        self.window, self.shift, self.bias = window, shift, bias

    def windows(self, H: int, W: int) -> Windows:
        """Lay the windows on a map of H x W tokens."""
        h, w = min(self.window[0] or H, H), min(self.window[1] or W, W)
        s, t = (h < H) * (h // 2), (w < W) * (w // 2)
        return Windows((H, W), (h, w), (s, t) if self.shift else (0, 0))

    def borders(self, H: int, W: int) -> tuple[Tensor, Tensor]:
        """Return the bands that LePE must not leave."""
        return self.windows(H, W).borders()

    def attend(self, qkv: Tensor) -> Tensor:
        """Attend inside each window."""
        B, H, W, _ = qkv.shape
        windows = self.windows(H, W)
        mask = None if self.bias is None else self.bias(*windows.size)
        sees = windows.sees()
        if sees is not None:
            sees = sees.to(qkv.device).repeat(B, 1, 1, 1)  # (n, 1, h * w, h * w)
            mask = sees if mask is None else torch.where(sees, mask, -torch.inf)
        x = windows.cut(qkv).unflatten(-1, (3, self.heads, -1))  # (n, h * w, 3, ...)
        q, k, v = x.permute(2, 0, 3, 1, 4)  # (n, heads, h * w, C / heads) each
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return windows.merge(y.transpose(1, 2).flatten(2))  # (B, H, W, C)


class CrissCrossAttention(RegionAttention):
    """Each token sees its row and its column, itself once, in one softmax.

    No two tokens share a region, so nothing can be cut out once for many queries
    (Huang et al., CCNet, ICCV 2019). LePE convolves the whole map.

    Args:
        dim: width C.
        heads: number of heads; must divide C.
        lepe: whether to add LePE.
        bias: two modules that give what is added to the scores along a row and along
            a column, (h, w) -> (heads, h * w, h * w).
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        lepe: bool = True,
        bias: nn.ModuleList | None = None,
    ) -> None:
        super().__init__(dim, heads, lepe=lepe)
        self.bias = bias

    def attend(self, qkv: Tensor) -> Tensor:
        """Attend along rows and columns at once."""
        H, W = qkv.shape[1:3]
        qkv = qkv.unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(3, 0, 4, 1, 2, 5)  # (B, heads, H, W, d) each
        q = q * q.shape[-1] ** -0.5
        row = torch.einsum("bnijd,bnikd->bnijk", q, k)  # (B, heads, H, W, W)
        column = torch.einsum("bnijd,bnkjd->bnijk", q, k)  # (B, heads, H, W, H)
        if self.bias is not None:
            row = row + self.bias[0](1, W)[:, None]  # (heads, 1, W, W)
            column = column + self.bias[1](H, 1)[:, :, None]  # (heads, H, 1, H)
        itself = torch.eye(H, dtype=torch.bool, device=q.device)[:, None]  # (H, 1, H)
        column = column.masked_fill(itself, -torch.inf)  # the row has it already
        weights = torch.cat([row, column], dim=-1).softmax(dim=-1)
        row, column = weights.split([W, H], dim=-1)
        y = torch.einsum("bnijk,bnikd->bnijd", row, v)
        y = y + torch.einsum("bnijk,bnkjd->bnijd", column, v)
        return y.permute(0, 2, 3, 1, 4).flatten(3)  # (B, H, W, C)


class SlidingWindowAttention(RegionAttention):
    """Each token sees the window around itself, cut off at the border of the map.

    Even windows reach one token further up and left. LePE convolves the whole map;
    from three tokens on a window contains what it adds.

    Args:
        dim: width C.
        heads: number of heads; must divide C.
        window: side M of the window.
        lepe: whether to add LePE.
        bias: what is added to the score of each offset: a table of M rows and columns
            or more, of which the first M are used.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        window: int,
        lepe: bool = True,
        bias: RelativeBias | None = None,
    ) -> None:
        super().__init__(dim, heads, lepe=lepe)
        self.window, self.bias = window, bias

    def attend(self, qkv: Tensor) -> Tensor:
        """Attend to the neighbours."""
        m = self.window
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).unbind(3)  # (B, H, W, n, d)
        q = q * q.shape[-1] ** -0.5
        scores = torch.einsum("bijnd,bijndkl->bijnkl", q, self.around(k))
        if self.bias is not None:
            scores = scores + self.bias.table[:, :m, :m]
        inside = self.around(torch.ones_like(q[:1, :, :, :1, 0])) > 0
        scores = scores.masked_fill(~inside, -torch.inf)
        weights = scores.flatten(-2).softmax(dim=-1).view_as(scores)
        y = torch.einsum("bijnkl,bijndkl->bijnd", weights, self.around(v))
        return y.flatten(3)  # (B, H, W, C)

    def around(self, x: Tensor) -> Tensor:
        """Return what surrounds each token, (B, H, W, ...) -> (B, H, W, ..., M, M)."""
        before, after = self.window // 2, (self.window - 1) // 2
        x = F.pad(x, (0, 0) * (x.ndim - 3) + (before, after) * 2)
        return x.unfold(1, self.window, 1).unfold(2, self.window, 1)


def window_side(stripe: int, side: tuple[int, int]) -> int:
    """Return the window that costs as much as stripes of a width, rounded up.

    A token sees sw * H and sw * W keys with half of the heads each, on average
    sw (H + W) / 2, and M * M in a window (from equation 3).

    Args:
        stripe: width sw of a stripe in tokens.
        side: height and width of the map in tokens.
    """
    return math.ceil(math.sqrt(stripe * sum(side) / 2))


def check_switches(attention: str, position: str, stripe: int | None) -> None:
    """Refuse what is not known or too small, with a ValueError."""
    if attention not in KINDS:
        raise ValueError(f"attention={attention!r}; allowed are {', '.join(KINDS)}")
    if position not in POSITIONS:
        raise ValueError(f"position={position!r}; allowed are {', '.join(POSITIONS)}")
    if stripe is not None and stripe < 1:
        raise ValueError(f"stripe={stripe}; allowed are 1 and more, and None")


def add_relative_bias(cross: CrossShapedAttention, side: tuple[int, int]) -> nn.Module:
    """Give each branch a table for its stripes on a map of H x W tokens."""
    for branch in cross.branches:
        assert isinstance(branch, StripeAttention)
        h, w = side
        if branch.orientation == "vertical":
            w = branch.stripe or w
        elif branch.orientation == "horizontal":
            h = branch.stripe or h
        branch.bias = RelativeBias(branch.heads, (h, w))
    return cross


def build_attention(
    attention: str,
    position: str,
    dim: int,
    heads: int,
    stripe: int | None,
    index: int,
    side: tuple[int, int],
    *,
    mask_padding: bool = False,
) -> nn.Module:
    """Build the attention of one block.

    Args:
        attention: one of `KINDS`.
        position: one of `POSITIONS`; "ape" and "cpe" act outside of the attention.
        dim: width C.
        heads: number of heads.
        stripe: width of a stripe, or side of a window, in tokens ("axial" and
            "criss_cross" need none; `window_side` gives windows of equal cost). None,
            or what covers the map, is full attention whatever it is called, as
            in the last stage.
        index: number of the block inside its stage. Even blocks have the windows that
            are not shifted and the vertical stripes of "axial" and "sequential".
        side: height and width of the map in tokens that the network is built for.
        mask_padding: see `CrossShapedAttention`; the rivals always mask.

    Returns:
        A module (B, H, W, C) -> (B, H, W, C) that works at other sizes as well.

    Raises:
        ValueError: for an attention or a position not known, or a stripe below 1.
    """
    check_switches(attention, position, stripe)
    lepe, rpe = position == "lepe", position == "rpe"
    if stripe is not None and stripe >= max(side):
        stripe = None
    if attention == "cross_shaped":
        cross = CrossShapedAttention(
            dim, heads, stripe, lepe=lepe, mask_padding=mask_padding
        )
        return add_relative_bias(cross, side) if rpe else cross
    if attention == "full" or stripe is None:
        bias = RelativeBias(heads, side) if rpe else None
        return WindowAttention(dim, heads, lepe=lepe, bias=bias)
    if attention == "criss_cross":
        lines = (1, side[1]), (side[0], 1)
        both = nn.ModuleList(RelativeBias(heads, line) for line in lines)
        return CrissCrossAttention(dim, heads, lepe=lepe, bias=both if rpe else None)
    if attention == "sliding":
        around = RelativeBias(heads, (stripe // 2 + 1,) * 2) if rpe else None
        return SlidingWindowAttention(dim, heads, window=stripe, lepe=lepe, bias=around)
    width = 1 if attention == "axial" else stripe
    stripes = (width, None) if index % 2 else (None, width)
    window = stripes if attention in ("axial", "sequential") else (stripe, stripe)
    shift = attention == "shifted" and index % 2 == 1
    rival = WindowAttention(dim, heads, window=window, shift=shift, lepe=lepe)
    rival.bias = RelativeBias(heads, rival.windows(*side).size) if rpe else None
    return rival
