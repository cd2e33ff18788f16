"""k-means in which some centres may be nailed down.

The paper calls it anchor-constrained k-means, ACKMeans: the images labelled so far are
centres that do not move. Their text was not at hand when this was written; the reading
is the book's own. Rows of x are features, on the unit sphere in the chapter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Clusters(NamedTuple):
    """A partition of n points around k centres.

    `centres` is (k, d), the anchors first; `assignment` (n,) gives each point the
    number of its nearest centre; `inertia` is the sum of the squared distances.
    """

    centres: Tensor
    assignment: Tensor
    inertia: float


def kmeans(
    x: Tensor, k: int, generator: torch.Generator | None = None, restarts: int = 3
) -> Clusters:
    """Cluster points around k centres that are all free to move.

    Args:
        x: points (n, d).
        k: number of clusters, from 1 to n.
        generator: draws the starts; torch's global one by default.
        restarts: number of starts, of which the lowest inertia counts.

    Raises:
        ValueError: for points that are no finite matrix, or a number out of range.
    """
    return ackmeans(x, k, None, generator, restarts)


def ackmeans(
    x: Tensor,
    k: int,
    anchors: Tensor | None = None,
    generator: torch.Generator | None = None,
    restarts: int = 3,
    iterations: int = 50,
) -> Clusters:
    """Cluster points around k centres of which the first ones stay where they are.

    Args:
        x: points (n, d).
        k: number of clusters, from the number of anchors, at least 1, to n.
        anchors: centres (a, d) that never move; none by default.
        generator: draws the starts; torch's global one by default.
        restarts: number of starts, of which the lowest inertia counts.
        iterations: most rounds of each; it ends before when nothing changes.

    Returns:
        Centres (k, d), of which the first a are the anchors bit by bit, assignment
        and inertia.

    Raises:
        ValueError: for points that are no finite matrix, anchors of another width, or
            a number out of range.
    """
    check_clustering(x, k, anchors, restarts, iterations)
    points = x.double()  # to which and from which an anchor goes without rounding
    anchors = points[:0] if anchors is None else anchors.to(points)
    runs = []
    for _ in range(restarts):
        start = plus_plus(points, k, anchors, generator)
        runs.append(lloyd(points, start, len(anchors), iterations))
    best = min(runs, key=lambda run: run.inertia)
    return best._replace(centres=best.centres.to(x.dtype))


def plus_plus(
    x: Tensor, k: int, anchors: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Choose points as first centres, far from the anchors and from one another.

    A point is drawn with a probability proportional to its squared distance to the
    nearest centre so far (k-means++, Arthur and Vassilvitskii, 2007). Without anchors
    the first is drawn uniformly.

    Args:
        x: points (n, d).
        k: number of centres with the anchors.
        anchors: (a, d), the first centres.
        generator: one draw for each free centre.

    Returns:
        Centres (k, d).
    """
    centres = list(anchors)
    gap = x.new_full((len(x),), torch.inf)  # squared, to the nearest centre
    for centre in anchors:
        gap = torch.minimum(gap, squared_distance(x, centre))
    while len(centres) < k:
        chance = gap if centres and gap.sum() > 0 else torch.ones_like(gap)
        i = int(torch.multinomial(chance.cpu(), 1, generator=generator))
        centres.append(x[i])
        gap = torch.minimum(gap, squared_distance(x, x[i]))
    return torch.stack(centres)


def lloyd(x: Tensor, centres: Tensor, fixed: int = 0, iterations: int = 50) -> Clusters:
    """Give each point its nearest centre, move the free centres to the mean, repeat.

    A free centre without points takes the point farthest from its own centre. No step
    raises the inertia.

    Args:
        x: points (n, d).
        centres: where to start (k, d).
        fixed: number of centres at the front that do not move.
        iterations: most rounds; 0 only assigns.
    """
    free = torch.arange(len(centres), device=x.device) >= fixed
    assignment = nearest(x, centres)  # (n,)
    for _ in range(iterations):
        members = assignment.clone()
        count = members.bincount(minlength=len(centres))  # (k,)
        empty = ((count == 0) & free).nonzero()[:, 0]
        if len(empty):
            own = squared_distance(x, centres[members])
            members[own.topk(len(empty)).indices] = empty
            count = members.bincount(minlength=len(centres))
        total = torch.zeros_like(centres).index_add_(0, members, x)  # (k, d)
        moves = (free & (count > 0))[:, None]
        centres = torch.where(moves, total / count.clamp_min(1)[:, None], centres)
        before, assignment = assignment, nearest(x, centres)
        if assignment.equal(before):
            break
    inertia = float(squared_distance(x, centres[assignment]).sum())
    return Clusters(centres, assignment, inertia)


def eigen_samples(
    x: Tensor,
    clusters: Clusters,
    labelled: Sequence[int] | Tensor = (),
    fixed: int | None = None,
) -> Tensor:
    """Return the unlabelled points nearest to the free centres: what to label next.

    For a cluster that has no unlabelled point, the unlabelled point farthest from its
    own centre is taken, of all those that are left.

    Args:
        x: points (n, d).
        clusters: of these points.
        labelled: rows that are not to be chosen.
        fixed: number of centres at the front that ask for no label; by default each
            labelled row is such an anchor.

    Returns:
        Rows, all different, one for each free centre as long as rows are left: first
        those nearest to a centre, in the order of the centres, then the farthest.
    """
    known = torch.as_tensor(labelled, dtype=torch.long, device=x.device)
    fixed = len(known) if fixed is None else fixed
    own = squared_distance(x, clusters.centres[clusters.assignment])  # (n,)
    free = torch.ones(len(x), dtype=torch.bool, device=x.device)
    free[known] = False
    picks = best_members(-own, clusters, free, fixed)
    free[picks] = False
    rest = free.nonzero()[:, 0]
    missing = len(clusters.centres) - fixed - len(picks)
    farthest = own[rest].argsort(descending=True, stable=True)[:missing]
    return torch.cat([picks, rest[farthest]])


def best_members(
    score: Tensor, clusters: Clusters, free: Tensor, fixed: int = 0
) -> Tensor:
    """Return the row of the highest score in each cluster that has a free row.

    Args:
        score: one for each row, (n,).
        clusters: of these rows.
        free: which rows may be taken, (n,), bool.
        fixed: number of clusters at the front to leave out.

    Returns:
        At most one row for each of the other clusters, in their order.
    """
    numbers = torch.arange(fixed, len(clusters.centres), device=score.device)
    inside = (clusters.assignment == numbers[:, None]) & free  # (k - fixed, n)
    best = torch.where(inside, score, -torch.inf).argmax(1)
    return best[inside.any(1)]


def nearest(x: Tensor, centres: Tensor) -> Tensor:
    """Return the number of the nearest centre (k, d) of each row (n, d)."""
    # |x - c|² = |x|² + |c|² - 2 x·c, and |x|² is the same for all centres.
    return torch.addmm(centres.square().sum(1), x, centres.T, alpha=-2).argmin(1)


def squared_distance(x: Tensor, to: Tensor) -> Tensor:
    """Return the squared distance of each row to a point (d,) or to its own (n, d)."""
    return (x - to).square().sum(1)


def check_clustering(
    x: Tensor, k: int, anchors: Tensor | None, restarts: int, iterations: int
) -> None:
    """Refuse what cannot be clustered; see `ackmeans`."""
    if x.ndim != 2 or not len(x) or not x.isfinite().all():
        raise ValueError(
            f"x: shape {tuple(x.shape)} given; it must be (n, d), all finite, with a "
            "point or more"
        )
    least = 1
    if anchors is not None:
        if anchors.ndim != 2 or anchors.shape[1] != x.shape[1]:
            raise ValueError(
                f"anchors: shape {tuple(anchors.shape)} given; it must be "
                f"(a, {x.shape[1]}), as wide as x"
            )
        least = max(least, len(anchors))
    if not least <= k <= len(x):
        raise ValueError(
            f"k={k}; allowed are {least} to {len(x)}: not below the anchors, not above "
            "the points"
        )
    if restarts < 1 or iterations < 0:
        raise ValueError(
            f"restarts={restarts} and iterations={iterations}; allowed are 1 or more "
            "and 0 or more"
        )
