"""The arms of chapter 3 are comparable, and their numbers mean what they say."""

import itertools

import numpy as np
import pytest
import torch

from lib.assets import load_paper
from lib.claims import weaknas as claim
from lib.data.tabular import BudgetError, TabularBenchmark
from lib.papers.weaknas.predictors import SIZES
from lib.papers.weaknas.search import random_search

CODES = torch.tensor(list(itertools.product(range(3), repeat=4)))


def table(seed=0, best=1):
    """Return 81 rows that are easy to learn, of which some share the best value."""
    random = np.random.default_rng(seed)
    val = CODES.double() @ torch.tensor([1.0, 2.0, 3.0, 4.0]).double()
    val = 70 + val + torch.from_numpy(random.normal(size=81))
    val[val.argsort(descending=True)[:best]] = 95.0
    return TabularBenchmark(CODES, val, val + torch.from_numpy(random.normal(size=81)))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Few rows, few queries, light predictors."""
    light = {
        "mlp": dict(hidden_layer_sizes=(8,), max_iter=20),
        "trees": dict(n_estimators=5, max_depth=3),
        "forest": dict(n_estimators=5, max_depth=3),
    }
    for name, sizes in light.items():
        monkeypatch.setitem(SIZES[name], "book", sizes)
    monkeypatch.setattr(claim, "BUDGETS", (12, 20, 30))
    monkeypatch.setattr(claim, "CAP", 34)
    monkeypatch.setattr(claim, "world", lambda: table())
    sets = {name: table(i, best=2) for i, name in enumerate(claim.SETS)}
    monkeypatch.setattr(claim, "nb201", lambda path: sets)


# Settings.


def options(arm):
    return getattr(arm, "keywords", {})


@pytest.mark.parametrize("arms", [claim.WORLD_ARMS, claim.NB201_ARMS])
def test_settings_of_the_arms(arms):
    assert options(arms["evolution"]) == dict(population=20, sample=5)
    assert options(arms["one_mlp"])["init"] == options(arms["one_trees"])["init"] == 100
    for name in ("weaknas_mlp", "weaknas_trees", "greedy_mlp"):
        assert (options(arms[name])["init"], options(arms[name])["per_step"]) == (
            10,
            10,
        )
    assert options(arms["greedy_mlp"])["top"] == 10


def test_top_sets():
    tops = {name: options(arm).get("top") for name, arm in claim.WORLD_ARMS.items()}
    assert tops["weaknas_mlp"] == tops["weaknas_trees"] == 30
    assert tops["weaknas_mlp_100"] == 100
    assert [tops["shrinking_mlp"](k) for k in (0, 9)] == [300, 10]
    assert options(claim.NB201_ARMS["weaknas_mlp"])["top"] == 100


@pytest.mark.parametrize("arms", [claim.WORLD_ARMS, claim.NB201_ARMS])
def test_predictors_are_what_their_names_say(arms):
    kinds = {"mlp": "MLP", "trees": "GradientBoosting", "forest": "RandomForest"}
    for name, arm in arms.items():
        make = options(arm).get("make_predictor")
        if make and name not in ("ei_mlp", "ucb_mlp"):
            predictor = type(make(3).regressor).__name__
            word = next(kind for kind in kinds if kind in name.split("_"))
            assert predictor == f"{kinds[word]}Regressor"
            assert make(3).regressor.random_state == 3


def test_ensembles_share_no_seed_from_step_to_step():
    make = options(claim.WORLD_ARMS["ei_mlp"])["make_predictor"]
    seeds = [m.regressor.random_state for k in (0, 1) for m in make(k).ensemble.members]
    assert seeds == list(range(10))


def test_claims_name_arms_and_metrics_that_are_measured():
    measured = {"world": claim.run(0)["arms"], "nb201": claim.run(0, "a.csv")["arms"]}
    real = {f"{what}_{k}" for what in ("val", "test") for k in (50, 100, 200)}
    for entry in load_paper("weaknas").claims:
        (label,) = entry.data
        for arm in (entry.method, entry.baseline):
            # `small` has changed the budgets, which are part of some names
            names = {n.replace("_20", "_100") for n in measured[label][arm]}
            names |= {n.replace("_12", "_50") for n in measured[label][arm]}
            assert entry.metric in names | (real if label == "world" else set())


# Numbers.


def test_one_seed_gives_the_same_numbers_twice():
    for data in ("world", "a.csv"):
        first, again, other = (claim.run(seed, data)["arms"] for seed in (1, 1, 2))
        assert first == again
        assert first != other


def test_arms_of_a_seed_start_alike():
    """Random search, evolution and both kinds of predictor draw the same rows first."""
    for arms in (claim.WORLD_ARMS, claim.NB201_ARMS):
        first = {
            tuple(claim.search(arm, table(), 3, 10).order.tolist())
            for name, arm in arms.items()
            if name != "local_search"
        }
        assert len(first) == 1


def test_queries_and_answers_of_random_search():
    for seed in range(3):
        found = claim.on_world("random", claim.world(), seed)
        t = claim.world()
        rows = random_search(
            t, t.oracle(), budget=81, generator=torch.Generator().manual_seed(seed)
        ).order.tolist()
        best = int(t.val.argmax())
        assert found["queries"] == rows.index(best) + 1
        assert found["found"] == 1
        for k in claim.BUDGETS:
            answer = max(rows[:k], key=lambda row: float(t.val[row]))
            assert found[f"val_{k}"] == t.val[answer]
            assert found[f"test_{k}"] == t.test[answer]


def test_one_predictor_spends_half_of_a_budget_on_draws(monkeypatch):
    spent = []

    def spy(space, oracle, *, init, budget, **rest):
        spent.append((init, budget))
        return random_search(space, oracle, budget=budget, **rest)

    claim.answers("one_spy", spy, table(), 0)
    assert spent == [(6, 12), (10, 20), (15, 30)]


def test_a_miss_counts_as_the_cap_on_both_sides():
    tables = {"cifar10": table(best=2)}
    t = tables["cifar10"]
    best = (t.test == t.test.max()).nonzero().flatten().tolist()
    seen = set()
    for seed in range(12):
        found = claim.on_nb201("random", tables, seed)
        rows = random_search(
            t, t.oracle(), budget=81, generator=torch.Generator().manual_seed(seed)
        ).order.tolist()
        hit = min(rows.index(row) for row in best) + 1
        assert found["uncut_cifar10"] == hit
        assert found["queries_cifar10"] == min(hit, 34)
        assert found["found_cifar10"] == (hit <= 34)
        seen.add(found["found_cifar10"])
    assert seen == {0, 1}
    assert "uncut_cifar10" not in claim.on_nb201("greedy_mlp", tables, 0)


def test_what_the_two_oracles_select():
    """The exact one picks by test, the noisy one by validation; both report test."""
    t = table(best=2)
    found = claim.on_nb201("random", {"cifar10": t}, 5)
    rows = random_search(
        t, t.oracle(), budget=81, generator=torch.Generator().manual_seed(5)
    ).order.tolist()
    for k in claim.BUDGETS:
        assert found[f"best_{k}_cifar10"] == max(t.test[row] for row in rows[:k])
        favourite = max(rows[:k], key=lambda row: float(t.val[row]))
        assert found[f"noisy_{k}_cifar10"] == t.test[favourite]


def test_numbers_are_in_their_ranges():
    for name, arm in claim.run(4)["arms"].items():
        assert 1 <= arm["queries"] <= 81
        assert arm["found"] == 1
        if not name.startswith("one_"):  # those search anew for each budget
            assert arm["val_12"] <= arm["val_20"] <= arm["val_30"]
    for arm in claim.run(4, "a.csv")["arms"].values():
        for name in claim.SETS:
            assert 1 <= arm[f"queries_{name}"] <= 34
            assert arm[f"found_{name}"] in (0, 1)
            assert arm[f"found_{name}"] or arm[f"queries_{name}"] == 34


def test_a_search_that_asks_too_much_is_stopped():
    def greedy(space, oracle, *, budget, **rest):
        for row in range(budget + 1):
            oracle.query(row)

    with pytest.raises(BudgetError, match="query 13"):
        claim.search(greedy, table(), 0, 12)


def test_a_search_sees_no_label():
    def curious(space, oracle, **rest):
        assert not hasattr(space, "val")
        assert not hasattr(space, "test")
        assert not hasattr(oracle, "val")

    claim.search(curious, table(), 0, 12)


# NAS-Bench-201 as a file.


def write(file, change=lambda row: row, count=15625):
    """Write a table with the published optima and nothing else of the real one."""
    random = np.random.default_rng(0)
    numbers = random.uniform(1, 40, (15625, 6)).round(4)
    numbers[7, :3] = [94.3733, 73.5133, 47.3111]
    lines = ["code,group,c10_test,c100_test,in16_test,c10_val12,c100_val12,in16_val12"]
    for i, code in enumerate(itertools.product("01234", repeat=6)):
        lines.append(",".join(change(["".join(code), "0", *map(str, numbers[i])])))
    file.write_text("\n".join(lines[: count + 1]) + "\n", encoding="utf-8")
    return str(file)


@pytest.fixture
def loader(monkeypatch):
    """The real loader in place of the small tables."""
    monkeypatch.undo()
    return claim.nb201


def test_a_file_is_read_and_described_by_its_contents(loader, tmp_path):
    one, two = write(tmp_path / "one.csv"), write(tmp_path / "other.csv")
    tables = loader(one)
    assert list(tables) == ["cifar10", "cifar100", "imagenet16"]
    assert tables["cifar100"].test[7] == 73.5133
    assert tables["cifar100"].val[7] < 40
    assert claim.describe(one) == claim.describe(two)
    assert claim.describe(one)["label"] == "nb201"
    assert claim.describe(one)["rows"] == 15625

    def change(row):
        return [*row[:-1], "41.0"] if row[0] == "444444" else row

    changed = claim.describe(write(tmp_path / "changed.csv", change))
    assert changed["hash"] != claim.describe(one)["hash"]


def test_another_table_is_refused(loader, tmp_path):
    def after_12_epochs(row):
        return [*row[:2], "89.16", *row[3:]] if row[0] == "000012" else row

    with pytest.raises(ValueError, match=r"89.160 % on cifar10.*94.373"):
        loader(write(tmp_path / "old.csv", after_12_epochs))
    with pytest.raises(ValueError, match="has 9 rows"):
        loader(write(tmp_path / "short.csv", count=9))


def test_no_file_is_said_so(loader):
    with pytest.raises(ValueError, match=r"'nb201' is no file.*lib\.data\.nats_bench"):
        claim.describe("nb201")
