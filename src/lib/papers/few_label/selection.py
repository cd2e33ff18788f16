"""Rules that choose which images to label, and rivals of the paper's own.

Each rule takes features (n, d), a budget of new rows, the rows labelled before and a
generator, and returns rows. `select` checks the input and calls a rule by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.papers.few_label.clustering import (
    ackmeans,
    best_members,
    eigen_samples,
    kmeans,
    squared_distance,
)


def select(
    features: Tensor,
    budget: int,
    rule: str,
    *,
    labelled: Sequence[int] | Tensor = (),
    labels: Tensor | None = None,
    generator: torch.Generator,
    **options: Any,
) -> Tensor:
    """Choose rows to label.

    Args:
        features: (n, d), on the unit sphere in the chapter.
        budget: number of new rows, from 1 to those that are not labelled.
        rule: a name in `RULES`.
        labelled: rows that have a label already, all different.
        labels: all classes (n,), for a rule in `ORACLES` and no other.
        generator: all that is drawn comes from it.
        options: of the rule, such as `delta` of `probcover`.

    Returns:
        New rows (budget,), all different, none of them labelled.

    Raises:
        ValueError: for another rule, a number or row out of range, or labels that
            are missing.
    """
    if rule not in RULES:
        raise ValueError(f"rule={rule!r}; allowed are {', '.join(RULES)}")
    known = _check(features, budget, labelled)
    if rule in ORACLES:
        if labels is None or labels.shape != features.shape[:1]:
            raise ValueError(
                f"labels: rule {rule!r} is an oracle and needs them all, "
                f"({len(features)},)"
            )
        options["labels"] = labels
    return RULES[rule](features, budget, known, generator, **options)


def random(x: Tensor, budget: int, labelled: Tensor, generator: Any) -> Tensor:
    """Draw uniformly; some classes may be missed."""
    rest = _free(x, labelled).nonzero()[:, 0]
    order = torch.randperm(len(rest), generator=generator)[:budget]
    return rest[order.to(x.device)]


def balanced(
    x: Tensor, budget: int, labelled: Tensor, generator: Any, *, labels: Tensor
) -> Tensor:
    """Draw as evenly from the classes as can be: an oracle, it knows the labels.

    Rows labelled before count for their class.
    """
    rest = random(x, len(x) - len(labelled), labelled, generator)
    order = torch.cat([labelled, rest])
    classes = labels.to(x.device).unique(return_inverse=True)[1][order]
    ones = F.one_hot(classes)  # (n, classes)
    rank = ones.cumsum(0).gather(1, classes[:, None])[
        :, 0
    ]  # the how many-th of its class
    return rest[rank[len(labelled) :].argsort(stable=True)[:budget]]


def medoids(x: Tensor, budget: int, labelled: Tensor, generator: Any) -> Tensor:
    """Cluster once into as many clusters as the budget; take those in the middle.

    Rows labelled before have no say in the clusters. The paper's rule without its
    rounds.
    """
    return eigen_samples(x, kmeans(x, budget, generator), labelled, fixed=0)


def anchored(x: Tensor, budget: int, labelled: Tensor, generator: Any) -> Tensor:
    """Cluster around the labelled rows; take the middle of each new cluster.

    One round of the paper's rule.
    """
    k = len(labelled) + budget
    return eigen_samples(x, ackmeans(x, k, x[labelled], generator), labelled)


def k_centre(x: Tensor, budget: int, labelled: Tensor, generator: Any) -> Tensor:
    """Take again and again the row farthest from all that is taken.

    The greedy cover of CoreSet (Sener and Savarese, ICLR 2018), at most twice the best
    radius. Where nothing is labelled, the first is drawn.
    """
    picks = [] if len(labelled) else random(x, 1, labelled, generator).tolist()
    gap = x.new_full((len(x),), torch.inf)
    for i in labelled.tolist() + picks:
        gap = torch.minimum(gap, squared_distance(x, x[i]))
        gap[i] = -1  # below that of a copy, so that no row is taken twice
    while len(picks) < budget:
        picks.append(int(gap.argmax()))
        gap = torch.minimum(gap, squared_distance(x, x[picks[-1]]))
        gap[picks[-1]] = -1
    return torch.tensor(picks, device=x.device)


def typiclust(
    x: Tensor,
    budget: int,
    labelled: Tensor,
    generator: Any,
    *,
    neighbours: int = 20,
    least: int = 6,
) -> Tensor:
    """Take a typical row of the largest cluster with the fewest labels, and repeat.

    A row is typical if the mean distance to its nearest neighbours is small (Hacohen,
    Dekel and Weinshall, ICML 2022). As in the authors' code there are as many clusters
    as labels in the end, neighbours are sought inside the cluster, at most half of it,
    and clusters of fewer than 6 rows come last. Simplified: the labelled rows count as
    neighbours, and there may be more than 500 clusters.
    """
    assignment = kmeans(x, len(labelled) + budget, generator).assignment
    spread = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for c in assignment.unique():
        rows = (assignment == c).nonzero()[:, 0]
        near = min(neighbours, max(len(rows) // 2, 1)) + 1  # with the row itself
        spread[rows] = _neighbour_distance(x[rows].double(), near)
    spread[labelled] = torch.inf
    size = assignment.bincount().tolist()
    labels = assignment[labelled].bincount(minlength=len(size)).tolist()
    picks: list[int] = []
    for _ in range(budget):
        left = [c for c in range(len(size)) if labels[c] < size[c]]
        c = min(left, key=lambda c: (size[c] < least, labels[c], -size[c]))
        picks.append(int(torch.where(assignment == c, spread, torch.inf).argmin()))
        spread[picks[-1]] = torch.inf
        labels[c] += 1
    return torch.tensor(picks, device=x.device)


def probcover(
    x: Tensor,
    budget: int,
    labelled: Tensor,
    generator: Any,
    *,
    delta: float | None = None,
    classes: int = 10,
) -> Tensor:
    """Take the row with the most uncovered rows nearer than delta, and repeat.

    Maximum coverage by balls, greedily (Yehuda et al., NeurIPS 2022). The balls of
    labelled rows are covered from the start; when all is covered, covering begins
    anew with the rows that are left. Ties go to the first row. Needs (n, n) distances.

    Args:
        x: features (n, d).
        budget: number of new rows.
        labelled: rows that have a label.
        generator: for the clusters that `pure_radius` needs.
        delta: radius of the balls, by default that of `pure_radius`.
        classes: number of clusters for `pure_radius`.
    """
    distance = torch.cdist(x.double(), x.double())  # (n, n)
    if delta is None:
        clusters = kmeans(x, min(classes, len(x)), generator)
        delta = pure_radius(distance, clusters.assignment)
    near = (distance < delta).fill_diagonal_(True)
    free, uncovered = _free(x, labelled), ~near[labelled].any(0)
    picks: list[int] = []
    for _ in range(budget):
        if not uncovered.any():
            uncovered = free.clone()
        gain = torch.where(free, (near & uncovered).sum(1), -1)  # new rows in the ball
        picks.append(int(gain.argmax()))
        free[picks[-1]] = False
        uncovered &= ~near[picks[-1]]
    return torch.tensor(picks, device=x.device)


def pure_radius(distance: Tensor, groups: Tensor, share: float = 0.95) -> float:
    """Return the largest radius at which so many of the balls hold one group alone.

    ProbCover's rule for delta as far as we know it: groups are k-means clusters in
    place of classes, and 0.95 of the balls around the points must be pure. A ball is
    pure up to the nearest point of another group, so no search is needed.

    Args:
        distance: between all points (n, n).
        groups: (n,).
        share: of pure balls, above 0 to 1.

    Returns:
        The radius of open balls; infinite where there is one group.

    Raises:
        ValueError: for a share out of range.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share={share}; allowed is above 0 to 1")
    other = groups[:, None] != groups
    pure_to = torch.where(other, distance, torch.inf).amin(1)  # (n,)
    enough = math.ceil(share * len(groups) - 1e-9)
    return float(pure_to.sort(descending=True).values[enough - 1])


def usl(
    x: Tensor,
    budget: int,
    labelled: Tensor,
    generator: Any,
    *,
    neighbours: int = 20,
    weight: float = 0.5,
    momentum: float = 0.9,
    rounds: int = 10,
) -> Tensor:
    """Take the densest row of each cluster, away from what other clusters take.

    Density is 1 / mean squared distance to the nearest neighbours. In each of ten
    rounds, the sum of 1 / distance to the rows that the other clusters took goes into
    a running mean, which is deducted with a weight (Wang, Lian and Yu, ECCV 2022).
    Weights, momentum and rounds are those of the authors' code. Simplified: 20
    neighbours (theirs 400 of 50,000), k-means++ starts, no horizon beyond which rows
    are ignored. Theirs knows no labelled rows; here those are anchors of the clusters
    and count among the taken.
    """
    points, first = x.double(), len(labelled)
    clusters = ackmeans(points, first + budget, points[labelled], generator)
    near = min(neighbours, len(x) - 1) + 1  # with the row itself
    dense = 1 / _neighbour_distance(points, near, power=2).clamp_min(1e-12)
    free, crowd = _free(x, labelled), torch.zeros_like(dense)
    for _ in range(rounds):
        score = dense - weight * crowd
        taken = best_members(score, clusters, free, first)
        others = torch.cat([labelled, taken])
        closeness = 1 / torch.cdist(points, points[others]).clamp_min(1e-6)  # (n, k)
        same = clusters.assignment[:, None] == clusters.assignment[others]
        fresh = closeness.masked_fill(same, 0).sum(1)
        crowd = momentum * crowd + (1 - momentum) * fresh
    free[taken] = False  # clusters without a free row: the best of the rest
    rest = torch.where(free, score, -torch.inf).topk(budget - len(taken)).indices
    return torch.cat([taken, rest])


RULES: dict[str, Callable[..., Tensor]] = {
    "random": random,
    "balanced": balanced,
    "kmeans": medoids,
    "ackmeans": anchored,
    "kcentre": k_centre,
    "typiclust": typiclust,
    "probcover": probcover,
    "usl": usl,
}
"""Every rule by its name."""

ORACLES = frozenset({"balanced"})
"""Rules that need the labels they pretend to buy."""


def _free(x: Tensor, labelled: Tensor) -> Tensor:
    """Mark the rows without a label, (n,)."""
    free = torch.ones(len(x), dtype=torch.bool, device=x.device)
    free[labelled] = False
    return free


def _neighbour_distance(x: Tensor, near: int, power: int = 1) -> Tensor:
    """Return the mean distance to the nearest rows, of which the row itself is one."""
    near = min(near, len(x))
    distance = torch.cdist(x, x).fill_diagonal_(0).pow(power)
    total = distance.topk(near, dim=1, largest=False).values.sum(1)
    return total / max(near - 1, 1)  # the row's own distance, 0, does not count


def _check(x: Tensor, budget: int, labelled: Sequence[int] | Tensor) -> Tensor:
    """Read the labelled rows, and refuse what no rule can work with."""
    if x.ndim != 2 or not x.isfinite().all():
        raise ValueError(
            f"features: shape {tuple(x.shape)} given; it must be (n, d), all finite"
        )
    known = torch.as_tensor(labelled, dtype=torch.long, device=x.device)
    inside = ((known >= 0) & (known < len(x))).all()
    if known.ndim != 1 or not inside or len(known.unique()) != len(known):
        raise ValueError(
            f"labelled: {known.tolist()} given; allowed are different rows from 0 to "
            f"{len(x) - 1}"
        )
    if not 1 <= budget <= len(x) - len(known):
        raise ValueError(
            f"budget={budget}; allowed are 1 to {len(x) - len(known)}, the rows "
            "without a label"
        )
    return known
