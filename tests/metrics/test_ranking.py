import time

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

import lib.metrics
from lib.metrics import Ruggedness, ecdf, kendall_tau, ruggedness, top_k_overlap


def vectors(low, high, least=2):
    return st.lists(st.integers(low, high), min_size=least, max_size=40)


@given(st.data(), st.sampled_from([1, 3, 1000]))
def test_kendall_tau_equals_scipy(data, most):
    """With few different values nearly everything is tied."""
    a = data.draw(vectors(0, most))
    b = data.draw(st.lists(st.integers(0, most), min_size=len(a), max_size=len(a)))
    assume(len(set(a)) > 1 and len(set(b)) > 1)
    expected = stats.kendalltau(a, b).statistic
    assert kendall_tau(a, b) == pytest.approx(expected, abs=1e-12)
    assert kendall_tau(b, a) == pytest.approx(expected, abs=1e-12)


@given(st.data())
def test_kendall_tau_equals_a_slow_loop(data):
    a = data.draw(vectors(0, 5))
    b = data.draw(st.lists(st.integers(0, 5), min_size=len(a), max_size=len(a)))
    assume(len(set(a)) > 1 and len(set(b)) > 1)
    agree = in_a = in_b = 0
    for i in range(len(a)):
        for j in range(i):
            x, y = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
            agree, in_a, in_b = agree + x * y, in_a + abs(x), in_b + abs(y)
    expected = agree / np.sqrt(in_a * in_b)
    assert kendall_tau(a, b) == pytest.approx(expected, abs=1e-12)


def test_kendall_tau_of_equal_and_reversed_orders():
    x = np.random.default_rng(0).normal(size=1000)
    assert kendall_tau(x, np.exp(x)) == 1
    assert kendall_tau(x, -x) == -1
    assert kendall_tau(torch.tensor(x), torch.tensor(x).float()) == pytest.approx(1)


def test_kendall_tau_of_a_large_table_is_quick_and_right():
    draw = np.random.default_rng(0)
    a = draw.normal(size=15_625).round(2)
    b = (a + draw.normal(size=15_625)).round(2)
    start = time.process_time()
    ours = kendall_tau(a, b)
    assert time.process_time() - start < 1
    assert ours == pytest.approx(stats.kendalltau(a, b).statistic, abs=1e-12)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1, 1, 1], [1, 2, 3], "a: all values are equal"),
        ([1, 2, 3], [2, 2, 2], "b: all values are equal"),
        ([1], [1], "a: all values are equal"),
        ([], [], "a: all values are equal"),
        ([1, 2], [1, 2, 3], "a and b: 2 and 3 values given"),
        ([1, float("nan")], [1, 2], "a: .* 1 missing values"),
        ([[1, 2]], [1, 2], r"a: shape \(1, 2\)"),
    ],
)
def test_kendall_tau_refuses(a, b, message):
    with pytest.raises(ValueError, match=message):
        kendall_tau(a, b)


@given(st.data())
def test_top_k_overlap_equals_a_slow_loop(data):
    pred = data.draw(vectors(0, 10, 1))
    n = len(pred)
    true = data.draw(st.lists(st.integers(0, 10), min_size=n, max_size=n))
    k = data.draw(st.integers(1, n))

    def top(values):
        return set(sorted(range(n), key=lambda i: (-values[i], i))[:k])

    assert top_k_overlap(pred, true, k) == len(top(pred) & top(true)) / k
    assert top_k_overlap(true, true, k) == top_k_overlap(pred, true, n) == 1


def test_top_k_overlap_by_hand():
    assert top_k_overlap([1, 2, 3, 4], [4, 3, 2, 1], 2) == 0
    assert top_k_overlap([1, 2, 3, 4], [0, 9, 8, 10], 2) == 0.5


def test_top_k_overlap_refuses():
    for k in (0, 3):
        with pytest.raises(ValueError, match=rf"k: {k} given; allowed are 1 to 2"):
            top_k_overlap([1, 2], [1, 2], k)
    with pytest.raises(ValueError, match="pred and true: 1 and 2 values"):
        top_k_overlap([1], [1, 2], 1)


@given(vectors(-5, 5, 1))
def test_ecdf_equals_scipy(x):
    values, share = ecdf(x)
    theirs = stats.ecdf(x).cdf
    np.testing.assert_array_equal(values, theirs.quantiles)
    np.testing.assert_allclose(share, theirs.probabilities, rtol=0, atol=1e-12)


def test_a_run_that_never_hits_keeps_the_share_below_one():
    values, share = ecdf([20, float("inf"), 10, 20])
    assert values.tolist() == [10, 20]
    assert share.tolist() == [0.25, 0.75]
    with pytest.raises(ValueError, match="x: no values"):
        ecdf([])


@st.composite
def tables(draw):
    n = draw(st.integers(1, 12))
    row = st.lists(st.integers(0, n - 1), max_size=4, unique=True)
    beside = draw(st.lists(row, min_size=n, max_size=n))
    return beside, draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))


@given(tables())
def test_ruggedness_equals_a_slow_climb(case):
    beside, values = case

    def climb(row):
        while True:
            best = max(beside[row], key=lambda j: values[j], default=row)
            if values[best] <= values[row]:
                return row
            row = best

    ends = [climb(row) for row in range(len(values))]
    optima = sum(climb(row) == row for row in range(len(values)))
    share = sum(values[end] == max(values) for end in ends) / len(values)
    lists = [torch.tensor(row, dtype=torch.int64) for row in beside]
    assert ruggedness(lists, values) == Ruggedness(optima, pytest.approx(share))
    matrix = torch.tensor([row + [-1] * (5 - len(row)) for row in beside])
    assert ruggedness(matrix, torch.tensor(values)) == ruggedness(beside, values)


def test_ruggedness_of_a_line_with_two_hills():
    values = [0, 1, 2, 1, 0, 3]
    line = [[j for j in (i - 1, i + 1) if 0 <= j < 6] for i in range(6)]
    assert ruggedness(line, values) == (2, pytest.approx(2 / 6))
    assert ruggedness(line, range(6)) == (1, 1)
    # On a plateau nobody moves.
    assert ruggedness(line, [0, 0, 1, 1, 2, 3]) == (3, 0.5)


@pytest.mark.parametrize(
    ("beside", "values", "message"),
    [
        ([[1], [0]], [1, 2, 3], "neighbours and values: 2 and 3 rows"),
        ([], [], "0 and 0 rows given"),
        ([[2], [0]], [1, 2], "rows must be from 0 to 1"),
        ([[-2], [0]], [1, 2], "rows must be from 0 to 1"),
        ([[1], [0]], [1, float("nan")], "values: .* 1 missing"),
    ],
)
def test_ruggedness_refuses(beside, values, message):
    with pytest.raises(ValueError, match=message):
        ruggedness(beside, values)


def test_every_measure_is_there_by_its_name():
    for name in lib.metrics.__all__:
        assert getattr(lib.metrics, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'no'"):
        _ = lib.metrics.no
