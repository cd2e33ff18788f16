"""Checks of the exercises of chapter 4, and the made-up features of the open one."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.assets import load_claims
from lib.exercises.checks import Wrong, answered, check, compare, seeded
from lib.layers.contrast import info_nce
from lib.metrics import Interval, paired_interval, t_interval, verdict
from lib.papers.few_label.clustering import lloyd
from lib.papers.few_label.evaluate import linear_probe
from lib.papers.few_label.moco import MoCo
from lib.papers.few_label.selection import ORACLES, RULES, select

# Exercise 1 --------------------------------------------------------------------------


def _number(got: Any, what: str) -> float:
    """Return an answer's number, rounded to what two ways to compute it share."""
    try:
        return round(float(answered(got, what)), 6)
    except (TypeError, ValueError) as error:
        raise Wrong(f"{what} gives a number, not {type(got).__name__}") from error


@check(points=2)
def check_numbers(
    classes: Callable[..., Any], chance: Callable[..., Any], steps: Callable[..., Any]
) -> None:
    """Check the numbers of a contrastive loss with a queue.

    Args:
        classes: called as `classes(batch, queue)`, among how many classes each query
            has to find its key.
        chance: called as `chance(batch, queue)`, the loss of queries that are equally
            near to all keys.
        steps: called as `steps(batch, queue, symmetric)`, in how many losses a key is
            among the negatives.
    """
    for b, k in ((256, 65536), (128, 1024), (32, 96), (8, 8)):
        where = f"with B = {b} and K = {k:,}"
        mistakes: list[tuple[float, str]] = [
            (k, "the negatives alone: the query's own key is a class as well"),
            (k + b, "keys of the other pictures in the batch are no negatives here"),
            (k + b - 1, "keys of the other pictures in the batch are no negatives"),
            (b, "the classes are keys, and negatives come from the queue"),
            (2 * b - 1, "there is a queue: the batch itself gives no negatives"),
            (2, "it is one choice among all keys, not many choices between two"),
        ]
        got = _number(classes(b, k), "the first function")
        compare(got, k + 1, mistakes, f"{where} there are other classes than {got:,g}")
        got = _number(chance(b, k), "the second function")
        ways = [
            (math.log(k), "the query's own key is one of the classes"),
            (math.log(k + b), "keys of the other pictures are no negatives here"),
            (math.log2(k + 1), "the cross-entropy is in nats: the natural logarithm"),
            (math.log10(k + 1), "the cross-entropy is in nats: the natural logarithm"),
            (-math.log(k + 1), "a cross-entropy is not negative"),
            (1 / (k + 1), "this is the probability of the key: what is its loss?"),
            (b * math.log(k + 1), "the loss is a mean over the batch, not a sum"),
            (math.log(b), "the queue counts, not the batch"),
        ]
        mistakes = [(round(value, 6), hint) for value, hint in ways]
        wrong = f"{where} the loss at chance is not {got:.6g}"
        compare(got, round(math.log(k + 1), 6), mistakes, wrong)
        for symmetric in (False, True):
            _compare_steps(steps, b, k, symmetric)


def _compare_steps(steps: Callable[..., Any], b: int, k: int, symmetric: bool) -> None:
    pushed = 2 * b if symmetric else b
    if k % pushed:  # a batch that does not divide the queue is refused
        return
    got, right = _number(steps(b, k, symmetric), "the third function"), k / pushed
    once = "twice as many keys a step fill the queue in half the steps"
    mistakes = [
        (right - 1, "in the step that overwrites it, it was still among the negatives"),
        (right + 1, "it is stored after its own loss, and does not count there"),
        (2 * right, once if symmetric else "one view alone is encoded as a key"),
        (right / 2, once if symmetric else "one view alone is encoded as a key"),
        (k, "a step stores as many keys as the batch has"),
        (float(k * b), "the larger the batch, the sooner a key is overwritten"),
    ]
    how = "symmetric" if symmetric else "one-sided"
    wrong = f"B = {b}, K = {k:,}, {how}: a key does not stay for {got:,g} losses"
    compare(got, right, mistakes, wrong)


# Exercise 2 --------------------------------------------------------------------------


class TwoWeights(nn.Module):
    """A model with two parameters and two buffers, one of them a counter.

    Args:
        generator: draws the numbers.
        dtype: of parameters and of the first buffer.
    """

    def __init__(
        self, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        weight, bias, mean = (
            torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
            for shape in ((3, 2), (2,), (2,))
        )
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.register_buffer("mean", mean)
        self.register_buffer("seen", torch.tensor(int(1000 * mean.abs().sum())))


@check(points=2)
def check_average(answer: Callable[..., Any]) -> None:
    """Check an average that follows a model.

    Args:
        answer: a class, built as `answer(model, decay)`, with `module`, the average,
            and `update(model)`.
    """
    with seeded(0) as generator:
        first, model = TwoWeights(generator), TwoWeights(generator)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    average, expected, theirs = answer(first, 0.9), _values(first), _values(model)
    for _ in range(3):
        average.update(model)
        for name, new in theirs.items():
            _compare_weight(_values(average.module), name, expected[name], new, 0.9)
            expected[name] = 0.9 * expected[name] + 0.1 * new
        _check_buffers(average.module, first, model)
        if any(p.requires_grad for p in average.module.parameters()):
            raise Wrong(
                "the average holds on to a graph, and to every earlier model with it: "
                "update without gradients"
            )
        for name, value in model.state_dict().items():
            if not torch.equal(value, before[name]):
                raise Wrong(f"the model itself was changed: {name}")
    _check_double(answer)


def _values(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def _compare_weight(
    got: dict[str, Tensor], name: str, old: Tensor, new: Tensor, decay: float
) -> None:
    if name not in got:
        raise Wrong(f"the average has no parameter {name} any more: change it in place")
    left = 1 - decay
    mistakes = [
        (old, f"{name} has not moved"),
        (new, f"{name} is the model's own now: nothing is left of the average"),
        (left * old + decay * new, "`decay` is what the *old* average keeps"),
        (old + left * new, "the old average is kept whole: its share is `decay`"),
        (old - left * (new - old), "it moves away from the model: turn the sign"),
        (decay * old, "nothing of the model comes in"),
        ((old + new) / 2, "this is the plain mean: where is `decay`?"),
    ]
    compare(got[name], decay * old + left * new, mistakes, f"{name} is wrong")


def _check_buffers(got: nn.Module, first: nn.Module, model: nn.Module) -> None:
    theirs = dict(model.named_buffers())
    ours = dict(got.named_buffers())
    for name, kept in first.named_buffers():
        if torch.equal(ours[name], kept):
            continue
        if torch.equal(ours[name], theirs[name]):
            raise Wrong(
                f"the buffer {name} was copied; the average sees data of its own"
            )
        raise Wrong(f"the buffer {name} was changed: parameters alone are averaged")


def _check_double(answer: Callable[..., Any]) -> None:
    """Follow a model in float64, where a detour through float32 shows."""
    with seeded(1) as generator:
        first, model = (TwoWeights(generator, torch.float64) for _ in range(2))
    average, steps = answer(first, 0.999), 200
    for _ in range(steps):
        average.update(model)
    for name, got in _values(average.module).items():
        start, end = _values(first)[name], _values(model)[name]
        error = (got - (end + 0.999**steps * (start - end))).abs().max()
        if got.dtype != torch.float64 or not error < 1e-12:
            raise Wrong(
                f"in float64 {name} is off by {float(error):.0e}: a number went "
                "through float32"
            )


# Exercise 3 --------------------------------------------------------------------------

MOMENTUM, SIZE, DIM, PICTURES = 0.9, 24, 8, 6
"""Of the keys, keys in the queue, width of a key, and pictures in a batch."""


@dataclass
class Run:
    """Three steps of a contrastive model.

    Attributes:
        losses: one a step, (3,).
        means: what the key encoder's normalisation remembers at the end.
    """

    losses: Tensor
    means: Tensor


def contrast_run(make: Callable[..., Any], seed: int) -> Run:
    """Train a tiny contrastive model for three steps.

    Args:
        make: called as `make(encoder, head, dim, queue, generator)`; gives a module
            with `query`, `ema` and `queue` that returns the loss of two views.
        seed: of weights, first keys and views.

    Raises:
        Wrong: keys are negatives of their own queries, or are overwritten before the
            backward pass.
    """
    losses = []
    with seeded(seed) as generator:
        conv = nn.Conv2d(3, 6, 3, stride=2)
        encoder = nn.Sequential(
            conv, nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        model = make(encoder, nn.Linear(6, DIM), DIM, SIZE, generator)
        optimizer = torch.optim.SGD(model.query.parameters(), lr=1.0)
        used, pushed = _watch(model.queue)
        for _ in range(3):
            views = torch.rand(2, PICTURES, 3, 9, 9, generator=generator)
            loss = answered(model(*views), "forward")
            if any(_share_a_row(keys, rows) for keys in pushed for rows in used):
                raise Wrong(
                    "the keys of a step are among its negatives: a query is to be near "
                    "to its key and far from the same key"
                )
            used.clear()
            pushed.clear()
            optimizer.zero_grad()
            _backward(loss)
            optimizer.step()
            losses.append(loss.detach())
        norm = model.ema.module[0][1]
    means = torch.cat([norm.running_mean, norm.running_var])
    return Run(torch.stack(losses), means)


def _watch(queue: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Note what a queue gives and what is put into it."""
    used: list[Tensor] = []
    pushed: list[Tensor] = []
    negatives, push = queue.negatives, queue.push

    def noted_negatives() -> Tensor:
        used.append(negatives())
        return used[-1]

    def noted_push(keys: Tensor) -> None:
        pushed.append(keys.detach().clone())
        push(keys)

    queue.negatives, queue.push = noted_negatives, noted_push
    return used, pushed


def _share_a_row(a: Tensor, b: Tensor) -> bool:
    return bool((a[:, None] == b).all(-1).any())


def _backward(loss: Tensor) -> None:
    try:
        loss.backward()
    except RuntimeError as error:
        if "inplace" not in str(error):
            raise
        raise Wrong(
            "`push` overwrites what the backward pass needs: take `negatives()`, a copy"
        ) from error


class _Reference(MoCo):
    """The chapter's MoCo, built as the exercise builds its own."""

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        dim: int,
        queue: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__(
            encoder, head, queue=queue, momentum=MOMENTUM, generator=generator
        )


class _Copied(_Reference):
    def forward(self, view_q: Tensor, view_k: Tensor) -> Tensor:
        self.ema.buffers = "copy"
        return super().forward(view_q, view_k)


class _Late(_Reference):
    def forward(self, view_q: Tensor, view_k: Tensor) -> Tensor:
        loss, keys = self.contrast(view_q, view_k)
        self.queue.push(keys)
        self.ema.update(self.query)
        return loss


class _Still(_Reference):
    def forward(self, view_q: Tensor, view_k: Tensor) -> Tensor:
        loss, keys = self.contrast(view_q, view_k)
        self.queue.push(keys)
        return loss


class _Unstored(_Reference):
    def forward(self, view_q: Tensor, view_k: Tensor) -> Tensor:
        self.ema.update(self.query)
        return self.contrast(view_q, view_k)[0]


class _Queries(_Reference):
    def forward(self, view_q: Tensor, view_k: Tensor) -> Tensor:
        self.ema.update(self.query)
        query = F.normalize(self.query(view_q), dim=1)
        keys, negatives = self.encode_keys(view_k), self.queue.negatives()
        self.queue.push(query.detach())
        return info_nce(query, keys, negatives, self.temperature)


class _First(_Queries):
    """Stores first; a queue that is read without `negatives` shows it so."""

    def forward(self, view_q: Tensor, view_k: Tensor) -> Tensor:
        self.ema.update(self.query)
        query = F.normalize(self.query(view_q), dim=1)
        keys = self.encode_keys(view_k)
        self.queue.push(keys)
        return info_nce(query, keys, self.queue.keys.clone(), self.temperature)


SLIPS: list[tuple[type[_Reference], str]] = [
    (_First, "keys are stored before the logits: they are their queries' negatives"),
    (_Late, "the key encoder is updated first, before it encodes"),
    (_Still, "the key encoder never follows"),
    (_Unstored, "nothing is stored: the negatives stay the random ones"),
    (_Queries, "queries are stored in the place of keys"),
]
"""Other orders of the same lines, and the hint for each."""


@check(points=3)
def check_moco(answer: Callable[..., Any]) -> None:
    """Check the order of a contrastive step, and what becomes of the buffers.

    Args:
        answer: a module class, built as `answer(encoder, head, dim, queue, generator)`,
            with `query`, `ema` and `queue`; `forward(view_q, view_k)` gives the loss.
    """
    for seed in (0, 1):
        got, right = contrast_run(answer, seed), contrast_run(_Reference, seed)
        mistakes = [(contrast_run(slip, seed).losses, hint) for slip, hint in SLIPS]
        listed = ", ".join(f"{loss:.4f}" for loss in right.losses.tolist())
        otherwise = f"with seed {seed} the first three losses are {listed}"
        compare(got.losses, right.losses, mistakes, otherwise)
        copied = [
            (
                contrast_run(_Copied, seed).means,
                "the losses are right, but the key encoder's BatchNorm holds the "
                "statistics of the query encoder: its buffers were copied",
            )
        ]
        compare(got.means, right.means, copied, "the key encoder's buffers are wrong")


# Exercise 4 --------------------------------------------------------------------------


def blobs(generator: torch.Generator, n: int = 240, groups: int = 6) -> Tensor:
    """Draw points (n, 2) around some places, float64."""
    places = 4 * torch.randn(groups, 2, generator=generator, dtype=torch.float64)
    which = torch.randint(groups, (n,), generator=generator)
    noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    return places[which] + 0.7 * noise


def starts(x: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Draw k different points as centres, (k, d)."""
    return x[torch.randperm(len(x), generator=generator)[:k]]


@check(points=3)
def check_ackmeans(answer: Callable[..., Any]) -> None:
    """Check k-means with anchors.

    Args:
        answer: called as `answer(x, anchors, start, iterations)` with points (n, d),
            anchors (a, d), centres to start from (k, d), of which the anchors take the
            first a places, and the most rounds; gives centres (k, d), assignment (n,)
            and inertia, or raises ValueError if there are more anchors than centres.
    """
    for a in (0, 2, 4, 6):
        with seeded(a) as generator:
            x = blobs(generator)
            start, anchors = starts(x, 6, generator), blobs(generator, a)
        centres, assignment, inertia = _parts(answer(x, anchors, start, 100), x, 6)
        _check_anchors(centres, anchors)
        right = lloyd(x, torch.cat([anchors, start[a:]]), a, 100)
        where = f"with {a} anchors the free centres are wrong"
        compare(centres, right.centres, _wrong_centres(x, anchors, start), where)
        _check_partition(x, centres, assignment, inertia)
        path = _path(answer, x, anchors, start, 8)
        if any(after > before + 1e-9 for before, after in pairwise(path)):
            raise Wrong(f"the inertia rises from one round to the next: {path}")
        _check_single(answer, x, anchors, start)
    _check_empty(answer)
    try:
        answer(x, anchors, start[:2], 10)
    except ValueError:
        return
    raise Wrong("6 anchors do not fit among 2 centres: raise ValueError")


def _parts(got: Any, x: Tensor, k: int) -> tuple[Tensor, Tensor, float]:
    try:
        centres, assignment, inertia = answered(got, "the function")
    except (TypeError, ValueError) as error:
        raise Wrong("return three things: centres, assignment and inertia") from error
    for value, shape in ((centres, (k, x.shape[1])), (assignment, (len(x),))):
        if not isinstance(value, Tensor) or value.shape != shape:
            seen = getattr(value, "shape", type(value).__name__)
            seen = tuple(seen) if isinstance(seen, torch.Size) else seen
            raise Wrong(f"a tensor of shape {shape} is wanted, not {seen}")
    if centres.isnan().any():
        raise Wrong("a centre is nan: the mean of no point at all")
    return centres, assignment, float(inertia)


def _path(
    answer: Callable[..., Any], x: Tensor, anchors: Tensor, start: Tensor, rounds: int
) -> list[float]:
    """Return the inertia after 0, 1, ... rounds; with more rounds it has worked."""
    try:
        first = float(answer(x, anchors, start, 0)[2])
    except Exception as error:  # such as a loop that assigns nothing
        raise Wrong("0 rounds: return the start's assignment, and its inertia") from (
            error
        )
    return [first, *(float(answer(x, anchors, start, i)[2]) for i in range(1, rounds))]


def _check_anchors(centres: Tensor, anchors: Tensor) -> None:
    a = len(anchors)
    if torch.equal(centres[:a], anchors):
        return
    if any(torch.equal(rows, anchors) for rows in centres.unfold(0, a, 1).mT):
        raise Wrong("the anchors come first among the centres")
    raise Wrong("an anchor moved: it comes back bit for bit, in the first places")


def _wrong_centres(
    x: Tensor, anchors: Tensor, start: Tensor
) -> Iterator[tuple[Tensor, str]]:
    a = len(anchors)
    both = torch.cat([anchors, start[a:]])
    yield lloyd(x, both, a, 1).centres, "one round is not enough: go on until it rests"
    yield both, "the free centres have not moved"
    moved = lloyd(x, both, 0, 100).centres
    yield (
        torch.cat([anchors, moved[a:]]),
        "the anchors moved on the way and were put back at the end",
    )
    if a < len(start):
        alone = lloyd(x, start[a:], 0, 100).centres
        yield (
            torch.cat([anchors, alone]),
            "points nearest to an anchor belong to it, and pull at no free centre",
        )


def _check_partition(
    x: Tensor, centres: Tensor, assignment: Tensor, inertia: float
) -> None:
    distance = torch.cdist(x, centres)
    if not torch.equal(distance.argmin(1), assignment):
        raise Wrong("a point's number is not that of its nearest centre")
    nearest = distance.min(1).values
    right = float(nearest.square().sum())
    mistakes = [
        (float(nearest.sum()), "the inertia adds squared distances"),
        (right / len(x), "the inertia is a sum, not a mean"),
    ]
    mistakes = [(round(value, 4), hint) for value, hint in mistakes]
    compare(round(inertia, 4), round(right, 4), mistakes, "the inertia is wrong")


def _check_single(
    answer: Callable[..., Any], x: Tensor, anchors: Tensor, start: Tensor
) -> None:
    """Ask for the anchors in float32, where a detour shows in the last bits."""
    few = anchors.float()
    centres = answer(x.float(), few, start.float(), 20)[0]
    _check_anchors(centres, few)


def _check_empty(answer: Callable[..., Any]) -> None:
    with seeded(9) as generator:
        x = blobs(generator, 60)
        start = starts(x, 5, generator)
    far, none = x.new_tensor([[60.0, 60.0]]), x[:0]
    twice = torch.cat([start[:4], start[3:4]])
    cases = [
        (none, torch.cat([start[:4], far])),
        (none, twice),
        (far, start),  # an anchor may well be without points
        (far, torch.cat([start[:3], -far, far + 1])),
    ]
    for anchors, centres in cases:
        a = len(anchors)
        found, assignment, _ = _parts(answer(x, anchors, centres, 100), x, 5)
        _check_anchors(found, anchors)
        if (assignment.bincount(minlength=5)[a:] == 0).any():
            raise Wrong(
                "a free centre without points stays so and is wasted: let it take the "
                "point farthest from its own centre"
            )
        path = _path(answer, x, anchors, centres, 6)
        if any(after > before + 1e-9 for before, after in pairwise(path)):
            raise Wrong(f"with an empty cluster the inertia rises: {path}")


# Exercise 5 --------------------------------------------------------------------------

Table = Mapping[int, Sequence[float]]

ROWS = (0, 1, 6, 32, 64, 96, 128)
"""Target pictures in a batch of 128, in a table that is made up."""

SLACK = 0.006
"""How far a number may be rounded, in percentage points."""


def sweep(pool: Literal["2000", "300"] = "2000") -> dict[int, list[float]]:
    """Return the measured accuracies with one label a class, in percent.

    Args:
        pool: how many target pictures there are to train on.

    Returns:
        Target pictures in a batch of 128 -> one accuracy a seed, in the seeds' order.
        Without target pictures the size of the pool has no meaning: "0" is of both.

    Raises:
        ValueError: nothing is measured yet.
    """
    measured = (load_claims("few_label") or {"data": {}})["data"].get("sweep")
    if measured is None:
        raise ValueError("few_label: the sweep over shares is not measured yet")
    seeds = sorted(measured["seeds"].items(), key=lambda item: int(item[0]))
    runs = [result["arms"] for _, result in seeds]
    of_pool = [name for name in runs[0] if name.split("/")[0] == pool]
    names = {int(name.split("/")[1]): name for name in of_pool}
    names |= {0: "2000/0"}
    return {
        rows: [round(100 * arms[names[rows]]["probe_1"], 4) for arms in runs]
        for rows in sorted(names)
    }


def made_sweep(seed: int, height: float = 8.0) -> dict[int, list[float]]:
    """Make up a table as `sweep` gives it, with the most at half a batch.

    Args:
        seed: of the noise.
        height: how much the best share gains over the worst, in points.
    """
    generator = torch.Generator().manual_seed(seed)
    level = 30 + 6 * torch.rand(3, generator=generator, dtype=torch.float64)
    noise = torch.randn(len(ROWS), 3, generator=generator, dtype=torch.float64)
    gain = torch.tensor([height * (1 - ((r - 64) / 64) ** 2) for r in ROWS])
    values = level + gain[:, None] + noise
    return dict(zip(ROWS, values.round(decimals=4).tolist(), strict=True))


@check(points=3)
def check_share(answer: Callable[..., Any], table: Table) -> None:
    """Check which share is called the best, against what, and with what right.

    Args:
        answer: called as `answer(table)`; gives a dictionary with `best`, a key of the
            table, `against` (every other key -> mean, low and high of best minus it)
            and `claims`, a list of the keys than which the best is said to be better.
        table: rows -> one accuracy a seed. A made-up table is tried after it.
    """
    for name, case in (("the table", table), ("a made-up table", made_sweep(0))):
        given = {rows: list(values) for rows, values in case.items()}
        _check_reading(answer(given), case, name)


def _check_reading(got: Any, table: Table, name: str) -> None:
    found = answered(got, "the function")
    missing = [key for key in ("best", "against", "claims") if key not in found]
    if missing:
        raise Wrong(f"the dictionary has no {missing[0]!r}")
    means = {rows: sum(values) / len(values) for rows, values in table.items()}
    best, top = found["best"], max(means.values())
    if best not in means:
        raise Wrong(f"best is {best!r}, which is no row of {name}")
    if means[best] < top - 1e-9:
        single = max(max(values) for values in table.values())
        lucky = max(table[best]) >= single - 1e-9
        why = "its best seed counts as little as its worst" if lucky else "take means"
        raise Wrong(f"{name}: {best} has no highest mean over the seeds; {why}")
    others = set(table) - {best}
    if set(found["against"]) != others:
        raise Wrong(f"{name}: against holds every row but the best, and no other")
    for rows in sorted(others):
        _compare_interval(found["against"][rows], table[best], table[rows], rows)
    claims = set(found["claims"])
    for rows in sorted(others):
        low = paired_interval(table[best], table[rows]).low
        if rows in claims and not low > 0:
            raise Wrong(
                f"{name}: {best} is not shown to be better than {rows}: the interval "
                "holds 0"
            )
        if rows not in claims and low > 0:
            raise Wrong(f"{name}: {best} against {rows}: the interval allows the claim")
    if claims - others:
        raise Wrong(f"{name}: a row is not better than itself, and others must exist")


def _compare_interval(
    got: Any, best: Sequence[float], other: Sequence[float], rows: int
) -> None:
    try:
        ends = [float(value) for value in got]
    except (TypeError, ValueError) as error:
        raise Wrong(f"against {rows}: mean, low and high are wanted") from error
    if len(ends) != 3:
        raise Wrong(f"against {rows}: mean, low and high are wanted")
    right = paired_interval(best, other)
    wide, narrow = _unpaired(best, other), _normal(right)
    mistakes = {
        "take the best minus the other": paired_interval(other, best),
        "pair the accuracies by seed first: what a seed gives to both drops out": wide,
        "three seeds need Student's quantile, 4.30, not the normal 1.96": narrow,
    }

    def same(i: Interval) -> bool:
        pairs = zip(ends, (i.mean, i.low, i.high), strict=True)
        return all(abs(a - b) <= SLACK for a, b in pairs)

    if same(right):
        return
    for hint, wrong in mistakes.items():
        if same(wrong):
            raise Wrong(f"against {rows}: {hint}")
    mean = abs(ends[0] - right.mean) <= SLACK
    what = "the mean is right, but low and high are not" if mean else "these are not"
    raise Wrong(f"against {rows}: {what} those of the paired 95 % interval")


def _unpaired(a: Sequence[float], b: Sequence[float]) -> Interval:
    """Return the interval of a difference that forgets which runs share a seed."""
    x, y = t_interval(a), t_interval(b)
    half = math.hypot(x.high - x.mean, y.high - y.mean)
    mean = x.mean - y.mean
    return Interval(mean, mean - half, mean + half, x.n)


def _normal(i: Interval) -> Interval:
    """Return an interval with the normal quantile in place of Student's."""
    from scipy.stats import t

    half = (i.high - i.mean) * 1.959964 / float(t.ppf(0.975, i.n - 1))
    return Interval(i.mean, i.mean - half, i.mean + half, i.n)


# Exercise 6 --------------------------------------------------------------------------

Entry = Callable[[Tensor, int, torch.Generator], Any]
World = Literal["shown", "hidden"]

CLASSES = 10
BUDGET = CLASSES
"""Pictures that may be labelled: one a class on average."""

SEEDS: dict[World, Sequence[int]] = {"shown": range(20), "hidden": range(100, 120)}
"""Seeds of the features; a course takes others and keeps them."""

SPREAD: dict[World, float] = {"shown": 0.8, "hidden": 1.2}
"""How far features lie around their class."""

RIVALS = [rule for rule in RULES if rule not in {*ORACLES, "ackmeans"}]
"""The chapter's rules that know no label; without anchors `ackmeans` is `kmeans`."""


def made_features(
    seed: int, spread: float, n: int = 600, d: int = 32
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Make up features of a pool and of a test set, each with its classes.

    Every class lies around two directions. The pictures' distances to them differ, and
    three directions that have nothing to do with the class run through all features,
    as angle and size do through those of pictures. Classes are not equally frequent.

    Args:
        seed: draws everything.
        spread: how far features lie around their class.
        n: number of features in each set.
        d: width of a feature.

    Returns:
        Unit rows (n, d) and classes (n,), of the pool and of the test set.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    modes = F.normalize(normal(CLASSES, 1, d) + 0.6 * normal(CLASSES, 2, d), dim=2)
    shared = 0.5 * normal(3, d) / math.sqrt(d)
    frequency = torch.rand(CLASSES, generator=generator) + 0.5

    def draw() -> tuple[Tensor, Tensor]:
        y = torch.multinomial(frequency, n, replacement=True, generator=generator)
        mode = modes[y, torch.randint(2, (n,), generator=generator)]
        width = spread * torch.exp(normal(n, 1) / 2) / math.sqrt(d)
        return F.normalize(
            mode + width * normal(n, d) + normal(n, 3) @ shared, dim=1
        ), y

    return draw(), draw()


def chosen(entry: Entry, x: Tensor, seed: int, outside: int = 0) -> Tensor:
    """Let an entry choose once, and return the rows (BUDGET,) that it wants labelled.

    Args:
        entry: called as `entry(features, budget, generator)`.
        x: features (n, d); the entry gets a copy.
        seed: of the generator.
        outside: seed of torch's own generator, which an entry is not to use.

    Raises:
        Wrong: it returns something else than so many different rows.
    """
    with seeded(outside):
        generator = torch.Generator().manual_seed(seed)
        rows = answered(entry(x.clone(), BUDGET, generator), "the function")
    try:
        rows = torch.as_tensor(rows)
    except (TypeError, ValueError, RuntimeError) as error:
        raise Wrong(f"return the rows, not {type(rows).__name__}") from error
    if rows.is_floating_point() or rows.dtype == torch.bool:
        raise Wrong(f"return numbers of rows, not {rows.dtype}")
    if rows.shape != (BUDGET,):
        raise Wrong(f"{BUDGET} rows are wanted, not a shape of {tuple(rows.shape)}")
    if not ((rows >= 0) & (rows < len(x))).all():
        raise Wrong(f"rows go from 0 to {len(x) - 1}")
    if len(rows.unique()) < BUDGET:
        raise Wrong("a row is chosen twice: its label is paid twice")
    return rows


def scores(entry: Entry, world: World) -> tuple[float, ...]:
    """Return the probe's accuracies on what an entry had labelled, in percent.

    Raises:
        Wrong: as `chosen`.
    """
    found = []
    for seed in SEEDS[world]:
        (x, y), test = made_features(seed, SPREAD[world])
        rows = chosen(entry, x, seed)
        found.append(100 * linear_probe(x[rows], y[rows], *test))
    return tuple(found)


@cache
def best_rule(world: World) -> tuple[str, tuple[float, ...]]:
    """Return the chapter's rule with the highest mean, and its accuracies."""

    def by(rule: str) -> Entry:
        return lambda x, budget, g: select(x, budget, rule, generator=g)

    found = {rule: scores(by(rule), world) for rule in RIVALS}
    return max(found.items(), key=lambda item: sum(item[1]))


@dataclass(frozen=True)
class Standing:
    """How an entry stands to the best rule of the chapter.

    Attributes:
        accuracy: of the probe, one a seed, in percent.
        rule: the best rule on the same features.
        ahead: accuracy minus that of the rule, paired by seed.
    """

    accuracy: tuple[float, ...]
    rule: str
    ahead: Interval

    def __str__(self) -> str:
        """Return mean, difference and what that means as one line."""
        i, mean = self.ahead, sum(self.accuracy) / len(self.accuracy)
        words = {
            "supported": "ahead of it, which is worth writing down",
            "not supported": "behind it",
            "inconclusive": "level with it",
        }
        gain = f"{i.mean:+.1f} [{i.low:+.1f}, {i.high:+.1f}]"
        return f"{mean:.1f} %, {gain} to {self.rule}: {words[verdict(i)]}"


def compete(entry: Entry, world: World = "shown") -> Standing:
    """Let an entry choose on all features of a world, beside the chapter's rules.

    Raises:
        Wrong: as `chosen`.
    """
    mine = scores(entry, world)
    rule, theirs = best_rule(world)
    return Standing(mine, rule, paired_interval(mine, theirs))


POINTS = {"supported": 5, "inconclusive": 3}
"""What an entry earns that is ahead of the best rule, and one that is level with it."""


@check(points=POINTS["supported"])
def check_choice(entry: Entry) -> int:
    """Check that an entry keeps the rules; being ahead earns more than being level.

    Args:
        entry: called as `entry(features, budget, generator)`; gives the rows to label.
    """
    seed = SEEDS["shown"][0]
    (x, _), _ = made_features(seed, SPREAD["shown"])
    first, again = (chosen(entry, x, seed, outside) for outside in (1, 2))
    if not torch.equal(first, again):
        raise Wrong("equal generators must give equal rows: draw from it alone")
    standing = compete(entry)
    found = verdict(standing.ahead)
    if found not in POINTS:
        raise Wrong(str(standing))
    print(standing)
    return POINTS[found]
