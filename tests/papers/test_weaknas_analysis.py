"""What a step of WeakNAS knew, against counting by hand and SciPy."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from lib.papers.weaknas.analysis import Step, Steps, inspect
from lib.papers.weaknas.predictors import Forest
from lib.papers.weaknas.search import weak_nas

CODES = torch.tensor(list(itertools.product(range(4), repeat=4)))


class Space:
    def features(self):
        return torch.nn.functional.one_hot(CODES, 4).flatten(1).float()

    def neighbours(self, i):
        raise AssertionError("WeakNAS looks at no neighbour")

    def __len__(self):
        return len(CODES)


class Table:
    def __init__(self, values):
        self.query = values.__getitem__


@pytest.fixture
def truth():
    noise = np.random.default_rng(0).normal(size=len(CODES))
    return (CODES @ torch.tensor([4, 3, 2, 1])).numpy() + 0.3 * noise


@pytest.fixture
def watched(truth):
    steps = Steps()
    trace = weak_nas(
        Space(),
        Table(truth),
        lambda seed: Forest(8, 5, seed),
        init=10,
        per_step=10,
        top=30,
        budget=80,
        generator=torch.Generator().manual_seed(1),
        watch=steps,
    )
    return steps, trace


def test_steps_keep_what_the_search_saw(watched):
    steps, trace = watched
    assert [step.number for step in steps] == list(range(7))
    assert len(steps) == 7
    for step in steps:
        assert step.asked.equal(trace.order[: 10 + 10 * step.number])
        assert (step.scores.shape, step.top.shape) == ((256,), (30,))
        assert step.scores[step.top].diff().max() <= 0
        assert step.scores[step.top[-1]] >= step.scores.sort().values[-30]


def test_steps_keep_copies():
    steps, arrays = Steps(), [np.zeros(3, int), np.zeros(3), np.zeros(3, int)]
    steps(0, *arrays)
    for array in arrays:
        array += 1
    assert not any(t.any() for t in (steps[0].asked, steps[0].scores, steps[0].top))


def test_inspection_by_hand(watched, truth):
    for step in watched[0]:
        found = inspect(step, truth, best=20)
        summit = sorted(range(256), key=lambda i: -truth[i])[:20]
        top, asked = step.top.tolist(), step.asked.tolist()
        right = [row for row in top if row in summit]
        fresh = [row for row in top if row not in asked]
        assert found.hits == len(right)
        assert found.chance == pytest.approx(len(right) / 30)
        both = [row for row in fresh if row in summit]
        assert found.fresh_chance == pytest.approx(
            len(both) / len(fresh) if fresh else 0
        )
        scores = step.scores.numpy()
        tau = kendalltau(scores[summit], truth[summit]).statistic
        assert found.tau == pytest.approx(tau, abs=1e-12)
        assert found.errors.tolist() == pytest.approx(
            sorted(scores[row] - truth[row] for row in top)
        )
        assert found.peak == (scores.max(), truth[scores.argmax()])
        assert (found.step, found.queries) == (step.number, len(asked))
        assert found.best_so_far == max(truth[row] for row in asked)


def test_a_search_finds_its_way_to_the_top(watched, truth):
    first, *_, last = (inspect(step, truth, best=20) for step in watched[0])
    assert last.chance > first.chance
    assert last.tau > first.tau


def test_a_perfect_and_a_useless_predictor():
    y = np.arange(100.0)
    top = torch.arange(99, 69, -1)
    asked = torch.tensor([0, 99])
    perfect = inspect(Step(0, asked, torch.from_numpy(y), top), y)
    assert (perfect.hits, perfect.chance, perfect.tau) == (30, 1, 1)
    assert not perfect.errors.any()
    flat = inspect(Step(0, asked, torch.ones(100), torch.arange(30)), y)
    assert (flat.hits, flat.chance) == (0, 0)
    assert np.isnan(flat.tau)


def test_a_top_set_that_was_asked_whole_leaves_nothing_to_draw():
    step = Step(0, torch.arange(4), torch.arange(4.0), torch.tensor([3, 2]))
    found = inspect(step, np.arange(4.0), best=2)
    assert (found.chance, found.fresh_chance) == (1, 0)


@pytest.mark.parametrize(
    ("truth", "best", "word"),
    [
        (np.zeros(5), 2, r"truth: shape \(5,\)"),
        (np.zeros(4), 1, "best=1; allowed is 2 to 4"),
        (np.zeros(4), 5, "best=5; allowed is 2 to 4"),
    ],
)
def test_bad_truth_is_refused(truth, best, word):
    step = Step(0, torch.arange(2), torch.arange(4.0), torch.tensor([3, 2]))
    with pytest.raises(ValueError, match=word):
        inspect(step, truth, best)
