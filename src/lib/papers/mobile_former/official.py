"""Weights of the authors' release, put into our network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib.papers.mobile_former.model import MobileFormer
from lib.papers.official import put_weights, read_weights

# Prefixes of the official keys and of ours: the network around the blocks,
NETWORK = {
    "stem.0": "stem.conv",
    "stem.1": "stem.bn",
    "local_global.alpha.0": "look.gate",
    "local_global.q": "look.query",
    "local_global.proj": "look.out",
    "local_global.layer_norm": "look.norm",
    "classifier.conv.1": "head.widen.conv",
    "classifier.conv.2": "head.widen.bn",
    "classifier.fc": "head.hidden",
    "classifier.classifier.1": "head.classifier",
}
# bridges and Former of a block,
BRIDGE = {
    "local_global.alpha.0": "to_former.gate",
    "local_global.q": "to_former.query",
    "local_global.proj": "to_former.out",
    "local_global.layer_norm": "to_former.norm",
    "global_block.q": "former.query",
    "global_block.channel_mlp": "former.out",
    "global_block.layer_norm": "former.norm1",
    "global_block.ffn": "former.ffn",
    "global_block.ffn_norm": "former.norm2",
    "global_local.k": "to_mobile.key",
    "global_local.proj": "to_mobile.value",
}
# and the convolutions of the three kinds of block.
LITE = {
    "conv.0": "mobile.widen.conv",
    "conv.1": "mobile.widen.bn",
    "conv.4": "mobile.narrow.conv",
    "conv.5": "mobile.narrow.bn",
}
MF = {
    "conv1.0": "mobile.widen.conv",
    "conv1.1": "mobile.widen.bn",
    "hyper1.hyper": "mobile.act1.slopes",
    "conv2.0": "mobile.depthwise.conv",
    "conv2.1": "mobile.depthwise.bn",
    "hyper2.hyper": "mobile.act2.slopes",
    "conv3.0": "mobile.narrow.conv",
    "conv3.1": "mobile.narrow.bn",
}
MF_DOWN = {
    "conv1.0": "mobile.down.widen.conv",
    "conv1.1": "mobile.down.widen.bn",
    "hyper1.hyper": "mobile.down.act.slopes",
    "conv2.0": "mobile.down.narrow.conv",
    "conv2.1": "mobile.down.narrow.bn",
    "conv3.0": "mobile.refine.widen.conv",
    "conv3.1": "mobile.refine.widen.bn",
    "hyper3.hyper": "mobile.refine.act.slopes",
    "conv4.0": "mobile.refine.narrow.conv",
    "conv4.1": "mobile.refine.narrow.bn",
}


def _swap(key: str, table: Mapping[str, str]) -> str:
    """Swap the prefix that the table knows; other keys stay as they are."""
    for theirs, ours in table.items():
        if key.startswith(theirs + "."):
            return ours + key[len(theirs) :]
    return key


def translate(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the official keys to ours; unknown keys keep their names."""
    ours = {}
    for key, value in state.items():
        if key == "tokens.weight":
            ours["tokens"] = value
        elif key.startswith("features."):
            _, number, rest = key.split(".", 2)
            block = f"features.{number}"
            if f"{block}.conv4.0.weight" in state:
                convs = MF_DOWN
            else:
                convs = MF if f"{block}.conv1.0.weight" in state else LITE
            ours[f"blocks.{number}.{_swap(rest, convs | BRIDGE)}"] = value
        else:
            ours[_swap(key, NETWORK)] = value
    return ours


def load_official(
    model: MobileFormer, source: Mapping[str, Any] | str | Path
) -> MobileFormer:
    """Load weights that carry the official keys.

    Args:
        model: the network of the same variant, as `mobile_former` builds it.
        source: a state dict, a checkpoint dict with the entry `state_dict`, or the
            path of a file with either. Files are read without running any code.

    Returns:
        The model, with the weights in place.

    Raises:
        ValueError: if keys are missing, left over or of another shape, by name.
    """
    state = read_weights(source, ("state_dict",))
    ours = translate(state)
    theirs = dict(zip(ours, state, strict=True))  # our key -> official key
    return put_weights(model, ours, theirs)


@torch.no_grad()
def official_outputs(model: MobileFormer, x: Tensor) -> dict[str, Tensor]:
    """Return what the official submodules would, by their names.

    Args:
        model: a network with head and tokens, in eval mode.
        x: pictures (B, 3, H, W).

    Returns:
        Maps (B, C, H, W), tokens in the official order (M, B, D), the logits of the
        last look (B, heads, M, H, W), the hidden layer of the head, and "output".
    """
    if model.look is None or model.head is None:
        raise ValueError("model: has no head or no bridge; build it with both")
    found = {"stem": model.stem(x)}
    for i, step in enumerate(model.trace(x)):
        found[f"features.{i}[0]"] = step.image
        found[f"features.{i}[1]"] = step.tokens.transpose(0, 1)
    tokens = model.look(step.image, step.tokens)
    found["local_global[0]"] = tokens.transpose(0, 1)
    found["local_global[1]"] = model.look.logits(step.image, step.tokens)
    hook = model.head.hidden.register_forward_hook(
        lambda module, inputs, output: found.update({"classifier.fc": output})
    )
    found["output"] = model.head(step.image, tokens)
    hook.remove()
    return found
