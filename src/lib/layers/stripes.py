"""Attention inside stripes of a map, and half of the heads for each direction."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ORIENTATIONS = ("vertical", "horizontal", "full")


def stripe_partition(x: Tensor, h: int, w: int) -> Tensor:
    """Cut a map into tiles of h x w tokens: stripes, windows, or the whole map.

    A horizontal stripe is a tile as wide as the map, a vertical one as high, a window
    has h = w. Tiles are numbered picture by picture, in reading order, and so are the
    tokens inside. Horizontal stripes lie in memory as they are: nothing is copied.

    Args:
        x: map (B, H, W, ...), any axes at the end.
        h: height of a tile in tokens; must divide H.
        w: width of a tile in tokens; must divide W.

    Returns:
        Tokens (B * H/h * W/w, h * w, ...).

    Raises:
        ValueError: if the tiles do not fill the map.
    """
    H, W = x.shape[1:3]
    if h < 1 or w < 1 or H % h or W % w:
        raise ValueError(f"h={h}, w={w} must divide the map's sides, {H} and {W}")
    x = x.unflatten(2, (-1, w)).unflatten(1, (-1, h))  # (B, H/h, h, W/w, w, ...)
    x = x.transpose(2, 3)  # (B, H/h, W/w, h, w, ...)
    return x.flatten(3, 4).flatten(0, 2)


def stripe_merge(t: Tensor, h: int, w: int, H: int, W: int) -> Tensor:
    """Put the tiles back in their places, the inverse of `stripe_partition`.

    Args:
        t: tokens (B * H/h * W/w, h * w, ...).
        h: height of a tile.
        w: width of a tile.
        H: height of the map.
        W: width of the map.

    Returns:
        Map (B, H, W, ...).

    Raises:
        ValueError: if such tiles do not fill such maps.
    """
    if h < 1 or w < 1 or H % h or W % w or t.shape[1] != h * w:
        raise ValueError(
            f"h={h}, w={w} must divide H={H}, W={W} and give tiles of {t.shape[1]}"
        )
    t = t.unflatten(1, (h, w)).unflatten(0, (-1, H // h, W // w))
    t = t.transpose(2, 3)  # (B, H/h, h, W/w, w, ...)
    return t.flatten(3, 4).flatten(1, 2)


class LePE(nn.Module):
    """Locally enhanced position: a depthwise 3x3 convolution that stays in its tile.

    The convolution sees zeros beyond the border of each tile, as the official code
    computes it (equation 5 and section 3.2 of the paper). Cutting the map up for that
    is not needed: one convolution of the whole map does it if a row and a column of
    zeros stand between tiles. In a tile one token wide only three of the nine taps
    ever meet a token; the others are left out, and their gradient is zero.

    Args:
        dim: width C.

    Shape: v (B, H, W, C), sides of the tiles (h, w) -> (B, H, W, C).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, v: Tensor, h: int, w: int) -> Tensor:
        """Convolve inside tiles of h x w tokens, which must fill the map."""
        _, H, W, C = v.shape
        weight = self.conv.weight  # (C, 1, 3, 3)
        weight = weight[:, :, 1:2] if h == 1 else weight  # the row that is alive
        weight = weight[:, :, :, 1:2] if w == 1 else weight  # the column
        row, column = int(1 < h < H), int(1 < w < W)  # is a gap needed?
        if row or column:
            v = v.unflatten(2, (-1, w)).unflatten(1, (-1, h))
            v = F.pad(v, (0, 0, 0, column, 0, 0, 0, row))  # zeros behind each tile
            v = v.flatten(3, 4).flatten(1, 2)  # (B, H + gaps, W + gaps, C)
        border = (weight.shape[2] // 2, weight.shape[3] // 2)
        z = F.conv2d(
            v.permute(0, 3, 1, 2), weight, self.conv.bias, padding=border, groups=C
        )
        z = z.permute(0, 2, 3, 1)  # (B, H + gaps, W + gaps, C)
        if row or column:
            z = z.unflatten(2, (-1, w + column)).unflatten(1, (-1, h + row))
            z = z[:, :, :h, :, :w].flatten(3, 4).flatten(1, 2)  # the gaps go
        return z  # (B, H, W, C)


def pad_to_tiles(x: Tensor, h: int, w: int) -> tuple[Tensor, int, int]:
    """Add zeros on both sides until tiles of h x w fill the map.

    Args:
        x: map (B, H, W, C) or (B, H, W, 3, C).
        h: height of a tile.
        w: width of a tile.

    Returns:
        The padded map, and how many rows and columns stand before the first token;
        where the padding is odd, the larger half comes last.
    """
    rows, columns = -x.shape[1] % h, -x.shape[2] % w
    top, left = rows // 2, columns // 2
    if rows or columns:
        sides = (left, columns - left, top, rows - top)
        x = F.pad(x, (0, 0) * (x.ndim - 3) + sides)
    return x, top, left


class StripeAttention(nn.Module):
    """Softmax attention inside stripes of one direction, with LePE.

    It has no projections: queries, keys and values come packed from the block around
    it. A map that stripes do not fill is padded with zeros and cropped afterwards.
    The official code lets the padded keys take part (score 0, value 0);
    `mask_padding=True` leaves them out.

    Args:
        dim: width C of this branch.
        heads: number of heads; must divide C.
        stripe: width of a stripe in tokens; not looked at for "full".
        orientation: "vertical", "horizontal", or "full" (one tile, the whole map).
        lepe: whether to add LePE.
        mask_padding: whether padded keys are left out.
        bias: gives what is added to the scores, (h, w) -> (heads, h * w, h * w), for
            relative position encodings.

    Shape: qkv (B, H, W, 3, C) -> (B, H, W, C), any H and W.

    Raises:
        ValueError: for a direction that is not known, or heads that do not divide C.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        stripe: int | None,
        orientation: str,
        *,
        lepe: bool = True,
        mask_padding: bool = False,
        bias: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if orientation not in ORIENTATIONS:
            raise ValueError(f"orientation={orientation!r}; allowed are {ORIENTATIONS}")
        if heads < 1 or dim % heads:
            raise ValueError(f"heads={heads} must divide the width, {dim}")
        if orientation != "full" and (stripe is None or stripe < 1):
            raise ValueError(f"stripe={stripe}; allowed are 1 and more")
        self.heads, self.stripe, self.orientation = heads, stripe, orientation
        self.mask_padding = mask_padding
        self.lepe = LePE(dim) if lepe else None
        self.bias = bias

    def tile(self, H: int, W: int) -> tuple[int, int]:
        """Return height and width of a stripe on a map of H x W tokens."""
        h = self.stripe if self.orientation == "horizontal" else H
        w = self.stripe if self.orientation == "vertical" else W
        return h, w

    def forward(self, qkv: Tensor) -> Tensor:
        """Attend inside each stripe and add LePE."""
        H, W = qkv.shape[1:3]
        h, w = self.tile(H, W)
        qkv, top, left = pad_to_tiles(qkv, h, w)  # (B, H', W', 3, C)
        mask = self.mask(qkv, H, W, h, w)
        t = stripe_partition(qkv, h, w)  # (n, h * w, 3, C)
        t = t.unflatten(3, (self.heads, -1)).transpose(1, 3)  # (n, heads, 3, h*w, d)
        q, k, v = t.unbind(2)  # (n, heads, h * w, d)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        y = y.transpose(1, 2).flatten(2)  # (n, h * w, C)
        y = stripe_merge(y, h, w, *qkv.shape[1:3])  # (B, H', W', C)
        if self.lepe is not None:
            y = y + self.lepe(qkv[:, :, :, 2], h, w)
        return y[:, top : top + H, left : left + W]  # (B, H, W, C)

    def mask(self, qkv: Tensor, H: int, W: int, h: int, w: int) -> Tensor | None:
        """Return what to add to the scores, or which keys count; None if nothing."""
        bias = None if self.bias is None else self.bias(h, w)  # (heads, h*w, h*w)
        if not self.mask_padding or qkv.shape[1:3] == (H, W):
            return bias
        real = torch.ones(1, H, W, 1, dtype=torch.bool, device=qkv.device)
        real, _, _ = pad_to_tiles(real, h, w)
        real = stripe_partition(real, h, w).transpose(1, 2)  # (tiles, 1, h * w)
        real = real.unsqueeze(1).repeat(qkv.shape[0], 1, 1, 1)  # (n, 1, 1, h * w)
        return real if bias is None else torch.where(real, bias, -torch.inf)


class CrossShapedAttention(nn.Module):
    """Half of the heads look along vertical stripes, half along horizontal ones.

    Both halves read one projection of the map, work at the same time, and are
    concatenated before the last projection (equations 1 and 2 of the paper). No head
    sees a cross: the cross is what the two halves see together.

    Args:
        dim: width C.
        heads: number of heads of both halves together.
        stripe: width of a stripe in tokens, or None for one branch with all heads
            that attends to the whole map, as in the last stage.
        lepe: whether to add LePE.
        mask_padding: whether padded keys are left out, see `StripeAttention`.

    Shape: (B, H, W, C) -> (B, H, W, C), any H and W.

    Raises:
        ValueError: if the heads do not divide C, or cannot be halved.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        stripe: int | None,
        *,
        lepe: bool = True,
        mask_padding: bool = False,
    ) -> None:
        super().__init__()
        # The official code has the vertical half first, the paper the horizontal one.
        kinds = ("full",) if stripe is None else ("vertical", "horizontal")
        if heads % len(kinds) or dim % len(kinds):
            raise ValueError(f"heads={heads} and dim={dim} must be even to be halved")
        n = len(kinds)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.branches = nn.ModuleList(
            StripeAttention(
                dim // n,
                heads // n,
                stripe,
                kind,
                lepe=lepe,
                mask_padding=mask_padding,
            )
            for kind in kinds
        )
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return what every token gathered from its stripes."""
        qkv = self.qkv(x).unflatten(-1, (3, -1))  # (B, H, W, 3, C)
        halves = qkv.chunk(len(self.branches), dim=-1)  # (B, H, W, 3, C / 2) each
        seen = [
            branch(half) for branch, half in zip(self.branches, halves, strict=True)
        ]
        return self.proj(torch.cat(seen, dim=-1))
