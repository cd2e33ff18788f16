"""Weights of an authors' release, read from a file and put into a network of ours."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

WEIGHTS = ("state_dict_ema", "state_dict", "model")
"""Entries of timm's and other training programs, the averaged weights first."""

Net = TypeVar("Net", bound=nn.Module)


def read_weights(
    source: Mapping[str, Any] | str | Path,
    entries: Sequence[str] = WEIGHTS,
    body: str | None = None,
) -> dict[str, Tensor]:
    """Return the official state dict of a checkpoint.

    Args:
        source: a state dict, a checkpoint dict, or the path of a file with either.
            Files are read without running any code.
        entries: under which a checkpoint may hold its state dict; the first that is
            there is taken.
        body: a prefix, `"backbone."`, say; where keys have it, only those are taken,
            without it.

    Returns:
        The tensors by official name, without the prefix of parallel training.

    Raises:
        ValueError: if there is anything but tensors in it.
    """
    if isinstance(source, str | Path):
        # Checkpoints of timm may hold their command line beside the weights.
        with torch.serialization.safe_globals([argparse.Namespace]):
            found = torch.load(source, map_location="cpu", weights_only=True)
    else:
        found = dict(source)
    for name in entries:
        if isinstance(found.get(name), Mapping):
            found = found[name]
            break
    state = {key.removeprefix("module."): value for key, value in found.items()}
    if body is not None:
        inner = {k.removeprefix(body): v for k, v in state.items() if body in k}
        state = inner or state
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(
            f"source holds {', '.join(list(state)[:5])}; needed is a state dict, or "
            f"one under {', '.join(entries)}"
        )
    return state


def put_weights(
    model: Net, ours: Mapping[str, Tensor], theirs: Mapping[str, str]
) -> Net:
    """Load renamed weights, or say which do not fit.

    Args:
        model: the network.
        ours: its weights by our keys.
        theirs: the official key for each of ours, for the message.

    Returns:
        The model, with the weights in place.

    Raises:
        ValueError: if keys are missing, left over or of another shape, by name.
    """
    own = model.state_dict()
    wrong = {
        "missing": [k for k in own if k not in ours],
        "unexpected": [theirs[k] for k in ours if k not in own],
        "of another shape": [
            theirs[k] for k in ours if k in own and ours[k].shape != own[k].shape
        ],
    }
    found = [f"{len(v)} {k}: {', '.join(v[:5])}" for k, v in wrong.items() if v]
    if found:
        raise ValueError(f"source does not fit the model; keys {'; '.join(found)}")
    model.load_state_dict(ours)
    return model
