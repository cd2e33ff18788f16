"""Contrastive parts against loops, a deque, plain BatchNorm and closed forms."""

import math
from collections import deque

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lib.layers import FeatureQueue, SplitBatchNorm2d, info_nce


def unit(rows, dim, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, dim, generator=generator, dtype=dtype)
    return F.normalize(x, dim=1)


# The loss.


def loss_by_hand(query, key, negatives, temperature):
    """Sum exponentials one pair at a time."""
    total = 0.0
    for q, k in zip(query, key, strict=True):
        right = math.exp(float(q @ k) / temperature)
        wrong = sum(math.exp(float(q @ n) / temperature) for n in negatives)
        total -= math.log(right / (right + wrong))
    return total / len(query)


@settings(max_examples=40)
@given(
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(1, 9),
    st.floats(0.05, 2),
    st.integers(0, 1000),
)
def test_loss_equals_a_loop(batch, dim, size, temperature, seed):
    q, k, n = unit(batch, dim, seed), unit(batch, dim, seed + 1), unit(size, dim, 7)
    slow = loss_by_hand(q, k, n, temperature)
    assert info_nce(q, k, n, temperature).item() == pytest.approx(slow, abs=1e-9)


def test_loss_is_torchs_cross_entropy_with_the_positive_at_its_place():
    """The place of the positive among the classes is free: here it is the last."""
    q, k, n = unit(8, 5, 0), unit(8, 5, 1), unit(30, 5, 2)
    logits = torch.cat([q @ n.T, torch.einsum("bd,bd->b", q, k)[:, None]], 1) / 0.2
    expected = F.cross_entropy(logits, torch.full((8,), 30))
    torch.testing.assert_close(info_nce(q, k, n), expected)


@pytest.mark.parametrize("size", [1, 1024, 65536])
def test_chance_is_the_logarithm_of_the_number_of_classes(size):
    q = torch.tensor([[1.0, 0.0]]).double()
    other = torch.tensor([[0.0, 1.0]]).double()  # as far from all keys
    loss = info_nce(q, other, other.expand(size, 2), 0.07)
    assert loss.item() == pytest.approx(math.log(size + 1))


def test_a_small_step_down_the_gradient_goes_towards_the_key():
    q, k, n = unit(1, 4, 0).requires_grad_(), unit(1, 4, 1), unit(20, 4, 2)
    info_nce(q, k, n, 0.2).backward()
    weights = torch.softmax(torch.cat([q @ k.T, q @ n.T], 1).detach() / 0.2, 1)[0]
    pull = (1 - weights[0]) * k - weights[1:] @ n  # in closed form
    torch.testing.assert_close(-q.grad, pull / 0.2)
    assert (-q.grad * (k - n.mean(0))).sum() > 0


@pytest.mark.parametrize(
    ("shapes", "temperature", "message"),
    [
        (((2, 3), (3, 3), (4, 3)), 0.2, r"query \(2, 3\), key \(3, 3\)"),
        (((2, 3), (2, 3), (4, 2)), 0.2, r"negatives \(4, 2\) must be"),
        (((2, 3), (2, 3), (4, 3)), 0.0, r"temperature=0\.0 must be above 0"),
    ],
)
def test_loss_names_bad_arguments(shapes, temperature, message):
    with pytest.raises(ValueError, match=message):
        info_nce(*(torch.ones(shape) for shape in shapes), temperature)


# The queue.


def queue(dim=3, size=8, seed=0):
    return FeatureQueue(dim, size, torch.Generator().manual_seed(seed))


@settings(max_examples=30)
@given(st.sampled_from([4, 8, 12]), st.data())
def test_queue_holds_what_a_deque_holds(size, data):
    """Batches may change their size, also where one wraps round the end."""
    allowed = [b for b in range(1, size + 1) if size % b == 0]
    ring = queue(size=size)
    slow = deque(ring.keys.tolist(), maxlen=size)
    for i, b in enumerate(data.draw(st.lists(st.sampled_from(allowed), max_size=8))):
        keys = torch.full((b, 3), float(i)) + torch.arange(b)[:, None] / 100
        ring.push(keys)
        slow.extend(keys.tolist())
    oldest_first = ring.negatives().roll(-int(ring.pointer), 0)
    assert oldest_first.tolist() == list(slow)


def test_wrap_around():
    ring = queue(dim=1, size=4)
    for value in (1.0, 2.0, 3.0):
        ring.push(torch.full((2, 1), value))
    assert ring.negatives().flatten().tolist() == [3, 3, 2, 2]
    assert ring.pointer == 2
    ring.push(torch.full((4, 1), 5.0))  # from place 2 on, over the end
    assert ring.negatives().flatten().tolist() == [5] * 4


def test_queue_starts_with_unit_rows_of_its_generator():
    rows = queue(64, 32).negatives()
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(32))
    assert torch.equal(rows, queue(64, 32).negatives())
    assert not torch.equal(rows, queue(64, 32, seed=1).negatives())


def test_queue_is_saved_with_its_pointer():
    ring, twin = queue(), queue(seed=1)
    ring.push(torch.ones(4, 3))
    twin.load_state_dict(ring.state_dict())
    assert torch.equal(twin.keys, ring.keys)
    assert twin.pointer == 4


def test_keys_in_the_queue_are_constants():
    ring, keys = queue(), torch.ones(4, 3, requires_grad=True)
    ring.push(2 * keys)
    assert not ring.negatives().requires_grad


def loss_then_push(copy):
    ring, q = queue(), unit(4, 3, dtype=torch.float32).requires_grad_()
    negatives = ring.negatives() if copy else ring.keys
    loss = info_nce(q, q.detach(), negatives)
    ring.push(q)
    loss.backward()
    return q.grad


def test_without_the_copy_autograd_stops():
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss_then_push(copy=False)
    assert loss_then_push(copy=True).abs().sum() > 0


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: queue().push(torch.ones(3, 3)), "the batch, 3, must divide the size"),
        (lambda: queue().push(torch.ones(16, 3)), "the batch, 16, must divide"),
        (lambda: queue().push(torch.ones(0, 3)), "the batch, 0, must divide"),
        (lambda: queue().push(torch.ones(4, 2)), r"keys \(4, 2\) must be \(B, 3\)"),
        (lambda: queue(dim=0), "dim=0 must be 1 or more"),
        (lambda: queue(size=0), "size=0 must be 1 or more"),
    ],
)
def test_queue_names_bad_arguments(bad, message):
    with pytest.raises(ValueError, match=message):
        bad()


# Normalisation in parts.


def norms(splits, features=5):
    """Return the layer, and one plain layer for each part, with equal weights."""
    split = SplitBatchNorm2d(features, splits)
    nn.init.normal_(split.weight)
    nn.init.normal_(split.bias)
    plain = [nn.BatchNorm2d(features) for _ in range(splits)]
    for layer in plain:
        layer.load_state_dict(split.state_dict())
    return split, plain


@pytest.mark.parametrize("splits", [1, 2, 4])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_each_part_is_normalised_as_by_a_layer_of_its_own(splits, layout):
    split, plain = norms(splits)
    for _ in range(3):
        x = 3 * torch.randn(8, 5, 4, 3) + torch.arange(8).view(8, 1, 1, 1)
        x = x.contiguous(memory_format=layout).requires_grad_()
        y, slow = split(x), torch.empty(8, 5, 4, 3)
        for j, layer in enumerate(plain):
            slow[j::splits] = layer(x[j::splits])
        torch.testing.assert_close(y, slow)
    weights = torch.randn(8, 5, 4, 3)
    ours, theirs = (
        torch.autograd.grad((out * weights).sum(), x, retain_graph=True)[0]
        for out in (y, slow)
    )
    torch.testing.assert_close(ours, theirs)
    for name in ("running_mean", "running_var"):
        mean = torch.stack([getattr(layer, name) for layer in plain]).mean(dim=0)
        torch.testing.assert_close(getattr(split, name), mean)
    assert split.num_batches_tracked == 3


def test_in_eval_mode_it_is_plain_batchnorm():
    split, (plain, _) = norms(2)
    split(torch.randn(8, 5, 4, 4))
    plain.load_state_dict(split.state_dict())
    x = torch.randn(3, 5, 4, 4)  # an odd batch is no trouble here
    assert torch.equal(split.eval()(x), plain.eval()(x))


def test_permuting_a_batch_changes_nothing_for_batchnorm_but_does_for_parts():
    """Why shuffling alone does nothing on one device."""
    x, order = torch.randn(8, 5, 4, 4), torch.tensor([0, 3, 5, 6, 1, 2, 4, 7])
    back = order.argsort()
    split, (plain, _) = norms(2)
    torch.testing.assert_close(plain(x[order])[back], plain(x))
    assert (split(x[order])[back] - split(x)).abs().max() > 0.01


def test_split_norm_names_bad_arguments():
    with pytest.raises(ValueError, match="splits=0 must be 1 or more"):
        SplitBatchNorm2d(4, 0)
    with pytest.raises(ValueError, match="splits=3 must divide the batch, 4"):
        SplitBatchNorm2d(2, 3)(torch.ones(4, 2, 1, 1))
