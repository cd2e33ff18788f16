import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lib.metrics import (
    Interval,
    bootstrap_interval,
    paired_difference,
    paired_interval,
    t_interval,
    verdict,
)

numbers = st.floats(-1e6, 1e6)
samples = st.lists(numbers, min_size=2, max_size=20)
pairs = st.lists(st.tuples(numbers, numbers), min_size=2, max_size=20)
ORDER = ["not supported", "inconclusive", "supported"]


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [2, 3, 8, 30])
def test_t_interval_equals_scipy(n, level):
    values = np.random.Generator(np.random.PCG64(n)).normal(0.9, 0.02, n)
    ours = t_interval(values.tolist(), level)
    low, high = stats.t.interval(
        level, n - 1, loc=values.mean(), scale=stats.sem(values)
    )
    assert math.isclose(ours.mean, values.mean())
    assert math.isclose(ours.low, low)
    assert math.isclose(ours.high, high)
    assert ours.n == n


def test_paired_difference_equals_scipy():
    draw = np.random.Generator(np.random.PCG64(0))
    method, baseline = draw.normal(0.9, 0.05, 8), draw.normal(0.88, 0.05, 8)
    ours = paired_difference(method.tolist(), baseline.tolist())
    theirs = stats.ttest_rel(method, baseline).confidence_interval(0.95)
    assert math.isclose(ours.low, theirs.low)
    assert math.isclose(ours.high, theirs.high)


def test_interval_of_equal_values_has_no_width():
    assert t_interval([0.5, 0.5, 0.5]) == Interval(0.5, 0.5, 0.5, 3)


@given(samples)
def test_mean_lies_inside(values):
    interval = t_interval(values)
    assert interval.low <= interval.mean <= interval.high


@given(pairs)
def test_swapping_the_arms_changes_the_sign(values):
    method, baseline = zip(*values, strict=True)
    one, other = (
        paired_difference(method, baseline),
        paired_difference(baseline, method),
    )
    assert math.isclose(one.mean, -other.mean, rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(one.low, -other.high, rel_tol=1e-9, abs_tol=1e-9)


@given(pairs, st.floats(0, 100))
def test_better_lower_mirrors_better_higher(values, margin):
    method, baseline = zip(*values, strict=True)
    d = paired_difference(method, baseline)
    mirrored = Interval(-d.mean, -d.high, -d.low, d.n)
    assert verdict(d, margin, "lower") == verdict(mirrored, margin, "higher")


@given(samples, st.lists(st.floats(0, 1e7), min_size=2, max_size=6).map(sorted))
def test_a_larger_margin_never_makes_a_verdict_stronger(values, margins):
    d = t_interval(values)
    ranks = [ORDER.index(verdict(d, margin)) for margin in margins]
    assert all(a >= b for a, b in pairwise(ranks))


@pytest.mark.parametrize(
    ("low", "high", "margin", "better", "expected"),
    [
        (0.01, 0.03, 0.0, "higher", "supported"),
        (0.01, 0.03, 0.02, "higher", "inconclusive"),
        (0.01, 0.03, 0.04, "higher", "not supported"),
        (-0.03, -0.01, 0.0, "higher", "not supported"),
        (-0.03, -0.01, 0.0, "lower", "supported"),
        (-0.01, 0.01, 0.0, "lower", "inconclusive"),
        (0.0, 0.0, 0.0, "higher", "inconclusive"),
    ],
)
def test_verdict(low, high, margin, better, expected):
    assert verdict(Interval((low + high) / 2, low, high, 8), margin, better) == expected


@pytest.mark.parametrize("values", [[], [1.0]])
def test_too_few_values(values):
    with pytest.raises(
        ValueError, match=r"values: \d given; an interval needs at least 2"
    ):
        t_interval(values)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="finite"):
        t_interval([1.0, math.nan])
    with pytest.raises(ValueError, match=r"level: 95 given"):
        t_interval([1.0, 2.0], level=95)
    with pytest.raises(ValueError, match="2 and 3 values"):
        paired_difference([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="better: 'more'"):
        verdict(Interval(0, 0, 0, 2), better="more")
    with pytest.raises(ValueError, match=r"margin: -0.1"):
        verdict(Interval(0, 0, 0, 2), margin=-0.1)


@given(pairs)
def test_paired_interval_is_the_paired_difference(values):
    a, b = zip(*values, strict=True)
    assert paired_interval(a, b, 0.9) == paired_difference(a, b, 0.9)


@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize("n", [5, 30])
def test_bootstrap_interval_equals_scipy(n, level):
    """Two runs of either differ by the noise of 10,000 samples."""
    values = np.random.Generator(np.random.PCG64(n)).exponential(100, n)
    ours = bootstrap_interval(values.tolist(), 0, level)
    theirs = stats.bootstrap(
        [values],
        np.mean,
        confidence_level=level,
        n_resamples=10_000,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    low, high = theirs.confidence_interval
    noise = 5 * values.std() / math.sqrt(n) * 0.03
    assert math.isclose(ours.mean, values.mean())
    assert abs(ours.low - low) < noise
    assert abs(ours.high - high) < noise
    assert ours.n == n


def test_bootstrap_interval_of_two_values_is_exact():
    # Means of samples: 0 with chance 1/4, 1 with 1/2, 2 with 1/4.
    assert bootstrap_interval([0, 2], 0) == Interval(1, 0, 2, 2)
    assert bootstrap_interval([0, 2], 0, level=0.4) == Interval(1, 1, 1, 2)


@given(samples, st.integers(0, 99))
def test_bootstrap_interval_stays_inside_the_values(values, seed):
    interval = bootstrap_interval(values, seed, resamples=50)
    slack = 1e-9 * (1 + max(map(abs, values)))
    assert min(values) - slack <= interval.low <= interval.high
    assert interval.high <= max(values) + slack
    assert interval == bootstrap_interval(values, seed, resamples=50)


def test_bootstrap_interval_depends_on_its_seed():
    values = [1, 5, 9, 40]
    assert bootstrap_interval(values, 0, 0.9, 99) != bootstrap_interval(
        values, 1, 0.9, 99
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], 0), "1 given; an interval needs at least 2"),
        (([1.0, math.inf], 0), "all must be finite"),
        (([1.0, 2.0], 0, 1.0), "level: 1.0 given"),
        (([1.0, 2.0], -1), "resamples and seed: 10000 and -1 given"),
        (([1.0, 2.0], 0, 0.9, 0), "resamples and seed: 0 and 0 given"),
    ],
)
def test_bootstrap_interval_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(*arguments)
