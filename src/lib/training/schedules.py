"""Learning-rate schedules that torch lacks.

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
