"""Networks of the MobileNet space: paths of the once-for-all super-network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from lib.data.spaces import ofa_code
from lib.layers import ConvBNAct, SqueezeExcite

BLOCKS = 4
"""Blocks that a stage can have at most."""


class Stage(NamedTuple):
    """What is fixed in a stage: width, step of its first block, activation, scaling."""

    width: int
    stride: int
    act: type[nn.Module]
    excite: bool


STAGES = (
    Stage(24, 2, nn.ReLU, False),
    Stage(40, 2, nn.ReLU, True),
    Stage(80, 2, nn.Hardswish, False),
    Stage(112, 1, nn.Hardswish, True),
    Stage(160, 2, nn.Hardswish, True),
)
"""The five searched stages of MobileNetV3, before widening."""


class Choices(NamedTuple):
    """One network of the space: 20 kernels, 20 expansions, 5 depths."""

    kernels: tuple[int, ...]
    expands: tuple[int, ...]
    depths: tuple[int, ...]


def fill(stages: Sequence[Sequence[int]], unused: int = 3) -> tuple[int, ...]:
    """Write the choices stage after stage, each stage filled up to four blocks."""
    rows = [[*stage, *[unused] * (BLOCKS - len(stage))] for stage in stages]
    return tuple(choice for row in rows for choice in row)


FOUND = {
    "800": Choices(
        fill([[3, 5], [7, 5, 7, 3], [3, 7, 5, 7], [3, 3, 5, 5], [7, 5, 3, 5]]),
        fill([[4, 6], [4, 3, 4, 6], [4, 6, 6, 3], [6, 6, 6, 3], [6, 6, 4, 3]]),
        (2, 4, 4, 4, 4),
    ),
    "1000": Choices(
        fill([[5, 3, 3, 3], [5, 5, 5], [7, 5, 7], [3, 5, 5], [7, 5, 3, 5]]),
        fill([[3, 3, 4, 3], [4, 6, 4], [4, 6, 6], [6, 6, 6], [6, 6, 6, 3]]),
        (4, 3, 3, 3, 4),
    ),
}
"""What WeakNAS found with 800 and with 1000 evaluations; unused entries are 3."""


def multiple_of_8(width: float) -> int:
    """Round to a multiple of 8, at least 8 and never more than a tenth down."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


class RoundedExcite(SqueezeExcite):
    """Squeeze-excite whose hidden width is a multiple of 8.

    Args:
        channels: width of the map.

    Shape: (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        hidden = multiple_of_8(channels // 4)
        self.scale = nn.Sequential(
            nn.Linear(channels, hidden),
            nn.ReLU(),
            nn.Linear(hidden, channels),
            nn.Hardsigmoid(),
        )


class OFABlock(nn.Module):
    """The inverted bottleneck with a choice of kernel and expansion.

    Args:
        channels_in: width of the input.
        channels_out: width of the output.
        kernel: of the depthwise convolution, odd.
        expand: hidden width over `channels_in`; 1 leaves the widening out.
        stride: 1 or 2.
        act: class of both activations.
        excite: whether the hidden channels are scaled by what they pool.

    Shape: (B, channels_in, H, W) -> (B, channels_out, ceil(H/stride), ceil(W/stride)).
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        kernel: int = 3,
        expand: int = 1,
        stride: int = 1,
        act: type[nn.Module] = nn.ReLU,
        excite: bool = False,
    ) -> None:
        super().__init__()
        hidden = multiple_of_8(channels_in * expand)
        self.widen: nn.Module = nn.Identity()
        if expand > 1:
            self.widen = ConvBNAct(channels_in, hidden, kernel=1, act=act)
        self.depthwise = ConvBNAct(
            hidden, hidden, kernel=kernel, stride=stride, groups=hidden, act=act
        )
        self.excite = RoundedExcite(hidden) if excite else nn.Identity()
        self.narrow = ConvBNAct(hidden, channels_out, kernel=1, act=None)
        self.add_input = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        """Return the new map."""
        y = self.depthwise(self.widen(x))  # (B, hidden, H / stride, W / stride)
        y = self.narrow(self.excite(y))  # (B, channels_out, H / stride, W / stride)
        return x + y if self.add_input else y


class OFAMobileNet(nn.Module):
    """One network of the MobileNet space of WeakNAS.

    The first block of a stage may halve the picture. Choices of blocks beyond the depth
    of their stage are ignored.

    Args:
        kernels: 3, 5 or 7 for each of 20 blocks, four a stage.
        expands: 3, 4 or 6 for each of 20 blocks.
        depths: 2, 3 or 4 for each of 5 stages.
        width: factor on all widths, which are then rounded to multiples of 8.
        num_classes: of the head.

    Shape: (B, 3, H, W) -> (B, num_classes).

    Raises:
        ValueError: a choice that the space does not have.
    """

    def __init__(
        self,
        kernels: Sequence[int],
        expands: Sequence[int],
        depths: Sequence[int],
        width: float = 1.2,
        num_classes: int = 1000,
    ) -> None:
        super().__init__()
        ofa_code(kernels, expands, depths)  # refuses what is not in the space
        last = multiple_of_8(16 * width)
        self.stem = ConvBNAct(3, last, stride=2, act=nn.Hardswish)
        blocks = [OFABlock(last, last)]
        for i, (base, stride, act, excite) in enumerate(STAGES):
            for place in range(BLOCKS * i, BLOCKS * i + depths[i]):
                new = multiple_of_8(base * width)
                choice = {"kernel": kernels[place], "expand": expands[place]}
                step = stride if place == BLOCKS * i else 1
                blocks.append(
                    OFABlock(last, new, **choice, stride=step, act=act, excite=excite)
                )
                last = new
        self.blocks = nn.Sequential(*blocks)
        wide, wider = multiple_of_8(960 * width), multiple_of_8(1280 * width)
        self.last = ConvBNAct(last, wide, kernel=1, act=nn.Hardswish)
        self.mix = nn.Linear(wide, wider, bias=False)
        self.act = nn.Hardswish()
        self.head = nn.Linear(wider, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of the classes."""
        x = self.last(self.blocks(self.stem(x)))  # (B, 1152, H / 32, W / 32)
        return self.head(self.act(self.mix(x.mean((2, 3)))))
