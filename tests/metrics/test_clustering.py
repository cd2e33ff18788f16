"""Clustering measures against scikit-learn, slow loops and closed forms."""

import itertools
import math
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as theirs
from sklearn.cluster import KMeans
from sklearn.neighbors import KNeighborsClassifier

from lib.metrics import (
    ari,
    clustering_report,
    davies_bouldin,
    hungarian_accuracy,
    knn_accuracy,
    nmi,
    purity,
    silhouette,
)


@st.composite
def pairs(draw, most=4):
    n = draw(st.integers(1, 30))
    rows = st.lists(st.integers(-1, most), min_size=n, max_size=n)
    return draw(rows), draw(rows)


def blobs(n=60, classes=3, spread=0.3, seed=0):
    draw = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return draw.normal(size=(classes, 5))[y] + spread * draw.normal(size=(n, 5)), y


@given(pairs())
def test_purity_equals_a_slow_loop(case):
    labels, clusters = case
    right = 0
    for c in set(clusters):
        inside = [y for y, d in zip(labels, clusters, strict=True) if d == c]
        right += max(inside.count(y) for y in inside)
    assert purity(labels, clusters) == pytest.approx(right / len(labels))
    assert purity(torch.tensor(labels), np.array(clusters)) == purity(*case)


@given(pairs(most=1))
def test_hungarian_accuracy_equals_the_best_of_all_matchings(case):
    labels, clusters = case
    classes = sorted(set(labels)) + [None] * len(set(clusters))
    numbers = sorted(set(clusters))
    best = max(
        sum(
            dict(zip(numbers, names, strict=False))[c] == y
            for y, c in zip(labels, clusters, strict=True)
        )
        for names in itertools.permutations(classes, len(numbers))
    )
    assert hungarian_accuracy(labels, clusters) == pytest.approx(best / len(labels))
    assert hungarian_accuracy(labels, clusters) <= purity(labels, clusters) + 1e-12


@given(pairs())
def test_nmi_and_ari_equal_scikit_learn(case):
    labels, clusters = case
    expected = theirs.normalized_mutual_info_score(labels, clusters)
    assert nmi(labels, clusters) == pytest.approx(expected)
    assert ari(labels, clusters) == pytest.approx(
        theirs.adjusted_rand_score(labels, clusters)
    )


@given(pairs(), st.permutations(range(6)))
def test_names_of_clusters_do_not_count(case, names):
    labels, clusters = case
    renamed = [names[c + 1] for c in clusters]
    for measure in (purity, hungarian_accuracy, nmi, ari):
        assert measure(labels, renamed) == pytest.approx(measure(labels, clusters))


def test_partitions_by_hand():
    labels = [0, 0, 0, 1, 1, 1]
    assert [
        m(labels, [5, 5, 5, 2, 2, 2]) for m in (purity, hungarian_accuracy, nmi, ari)
    ] == pytest.approx([1, 1, 1, 1])
    alone, one = range(6), [0] * 6
    assert purity(labels, alone) == 1
    assert hungarian_accuracy(labels, alone) == pytest.approx(2 / 6)
    assert purity(labels, one) == hungarian_accuracy(labels, one) == 0.5
    assert nmi(labels, one) == ari(labels, one) == pytest.approx(0)
    # H(Y) = ln 2, H(C) = ln 6, I = H(Y).
    assert nmi(labels, alone) == pytest.approx(2 * math.log(2) / math.log(12))


@settings(max_examples=15)
@given(st.integers(0, 100), st.integers(1, 11), st.integers(2, 5))
def test_knn_accuracy_equals_scikit_learn(seed, k, classes):
    draw = np.random.default_rng(seed)
    x, y = draw.normal(size=(12, 3)), draw.integers(0, classes, 12)
    right = 0
    for i in range(12):
        rest = np.arange(12) != i
        knn = KNeighborsClassifier(k, metric="cosine").fit(x[rest], y[rest])
        right += int(knn.predict(x[i : i + 1])[0] == y[i])
    assert knn_accuracy(x, y, k) == pytest.approx(right / 12)
    assert knn_accuracy(torch.tensor(3 * x), torch.tensor(y), k) == right / 12


def test_knn_accuracy_beyond_one_block_of_rows():
    """The second block of 1000 rows leaves the right rows out."""
    angle = torch.arange(1500) // 2 * 2 * math.pi / 750  # pairs of equal rows
    x = torch.stack([angle.cos(), angle.sin()], 1)
    y = torch.arange(1500) // 2
    assert knn_accuracy(x, y, 1) == 1
    assert knn_accuracy(x, torch.arange(1500), 1) == 0


def test_knn_accuracy_of_zeros_is_no_error():
    assert knn_accuracy(np.zeros((3, 2)), [1, 1, 1], 2) == 1


def test_silhouette_and_davies_bouldin_equal_scikit_learn():
    x, y = blobs()
    assert silhouette(x, y) == pytest.approx(theirs.silhouette_score(x, y))
    assert davies_bouldin(x, y) == pytest.approx(theirs.davies_bouldin_score(x, y))


def test_silhouette_and_davies_bouldin_of_four_points():
    """Groups of width 1 at a distance of 10 on a line."""
    x, y = np.array([[0.0], [1], [10], [11]]), [0, 0, 1, 1]
    expected = (2 * (1 - 1 / 10.5) + 2 * (1 - 1 / 9.5)) / 4
    assert silhouette(x, y) == pytest.approx(expected)
    assert davies_bouldin(x, y) == pytest.approx((0.5 + 0.5) / 10)


def test_report_is_made_of_the_single_measures():
    x, y = blobs(spread=1.0)
    report = clustering_report(torch.tensor(x), torch.tensor(y), k=4, seed=3)
    clusters = KMeans(4, n_init=10, random_state=3).fit_predict(x)
    assert report == {
        "nmi": pytest.approx(nmi(y, clusters)),
        "ari": pytest.approx(ari(y, clusters)),
        "purity": pytest.approx(purity(y, clusters)),
        "hungarian": pytest.approx(hungarian_accuracy(y, clusters)),
        "knn": pytest.approx(knn_accuracy(x, y, 10)),
        "silhouette": pytest.approx(silhouette(x, y)),
        "silhouette_clusters": pytest.approx(silhouette(x, clusters)),
        "davies_bouldin": pytest.approx(davies_bouldin(x, y)),
        "davies_bouldin_clusters": pytest.approx(davies_bouldin(x, clusters)),
    }
    assert report["nmi"] < 1


def test_report_on_clouds_far_apart_and_on_none():
    x, y = blobs(spread=0.01)
    good = clustering_report(x, y)
    names = ("nmi", "ari", "purity", "hungarian", "knn")
    assert [good[name] for name in names] == pytest.approx([1] * 5)
    assert good["silhouette"] == good["silhouette_clusters"] > 0.9
    noise = np.random.default_rng(0).normal(size=(60, 5))
    bad = clustering_report(noise, y)
    assert abs(bad["ari"]) < 0.15
    assert bad["silhouette"] < 0.1
    assert clustering_report(x[:8], y[:8])["knn"] >= 0  # 7 neighbours


def test_report_of_a_target_set_is_quick():
    draw = np.random.default_rng(0)
    y = np.arange(2000) % 10
    x = draw.normal(size=(10, 128))[y] + 3 * draw.normal(size=(2000, 128))
    start = time.process_time()
    clustering_report(x, y)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("measure", [purity, hungarian_accuracy, nmi, ari])
@pytest.mark.parametrize(
    ("labels", "clusters", "message"),
    [
        ([0, 1], [0, 1, 1], "labels and clusters: 2 and 3 rows"),
        ([], [], r"labels: shape \(0,\)"),
        ([0, 1], [0.5, 1], "clusters: .* of float64"),
        ([[0, 1]], [0, 1], r"labels: shape \(1, 2\)"),
    ],
)
def test_partitions_refuse(measure, labels, clusters, message):
    with pytest.raises(ValueError, match=message):
        measure(labels, clusters)


def test_features_refuse():
    x, y = blobs(6)
    for k in (0, 6):
        with pytest.raises(ValueError, match=f"k={k}; allowed are 1 to 5"):
            knn_accuracy(x, y, k)
    with pytest.raises(ValueError, match="x and y: 6 and 5 rows"):
        knn_accuracy(x, y[:5])
    with pytest.raises(ValueError, match=r"x: .* 1 values not finite"):
        knn_accuracy(np.array([[1.0, math.nan]]), [0])
    for measure in (silhouette, davies_bouldin):
        with pytest.raises(ValueError, match="groups: 1 different ones"):
            measure(x, np.zeros(6, dtype=int))
        with pytest.raises(ValueError, match="groups: 6 different ones"):
            measure(x, np.arange(6))
    for k in (1, 6):
        with pytest.raises(ValueError, match=f"k={k}; allowed are 2 to 5"):
            clustering_report(x, y, k)
    with pytest.raises(ValueError, match="features and labels: 6 and 5 rows"):
        clustering_report(x, y[:5])
