"""What the ledger of the chapter computes; nothing here is typed in."""

import re
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lib.assets import paper_path
from lib.metrics.golden import (
    golden_excess,
    golden_input,
    golden_weights,
    read_golden,
)
from lib.metrics.macs import count_macs, macs_by_part
from lib.papers.mobile_former.model import mobile_former
from lib.papers.mobile_former.official import load_official, official_outputs

MILLION = 1e6

# Parts of the network, by the names of its modules; the first that fits counts.
PARTS = {
    "Stem": "stem",
    "Mobile": r"blocks\.\d+\.mobile",
    "Dynamic ReLU": r".*\.slopes",
    "Mobile → Former": r"blocks\.\d+\.to_former|look",
    "Former": r"blocks\.\d+\.former",
    "Mobile ← Former": r"blocks\.\d+\.to_mobile",
    "Head": "head",
}


def _size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _picture(size: int = 224) -> torch.Tensor:
    return torch.zeros(1, 3, size, size)


def parameters(variant: str, **switches: Any) -> int:
    """Count the parameters of a network."""
    return _size(mobile_former(variant, **switches))


def parameters_m(variant: str, **switches: Any) -> float:
    """Count the parameters of a network, in millions."""
    return parameters(variant, **switches) / MILLION


def macs_m(variant: str, include_norm: bool = True, **switches: Any) -> float:
    """Count the multiply-adds for one picture of 224x224, in millions."""
    model = mobile_former(variant, **switches)
    return count_macs(model, _picture(), include_norm=include_norm) / MILLION


def flops_m(variant: str) -> float:
    """Ask PyTorch's own counter for floating point operations, in millions.

    It takes two for a multiply-add, and none for normalisation.
    """
    model = mobile_former(variant).eval()
    with FlopCounterMode(display=False) as counter:
        model(_picture())
    return counter.get_total_flops() / MILLION


def block_parameters(variant: str) -> list[int]:
    """Count the parameters of every block, the last look and the head."""
    model = mobile_former(variant)
    tail = [part for part in (model.look, model.head) if part is not None]
    return [_size(part) for part in [*model.blocks, *tail]]


def shapes(variant: str) -> list[list[int]]:
    """List channels, height and width after every block, for 224x224 pixels."""
    model = mobile_former(variant).eval()
    return [list(step.image.shape[1:]) for step in model.trace(_picture())]


def token_shape(variant: str) -> list[int]:
    """Return number and width of the tokens after the last block."""
    model = mobile_former(variant).eval()
    return list(model.trace(_picture())[-1].tokens.shape[1:])


def macs_of_parts(variant: str) -> dict[str, int]:
    """Split the multiply-adds for one picture of 224x224 among the parts."""
    return macs_by_part(mobile_former(variant), _picture(), parts=PARTS)


def macs_of_parts_m(variant: str) -> list[float]:
    """List the multiply-adds of the parts in millions, in the order of `PARTS`."""
    return [n / MILLION for n in macs_of_parts(variant).values()]


def parameters_of_parts(variant: str) -> dict[str, int]:
    """Split the parameters among the parts; the tokens themselves count as Former."""
    sizes = dict.fromkeys(PARTS, 0)
    model = mobile_former(variant)
    sizes["Former"] += model.tokens.numel()
    patterns = sorted(PARTS.items(), key=lambda item: item[0] != "Dynamic ReLU")
    for name, parameter in model.named_parameters():
        for part, pattern in patterns:
            if re.match(rf"({pattern})\.", name):
                sizes[part] += parameter.numel()
                break
    return sizes


def parameters_of_parts_m(variant: str) -> list[float]:
    """List the parameters of the parts in millions, in the order of `PARTS`."""
    return [n / MILLION for n in parameters_of_parts(variant).values()]


def attention_percent(variant: str) -> float:
    """Return what both bridges and Former cost, in percent of all the rest."""
    parts = macs_of_parts(variant)
    names = ("Mobile → Former", "Former", "Mobile ← Former")
    cost = sum(parts[name] for name in names)
    return 100 * cost / (sum(parts.values()) - cost)


def head_percent(variant: str) -> float:
    """Return the share of the head in the parameters, in percent."""
    sizes = parameters_of_parts(variant)
    return 100 * sizes["Head"] / sum(sizes.values())


def deviation(variant: str) -> float:
    """Compare the network with the authors' code, on the same weights and pictures.

    Returns:
        The largest deviation of the outputs and of all recorded places inside, in
        units of the tolerance 1e-5 + 1e-4 |y|; up to 1 counts as equal.
    """
    name = f"{variant.lower()}.json"
    golden = read_golden(paper_path("mobile_former", "golden", name))
    model = load_official(mobile_former(variant), golden_weights(golden)).eval()
    found = official_outputs(model, golden_input(golden))
    recorded = golden["intermediate"] | {"output": golden["output"]}
    return max(golden_excess(recorded[key], found[key]) for key in recorded)
