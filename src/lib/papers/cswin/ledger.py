"""What the ledger of the chapter computes; nothing here is typed in.

Sizes and multiply-adds do not depend on weights, so they are taken from networks on
PyTorch's "meta" device, which have shapes and no numbers.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lib.assets import paper_path
from lib.layers import FCNHead, SemanticFPNHead, UPerHead
from lib.metrics.golden import (
    golden_excess,
    golden_input,
    golden_weights,
    read_golden,
)
from lib.metrics.macs import macs_by_part
from lib.papers.cswin import cost
from lib.papers.cswin.model import STRIPES, VARIANTS, CSWin, cswin, map_sizes
from lib.papers.cswin.official import load_official, official_outputs
from lib.papers.cswin.reach import reach_by_autograd, reach_by_masks

MILLION, BILLION = 1e6, 1e9
ONE_BLOCK: dict[str, Any] = {"depths": (1, 1, 1, 1)}

# One block of each stage, and in it the products of attention: a branch without LePE.
BLOCKS = {f"stage {i}": rf"(body\.)?stages\.{i}\.0" for i in range(4)}
PRODUCTS = {"lepe": r".*\.lepe"} | {
    stage: rf"{block}\.attention\.branches\.\d" for stage, block in BLOCKS.items()
}


def _size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _shapes(variant: str, img_size: int = 224, **switches: Any) -> CSWin:
    """Build a network without numbers."""
    with torch.device("meta"):
        return cswin(variant, img_size, **switches)


def _picture(height: int, width: int) -> Tensor:
    return torch.zeros(1, 3, height, width, device="meta")


def _macs(
    model: nn.Module, picture: Tensor, depths: Sequence[int], include_norm: bool = True
) -> int:
    """Count a network that has one block a stage as if it had more.

    The blocks of a stage are alike, and counting one of them is much faster.
    """
    parts = macs_by_part(model, picture, parts=BLOCKS, include_norm=include_norm)
    more = zip(depths, BLOCKS, strict=True)
    return sum(parts.values()) + sum((n - 1) * parts[stage] for n, stage in more)


def parameters(variant: str, **switches: Any) -> int:
    """Count the parameters of a network."""
    return _size(_shapes(variant, **switches))


def parameters_m(variant: str, **switches: Any) -> float:
    """Count the parameters of a network, in millions."""
    return parameters(variant, **switches) / MILLION


def macs_g(
    variant: str, img_size: int = 224, include_norm: bool = True, **switches: Any
) -> float:
    """Count the multiply-adds for one picture, in thousand millions."""
    model = _shapes(variant, img_size, **switches | ONE_BLOCK)
    picture, depths = _picture(img_size, img_size), VARIANTS[variant]["depths"]
    return _macs(model, picture, depths, include_norm) / BILLION


def macs_table_g(variants: list[str], img_size: int) -> list[float]:
    """Count the multiply-adds for one picture by several networks."""
    return [macs_g(variant, img_size) for variant in variants]


def parameters_of_parts(variant: str) -> list[int]:
    """Count the parameters from the embedding through all stages to the classes."""
    model = _shapes(variant)
    parts: list[nn.Module] = [model.embed]
    for i, stage in enumerate(model.stages):
        parts += [model.merges[i - 1], stage] if i else [stage]
    assert model.head is not None
    return [_size(part) for part in [*parts, model.norms[-1], model.head]]


def shapes(variant: str, img_size: int = 224) -> list[list[int]]:
    """List channels, height and width of the maps of `features`."""
    maps = _shapes(variant, img_size).features(_picture(img_size, img_size))
    return [list(y.shape[1:]) for y in maps]


def attention_m(stripes: list[int | None]) -> float:
    """Count the products of attention in T with other stripes, in millions."""
    model = _shapes("T", stripes=stripes, **ONE_BLOCK)
    parts = macs_by_part(model, _picture(224, 224), parts=PRODUCTS)
    depths = zip(VARIANTS["T"]["depths"], BLOCKS, strict=True)
    return sum(n * parts[stage] for n, stage in depths) / MILLION


def attention_table_m(settings: list[list[int | None]]) -> list[float]:
    """Count the products of attention in T for several lists of stripes."""
    return [attention_m(stripes) for stripes in settings]


def equivalent_windows(settings: list[list[int]]) -> list[float]:
    """List the windows that cost as much as stripes, for [side, stripe] each."""
    return [cost.equivalent_window(side, side, sw) for side, sw in settings]


class _Segmenter(nn.Module):
    """A body with a head for segmentation, and a smaller one that helps training."""

    def __init__(self, variant: str, head: str, **switches: Any) -> None:
        super().__init__()
        self.body = cswin(variant, segmentation=True, **switches)
        widths = self.body.widths
        self.head = {"upernet": UPerHead, "fpn": SemanticFPNHead}[head](widths)
        self.helper = FCNHead(widths[2]) if head == "upernet" else None

    def forward(self, x: Tensor) -> Tensor:
        maps = self.body.features(x)
        if self.helper is not None:
            self.helper(maps[2])
        return self.head(maps)


def segmenter_parameters_m(variant: str, head: str) -> float:
    """Count the parameters of body and heads for 150 classes, in millions.

    Args:
        variant: "T", "S", "B" or "L".
        head: "upernet", with the auxiliary head, or "fpn".
    """
    with torch.device("meta"):
        return _size(_Segmenter(variant, head)) / MILLION


def segmenter_macs_g(
    variant: str,
    head: str,
    height: int = 512,
    width: int = 2048,
    *,
    padding: bool = True,
) -> float:
    """Count the multiply-adds of body and heads, in thousand millions.

    Args:
        variant: "T", "S", "B" or "L".
        head: "upernet", with the auxiliary head, or "fpn".
        height: height of the picture in pixels.
        width: width of the picture in pixels.
        padding: whether the products of attention count the zeros that fill the last
            stripes.
    """
    with torch.device("meta"):
        model = _Segmenter(variant, head, **ONE_BLOCK)
    macs = _macs(model, _picture(height, width), VARIANTS[variant]["depths"])
    if not padding:
        macs -= _products_of_padding(variant, height, width)
    return macs / BILLION


def _products_of_padding(variant: str, height: int, width: int) -> int:
    """Count the products that zeros cost in the stages with stripes."""
    table = VARIANTS[variant]
    sizes = map_sizes((height, width), (7, 4, 2), len(table["depths"]))
    wasted = 0
    for i, (H, W) in enumerate(sizes[:-1]):  # the last stage has no stripes
        C, sw = table["dim"] * 2**i, STRIPES[224][i]
        block = cost.stripe_products(H, W, C, sw) - H * W * C * sw * (H + W)
        wasted += table["depths"][i] * block
    return wasted


def reach_disagreements(
    kinds: list[str], side: int, stripe: int, depth: int = 3
) -> int:
    """Count the pairs of tokens for which the two ways to compute reach differ.

    Args:
        kinds: attentions.
        side: side of the map in tokens.
        stripe: width of a stripe or side of a window.
        depth: number of blocks.
    """
    return sum(
        int(
            (
                reach_by_masks(kind, (side, side), depth, stripe)
                != reach_by_autograd(kind, (side, side), depth, stripe)
            ).sum()
        )
        for kind in kinds
    )


def gain(method: float, baseline: float) -> float:
    """Return by how much one entry of a table is above another."""
    return method - baseline


def dead_taps(variant: str = "T", stage: int = 0) -> list[int]:
    """Count the taps of LePE that get no gradient, in the vertical half and the other.

    A tap counts as dead if its gradient is zero in every channel, for random weights
    and tokens.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        block: Any = next(cswin(variant, num_classes=0).stages[stage].children())
        attention = block.attention
        dim, side = attention.proj.in_features, 56 // 2**stage
        attention(torch.randn(1, side, side, dim)).square().sum().backward()
    grads = [branch.lepe.conv.weight.grad for branch in attention.branches]
    return [int((grad.abs().amax(0) == 0).sum()) for grad in grads]


def deviation() -> float:
    """Compare T with the authors' code, on the same weights and pictures.

    Returns:
        The largest deviation of the outputs and of all recorded places inside, in
        units of the tolerance 1e-5 + 1e-4 |y|; up to 1 counts as equal.
    """
    golden = read_golden(paper_path("cswin", "golden", "tiny_224.json"))
    model = load_official(cswin("T"), golden_weights(golden)).eval()
    found = official_outputs(model, golden_input(golden))
    recorded = golden["intermediate"] | {"output": golden["output"]}
    return max(golden_excess(recorded[key], found[key]) for key in recorded)
