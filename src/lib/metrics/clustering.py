"""How well features or clusters agree with known classes.

Own code for what scikit-learn lacks, and its measures by short names for the rest.
Labels and clusters are whole numbers, one a row; which number a cluster has is of no
account.
"""

from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment


def purity(labels: Any, clusters: Any) -> float:
    """Return the share of rows that have the commonest label of their cluster.

    It cannot fall when a cluster is split, and is 1 where every row is a cluster.

    Args:
        labels: true classes (n,).
        clusters: (n,), in the same order.

    Returns:
        From the share of the largest class to 1, which is pure.

    Raises:
        ValueError: for unequal lengths, no row, or values that are not whole numbers.
    """
    table = contingency(labels, clusters)
    return float(table.max(1).sum() / table.sum())


def hungarian_accuracy(labels: Any, clusters: Any) -> float:
    """Return the accuracy when each cluster is named after one class, at best.

    Two clusters never get the same class, so that it is at most the purity; clusters
    or classes beyond the other's number go without and count as wrong (Kuhn, 1955).

    Args:
        labels: true classes (n,).
        clusters: (n,), in the same order.

    Returns:
        Above 0, and 1 where clusters and classes are the same.

    Raises:
        ValueError: for unequal lengths, no row, or values that are not whole numbers.
    """
    table = contingency(labels, clusters)
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / table.sum())


def knn_accuracy(x: Any, y: Any, k: int = 10) -> float:
    """Return how often the k most similar other rows vote for a row's own class.

    Similarity is the cosine; of classes with as many votes the smallest wins.

    Args:
        x: features (n, d), array or tensor.
        y: classes (n,).
        k: number of neighbours, from 1 to n - 1; a row is none of its own.

    Returns:
        From 0 to 1.

    Raises:
        ValueError: for unequal lengths, classes that are not whole numbers, features
            that are not finite, or a k out of range.
    """
    x, y = _features(x), _whole("y", y)
    _same_length("x", x, "y", y)
    if not 1 <= k < len(x):
        raise ValueError(f"k={k}; allowed are 1 to {len(x) - 1}, one below the rows")
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    classes, y = np.unique(y, return_inverse=True)
    right = 0
    for start in range(0, len(x), 1000):  # 1000 rows at a time, to spare memory
        rows = np.arange(start, min(start + 1000, len(x)))
        cosine = x[rows] @ x.T  # (rows, n)
        cosine[np.arange(len(rows)), rows] = -np.inf
        nearest = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        place = np.arange(len(rows))[:, None] * len(classes) + y[nearest]
        votes = np.bincount(place.ravel(), minlength=len(rows) * len(classes))
        right += (votes.reshape(len(rows), -1).argmax(1) == y[rows]).sum()
    return float(right / len(x))


def nmi(labels: Any, clusters: Any) -> float:
    """Return the normalised mutual information, I(Y; C) / mean(H(Y), H(C)).

    Args:
        labels: true classes (n,).
        clusters: (n,), in the same order.

    Returns:
        From 0, independent, to 1, the same partition. It rises with the number of
        clusters even for clusters drawn at random; `ari` does not.

    Raises:
        ValueError: for unequal lengths, no row, or values that are not whole numbers.
    """
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(*_pair(labels, clusters)))


def ari(labels: Any, clusters: Any) -> float:
    """Return the Rand index of pairs, adjusted for chance (Hubert and Arabie, 1985).

    Args:
        labels: true classes (n,).
        clusters: (n,), in the same order.

    Returns:
        About 0 for clusters drawn at random, 1 for the same partition.

    Raises:
        ValueError: for unequal lengths, no row, or values that are not whole numbers.
    """
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(*_pair(labels, clusters)))


def silhouette(x: Any, groups: Any) -> float:
    """Return how much closer rows are to their own group than to the next one.

    The mean of (b - a) / max(a, b), with a the mean Euclidean distance to the own
    group and b to the nearest other (Rousseeuw, 1987).

    Args:
        x: features (n, d).
        groups: classes or clusters (n,), from 2 to n - 1 different ones.

    Returns:
        From -1 to 1.

    Raises:
        ValueError: for unequal lengths, another number of groups, or features that
            are not finite.
    """
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(*_grouped(x, groups)))


def davies_bouldin(x: Any, groups: Any) -> float:
    """Return how wide groups are for their distance; low is good.

    The mean over the groups of the largest (s_i + s_j) / d_ij, with s the mean
    distance to the group's centre and d that of the centres (Davies and Bouldin, 1979).

    Args:
        x: features (n, d).
        groups: classes or clusters (n,), from 2 to n - 1 different ones.

    Returns:
        0 or more.

    Raises:
        ValueError: for unequal lengths, another number of groups, or features that
            are not finite.
    """
    from sklearn.metrics import davies_bouldin_score

    return float(davies_bouldin_score(*_grouped(x, groups)))


def clustering_report(
    features: Any, labels: Any, k: int | None = None, seed: int = 0
) -> dict[str, float]:
    """Cluster features with k-means and return every measure of this module.

    Args:
        features: (n, d), taken as they are; on the unit sphere k-means and the
            Euclidean measures agree with the cosine of `knn`.
        labels: true classes (n,), used to measure alone.
        k: number of clusters, from 2 to n - 1; as many as classes by default.
        seed: of scikit-learn's k-means, of whose 10 starts the best counts.

    Returns:
        `nmi`, `ari`, `purity` and `hungarian` of the clusters; `knn` of 10 neighbours
        (fewer where there are not 11 rows); `silhouette` and `davies_bouldin` of the
        true classes, and of the clusters with the ending `_clusters`.

    Raises:
        ValueError: as in the single measures, or for a k out of range.
    """
    from sklearn.cluster import KMeans

    x, y = _grouped(features, labels, "features", "labels")
    k = len(np.unique(y)) if k is None else k
    if not 2 <= k < len(x):
        raise ValueError(f"k={k}; allowed are 2 to {len(x) - 1}, one below the rows")
    clusters = KMeans(k, n_init=10, random_state=seed).fit_predict(x)
    return {
        "nmi": nmi(y, clusters),
        "ari": ari(y, clusters),
        "purity": purity(y, clusters),
        "hungarian": hungarian_accuracy(y, clusters),
        "knn": knn_accuracy(x, y, min(10, len(x) - 1)),
        "silhouette": silhouette(x, y),
        "silhouette_clusters": silhouette(x, clusters),
        "davies_bouldin": davies_bouldin(x, y),
        "davies_bouldin_clusters": davies_bouldin(x, clusters),
    }


def contingency(labels: Any, clusters: Any) -> np.ndarray:
    """Count the rows of each cluster (first axis) and class."""
    y, c = _pair(labels, clusters)
    y, c = (np.unique(x, return_inverse=True)[1].ravel() for x in (y, c))
    table = np.zeros((c.max() + 1, y.max() + 1), dtype=np.int64)
    np.add.at(table, (c, y), 1)
    return table


def _pair(labels: Any, clusters: Any) -> tuple[np.ndarray, np.ndarray]:
    y, c = _whole("labels", labels), _whole("clusters", clusters)
    _same_length("labels", y, "clusters", c)
    return y, c


def _grouped(
    x: Any, groups: Any, name: str = "x", other: str = "groups"
) -> tuple[np.ndarray, np.ndarray]:
    """Read features and a partition of them into 2 groups or more."""
    x, groups = _features(x, name), _whole(other, groups)
    _same_length(name, x, other, groups)
    found = len(np.unique(groups))
    if not 2 <= found < len(x):
        raise ValueError(
            f"{other}: {found} different ones given; allowed are 2 to {len(x) - 1}, "
            "one below the rows"
        )
    return x, groups


def _whole(name: str, values: Any) -> np.ndarray:
    """Read whole numbers, at least one."""
    numbers = np.asarray(values)
    if numbers.ndim != 1 or not len(numbers) or numbers.dtype.kind not in "iub":
        raise ValueError(
            f"{name}: shape {numbers.shape} of {numbers.dtype} given; it must be one "
            "row of whole numbers, at least 1"
        )
    return numbers.astype(np.int64)


def _features(values: Any, name: str = "x") -> np.ndarray:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 2 or not np.isfinite(numbers).all():
        raise ValueError(
            f"{name}: shape {numbers.shape} with {int((~np.isfinite(numbers)).sum())} "
            "values not finite given; it must be (n, d), all finite"
        )
    return numbers


def _same_length(name: str, a: np.ndarray, other: str, b: np.ndarray) -> None:
    if len(a) != len(b):
        raise ValueError(
            f"{name} and {other}: {len(a)} and {len(b)} rows given; they must be as "
            "many"
        )
