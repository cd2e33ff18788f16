"""Searches of chapter 3: closed forms, identities, and a slow loop of the paper's."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.papers.weaknas import search as S
from lib.papers.weaknas.acquisition import shrinking
from lib.papers.weaknas.predictors import Forest, RegressionTree


class Toy:
    """All codes of some digits; neighbours differ in one digit."""

    def __init__(self, options=3, digits=4, rows=None):
        self.codes = list(itertools.product(range(options), repeat=digits))[:rows]
        self.place = {code: i for i, code in enumerate(self.codes)}
        self.options = options

    def features(self):
        eye = torch.eye(self.options)
        return torch.stack([eye[list(code)].flatten() for code in self.codes])

    def neighbours(self, i):
        near = [
            self.place[other]
            for other in self.codes
            if sum(a != b for a, b in zip(self.codes[i], other, strict=True)) == 1
        ]
        return torch.tensor(near, dtype=torch.long)

    def __len__(self):
        return len(self.codes)


class Strict:
    """An oracle that fails where a row is asked twice or the budget is overrun."""

    def __init__(self, values, budget):
        self.values, self.budget, self.asked = values, budget, []

    def query(self, i):
        assert type(i) is int
        assert i not in self.asked, f"row {i} asked twice"
        assert len(self.asked) < self.budget, "one question too many"
        self.asked.append(i)
        return float(self.values[i])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def values(n, seed=0):
    return np.random.default_rng(seed).normal(size=n)


def tree(seed):
    return Forest(3, 3, seed)


SEARCHES = {
    "random": S.random_search,
    "local": S.local_search,
    "evolution": lambda *a, **k: S.regularised_evolution(
        *a, population=5, sample=2, **k
    ),
    "strong": lambda *a, **k: S.strong_predictor(*a, tree, init=6, **k),
    "weak": lambda *a, **k: S.weak_nas(*a, tree, init=5, per_step=4, top=9, **k),
    "weak, random fallback": lambda *a, **k: S.weak_nas(
        *a, tree, init=5, per_step=4, top=5, fallback="random", **k
    ),
    "greedy": lambda *a, **k: S.weak_nas(*a, tree, init=5, per_step=4, top=4, **k),
    "shrinking": lambda *a, **k: S.weak_nas(
        *a, tree, init=5, per_step=4, top=shrinking(40, 4, steps=6), **k
    ),
}


@pytest.fixture(params=SEARCHES, ids=str)
def search(request):
    return SEARCHES[request.param]


# What all searches keep to.


@settings(max_examples=6, deadline=None)
@given(budget=st.integers(1, 27), seed=st.integers(0, 10**6))
@pytest.mark.parametrize("name", SEARCHES)
def test_no_row_is_asked_twice_and_the_count_is_the_budget(name, budget, seed):
    space = Toy(3, 3)
    oracle = Strict(values(27, seed), budget)
    trace = SEARCHES[name](space, oracle, budget=budget, generator=generator(seed))
    assert len(trace) == budget == len(set(trace.order.tolist()))
    assert trace.order.tolist() == oracle.asked
    assert trace.value.tolist() == [float(oracle.values[i]) for i in oracle.asked]
    assert (trace.order.dtype, trace.value.dtype) == (torch.int64, torch.float64)


def test_same_generator_same_rows(search):
    space, y = Toy(), values(81)
    a, b, c = (
        search(space, Strict(y, 30), budget=30, generator=generator(seed)).order
        for seed in (1, 1, 2)
    )
    assert a.equal(b)
    assert not a.equal(c)


def test_the_global_generator_is_left_alone(search):
    torch.manual_seed(0)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    search(Toy(), Strict(values(81), 30), budget=30, generator=generator())
    assert torch.get_rng_state().equal(state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002


def test_until_ends_the_search_and_changes_nothing_before(search):
    space, y = Toy(), values(81)
    whole = search(space, Strict(y, 60), budget=60, generator=generator()).order
    for row in (int(whole[0]), int(whole[37])):
        trace = search(
            space, Strict(y, 60), budget=60, generator=generator(), until=row
        )
        at = whole.tolist().index(row) + 1
        assert trace.order.equal(whole[:at])
        assert trace.queries_to(row) == at
    ends = whole[[40, 20]].tolist()
    trace = search(space, Strict(y, 60), budget=60, generator=generator(), until=ends)
    assert trace.order.equal(whole[:21])


def test_a_budget_beyond_the_space_asks_all_of_it(search):
    y = values(9)
    trace = search(Toy(3, 2), Strict(y, 9), budget=1000, generator=generator())
    assert sorted(trace.order.tolist()) == list(range(9))


@pytest.mark.parametrize("name", ["local", "evolution", "weak", "greedy"])
def test_guided_searches_beat_random_where_the_way_is_easy(name):
    space = Toy(4, 5)
    y = np.array([sum(code) for code in space.codes]) + 0.1 * values(1024)
    lead = []
    for seed in range(4):
        best = [
            run(space, Strict(y, 90), budget=90, generator=generator(seed)).value.max()
            for run in (SEARCHES[name], S.random_search)
        ]
        lead.append(float(best[0] - best[1]))
    assert np.mean(lead) > 0.8


class Refusal(RuntimeError):
    pass


def test_a_refusal_reaches_the_caller(search):
    class Refuses(Strict):
        def query(self, i):
            if len(self.asked) == 12:
                raise Refusal
            return super().query(i)

    with pytest.raises(Refusal):
        search(Toy(), Refuses(values(81), 99), budget=20, generator=generator())


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (dict(budget=0), "budget=0"),
        (dict(budget=3, until=81), "until=81; allowed are rows from 0 to 80"),
        (dict(budget=3, until=[4, -1]), "until="),
    ],
)
def test_bad_budgets_and_ends_are_refused(search, options, word):
    with pytest.raises(ValueError, match=word):
        search(Toy(), Strict(values(81), 9), generator=generator(), **options)


@pytest.mark.parametrize(
    "bad", [dict(init=0), dict(per_step=0), dict(top=0), dict(fallback="worst")]
)
def test_bad_settings_of_weak_nas_are_refused(bad):
    good = dict(init=2, per_step=2, top=4, budget=9, generator=generator())
    with pytest.raises(ValueError, match=f"{next(iter(bad))}="):
        S.weak_nas(Toy(), Strict(values(81), 9), tree, **good | bad)


def test_bad_settings_of_the_rivals_are_refused():
    oracle, rest = Strict(values(81), 9), dict(budget=9, generator=generator())
    with pytest.raises(ValueError, match="population=0"):
        S.regularised_evolution(Toy(), oracle, population=0, sample=1, **rest)
    with pytest.raises(ValueError, match="sample=0"):
        S.regularised_evolution(Toy(), oracle, population=1, sample=0, **rest)
    with pytest.raises(ValueError, match="init=0"):
        S.strong_predictor(Toy(), oracle, tree, init=0, **rest)


# Random search.


@pytest.mark.parametrize(("n", "t"), [(60, 1), (60, 3)])
def test_mean_number_of_random_questions(n, t):
    """(n + 1) / (t + 1) for t best rows of n."""
    space, y = Toy(4, 3, rows=n), np.zeros(n)
    best = range(10, 10 + t)
    shared = generator()
    hits = [
        S.random_search(
            space, Strict(y, n), budget=n, generator=shared, until=best
        ).queries_to(best)
        for _ in range(800)
    ]
    mean, error = np.mean(hits), np.std(hits) / math.sqrt(len(hits))
    assert abs(mean - (n + 1) / (t + 1)) < 3.5 * error


def test_draws_are_uniform_and_do_not_depend_on_their_portions():
    counts = np.zeros((5, 5), dtype=int)
    shared = generator()
    for _ in range(2000):
        for place, row in enumerate(S.draw(range(5), 5, shared)):
            counts[place, row] += 1
    assert abs(counts - 400).max() < 90  # 5 standard deviations
    one, other = generator(), generator()
    whole = S.draw(range(30), 8, one).tolist()
    first = S.draw(range(30), 3, other).tolist()
    rest = [row for row in range(30) if row not in first]
    assert first + S.draw(rest, 5, other).tolist() == whole


# Local search and evolution, against slow loops.


def local_by_hand(space, y, budget, g):
    asked, here = [], None
    while len(asked) < budget:
        if here is None:
            left = [i for i in range(len(y)) if i not in asked]
            here = int(S.draw(left, 1, g)[0])
            asked.append(here)
            continue
        around = space.neighbours(here).tolist()
        for row in S.draw(around, len(around), g).tolist():
            if row not in asked and len(asked) < budget:
                asked.append(row)
            if y[row] > y[here]:
                here = row
                break
        else:
            here = None
    return asked


@pytest.mark.parametrize("seed", range(5))
def test_local_search_equals_a_slow_loop(seed):
    space, y = Toy(3, 3), np.round(values(27, seed))  # some values are equal
    trace = S.local_search(space, Strict(y, 20), budget=20, generator=generator(seed))
    assert trace.order.tolist() == local_by_hand(space, y, 20, generator(seed))


def test_local_search_climbs_a_hill_without_a_restart():
    """On a sum of digits no start is a trap: the top is reached before any restart."""
    space = Toy(3, 4)
    y = np.array([float(sum(code)) for code in space.codes])
    for seed in range(5):
        trace = S.local_search(
            space, Strict(y, 81), budget=81, generator=generator(seed), until=80
        )
        best, seen = -1.0, [trace.order[0]]
        for row in trace.order.tolist():
            near = space.neighbours(row).tolist()
            assert row == trace.order[0] or any(int(s) in near for s in seen)
            seen.append(row)
            best = max(best, y[row])
        assert best == 8


def evolution_by_hand(space, y, population, sample, budget, g):
    alive = S.draw(range(len(y)), population, g).tolist()
    asked = list(alive)
    while len(asked) < budget:
        rivals = [
            alive[int(i)] for i in torch.randint(len(alive), (sample,), generator=g)
        ]
        parent = rivals[0]
        for rival in rivals:
            if y[rival] > y[parent]:
                parent = rival
        child = int(S.draw(space.neighbours(parent).tolist(), 1, g)[0])
        if child not in asked:
            asked.append(child)
        alive.append(child)
        alive.pop(0)
    return asked


@pytest.mark.parametrize("seed", range(5))
def test_evolution_equals_a_slow_loop(seed):
    space, y = Toy(), values(81, seed)
    trace = S.regularised_evolution(
        space,
        Strict(y, 40),
        population=8,
        sample=3,
        budget=40,
        generator=generator(seed),
    )
    assert trace.order.tolist() == evolution_by_hand(
        space, y, 8, 3, 40, generator(seed)
    )


def test_evolution_ends_where_mutations_lead_nowhere_new():
    class Islands(Toy):
        def neighbours(self, i):
            return torch.tensor([i ^ 1])

    y = values(8)
    trace = S.regularised_evolution(
        Islands(2, 3),
        Strict(y, 8),
        population=2,
        sample=2,
        budget=8,
        generator=generator(),
    )
    assert sorted(trace.order.tolist()) == list(range(8))


# WeakNAS: the structure of its algorithm.


def weak_by_hand(space, y, init, per_step, top, budget, g, fallback, make=tree):
    """Steps 1 to 6 of the algorithm in plain loops, with a full sort."""
    n, X = len(y), space.features().numpy()
    asked = [int(i) for i in S.draw(list(range(n)), init, g)]
    step = 0
    while len(asked) < budget:
        seed = (1000 * g.initial_seed() + step) % 2**32
        predictor = make(seed).fit(X[asked], [y[i] for i in asked])
        scores = predictor.predict(X).tolist()
        ranked = sorted(range(n), key=lambda i: (-scores[i], i))
        chosen = [i for i in sorted(ranked[:top]) if i not in asked]
        wanted = min(per_step, budget - len(asked))
        left = [i for i in range(n) if i not in asked]
        if len(chosen) >= wanted:
            rows = S.draw(chosen, wanted, g).tolist()
        elif fallback == "best":
            rows = [i for i in ranked if i in left][:wanted]
        else:
            rows = S.draw(left, wanted, g).tolist()
        asked += rows
        step += 1
    return asked


@settings(max_examples=25, deadline=None)
@given(
    init=st.integers(1, 12),
    per_step=st.integers(1, 9),
    top=st.integers(1, 40),
    budget=st.integers(12, 40),
    seed=st.integers(0, 2**40),
    fallback=st.sampled_from(["best", "random"]),
)
def test_weak_nas_equals_a_slow_loop(init, per_step, top, budget, seed, fallback):
    space, y = Toy(), values(81, seed % 97)
    trace = S.weak_nas(
        space,
        Strict(y, budget),
        tree,
        init=init,
        per_step=per_step,
        top=top,
        budget=budget,
        generator=generator(seed),
        fallback=fallback,
    )
    slow = weak_by_hand(
        space, y, init, per_step, top, budget, generator(seed), fallback
    )
    assert trace.order.tolist() == slow


@pytest.mark.parametrize("seed", range(4))
def test_one_step_is_the_strong_predictor(seed):
    """M = K: one predictor after the draw, and its best rows."""
    space, y = Toy(), values(81, seed)
    common = dict(init=20, budget=50, generator=generator(seed))
    strong = S.strong_predictor(space, Strict(y, 50), tree, **common)
    common["generator"] = generator(seed)
    weak = S.weak_nas(space, Strict(y, 50), tree, per_step=30, top=30, **common)
    assert weak.order[:20].equal(strong.order[:20])
    assert set(weak.order.tolist()) == set(strong.order.tolist())
    common["generator"] = generator(seed)
    sure = S.weak_nas(space, Strict(y, 50), tree, per_step=30, top=1, **common)
    assert sure.order.equal(strong.order)


@pytest.mark.parametrize("budget", [30, 81])
def test_the_whole_space_as_top_set_is_random_search(budget):
    """N = n: the predictor has no say, the same generator asks the same rows."""
    space, y = Toy(), values(81)
    weak = S.weak_nas(
        space,
        Strict(y, budget),
        tree,
        init=7,
        per_step=4,
        top=81,
        budget=budget,
        generator=generator(5),
    )
    chance = S.random_search(
        space, Strict(y, budget), budget=budget, generator=generator(5)
    )
    assert weak.order.equal(chance.order)


def test_strong_predictor_goes_down_its_list():
    space, y = Toy(), values(81)
    trace = S.strong_predictor(
        space, Strict(y, 81), tree, init=20, budget=81, generator=generator(3)
    )
    X, first = space.features().numpy(), trace.order[:20].numpy()
    scores = tree(3000).fit(X[first], y[first]).predict(X)
    rest = trace.order[20:].numpy()
    assert (np.diff(scores[rest]) <= 0).all()


class Fixed:
    """A predictor that was made up beforehand."""

    def __init__(self, scores):
        self.scores = np.asarray(scores, dtype=float)

    def fit(self, X, y):
        return self

    def predict(self, X):
        return self.scores


@pytest.mark.parametrize(
    ("fallback", "inside"), [("best", [77, 76, 75, 74, 73]), ("random", None)]
)
def test_the_fallback_acts_where_the_top_set_is_used_up(fallback, inside):
    """Rows 78 to 80 are on top for good; after them the fallback has to act."""
    space, seen = Toy(), []
    trace = S.weak_nas(
        space,
        Strict(values(81), 20),
        lambda seed: Fixed(range(81)),
        init=1,
        per_step=3,
        top=3,
        budget=9,
        generator=generator(1),
        fallback=fallback,
        watch=lambda step, asked, scores, best: seen.append(best.tolist()),
    )
    assert all(best == [80, 79, 78] for best in seen)
    assert set(trace.order[1:4].tolist()) == {78, 79, 80}
    later = trace.order[4:].tolist()
    if inside:
        assert later == inside
    else:
        assert later != [77, 76, 75, 74, 73]


def test_what_was_asked_counts_towards_the_top_set():
    """With N = 4 and M = 2, two of the four are left at the second step."""
    trace = S.weak_nas(
        Toy(),
        Strict(values(81), 20),
        lambda seed: Fixed(range(81)),
        init=1,
        per_step=2,
        top=4,
        budget=5,
        generator=generator(1),
    )
    assert sorted(trace.order[1:].tolist()) == [77, 78, 79, 80]


def test_every_step_has_a_predictor_of_its_own_on_all_answers():
    seeds, sizes = [], []

    class Noted(RegressionTree):
        def fit(self, X, y):
            sizes.append(len(y))
            return super().fit(X, y)

    def make(seed):
        seeds.append(seed)
        return Noted(2)

    S.weak_nas(
        Toy(),
        Strict(values(81), 17),
        make,
        init=5,
        per_step=4,
        top=9,
        budget=17,
        generator=generator(7),
    )
    assert sizes == [5, 9, 13]
    assert seeds == [7000, 7001, 7002]


def test_a_seed_near_the_end_does_not_overflow():
    """The official code fails there (numpy takes seeds below 2^32)."""
    assert 0 <= S.step_seed(generator(2**32 - 1), 999) < 2**32


def test_a_watcher_changes_nothing():
    runs = [
        S.weak_nas(
            Toy(),
            Strict(values(81), 40),
            tree,
            init=5,
            per_step=5,
            top=9,
            budget=40,
            generator=generator(),
            **extra,
        ).order
        for extra in ({}, dict(watch=lambda *seen: None))
    ]
    assert runs[0].equal(runs[1])


# The best rows.


@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=30),
    st.integers(1, 35),
    st.integers(0, 1000),
)
def test_best_rows_equal_a_sort(scores, count, seed):
    among = np.flatnonzero(np.random.default_rng(seed).random(len(scores)) < 0.7)
    for rows in (None, among):
        inside = range(len(scores)) if rows is None else rows
        slow = sorted(inside, key=lambda i: (-scores[i], i))[:count]
        assert S.best_rows(np.array(scores, float), count, rows).tolist() == slow


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_predictions_that_are_no_numbers_are_refused(bad):
    with pytest.raises(ValueError, match="not finite"):
        S.best_rows(np.array([1.0, bad]), 1)
    with pytest.raises(ValueError, match="count=0"):
        S.best_rows(np.array([1.0, 2.0]), 0)


# The trace.


@pytest.fixture
def trace():
    order = torch.tensor([4, 2, 0, 3])
    return S.SearchTrace(order, torch.tensor([1.0, 3.0, 2.0, 3.0]).double())


def test_trace(trace):
    assert trace.best_so_far().tolist() == [1, 3, 3, 3]
    assert [trace.queries_to(row) for row in (4, 3, 1)] == [1, 4, None]
    assert trace.queries_to([3, 0]) == 3
    assert trace.queries_to([1, 5]) is None


def test_answer(trace):
    """By validation the first of the best; by test the selection no search can make."""
    assert [trace.answer(after=k) for k in (1, 2, 4, 9)] == [4, 2, 2, 2]
    assert trace.answer() == 2
    test = torch.tensor([9.0, 10.0, 1.0, 2.0, 3.0])
    assert trace.answer(by=test) == 0
    assert trace.answer(by=test, after=2) == 4


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (dict(by="test"), "by='test'"),
        (dict(after=0), "after=0"),
        (dict(by=torch.zeros(3)), "one number a row"),
    ],
)
def test_bad_questions_to_a_trace_are_refused(trace, options, word):
    with pytest.raises(ValueError, match=word):
        trace.answer(**options)
