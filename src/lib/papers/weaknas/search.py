"""Searches of a space whose rows can be asked, one at a time, for their value.

Every search takes a `Space`, an oracle and a budget of distinct rows, never asks a row
twice, and returns a `SearchTrace`. It draws from the generator alone: the same
generator gives the same rows. `weak_nas` is the paper's (section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lib.papers.weaknas.predictors import Regressor

Rows = NDArray[np.int64]
Watch = Callable[[int, Rows, NDArray[np.float64], Rows], None]
"""Told at each step: its number, rows asked so far, all predictions, the top set."""


class Space(Protocol):
    """What is searched; a `TabularBenchmark` is one."""

    def features(self) -> Tensor:
        """Return what a predictor sees of each row, (n, d)."""

    def neighbours(self, i: int, /) -> Tensor:
        """Return the rows one change away from row i."""

    def __len__(self) -> int: ...


class Oracle(Protocol):
    """What knows the values: training a network, or a table."""

    def query(self, i: int, /) -> float:
        """Return the value of row i."""


@dataclass(frozen=True)
class SearchTrace:
    """What a search asked, in order, and the answers.

    Args:
        order: rows (k,), all different.
        value: their values (k,).
    """

    order: Tensor
    value: Tensor

    def __len__(self) -> int:
        return len(self.order)

    def best_so_far(self) -> Tensor:
        """Return the best value after each question, (k,)."""
        return self.value.cummax(0).values

    def queries_to(self, row: int | Iterable[int]) -> int | None:
        """Return how many questions it took to a row, None if it was never asked.

        Args:
            row: a row, or several of which the first asked counts.
        """
        wanted = torch.tensor([row] if isinstance(row, int) else list(row))
        found = torch.isin(self.order, wanted).nonzero()
        return int(found[0]) + 1 if len(found) else None

    def answer(
        self,
        by: Literal["validation"] | Tensor = "validation",
        after: int | None = None,
    ) -> int:
        """Return the row that the search hands over.

        Args:
            by: "validation", the best answer of the oracle; or one number for each row
                of the space, such as predictions. With test accuracies it is the
                selection that the paper reports, which no search can make.
            after: how many questions count; all by default.

        Raises:
            ValueError: for no question, another word, or too few numbers.
        """
        if not len(self) or (after is not None and after < 1):
            raise ValueError(f"after={after} of {len(self)} questions; 1 are needed")
        order = self.order[:after]
        if isinstance(by, str):
            if by != "validation":
                raise ValueError(f"by={by!r}; allowed are 'validation' and numbers")
            return int(order[self.value[:after].argmax()])
        if by.ndim != 1 or len(by) <= int(order.max()):
            raise ValueError(f"by: shape {tuple(by.shape)}; one number a row is needed")
        return int(order[by[order].argmax()])


class Record:
    """The rows asked so far; says when to stop, and lets no row be asked twice.

    Args:
        oracle: is asked.
        n: rows of the space.
        budget: distinct rows that may be asked, at most `n` of which there are.
        until: a row, or several, one of which ends the search.

    Raises:
        ValueError: for an empty space, a budget below 1, or a row that is not there.
    """

    def __init__(
        self, oracle: Oracle, n: int, budget: int, until: int | Iterable[int] | None
    ) -> None:
        ends = {until} if isinstance(until, int) else set(until or ())
        if n < 1 or budget < 1:
            raise ValueError(f"budget={budget} of {n} rows; both must be 1 or more")
        if not all(0 <= row < n for row in ends):
            raise ValueError(f"until={until}; allowed are rows from 0 to {n - 1}")
        self.oracle, self.budget, self.ends = oracle, min(budget, n), ends
        self.asked = np.zeros(n, dtype=bool)
        self.values: dict[int, float] = {}
        self.done = False

    @property
    def rows(self) -> Rows:
        """The rows asked, in order."""
        return np.fromiter(self.values, np.int64, len(self.values))

    @property
    def labels(self) -> NDArray[np.float64]:
        """The answers, in the same order."""
        return np.fromiter(self.values.values(), np.float64, len(self.values))

    @property
    def unasked(self) -> Rows:
        """The other rows, rising."""
        return np.flatnonzero(~self.asked)

    @property
    def left(self) -> int:
        """How many more may be asked."""
        return self.budget - len(self.values)

    def ask(self, rows: Iterable[int]) -> None:
        """Ask the rows, one by one, and leave off when the search is done."""
        for row in map(int, rows):
            if self.done:
                return
            if row not in self.values:
                self.values[row] = float(self.oracle.query(row))
                self.asked[row] = True
            self.done = self.left < 1 or row in self.ends

    def trace(self) -> SearchTrace:
        """Return what was asked."""
        return SearchTrace(torch.from_numpy(self.rows), torch.from_numpy(self.labels))


def draw(rows: Sequence[int] | Rows, count: int, generator: torch.Generator) -> Rows:
    """Draw rows uniformly without replacement.

    One after the other, so that two draws of five give the same rows as one of ten.

    Args:
        rows: what to draw from.
        count: how many, at most `len(rows)` of which are there.
        generator: is advanced by one number a row.
    """
    pool, drawn = list(map(int, rows)), []
    for _ in range(min(count, len(pool))):
        place = int(torch.randint(len(pool), (), generator=generator))
        drawn.append(pool.pop(place))
    return np.array(drawn, dtype=np.int64)


def best_rows(scores: NDArray[Any], count: int, among: Rows | None = None) -> Rows:
    """Return the rows of the highest scores, best first; of equals, the first row.

    `argpartition` finds the last of them without sorting the space.

    Args:
        scores: one for each row, (n,).
        count: how many, at most as many as there are.
        among: rising rows to choose from; all by default.

    Raises:
        ValueError: for a count below 1, or a score that is not finite.
    """
    check_numbers(count=count)
    if not np.isfinite(scores).all():
        raise ValueError("scores: a prediction is not finite")
    rows = np.arange(len(scores)) if among is None else among
    values = scores[rows]
    if count < len(rows):
        last = values[np.argpartition(values, -count)[-count]]
        level = np.flatnonzero(values == last)[: count - (values > last).sum()]
        kept = np.concatenate([np.flatnonzero(values > last), level])
        rows, values = rows[kept], values[kept]
    return rows[np.argsort(-values, kind="stable")]


def step_seed(generator: torch.Generator, step: int) -> int:
    """Return a predictor's seed, which depends on step and first seed alone."""
    return (1000 * generator.initial_seed() + step) % 2**32


def check_numbers(fallback: str = "best", **numbers: int) -> None:
    """Refuse numbers below 1 and an unknown fallback.

    Raises:
        ValueError: naming the argument.
    """
    if fallback not in ("best", "random"):
        raise ValueError(f"fallback={fallback!r}; allowed are 'best' and 'random'")
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name}={number}; allowed is 1 or more")


def weak_nas(
    space: Space,
    oracle: Oracle,
    make_predictor: Callable[[int], Regressor],
    *,
    init: int,
    per_step: int,
    top: int | Callable[[int], int],
    budget: int,
    generator: torch.Generator,
    fallback: Literal["best", "random"] = "best",
    until: int | Iterable[int] | None = None,
    watch: Watch = lambda *_: None,
) -> SearchTrace:
    """Search with a chain of weak predictors (paper, section 3.1).

    Rows that were asked before count towards the top set, as in the official code. The
    greedy loop, which draws nothing, is `top=per_step`.

    Args:
        space: what to search.
        oracle: is asked.
        make_predictor: makes a fresh predictor from a seed.
        init: rows drawn uniformly before the first predictor, M0.
        per_step: rows asked at each step, M.
        top: size of the set to draw them from, N, or a function of the step.
        budget: distinct rows to ask, K.
        generator: draws the rows.
        fallback: where the top set has too few rows left, "best" takes the best
            predicted rows of the space and "random" draws from the space.
        until: a row, or several, one of which ends the search.
        watch: is told the predictions of each step.

    Raises:
        ValueError: for a number below 1 or another fallback.
    """
    check_numbers(
        fallback, init=init, per_step=per_step, top=1 if callable(top) else top
    )
    features = np.asarray(space.features())
    record = Record(oracle, len(space), budget, until)
    record.ask(draw(record.unasked, init, generator))
    step = 0
    while not record.done:
        predictor = make_predictor(step_seed(generator, step))
        predictor.fit(features[record.rows], record.labels)  # on all that was asked
        scores = predictor.predict(features)  # (n,), the whole space
        best = best_rows(scores, top(step) if callable(top) else top)  # (N,)
        watch(step, record.rows, scores, best)
        fresh = np.sort(best[~record.asked[best]])  # what was asked counts towards N
        wanted = min(per_step, record.left)
        if len(fresh) >= wanted:
            rows = draw(fresh, wanted, generator)
        elif fallback == "best":
            rows = best_rows(scores, wanted, among=record.unasked)
        else:
            rows = draw(record.unasked, wanted, generator)
        record.ask(rows)
        step += 1
    return record.trace()


def strong_predictor(
    space: Space,
    oracle: Oracle,
    make_predictor: Callable[[int], Regressor],
    *,
    init: int,
    budget: int,
    generator: torch.Generator,
    until: int | Iterable[int] | None = None,
) -> SearchTrace:
    """Search with one predictor: fit it once and go down its list.

    Args:
        space: what to search.
        oracle: is asked.
        make_predictor: makes the predictor from a seed.
        init: rows drawn uniformly, on which it is fitted.
        budget: distinct rows to ask; those after `init` are the best predicted.
        generator: draws the rows.
        until: a row, or several, one of which ends the search.

    Raises:
        ValueError: for a number below 1.
    """
    check_numbers(init=init)
    features = np.asarray(space.features())
    record = Record(oracle, len(space), budget, until)
    record.ask(draw(record.unasked, init, generator))
    if not record.done:
        predictor = make_predictor(step_seed(generator, 0))
        predictor.fit(features[record.rows], record.labels)
        scores = predictor.predict(features)
        record.ask(best_rows(scores, record.left, among=record.unasked))
    return record.trace()


def random_search(
    space: Space,
    oracle: Oracle,
    *,
    budget: int,
    generator: torch.Generator,
    until: int | Iterable[int] | None = None,
) -> SearchTrace:
    """Ask rows drawn uniformly, none of them twice.

    The best of n rows is met after (n + 1) / 2 questions on average; with t rows of
    that value, after (n + 1) / (t + 1).

    Args:
        space: what to search.
        oracle: is asked.
        budget: distinct rows to ask.
        generator: draws the rows.
        until: a row, or several, one of which ends the search.

    Raises:
        ValueError: for a number below 1.
    """
    record = Record(oracle, len(space), budget, until)
    record.ask(draw(record.unasked, record.left, generator))
    return record.trace()


def local_search(
    space: Space,
    oracle: Oracle,
    *,
    budget: int,
    generator: torch.Generator,
    until: int | Iterable[int] | None = None,
) -> SearchTrace:
    """Climb to the first better neighbour; at a local optimum, start anew.

    Neighbours come in random order. A start is drawn from the rows not asked yet.

    Args:
        space: what to search; its `neighbours` are used.
        oracle: is asked.
        budget: distinct rows to ask.
        generator: draws starts and orders.
        until: a row, or several, one of which ends the search.

    Raises:
        ValueError: for a number below 1.
    """
    record = Record(oracle, len(space), budget, until)
    while not record.done:
        here = int(draw(record.unasked, 1, generator)[0])
        record.ask([here])
        climbing = True
        while climbing and not record.done:
            around = space.neighbours(here).tolist()
            climbing = False
            for row in draw(around, len(around), generator).tolist():
                record.ask([row])
                if record.done:
                    break
                if record.values[row] > record.values[here]:
                    here, climbing = row, True
                    break
    return record.trace()


def regularised_evolution(
    space: Space,
    oracle: Oracle,
    *,
    population: int,
    sample: int,
    budget: int,
    generator: torch.Generator,
    until: int | Iterable[int] | None = None,
) -> SearchTrace:
    """Mutate the best of a sample and let the oldest die (Real et al., AAAI 2019).

    A child that was asked before joins the population at no cost. After 1000 such
    children in a row, the next one is drawn from the rows not asked yet, so that every
    search ends.

    Args:
        space: what to search; a child is one of its parent's `neighbours`.
        oracle: is asked.
        population: size of the population.
        sample: how many of it compete to be the parent, drawn with replacement.
        budget: distinct rows to ask.
        generator: draws first rows, samples and children.
        until: a row, or several, one of which ends the search.

    Raises:
        ValueError: for a number below 1.
    """
    check_numbers(population=population, sample=sample)
    record = Record(oracle, len(space), budget, until)
    record.ask(draw(record.unasked, population, generator))
    alive, stale = record.rows.tolist(), 0
    while not record.done:
        places = torch.randint(len(alive), (sample,), generator=generator)
        parent = max((alive[i] for i in places), key=record.values.__getitem__)
        around = space.neighbours(parent).tolist() if stale < 1000 else []
        child = int(draw(around or record.unasked, 1, generator)[0])
        stale = stale + 1 if record.asked[child] else 0
        record.ask([child])
        alive = [*alive[1:], child]
    return record.trace()
