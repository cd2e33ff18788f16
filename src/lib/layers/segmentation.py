"""Heads that turn a backbone's maps into a class for every pixel."""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.layers.conv import ConvBNAct
from lib.layers.detection.fpn import FPN

ConvBNReLU = partial(ConvBNAct, act=nn.ReLU)


def resize_to(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize maps (B, C, H, W) to `size` bilinearly, corners not aligned."""
    if x.shape[2:] == tuple(size):
        return x
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)


def check_maps(maps: Sequence[Tensor], number: int) -> None:
    """Refuse another number of maps than a head was built for, with a ValueError."""
    if len(maps) != number:
        raise ValueError(f"maps: {len(maps)} given; this head takes {number}")


class PyramidPooling(nn.Module):
    """See a map at several coarse scales at once, down to one cell for the whole.

    The map is averaged in `s * s` cells for each scale, which gives a pixel the sight
    of the whole picture (Zhao et al., PSPNet, CVPR 2017).

    Args:
        channels_in: width of the map.
        channels: width of each scale and of the output.
        scales: numbers of cells along a side.

    Shape: (B, channels_in, H, W) -> (B, channels, H, W). While training, `B` must be
    2 or more: one cell of one picture has no variance to normalise by.
    """

    def __init__(
        self, channels_in: int, channels: int, *, scales: Sequence[int] = (1, 2, 3, 6)
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(scale),
                ConvBNReLU(channels_in, channels, kernel=1),
            )
            for scale in scales
        )
        self.mix = ConvBNReLU(channels_in + len(scales) * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map with what each scale sees mixed in."""
        # branch(x) is (B, channels, scale, scale)
        seen = [resize_to(branch(x), x.shape[2:]) for branch in self.branches]
        return self.mix(torch.cat([x, *seen], dim=1))


class Classify(nn.Sequential):
    """Drop channels while training, then classify each pixel by a linear layer.

    Shape: (B, channels, H, W) -> (B, num_classes, H, W).
    """

    def __init__(self, channels: int, num_classes: int, *, dropout: float) -> None:
        super().__init__(nn.Dropout2d(dropout), nn.Conv2d(channels, num_classes, 1))


class UPerHead(nn.Module):
    """Unite the maps of all stages: a pyramid of features and one of pooled scales.

    The deepest map passes pyramid pooling; each finer one is brought to the same
    width and gets the coarser one added; then all, side by side at the finest size,
    are mixed and classified (Xiao et al., Unified Perceptual Parsing, ECCV 2018).

    Args:
        in_channels: widths of the maps, finest first.
        channels: width inside the head.
        num_classes: number of classes.
        scales: pooling scales for the deepest map.
        dropout: chance of dropping a channel before the classes.

    Shape: maps (B, in_channels[i], H_i, W_i) -> (B, num_classes, H_0, W_0).

    Raises:
        ValueError: in `forward`, for another number of maps.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 512,
        num_classes: int = 150,
        *,
        scales: Sequence[int] = (1, 2, 3, 6),
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        *finer, deepest = in_channels
        self.pool = PyramidPooling(deepest, channels, scales=scales)
        self.lateral = nn.ModuleList(
            ConvBNReLU(width, channels, kernel=1) for width in finer
        )
        self.smooth = nn.ModuleList(ConvBNReLU(channels, channels) for _ in finer)
        self.mix = ConvBNReLU(len(in_channels) * channels, channels)
        self.classify = Classify(channels, num_classes, dropout=dropout)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the logits at the size of the finest map."""
        check_maps(maps, len(self.lateral) + 1)
        levels = [f(x) for f, x in zip(self.lateral, maps[:-1], strict=True)]
        levels.append(self.pool(maps[-1]))  # all (B, channels, H_i, W_i)
        for i in range(len(levels) - 1, 0, -1):  # from coarse to fine
            levels[i - 1] = levels[i - 1] + resize_to(
                levels[i], levels[i - 1].shape[2:]
            )
        smooth = [f(x) for f, x in zip(self.smooth, levels[:-1], strict=True)]
        smooth.append(levels[-1])
        size = smooth[0].shape[2:]
        x = torch.cat([resize_to(level, size) for level in smooth], dim=1)
        return self.classify(self.mix(x))


class FCNHead(nn.Module):
    """Classify one map by a convolution and a linear layer, as a second opinion.

    Beside a larger head it gives a middle stage a loss of its own while training
    (Long et al., Fully Convolutional Networks, CVPR 2015).

    Args:
        channels_in: width of the map.
        channels: width of the convolution.
        num_classes: number of classes.
        dropout: chance of dropping a channel before the classes.

    Shape: (B, channels_in, H, W) -> (B, num_classes, H, W).
    """

    def __init__(
        self,
        channels_in: int,
        channels: int = 256,
        num_classes: int = 150,
        *,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.conv = ConvBNReLU(channels_in, channels)
        self.classify = Classify(channels, num_classes, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits at the size of the map."""
        return self.classify(self.conv(x))


class SemanticFPNHead(nn.Module):
    """A light head: the levels of a feature pyramid, enlarged and summed.

    A level passes one convolution for each doubling that it needs to reach the finest
    size, at least one (Kirillov et al., Panoptic Feature Pyramid Networks, CVPR 2019;
    widths as in the PVT recipe that the paper follows).

    Args:
        in_channels: widths of the maps, finest first, each half the size of the last.
        channels: width of the summed levels.
        num_classes: number of classes.
        pyramid: width of the feature pyramid.
        dropout: chance of dropping a channel before the classes.

    Shape: maps (B, in_channels[i], H_i, W_i) -> (B, num_classes, H_0, W_0).

    Raises:
        ValueError: in `forward`, for another number of maps.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 128,
        num_classes: int = 150,
        *,
        pyramid: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.pyramid = FPN(in_channels, pyramid, extra=0)
        self.climbs = nn.ModuleList(
            nn.ModuleList(
                ConvBNReLU(channels if step else pyramid, channels)
                for step in range(max(1, level))
            )
            for level in range(len(in_channels))
        )
        self.classify = Classify(channels, num_classes, dropout=dropout)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the logits at the size of the finest map."""
        check_maps(maps, len(self.climbs))
        sizes = [x.shape[2:] for x in maps]
        total = 0
        for level, x in enumerate(self.pyramid(maps)):
            climb = self.climbs[level]
            assert isinstance(climb, nn.ModuleList)
            for step, conv in enumerate(climb, start=1):
                # The next finer map says how large; odd sides double inexactly.
                x = resize_to(conv(x), sizes[max(0, level - step)])
            total = total + x  # (B, channels, H_0, W_0)
        return self.classify(total)


class Segmenter(nn.Module):
    """A backbone with a head, and while training a second head on an earlier stage.

    Args:
        backbone: has `features(x) -> maps`, finest first.
        head: from the maps to logits of the finest map's size.
        auxiliary: from the last map but one to logits; None for no second head.

    Shape: x (B, 3, H, W) -> logits (B, num_classes, H, W); while training with a
    second head a pair of such logits.
    """

    def __init__(
        self, backbone: nn.Module, head: nn.Module, auxiliary: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.backbone, self.head, self.auxiliary = backbone, head, auxiliary

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the logits of every pixel of the picture."""
        maps = self.backbone.features(x)  # type: ignore[operator]
        logits = resize_to(self.head(maps), x.shape[2:])
        if self.auxiliary is None or not self.training:
            return logits
        return logits, resize_to(self.auxiliary(maps[-2]), x.shape[2:])


def segmentation_loss(
    logits: Tensor | tuple[Tensor, Tensor],
    target: Tensor,
    *,
    auxiliary_weight: float = 0.4,
    ignore: int = 255,
) -> Tensor:
    """Return the mean cross-entropy per pixel, the second head's at a lower weight.

    Args:
        logits: (B, num_classes, H, W), or a pair of them.
        target: classes (B, H, W), integers.
        auxiliary_weight: weight of the second logits.
        ignore: the label of pixels that do not count.
    """
    if isinstance(logits, Tensor):
        return F.cross_entropy(logits, target, ignore_index=ignore)
    main, auxiliary = (F.cross_entropy(x, target, ignore_index=ignore) for x in logits)
    return main + auxiliary_weight * auxiliary
