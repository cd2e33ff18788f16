"""Seeds and minibatches for a training loop that stays visible."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor


def seed_everything(seed: int) -> torch.Generator:
    """Seed Python, NumPy and torch, and give a generator of one's own.

    The global generators feed weight initialisation and dropout; everything else is
    drawn from the returned generator, which is passed on by hand.

    Args:
        seed: 0 to 2**32 - 1.

    Returns:
        A CPU generator with the same seed.

    Raises:
        ValueError: the seed is out of range.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed={seed} must be from 0 to 2**32 - 1")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 -- other packages still draw from it
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


def batches(
    *tensors: Tensor,
    batch_size: int,
    generator: torch.Generator,
    epochs: int | None = None,
    steps: int | None = None,
    start: int = 0,
) -> Iterator[tuple[Tensor, ...]]:
    """Give shuffled minibatches of tensors that belong together, row by row.

    Every epoch is shuffled anew; what is left of an epoch below a full batch is
    dropped, so that BatchNorm never meets a batch of one.

    Args:
        *tensors: each `(N, ...)` with the same N.
        batch_size: rows in a batch, 1 to N.
        generator: source of the shuffles. To be able to continue a run, give it no
            other work.
        epochs: passes over the data. Give either this or `steps`.
        steps: number of batches, over as many passes as that takes.
        start: batches to skip, for a run that is continued: with a generator seeded
            as at first, the rest is the same as without a break.

    Yields:
        One tuple of tensors `(batch_size, ...)` a batch.

    Raises:
        ValueError: sizes differ or an argument is out of range.
    """
    rows = {len(tensor) for tensor in tensors}
    if len(rows) != 1:
        raise ValueError(f"tensors have {sorted(rows)} rows; all must have as many")
    n = rows.pop()
    if not 1 <= batch_size <= n:
        raise ValueError(f"batch_size={batch_size} must be from 1 to {n}, the rows")
    if (epochs is None) == (steps is None):
        raise ValueError(
            f"give either epochs or steps, not epochs={epochs!r} and steps={steps!r}"
        )
    for name, value in (("epochs", epochs), ("steps", steps), ("start", start)):
        if value is not None and value < 0:
            raise ValueError(f"{name}={value} must be 0 or more")
    per_epoch = n // batch_size
    total = steps if steps is not None else (epochs or 0) * per_epoch
    return _batches(tensors, n, batch_size, generator, start, total)


def _batches(
    tensors: tuple[Tensor, ...],
    n: int,
    batch_size: int,
    generator: torch.Generator,
    start: int,
    total: int,
) -> Iterator[tuple[Tensor, ...]]:
    """Do the work of `batches`, whose checks must not wait for the first batch."""
    per_epoch = n // batch_size
    order = torch.empty(0, dtype=torch.long)
    for step in range(total):
        place = step % per_epoch
        if place == 0:
            order = torch.randperm(n, generator=generator)
        if step >= start:
            rows = order[place * batch_size : (place + 1) * batch_size]
            yield tuple(tensor[rows.to(tensor.device)] for tensor in tensors)
