"""Do weak predictors find the best network with fewer questions than their rivals?

Every arm searches the same table and starts from the same generator. "world" is
MixCell-4, the book's own table: the oracle is validation accuracy, the answer is picked
by it and its test accuracy reported. "nb201" is NAS-Bench-201, a CSV file as
`python -m lib.data.nats_bench` writes it, with three sets of pictures. There the oracle
is test accuracy after 200 epochs, as where the paper counts queries: a selection that
no search can make. Beside it, a noisy oracle answers with validation accuracy after 12
epochs, and the test accuracy after 200 epochs of its favourite is reported.

Metrics: `queries` to the best row, to any of them if several are best; `found`, 1 or
0; and accuracies in percent after 50, 100 and 200 queries. On NAS-Bench-201 every
search is cut at `CAP` queries, and one that found nothing counts as `CAP`: a lower
bound, the same for both sides of a pair; `uncut` is written for the arms that may go on
to the end. MixCell-4 needs no cut, as a search may ask all of its 870 rows.
"""

import hashlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib.data.tabular import TabularBenchmark
from lib.papers.weaknas import mixcell4
from lib.papers.weaknas.acquisition import (
    Acquisition,
    expected_improvement,
    shrinking,
    ucb,
)
from lib.papers.weaknas.predictors import Ensemble, book_predictor
from lib.papers.weaknas.search import (
    SearchTrace,
    local_search,
    random_search,
    regularised_evolution,
    strong_predictor,
    weak_nas,
)

Numbers = dict[str, float]

BUDGETS = (50, 100, 200)
CAP = 400
"""Where searches of NAS-Bench-201 are cut."""

SETS = {"cifar10": "c10", "cifar100": "c100", "imagenet16": "in16"}
"""Set of pictures -> what its columns begin with."""

OPTIMA = {"cifar10": 94.373, "cifar100": 73.513, "imagenet16": 47.311}
"""Best mean test accuracy after 200 epochs, in percent; 15,625 codes."""

MLP, TREES, FOREST = (
    partial(book_predictor, name) for name in ("mlp", "trees", "forest")
)
LOOP = partial(weak_nas, init=10, per_step=10)


def worth(rule: Callable[..., Any], shrink: float) -> Callable[[int], Acquisition]:
    """Return what makes five networks and a rule for what a row is worth asking."""
    return lambda seed: Acquisition(Ensemble(MLP, 5, 5 * seed), rule, shrink)


RIVALS: dict[str, Callable[..., SearchTrace]] = {
    "random": random_search,
    "evolution": partial(regularised_evolution, population=20, sample=5),
    "local_search": local_search,
    "one_mlp": partial(strong_predictor, make_predictor=MLP, init=100),
    "one_trees": partial(strong_predictor, make_predictor=TREES, init=100),
}
"""What WeakNAS is compared with; these go on to the end at little cost."""

WORLD_ARMS = RIVALS | {
    "one_mlp_70": partial(strong_predictor, make_predictor=MLP, init=70),
    "weaknas_mlp": partial(LOOP, make_predictor=MLP, top=30),
    "weaknas_trees": partial(LOOP, make_predictor=TREES, top=30),
    "weaknas_forest": partial(LOOP, make_predictor=FOREST, top=30),
    "weaknas_mlp_100": partial(LOOP, make_predictor=MLP, top=100),
    "shrinking_mlp": partial(
        LOOP, make_predictor=MLP, top=shrinking(300, 10, steps=10)
    ),
    "greedy_mlp": partial(LOOP, make_predictor=MLP, top=10),
    "ei_mlp": partial(LOOP, make_predictor=worth(expected_improvement, 5.0), top=10),
    "ucb_mlp": partial(
        LOOP, make_predictor=worth(lambda mean, std, _: ucb(mean, std), 1.0), top=10
    ),
}
"""Searches of MixCell-4; on the table of the design, `one_mlp` liked 70 draws best."""

NB201_ARMS = RIVALS | {
    "weaknas_mlp": partial(LOOP, make_predictor=MLP, top=100),
    "weaknas_trees": partial(LOOP, make_predictor=TREES, top=100),
    "weaknas_trees_random": partial(
        LOOP, make_predictor=TREES, top=100, fallback="random"
    ),
    "greedy_mlp": partial(LOOP, make_predictor=MLP, top=10),
}
"""Searches of NAS-Bench-201."""

NOISY_ARMS = (*RIVALS, "weaknas_mlp", "weaknas_trees")
"""Arms that also ask the noisy oracle."""


def search(
    arm: Callable[..., SearchTrace],
    table: TabularBenchmark,
    seed: int,
    budget: int,
    until: list[int] | None = None,
) -> SearchTrace:
    """Run one arm on what a search may see: the codes, and an oracle that refuses."""
    return arm(
        table.space(),
        table.oracle(min(budget, len(table))),
        budget=budget,
        generator=torch.Generator().manual_seed(seed),
        until=until,
    )


def answers(
    name: str,
    arm: Callable[..., SearchTrace],
    table: TabularBenchmark,
    seed: int,
    trace: SearchTrace | None = None,
) -> dict[int, int]:
    """Return the row that an arm hands over after each of `BUDGETS`.

    One predictor spends half of each budget on uniform draws, so it searches anew.
    """
    if name.startswith("one_"):
        return {
            k: search(partial(arm, init=k // 2), table, seed, k).answer()
            for k in BUDGETS
        }
    trace = trace or search(arm, table, seed, max(BUDGETS))
    return {k: trace.answer(after=k) for k in BUDGETS}


def best_rows(values: Tensor) -> list[int]:
    """Return every row of the best value."""
    return (values == values.max()).nonzero().flatten().tolist()


def on_world(name: str, table: TabularBenchmark, seed: int) -> Numbers:
    """Measure one arm on MixCell-4."""
    arm, best = WORLD_ARMS[name], best_rows(table.val)
    trace = search(arm, table, seed, len(table), until=best)
    hit = trace.queries_to(best)
    found = {"queries": float(hit or len(table)), "found": float(hit is not None)}
    for k, row in answers(name, arm, table, seed, trace).items():
        found[f"val_{k}"] = float(table.val[row])
        found[f"test_{k}"] = float(table.test[row])
    return found


def on_nb201(name: str, tables: dict[str, TabularBenchmark], seed: int) -> Numbers:
    """Measure one arm on the three sets of NAS-Bench-201."""
    arm, found = NB201_ARMS[name], {}
    for pictures, noisy in tables.items():
        exact = TabularBenchmark(noisy.codes, noisy.test)
        best = best_rows(exact.val)
        end = len(exact) if name in RIVALS else CAP
        trace = search(arm, exact, seed, end, until=best)
        hit = trace.queries_to(best)
        found[f"queries_{pictures}"] = float(min(hit or CAP, CAP))
        found[f"found_{pictures}"] = float(hit is not None and hit <= CAP)
        if name in RIVALS:
            found[f"uncut_{pictures}"] = float(hit or end)
        for k, row in answers(name, arm, exact, seed, trace).items():
            found[f"best_{k}_{pictures}"] = float(exact.val[row])
        if name in NOISY_ARMS:
            for k, row in answers(name, arm, noisy, seed).items():
                found[f"noisy_{k}_{pictures}"] = float(noisy.test[row])
    return found


@cache
def world() -> TabularBenchmark:
    """Return MixCell-4, read once a process."""
    return mixcell4()


@cache
def nb201(path: str) -> dict[str, TabularBenchmark]:
    """Read NAS-Bench-201: for each set, validation after 12 epochs and test after 200.

    Args:
        path: a CSV file with the columns of `lib.data.nats_bench`.

    Raises:
        ValueError: if it cannot be read or is another table.
    """
    if not Path(path).is_file():
        raise ValueError(
            f"DATA '{path}' is no file; allowed are world and the path of a CSV file "
            "that `python -m lib.data.nats_bench` wrote"
        )
    tables = {
        name: TabularBenchmark.from_csv(
            path, code="code", val=f"{begin}_val12", test=f"{begin}_test"
        )
        for name, begin in SETS.items()
    }
    for name, table in tables.items():
        best = float(table.test.max())
        if len(table) != 15625 or abs(best - OPTIMA[name]) > 0.005:
            raise ValueError(
                f"DATA '{path}' has {len(table)} rows and at best {best:.3f} % on "
                f"{name}; NAS-Bench-201 has 15625 and {OPTIMA[name]} % after 200 epochs"
            )
    return tables


def describe(data: str) -> dict[str, Any]:
    """Say what the data are: label, number of rows and hash of the contents.

    Args:
        data: "world", or the path of a CSV file of NAS-Bench-201.

    Raises:
        ValueError: as `nb201`.
    """
    tables = {"world": world()} if data == "world" else nb201(data)
    digest = hashlib.sha256()
    for table in tables.values():
        for column in (table.codes, table.val, table.test):
            kind = "<f8" if column.is_floating_point() else "<i8"
            digest.update(column.numpy().astype(kind).tobytes())
    label = data if data == "world" else "nb201"
    return {"label": label, "rows": len(table), "hash": digest.hexdigest()}


def run(seed: int, data: str = "world") -> dict[str, dict[str, Numbers]]:
    """Measure one seed: `{"arms": {arm: {metric: number}}}`.

    Reported are seeds from 100 on; smaller ones served to design the comparison.

    Args:
        seed: of the generator that every arm starts from.
        data: "world", or the path of a CSV file of NAS-Bench-201.
    """
    torch.set_num_threads(1)
    if data == "world":
        return {"arms": {name: on_world(name, world(), seed) for name in WORLD_ARMS}}
    tables = nb201(data)
    return {"arms": {name: on_nb201(name, tables, seed) for name in NB201_ARMS}}
