"""Intervals over seeds, and the verdict that is computed from one."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["supported", "not supported", "inconclusive"]


@dataclass(frozen=True)
class Interval:
    """A mean of `n` values with the two ends of its interval, in the values' unit."""

    mean: float
    low: float
    high: float
    n: int


def t_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Return the mean of the values with Student's t-interval.

    Args:
        values: one number a seed, at least two, all finite.
        level: coverage, between 0 and 1.

    Raises:
        ValueError: for fewer than two values, a value that is not finite, or a level
            outside (0, 1).
    """
    from scipy.special import stdtrit  # much lighter than scipy.stats

    numbers = [float(value) for value in values]
    if len(numbers) < 2:
        raise ValueError(f"values: {len(numbers)} given; an interval needs at least 2")
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"values: {numbers} given; all must be finite")
    if not 0 < level < 1:
        raise ValueError(f"level: {level} given; allowed is a number between 0 and 1")
    mean = statistics.fmean(numbers)
    error = statistics.stdev(numbers) / math.sqrt(len(numbers))
    half = float(stdtrit(len(numbers) - 1, (1 + level) / 2)) * error
    return Interval(mean, mean - half, mean + half, len(numbers))


def paired_difference(
    method: Sequence[float], baseline: Sequence[float], level: float = 0.95
) -> Interval:
    """Return the t-interval of method minus baseline, seed by seed.

    Both arms of a seed share data and order, so that what they have in common drops
    out of the difference.

    Args:
        method: one number a seed.
        baseline: one number a seed, the same seeds in the same order.
        level: coverage, between 0 and 1.

    Raises:
        ValueError: for unequal lengths, and as `t_interval`.
    """
    if len(method) != len(baseline):
        raise ValueError(
            f"method and baseline: {len(method)} and {len(baseline)} values given; "
            "a paired difference needs as many of one as of the other"
        )
    return t_interval([m - b for m, b in zip(method, baseline, strict=True)], level)


def paired_interval(
    a: Sequence[float], b: Sequence[float], level: float = 0.95
) -> Interval:
    """Return `paired_difference` of any two paired samples, a minus b.

    Raises:
        ValueError: as `paired_difference`.
    """
    return paired_difference(a, b, level)


def bootstrap_interval(
    x: Sequence[float], seed: int, level: float = 0.95, resamples: int = 10_000
) -> Interval:
    """Return the mean of the values with its percentile bootstrap interval.

    For values far from a normal distribution, such as queries until a hit. The ends
    are quantiles of the means of samples drawn from the values with replacement.

    Args:
        x: one number a run, at least two, all finite.
        seed: of the draws, 0 or more; the same seed gives the same interval.
        level: coverage, between 0 and 1.
        resamples: number of samples drawn, at least 1.

    Raises:
        ValueError: for fewer than two values, a value that is not finite, or a seed,
            level or number of resamples outside its range.
    """
    import numpy as np

    values = np.array([float(value) for value in x])
    if len(values) < 2:
        raise ValueError(f"x: {len(values)} given; an interval needs at least 2")
    if not np.isfinite(values).all():
        raise ValueError(f"x: {values.tolist()} given; all must be finite")
    if not 0 < level < 1:
        raise ValueError(f"level: {level} given; allowed is a number between 0 and 1")
    if resamples < 1 or seed < 0:
        raise ValueError(
            f"resamples and seed: {resamples} and {seed} given; allowed are numbers "
            "from 1 and from 0 upwards"
        )
    draw = np.random.Generator(np.random.PCG64(seed))
    n = len(values)
    means = [values[draw.integers(n, size=n)].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high), n)


def verdict(
    interval: Interval,
    margin: float = 0.0,
    better: Literal["higher", "lower"] = "higher",
) -> Verdict:
    """Read the verdict off the interval of a difference.

    Args:
        interval: of method minus baseline.
        margin: by how much the method must be better, at least 0.
        better: which way is better; for "lower" the difference changes its sign.

    Returns:
        "supported" if the interval lies wholly above the margin, "not supported" if
        wholly below it, "inconclusive" otherwise.

    Raises:
        ValueError: for a negative margin or another word than "higher" and "lower".
    """
    if not margin >= 0:
        raise ValueError(f"margin: {margin} given; allowed is a number from 0 upwards")
    if better not in ("higher", "lower"):
        raise ValueError(f"better: {better!r} given; allowed are 'higher' and 'lower'")
    low, high = interval.low, interval.high
    if better == "lower":
        low, high = -high, -low
    if low > margin:
        return "supported"
    return "not supported" if high < margin else "inconclusive"
