"""Rules that choose what to label: slow references, closed forms, what all keep to."""

import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.papers.few_label import ORACLES, RULES, ackmeans, eigen_samples, kmeans, select
from lib.papers.few_label.selection import pure_radius


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def cloud(n=40, d=2, seed=0):
    return torch.randn(n, d, generator=generator(seed))


def islands(sizes, gap=100.0, seed=0):
    """Clouds far apart on a line, with their numbers."""
    y = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    x = cloud(len(y), 2, seed)
    x[:, 0] += gap * y
    return x, y


def choose(x, budget, rule, labelled=(), seed=0, labels=None, **options):
    if rule in ORACLES and labels is None:
        labels = torch.arange(len(x)) % 3
    return select(
        x,
        budget,
        rule,
        labelled=labelled,
        labels=labels,
        generator=generator(seed),
        **options,
    )


# What all rules keep to.


@settings(max_examples=15)
@given(data=st.data(), seed=st.integers(0, 10**6), copies=st.booleans())
@pytest.mark.parametrize("rule", RULES)
def test_new_rows_all_different_as_many_as_the_budget(rule, data, seed, copies):
    n = data.draw(st.integers(1, 24))
    x = cloud(n, 2, seed)
    if copies:
        x = x[: max(n // 3, 1)].repeat(6, 1)[:n]
    known = data.draw(st.integers(0, n - 1))
    labelled = torch.randperm(n, generator=generator(seed))[:known]
    budget = data.draw(st.integers(1, n - known))
    rows = choose(x, budget, rule, labelled, seed)
    assert (rows.dtype, rows.shape) == (torch.int64, (budget,))
    assert len(set(rows.tolist()) | set(labelled.tolist())) == budget + known
    assert rows.equal(choose(x, budget, rule, labelled.tolist(), seed))


@pytest.mark.parametrize("rule", RULES)
def test_the_whole_set(rule):
    for x in (cloud(30), torch.zeros(7, 2)):
        rows = choose(x, len(x), rule)
        assert sorted(rows.tolist()) == list(range(len(x)))


@pytest.mark.parametrize("rule", RULES)
def test_the_global_generator_and_the_features_are_left_alone(rule):
    x = cloud()
    before, state = x.clone(), torch.get_rng_state()
    choose(x, 5, rule, [3, 4])
    assert x.equal(before)
    assert torch.get_rng_state().equal(state)


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"random", "balanced"}))
def test_one_row_of_each_island(rule):
    """Also where some have their label already."""
    x, y = islands([12] * 5)
    options = {"classes": 5} if rule == "probcover" else {}
    assert sorted(y[choose(x, 5, rule, **options)].tolist()) == list(range(5))
    if rule != "kmeans":  # which does not heed what is labelled
        rows = choose(x, 3, rule, [0, 25], **options)
        assert sorted(y[rows].tolist()) == [1, 3, 4]


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_is_quick(rule):
    x = torch.nn.functional.normalize(cloud(2000, 128), dim=1)
    start = time.process_time()
    choose(x, 80, rule)
    assert time.process_time() - start < 2.5  # about 0.7 s on an idle machine


# Rule by rule.


def test_random_is_uniform_over_the_unlabelled():
    x, shared, counts = cloud(6), generator(), torch.zeros(6)
    for _ in range(1500):
        rows = select(x, 2, "random", labelled=[4], generator=shared)
        counts[rows] += 1
    assert counts[4] == 0
    assert (counts[[0, 1, 2, 3, 5]] - 600).abs().max() < 100  # 5 standard deviations


def test_balanced_knows_the_labels():
    labels = torch.tensor([7] * 20 + [1] * 9 + [3] * 2)
    x = cloud(31)
    count = labels[choose(x, 6, "balanced", labels=labels)].bincount(minlength=8)
    assert count[[1, 3, 7]].tolist() == [2, 2, 2]
    # Class 3 is used up; four of class 7 are there already.
    rows = choose(x, 6, "balanced", [0, 1, 2, 3], labels=labels)
    assert labels[rows].bincount(minlength=8)[[1, 3, 7]].tolist() == [4, 2, 0]
    tens = torch.arange(31) % 10
    assert len(set(tens[choose(x, 10, "balanced", labels=tens)].tolist())) == 10
    drawn = {tuple(choose(x, 6, "balanced", labels=labels, seed=s)) for s in range(5)}
    assert len(drawn) == 5
    assert {"balanced"} == ORACLES


def test_kmeans_takes_the_medoids():
    x = cloud(50)
    clusters = kmeans(x, 6, generator(2))
    expected = [
        min(
            (clusters.assignment == j).nonzero()[:, 0].tolist(),
            key=lambda i: float((x[i] - clusters.centres[j]).norm()),
        )
        for j in range(6)
    ]
    assert choose(x, 6, "kmeans", seed=2).tolist() == expected


def test_ackmeans_is_one_round_of_the_paper():
    x, labelled = cloud(50), [3, 9]
    clusters = ackmeans(x, 7, x[labelled], generator(2))
    rows = choose(x, 5, "ackmeans", labelled, seed=2)
    assert rows.equal(eigen_samples(x, clusters, labelled))
    assert choose(x, 5, "ackmeans", seed=2).equal(choose(x, 5, "kmeans", seed=2))


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), known=st.integers(0, 3), budget=st.integers(1, 12))
def test_k_centre_equals_a_slow_loop(seed, known, budget):
    x, labelled = cloud(20, 2, seed), list(range(known))
    rows = choose(x, budget, "kcentre", labelled, seed).tolist()
    taken = labelled or rows[:1]
    for _ in range(budget - (known == 0)):
        gaps = [min(float((x[i] - x[j]).norm()) for j in taken) for i in range(20)]
        taken = [*taken, gaps.index(max(gaps))]
    assert taken[known:] == rows


def test_k_centre_on_a_line_halves_the_widest_gap():
    x = torch.linspace(0, 8, 9)[:, None]
    assert choose(x, 4, "kcentre", [0]).tolist() == [8, 4, 2, 6]


def test_typiclust_equals_a_slow_loop():
    x, y = islands([30, 12, 20, 3], seed=3)
    rows = choose(x, 4, "typiclust", [31, 32], neighbours=5)
    assignment = kmeans(x, 6, generator(0)).assignment.tolist()
    groups = [[i for i in range(65) if assignment[i] == c] for c in range(6)]
    labelled, expected = {31, 32}, []

    def spread(i, group):
        gaps = sorted(float((x[i] - x[j]).norm()) for j in group if j != i)
        near = min(5, max(len(group) // 2, 1))
        return sum(gaps[:near]) / near

    for _ in range(4):
        groups.sort(key=len, reverse=True)
        left = [g for g in groups if set(g) - labelled]
        group = min(left, key=lambda g: (len(g) < 6, len(set(g) & labelled)))
        rest = [i for i in group if i not in labelled]
        expected.append(min(rest, key=lambda i: spread(i, group)))
        labelled.add(expected[-1])
    assert rows.tolist() == expected
    assert 3 not in y[rows]  # a cluster of three rows comes last


def test_typiclust_likes_the_dense_spot():
    """A tight knot off the middle of a wide cloud is chosen, not the middle."""
    knot = torch.tensor([2.0, 0]) + 0.01 * cloud(25, seed=1)
    x = torch.cat([2 * cloud(50), knot])
    assert choose(x, 1, "typiclust").item() >= 50
    assert choose(x, 1, "usl").item() >= 50
    assert choose(x, 1, "probcover", delta=0.2).item() >= 50


def test_pure_radius_by_hand_and_by_search():
    x = torch.tensor([[0.0], [1], [2], [10], [14]])
    distance, groups = torch.cdist(x, x), torch.tensor([0, 0, 0, 1, 1])
    # Nearest points of the other group: 10, 9, 8, 8, 12.
    for share, radius in ((1, 8), (0.6, 9), (0.4, 10), (0.2, 12)):
        assert pure_radius(distance, groups, share) == radius
    assert pure_radius(distance, groups * 0) == float("inf")
    x = cloud(80)
    distance = torch.cdist(x, x)
    groups = kmeans(x, 4, generator()).assignment

    def pure(radius):
        balls = [groups[distance[i] < radius] for i in range(80)]
        return sum(len(b.unique()) <= 1 for b in balls) / 80

    radius = pure_radius(distance, groups)
    assert pure(radius) >= 0.95 > pure(radius + 1e-4)
    with pytest.raises(ValueError, match="share=0"):
        pure_radius(distance, groups, 0)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), known=st.integers(0, 3), budget=st.integers(1, 12))
def test_probcover_equals_a_slow_loop(seed, known, budget):
    x, delta = cloud(20, 2, seed), 0.6
    balls = [
        {j for j in range(20) if float((x[i] - x[j]).norm()) < delta or i == j}
        for i in range(20)
    ]
    taken = list(range(known))
    uncovered = set(range(20)).difference(*(balls[i] for i in taken))
    for _ in range(budget):
        uncovered = uncovered or set(range(20)) - set(taken)
        left = [i for i in range(20) if i not in taken]
        best = max(left, key=lambda i: len(balls[i] & uncovered))
        taken.append(best)
        uncovered = uncovered - balls[best]
    rows = choose(x, budget, "probcover", range(known), seed, delta=delta)
    assert rows.tolist() == taken[known:]


def test_probcover_chooses_its_radius():
    x, _ = islands([12] * 4)
    assignment = kmeans(x, 4, generator(5)).assignment
    delta = pure_radius(torch.cdist(x.double(), x.double()), assignment)
    assert 50 < delta < 100
    by_rule = choose(x, 6, "probcover", seed=5, classes=4)
    assert by_rule.equal(choose(x, 6, "probcover", seed=5, delta=delta))


@pytest.mark.parametrize("labelled", [[], [2, 17]])
def test_usl_equals_a_slow_loop(labelled):
    x = cloud(30, 2, 4).double()
    k = len(labelled) + 4
    places = ackmeans(x, k, x[labelled], generator(1)).assignment.tolist()
    gap = [[float((x[i] - x[j]).norm()) for j in range(30)] for i in range(30)]
    dense = [1 / (sum(g * g for g in sorted(row)[1:6]) / 5) for row in gap]
    crowd = [0.0] * 30
    for _ in range(7):
        taken = []
        for c in range(len(labelled), k):
            inside = [i for i in range(30) if places[i] == c]
            taken.append(max(inside, key=lambda i: dense[i] - 2 * crowd[i]))
        crowd = [
            0.8 * crowd[i]
            + 0.2
            * sum(1 / gap[i][j] for j in labelled + taken if places[j] != places[i])
            for i in range(30)
        ]
    options = dict(neighbours=5, weight=2.0, momentum=0.8, rounds=7)
    assert choose(x, 4, "usl", labelled, 1, **options).tolist() == taken
    plain = choose(x, 4, "usl", labelled, 1, neighbours=5, weight=0.0).tolist()
    assert plain != taken  # the regulariser has a say here


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(rule="best"), "rule='best'; allowed are random, balanced"),
        (dict(budget=0), "budget=0; allowed are 1 to 9"),
        (dict(budget=10), "budget=10; allowed are 1 to 9"),
        (dict(labelled=[1, 1]), "labelled: .* different rows"),
        (dict(labelled=[10]), "allowed are different rows from 0 to 9"),
        (dict(labelled=[-1]), "labelled: "),
        (dict(rule="balanced"), "labels: rule 'balanced' is an oracle"),
        (dict(rule="balanced", labels=torch.zeros(9)), r"needs them all, \(10,\)"),
        (dict(features=cloud(10)[0]), r"features: shape \(2,\)"),
        (dict(features=cloud(10) / 0), "all finite"),
    ],
)
def test_refusals(options, message):
    good = dict(features=cloud(10), budget=3, rule="random", labelled=[5])
    with pytest.raises(ValueError, match=message):
        select(**good | options, generator=generator())
