"""Progressive few-label transfer: rounds of clustering, labelling and fine-tuning."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lib.papers.few_label.clustering import Clusters, ackmeans, eigen_samples
from lib.papers.few_label.evaluate import features

Finetune = Callable[[nn.Module, Tensor, Tensor], nn.Sequential]
"""Takes an encoder, images and classes; gives the trained encoder and its head."""


class Oracle:
    """The person who labels: knows all labels, and counts how many were asked for.

    Args:
        labels: classes (n,).

    Attributes:
        asked: the rows asked for, in order, repeated ones too.
    """

    def __init__(self, labels: Tensor) -> None:
        self.labels, self.asked = labels, list[int]()

    def __call__(self, i: int) -> int:
        """Return the label of row i."""
        self.asked.append(i)
        return int(self.labels[i])

    @property
    def questions(self) -> int:
        """How many labels were asked for."""
        return len(self.asked)


def progressive(
    encoder: nn.Module,
    images: Tensor,
    rounds: Sequence[int],
    oracle: Callable[[int], int],
    *,
    finetune: Finetune,
    generator: torch.Generator,
    pseudo: bool = False,
) -> tuple[nn.Module, list[Tensor]]:
    """Label the images in the middle of clusters, fine-tune, cluster again.

    The features of one round choose the labels of the next, with the labelled images
    as anchors; every fine-tuning starts from the pretrained weights. How many rounds
    the paper takes, and whether it starts anew, we could not see.

    Args:
        encoder: pretrained; it is copied, never changed.
        images: all target images (n, C, H, W).
        rounds: number of labels after each round, rising, at most n.
        oracle: gives the label of a row; asked once for each, `rounds[-1]` times.
        finetune: trains a copy of the encoder on images and classes, such as
            `lambda e, x, y: evaluate.finetune(e, x, y, 10, ...)`.
        generator: draws the starts of the clusters.
        pseudo: train also on all other images, with the label bought in their
            cluster.

    Returns:
        The network of the last round, encoder and head, whose first part is the
        encoder; and the rows labelled after each round, in the order asked for.

    Raises:
        ValueError: for rounds that do not rise, or out of range.
    """
    check_rounds(rounds, len(images))
    network, labelled, after = nn.Sequential(encoder), dict[int, int](), []
    for total in rounds:
        z = features(network[0], images)  # (n, d), with the network of the last round
        known = list(labelled)
        clusters = ackmeans(z, total, z[known], generator)
        for i in eigen_samples(z, clusters, known).tolist():
            labelled[i] = oracle(i)
        after.append(torch.tensor(list(labelled)))
        rows, y = after[-1], torch.tensor(list(labelled.values()))
        if pseudo:
            rows, y = pseudo_labels(clusters, rows, y)
        rows = rows.to(images.device)
        network = finetune(copy.deepcopy(encoder), images[rows], y.to(images.device))
    return network, after


def pseudo_labels(
    clusters: Clusters, rows: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Give the label of a labelled row to the others in its cluster.

    Where a cluster has several, the first counts. A labelled row keeps its own.

    Args:
        clusters: of all n rows.
        rows: labelled rows (m,).
        labels: their classes (m,).

    Returns:
        Rows whose cluster has a label, rising, and their classes.
    """
    assignment = clusters.assignment.cpu()
    of_cluster = torch.full((len(clusters.centres),), -1)
    for i, label in zip(rows.tolist()[::-1], labels.tolist()[::-1], strict=True):
        of_cluster[assignment[i]] = label  # the first comes last and stays
    given = of_cluster[assignment]
    given[rows] = labels
    found = (given >= 0).nonzero()[:, 0]
    return found, given[found]


def check_rounds(rounds: Sequence[int], n: int) -> None:
    """Refuse rounds that do not rise, or ask for more than n labels."""
    totals = list(rounds)
    rising = all(a < b for a, b in itertools.pairwise(totals))
    if not totals or not rising or totals[0] < 1 or totals[-1] > n:
        raise ValueError(f"rounds={totals}; they must rise, from 1 or more to {n}")
