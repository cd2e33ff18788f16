"""Acquisition functions against SciPy's integral, limits and closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from lib.papers.weaknas.acquisition import (
    Acquisition,
    expected_improvement,
    shrinking,
    ucb,
)
from lib.papers.weaknas.predictors import Ensemble, Forest

NUMBER = st.floats(-5, 5)
WIDTH = st.floats(0.05, 5)


@given(NUMBER, WIDTH, NUMBER)
def test_expected_improvement_is_the_mean_of_the_improvement(mean, std, best):
    slow, _ = quad(
        lambda f: (f - best) * norm.pdf(f, mean, std),
        max(best, mean - 12 * std),
        max(best, mean + 12 * std),
    )
    assert expected_improvement(mean, std, best) == pytest.approx(slow, abs=1e-7)


def test_expected_improvement_at_the_best_value():
    """With mean = best, it is std / sqrt(2 pi)."""
    found = expected_improvement([3.0, 3.0], [1.0, 2.0], 3.0)
    np.testing.assert_allclose(found, np.array([1, 2]) / np.sqrt(2 * np.pi))


@given(NUMBER, st.floats(0, 5), NUMBER)
def test_expected_improvement_is_never_negative_nor_below_the_gain(mean, std, best):
    found = float(expected_improvement(mean, std, best))
    assert found >= max(mean - best, 0) - 1e-9
    assert found <= float(expected_improvement(mean, std + 1, best)) + 1e-9


@pytest.mark.parametrize("std", [0.0, 1e-300, 1e-12])
def test_expected_improvement_of_a_sure_guess(std):
    found = expected_improvement([1.0, 2.0, 3.0], std, 2.0)
    np.testing.assert_allclose(found, [0, 0, 1], atol=1e-11)


def test_upper_bound():
    assert ucb([1.0, 2.0], [0.5, 0.0], 2.0).tolist() == [2, 2]
    assert ucb(1.0, 1.0) == 1.5


@pytest.mark.parametrize("rule", [ucb, expected_improvement])
def test_a_negative_deviation_is_refused(rule):
    with pytest.raises(ValueError, match="std: negative"):
        rule([0.0], [-1.0], 0.0)


def test_shrinking_top_set():
    """The official code's formula, over evenly spaced x, on its own defaults."""
    x = np.linspace(0, 99, 10)
    d = 0.96**x
    slow = 500 + (80_000 - 500) * (d - d.min()) / (d.max() - d.min())
    size = shrinking(80_000, 500, steps=10)
    assert [size(k) for k in range(10)] == [round(n) for n in slow]
    assert [size(0), size(9), size(50)] == [80_000, 500, 500]
    assert type(size(3)) is int


@given(st.integers(1, 500), st.integers(0, 500), st.floats(0.5, 0.99))
def test_shrinking_never_grows(end, more, decay):
    size = shrinking(end + more, end, decay, steps=20)
    sizes = [size(k) for k in range(25)]
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == (end + more, end)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (dict(start=5, end=6), "start=5, end=6"),
        (dict(start=5, end=0), "end=0"),
        (dict(start=5, end=1, decay=1.0), "decay=1.0"),
        (dict(start=5, end=1, steps=1), "steps=1"),
    ],
)
def test_bad_schedules_are_refused(options, word):
    with pytest.raises(ValueError, match=word):
        shrinking(**options)


def test_acquisition_is_the_rule_on_an_ensemble():
    random = np.random.default_rng(0)
    X = random.normal(size=(30, 3))
    y = X[:, 0] + random.normal(size=30)

    def ensemble():
        return Ensemble(lambda seed: Forest(2, 3, seed), 3)

    alone = ensemble().fit(X, y)
    mean, std = alone.predict(X), alone.predict_std(X)
    found = Acquisition(ensemble()).fit(X, y).predict(X)
    np.testing.assert_allclose(found, expected_improvement(mean, std, y.max()))
    optimist = Acquisition(ensemble(), lambda m, s, best: ucb(m, s, 3.0), shrink=5.0)
    np.testing.assert_allclose(optimist.fit(X, y).predict(X), mean + 3 * std / 5)
