"""Checks of the exercises of chapter 3, and the search that the open one is held to.

`python -m lib.exercises.weaknas` runs the chapter's WeakNAS on the shipped table and on
the hidden one and writes its test accuracies to `reference.json`, in some two minutes
of one core. Do it whenever a table was made anew.
"""

import hashlib
import json
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import permutations, product
from typing import Any, Literal, SupportsIndex

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lib.assets import paper_path
from lib.data.tabular import Oracle, TabularBenchmark, TabularSpace
from lib.exercises.checks import Wrong, answered, check, compare, seeded
from lib.metrics import Interval, kendall_tau, paired_interval, t_interval, verdict
from lib.papers.weaknas import book_predictor, weak_nas
from lib.papers.weaknas.acquisition import expected_improvement
from lib.papers.weaknas.predictors import Standardised
from lib.papers.weaknas.table import mixcell4
from lib.training import progress

Array = NDArray[np.float64]
Mistakes = list[tuple[Any, str]]


def _number(got: Any, what: str) -> float:
    """Return an answer's number, rounded to what two ways to compute it share."""
    try:
        return round(float(answered(got, what)), 6)
    except (TypeError, ValueError) as error:
        raise Wrong(f"{what} gives a number, not {type(got).__name__}") from error


# Exercise 1 --------------------------------------------------------------------------


def simulate_queries(n: int, t: int, runs: int, generator: torch.Generator) -> Tensor:
    """Search at random, many times, until the first of the best rows is met.

    Args:
        n: rows of the table.
        t: how many of them are equally the best.
        runs: number of searches.
        generator: draws their orders.

    Returns:
        Questions that each search took, integers (runs,).
    """
    turn = torch.rand(runs, n, generator=generator)  # rows are asked as this rises
    first = turn[:, :t].min(dim=1, keepdim=True).values
    return (turn < first).sum(dim=1) + 1


@check(points=2)
def check_queries(mean: Callable[..., Any], median: Callable[..., Any]) -> None:
    """Check how many questions a random search needs.

    Args:
        mean: called as `mean(n, t)`, the expected number of questions until one of t
            best rows among n is met.
        median: called as `median(n)`, after how many questions at least half of all
            searches have met the one best row.
    """
    for n, t in ((20, 3), (15_625, 1), (15_625, 2), (6, 6)):
        got, right = _number(mean(n, t), "the first function"), (n + 1) / (t + 1)
        ways = [
            (
                n / (t + 1),
                "t best rows cut the others into t + 1 gaps: how long is one?",
            ),
            ((n - t) / (t + 1), "that is the gap before a best row: it is asked, too"),
            ((n + 1) / 2, "with twins the first of them ends the search"),
            (n / 2, "with twins the first of them ends the search"),
            (n / t, "no row is asked twice: this is a draw with replacement"),
            ((n + 1) / (2 * t), "twins do not share the way evenly: the first counts"),
            (t * (n + 1) / (t + 1), "this is the last of the twins, not the first"),
        ]
        mistakes = [(round(value, 6), hint) for value, hint in ways]
        wrong = f"with n = {n:,} and t = {t} another number is expected than {got:,.6g}"
        compare(got, round(right, 6), mistakes, wrong)
    for n in (7, 8, 1, 15_625):
        got = _number(median(n), "the second function")
        mistakes = [
            (n // 2, "for an odd n fewer than half of the searches are over by then"),
            ((n + 1) / 2, "a search ends after a whole number of questions"),
            (n // 2 + 1, "half of the searches are over before that"),
            (n / 2, "a search ends after a whole number of questions"),
        ]
        wrong = f"with n = {n:,} half of the searches are not over after {got:,.6g}"
        compare(got, math.ceil(n / 2), mistakes, wrong)


# Exercise 2 --------------------------------------------------------------------------

CELL_OPS = ("conv1x1", "conv3x3", "maxpool")
"""What the inner nodes of a cell of NAS-Bench-101 may do."""

Matrix = NDArray[np.int64]
DagCell = tuple[Matrix, tuple[str, ...]]
"""Edges (n, n), 1 where the row's node leads to the column's, and a word a node."""


def numbered(forms: Iterable[Hashable]) -> Tensor:
    """Number forms by their first appearance, integers (n,): equal forms, one number.

    Raises:
        Wrong: a form that cannot be looked up.
    """
    seen: dict[Hashable, int] = {}
    try:
        return torch.tensor([seen.setdefault(form, len(seen)) for form in forms])
    except TypeError as error:
        raise Wrong("give a text or a tuple; lists cannot be looked up") from error


def all_cells(nodes: int) -> Iterator[DagCell]:
    """Yield every cell of so many nodes whose edges lead from lower to higher."""
    pairs = np.triu_indices(nodes, 1)
    for ops in product(CELL_OPS, repeat=nodes - 2):
        for edges in product((0, 1), repeat=len(pairs[0])):
            matrix = np.zeros((nodes, nodes), dtype=np.int64)
            matrix[pairs] = edges
            yield matrix, ("input", *ops, "output")


def renumber(cell: DagCell, generator: torch.Generator) -> DagCell:
    """Number the inner nodes of a cell anew; input and output keep their places."""
    matrix, ops = cell
    inner = 1 + torch.randperm(len(ops) - 2, generator=generator)
    order = [0, *inner.tolist(), len(ops) - 1]
    return matrix[np.ix_(order, order)], tuple(ops[i] for i in order)


def random_cells(
    generator: torch.Generator, n: int, nodes: int
) -> Iterator[tuple[DagCell, DagCell, bool]]:
    """Draw pairs of cells, renumbered at random, with whether they are the same.

    The second of a pair is the first, or the first with one edge or one operation
    changed; a change that leads nowhere leaves the cell the same.

    Args:
        generator: draws them.
        n: number of pairs.
        nodes: of each cell, 4 or more.
    """
    pairs = np.triu_indices(nodes, 1)

    def drawn(high: int) -> int:
        return int(torch.randint(high, (), generator=generator))

    for i in range(n):
        matrix = np.zeros((nodes, nodes), dtype=np.int64)
        edges = torch.rand(len(pairs[0]), generator=generator) < 0.6
        matrix[pairs] = edges.numpy()
        inner = tuple(CELL_OPS[drawn(3)] for _ in range(nodes - 2))
        cell, other = (matrix, ("input", *inner, "output")), matrix.copy()
        if i % 3 == 1:
            at = drawn(len(pairs[0]))
            other[pairs[0][at], pairs[1][at]] ^= 1
        elif i % 3 == 2:
            at = drawn(nodes - 2)
            other_op = CELL_OPS[(CELL_OPS.index(inner[at]) + 1 + drawn(2)) % 3]
            inner = (*inner[:at], other_op, *inner[at + 1 :])
        changed = other, ("input", *inner, "output")
        same = shape(cell) == shape(changed)
        yield renumber(cell, generator), renumber(changed, generator), same


def shape(cell: DagCell, slip: str = "") -> Hashable:
    """Return a cell's smallest form over all numberings, with one of `SLIPS` or not."""
    matrix, words = _pruned(cell, slip)
    n = len(words)
    if slip == "direction":
        matrix = matrix | matrix.T
    if slip == "words":
        words = 0 * words
    if slip == "edges":
        return tuple(sorted(words.tolist()))
    if slip == "unfolded":
        return _unfolded(matrix, words, n - 1)
    inner: Iterable[Sequence[int]] = permutations(range(1, n - 1))
    marks = list(zip(words, matrix.sum(0), matrix.sum(1), strict=True))
    rules: dict[str, Callable[[int], Any]]
    rules = {"given": int, "sorted": words.__getitem__, "degrees": marks.__getitem__}
    if slip in rules:
        inner = [sorted(range(1, n - 1), key=rules[slip])]
    order = np.array([[0, *some, n - 1] for some in inner])  # (numberings, n)
    columns = np.arange(n) if slip == "rows" else order[:, None, :]
    edges = [e.tobytes() for e in matrix[order[:, :, None], columns]]
    if slip == "apart":
        return tuple(sorted(words.tolist())), min(edges)
    return min(zip((w.tobytes() for w in words[order]), edges, strict=True))


def _pruned(cell: DagCell, slip: str) -> tuple[Matrix, Matrix]:
    """Return edges and numbered operations of the nodes between input and output."""
    matrix, ops = cell
    n = len(ops)
    ways = np.linalg.matrix_power(np.eye(n, dtype=np.int64) + matrix, n) > 0
    live = (ways[0] | (slip == "fed")) & (ways[:, -1] | (slip == "used"))
    live[[0, -1]] = True
    keep = np.flatnonzero(live | (slip == "dead"))
    words = np.array([("input", *CELL_OPS, "output").index(op) for op in ops])
    return matrix[np.ix_(keep, keep)], words[keep]


def _unfolded(matrix: Matrix, words: Matrix, node: int) -> tuple[Any, ...]:
    """Write a node as its word around those of the nodes that it reads, in order."""
    reads = np.flatnonzero(matrix[:, node])
    return words[node], *sorted(_unfolded(matrix, words, int(i)) for i in reads)


SLIPS = {
    "edges": "the operations are the same, but not the edges: they count, too",
    "words": "one graph with other operations is another cell",
    "dead": "a node on no way from input to output does nothing: leave it out",
    "used": "a node from which no way leads to the output does nothing: leave it out",
    "fed": "a node to which no way leads from the input does nothing: leave it out",
    "given": "the inner nodes still stand in the order they came: renumber them",
    "sorted": "nodes with the same operation still stand as they came: try each order",
    "degrees": "nodes with the same edges still stand as they came: try each order",
    "rows": "a node has a row and a column of the matrix: move both",
    "apart": "matrix and operations have to be renumbered together",
    "direction": "an edge has a direction: 1 to 2 is not 2 to 1",
    "unfolded": "a node that is read twice is not two nodes that do the same",
}
"""What one forgets, and the hint for it."""


@check(points=3)
def check_canonical(answer: Callable[..., Any]) -> None:
    """Check that cells are written the same if a new numbering is all that differs.

    Args:
        answer: called as `answer(matrix, ops)` with integers (n, n) and n texts; gives
            a text or anything else that can be looked up.
    """
    with seeded(0) as generator:
        cells = [cell for n in (2, 3, 4) for cell in all_cells(n)]
        cells += [renumber(cell, generator) for cell in cells]
        for pair in random_cells(generator, 150, 6):
            cells += pair[:2]
    answered(answer(*_copy(cells[-1])), "the function")
    got = numbered(answer(*_copy(cell)) for cell in cells)
    right = numbered(map(shape, cells))
    compare(got, right, _slips(cells), _witness(cells, got, right))


def _copy(cell: DagCell) -> tuple[Matrix, list[str]]:
    return cell[0].copy(), list(cell[1])  # an answer may change what it is given


def _slips(cells: Sequence[DagCell]) -> Iterator[tuple[Tensor, str]]:
    """Yield the classes that each slip leads to; computed if an answer is wrong."""
    raw = numbered((ops, matrix.tobytes()) for matrix, ops in cells)
    yield raw, "nothing is renumbered yet: every cell is written its own way"
    for slip, hint in SLIPS.items():
        yield numbered(shape(cell, slip) for cell in cells), hint


def _witness(cells: Sequence[DagCell], got: Tensor, right: Tensor) -> str:
    """Name the first two cells on which an answer is wrong, if it is."""
    forms: dict[int, tuple[DagCell, int]] = {}
    classes: dict[int, tuple[DagCell, int]] = {}
    for cell, form, group in zip(cells, got.tolist(), right.tolist(), strict=True):
        other, its_group = forms.setdefault(form, (cell, group))
        if its_group != group:
            return f"{_said(other)} and {_said(cell)} differ, and are written the same"
        other, its_form = classes.setdefault(group, (cell, form))
        if its_form != form:
            both = f"{_said(other)} and {_said(cell)}"
            return f"{both} are the same, and are written differently"
    return ""


def _said(cell: DagCell) -> str:
    """Write a cell in a few words."""
    matrix, ops = cell
    edges = ", ".join(f"{i}-{j}" for i, j in np.argwhere(matrix))
    return f"[{' '.join(ops[1:-1])}; {edges or 'no edge'}]"


# Exercise 3 --------------------------------------------------------------------------


def random_rankings(
    generator: torch.Generator, n: int
) -> Iterator[tuple[Array, Array]]:
    """Draw two vectors (m,) of 2 to 40 numbers, with ties in every other pair."""
    for i in range(n):
        size = int(torch.randint(2, 41, (), generator=generator))
        a, b = torch.randn(2, size, generator=generator, dtype=torch.float64)
        b = b + a
        if i % 2 == 0:
            a, b = (3 * a).round(), b.round()
        a[0], b[0] = a.max() + 1, b.min() - 1  # so that neither is constant
        yield a.numpy(), b.numpy()


@check(points=2)
def check_tau(answer: Callable[..., Any]) -> None:
    """Check Kendall's tau-b.

    Args:
        answer: called as `answer(a, b)` with arrays (n,); gives a number, or raises
            ValueError if all values of one are equal.
    """
    typical = np.array([1.0, 1, 2, 3, 3, 4, 5]), np.array([2.0, 1, 1, 1, 4, 3, 3])
    with seeded(0) as generator:
        drawn = list(random_rankings(generator, 20))
    for a, b in (typical, *drawn):
        value = answered(answer(a, b), "the function")
        got, right = _number(value, "the function"), kendall_tau(a, b)
        if math.isnan(got):
            raise Wrong("it gives nan where neither input is constant")
        mistakes = [(round(tau, 6), hint) for tau, hint in _other_taus(a, b)]
        ties = len(set(a)) < len(a) or len(set(b)) < len(b)
        wrong = f"the number is wrong {'with' if ties else 'without'} ties"
        compare(got, round(right, 6), mistakes, wrong)
        if abs(float(value) - right) > 1e-12:
            raise Wrong(f"almost: it differs by {abs(float(value) - right):.0e}")
    for a, b in ((np.ones(5), np.arange(5.0)), (np.arange(5.0), np.ones(5))):
        try:
            with np.errstate(all="ignore"):
                answer(a, b)
        except ValueError:
            continue
        except Exception as error:
            kind = type(error).__name__
            raise Wrong(
                f"constant input raises {kind}; let it be ValueError"
            ) from error
        raise Wrong("where all values of one input are equal, raise ValueError")


def _other_taus(a: Array, b: Array) -> Mistakes:
    """Return what other counts of the pairs lead to."""
    signs = [np.sign(np.subtract.outer(x, x)) for x in (a, b)]
    sides = np.triu_indices(len(a), 1)
    first, second = (sign[sides] for sign in signs)
    surplus = float((first * second).sum())  # concordant minus discordant pairs
    untied_a, untied_b = float((first**2).sum()), float((second**2).sum())
    right = surplus / math.sqrt(untied_a * untied_b)
    ordered = float(((first * second) ** 2).sum())
    level = float((first * second >= 0).sum()) - float((first * second < 0).sum())
    ranks = [np.searchsorted(np.sort(x), x).astype(np.float64) for x in (a, b)]
    return [
        (
            surplus / len(first),
            "this is tau-a: pairs that are tied in one input shrink the whole",
        ),
        (
            surplus / max(ordered, 1),
            "this is gamma: a pair tied in one input still counts for the other",
        ),
        (-right, "the sign is wrong: two equal orders have 1"),
        (
            level / math.sqrt(untied_a * untied_b),
            "a tied pair is neither in the same order nor in the opposite one",
        ),
        (surplus / untied_a, "ties of the second input count as well"),
        (surplus / untied_b, "ties of the first input count as well"),
        (surplus / (untied_a * untied_b), "the root of the product is missing"),
        (2 * right, "count each pair once, above and below the line"),
        (right / 2, "count each pair once, above and below the line"),
        (float(np.corrcoef(a, b)[0, 1]), "this is Pearson's r; only orders count"),
        (
            float(np.corrcoef(ranks[0], ranks[1])[0, 1]),
            "this correlates ranks; count pairs",
        ),
    ]


# Exercise 4 --------------------------------------------------------------------------

SWEEP = {"1": 1, "10": 10, "50": 50, "all": 60}
"""How many rows a step asks."""

SWEEP_SEEDS = range(20)
SWEEP_INIT, SWEEP_BUDGET = 10, 70
"""Seeds of the sweep, rows drawn at first, and rows asked in all."""


def quick_predictor(seed: int) -> Standardised:
    """Return boosted trees that are fitted in about ten milliseconds: 20 of depth 3."""
    from sklearn.ensemble import GradientBoostingRegressor

    trees = GradientBoostingRegressor(
        n_estimators=20, max_depth=3, learning_rate=0.3, random_state=seed
    )
    return Standardised(trees)


def sweep_run(per_step: int, seed: int) -> float:
    """Search the shipped table once, as the sweep does.

    Args:
        per_step: rows asked at each step, the best predicted.
        seed: of the first rows and the predictors.

    Returns:
        Highest validation accuracy met, in percent.
    """
    benchmark = table("shipped")
    trace = weak_nas(
        benchmark.space(),
        benchmark.oracle(SWEEP_BUDGET),
        quick_predictor,
        init=SWEEP_INIT,
        per_step=per_step,
        top=per_step,
        budget=SWEEP_BUDGET,
        generator=torch.Generator().manual_seed(seed),
    )
    return float(trace.value.max())


@check(points=3)
def check_sweep(report: Any) -> None:
    """Check the report of a sweep: its means, intervals and words follow from its runs.

    Args:
        report: JSON text with `runs` (name -> one accuracy a seed), `means` (name ->
            number), `against_10` (name -> mean, low and high of the paired difference
            to M = 10) and `verdicts` (name -> better, worse or inconclusive). Names
            are those of `SWEEP`; the last two leave out "10".
    """
    data = _parsed(answered(report, "the report"))
    runs = {name: _numbers(data["runs"], name, "runs") for name in SWEEP}
    for name, values in runs.items():
        if len(values) != len(SWEEP_SEEDS):
            raise Wrong(f"M = {name}: {len(values)} runs, not {len(SWEEP_SEEDS)}")
    for name, seed in (("all", 0), ("50", 0), ("10", 0), ("10", 1), ("10", 2)):
        _compare_run(runs[name][seed], name, seed)  # the cheap ones, once more
    for name, values in runs.items():
        mean = sum(values) / len(values)
        got = _numbers(data["means"], name, "means", 1)[0]
        if abs(got - mean) > SLACK:
            raise Wrong(
                f"M = {name}: the mean of its runs is {mean:.3f}, not {got:.3f}"
            )
    for name in (name for name in SWEEP if name != "10"):
        _compare_interval(data, name, runs[name], runs["10"])


SLACK = 0.006
"""How far a number may be rounded, in percentage points."""

WORDS = {"supported": "better", "not supported": "worse"}
"""The word for each verdict on "M is better than 10"; the third one stays."""


def _parsed(report: Any) -> dict[str, dict[str, Any]]:
    try:
        data = json.loads(report)
    except (TypeError, ValueError) as error:
        raise Wrong("the report is no JSON text; make it by json.dumps") from error
    for key in ("runs", "means", "against_10", "verdicts"):
        if not isinstance(data, dict) or not isinstance(data.get(key), dict):
            raise Wrong(f"the report has no dictionary {key!r}")
    return data


def _numbers(
    part: dict[str, Any], name: str, what: str, n: int | None = None
) -> list[float]:
    """Return the numbers of one M, of which there are n if that is known."""
    values = part.get(name)
    values = [values] if isinstance(values, int | float) else values
    known = isinstance(values, list) and (n is None or len(values) == n)
    if not known or not all(isinstance(v, int | float) for v in values or [None]):
        count = "some" if n is None else str(n)
        raise Wrong(f"{what} must hold {count} numbers for M = {name}")
    return [float(v) for v in values or []]


def _compare_run(got: float, name: str, seed: int) -> None:
    right = sweep_run(SWEEP[name], seed)
    if abs(got - right) > SLACK:
        raise Wrong(
            f"M = {name}, seed {seed}: this run meets {right:.2f} % here, not "
            f"{got:.2f} %; {SWEEP_INIT} rows first, {SWEEP_BUDGET} in all, "
            "top = per_step, generator and predictors from the seed"
        )


def _compare_interval(
    data: dict[str, Any], name: str, values: Sequence[float], ten: Sequence[float]
) -> None:
    got = _numbers(data["against_10"], name, "against_10", 3)
    ahead = paired_interval(values, ten)
    mistakes = {
        "take M minus 10, not 10 minus M": paired_interval(ten, values),
        "pair the runs by seed before the interval: what they share drops out": (
            _unpaired(values, ten)
        ),
    }

    def same(i: Interval) -> bool:
        ends = zip(got, (i.mean, i.low, i.high), strict=True)
        return all(abs(a - b) <= SLACK for a, b in ends)

    if not same(ahead):
        for hint, other in mistakes.items():
            if same(other):
                raise Wrong(f"M = {name}: {hint}")
        wanted = f"{ahead.mean:.3f} [{ahead.low:.3f}, {ahead.high:.3f}]"
        raise Wrong(f"M = {name}: the paired interval of its runs is {wanted}")
    word = str(data["verdicts"].get(name)).strip().lower()
    says = verdict(ahead)
    if word != WORDS.get(says, says):
        wanted = f"[{ahead.low:.3f}, {ahead.high:.3f}] does not say {word!r}"
        raise Wrong(f"M = {name}: the interval {wanted}")


def _unpaired(a: Sequence[float], b: Sequence[float]) -> Interval:
    """Return the interval of a difference that forgets which runs share a seed."""
    x, y = t_interval(a), t_interval(b)
    half = math.hypot(x.high - x.mean, y.high - y.mean)
    return Interval(
        x.mean - y.mean, x.mean - y.mean - half, x.mean - y.mean + half, x.n
    )


# Exercise 5 --------------------------------------------------------------------------

BEST = 92.3
"""The highest belief in the checks, in percent."""


@check(points=3)
def check_worth(answer: Callable[..., Any]) -> None:
    """Check what one noisy answer is worth.

    Args:
        answer: called as `answer(mean, std, noise, best)` with arrays (n,) and two
            numbers; gives by how much the highest belief will rise, (n,).
    """
    mean, std = (a.ravel() for a in np.meshgrid(np.linspace(85, 97, 13), [0.3, 1, 4]))
    for noise in (2.0, 0.5, 0.0):
        with np.errstate(all="ignore"):
            got = _worths(answer(mean.copy(), std.copy(), noise, BEST), mean)
        if got.isnan().any():
            raise Wrong("there is a nan where std is above 0")
        right = expected_improvement(mean, std**2 / np.hypot(std, noise), BEST)
        wrong = f"with noise = {noise:g} it is not the mean of what the belief gains"
        if not noise:
            wrong = "an answer without noise tells all: its worth is the improvement"
        ways = _wrong_worths(mean, std, noise)
        compare(got, torch.from_numpy(right), ways, wrong)
    mean = np.array([85.0, 92.3, 95.0])
    gain = torch.from_numpy(mean - BEST)
    nothing = "where std is 0 no answer changes a belief: a mean below the best is"
    for noise in (1.0, 0.0):
        with np.errstate(all="ignore"):
            got = _worths(answer(mean.copy(), np.zeros(3), noise, BEST), mean)
        if got.isnan().any():
            raise Wrong(f"std = 0 and noise = {noise:g} divide by 0: there is a nan")
        mistakes = [
            (gain, f"{nothing} worth 0"),
            (gain.abs(), f"{nothing} worth 0"),
            (torch.zeros(3).double(), "where std is 0, a mean above is a certain gain"),
        ]
        compare(got, gain.clamp(min=0), mistakes, "it is wrong where std is 0")


def _worths(got: Any, mean: Array) -> Tensor:
    try:
        worth = torch.as_tensor(answered(got, "the function"), dtype=torch.float64)
    except (TypeError, ValueError) as error:
        raise Wrong(f"an array is wanted, not {type(got).__name__}") from error
    if worth.shape != mean.shape:
        raise Wrong(f"one number a network is wanted, not {tuple(worth.shape)}")
    return worth


def _wrong_worths(
    mean: Array, std: Array, noise: float
) -> Iterator[tuple[Tensor, str]]:
    from scipy.special import ndtr

    def density(z: Array) -> Array:
        return np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)

    gain, both = mean - BEST, np.hypot(std, noise)
    moves = std**2 / both
    spreads = [
        (std, "the noise has no effect: this is the worth of knowing f itself"),
        (both, "so far the answer spreads; the belief follows it by k alone"),
        (std**3 / both**2, "k moves by the answer: its deviation is not that of f"),
        (moves**2, "this is the variance of the new mean; take the root"),
        (std * noise / both, "so unsure one remains; wanted is how far the mean moves"),
        (
            std / both * noise / both * std,
            "y is open by more than its noise: f is open, too",
        ),
        (std + noise, "variances add up, deviations do not"),
    ]
    for spread, hint in spreads:
        if spread.all():
            yield torch.from_numpy(expected_improvement(mean, spread, BEST)), hint
    z = gain / moves
    forms = [
        (
            expected_improvement(-mean, moves, -BEST),
            "this is by how much it falls short of the best",
        ),
        (gain * ndtr(z), "what may lie above the mean counts: a term is missing"),
        (ndtr(z), "this is the chance of a gain, not how large it is"),
        (gain * ndtr(z) + density(z), "the density counts by the deviation"),
        (np.maximum(gain, 0), "this is the gain if nothing is learned: where is std?"),
        (gain, "a belief that ends below the best counts 0, not less"),
    ]
    for worth, hint in forms:
        yield torch.from_numpy(worth), hint


# Exercise 6 --------------------------------------------------------------------------

Entry = Callable[[TabularSpace, Oracle, torch.Generator], SupportsIndex]
Name = Literal["shipped", "hidden"]

BUDGET = 60
"""How many networks a search may ask."""

SEEDS: dict[Name, Sequence[int]] = {"shipped": range(50), "hidden": range(100, 150)}
"""Seeds of the searches on each table; a course takes others and keeps them."""


@cache
def table(name: Name) -> TabularBenchmark:
    """Return the chapter's table, or one whose pictures come from another seed."""
    return mixcell4(None if name == "shipped" else paper_path("weaknas", "hidden.csv"))


def weak_entry(space: TabularSpace, oracle: Oracle, generator: torch.Generator) -> int:
    """Search as the chapter's WeakNAS does: MLP, M0 = M = 10, N = 30."""
    trace = weak_nas(
        space,
        oracle,
        partial(book_predictor, "mlp"),
        init=10,
        per_step=10,
        top=30,
        budget=BUDGET,
        generator=generator,
    )
    return trace.answer()


def search(entry: Entry, benchmark: TabularBenchmark, seed: int) -> int:
    """Let an entry search once and return the row that it hands over.

    Raises:
        Wrong: it hands over no row, or one that it has not asked.
    """
    return _searched(entry, benchmark, seed)[0]


def _searched(
    entry: Entry, benchmark: TabularBenchmark, seed: int
) -> tuple[int, dict[int, float]]:
    """Return the row handed over, and the accuracy of every row asked."""
    oracle = benchmark.oracle(BUDGET)
    with seeded(seed) as generator:
        row = answered(entry(benchmark.space(), oracle, generator), "the function")
    try:
        row = row.__index__()
    except (AttributeError, TypeError) as error:
        raise Wrong(f"return the number of a row, not {type(row).__name__}") from error
    if row not in oracle.asked:
        raise Wrong(f"row {row} was never asked: a network has to be trained first")
    return row, dict(oracle.asked)


@dataclass(frozen=True)
class Standing:
    """How an entry stands to the chapter's WeakNAS.

    Attributes:
        test: test accuracy of the network handed over, one a seed, in percent.
        ahead: test accuracy minus that of WeakNAS, paired by seed.
        favourite: the same, had the row of the highest validation accuracy been
            handed over; None if nobody looked.
    """

    test: tuple[float, ...]
    ahead: Interval
    favourite: Interval | None = None

    def __str__(self) -> str:
        """Return mean, difference and what that means as one line."""
        i, mean = self.ahead, sum(self.test) / len(self.test)
        words = {
            "supported": "ahead of it, which is worth writing down",
            "not supported": "behind it",
            "inconclusive": "level with it",
        }
        gain = f"{i.mean:+.2f} [{i.low:+.2f}, {i.high:+.2f}]"
        return f"{mean:.2f} %, {gain} to WeakNAS: {words[verdict(i)]}"

    def loss(self) -> str:
        """Say of an entry that is behind whether queries or the last choice lose."""
        if self.favourite and verdict(self.favourite) != "not supported":
            return (
                "the last choice loses: the highest validation accuracy among the same "
                f"queries would have been {self.favourite.mean:+.2f}"
            )
        return (
            "the queries lose: compare trace.value.max() with that of the chapter's "
            "search (top=30, per_step=10), seed by seed"
        )


def compete(entry: Entry, name: Name = "shipped") -> Standing:
    """Let an entry search a table with every seed, beside the stored WeakNAS.

    Raises:
        Wrong: as `search`.
    """
    benchmark = table(name)
    runs = [_searched(entry, benchmark, seed) for seed in SEEDS[name]]
    best = [max(asked, key=asked.__getitem__) for _, asked in runs]
    test = tuple(benchmark.test[[row for row, _ in runs]].tolist())
    favourite = benchmark.test[best].tolist()
    ahead = (paired_interval(values, reference(name)) for values in (test, favourite))
    return Standing(test, *ahead)


@check(points=5)
def check_entry(entry: Entry) -> None:
    """Check that an entry keeps the rules, and see on the shipped table how it stands.

    Args:
        entry: called as `entry(space, oracle, generator)`; gives a row it has asked.
    """
    benchmark, seed = table("shipped"), SEEDS["shipped"][0]
    if search(entry, benchmark, seed) != search(entry, benchmark, seed):
        raise Wrong("equal generators must give equal answers: draw from it alone")
    standing = compete(entry)
    if verdict(standing.ahead) == "not supported":
        raise Wrong(f"{standing}; {standing.loss()}")
    print(standing)


def fingerprint(benchmark: TabularBenchmark) -> str:
    """Return sixteen figures that change when a table does."""
    parts = (benchmark.codes, *(1e4 * x for x in (benchmark.val, benchmark.test)))
    data = b"".join(part.round().long().numpy().tobytes() for part in parts)
    return hashlib.sha256(data).hexdigest()[:16]


def reference(name: Name) -> tuple[float, ...]:
    """Return the stored test accuracies of WeakNAS on a table, one a seed.

    Raises:
        ValueError: they were measured on another table.
    """
    path = paper_path("weaknas", "reference.json")
    stored = json.loads(path.read_text(encoding="utf-8"))[name]
    if stored["table"] != fingerprint(table(name)):
        raise ValueError(
            f"{path.name}: the {name} table was made anew since; "
            "run python -m lib.exercises.weaknas"
        )
    return tuple(stored["test"])


def main() -> None:
    """Measure WeakNAS on both tables and store what it reached."""
    stored = {}
    for name, seeds in SEEDS.items():
        benchmark = table(name)
        rows = [search(weak_entry, benchmark, s) for s in progress(seeds, name)]
        test = [round(x, 4) for x in benchmark.test[rows].tolist()]
        stored[name] = {"table": fingerprint(benchmark), "test": test}
    path = paper_path("weaknas", "reference.json")
    path.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
