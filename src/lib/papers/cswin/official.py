"""Weights of the authors' release, put into our network."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lib.papers.cswin.model import CSWin
from lib.papers.official import WEIGHTS, put_weights, read_weights

# Official names and ours. Stages, merges and norms are counted from 1 there.
RULES = [
    (r"^stage1_conv_embed\.0\.", "embed.conv."),
    (r"^stage1_conv_embed\.2\.", "embed.norm."),
    (r"\.attns\.(\d)\.get_v\.", r".attention.branches.\1.lepe.conv."),
    (r"\.(qkv|proj)\.", r".attention.\1."),
    (r"\.mlp\.fc1\.", ".mlp.widen."),
    (r"\.mlp\.fc2\.", ".mlp.narrow."),
]


def translate(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the official keys to ours; unknown keys keep their names."""
    stages = [int(n) for n in re.findall(r"\bstage(\d+)\.", " ".join(state))]
    last = max(stages, default=4)

    def rename(key: str) -> str:
        key = re.sub(r"^norm\.", f"norm{last}.", key)  # the classifier's only one
        for pattern, ours in RULES:
            key = re.sub(pattern, ours, key)
        return re.sub(
            r"^(stage|merge|norm)(\d+)\.", lambda m: f"{m[1]}s.{int(m[2]) - 1}.", key
        )

    return {rename(key): value for key, value in state.items()}


def load_official(model: CSWin, source: Mapping[str, Any] | str | Path) -> CSWin:
    """Load weights that carry the official keys, of a classifier or of a body.

    A body that is given a classifier's weights keeps its own normalisations of the
    stages' maps, as the official segmentation code does: the classifier has none. The
    averaged weights are taken where there are any: the published accuracies are theirs.
    Of a segmentation network only the body is taken.

    Args:
        model: the network of the same variant, as `cswin` builds it.
        source: a state dict, a checkpoint dict with the entry `state_dict_ema`,
            `state_dict` or `model`, or the path of a file with either. Files are read
            without running any code.

    Returns:
        The model, with the weights in place.

    Raises:
        ValueError: if keys are missing, left over or of another shape, by name.
    """
    state = read_weights(source, WEIGHTS, body="backbone.")
    ours = translate(state)
    theirs = dict(zip(ours, state, strict=True))  # our key -> official key
    if model.head is None and "head.weight" in state:
        ours = {k: v for k, v in ours.items() if not k.startswith(("head.", "norms."))}
        own = model.state_dict()
        ours |= {k: v for k, v in own.items() if k.startswith("norms.")}
    return put_weights(model, ours, theirs)


@torch.no_grad()
def official_outputs(model: CSWin, x: Tensor) -> dict[str, Tensor]:
    """Return what the official submodules would, by their names.

    Args:
        model: a classifier in eval mode.
        x: pictures (B, C, H, W).

    Returns:
        Tokens (B, N, C) after the embedding, each block, each merging and the last
        normalisation, and "output", the logits.
    """
    places: dict[str, nn.Module] = {"stage1_conv_embed": model.embed}
    for i, stage in enumerate(model.stages, start=1):
        places |= {f"stage{i}.{j}": block for j, block in enumerate(stage.children())}
    places |= {f"merge{i}": merge for i, merge in enumerate(model.merges, start=1)}
    places["norm"] = model.norms[-1]
    found: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, inputs: Any, output: Tensor) -> None:
        found[name] = output.flatten(1, 2)  # (B, H * W, C)

    hooks = [
        module.register_forward_hook(partial(keep, name))
        for name, module in places.items()
    ]
    try:
        found["output"] = model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return found
