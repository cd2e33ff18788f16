"""Rounds of clustering, labelling and fine-tuning, with a fine-tuning of paper."""

import copy
import itertools

import pytest
import torch
from torch import nn

from lib.papers.few_label import Oracle, ackmeans, eigen_samples, features, progressive
from lib.papers.few_label.clustering import Clusters
from lib.papers.few_label.progressive import pseudo_labels


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def target(n=40, classes=4):
    y = torch.arange(n) % classes
    centre = torch.randn(classes, 3, 2, 2, generator=generator(1))
    return centre[y] + 0.2 * torch.randn(n, 3, 2, 2, generator=generator(2)), y


def encoder():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 6))


class Stub:
    """Spoils what it is given and notes what that was."""

    def __init__(self):
        self.weights, self.x, self.y = [], [], []

    def __call__(self, network, x, y):
        self.weights.append(network[1].weight.detach().clone())
        self.x.append(x)
        self.y.append(y)
        with torch.no_grad():
            network[1].weight.mul_(1 + len(self.x)).add_(0.3 * len(self.x))
        return nn.Sequential(network, nn.Linear(6, 4))


def run(rounds=(4, 8, 16), **options):
    images, y = target()
    net, oracle, stub = encoder(), Oracle(y), Stub()
    found, after = progressive(
        net, images, rounds, oracle, finetune=stub, generator=generator(), **options
    )
    return net, oracle, stub, found, after


def test_every_round_starts_from_the_pretrained_weights():
    net, _, stub, found, _ = run()
    fresh = encoder()[1].weight
    assert all(weight.equal(fresh) for weight in stub.weights)
    assert net[1].weight.equal(fresh)
    assert len(stub.weights) == 3
    assert not found[0][1].weight.equal(fresh)


def test_each_label_is_asked_for_once_and_the_rounds_add_up():
    _, oracle, stub, _, after = run()
    assert [len(rows) for rows in after] == [4, 8, 16]
    assert oracle.questions == 16 == len(set(oracle.asked))
    assert after[-1].tolist() == oracle.asked
    for early, late in itertools.pairwise(after):
        assert late[: len(early)].equal(early)
    images, y = target()
    for rows, x, given in zip(after, stub.x, stub.y, strict=True):
        assert x.equal(images[rows])
        assert given.equal(y[rows])


def test_equals_the_rounds_written_out():
    """Features come from the network of the round before, anchors are kept."""
    _, _, _, _, after = run()
    images, _ = target()
    shared, current, known = generator(), encoder(), []
    for step, total in enumerate((4, 8, 16)):
        z = features(current, images)
        clusters = ackmeans(z, total, z[known], shared)
        assert clusters.centres[: len(known)].equal(z[known])
        known += eigen_samples(z, clusters, known).tolist()
        assert after[step].tolist() == known
        stub = Stub()
        stub.x = [None] * step  # spoils as the third, not as the first
        current = stub(encoder(), images[known], None)[0]


def test_one_round_is_one_choice_by_kmeans():
    _, _, _, _, after = run((5,))
    z = features(encoder(), target()[0])
    assert after[0].equal(eigen_samples(z, ackmeans(z, 5, None, generator())))


def test_labels_for_all():
    _, oracle, stub, _, after = run((4, 40))
    assert oracle.questions == 40
    assert sorted(after[1].tolist()) == list(range(40))
    assert len(stub.x[1]) == 40


def test_pseudo_labels_by_hand():
    clusters = Clusters(torch.zeros(4, 1), torch.tensor([0, 0, 1, 1, 1, 2, 3]), 0.0)
    rows, labels = torch.tensor([1, 4, 2, 6]), torch.tensor([5, 0, 9, 7])
    # Cluster 1 has two labels, of which the first (0) goes to row 3; row 5 has none.
    found, given = pseudo_labels(clusters, rows, labels)
    assert found.tolist() == [0, 1, 2, 3, 4, 6]
    assert given.tolist() == [5, 5, 9, 0, 0, 7]


def test_pseudo_labels_train_on_whole_clusters():
    _, oracle, stub, _, after = run(pseudo=True)
    images, y = target()
    assert oracle.questions == 16  # they cost nothing
    for x, given in zip(stub.x, stub.y, strict=True):
        assert len(x) == len(given) == 40  # every cluster has a label
        assert x.equal(images)
    for rows, given in zip(after, stub.y, strict=True):
        assert given[rows].equal(y[rows])
    plain = run()[2]
    assert [len(x) for x in plain.x] == [4, 8, 16]


def test_the_oracle_counts():
    oracle = Oracle(torch.tensor([3, 1]))
    assert [oracle(1), oracle(0), oracle(1)] == [1, 3, 1]
    assert (oracle.questions, oracle.asked) == (3, [1, 0, 1])
    assert type(oracle(0)) is int


def test_modes_are_left_alone():
    net = encoder().train()
    before = copy.deepcopy(net.state_dict())
    images, y = target()
    progressive(net, images, [4], Oracle(y), finetune=Stub(), generator=generator())
    assert net.training
    assert all(net.state_dict()[name].equal(before[name]) for name in before)


@pytest.mark.parametrize("rounds", [(), (0, 4), (4, 4), (8, 4), (4, 41)])
def test_rounds_that_do_not_rise_are_refused(rounds):
    with pytest.raises(ValueError, match=r"rounds=.* they must rise, from 1 .* to 40"):
        run(rounds)
