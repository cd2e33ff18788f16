"""A transformer block that normalises after each residual sum."""

import torch.nn.functional as F
from torch import Tensor, nn

from lib.layers.conv import DropPath
from lib.layers.light_attention import merge_heads, split_heads


class PostNormBlock(nn.Module):
    """Self-attention among a few tokens, then a small network on each of them.

    Light by default: the keys and the values are the tokens themselves, and only
    the queries and the output are projected. `project_kv=True` is the standard
    block. The normalisation comes after each sum, as in the first transformer.

    Args:
        dim: width D of the tokens.
        heads: number of heads; must divide D.
        ffn_ratio: the hidden layer has `ffn_ratio * D` units.
        project_kv: whether keys and values get projections of their own.
        drop_path: chance of dropping the attention branch while training.

    Shape: (B, M, D) -> (B, M, D).
    """

    def __init__(
        self,
        dim: int,
        *,
        heads: int = 4,
        ffn_ratio: int = 2,
        project_kv: bool = False,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim) if project_kv else nn.Identity()
        self.value = nn.Linear(dim, dim) if project_kv else nn.Identity()
        self.out = nn.Linear(dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        hidden = ffn_ratio * dim
        self.ffn = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim)
        )
        self.norm2 = nn.LayerNorm(dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the tokens after they have looked at each other."""
        q = split_heads(self.query(tokens), self.heads)  # (B, h, M, D / h)
        k = split_heads(self.key(tokens), self.heads)
        v = split_heads(self.value(tokens), self.heads)
        mixed = merge_heads(F.scaled_dot_product_attention(q, k, v))  # (B, M, D)
        tokens = self.norm1(tokens + self.drop_path(self.out(mixed)))
        return self.norm2(tokens + self.ffn(tokens))
