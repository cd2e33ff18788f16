"""What the ledger of the chapter computes; nothing here is typed in.

Sizes and multiply-adds do not depend on weights, so they are taken from networks on
PyTorch's "meta" device, which have shapes and no numbers.
"""

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
from lib.metrics.macs import count_macs, macs_by_part
from lib.papers.cswin import cost
from lib.papers.cswin.model import STRIPES, VARIANTS, CSWin, cswin, map_sizes
from lib.papers.cswin.official import load_official, official_outputs
from lib.papers.cswin.reach import reach_by_autograd, reach_by_masks

MILLION, BILLION = 1e6, 1e9

# The products of attention alone: a branch without its LePE.
PRODUCTS = {"lepe": r".*\.lepe", "products": r".*\.branches\.\d+"}


def _size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _shapes(variant: str, img_size: int = 224, **switches: Any) -> CSWin:
    """Build a network without numbers."""
    with torch.device("meta"):
        return cswin(variant, img_size, **switches)


def _picture(*size: int) -> Tensor:
    return torch.zeros(1, 3, *size, device="meta")


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
    model = _shapes(variant, img_size, **switches)
    picture = _picture(img_size, img_size)
    return count_macs(model, picture, include_norm=include_norm) / BILLION


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


def attention_m(stripes: list[int | None], img_size: int = 224) -> float:
    """Count the products of attention in T with other stripes, in millions."""
    with torch.device("meta"):
        model = cswin("T", img_size, stripes=stripes)
    parts = macs_by_part(model, _picture(img_size, img_size), parts=PRODUCTS)
    return parts["products"] / MILLION


def attention_table_m(settings: list[list[int | None]]) -> list[float]:
    """Count the products of attention in T for several lists of stripes."""
    return [attention_m(stripes) for stripes in settings]


def attention_percent(variant: str, img_size: int) -> float:
    """Return the share of the products of attention in all multiply-adds."""
    model, picture = _shapes(variant, img_size), _picture(img_size, img_size)
    parts = macs_by_part(model, picture, parts=PRODUCTS, include_norm=False)
    return 100 * parts["products"] / sum(parts.values())


def equivalent_windows(settings: list[list[int]]) -> list[float]:
    """List the windows that cost as much as stripes, for [side, stripe] each."""
    return [cost.equivalent_window(side, side, sw) for side, sw in settings]


class _Segmenter(nn.Module):
    """A body with a head for segmentation, and a smaller one that helps training."""

    def __init__(self, variant: str, head: str) -> None:
        super().__init__()
        self.body = cswin(variant, segmentation=True)
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
        model = _Segmenter(variant, head)
    macs = count_macs(model, _picture(height, width))
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


def dead_taps(variant: str = "T", stage: int = 0) -> list[int]:
    """Count the taps of LePE that get no gradient, in the vertical half and the other.

    A tap counts as dead if its gradient is zero in every channel, for random weights
    and tokens.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        attention = cswin(variant, num_classes=0).stages[stage][0].attention
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
