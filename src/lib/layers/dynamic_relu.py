"""Rectifiers whose two slopes are computed from tokens."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def slope_net(context_dim: int, channels: int, reduction: int) -> nn.Sequential:
    """Build the little network from a token to two numbers per channel, in [0, 1].

    Its weights start near zero, with deviation 0.01, so that both numbers start at 1/2
    and the rectifier at the plain one. With PyTorch's default start the slopes scatter
    by about 0.1.
    """
    hidden = context_dim // reduction
    net = nn.Sequential(
        nn.Linear(context_dim, hidden),
        nn.ReLU(),
        nn.Linear(hidden, 2 * channels),
        nn.Hardsigmoid(),
    )
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
    return net


class DynamicReLU(nn.Module):
    """The larger of two lines through zero, their slopes read from a vector.

    `y = max(a1 * x, a2 * x)` with `a1` in [0, 2] and `a2` in [-1, 1], one pair per
    picture and channel, the same for every pixel.
    At the start `a1 = 1` and `a2 = 0`: the plain rectifier.

    Args:
        channels: width of the map.
        context_dim: length of the vector, in Mobile-Former a token.
        reduction: the hidden layer has `context_dim / reduction` units.

    Shape: x (B, C, H, W), context (B, D) -> (B, C, H, W).
    """

    def __init__(self, channels: int, context_dim: int, *, reduction: int = 4) -> None:
        super().__init__()
        self.slopes = slope_net(context_dim, channels, reduction)

    def coefficients(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return both slopes, each (B, C)."""
        p1, p2 = self.slopes(context).chunk(2, dim=-1)  # (B, C) each, in [0, 1]
        return 2 * p1, 2 * p2 - 1

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Rectify the map with the slopes that the vector asks for."""
        a1, a2 = self.coefficients(context)  # (B, C) each
        a1, a2 = a1[:, :, None, None], a2[:, :, None, None]  # (B, C, 1, 1)
        # The lower slope everywhere, and the difference on top where x is positive:
        # max(a1 * x, a2 * x) at half the cost of its gradient.
        return torch.addcmul(torch.minimum(a1, a2) * x, (a1 - a2).abs(), x.relu())


class LeanDynamicReLU(DynamicReLU):
    """The same rectifier with one new map instead of three, for networks at work.

    New memory is dear for large maps. Where a gradient is wanted, which needs the maps
    in between, it computes as `DynamicReLU` does. `lib.layers.fuse` puts it in place.
    """

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Rectify the map with the slopes that the vector asks for."""
        if torch.is_grad_enabled():
            return super().forward(x, context)
        a1, a2 = self.coefficients(context)  # (B, C) each
        a1, a2 = a1[:, :, None, None], a2[:, :, None, None]  # (B, C, 1, 1)
        y = x.relu().mul_((a1 - a2).abs())
        return y.addcmul_(x, torch.minimum(a1, a2))


def token_shares(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Say for every pixel how much each token had asked for it.

    The Mobile->Former logits, averaged over the heads and pooled to the size of the
    map that is to be rectified, become weights by a softmax over the tokens.

    Args:
        logits: (B, heads, M, H, W).
        size: height and width of the result.

    Returns:
        Weights (B, M, *size) that sum to one over the tokens.
    """
    mean = logits.mean(dim=1)  # (B, M, H, W)
    return F.adaptive_avg_pool2d(mean, (size[0], size[1])).softmax(dim=1)


class SpatialDynamicReLU(nn.Module):
    """A dynamic ReLU whose slopes differ from pixel to pixel.

    Every token proposes slopes; a pixel mixes the proposals by its own weights. With
    equal tokens it is the shared `DynamicReLU`, whatever the weights.

    Args:
        channels: width of the map.
        context_dim: width of a token.
        reduction: the hidden layer has `context_dim / reduction` units.

    Shape: x (B, C, H, W), tokens (B, M, D), shares (B, M, H, W) -> (B, C, H, W);
    `shares` sum to one over the tokens, see `token_shares`.
    """

    def __init__(self, channels: int, context_dim: int, *, reduction: int = 4) -> None:
        super().__init__()
        self.slopes = slope_net(context_dim, channels, reduction)

    def forward(self, x: Tensor, tokens: Tensor, shares: Tensor) -> Tensor:
        """Rectify each pixel with its own mixture of slopes."""
        p = self.slopes(tokens)  # (B, M, 2C) in [0, 1]
        p = torch.einsum("bmhw,bmc->bchw", shares, p)  # (B, 2C, H, W)
        p1, p2 = p.chunk(2, dim=1)  # (B, C, H, W) each
        a1, a2 = 2 * p1, 2 * p2 - 1
        return torch.addcmul(torch.minimum(a1, a2) * x, (a1 - a2).abs(), x.relu())
