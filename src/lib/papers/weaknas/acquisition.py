"""What else may choose the next rows: improvement, confidence, a shrinking top set.

With an ensemble's mean and deviation, an acquisition function says how much a row is
worth asking (paper, section 3.2 and appendix). `Acquisition` makes a predictor of it,
which `weak_nas` takes as any other.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from lib.papers.weaknas.predictors import Ensemble, checked

Array = NDArray[np.float64]


def guesses(mean: ArrayLike, std: ArrayLike) -> tuple[Array, Array]:
    """Return mean and deviation in float64.

    Raises:
        ValueError: for a negative deviation.
    """
    mean, std = np.asarray(mean, dtype=np.float64), np.asarray(std, dtype=np.float64)
    if (std < 0).any():
        raise ValueError("std: negative; allowed is 0 or more")
    return mean, std


def expected_improvement(mean: ArrayLike, std: ArrayLike, best: float) -> Array:
    """Return by how much a normal guess exceeds the best value, on average.

    E max(f - best, 0) = (mean - best) Phi(z) + std phi(z), z = (mean - best) / std. The
    official code measures from the worst value instead: it negates the predictions but
    not the labels.

    Args:
        mean: guess of each row, higher is better.
        std: its standard deviation, 0 or more.
        best: best value seen.

    Raises:
        ValueError: for a negative deviation.
    """
    from scipy.special import ndtr  # the normal distribution function

    mean, std = np.broadcast_arrays(*guesses(mean, std))
    gain = mean - best
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        z = gain / std
        density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
        expected = gain * ndtr(z) + std * density
    return np.maximum(np.where(std > 0, expected, gain), 0)


def ucb(mean: ArrayLike, std: ArrayLike, k: float = 0.5) -> Array:
    """Return mean plus `k` deviations, the upper end of what is likely.

    Args:
        mean: guess of each row, higher is better.
        std: its standard deviation, 0 or more.
        k: how much not knowing is worth; 0.5 in the official code.

    Raises:
        ValueError: for a negative deviation.
    """
    mean, std = guesses(mean, std)
    return mean + k * std


def shrinking(
    start: int, end: int, decay: float = 0.96, steps: int = 100
) -> Callable[[int], int]:
    """Return a size of the top set for each step, from `start` down to `end`.

    N = end + (start - end) (d^x - d^99) / (1 - d^99), with x evenly spaced from 0 to 99
    over the steps; `end` from then on. The official code holds it unused.

    Args:
        start: size at step 0.
        end: size at the last step, at least 1.
        decay: d, between 0 and 1.
        steps: number of steps.

    Raises:
        ValueError: for another order of the sizes, another decay, or under 2 steps.
    """
    if not start >= end >= 1:
        raise ValueError(f"start={start}, end={end}; allowed is start >= end >= 1")
    if not 0 < decay < 1 or steps < 2:
        raise ValueError(
            f"decay={decay}, steps={steps}; allowed are a decay between 0 and 1 and 2 "
            "steps or more"
        )

    def size(step: int) -> int:
        x = 99 * min(step, steps - 1) / (steps - 1)
        share = (decay**x - decay**99) / (1 - decay**99)
        return round(end + (start - end) * share)

    return size


class Acquisition:
    """An ensemble whose prediction is what a row is worth asking.

    `weak_nas(..., lambda seed: Acquisition(...), top=per_step)` asks the rows worth
    most at each step, without a draw.

    Args:
        ensemble: gives mean and deviation.
        rule: (mean, std, best value seen) -> worth, such as `expected_improvement`.
        shrink: divides the deviation; 5 in the official code.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        rule: Callable[[Array, Array, float], Array] = expected_improvement,
        shrink: float = 1.0,
    ) -> None:
        self.ensemble, self.rule, self.shrink = ensemble, rule, shrink

    def fit(self, X: ArrayLike | Tensor, y: ArrayLike | Tensor) -> Acquisition:
        """Fit the ensemble on features (n, d) and labels (n,)."""
        X, y = checked(X, y)
        self.best = float(y.max())
        self.ensemble.fit(X, y)
        return self

    def predict(self, X: ArrayLike | Tensor) -> Array:
        """Return the worth of each row of the features (m, d)."""
        mean, std = self.ensemble.predict_both(X)
        return self.rule(mean, std / self.shrink, self.best)
