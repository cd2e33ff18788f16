"""Why a chain of weak predictors works: what each of them knew at its step.

`Steps` watches a search without taking part in it; `inspect` compares what it saw with
the truth, which only a table can tell (paper, section 4.3; figure 3 of its first
version).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from lib.metrics import kendall_tau
from lib.papers.weaknas.search import best_rows


@dataclass(frozen=True)
class Step:
    """One step of a search, before its rows are drawn.

    Args:
        number: from 0.
        asked: rows asked so far, in order, (k,).
        scores: predictions of the whole space, (n,).
        top: the top set, best first, (N,).
    """

    number: int
    asked: Tensor
    scores: Tensor
    top: Tensor


class Steps:
    """Keeps what a search saw: `weak_nas(..., watch=steps)`, then `inspect(step, y)`.

    It keeps n predictions a step.
    """

    def __init__(self) -> None:
        self.kept: list[Step] = []

    def __call__(
        self,
        number: int,
        asked: NDArray[np.int64],
        scores: ArrayLike,
        top: NDArray[np.int64],
    ) -> None:
        """Keep copies of one step."""
        arrays = (np.array(a) for a in (asked, scores, top))
        self.kept.append(Step(number, *map(torch.from_numpy, arrays)))

    def __len__(self) -> int:
        return len(self.kept)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.kept)

    def __getitem__(self, i: int) -> Step:
        return self.kept[i]


@dataclass(frozen=True)
class Inspection:
    """How right a predictor was at its step, where it matters.

    Args:
        step: its number.
        queries: rows asked before it.
        best_so_far: best true value among them.
        hits: true best rows in the top set.
        chance: probability that a uniform draw from the top set is a true best row.
        fresh_chance: the same for a draw from what was not asked yet; 0 if all was.
        tau: Kendall's tau of predictions and truth within the true best rows; not a
            number where the predictions are all equal there.
        errors: prediction minus truth for the top set, rising, (N,).
        peak: prediction and truth of the best predicted row.
    """

    step: int
    queries: int
    best_so_far: float
    hits: int
    chance: float
    fresh_chance: float
    tau: float
    errors: Tensor
    peak: tuple[float, float]


def inspect(step: Step, truth: ArrayLike | Tensor, best: int = 50) -> Inspection:
    """Compare one step with the truth.

    Args:
        step: from `Steps`.
        truth: true value of each row, (n,).
        best: how many rows count as the true best.

    Raises:
        ValueError: if there is not one true value for each prediction, or `best` is not
            between 2 and n.
    """
    y = np.asarray(truth, dtype=np.float64)
    scores, top = step.scores.double().numpy(), step.top.numpy()
    if y.shape != scores.shape:
        raise ValueError(
            f"truth: shape {y.shape} given; one value for each of the {len(scores)} "
            "predictions is needed"
        )
    if not 2 <= best <= len(y):
        raise ValueError(f"best={best}; allowed is 2 to {len(y)}")
    summit = best_rows(y, best)
    right = np.isin(top, summit)
    fresh = ~np.isin(top, step.asked.numpy())
    flat = np.ptp(scores[summit]) == 0 or np.ptp(y[summit]) == 0
    return Inspection(
        step=step.number,
        queries=len(step.asked),
        best_so_far=float(y[step.asked.numpy()].max()),
        hits=int(right.sum()),
        chance=float(right.mean()),
        fresh_chance=float(right[fresh].mean()) if fresh.any() else 0.0,
        tau=float("nan") if flat else float(kendall_tau(scores[summit], y[summit])),
        errors=torch.from_numpy(np.sort(scores[top] - y[top])),
        peak=(float(scores[top[0]]), float(y[top[0]])),
    )
