"""Cross attention between a map and a few tokens, cheap on the side of the map."""

import torch.nn.functional as F
from torch import Tensor, nn

from lib.layers.conv import DropPath


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Cut the last axis into heads: (B, N, C) -> (B, heads, N, C / heads)."""
    if heads < 1 or x.shape[-1] % heads:
        raise ValueError(f"heads={heads} must divide the width, {x.shape[-1]}")
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """Put the heads back beside each other: (B, heads, N, C / heads) -> (B, N, C)."""
    return x.transpose(1, 2).flatten(2)


class MobileToFormer(nn.Module):
    """Tokens look at the picture: each gathers pixels and adds what it found.

    Queries are projected from the tokens; keys and values are the pixels as they
    are (equation 1). The official code also multiplies what was gathered by a gate
    in [0, 2] per token and channel, about 1 at the start; `gate=False` omits it.

    Args:
        channels: width C of the map.
        dim: width D of the tokens.
        heads: number of heads; must divide C.
        gate: whether to use the gate.
        drop_path: chance of dropping the branch while training.

    Shape: x (B, C, H, W), tokens (B, M, D) -> (B, M, D).
    """

    def __init__(
        self,
        channels: int,
        dim: int,
        *,
        heads: int = 2,
        gate: bool = True,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, channels)
        self.gate = nn.Linear(dim, channels) if gate else None
        self.out = nn.Linear(channels, dim)
        self.norm = nn.LayerNorm(dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Return the tokens after one look at the picture."""
        pixels = x.flatten(2).transpose(1, 2)  # (B, H * W, C)
        pixels = split_heads(pixels, self.heads)  # (B, h, H * W, C / h)
        q = split_heads(self.query(tokens), self.heads)  # (B, h, M, C / h)
        found = F.scaled_dot_product_attention(q, pixels, pixels)
        found = merge_heads(found)  # (B, M, C)
        if self.gate is not None:
            found = found * 2 * F.hardsigmoid(self.gate(tokens))
        return self.norm(tokens + self.drop_path(self.out(found)))  # (B, M, D)

    def logits(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Return the scores before the softmax over pixels, (B, heads, M, H, W)."""
        k = split_heads(x.flatten(2).transpose(1, 2), self.heads)
        q = split_heads(self.query(tokens), self.heads)
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        return scores.unflatten(-1, x.shape[-2:])


class FormerToMobile(nn.Module):
    """The picture looks at the tokens: each pixel adds a mixture of them.

    Keys and values are projected from the tokens; the queries are the pixels as
    they are, and nothing is projected or normalised afterwards (equation 2).

    Args:
        dim: width D of the tokens.
        channels: width C of the map.
        heads: number of heads; must divide C.
        drop_path: chance of dropping the branch while training.

    Shape: x (B, C, H, W), tokens (B, M, D) -> (B, C, H, W).
    """

    def __init__(
        self, dim: int, channels: int, *, heads: int = 2, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.heads = heads
        self.key = nn.Linear(dim, channels)
        self.value = nn.Linear(dim, channels)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Return the map with the mixture added at every pixel."""
        q = split_heads(x.flatten(2).transpose(1, 2), self.heads)  # (B, h, HW, C/h)
        k = split_heads(self.key(tokens), self.heads)  # (B, h, M, C / h)
        v = split_heads(self.value(tokens), self.heads)  # (B, h, M, C / h)
        mix = merge_heads(F.scaled_dot_product_attention(q, k, v))  # (B, HW, C)
        mix = mix.transpose(1, 2).unflatten(2, x.shape[-2:])  # (B, C, H, W)
        return x + self.drop_path(mix)

    def logits(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Return the scores before the softmax over tokens, (B, heads, M, H, W)."""
        q = split_heads(x.flatten(2).transpose(1, 2), self.heads)
        k = split_heads(self.key(tokens), self.heads)
        scores = k @ q.transpose(-2, -1) * q.shape[-1] ** -0.5
        return scores.unflatten(-1, x.shape[-2:])
