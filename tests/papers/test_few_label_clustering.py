"""k-means with anchors: scikit-learn, closed forms, and all that may go wrong."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from lib.papers.few_label import Clusters, ackmeans, eigen_samples, kmeans
from lib.papers.few_label.clustering import best_members, lloyd, nearest, plus_plus


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def cloud(n=60, d=3, seed=0, dtype=torch.float64):
    return torch.randn(n, d, generator=generator(seed), dtype=dtype)


def inertia(x, centres):
    return float(torch.cdist(x.double(), centres.double()).amin(1).square().sum())


@pytest.mark.parametrize("seed", range(8))
def test_without_anchors_equals_scikit_learn_from_the_same_start(seed):
    x = cloud(200, 4, seed)
    start = plus_plus(x, 7, x[:0], generator(seed))
    ours = lloyd(x, start, iterations=300)
    theirs = KMeans(7, init=start.numpy(), n_init=1, tol=0, max_iter=300).fit(x.numpy())
    np.testing.assert_allclose(ours.centres, theirs.cluster_centers_, atol=1e-10)
    assert (ours.assignment.numpy() == theirs.labels_).all()
    assert ours.inertia == pytest.approx(theirs.inertia_)


def test_the_best_start_counts_and_one_generator_feeds_all():
    x, shared = cloud(100, 2), generator(3)
    starts = [plus_plus(x, 6, x[:0], shared) for _ in range(4)]
    runs = [lloyd(x, start) for start in starts]
    best = min(runs, key=lambda run: run.inertia)
    assert len({round(run.inertia, 6) for run in runs}) > 1
    found = kmeans(x, 6, generator(3), restarts=4)
    assert found.centres.equal(best.centres)
    assert found.assignment.equal(best.assignment)
    assert found.inertia == best.inertia


def test_global_generator_is_used_only_by_default():
    x = cloud()
    torch.manual_seed(0)
    state = torch.get_rng_state()
    kmeans(x, 4, generator())
    assert torch.get_rng_state().equal(state)
    kmeans(x, 4)
    assert not torch.get_rng_state().equal(state)


def slow(x, centres, fixed, iterations):
    """The same in plain loops over points and centres, without repair."""
    centres = [list(c) for c in centres.tolist()]
    points = x.tolist()
    for _ in range(iterations):
        groups = [[] for _ in centres]
        for p in points:
            gaps = [
                sum((a - b) ** 2 for a, b in zip(p, c, strict=True)) for c in centres
            ]
            groups[gaps.index(min(gaps))].append(p)
        for j, group in enumerate(groups):
            if j >= fixed and group:
                centres[j] = [sum(v) / len(group) for v in zip(*group, strict=True)]
    return torch.tensor(centres, dtype=torch.float64)


@pytest.mark.parametrize("fixed", [0, 1, 3, 5])
def test_with_anchors_equals_a_slow_loop(fixed):
    x = cloud(40, 2, 5)
    start = x[:5]  # points: no cluster is empty in the first round
    found = lloyd(x, start, fixed, iterations=6)
    torch.testing.assert_close(found.centres, slow(x, start, fixed, 6))


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(3, 30),
    data=st.data(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_what_always_holds(seed, n, data, dtype):
    x = cloud(n, 2, seed, dtype)
    k = data.draw(st.integers(1, n))
    a = data.draw(st.integers(0, k))
    anchors = x[torch.randperm(n, generator=generator(seed))[:a]]
    found = ackmeans(x, k, anchors, generator(seed))
    assert found.centres[:a].equal(anchors)  # bit by bit
    assert found.centres.shape == (k, 2)
    assert found.centres.dtype == dtype
    gaps = torch.cdist(x.double(), found.centres.double())
    own = gaps.gather(1, found.assignment[:, None])[:, 0]
    torch.testing.assert_close(own, gaps.amin(1), atol=1e-5, rtol=0)
    assert found.inertia == pytest.approx(inertia(x, found.centres), abs=1e-5)
    counts = found.assignment.bincount(minlength=k)
    assert (counts[:a] > 0).all()  # each anchor has at least itself


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 12), a=st.integers(0, 12))
def test_inertia_never_rises_and_anchors_stay(seed, k, a):
    x = torch.cat([cloud(20, 2, seed), cloud(5, 2, seed).repeat(2, 1)])
    start = 4 * cloud(k, 2, seed + 1)  # far out: some are empty
    fixed, last = min(a, k), inertia(x, start)
    for iterations in range(12):
        found = lloyd(x, start, fixed, iterations)
        assert found.centres[:fixed].equal(start[:fixed])
        assert found.inertia <= last + 1e-9
        assert found.inertia == pytest.approx(inertia(x, found.centres))
        last = found.inertia


def test_anchors_that_are_no_points_stay_as_well():
    x = cloud(30, 3, dtype=torch.float32)
    anchors = torch.tensor([[0.1, 1 / 3, 7.0], [100.0, 0, 0]])
    found = ackmeans(x, 5, anchors, generator())
    assert found.centres[:2].equal(anchors)
    assert not (found.assignment == 1).any()  # an empty anchor is not repaired
    assert set(found.assignment.tolist()) >= {2, 3, 4}


def test_an_empty_free_cluster_takes_the_farthest_point():
    x = torch.tensor([[0.0], [1], [2], [30]], dtype=torch.float64)
    start = torch.tensor([[1.0], [500]], dtype=torch.float64)
    found = lloyd(x, start, 0, iterations=1)
    assert found.centres[:, 0].tolist() == [1, 30]  # 30 no longer counts for the first
    assert found.assignment.tolist() == [0, 0, 0, 1]
    found = lloyd(x, start[[0, 1, 1]], 1)
    assert sorted(found.centres[:, 0].tolist())[-1] == 30
    assert set(found.assignment.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("seed", range(6))
def test_repair_equals_scikit_learn(seed):
    x = cloud(50, 2, seed)
    start = torch.cat([x[:3], torch.full((1, 2), 99.0)])
    ours = lloyd(x, start, iterations=100)
    theirs = KMeans(4, init=start.numpy(), n_init=1, tol=0, max_iter=100).fit(x.numpy())
    np.testing.assert_allclose(ours.centres, theirs.cluster_centers_, atol=1e-10)


def test_as_many_clusters_as_points():
    x = cloud(12)
    for a in (0, 4, 12):
        found = ackmeans(x, 12, x[:a], generator())
        assert found.inertia == 0
        assert sorted(found.assignment.tolist()) == list(range(12))


def test_nothing_free():
    x = cloud()
    found = ackmeans(x, 3, x[[7, 1, 30]], generator())
    assert found.centres.equal(x[[7, 1, 30]])
    assert found.assignment.equal(torch.cdist(x, x[[7, 1, 30]]).argmin(1))
    assert eigen_samples(x, found, [7, 1, 30]).tolist() == []


def test_one_cluster_is_the_mean():
    x = cloud()
    found = kmeans(x, 1, generator())
    torch.testing.assert_close(found.centres[0], x.mean(0))
    assert found.inertia == pytest.approx(float(x.var(0, correction=0).sum()) * 60)


def test_duplicates():
    x = torch.ones(6, 2).mul(0.1)
    found = ackmeans(x, 4, x[:1], generator())
    assert found.inertia == 0
    assert found.centres.equal(x[:4])
    assert sorted(eigen_samples(x, found, [0]).tolist()) != [0, 0, 0]
    assert len(set(eigen_samples(x, found, [0]).tolist()) - {0}) == 3
    x = torch.tensor([[0.0], [0], [0], [5], [5], [9]])
    found = kmeans(x, 3, generator())
    assert found.inertia == 0
    assert sorted(found.centres[:, 0].tolist()) == [0, 5, 9]


def test_start_keeps_to_the_squared_distance():
    """Points at 1 and 3 from the anchor: drawn 1 to 9; the anchor's copy never."""
    x = torch.tensor([[0.0], [1], [-3]], dtype=torch.float64)
    shared = generator()
    drawn = [float(plus_plus(x, 2, x[:1], shared)[1]) for _ in range(1000)]
    assert drawn.count(0) == 0
    assert abs(drawn.count(-3) / 1000 - 0.9) < 4 * (0.09 / 1000) ** 0.5
    first = [float(plus_plus(x, 1, x[:0], shared)[0]) for _ in range(900)]
    assert all(abs(first.count(v) - 300) < 60 for v in (0, 1, -3))


def test_start_takes_every_point_once():
    x = cloud(15)
    start = plus_plus(x, 15, x[:2], generator())
    assert start[:2].equal(x[:2])
    assert sorted(start.tolist()) == sorted(x.tolist())


def test_nearest():
    x, centres = cloud(50), cloud(6, seed=1)
    assert nearest(x, centres).equal(torch.cdist(x, centres).argmin(1))


def test_kmeans_of_a_target_set_is_quick():
    x = torch.nn.functional.normalize(cloud(2000, 128, dtype=torch.float32), dim=1)
    start = time.process_time()
    kmeans(x, 10, generator())
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (dict(k=0), "k=0; allowed are 1 to 60"),
        (dict(k=61), "k=61; allowed are 1 to 60"),
        (dict(k=2, anchors=cloud(3)), "k=2; allowed are 3 to 60"),
        (dict(anchors=cloud(3, 2)), r"anchors: shape \(3, 2\) given; .* \(a, 3\)"),
        (dict(anchors=cloud(3)[0]), r"anchors: shape \(3,\)"),
        (dict(x=cloud()[0]), r"x: shape \(3,\)"),
        (dict(x=cloud()[:0]), r"x: shape \(0, 3\)"),
        (dict(x=cloud() / 0), "all finite"),
        (dict(restarts=0), "restarts=0"),
        (dict(iterations=-1), "iterations=-1"),
    ],
)
def test_refusals(bad, message):
    with pytest.raises(ValueError, match=message):
        ackmeans(**dict(x=cloud(), k=4, generator=generator()) | bad)


# Eigen-samples.


def test_eigen_samples_by_hand():
    x = torch.tensor([[0.0], [1], [2], [10], [11], [13]])
    clusters = Clusters(
        torch.tensor([[1.1], [11.4]]), torch.tensor([0] * 3 + [1] * 3), 0
    )
    assert eigen_samples(x, clusters).tolist() == [1, 4]
    # Row 4 has its label, and no centre of its own.
    assert eigen_samples(x, clusters, [4], fixed=0).tolist() == [1, 3]
    # As an anchor it is the first centre, which asks for nothing.
    anchored = Clusters(
        torch.tensor([[11.0], [1.1]]), torch.tensor([1] * 3 + [0] * 3), 0
    )
    assert eigen_samples(x, anchored, [4]).tolist() == [1]


def test_a_cluster_without_unlabelled_members_gives_the_farthest_point():
    x = torch.tensor([[0.0], [1], [2], [10], [11], [13]])
    clusters = Clusters(
        torch.tensor([[1.0], [11.4], [40]]), torch.tensor([0] * 3 + [1] * 3), 0
    )
    assert eigen_samples(x, clusters).tolist() == [1, 4, 5]  # the last cluster is empty
    # All of the first cluster is labelled: two places go to what fits worst.
    assert eigen_samples(x, clusters, [0, 1, 2], fixed=0).tolist() == [4, 5, 3]
    # More centres than rows left: all that is left.
    assert eigen_samples(x, clusters, [0, 1, 2, 5], fixed=0).tolist() == [4, 3]


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 25), data=st.data())
def test_eigen_samples_equal_a_slow_loop(seed, n, data):
    x = cloud(n, 2, seed)
    k = data.draw(st.integers(1, n))
    labelled = torch.randperm(n, generator=generator(seed))[
        : data.draw(st.integers(0, k))
    ].tolist()
    clusters = ackmeans(x, k, x[labelled], generator(seed), restarts=1)
    own = (x - clusters.centres[clusters.assignment]).norm(dim=1).tolist()
    expected = []
    for j in range(len(labelled), k):
        members = [
            i for i in range(n) if clusters.assignment[i] == j and i not in labelled
        ]
        if members:
            expected.append(min(members, key=lambda i: own[i]))
    rest = [i for i in range(n) if i not in labelled + expected]
    missing = k - len(labelled) - len(expected)
    expected += sorted(rest, key=lambda i: -own[i])[:missing]
    found = eigen_samples(x, clusters, torch.tensor(labelled, dtype=torch.long))
    # Two members are equally far from their mean: compare places, not rows.
    middle = len(expected) - max(missing, 0)
    places = clusters.assignment.tolist()
    assert [places[i] for i in found[:middle]] == [places[i] for i in expected[:middle]]
    gaps = [own[i] for i in found.tolist()]
    assert gaps == pytest.approx([own[i] for i in expected])
    assert len(set(found.tolist()) - set(labelled)) == k - len(labelled)


def test_best_members():
    clusters = Clusters(torch.zeros(3, 1), torch.tensor([0, 0, 1, 1, 1]), 0)
    score = torch.tensor([1.0, 2, 3, 5, 4])
    free = torch.tensor([True, True, True, False, True])
    assert best_members(score, clusters, free).tolist() == [1, 4]
    assert best_members(score, clusters, free, fixed=1).tolist() == [4]
    assert best_members(score, clusters, free, fixed=3).tolist() == []
