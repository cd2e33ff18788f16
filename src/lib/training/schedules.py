"""Schedules that torch lacks, of the learning rate and of a momentum.

One cycle, plain cosine, steps and linear warm-up are torch's own:
`torch.optim.lr_scheduler.OneCycleLR`, `CosineAnnealingLR`, `MultiStepLR`, `LinearLR`.
"""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(
    optimizer: Optimizer, steps: int, warmup: int = 0, final: float = 0.0
) -> LambdaLR:
    """Raise the learning rate linearly, then lower it along half a cosine.

    Step t (from 0) of the warm-up runs at `(t + 1) / (warmup + 1)` of the optimizer's
    rate, so the first step is never lost; after `steps` steps the rate is `final`
    times the optimizer's and stays there.

    Args:
        optimizer: with its peak rate set.
        steps: number of optimizer steps in all, warm-up included.
        warmup: number of steps below the peak at the start.
        final: share of the peak that is left at the end, 0 to 1.

    Returns:
        A scheduler; call its `step()` after each `optimizer.step()`.

    Raises:
        ValueError: `warmup` is not from 0 to `steps - 1`, or `final` not from 0 to 1.
    """
    if steps < 1:
        raise ValueError(f"steps={steps} must be 1 or more")
    if not 0 <= warmup < steps:
        raise ValueError(f"warmup={warmup} must be from 0 to steps - 1 = {steps - 1}")
    if not 0 <= final <= 1:
        raise ValueError(f"final={final} must be from 0 to 1")

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = min((step - warmup) / (steps - warmup), 1)
        return final + (1 - final) * (1 + math.cos(math.pi * done)) / 2

    return LambdaLR(optimizer, factor)


def cosine_momentum(step: int, steps: int, start: float, end: float = 1.0) -> float:
    """Move the momentum of an averaged copy from `start` to `end` along half a cosine.

    Args:
        step: number of updates so far, from 0; after `steps` it stays at `end`.
        steps: number of updates in all.
        start: momentum of the first update, 0 to 1.
        end: momentum that is reached after `steps` updates, 0 to 1.

    Raises:
        ValueError: an argument is out of range.
    """
    if steps < 1:
        raise ValueError(f"steps={steps} must be 1 or more")
    if step < 0:
        raise ValueError(f"step={step} must be 0 or more")
    for name, value in (("start", start), ("end", end)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name}={value} must be from 0 to 1")
    left = (1 + math.cos(math.pi * min(step / steps, 1))) / 2
    return end + (start - end) * left
