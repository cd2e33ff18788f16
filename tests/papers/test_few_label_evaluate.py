"""Probe, nearest mean and fine-tuning, against scikit-learn, loops and plain steps."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import nn

from lib.papers.few_label import (
    accuracy,
    draw_labels,
    features,
    finetune,
    linear_probe,
    nearest_mean,
)
from lib.papers.few_label.evaluate import with_head


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def encoder():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def images(n=30, classes=3):
    y = torch.arange(n) % classes
    colour = torch.rand(classes, 3, 1, 1, generator=generator(1))
    noise = 0.1 * torch.randn(n, 3, 6, 6, generator=generator(2))
    return colour[y] + noise, y


def split(seed=0, n=40, noise=1.0):
    draw = np.random.default_rng(seed)
    y = np.arange(n) % 4
    x = draw.normal(size=(4, 6))[y] + noise * draw.normal(size=(n, 6))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x[:12], y[:12], x[12:], y[12:]


def test_features_have_length_one_and_come_in_evaluation_mode():
    net = encoder().train()
    net[1].eval()  # one module in another mode than the rest
    modes = [module.training for module in net.modules()]
    before = copy.deepcopy(net.state_dict())
    x, _ = images()
    z = features(net, x, batch=7)
    assert z.shape == (30, 8)
    assert not z.requires_grad
    torch.testing.assert_close(z.norm(dim=1), torch.ones(30))
    plain = F.normalize(copy.deepcopy(net).eval()(x), dim=1)
    torch.testing.assert_close(z, plain.detach())
    assert [module.training for module in net.modules()] == modes
    assert all(net.state_dict()[k].equal(v) for k, v in before.items())


def test_modes_are_restored_after_an_error():
    net = encoder().train()
    with pytest.raises(RuntimeError):
        features(net, torch.zeros(2, 5, 6, 6))
    assert all(module.training for module in net.modules())


def test_features_without_parameters_and_refusals():
    x, _ = images()
    torch.testing.assert_close(
        features(nn.Flatten(), x), x.flatten(1) / x.flatten(1).norm(dim=1, keepdim=True)
    )
    with pytest.raises(ValueError, match="images: 0 in batches of 500"):
        features(encoder(), x[:0])
    with pytest.raises(ValueError, match="images: 30 in batches of 0"):
        features(encoder(), x, batch=0)


def test_accuracy_by_hand():
    x = torch.eye(4)[[0, 1, 2, 3, 3]][:, :, None, None]
    assert accuracy(nn.Flatten(), x, torch.tensor([0, 1, 2, 3, 0]), batch=2) == 0.8
    with pytest.raises(ValueError, match="images and labels: 5 and 4 rows"):
        accuracy(nn.Flatten(), x, torch.zeros(4))


@pytest.mark.parametrize("seed", range(3))
def test_linear_probe_equals_scikit_learn_by_hand(seed):
    train_x, train_y, test_x, test_y = split(seed)
    model = LogisticRegression(C=10, max_iter=1000).fit(train_x * 4, train_y)
    expected = model.score(test_x * 4, test_y)
    assert linear_probe(train_x, train_y, test_x, test_y) == pytest.approx(expected)
    tensors = [torch.tensor(v) for v in split(seed)]
    assert linear_probe(*tensors) == pytest.approx(expected)
    assert 0.25 < expected < 1


def test_linear_probe_is_the_minimum_of_its_loss():
    """The weights of a plain gradient descent answer the same."""
    train_x, train_y, test_x, test_y = (torch.tensor(v) for v in split(5))
    layer = nn.Linear(6, 4).double()
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=200)

    def closure():
        optimizer.zero_grad()
        fit = F.cross_entropy(layer(4 * train_x), train_y, reduction="sum")
        loss = 10 * fit + layer.weight.square().sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    ours = float((layer(4 * test_x).argmax(1) == test_y).double().mean())
    assert linear_probe(train_x, train_y, test_x, test_y) == pytest.approx(ours)


def test_a_single_class_is_always_answered():
    _, _, test_x, test_y = split()
    assert linear_probe(test_x[:2], [3, 3], test_x, test_y) == (test_y == 3).mean()
    assert nearest_mean(test_x[:2], [3, 3], test_x, test_y) == (test_y == 3).mean()


@pytest.mark.parametrize("seed", range(4))
def test_nearest_mean_equals_a_loop(seed):
    train_x, train_y, test_x, test_y = split(seed)
    train_y, test_y = 10 * train_y - 5, 10 * test_y - 5
    right = 0
    for x, y in zip(test_x, test_y, strict=True):
        gaps = {
            c: np.linalg.norm(x - train_x[train_y == c].mean(0))
            for c in (-5, 5, 15, 25)
        }
        right += min(gaps, key=gaps.get) == y
    expected = right / len(test_y)
    assert nearest_mean(train_x, train_y, test_x, test_y) == pytest.approx(expected)


@pytest.mark.parametrize("probe", [linear_probe, nearest_mean])
def test_probes_refuse(probe):
    train_x, train_y, test_x, test_y = split()
    with pytest.raises(ValueError, match="train_x and train_y: 12 and 11 rows"):
        probe(train_x, train_y[:11], test_x, test_y)
    with pytest.raises(ValueError, match="test_x and test_y: 0 and 0 rows"):
        probe(train_x, train_y, test_x[:0], test_y[:0])


def test_a_fresh_head_favours_no_class():
    net, (x, y) = encoder(), images()
    network = with_head(net, x, 5)
    chance = network(x).softmax(1)
    torch.testing.assert_close(chance, torch.full((30, 5), 0.2))
    assert F.cross_entropy(network(x), y).item() == pytest.approx(math.log(5))
    assert network[0] is not net
    assert network[1].in_features == 8


def test_finetuning_learns_and_leaves_the_pretrained_encoder_alone():
    net, (x, y) = encoder(), images()
    net.requires_grad_(False)
    before = copy.deepcopy(net.state_dict())
    network = finetune(net, x, y, 3, augment=None, generator=generator())
    assert accuracy(network, x, y) > 0.9
    assert all(net.state_dict()[k].equal(v) for k, v in before.items())
    assert net.training
    assert not network.training
    assert not any(p.requires_grad for p in net.parameters())
    assert not network[0][0].weight.equal(net[0].weight)


def test_same_generator_same_network():
    net, (x, y) = encoder(), images()

    def weights(seed):
        torch.manual_seed(seed)  # of no account
        network = finetune(
            net, x, y, 3, steps=5, augment=noise, generator=generator(seed % 10)
        )
        return torch.cat([p.flatten() for p in network.parameters()])

    def noise(batch, generator):
        return batch + 0.1 * torch.rand(batch.shape, generator=generator)

    assert weights(1).equal(weights(11))
    assert not weights(1).equal(weights(2))


@pytest.mark.parametrize("n", [10, 64, 100])
def test_finetuning_equals_plain_steps(n):
    """SGD with momentum written out; few images are drawn with replacement."""
    net, (x, y) = encoder(), images(n)
    ours = finetune(net, x, y, 3, steps=4, augment=None, generator=generator(3))
    network, shared = with_head(net, x, 3), generator(3)
    speed = {p: torch.zeros_like(p) for p in network.parameters()}
    for step in range(4):
        rows = (
            torch.randint(n, (64,), generator=shared)
            if n < 64
            else torch.randperm(n, generator=shared)[:64]
        )
        assert len(rows) == 64
        loss = F.cross_entropy(network(x[rows]), y[rows])
        network.zero_grad()
        loss.backward()
        wave = (1 + math.cos(math.pi * step / 4)) / 2
        with torch.no_grad():
            for part, rate in ((network[0], 0.02), (network[1], 0.3)):
                for p in part.parameters():
                    speed[p] = 0.9 * speed[p] + p.grad
                    p -= rate * wave * speed[p]
    for a, b in zip(ours.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_every_batch_is_augmented():
    sizes = []

    def note(batch, generator):
        sizes.append(len(batch))
        return batch

    x, y = images(5)
    finetune(encoder(), x, y, 3, steps=7, batch=16, augment=note, generator=generator())
    assert sizes == [16] * 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(y=torch.zeros(4)), "x and y: 30 and 4 rows"),
        (dict(classes=0), "classes=0"),
        (dict(classes=2), "y: classes from 0 to 2 given; allowed are 0 to 1"),
        (dict(y=torch.full((30,), -1)), "y: classes from -1"),
        (dict(steps=0), "steps=0"),
        (dict(batch=0), "batch=0"),
    ],
)
def test_finetuning_refuses(options, message):
    x, y = images()
    good = dict(x=x, y=y, classes=3, augment=None, generator=generator())
    with pytest.raises(ValueError, match=message):
        finetune(encoder(), **good | options)


def test_labels_drawn_are_balanced_and_uniform():
    y = torch.tensor([4] * 6 + [2] * 3 + [9] * 5)
    shared, counts = generator(), torch.zeros(14)
    for _ in range(900):
        rows = draw_labels(y, 2, shared)
        assert y[rows].tolist() == [2, 2, 4, 4, 9, 9]
        assert len(rows.unique()) == 6
        counts[rows] += 1
    assert (counts / 900 - 2 / y.bincount()[y]).abs().max() < 0.08
    assert draw_labels(y, 3, generator(1)).equal(draw_labels(y, 3, generator(1)))


def test_labels_drawn_refuse():
    y = torch.tensor([0, 0, 1])
    for k in (0, 2):
        with pytest.raises(ValueError, match=f"per_class={k}; allowed are 1 to 1"):
            draw_labels(y, k, generator())
    with pytest.raises(ValueError, match="allowed are 1 to 0"):
        draw_labels(y[:0], 1, generator())
