"""The feature pyramid: maps of every scale, each with the meaning of the coarsest."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

EXTRA_FROM = ("backbone", "pyramid")


def filter_map(channels_in: int, width: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Make a convolution with bias that keeps the variance of what comes in."""
    conv = nn.Conv2d(channels_in, width, kernel, stride, padding=kernel // 2)
    nn.init.kaiming_uniform_(conv.weight, a=1)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


class FPN(nn.Module):
    """Bring the maps of a backbone to one width and pass the coarse ones down.

    Each map goes through a pointwise convolution; from the coarsest to the finest,
    the sum so far is blown up by repeating pixels and added; a 3x3 convolution smooths
    each sum (Lin et al., CVPR 2017, section 3). RetinaNet adds coarser levels by
    3x3 convolutions of stride 2 with ReLU between them, with C3 to C5: P6 and P7.

    Args:
        channels: widths of the backbone's maps, finest first.
        width: width of all levels.
        extra: number of coarser levels to add.
        extra_from: what the first of these reads: "backbone" its coarsest map (C5,
            as in the paper), "pyramid" the level made of it (P5).

    Shape: maps (B, C_i, H_i, W_i), each half as large as the one before -> the same
    number plus `extra` of (B, width, H_i, W_i).

    Raises:
        ValueError: for no maps, or an argument out of range.
    """

    def __init__(
        self,
        channels: Sequence[int],
        width: int = 256,
        *,
        extra: int = 2,
        extra_from: str = "backbone",
    ) -> None:
        super().__init__()
        if not channels or min(*channels, width) < 1 or extra < 0:
            raise ValueError(
                f"channels={tuple(channels)}, width={width}, extra={extra}; allowed "
                "are one width or more, all from 1, and 0 or more extra levels"
            )
        if extra_from not in EXTRA_FROM:
            raise ValueError(f"extra_from={extra_from!r}; allowed are {EXTRA_FROM}")
        self.extra_from = extra_from
        self.lateral = nn.ModuleList(filter_map(c, width, 1) for c in channels)
        self.smooth = nn.ModuleList(filter_map(width, width, 3) for _ in channels)
        first = channels[-1] if extra_from == "backbone" else width
        self.extra = nn.ModuleList(
            filter_map(width if i else first, width, 3, stride=2) for i in range(extra)
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the levels of the pyramid, finest first."""
        levels = [pointwise(c) for pointwise, c in zip(self.lateral, maps, strict=True)]
        for i in range(len(levels) - 1, 0, -1):
            finer = levels[i - 1]
            # By the finer map's size, because 25 rows shrink to 13.
            levels[i - 1] = finer + F.interpolate(levels[i], finer.shape[-2:])
        levels = [conv(p) for conv, p in zip(self.smooth, levels, strict=True)]
        x = maps[-1] if self.extra_from == "backbone" else levels[-1]
        for i, down in enumerate(self.extra):
            x = down(F.relu(x) if i else x)  # (B, width, H / 2, W / 2)
            levels.append(x)
        return levels
