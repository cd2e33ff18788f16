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
