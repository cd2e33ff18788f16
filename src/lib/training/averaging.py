"""Averaged weights: an exponential moving average of a model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

Decay = float | Callable[[int], float]


class EMA:
    """A second copy of a model that follows the first with a delay.

    After each update every weight of `module` is
    `decay * old + (1 - decay) * weight of the model`. A change of the model is half
    forgotten after `log(0.5) / log(decay)` updates: 693 for 0.999.

    Args:
        model: the model to follow; it is copied, never changed.
        decay: share of the old average that is kept, 0 to 1, or a function of the
            number of updates so far, such as
            `lambda t: min(0.98, (1 + t) / (10 + t))`.
        buffers: what happens to buffers such as BatchNorm's running statistics:
            `"copy"` takes them over from the model; `"keep"` leaves those of
            `module` alone, for a copy that sees data of its own (MoCo's keys).

    Attributes:
        module: the averaged model; its parameters need no gradient.
        updates: number of updates so far.

    Raises:
        ValueError: `decay` or `buffers` is not allowed.
    """

    def __init__(self, model: nn.Module, decay: Decay, buffers: str = "copy"):
        if not callable(decay):
            check_decay(decay)
        if buffers not in ("copy", "keep"):
            raise ValueError(f"buffers={buffers!r} must be 'copy' or 'keep'")
        self.decay, self.buffers, self.updates = decay, buffers, 0
        self.module = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average one step towards the model.

        Raises:
            ValueError: the model has other parameters than the average.
        """
        decay = self.decay(self.updates) if callable(self.decay) else self.decay
        check_decay(decay)
        ours, theirs = (
            dict(self.module.named_parameters()),
            dict(model.named_parameters()),
        )
        check_names(ours, theirs)
        pairs = [(ours[name], weight.detach()) for name, weight in theirs.items()]
        if pairs:  # one call for all weights instead of one a weight
            old, new = (list(side) for side in zip(*pairs, strict=True))
            torch._foreach_lerp_(old, new, 1 - decay)
        if self.buffers == "copy":
            fresh = dict(model.named_buffers())
            for name, buffer in self.module.named_buffers():
                buffer.copy_(fresh[name])
        self.updates += 1

    def copy_to(self, model: nn.Module) -> None:
        """Give a model the averaged weights and buffers."""
        model.load_state_dict(self.module.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint needs."""
        return {"module": self.module.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state that `state_dict` gave."""
        self.module.load_state_dict(state["module"])
        self.updates = state["updates"]


def check_decay(decay: float) -> None:
    """Refuse a share that is not from 0 to 1."""
    if not 0 <= decay <= 1:
        raise ValueError(f"decay={decay!r} must be from 0 to 1")


def check_names(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Refuse a model whose parameters have other names; the first one is named."""
    if ours.keys() != theirs.keys():
        other = sorted(ours.keys() ^ theirs.keys())
        raise ValueError(
            f"model has other parameters than the average; only one side has {other[0]}"
        )
