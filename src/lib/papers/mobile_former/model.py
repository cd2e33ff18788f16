"""Mobile-Former and the table of its seven published sizes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lib.layers import (
    ConvBNAct,
    DynamicReLU,
    FormerToMobile,
    MobileToFormer,
    PostNormBlock,
    SpatialDynamicReLU,
)
from lib.papers.mobile_former.blocks import (
    Head,
    LiteBottleneck,
    MobileBlock,
    MobileDownBlock,
    MobileFormerBlock,
)

Row = tuple[str, Any, int]

# One row a block: kind, hidden width or widths, output width.
_508M: list[Row] = [
    ("lite", 48, 24),
    ("MF-down", (144, 160), 40),
    ("MF", 120, 40),
    ("MF-down", (240, 288), 72),
    ("MF", 216, 72),
    ("MF-down", (432, 512), 128),
    ("MF", 512, 128),
    ("MF", 768, 176),
    ("MF", 1056, 176),
    ("MF-down", (1056, 960), 240),
    ("MF", 1440, 240),
    ("MF", 1440, 240),
]
_294M: list[Row] = [
    ("lite", 32, 16),
    ("MF-down", (96, 96), 24),
    ("MF", 96, 24),
    ("MF-down", (144, 192), 48),
    ("MF", 192, 48),
    ("MF-down", (288, 384), 96),
    ("MF", 384, 96),
    ("MF", 576, 128),
    ("MF", 768, 128),
    ("MF-down", (768, 768), 192),
    ("MF", 1152, 192),
    ("MF", 1152, 192),
]
_214M: list[Row] = [
    ("lite", 24, 12),
    ("MF-down", (72, 80), 20),
    ("MF", 60, 20),
    ("MF-down", (120, 160), 40),
    ("MF", 160, 40),
    ("MF-down", (240, 320), 80),
    ("MF", 320, 80),
    ("MF", 480, 112),
    ("MF", 672, 112),
    ("MF-down", (672, 640), 160),
    ("MF", 960, 160),
    ("MF", 960, 160),
]
_151M: list[Row] = [
    ("lite", 24, 12),
    ("MF-down", (72, 64), 16),
    ("MF", 48, 16),
    ("MF-down", (96, 128), 32),
    ("MF", 96, 32),
    ("MF-down", (192, 256), 64),
    ("MF", 256, 64),
    ("MF", 384, 88),
    ("MF", 528, 88),
    ("MF-down", (528, 512), 128),
    ("MF", 768, 128),
    ("MF", 768, 128),
]
_96M: list[Row] = [
    ("lite", 24, 12),
    ("MF-down", (72, 64), 16),
    ("MF-down", (96, 128), 32),
    ("MF", 96, 32),
    ("MF-down", (192, 256), 64),
    ("MF", 256, 64),
    ("MF", 384, 88),
    ("MF-down", (528, 512), 128),
    ("MF", 768, 128),
]
_52M: list[Row] = [
    ("lite-down", 24, 12),
    ("MF", 36, 12),
    ("MF-down", (72, 96), 24),
    ("MF", 72, 24),
    ("MF-down", (144, 192), 48),
    ("MF", 192, 48),
    ("MF", 288, 64),
    ("MF-down", (384, 384), 96),
    ("MF", 576, 96),
]

COLUMNS = ("blocks", "stem", "tokens", "dim", "head", "dropout", "groups")
TABLE: list[tuple] = [
    # name, blocks, stem, M, D, F, dropout, groups
    ("26M", _52M, 8, 3, 128, 1024, 0.1, 4),
    ("52M", _52M, 8, 3, 128, 1024, 0.2, 1),
    ("96M", _96M, 12, 4, 128, 1280, 0.2, 1),
    ("151M", _151M, 12, 6, 192, 1280, 0.2, 1),
    ("214M", _214M, 12, 6, 192, 1600, 0.2, 1),
    ("294M", _294M, 16, 6, 192, 1920, 0.3, 1),
    ("508M", _508M, 24, 6, 192, 1920, 0.3, 1),
]
VARIANTS: dict[str, dict[str, Any]] = {
    name: dict(zip(COLUMNS, row, strict=True)) for name, *row in TABLE
}

# A book-scale network for 32x32 pictures: the last maps are 8x8 and 4x4.
NANO: dict[str, Any] = {
    "blocks": [
        ("lite", 16, 8),
        ("MF-down", (32, 48), 12),
        ("MF", 48, 12),
        ("MF-down", (72, 96), 24),
        ("MF", 96, 24),
    ],
    "stem": 8,
    "tokens": 4,
    "dim": 48,
    "head": 128,
}

BRIDGES = ("both", "to_former", "to_mobile", "none")
ACTS = ("dynamic", "spatial", "relu6")
KINDS = ("lite", "lite-down", "MF", "MF-down")


@dataclass(frozen=True, kw_only=True)
class Switches:
    """What can be switched in every block at once, for the ablations.

    Attributes:
        tokens: number M of tokens; 0 leaves Mobile alone.
        dim: width D of a token.
        bridge: "both", "to_former", "to_mobile" or "none". Without bridges the
            tokens still pass the Former, but do not see the picture.
        act: "dynamic" (from the first token), "spatial" (from all tokens, per pixel)
            or "relu6".
        gate: whether Mobile->Former has its gate.
        project_kv: whether the Former projects keys and values.
        squeeze_excite: whether every Mobile part has squeeze-and-excitation.
        groups: groups of the pointwise convolutions, with channel shuffle.
        drop_path: chance of dropping an attention branch while training.

    Raises:
        ValueError: for a value that is not known, or values that exclude each other.
    """

    tokens: int
    dim: int
    bridge: str = "both"
    act: str = "dynamic"
    gate: bool = True
    project_kv: bool = False
    squeeze_excite: bool = False
    groups: int = 1
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        if self.tokens < 0:
            raise ValueError(f"tokens={self.tokens}; allowed are 0 and more")
        if self.bridge not in BRIDGES:
            raise ValueError(f"bridge={self.bridge!r}; allowed are {BRIDGES}")
        if self.act not in ACTS:
            raise ValueError(f"act={self.act!r}; allowed are {ACTS}")
        if self.act != "relu6" and self.tokens == 0:
            raise ValueError(f"act={self.act!r} needs tokens; allowed here is 'relu6'")
        if self.act == "spatial" and not self.to_former:
            raise ValueError(
                f"act='spatial' reads the Mobile->Former attention; bridge="
                f"{self.bridge!r} has none, allowed are 'both' and 'to_former'"
            )

    @property
    def to_former(self) -> bool:
        """Whether the tokens see the picture."""
        return self.tokens > 0 and self.bridge in ("both", "to_former")

    @property
    def to_mobile(self) -> bool:
        """Whether the picture sees the tokens."""
        return self.tokens > 0 and self.bridge in ("both", "to_mobile")


def build_act(channels: int, s: Switches) -> nn.Module:
    """Build the activation that is switched on, for a width."""
    if s.act == "dynamic":
        return DynamicReLU(channels, s.dim)
    if s.act == "spatial":
        return SpatialDynamicReLU(channels, s.dim)
    return nn.ReLU6()


def build_block(row: Row, channels_in: int, s: Switches) -> MobileFormerBlock:
    """Build one row of a table.

    Args:
        row: `(kind, hidden, channels)`; `hidden` is a pair for "MF-down".
        channels_in: width of the map that comes in.
        s: the switches of the network.

    Raises:
        ValueError: for a kind that is not known.
    """
    kind, hidden, channels = row
    stride = 2 if kind.endswith("down") else 1
    if kind in ("lite", "lite-down"):  # tokens pass it untouched
        return MobileFormerBlock(
            LiteBottleneck(
                channels_in, hidden, channels, stride=stride, groups=s.groups
            ),
            stride=stride,
        )
    if kind not in ("MF", "MF-down"):
        raise ValueError(f"kind={kind!r}; allowed are {KINDS}")
    mobile: type[nn.Module] = MobileBlock if kind == "MF" else MobileDownBlock
    drop = s.drop_path
    look, write = s.to_former, s.to_mobile
    return MobileFormerBlock(
        mobile(
            channels_in,
            hidden,
            channels,
            groups=s.groups,
            act=partial(build_act, s=s),
            squeeze_excite=s.squeeze_excite,
        ),
        to_former=MobileToFormer(channels_in, s.dim, gate=s.gate, drop_path=drop)
        if look
        else None,
        former=PostNormBlock(s.dim, project_kv=s.project_kv, drop_path=drop)
        if s.tokens
        else None,
        to_mobile=FormerToMobile(s.dim, channels, drop_path=drop) if write else None,
        stride=stride,
        act=s.act,
    )


def widen(
    stem: int, blocks: Sequence[Row], factor: float, groups: int = 1
) -> tuple[int, list[Row]]:
    """Multiply all widths of Mobile, for a baseline with more multiply-adds.

    Widths are rounded to even numbers (to multiples of `groups` where that is more);
    hidden widths that a depthwise convolution makes keep their expansion.

    Raises:
        ValueError: if the factor is not above 0.
    """
    if factor <= 0:
        raise ValueError(f"width={factor}; allowed are numbers above 0")
    if factor == 1:
        return stem, list(blocks)
    unit = max(2, groups)

    def scale(n: int) -> int:
        return max(unit, round(n * factor / unit) * unit)

    rows: list[Row] = []
    old = stem  # width before the block, as it was
    for kind, hidden, channels in blocks:
        if kind == "MF":
            hidden = scale(hidden)
        elif kind == "MF-down":
            hidden = (
                hidden[0] // old * scale(old),
                hidden[1] // channels * scale(channels),
            )
        else:
            hidden = hidden // old * scale(old)
        rows.append((kind, hidden, scale(channels)))
        old = channels
    return scale(stem), rows


def initialise(model: nn.Module) -> None:
    """Give all weights the official starting values, in place.

    Convolutions have variance 2 / (k * k * C_out), not divided by the groups; linear
    layers deviation 0.01 with zero bias; normalisations keep ones and zeros.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = (
                module.kernel_size[0] * module.kernel_size[1] * module.out_channels
            )
            nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)


class Backbone(nn.Module):
    """Stem, tokens and blocks: everything of Mobile-Former but the classifier.

    Args:
        blocks: one row a block, `(kind, hidden, channels)`; kinds "lite", "lite-down"
            (stride 2), "MF", and "MF-down" (stride 2, a pair of hidden widths).
        stem: width of the first convolution.
        width: factor on all widths of Mobile, see `widen`.
        switches: the attributes of `Switches`; `tokens` and `dim` are needed.

    Raises:
        ValueError: for a switch with a value that is not allowed.
    """

    def __init__(
        self, blocks: Sequence[Row], *, stem: int, width: float = 1.0, **switches: Any
    ) -> None:
        super().__init__()
        self.switches = Switches(**switches)
        channels, blocks = widen(stem, blocks, width, self.switches.groups)
        # The tokens start the same for every picture: learned, no position.
        self.tokens = nn.Parameter(torch.randn(self.switches.tokens, self.switches.dim))
        self.stem = ConvBNAct(3, channels, stride=2)
        self.blocks = nn.ModuleList()
        self.strides: list[int] = []  # of the map after each block
        for row in blocks:
            block = build_block(row, channels, self.switches)
            self.strides.append((self.strides or [2])[-1] * block.stride)
            self.blocks.append(block)
            channels = row[-1]
        self.channels = channels
        initialise(self)

    def run(self, x: Tensor) -> tuple[dict[int, Tensor], Tensor]:
        """Return the last map at every stride, and the tokens after the blocks."""
        x = self.stem(x)  # (B, C, H / 2, W / 2)
        tokens = self.tokens.expand(x.shape[0], -1, -1)  # (B, M, D)
        maps = {2: x}
        for block, stride in zip(self.blocks, self.strides, strict=True):
            x, tokens = block(x, tokens)
            # (B, C, H / stride, W / stride); the last map of a stride is kept
            maps[stride] = x
        return maps, tokens

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the maps at strides 4, 8, ... as far as the blocks go."""
        maps, _ = self.run(x)
        return [y for stride, y in maps.items() if stride >= 4]


class MobileFormer(Backbone):
    """A MobileNet and a transformer on a few tokens, bridged at every block.

    Args:
        blocks: the rows, see `Backbone`.
        head: width F of the layer before the classes.
        num_classes: number of classes; 0 builds no head, and the network returns
            its last map.
        dropout: chance of dropping a unit before the classes.
        options: `stem` and `width` of `Backbone`, and the attributes of `Switches`.

    Shape: (B, 3, H, W) -> (B, num_classes), any H and W.

    Raises:
        ValueError: for a switch with a value that is not allowed.
    """

    def __init__(
        self,
        blocks: Sequence[Row],
        *,
        head: int = 128,
        num_classes: int = 1000,
        dropout: float = 0.0,
        **options: Any,
    ) -> None:
        if num_classes < 0:
            raise ValueError(f"num_classes={num_classes}; allowed are 0 and more")
        super().__init__(blocks, **options)
        s, channels = self.switches, self.channels
        self.look: MobileToFormer | None = None
        self.head: Head | None = None
        if num_classes and s.to_former:  # one last look, for the head alone
            self.look = MobileToFormer(channels, s.dim, gate=s.gate)
        if num_classes:
            dim = s.dim if s.tokens else 0
            self.head = Head(
                channels, dim, head, num_classes, groups=s.groups, dropout=dropout
            )
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, or the last map of a network without head."""
        maps, tokens = self.run(x)
        x = maps[max(maps)]
        if self.head is None:
            return x
        if self.look is not None:
            tokens = self.look(x, tokens)  # (B, M, D)
        return self.head(x, tokens)  # (B, num_classes)

    def trace(self, x: Tensor) -> list["BlockTrace"]:
        """Return what each block saw and did, without slowing the forward pass."""
        return trace(self, x)


class BlockTrace(NamedTuple):
    """What one block saw and did, for figures.

    Attributes:
        image: the map after the block, (B, C, H, W).
        tokens: the tokens after the block, (B, M, D).
        to_former: attention of each token over the pixels of the block's input,
            (B, heads, M, H, W), sums to one over the pixels; None without bridge.
        to_mobile: attention of each pixel over the tokens, (B, heads, M, H, W), sums
            to one over the tokens; None without bridge.
    """

    image: Tensor
    tokens: Tensor
    to_former: Tensor | None
    to_mobile: Tensor | None


@torch.no_grad()
def trace(model: Backbone, x: Tensor) -> list[BlockTrace]:
    """Run the blocks once and keep maps, tokens and attention of every block."""
    seen: dict[nn.Module, tuple[tuple[Tensor, ...], Any]] = {}

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
        seen[module] = inputs, output

    blocks: list[Any] = list(model.blocks)
    parts = [part for b in blocks for part in (b, b.to_former, b.to_mobile)]
    hooks = [part.register_forward_hook(keep) for part in parts if part is not None]
    try:
        model.run(x)
    finally:
        for hook in hooks:
            hook.remove()
    steps = []
    for block in blocks:
        to_former = to_mobile = None
        # A view of a parameter wants a gradient even here, hence the detach.
        image, tokens = (part.detach() for part in seen[block][1])
        if block.to_former is not None:
            logits = block.to_former.logits(*seen[block.to_former][0])
            size = logits.shape[-2:]
            to_former = logits.flatten(-2).softmax(dim=-1).unflatten(-1, size)
        if block.to_mobile is not None:
            to_mobile = block.to_mobile.logits(*seen[block.to_mobile][0]).softmax(dim=2)
        steps.append(BlockTrace(image, tokens, to_former, to_mobile))
    return steps


def mobile_former(
    variant: str, num_classes: int = 1000, **switches: Any
) -> MobileFormer:
    """Build one of the published networks by its name.

    Args:
        variant: "26M", "52M", "96M", "151M", "214M", "294M" or "508M".
        num_classes: number of classes; 0 for a network without head.
        switches: what differs from the published network: `bridge`, `tokens`, `act`,
            `width`, `squeeze_excite`, `gate`, `project_kv`, `drop_path`, `dropout`.

    Raises:
        ValueError: for an unknown variant or a switch with a value not allowed.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant={variant!r}; allowed are {', '.join(VARIANTS)}")
    options = VARIANTS[variant] | switches
    return MobileFormer(num_classes=num_classes, **options)
