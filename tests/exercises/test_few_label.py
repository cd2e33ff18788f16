"""The graders of chapter 4 meet the solutions, the empty answers and wrong ones."""

import math
from typing import Any

import pytest
import torch

from lib.exercises import few_label as exercises
from lib.exercises.checks import check
from lib.exercises.few_label import Standing
from lib.metrics import paired_interval
from lib.metrics.clustering import nmi
from lib.papers.few_label import ackmeans, select
from lib.papers.few_label.clustering import lloyd
from tests.exercises.graders import Book, Exercise, Graders

BOOK = Book("04_few_label", lambda: {"table": exercises.made_sweep(7)})


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put made-up accuracies and few seeds in the place of the measured ones."""
    monkeypatch.setattr(exercises, "sweep", lambda _="2000": exercises.made_sweep(7))
    few = {"shown": range(6), "hidden": range(100, 106)}
    monkeypatch.setattr(exercises, "SEEDS", few)
    monkeypatch.setattr(exercises, "best_rule", stored_rule)
    stored_rule("shown")  # scikit-learn draws a number when it is first used


RULES_OF_TESTS: dict[str, tuple[str, tuple[float, ...]]] = {}


def stored_rule(world: exercises.World) -> tuple[str, tuple[float, ...]]:
    """Return k-means on the few seeds, once for all tests."""
    if world not in RULES_OF_TESTS:

        def medoids(x: torch.Tensor, budget: int, generator: Any) -> torch.Tensor:
            return select(x, budget, "kmeans", generator=generator)

        RULES_OF_TESTS[world] = "kmeans", exercises.scores(medoids, world)
    return RULES_OF_TESTS[world]


EMPTY = {
    1: "the first function is still empty",
    2: "weight has not moved",
    3: "the keys of a step are among its negatives",
    4: "the function is still empty",
    5: "the function is still empty",
    6: "the function is still empty",
}

LERP = "old.lerp_(new, 1 - self.decay)"
PUSH = "        self.queue.push(keys)  # only now: no key is its query's negative\n"
LOSS = "        loss = info_nce(query, keys, self.queue.negatives())\n"
UPDATE = "        self.ema.update(self.query)\n"
HOLD = """        if not (members == j).any():
                members[distance.argmax()] = j
                distance[distance.argmax()] = 0  # the next one takes another point
"""
RETURN = "return few_label.eigen_samples(z, clusters)"
SPANS = "paired_interval(table[best], table[rows])"

# Number of the exercise; what is replaced in its solution, by what; words of the hint.
WRONG = [
    (1, "return queue + 1 ", "return queue ", "own key is a class as well"),
    (1, "return queue + 1 ", "return queue + batch ", "other pictures in the batch"),
    (1, "return queue + 1 ", "return queue + batch - 1 ", "other pictures in the"),
    (1, "return queue + 1 ", "return batch ", "negatives come from the queue"),
    (1, "return queue + 1 ", "return 2 * batch - 1 ", "there is a queue"),
    (1, "return queue + 1 ", "return 2 ", "not many choices between two"),
    (1, "return queue + 1 ", "return queue + 2 ", "other classes than 65,538"),
    (1, "return queue + 1 ", "return [queue] ", "gives a number, not list"),
    (1, "math.log(queue + 1)", "math.log(queue)", "own key is one of the classes"),
    (1, "math.log(queue + 1)", "math.log(queue + batch)", "are no negatives here"),
    (1, "math.log(queue + 1)", "math.log2(queue + 1)", "natural logarithm"),
    (1, "math.log(queue + 1)", "math.log10(queue + 1)", "natural logarithm"),
    (1, "math.log(queue + 1)", "-math.log(queue + 1)", "is not negative"),
    (1, "math.log(queue + 1)", "1 / (queue + 1)", "the probability of the key"),
    (1, "math.log(queue + 1)", "batch * math.log(queue + 1)", "not a sum"),
    (1, "math.log(queue + 1)", "math.log(batch)", "the queue counts"),
    (1, "math.log(queue + 1)", "round(math.log(queue + 1), 1)", "is not 11.1"),
    (1, "return math.log", "math.log", "the second function is still empty"),
    (1, "2 * batch if symmetric else batch)", "batch)", "twice as many keys"),
    (1, "2 * batch if symmetric else batch)", "2 * batch)", "one view alone"),
    (1, "if symmetric else batch)", "if symmetric else batch) - 1", "still among"),
    (1, "if symmetric else batch)", "if symmetric else batch) + 1", "its own loss"),
    (1, "return queue // (", "return queue; (", "as many keys as the batch"),
    (1, "return queue // (", "return queue * (", "the sooner a key"),
    (1, "queue // (2", "7 // (2", "does not stay for 0 losses"),
    (2, LERP, "old.lerp_(new, self.decay)", "what the *old* average keeps"),
    (2, LERP, "old.copy_(new)", "the model's own now"),
    (2, LERP, "pass", "weight has not moved"),
    (2, LERP, "old.add_(new, alpha=1 - self.decay)", "is kept whole"),
    (2, LERP, "old.lerp_(new, self.decay - 1)", "turn the sign"),
    (2, LERP, "old.mul_(self.decay)", "nothing of the model comes in"),
    (2, LERP, "old.lerp_(new, 0.5)", "this is the plain mean"),
    (2, LERP, "old.lerp_(new, 0.9)" + "; old.zero_()", "weight is wrong"),
    (
        2,
        LERP,
        LERP + "\n        for b, c in zip(self.module.buffers(), model.buffers()):"
        "\n            b.copy_(c)",
        "the buffer mean was copied",
    ),
    (
        2,
        LERP,
        LERP + "\n        for b, c in zip(self.module.buffers(), model.buffers()):"
        "\n            b.copy_(0.9 * b + 0.1 * c)",
        "the buffer mean was changed",
    ),
    (2, "    @torch.no_grad()\n", "", "holds on to a graph"),
    (2, LERP, LERP + "; new.copy_(old)", "the model itself was changed"),
    (2, LERP, LERP + "; new.mul_(1.0).add_(1e-6)", "the model itself was changed"),
    (2, LERP, "old.copy_(old.float().lerp(new.float(), 1 - self.decay))", "float32"),
    (2, "for old", "for old, new in list(pairs)[:1]: #", "bias has not moved"),
    (3, 'buffers="keep"', 'buffers="copy"', "its buffers were copied"),
    (3, LOSS + PUSH, PUSH + LOSS, "are among its negatives"),
    (
        3,
        LOSS + PUSH,
        PUSH + LOSS.replace("negatives()", "keys.clone()"),
        "stored before the logits",
    ),
    (3, "self.queue.negatives()", "self.queue.keys", "take `negatives()`, a copy"),
    (3, PUSH, PUSH + UPDATE, "with seed 0 the first three losses are"),
    (3, PUSH, "", "the negatives stay the random ones"),
    (3, "push(keys)", "push(query.detach())", "queries are stored"),
    (3, UPDATE, "", "the key encoder never follows"),
    (3, "keys = F.normalize(self.ema.module(view_k), dim=1)", "keys = 1", "raised"),
    (3, "F.normalize(self.query(view_q), dim=1)", "self.query(view_q)", "three losses"),
    (3, "negatives())", "negatives(), 0.07)", "with seed 0 the first three"),
    (3, "return loss", "return", "forward is still empty"),
    (4, "raise ValueError(", "print(", "raise ValueError"),
    (4, "for j in range(len(anchors), len", "for j in range(0, len", "an anchor moved"),
    (4, "return centres", "return centres.flip(0)", "with 0 anchors the free"),
    (4, "return centres", "return centres.roll(-len(anchors), 0)", "come first"),
    (4, "i == iterations", "i == min(1, iterations)", "one round is not enough"),
    (4, "centres[j] = x[members == j].mean(0)", "pass", "have not moved"),
    (
        4,
        "return centres, mine",
        "exercises.lloyd(x, centres, 0); a = len(anchors)\n"
        "    both = torch.cat([anchors, start[a:]])\n"
        "    moved = exercises.lloyd(x, both, 0, 99).centres\n"
        "    return torch.cat([anchors, moved[a:]]), mine",
        "put back at the end",
    ),
    (
        4,
        "return centres, mine",
        "free = start[len(anchors):]\n"
        "    if len(free): free = exercises.lloyd(x, free, 0, 99).centres\n"
        "    return torch.cat([anchors, free]), mine",
        "pull at no free centre",
    ),
    (4, "return centres,", "return centres + (len(anchors) == 0),", "0 anchors"),
    (4, "mine, distance", "mine * 0, distance", "its nearest centre"),
    (4, "distance.square().sum()", "distance.sum()", "adds squared distances"),
    (4, "distance.square().sum()", "distance.square().mean()", "not a mean"),
    (4, "distance.square().sum()", "7.0", "the inertia is wrong"),
    (4, "distance.square().sum()", "(i == 100) + i", "the inertia is wrong"),
    (
        4,
        "distance.square().sum()",
        "distance.square().sum() + 999 * (iterations == 3)",
        "the inertia rises",
    ),
    (4, "range(iterations + 1)", "range(iterations)", "0 rounds: return the start's"),
    (
        4,
        "distance.square().sum()",
        "distance.square().sum() if i else None",
        "0 rounds",
    ),
    (4, HOLD, "        pass\n", "is wasted"),
    (
        4,
        HOLD + "        for j in range(len(anchors), len(centres)):\n"
        "            if (members == j).any():\n",
        "        if True:\n",
        "nan",
    ),
    (
        4,
        "torch.cat([anchors, start[len(anchors) :]])",
        "torch.cat([anchors / 3 * 3, start[len(anchors) :]])",
        "an anchor moved",
    ),
    (4, "return centres, mine, d", "return centres, mine  # ", "return three things"),
    (4, "return centres, mine,", "return centres, mine[:3],", "a tensor of shape"),
    (5, '"best": best', '"first": best', "no 'best'"),
    (5, "sum(table[rows])", "table[rows][0] * 0 + rows", "take means"),
    (5, "key=lambda rows: sum(table[rows])", "key=lambda r: -r", "take means"),
    (5, '"best": best', '"best": 0.5', "which is no row"),
    (5, "if rows != best]", "]", "every row but the best"),
    (5, SPANS, "paired_interval(table[rows], table[best])", "best minus the other"),
    (5, SPANS, "exercises._unpaired(table[best], table[rows])", "pair the accuracies"),
    (5, SPANS, f"exercises._normal({SPANS})", "Student's quantile"),
    (5, "(i.mean, i.low, i.high)", "(i.low, i.high)", "mean, low and high"),
    (5, "(i.mean, i.low, i.high)", "i.mean", "mean, low and high"),
    (5, "(i.mean, i.low, i.high)", "(i.mean, i.mean, i.high)", "the mean is right"),
    (5, "(i.mean, i.low, i.high)", "(0, i.low, i.high)", "not those of the paired 95"),
    (5, "if i.low > 0]", "]", "holds 0"),
    (5, "if i.low > 0]", "if i.mean > 0]", "holds 0"),
    (5, "if i.low > 0]", "if i.low > 99]", "allows the claim"),
    (5, "if i.low > 0]", "if i.low > 0] + [best]", "better than itself"),
    (6, RETURN, "return clusters", "return the rows, not Clusters"),
    (6, RETURN, "return z[:budget, 0]", "return numbers of rows, not"),
    (6, RETURN, "return clusters.assignment", "10 rows are wanted, not a shape of"),
    (6, RETURN, "return list(range(590, 599)) + [600]", "rows go from 0 to 599"),
    (6, RETURN, "return [7] * budget", "a row is chosen twice"),
    (6, RETURN, "return torch.randperm(600)[:budget]", "draw from it alone"),
    (6, "generator=generator", "generator=None", "draw from it alone"),
    (6, RETURN, "return z[:, 0].argsort()[:budget]", "behind it"),
    (6, RETURN, "return (-z @ z.mean(0)).argsort()[:budget]", "behind it"),
]

# Other ways to be right.
RIGHT = [
    (1, "math.log(queue + 1)", "torch.tensor(queue + 1.0).double().log()"),
    (1, "queue // (", "queue / ("),
    (2, LERP, "old.copy_(self.decay * old + (1 - self.decay) * new)"),
    (2, LERP, "old.data = self.decay * old.data + (1 - self.decay) * new.data"),
    (3, "negatives())", "keys.clone(), temperature=0.2)"),
    (3, "        with torch.no_grad():\n    ", "        if True:\n    "),
    (4, "distance.square().sum()", "float(distance.square().sum())"),
    (4, "i == iterations or mine.equal(before)", "i == iterations"),
    (4, "                distance[distance.argmax()] = 0", "                pass"),
    (5, "(i.mean, i.low, i.high)", "[round(v, 2) for v in (i.mean, i.low, i.high)]"),
    (
        5,
        "[rows for rows, i in spans.items() if i.low > 0]",
        "{rows for rows, i in spans.items() if i.low > 0}",
    ),
    (6, RETURN, "return few_label.eigen_samples(z, clusters).tolist()"),
    (6, "size.sqrt()", "size"),
]

SEEN = "(table[0] in (exercises.made_sweep(0)[0], exercises.made_sweep(7)[0]))"

# Answers that the visible check cannot tell from right ones.
FOUND_BY_HIDDEN = [
    (1, "return queue + 1 ", "return queue + (queue != 40) "),
    (2, LERP, LERP + " if len(old) != 4 else None"),
    (4, "iterations=100):", "iterations=100):\n    iterations *= len(x) != 300"),
    (5, "if i.low > 0]", f"if i.low > 99 * (1 - {SEEN})]"),
]


@pytest.mark.usefixtures("quick")
class TestGraders(Graders):
    book = BOOK
    points = (2, 2, 3, 3, 3, 5)
    empty, wrong, right, found = EMPTY, WRONG, RIGHT, FOUND_BY_HIDDEN
    standing = " to "
    fewer = ("== 20", "== 6")
    secret = ("lerp_", "log(queue", "only now", "argmax", "i.low", "svd")
    open_questions = 6
    printed = " of 128: "


# What the checks compare with --------------------------------------------------------


def test_runs_repeat_and_every_slip_changes_them() -> None:
    right = exercises.contrast_run(exercises._Reference, 3)
    again = exercises.contrast_run(exercises._Reference, 3)
    assert torch.equal(right.losses, again.losses)
    assert torch.equal(right.means, again.means)
    found = [exercises.contrast_run(slip, 3).losses for slip, _ in exercises.SLIPS]
    for i, losses in enumerate(found):
        for other in [right.losses, *found[:i]]:
            assert (losses - other).abs().max() > 1e-3
    copied = exercises.contrast_run(exercises._Copied, 3)
    assert torch.equal(copied.losses, right.losses)  # no loss shows it
    assert (copied.means - right.means).abs().max() > 1e-3


def test_a_model_with_two_weights_has_two_buffers() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (exercises.TwoWeights(generator, torch.float64) for _ in range(2))
    assert [name for name, _ in a.named_parameters()] == ["weight", "bias"]
    for name, value in a.state_dict().items():
        assert not torch.equal(value, b.state_dict()[name])


def test_the_solution_of_exercise_4_is_the_library_s() -> None:
    exercise = Exercise(BOOK, 4)
    exec(exercise.solution, exercise.space)
    generator = torch.Generator().manual_seed(3)
    for a in (0, 2, 5):
        x = exercises.blobs(generator)
        anchors, start = (
            exercises.blobs(generator, a),
            exercises.starts(x, 7, generator),
        )
        mine = exercise.space["ackmeans"](x, anchors, start)
        right = lloyd(x, torch.cat([anchors, start[a:]]), a, 100)
        assert torch.allclose(mine[0], right.centres)
        assert torch.equal(mine[1], right.assignment)
        assert float(mine[2]) == pytest.approx(right.inertia)
        assert torch.equal(ackmeans(x, 7, anchors, generator).centres[:a], anchors)


# The sweep ---------------------------------------------------------------------------


def measured(seeds: dict[str, float]) -> dict[str, Any]:
    """Return claims in the form of `claims.json`, the accuracies all different."""

    def arms(base: float) -> dict[str, dict[str, float]]:
        names = [f"{p}/{r}" for p in (2000, 300) for r in exercises.ROWS]
        names.remove("300/0")
        return {
            name: {"probe_1": base + i / 1000, "nmi": 0.5}
            for i, name in enumerate(names)
        }

    found = {seed: {"arms": arms(base)} for seed, base in seeds.items()}
    return {"data": {"sweep": {"seeds": found}}}


def test_a_sweep_is_read_by_pool_and_by_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    claims = measured({"10": 0.3, "9": 0.2})
    monkeypatch.setattr(exercises, "load_claims", lambda _: claims)
    large, small = exercises.sweep("2000"), exercises.sweep("300")
    assert list(large) == list(small) == list(exercises.ROWS)
    assert large[0] == small[0] == [20.0, 30.0]  # seed 9 comes before 10
    assert large[64] == [20.4, 30.4]
    assert small[1] == [20.7, 30.7]


@pytest.mark.parametrize("claims", [None, {"data": {}}, {"data": {"world": {}}}])
def test_a_sweep_that_is_not_measured_is_an_error(
    monkeypatch: pytest.MonkeyPatch, claims: Any
) -> None:
    monkeypatch.setattr(exercises, "load_claims", lambda _: claims)
    with pytest.raises(ValueError, match="not measured yet"):
        exercises.sweep()


def test_the_made_up_table_allows_some_claims_and_forbids_others() -> None:
    for seed in (0, 7):
        table = exercises.made_sweep(seed)
        best = max(table, key=lambda rows: sum(table[rows]))
        lows = [paired_interval(table[best], table[r]).low for r in table if r != best]
        assert min(lows) < 0 < max(lows)


@check(points=1)
def check_reading(got: Any, table: exercises.Table) -> None:
    exercises._check_reading(got, table, "the table")


def reading(table: exercises.Table, claims: list[int]) -> dict[str, Any]:
    best = max(table, key=lambda rows: sum(table[rows]))
    spans = {r: paired_interval(table[best], table[r]) for r in table if r != best}
    against = {r: (i.mean, i.low, i.high) for r, i in spans.items()}
    return {"best": best, "against": against, "claims": claims}


def test_a_claim_stands_or_falls_with_its_interval() -> None:
    table = {0: [30.0, 34.0, 38.0], 32: [35.0, 39.2, 43.1], 64: [30.0, 40.0, 48.0]}
    for claims in ([], [0], [64], [0, 64]):  # 32 is best? 39.1 against 39.33
        result = check_reading(reading(table, claims), table)
        assert not result.passed or claims == []
    table[64] = [30.0, 40.0, 43.0]
    for claims in ([], [0], [64], [0, 64]):
        result = check_reading(reading(table, claims), table)
        assert result.passed == (claims == [0])
    assert "allows the claim" in check_reading(reading(table, []), table).hint
    assert "holds 0" in check_reading(reading(table, [0, 64]), table).hint


def test_equal_means_are_equally_right() -> None:
    table = {0: [30.0, 31.0, 32.0], 64: [32.0, 31.0, 30.0]}
    for best, other in ((0, 64), (64, 0)):
        i = paired_interval(table[best], table[other])
        against = {other: (i.mean, i.low, i.high)}
        got = {"best": best, "against": against, "claims": []}
        assert check_reading(got, table).passed


# The open exercise -------------------------------------------------------------------


def test_features_are_unit_rows_and_differ_from_seed_to_seed() -> None:
    (x, y), (test_x, test_y) = exercises.made_features(0, 0.8)
    assert x.shape == test_x.shape == (600, 32)
    assert torch.allclose(x.norm(dim=1), torch.ones(600), atol=1e-5)
    assert len(y.unique()) == len(test_y.unique()) == exercises.CLASSES
    assert not torch.equal(x, test_x)
    again = exercises.made_features(0, 0.8)[0]
    assert torch.equal(again[0], x)
    assert torch.equal(again[1], y)
    assert not torch.equal(exercises.made_features(1, 0.8)[0][0], x)


def test_a_wider_spread_makes_worse_clusters() -> None:
    found = []
    for spread in (0.2, 1.2):
        (x, y), _ = exercises.made_features(5, spread)
        groups = ackmeans(x, 10, None, torch.Generator().manual_seed(0)).assignment
        found.append(nmi(y, groups))
    assert found[0] > found[1] + 0.1


def test_an_entry_sees_features_alone_and_cannot_change_them() -> None:
    (x, _), _ = exercises.made_features(0, 0.8)
    kept = x.clone()

    def greedy(*given: Any) -> list[int]:
        features, budget, generator = given
        assert budget == exercises.BUDGET == 10
        assert isinstance(generator, torch.Generator)
        features.zero_()
        return list(range(budget))

    assert exercises.chosen(greedy, x, 0).tolist() == list(range(10))
    assert torch.equal(x, kept)


def test_hints_of_exercise_5_give_no_number_away() -> None:
    table = exercises.made_sweep(0)
    best = max(table, key=lambda rows: sum(table[rows]))
    others = [rows for rows in table if rows != best]
    i = paired_interval(table[best], table[others[0]])
    numbers = [f"{abs(value):.1f}" for value in (i.mean, i.low, i.high)]
    for answer in ((i.mean, 0.0, 0.0), (0.0, i.low, i.high), (0.0, 0.0, 0.0)):
        right = reading(table, [])
        against = right["against"] | {others[0]: answer}
        hint = check_reading(right | {"against": against}, table).hint
        assert not any(number in hint for number in numbers)
    for claims in ([], others):
        hint = check_reading(reading(table, claims), table).hint
        assert "the interval" in hint
        assert "[" not in hint


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("stored", "words", "points"),
    [
        ((0.0, 0.1, 0.0, 0.2, 0.0, 0.1), "ahead of it, which is worth", 5),
        ((99.0, 99.1, 99.0, 99.2, 99.0, 99.1), "behind it", 0),
        ((10.0, 90.0, 40.0, 60.0, 20.0, 80.0), "level with it", 3),
    ],
)
def test_an_entry_that_is_ahead_earns_more_than_one_that_is_level(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    stored: tuple[float, ...],
    words: str,
    points: int,
) -> None:
    monkeypatch.setattr(exercises, "best_rule", lambda _: ("usl", stored))

    def entry(x: Any, budget: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randperm(len(x), generator=generator)[:budget]

    result = exercises.check_choice(entry)
    assert (result.passed, result.points) == (points > 0, points)
    first, *rest = capsys.readouterr().out.splitlines()
    assert f"to usl: {words}" in first
    assert rest == ([f"passed: {points} points"] if points else [])


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("rule", ["kmeans", "random"])
def test_a_rule_of_the_library_is_not_ahead(rule: str) -> None:
    result = exercises.check_choice(
        lambda x, budget, generator: select(x, budget, rule, generator=generator)
    )
    assert result.points == (3 if rule == "kmeans" else 0)


def test_the_best_rule_has_the_highest_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exercises, "SEEDS", {"shown": range(2), "hidden": range(2)})
    monkeypatch.setattr(exercises, "RIVALS", ["random", "kmeans"])
    rule, found = exercises.best_rule.__wrapped__("shown")
    assert len(found) == 2

    def chance(x: torch.Tensor, budget: int, generator: Any) -> torch.Tensor:
        return select(x, budget, "random", generator=generator)

    assert rule == "kmeans"
    assert sum(found) > sum(exercises.scores(chance, "shown"))


def test_rivals_know_no_label() -> None:
    assert "balanced" not in exercises.RIVALS
    assert {"random", "kmeans", "typiclust", "usl"} <= set(exercises.RIVALS)


def test_a_standing_is_one_line() -> None:
    ahead = paired_interval((61, 62, 63), (60, 61.2, 62))
    standing = Standing((61.0, 62.0, 63.0), "usl", ahead)
    assert str(standing) == (
        "62.0 %, +0.9 [+0.6, +1.2] to usl: ahead of it, which is worth writing down"
    )


def test_the_numbers_of_exercise_1_are_those_of_moco_v2() -> None:
    exercise = Exercise(BOOK, 1)
    exec(exercise.solution, exercise.space)
    assert exercise.space["classes"](256, 65536) == 65537
    assert round(exercise.space["chance"](256, 65536), 2) == 11.09
    assert exercise.space["steps_kept"](256, 65536, False) == 256
    assert math.log(0.5) / math.log(0.999) == pytest.approx(692.8, abs=0.05)
