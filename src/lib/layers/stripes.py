"""Attention inside stripes of a map, and half of the heads for each direction."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.layers.light_attention import merge_heads, split_heads

ORIENTATIONS = ("vertical", "horizontal", "full")


def check_stripes(dim: int, heads: int, stripe: int | None, orientation: str) -> None:
    """Refuse, with a ValueError, what `StripeAttention` cannot be built with."""
    if orientation not in ORIENTATIONS:
        raise ValueError(f"orientation={orientation!r}; allowed are {ORIENTATIONS}")
    if orientation != "full" and (stripe is None or stripe < 1):
        raise ValueError(f"stripe={stripe}; allowed are 1 and more")
    if heads < 1 or dim % heads:
        raise ValueError(f"heads={heads} must divide the width, {dim}")


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

    The convolution sees zeros beyond the border of each tile, as in the official code
    (equation 5 of the paper), so the tiles are simply a batch of small pictures. In a
    tile one token high only three of the nine taps ever meet a token. There the tiles
    are the rows of one picture, and the other six taps are left out; they keep their
    places in the weights, and their gradient is zero.

    Args:
        dim: width C.

    Shape: v (n, h * w, C), sides of a tile (h, w) -> (n, h * w, C).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, v: Tensor, h: int, w: int, turned: bool = False) -> Tensor:
        """Convolve the values of each tile; `turned` says that rows are columns."""
        v = v.contiguous()  # the convolution would copy a part of qkv too, but slower
        taps = self.conv.weight  # (C, 1, 3, 3)
        taps = taps.mT if turned else taps
        tiles, padding = v.unflatten(1, (h, w)), (1, 1)  # (n, h, w, C)
        if h == 1:
            tiles, padding = v.unflatten(0, (1, -1)), (0, 1)  # (1, n, w, C)
            taps = taps[:, :, 1:2]  # (C, 1, 1, 3)
        z = F.conv2d(
            tiles.permute(0, 3, 1, 2),
            taps,
            self.conv.bias,
            padding=padding,
            groups=len(taps),
        )
        return z.permute(0, 2, 3, 1).reshape(v.shape)  # (n, h * w, C)


def pad_rows(x: Tensor, h: int) -> Tensor:
    """Add rows of zeros above and below until stripes of h rows fill a map.

    Args:
        x: map (B, H, W, C).
        h: height of a stripe.

    Returns:
        Map (B, H', W, C), with half of the new rows above; of an odd number, the
        smaller half.
    """
    rows = -x.shape[1] % h
    return F.pad(x, (0, 0, 0, 0, rows // 2, rows - rows // 2)) if rows else x


def crop_rows(x: Tensor, H: int) -> Tensor:
    """Cut off what `pad_rows` added: (B, H', W, C) -> (B, H, W, C)."""
    rows = x.shape[1] - H
    return x.narrow(1, rows // 2, H) if rows else x


def real_keys(x: Tensor, h: int) -> Tensor | None:
    """Say which keys of each stripe are tokens of the map, not padding.

    Args:
        x: the map (B, H, W, C) before it is padded.
        h: height of a stripe.

    Returns:
        True for tokens, (stripes, 1, 1, h * W), or None if nothing is padded.
    """
    B, H, W, _ = x.shape
    if H % h == 0:
        return None
    real = torch.ones(B, H, W, 1, dtype=torch.bool, device=x.device)
    return stripe_partition(pad_rows(real, h), h, W).mT.unsqueeze(1)


def by_columns(bias: Tensor, h: int, w: int) -> Tensor:
    """Reorder a bias for tiles whose tokens are read column by column.

    Args:
        bias: numbers for pairs of tokens in reading order, (heads, h * w, h * w).
        h: height of a tile.
        w: width of a tile.
    """
    bias = bias.unflatten(2, (h, w)).unflatten(1, (h, w))  # (heads, h, w, h, w)
    return bias.permute(0, 2, 1, 4, 3).flatten(3, 4).flatten(1, 2)


class StripeAttention(nn.Module):
    """Softmax attention inside stripes of one direction, with LePE.

    It has no projections: those belong to the block around it. A map that stripes do
    not fill is padded with zeros and cropped afterwards. The official code lets the
    padded keys take part (score 0, value 0); `mask_padding=True` leaves them out.

    Args:
        dim: width C of this branch.
        heads: number of heads; must divide C.
        stripe: width of a stripe in tokens; not looked at for "full".
        orientation: "vertical", "horizontal", or "full" (one tile, the whole map).
        lepe: whether to add LePE.
        mask_padding: whether padded keys are left out.

    Attributes:
        bias: a module for relative positions, (h, w) -> (heads, h * w, h * w), whose
            result is added to the scores of a tile of h x w tokens; None by default.

    Shape: queries, keys, values (B, H, W, C) each -> (B, H, W, C), any H and W.

    Raises:
        ValueError: for a direction that is not known, a stripe below 1, or heads that
            do not divide C.
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
    ) -> None:
        super().__init__()
        check_stripes(dim, heads, stripe, orientation)
        self.heads, self.orientation = heads, orientation
        self.stripe = None if orientation == "full" else stripe
        self.lepe = LePE(dim) if lepe else None
        self.bias: nn.Module | None = None
        self.mask_padding = mask_padding

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend inside each stripe and add LePE."""
        turn = self.orientation == "vertical"
        if turn:  # on its side, the map has its columns as rows; this is the only copy
            q, k, v = (t.transpose(1, 2).contiguous() for t in (q, k, v))
        H, W = q.shape[1:3]
        h = H if self.stripe is None else self.stripe
        mask = self.mask(q, h)
        q, k, v = (stripe_partition(pad_rows(t, h), h, W) for t in (q, k, v))
        Q, K, V = (split_heads(t, self.heads) for t in (q, k, v))  # (n, heads, h*W, d)
        y = merge_heads(F.scaled_dot_product_attention(Q, K, V, attn_mask=mask))
        if self.lepe is not None:
            y = self.lepe(v, h, W, turn).add_(y)  # (n, h * W, C), no third map
        y = crop_rows(stripe_merge(y, h, W, H + -H % h, W), H)  # (B, H, W, C)
        return y.transpose(1, 2) if turn else y

    def mask(self, q: Tensor, h: int) -> Tensor | None:
        """Return what is added to the scores or which keys count, None for nothing."""
        real = real_keys(q, h) if self.mask_padding else None
        if self.bias is None:
            return real
        W, turn = q.shape[2], self.orientation == "vertical"
        bias = by_columns(self.bias(W, h), W, h) if turn else self.bias(h, W)
        return bias if real is None else torch.where(real, bias, -torch.inf)


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
        n = len(kinds)
        if heads < n or heads % n or dim % heads:
            raise ValueError(f"heads={heads}; needed are even heads that divide {dim}")
        options = dict(lepe=lepe, mask_padding=mask_padding)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.branches = nn.ModuleList(
            StripeAttention(dim // n, heads // n, stripe, kind, **options)
            for kind in kinds
        )
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return what every token gathered from its stripes."""
        return self.proj(self.attend(self.qkv(x)))

    def attend(self, qkv: Tensor) -> Tensor:
        """Let each branch attend with its part of the projections.

        Args:
            qkv: queries, keys and values of all heads (B, H, W, 3C).

        Returns:
            What the heads gathered, side by side (B, H, W, C).
        """
        n = len(self.branches)
        parts = qkv.chunk(3 * n, dim=-1)  # q q k k v v: (B, H, W, C / n) each
        seen = [branch(*parts[i::n]) for i, branch in enumerate(self.branches)]
        return torch.cat(seen, dim=-1)
