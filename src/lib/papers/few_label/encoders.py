"""Encoders of chapter 4: a small one, residual networks, and projection heads."""

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

Norm = Callable[[int], nn.Module]

VERSIONS = ("v1", "v2", "book")
"""Projection heads: of MoCo, of MoCo v2, and of the book."""


class SmallEncoder(nn.Module):
    """Four convolutions and the mean over the map: 97,680 parameters.

    Args:
        norm: makes the normalisation of a number of channels.

    Shape: (B, 3, H, W) -> (B, 128); the map is H / 8 by W / 8.
    """

    feature_dim = 128

    def __init__(self, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, stride in ((16, 2), (32, 2), (64, 2), (128, 1)):
            conv = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
            layers += [conv, norm(width), nn.ReLU(inplace=True)]
            channels = width
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return one vector a picture."""
        return self.layers(x).mean(dim=(2, 3))


def small_encoder(norm: Norm = nn.BatchNorm2d) -> SmallEncoder:
    """Build the book's encoder for pictures of 32 x 32.

    Args:
        norm: makes the normalisation of a number of channels.
    """
    return SmallEncoder(norm)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (He et al., CVPR 2016).

    Shape: (B, channels_in, H, W) -> (B, width, H / stride, W / stride).
    """

    expansion = 1

    def __init__(self, channels_in: int, width: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = _conv(channels_in, width, 3, stride)
        self.bn1 = norm(width)
        self.conv2 = _conv(width, width, 3)
        self.bn2 = norm(width)
        self.downsample = _shortcut(channels_in, width, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Add what the convolutions find to the shortcut."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.downsample(x))


class Bottleneck(nn.Module):
    """Three convolutions, 1 x 1, 3 x 3 and 1 x 1, beside a shortcut.

    The stride is in the 3 x 3, as in MoCo's code; He et al. had it in the first.

    Shape: (B, channels_in, H, W) -> (B, 4 * width, H / stride, W / stride).
    """

    expansion = 4

    def __init__(self, channels_in: int, width: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = _conv(channels_in, width, 1)
        self.bn1 = norm(width)
        self.conv2 = _conv(width, width, 3, stride)
        self.bn2 = norm(width)
        self.conv3 = _conv(width, 4 * width, 1)
        self.bn3 = norm(4 * width)
        self.downsample = _shortcut(channels_in, 4 * width, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Add what the convolutions find to the shortcut."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + self.downsample(x))


class ResNet(nn.Module):
    """A residual network up to its pooled features, without classes.

    Weights have the names that MoCo's checkpoints use.

    Args:
        layers: number of blocks of each stage; widths double from 64 on.
        bottleneck: blocks of three convolutions instead of two.
        small: for pictures of 32 x 32: a first convolution of 3 x 3 without stride,
            and no pooling after it.
        norm: makes the normalisation of a number of channels.

    Shape: (B, 3, H, W) -> (B, feature_dim).
    """

    def __init__(
        self,
        layers: Sequence[int],
        bottleneck: bool,
        small: bool = False,
        norm: Norm = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        block = Bottleneck if bottleneck else BasicBlock
        self.conv1 = _conv(3, 64, 3) if small else _conv(3, 64, 7, 2)
        self.bn1 = norm(64)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, padding=1)
        channels = 64
        for stage, depth in enumerate(layers):
            width, blocks = 64 * 2**stage, nn.Sequential()
            for i in range(depth):
                stride = 2 if stage and not i else 1
                blocks.append(block(channels, width, stride, norm))
                channels = width * block.expansion
            setattr(self, f"layer{stage + 1}", blocks)
        self.stages, self.feature_dim = len(layers), channels

    def forward(self, x: Tensor) -> Tensor:
        """Return one vector a picture."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return x.mean(dim=(2, 3))


def resnet18(small: bool = False, norm: Norm = nn.BatchNorm2d) -> ResNet:
    """Build ResNet-18 without its classes: 11,176,512 parameters, 512 features.

    Args:
        small: for pictures of 32 x 32, see `ResNet`.
        norm: makes the normalisation of a number of channels.
    """
    return ResNet((2, 2, 2, 2), False, small, norm)


def resnet50(small: bool = False, norm: Norm = nn.BatchNorm2d) -> ResNet:
    """Build ResNet-50 without its classes: 23,508,032 parameters, 2048 features.

    Args:
        small: for pictures of 32 x 32, see `ResNet`.
        norm: makes the normalisation of a number of channels.
    """
    return ResNet((3, 4, 6, 3), True, small, norm)


def projection_head(
    channels: int, dim: int | None = None, version: str = "book"
) -> nn.Sequential:
    """Build the layers between the features and the vectors that are contrasted.

    "v1" is one layer; "v2" puts a layer and a rectifier before it; "book" adds a
    normalisation to that. Clusters and probes look at the features before the head.

    Args:
        channels: width of the features.
        dim: width of the vectors, by default 64 for "book", else 128.
        version: "v1", "v2" or "book".

    Shape: (B, channels) -> (B, dim).

    Raises:
        ValueError: for another version.
    """
    if version not in VERSIONS:
        raise ValueError(f"version={version!r}: allowed are {', '.join(VERSIONS)}")
    dim = dim or (64 if version == "book" else 128)
    hidden: list[nn.Module] = []
    if version != "v1":
        hidden = [nn.Linear(channels, channels), nn.ReLU()]
    if version == "book":
        hidden.insert(1, nn.BatchNorm1d(channels))
    return nn.Sequential(*hidden, nn.Linear(channels, dim))


def _conv(
    channels_in: int, channels_out: int, kernel: int, stride: int = 1
) -> nn.Module:
    """Make a convolution without bias that starts as He et al. (ICCV 2015) say."""
    conv = nn.Conv2d(
        channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False
    )
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


def _shortcut(
    channels_in: int, channels_out: int, stride: int, norm: Norm
) -> nn.Module:
    """Carry the input past a block, through a convolution where shapes differ."""
    if stride == 1 and channels_in == channels_out:
        return nn.Identity()
    return nn.Sequential(
        _conv(channels_in, channels_out, 1, stride), norm(channels_out)
    )
