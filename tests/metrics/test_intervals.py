import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lib.metrics import Interval, paired_difference, t_interval, verdict

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
