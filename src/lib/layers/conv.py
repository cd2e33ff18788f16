"""Convolution with its normalisation and activation, and two small helpers."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lib.layers.dynamic_relu import DynamicReLU, LeanDynamicReLU


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Deal the channels out so that every group gets channels of several.

    After a grouped convolution the groups know nothing of each other. Reading the
    channels as a table of `groups` rows and writing it out by columns mixes them.

    Args:
        x: features (B, C, H, W), `C` divisible by `groups`.
        groups: number of rows, at least 1.

    Raises:
        ValueError: if `C` is not divisible by `groups`.
    """
    if groups < 1 or x.shape[1] % groups:
        raise ValueError(
            f"groups={groups} must divide the number of channels, {x.shape[1]}"
        )
    x = x.unflatten(1, (groups, -1))  # (B, groups, C / groups, H, W)
    return x.transpose(1, 2).flatten(1, 2)  # (B, C, H, W)


class ConvBNAct(nn.Module):
    """Convolution without bias, batch normalisation, then an activation.

    The padding keeps `ceil(H / stride)` rows, whatever the kernel. `shuffle` deals
    the channels out into that many groups after the normalisation; it matters only
    beside grouped convolutions. `act=None` leaves the output linear.

    Args:
        channels_in: width of the input.
        channels_out: width of the output.
        kernel: odd kernel size.
        stride: step of the kernel.
        groups: number of groups; `channels_in` makes the convolution depthwise.
        shuffle: number of groups to shuffle; 1 leaves the order alone.
        act: makes the activation, or None.

    Shape: (B, channels_in, H, W) -> (B, channels_out, ceil(H/stride), ceil(W/stride)).
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        shuffle: int = 1,
        act: Callable[[], nn.Module] | None = nn.ReLU6,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels_in,
            channels_out,
            kernel,
            stride=stride,
            padding=kernel // 2,
            groups=groups,
            bias=False,  # the normalisation brings its own
        )
        self.bn: nn.Module = nn.BatchNorm2d(channels_out)
        self.shuffle = shuffle
        self.act = nn.Identity() if act is None else act()

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, normalise, shuffle if asked to, activate."""
        x = self.bn(self.conv(x))  # (B, channels_out, H / stride, W / stride)
        if self.shuffle > 1:
            x = channel_shuffle(x, self.shuffle)
        return self.act(x)


class SqueezeExcite(nn.Module):
    """Scale each channel by a number between 0 and 1 found from the pooled map.

    The classic cheap way to global context: one vector for the whole picture, and
    the same scale for every pixel (Hu et al., CVPR 2018).

    Args:
        channels: width of the map.
        reduction: the hidden layer has `channels / reduction` units, at least 1.

    Shape: (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int, *, reduction: int = 4) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.scale = nn.Sequential(
            nn.Linear(channels, hidden),
            nn.ReLU(),
            nn.Linear(hidden, channels),
            nn.Hardsigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the map with its channels scaled."""
        scale = self.scale(x.mean(dim=(2, 3)))  # (B, C)
        return x * scale[:, :, None, None]


class DropPath(nn.Module):
    """Drop a whole branch for some pictures of the batch while training.

    The branch of a kept picture is divided by the chance of keeping it, so that the
    mean stays (stochastic depth, Huang et al., ECCV 2016).

    Args:
        rate: chance of dropping, in [0, 1).

    Shape: any with the batch first.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"rate={rate} must lie in [0, 1)")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return the branch, zero for the pictures that lose it."""
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        mask = torch.rand(x.shape[0], *[1] * (x.ndim - 1), device=x.device) < keep
        return x * mask / keep


def fuse(model: nn.Module) -> nn.Module:
    """Fold every batch normalisation after a convolution into its weights.

    For inference: the model must be in eval mode, and is changed in place. The
    outputs stay the same up to rounding. Dynamic rectifiers become `LeanDynamicReLU`.

    Raises:
        ValueError: if the model is in training mode.
    """
    if model.training:
        raise ValueError("model.training=True: fuse() needs model.eval() first")
    for module in model.modules():
        if isinstance(module, ConvBNAct) and isinstance(module.bn, nn.BatchNorm2d):
            module.conv = fuse_conv_bn_eval(module.conv, module.bn)
            module.bn = nn.Identity()
        if type(module) is DynamicReLU:  # the same weights, another forward pass
            module.__class__ = LeanDynamicReLU
    return model
