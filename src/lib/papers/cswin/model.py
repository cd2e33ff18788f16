"""CSWin Transformer and the table of its four published sizes."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lib.layers import ConvMerge, ConvPatchEmbed, CrossShapedAttention, PreNormBlock
from lib.papers.cswin.attentions import build_attention, check_switches
from lib.papers.cswin.positions import position_before

COLUMNS = ("dim", "depths", "heads", "drop_path")
TABLE: list[tuple] = [
    # name, C, blocks, heads, drop path
    ("T", 64, (1, 2, 21, 1), (2, 4, 8, 16), 0.2),
    ("S", 64, (2, 4, 32, 2), (2, 4, 8, 16), 0.4),
    ("B", 96, (2, 4, 32, 2), (4, 8, 16, 32), 0.5),
    ("L", 144, (2, 4, 32, 2), (6, 12, 24, 24), 0.2),
]
VARIANTS: dict[str, dict[str, Any]] = {
    name: dict(zip(COLUMNS, row, strict=True)) for name, *row in TABLE
}
STRIPES = {224: (1, 2, 7, 7), 384: (1, 2, 12, 12)}

# For segmentation: heads of L as in table 1 of the paper, drop path as released
# (for L nothing was released; it takes the rate of B).
SEGMENTATION: dict[str, dict[str, Any]] = {
    "T": {"drop_path": 0.3},
    "S": {"drop_path": 0.4},
    "B": {"drop_path": 0.6},
    "L": {"drop_path": 0.6, "heads": (6, 12, 24, 48)},
}


def check_table(
    depths: Sequence[int], stripes: Sequence[int], heads: Sequence[int]
) -> None:
    """Refuse, with a ValueError, a table that has not one entry a stage."""
    if not 0 < len(depths) == len(stripes) == len(heads):
        raise ValueError(
            f"depths={depths}, stripes={stripes}, heads={heads}: needed is one entry "
            "a stage"
        )
    if min(depths) < 1:
        raise ValueError(f"depths={depths}; allowed are 1 and more")


def initialise(model: nn.Module) -> None:
    """Give the weights the official starting values, in place.

    Linear layers: normal with deviation 0.02, zero bias; convolutions keep PyTorch's.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)


Size = tuple[int, int]


def map_sizes(
    resolution: int | Size, patch: tuple[int, int, int], stages: int
) -> list[Size]:
    """Return height and width of the map in each stage, in tokens.

    Args:
        resolution: side of the pictures in pixels, or (height, width).
        patch: kernel, stride and padding of the embedding.
        stages: number of stages; each but the first halves the sides, rounded up.

    Raises:
        ValueError: if the picture is smaller than a patch.
    """
    k, s, p = patch
    pixels = (resolution, resolution) if isinstance(resolution, int) else resolution
    if min(pixels) + 2 * p < k:
        raise ValueError(f"resolution={resolution}; allowed are {k - 2 * p} and more")
    h, w = ((n + 2 * p - k) // s + 1 for n in pixels)
    return [(-(-h // 2**i), -(-w // 2**i)) for i in range(stages)]


def choose_attention(
    attention: str,
    position: str,
    dim: int,
    heads: int,
    stripe: int | None,
    index: int,
    size: Size | None,
    mask_padding: bool,
) -> nn.Module:
    """Build the attention of one block: cross-shaped windows, or one of their rivals.

    Args:
        attention: "cross_shaped", or another of `lib.papers.cswin.attentions.KINDS`.
        position: one of `lib.papers.cswin.positions.POSITIONS`.
        dim: width C.
        heads: number of heads.
        stripe: width of a stripe in tokens; None for the whole map, whatever the
            attention.
        index: number of the block inside its stage.
        size: height and width of the map the network is built for; a stripe that
            covers it is one branch, the whole map. None if any size may come.
        mask_padding: see `CrossShapedAttention`; the rivals always mask.

    Raises:
        ValueError: for an attention or a position not known, or if it needs a size.
    """
    options = dict(mask_padding=mask_padding)
    if size is not None:
        return build_attention(
            attention, position, dim, heads, stripe, index, size, **options
        )
    check_switches(attention, position, stripe)
    if attention != "cross_shaped" or position in ("ape", "ape_sincos", "rpe"):
        raise ValueError(
            f"resolution=None; attention={attention!r} with position={position!r} "
            "needs one"
        )
    return CrossShapedAttention(dim, heads, stripe, lepe=position == "lepe", **options)


def build_stage(
    stage: int,
    dim: int,
    heads: int,
    stripe: int | None,
    size: Size | None,
    drops: Sequence[float],
    *,
    attention: str = "cross_shaped",
    position: str = "lepe",
    mlp_ratio: float = 4,
    mask_padding: bool = False,
) -> nn.ModuleList:
    """Build the blocks of one stage, with the position encodings before them.

    Args:
        stage: its number, from 0.
        dim: width C.
        heads: number of heads.
        stripe: width of a stripe in tokens; None for the whole map.
        size: height and width of the map, if known.
        drops: chance of dropping a branch, one for each block.
        attention: kind, see `choose_attention`.
        position: position encoding, see `choose_attention`.
        mlp_ratio: hidden width of the small networks over C.
        mask_padding: see `CrossShapedAttention`.
    """
    steps = nn.ModuleList()
    for index, drop in enumerate(drops):
        look = choose_attention(
            attention, position, dim, heads, stripe, index, size, mask_padding
        )
        before = position_before(position, dim, size or (0, 0), stage, index)
        if before is not None:
            steps.append(before)
        steps.append(PreNormBlock(dim, look, mlp_ratio, drop))
    return steps


def build_stages(
    widths: Sequence[int],
    depths: Sequence[int],
    stripes: Sequence[int],
    heads: Sequence[int],
    sizes: Sequence[Size | None],
    *,
    full_last: bool = True,
    drop_path: float = 0.0,
    **switches: Any,
) -> nn.ModuleList:
    """Build all stages, from one entry for each in the lists.

    Args:
        widths: width C.
        depths: number of blocks.
        stripes: width of a stripe in tokens.
        heads: number of heads.
        sizes: height and width of the map, or None.
        full_last: whether the last of several stages attends to the whole map.
        drop_path: chance of dropping a branch in the last block; it rises to that
            from 0 in the first, in even steps.
        switches: `attention`, `position`, `mlp_ratio`, `mask_padding` of
            `build_stage`.
    """
    last = max(1, sum(depths) - 1)
    drops = (drop_path * i / last for i in range(sum(depths)))
    stages = nn.ModuleList()
    for i, depth in enumerate(depths):
        stripe = None if full_last and 0 < i == len(depths) - 1 else stripes[i]
        rates = list(islice(drops, depth))
        stages.append(
            build_stage(i, widths[i], heads[i], stripe, sizes[i], rates, **switches)
        )
    return stages


class Body(nn.Module):
    """Patch embedding, and stages of blocks with a merging between.

    Each stage doubles the width and halves the sides of the map. The last of several
    stages attends to the whole map, and so does every stage whose stripe covers it.

    Args:
        dim: width C of the first stage.
        depths: number of blocks in each stage; any number of stages.
        stripes: width of the stripes in each stage, in tokens.
        heads: number of heads in each stage.
        in_channels: channels of the pictures.
        resolution: side of the pictures in pixels, or (height, width), or None for
            pictures of any size. Others can still be given: it only decides which
            stages a stripe covers, and the size of absolute and relative positions.
        patch: kernel, stride and padding of the embedding.
        checkpointing: whether training computes each block twice to save memory.
        switches: `full_last` and `drop_path` of `build_stages`; `attention`,
            `position`, `mlp_ratio` and `mask_padding` of `build_stage`.

    Raises:
        ValueError: for a value that is not allowed.
    """

    def __init__(
        self,
        dim: int,
        depths: Sequence[int],
        stripes: Sequence[int],
        heads: Sequence[int],
        *,
        in_channels: int = 3,
        resolution: int | Size | None = None,
        patch: tuple[int, int, int] = (7, 4, 2),
        checkpointing: bool = False,
        **switches: Any,
    ) -> None:
        super().__init__()
        check_table(depths, stripes, heads)
        self.checkpointing = checkpointing
        self.widths = [dim * 2**i for i in range(len(depths))]
        self.embed = ConvPatchEmbed(in_channels, dim, *patch)
        self.merges = nn.ModuleList(ConvMerge(c, 2 * c) for c in self.widths[:-1])
        sizes: Sequence[Size | None] = [None] * len(depths)
        if resolution is not None:
            sizes = map_sizes(resolution, patch, len(depths))
        self.stages = build_stages(
            self.widths, depths, stripes, heads, sizes, **switches
        )

    def run(self, x: Tensor) -> list[Tensor]:
        """Return the map after each stage, (B, H, W, C)."""
        twice = self.checkpointing and self.training and torch.is_grad_enabled()
        x = self.embed(x)  # (B, H / 4, W / 4, C)
        maps = []
        for i, stage in enumerate(self.stages):
            if i > 0:
                x = self.merges[i - 1](x)  # (B, H / 2, W / 2, 2C)
            for block in stage.children():
                x = checkpoint(block, x, use_reentrant=False) if twice else block(x)
            maps.append(x)
        return maps


class CSWin(Body):
    """CSWin Transformer: the body, a normalisation, the mean, and the classes.

    Args:
        dim: width C of the first stage.
        depths: number of blocks in each stage.
        stripes: width of the stripes in each stage, in tokens.
        heads: number of heads in each stage.
        num_classes: number of classes; 0 builds no head: the network returns its last
            map, and each map of `features` has a normalisation with weights.
        options: further options of `Body`.

    Shape: (B, in_channels, H, W) -> (B, num_classes), any H and W.

    Raises:
        ValueError: for a value that is not allowed.
    """

    def __init__(
        self,
        dim: int,
        depths: Sequence[int],
        stripes: Sequence[int],
        heads: Sequence[int],
        *,
        num_classes: int = 1000,
        **options: Any,
    ) -> None:
        if num_classes < 0:
            raise ValueError(f"num_classes={num_classes}; allowed are 0 and more")
        super().__init__(dim, depths, stripes, heads, **options)
        # A classifier has weights only in the norm before its head.
        last = self.widths[-1]
        self.norms = nn.ModuleList(
            nn.LayerNorm(c, elementwise_affine=not num_classes or c == last)
            for c in self.widths
        )
        self.head = nn.Linear(last, num_classes) if num_classes else None
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, or the last map of a network without head."""
        x = self.norms[-1](self.run(x)[-1])  # (B, H / 32, W / 32, 8C)
        if self.head is None:
            return x.permute(0, 3, 1, 2)  # (B, 8C, H / 32, W / 32)
        return self.head(x.mean(dim=(1, 2)))  # (B, num_classes)

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the normalised maps at strides 4, 8, 16, 32 as (B, C, H, W)."""
        maps = zip(self.norms, self.run(x), strict=True)
        return [norm(y).permute(0, 3, 1, 2) for norm, y in maps]


def cswin(
    variant: str,
    img_size: int = 224,
    num_classes: int = 1000,
    *,
    segmentation: bool = False,
    **switches: Any,
) -> CSWin:
    """Build a published network by name, without trained weights.

    Args:
        variant: "T", "S", "B" or "L".
        img_size: side of the pictures in pixels; 384 has wider stripes than others.
        num_classes: number of classes; 0 builds no head.
        segmentation: the body for segmentation, without head and for pictures of any
            size: the last stage alone attends to the whole map, and L has 48 heads
            there, where the released classifier has 24.
        switches: further options of `CSWin`, and `stripes`, `heads` and so on to
            change a published value. With `attention` "window", "shifted" or "sliding"
            the side of a window is 7, at 384 pixels 12.

    Raises:
        ValueError: for a name that is not known.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant={variant!r}; allowed are {', '.join(VARIANTS)}")
    stripes = STRIPES.get(img_size, STRIPES[224])
    if switches.get("attention") in ("window", "shifted", "sliding"):
        stripes = (12 if img_size == 384 else 7,) * 4  # as in Swin
    options = VARIANTS[variant] | {"stripes": stripes, "resolution": img_size}
    if segmentation:
        options |= SEGMENTATION[variant] | {"resolution": None}
        num_classes = 0
    return CSWin(**options | {"num_classes": num_classes} | switches)
