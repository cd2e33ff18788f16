"""MoCo against a reference written out step by step."""

import copy
import math
from collections import deque
from functools import partial

import pytest
import torch
from torch import nn

from lib.layers import SplitBatchNorm2d
from lib.papers import few_label
from lib.training import cosine_momentum

BATCH, SIZE, DIM, MOMENTUM, TEMPERATURE, RATE = 4, 12, 3, 0.9, 0.2, 0.5


def parts():
    """Return an encoder with running statistics, and a head, for pictures of 2 x 2."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.BatchNorm1d(6))
    return encoder.double(), nn.Sequential(nn.Linear(6, DIM)).double()


def build(**options):
    encoder, head = parts()
    generator = torch.Generator().manual_seed(1)
    settings = dict(queue=SIZE, momentum=MOMENTUM, temperature=TEMPERATURE) | options
    return few_label.MoCo(encoder, head, generator=generator, **settings).double()


def views(step):
    generator = torch.Generator().manual_seed(100 + step)
    shape = (BATCH, 3, 2, 2)
    return [torch.rand(shape, generator=generator).double() for _ in range(2)]


def train(model, steps):
    """Train by plain gradient steps; return the losses."""
    model.train()
    optimiser = torch.optim.SGD(model.query.parameters(), RATE)
    losses = []
    for step in range(steps):
        loss = model(*views(step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


class Reference:
    """The same with loops, a deque and one weight after the other.

    Args:
        queue: first rows of the queue, oldest first.
    """

    def __init__(self, queue, symmetric=False):
        self.query = nn.Sequential(*parts())
        self.key = copy.deepcopy(self.query)
        self.queue = deque(queue.unbind(), maxlen=len(queue))
        self.symmetric = symmetric

    def one_way(self, a, b):
        queries = self.query(a)
        keys = self.key(b).detach()
        keys = [k / k.norm() for k in keys]
        loss = 0
        for q, k in zip(queries, keys, strict=True):
            q = q / q.norm()
            right = ((q * k).sum() / TEMPERATURE).exp()
            wrong = sum(((q * n).sum() / TEMPERATURE).exp() for n in self.queue)
            loss = loss - (right / (right + wrong)).log() / BATCH
        return loss, keys

    def step(self, a, b):
        with torch.no_grad():
            for old, new in zip(
                self.key.parameters(), self.query.parameters(), strict=True
            ):
                old.copy_(MOMENTUM * old + (1 - MOMENTUM) * new)
        loss, keys = self.one_way(a, b)
        if self.symmetric:
            other, more = self.one_way(b, a)
            loss, keys = (loss + other) / 2, keys + more
        self.queue.extend(keys)
        weights = list(self.query.parameters())
        with torch.no_grad():
            for weight, slope in zip(
                weights, torch.autograd.grad(loss, weights), strict=True
            ):
                weight -= RATE * slope
        return loss.item()


@pytest.mark.parametrize("symmetric", [False, True])
def test_first_losses_and_all_states_equal_the_reference(symmetric):
    size = dict(queue=24) if symmetric else {}
    model = build(symmetric=symmetric, **size)
    slow = Reference(model.queue.negatives(), symmetric)
    expected = [slow.step(*views(step)) for step in range(4)]
    assert train(model, 4) == pytest.approx(expected, rel=1e-12)
    ring = model.queue.keys.roll(-int(model.queue.pointer), 0)
    torch.testing.assert_close(ring, torch.stack(list(slow.queue)))
    for ours, theirs in ((model.query, slow.query), (model.key, slow.key)):
        torch.testing.assert_close(
            list(ours.state_dict().values()), list(theirs.state_dict().values())
        )


@pytest.mark.parametrize("mistake", ["push first", "no update", "update last"])
def test_a_mistake_shows_in_the_first_losses(mistake):
    """The comparison above tells the orders apart."""
    right, model = train(build(), 3), build()
    original = model.ema.update
    if mistake == "push first":
        contrast = model.contrast

        def early(a, b):
            model.queue.push(model.encode_keys(b))
            return contrast(a, b)

        model.contrast = early
    elif mistake == "no update":
        model.ema.update = lambda query: None
    else:
        contrast = model.contrast
        model.ema.update = lambda query: None

        def late(a, b):
            found = contrast(a, b)
            original(model.query)
            return found

        model.contrast = late
    assert abs(train(model, 3)[-1] - right[-1]) > 1e-4


def test_a_key_is_never_among_its_own_negatives():
    model, seen = build(queue=BATCH), []
    negatives = model.queue.negatives
    model.queue.negatives = lambda: seen.append(negatives()) or seen[-1]
    pushed = []
    push = model.queue.push
    model.queue.push = lambda keys: pushed.append(keys) or push(keys)
    train(model, 3)
    for now, keys in zip(seen, pushed, strict=True):
        assert torch.cdist(now, keys).min() > 1e-6
    for then, keys in zip(seen[1:], pushed, strict=False):
        assert torch.equal(then, keys)  # but it is one of the next step's


def test_keys_have_no_gradient_and_queries_have():
    model = build().train()
    view = [v.requires_grad_() for v in views(0)]
    model(*view).backward()
    assert view[1].grad is None
    assert view[0].grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in model.key.parameters())
    assert all(p.grad is not None for p in model.query.parameters())


def test_running_statistics_of_the_key_are_its_own():
    model = build().train()
    a, b = views(0)
    model(a, 5 * b)  # keys see other pictures
    ours, theirs = model.query[0][2], model.key[0][2]
    x = model.key[0][:2](5 * b)
    torch.testing.assert_close(theirs.running_mean, 0.1 * x.mean(0))
    assert (ours.running_mean - theirs.running_mean).abs().max() > 0.01
    assert theirs.num_batches_tracked == 1


def test_momentum_may_depend_on_the_step():
    model = build(momentum=lambda t: cosine_momentum(t, 3, 0.5))
    slow = copy.deepcopy(model.query[1][0].weight.detach())
    for t in range(4):
        now = model.query[1][0].weight.detach()
        decay = cosine_momentum(t, 3, 0.5)
        slow = decay * slow + (1 - decay) * now
        model(*views(t))
        torch.testing.assert_close(model.key[1][0].weight, slow)
        nn.init.normal_(model.query[1][0].weight)


def test_shuffled_keys_return_to_their_places():
    """Without parts the order changes nothing; with them mates change."""
    plain, mixed = build().train(), build(shuffle=True).train()
    torch.testing.assert_close(plain(*views(0)), mixed(*views(0)))
    torch.testing.assert_close(plain.queue.keys, mixed.queue.keys)


def split_model(shuffle):
    torch.manual_seed(0)
    encoder = few_label.small_encoder(partial(SplitBatchNorm2d, splits=2))
    return few_label.MoCo(
        encoder,
        nn.Sequential(nn.Linear(128, 4)),
        queue=8,
        shuffle=shuffle,
        generator=torch.Generator().manual_seed(5),
    ).train()


def test_with_parts_a_shuffled_key_has_other_mates():
    x = torch.rand(8, 3, 16, 16)
    alone, mixed = split_model(False), split_model(True)
    assert torch.equal(alone.query(x), alone.key(x))
    a, b = alone.encode_keys(x), mixed.encode_keys(x)
    assert (a - b).abs().max() > 1e-3


def test_an_untrained_model_starts_below_chance():
    """Fresh keys are nearly one point and the queue is random: easy, not learned."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    model = few_label.MoCo(
        few_label.small_encoder(),
        few_label.projection_head(128),
        generator=generator,
    ).train()
    x = torch.rand(16, 3, 32, 32)
    with torch.no_grad():
        loss = model(x, x).item()
    assert loss < math.log(1025) - 2


@pytest.mark.parametrize(
    ("version", "queue", "momentum", "temperature", "parameters"),
    [
        ("v1", 65536, 0.999, 0.07, 23_508_032 + 262_272),
        ("v2", 65536, 0.999, 0.2, 23_508_032 + 4_458_624),
        ("cifar", 4096, 0.99, 0.1, 11_176_512 - 64 * 3 * 40 + 512 * 128 + 128),
    ],
)
def test_published_models(version, queue, momentum, temperature, parameters):
    model = few_label.moco(version, generator=torch.Generator())
    assert model.queue.keys.shape == (queue, 128)
    assert (model.ema.decay, model.temperature) == (momentum, temperature)
    assert sum(p.numel() for p in model.query.parameters()) == parameters
    assert model.shuffle == (version == "cifar")
    split = [m for m in model.key.modules() if isinstance(m, SplitBatchNorm2d)]
    assert len(split) == (20 if version == "cifar" else 0)
    assert not split or split[0].splits == 8


def test_published_numbers():
    """Read in the authors' code; the rest is in the test above."""
    v1, v2 = few_label.MOCO["v1"], few_label.MOCO["v2"]
    for recipe in (v1, v2):
        assert (recipe["rate"], recipe["batch"], recipe["epochs"]) == (0.03, 256, 200)
        assert (recipe["sgd_momentum"], recipe["decay"]) == (0.9, 1e-4)
    assert (v1["schedule"], v1["drops"]) == ("steps", (120, 160))
    assert (v2["schedule"], "drops" in v2) == ("cosine", False)


def test_small_published_model_with_other_options():
    model = few_label.moco(
        "v2", "resnet18", small=True, queue=8, generator=torch.Generator()
    ).train()
    loss = model(*torch.rand(2, 4, 3, 16, 16))
    assert loss.isfinite()
    assert model.queue.pointer == 4
    assert model.query[1][0].in_features == model.encoder.feature_dim == 512


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("v3",), "version='v3': allowed are v1, v2, cifar"),
        (("v2", "vgg"), "encoder='vgg': allowed are resnet18, resnet50"),
    ],
)
def test_unknown_names_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        few_label.moco(*arguments, generator=torch.Generator())
