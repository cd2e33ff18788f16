"""How well one order agrees with another, and how rugged a table is."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


def kendall_tau(a: Any, b: Any) -> float:
    """Return Kendall's tau-b, the rank correlation that takes ties into account.

    Of all pairs of places, the share that both rank in the same order minus the share
    that they rank in opposite orders, where pairs tied in one of them shrink the whole
    (Kendall, 1945).

    Args:
        a: numbers (n,), array, tensor or sequence.
        b: numbers (n,), in the same order.

    Returns:
        From -1 (reversed) to 1 (the same order).

    Raises:
        ValueError: for unequal lengths, a value that is not a number, or an input
            whose values are all equal, which orders nothing.
    """
    a, b = _numbers("a", a), _numbers("b", b)
    _same_length("a", a, "b", b)
    for name, values in (("a", a), ("b", b)):
        if len(values) < 2 or (values == values[0]).all():
            raise ValueError(f"{name}: all values are equal; there is no order")
    a, b = (np.unique(x, return_inverse=True)[1].ravel() for x in (a, b))  # ranks
    b = b[np.lexsort((b, a))]
    a = np.sort(a)
    pairs = len(a) * (len(a) - 1) // 2
    tied_a, tied_b = _ties(a), _ties(b)
    tied_both = _ties(a * (b.max() + 1) + b)
    against = _inversions(b)  # ties of a are sorted by b and count nothing
    agreement = pairs - tied_a - tied_b + tied_both - 2 * against
    tau = agreement / np.sqrt(float(pairs - tied_a) * float(pairs - tied_b))
    return float(np.clip(tau, -1, 1))


def top_k_overlap(pred: Any, true: Any, k: int) -> float:
    """Return how much of the true top k is in the predicted top k.

    Args:
        pred: predicted values (n,), higher is better.
        true: true values (n,), in the same order. Among equal values the first count.
        k: how many are at the top, from 1 to n.

    Returns:
        From 0 to 1.

    Raises:
        ValueError: for unequal lengths, a value that is not a number, or a k outside
            1 to n.
    """
    pred, true = _numbers("pred", pred), _numbers("true", true)
    _same_length("pred", pred, "true", true)
    if not 1 <= k <= len(true):
        raise ValueError(f"k: {k} given; allowed are 1 to {len(true)}")
    top_pred, top_true = (np.argsort(-x, kind="stable")[:k] for x in (pred, true))
    return len(np.intersect1d(top_pred, top_true)) / k


def ecdf(x: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps of the share of values that are at most so large.

    Args:
        x: numbers, at least one. Infinity stands for "never": it counts in the whole
            but makes no step, so that the share ends below 1.

    Returns:
        The different finite values (m,), ascending, and at each the share of all
        values that are at most so large (m,), in (0, 1].

    Raises:
        ValueError: for no values, or one that is not a number.
    """
    x = _numbers("x", x)
    if not len(x):
        raise ValueError("x: no values given; at least 1 is needed")
    values, counts = np.unique(x, return_counts=True)
    share = counts.cumsum() / len(x)
    return values[np.isfinite(values)], share[np.isfinite(values)]


class Ruggedness(NamedTuple):
    """How hard a table is to climb.

    `local_optima` counts the rows without a better neighbour, the best row among them.
    `basin_share` is the share of all rows from which steepest ascent ends at a best
    row, in [0, 1].
    """

    local_optima: int
    basin_share: float


def ruggedness(neighbours: Any, values: Any) -> Ruggedness:
    """Climb from every row to its best neighbour as long as that is better.

    Args:
        neighbours: for each of n rows the rows beside it: a sequence of n integer
            tensors, or a matrix (n, most) padded with -1. Of equally good neighbours
            the first is taken.
        values: (n,), higher is better.

    Returns:
        The number of local optima and the share of rows that end at a best row.

    Raises:
        ValueError: for another number of neighbour lists than values, a neighbour
            that is no row, or a value that is not a number.
    """
    values = _numbers("values", values)
    beside = _padded(neighbours)
    if len(beside) != len(values) or not len(values):
        raise ValueError(
            f"neighbours and values: {len(beside)} and {len(values)} rows given; both "
            "must have the same number, at least 1"
        )
    if ((beside < -1) | (beside >= len(values))).any():
        raise ValueError(f"neighbours: rows must be from 0 to {len(values) - 1}")
    rows = np.arange(len(values))
    beside = np.hstack([rows[:, None], beside])  # staying comes first, so wins ties
    heights = np.where(beside < 0, -np.inf, values[beside])
    step = beside[rows, heights.argmax(1)]
    optima = int((step == rows).sum())
    while (step[step] != step).any():  # each round doubles the way
        step = step[step]
    return Ruggedness(optima, float((values[step] == values.max()).mean()))


def _numbers(name: str, values: Any) -> np.ndarray:
    """Read a vector without gaps."""
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or np.isnan(numbers).any():
        raise ValueError(
            f"{name}: shape {numbers.shape} with {int(np.isnan(numbers).sum())} "
            "missing values given; it must be one row of numbers"
        )
    return numbers


def _same_length(name: str, a: np.ndarray, other: str, b: np.ndarray) -> None:
    if len(a) != len(b):
        raise ValueError(
            f"{name} and {other}: {len(a)} and {len(b)} values given; they must be "
            "as many"
        )


def _ties(ranks: np.ndarray) -> int:
    """Count the pairs of equal values."""
    counts = np.unique(ranks, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def _inversions(ranks: np.ndarray) -> int:
    """Count the pairs that stand in descending order, bit by bit.

    Two ranks differ first in one bit: the pair is an inversion if it stands there as
    1 before 0. For each bit, the sort brings together the ranks whose higher bits are
    equal and keeps their order.
    """
    found = 0
    for bit in reversed(range(int(ranks.max()).bit_length())):
        ranks = ranks[np.argsort(ranks >> (bit + 1), kind="stable")]
        group, one = ranks >> (bit + 1), (ranks >> bit) & 1
        before = one.cumsum() - one
        start = np.searchsorted(group, group)  # where the group of each begins
        found += int(((before - before[start]) * (1 - one)).sum())
    return found


def _padded(neighbours: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Bring neighbours into one matrix, padded with -1."""
    if getattr(neighbours, "ndim", 1) == 2:
        return np.asarray(neighbours).astype(np.int64)
    lists = [np.asarray(row).astype(np.int64).ravel() for row in neighbours]
    matrix = np.full((len(lists), max(map(len, lists), default=0)), -1)
    for row, found in zip(matrix, lists, strict=True):
        row[: len(found)] = found
    return matrix
