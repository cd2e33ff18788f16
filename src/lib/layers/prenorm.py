"""A transformer block that normalises before each branch."""

import torch.nn.functional as F
from torch import Tensor, nn

from lib.layers.conv import DropPath


class Mlp(nn.Module):
    """Two linear layers on each token, with a GELU in between.

    Args:
        dim: width C.
        hidden: width in between.

    Shape: (..., C) -> (..., C).
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.widen = nn.Linear(dim, hidden)
        self.narrow = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Widen, bend, narrow."""
        return self.narrow(F.gelu(self.widen(x)))  # the exact GELU, not tanh's


class PreNormBlock(nn.Module):
    """Attention and a small network, each on the normalised sum so far.

    Args:
        dim: width C.
        attention: any module (B, H, W, C) -> (B, H, W, C).
        mlp_ratio: the hidden layer has `mlp_ratio * C` units.
        drop_path: chance of dropping a branch while training.

    Shape: (B, H, W, C) -> (B, H, W, C).
    """

    def __init__(
        self,
        dim: int,
        attention: nn.Module,
        mlp_ratio: float = 4,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = attention
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(mlp_ratio * dim))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Add what attention found, then what the network makes of it."""
        x = x + self.drop_path(self.attention(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))
