"""From pixels to tokens, and from tokens to fewer and wider ones, by convolution."""

import torch
from torch import Tensor, nn


class ConvPatchEmbed(nn.Module):
    """Cut a picture into overlapping patches: a strided convolution, then LayerNorm.

    Args:
        cin: channels of the picture.
        dim: width C of a token.
        k: side of a patch in pixels.
        s: distance between patches.
        p: zeros around the picture.

    Shape: (B, cin, H, W) -> (B, H', W', C) with H' = (H + 2p - k) // s + 1.
    """

    def __init__(self, cin: int, dim: int, k: int = 7, s: int = 4, p: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, dim, k, stride=s, padding=p)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map of tokens, channels last."""
        # In this layout the convolution is faster, and its result needs no copy.
        x = x.contiguous(memory_format=torch.channels_last)
        return self.norm(self.conv(x).permute(0, 2, 3, 1))


class ConvMerge(nn.Module):
    """Halve the map and widen the tokens: a 3x3 convolution of stride 2, LayerNorm.

    Args:
        dim: width of the tokens that come in.
        dim_out: width of the tokens that go out.

    Shape: (B, H, W, dim) -> (B, ceil(H / 2), ceil(W / 2), dim_out).
    """

    def __init__(self, dim: int, dim_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim_out, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return the smaller map; the axes are turned without a copy."""
        x = self.conv(x.permute(0, 3, 1, 2))  # (B, dim_out, H / 2, W / 2)
        return self.norm(x.permute(0, 2, 3, 1))
