"""Many networks in one graph against one network at a time."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from lib.papers.weaknas.cells import MixNet
from lib.papers.weaknas.trainer import (
    CellStack,
    FlatAdam,
    accuracy,
    cell_data,
    initial_weights,
    stack_losses,
    train_cells,
)

CODES = ["322233", "111111", "000000", "413024", "004321", "123330", "444444", "002000"]
SHORT = {"epochs": 2, "batch": 50, "lr": 1e-2}  # 12 steps

codes = st.lists(st.text("01234", min_size=6, max_size=6), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def data():
    """A small part of the data: 320 pictures to train on, 200 to score."""
    sizes = {"train": 320, "val": 200, "test": 200}
    return {
        split: (x[:, : sizes[split]], y[: sizes[split]])
        for split, (x, y) in cell_data().items()
    }


@given(codes=codes, seed=st.integers(0, 4000))
def test_stack_gives_the_scores_of_its_networks(codes, seed):
    stack, x = CellStack(codes, 6, seed=seed), torch.randn(16, 3, 4)
    scores = stack(x)
    assert scores.shape == (len(codes), 3, 10)
    for k in range(len(codes)):
        torch.testing.assert_close(scores[k], stack.network(k)(x), rtol=1e-4, atol=1e-5)


@given(codes=codes)
@settings(max_examples=25)
def test_stack_gives_the_gradients_of_its_networks(codes):
    stack, x, y = CellStack(codes, 6), torch.randn(16, 3, 4), torch.tensor([1, 0, 9])
    nets = [stack.network(k) for k in range(len(codes))]
    losses = stack_losses(stack(x), y)
    (gradient,) = torch.autograd.grad(losses.sum(), stack.flat)
    stack.flat.data.copy_(gradient)  # now its networks hold gradients
    for k, net in enumerate(nets):
        loss = F.cross_entropy(net(x), y)
        torch.testing.assert_close(loss, losses[k])
        weights = list(net.parameters())
        wanted = torch.autograd.grad(loss, weights, materialize_grads=True)
        for found, g in zip(stack.network(k).parameters(), wanted, strict=True):
            torch.testing.assert_close(found.data, g, rtol=1e-3, atol=1e-5)


@pytest.fixture(scope="module")
def together(data):
    """All codes trained in one graph."""
    return train_cells(CODES, data, seed=5, **SHORT)


def test_alone_or_together_makes_no_difference(data, together):
    for k in (0, 3, 5):
        alone = train_cells(CODES[k : k + 1], data, seed=5, **SHORT)
        torch.testing.assert_close(alone.losses[:, 0], together.losses[:, k])
        torch.testing.assert_close(alone.val[0], together.val[k], rtol=0, atol=0.5)
        torch.testing.assert_close(alone.test[0], together.test[k], rtol=0, atol=0.5)


@pytest.mark.parametrize("k", [0, 3, 7])
def test_equal_to_a_plain_module_trained_by_torch(data, together, k):
    net = CellStack([CODES[k]], seed=5).network(0)
    adam = torch.optim.Adam(net.parameters(), 1e-2)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, 12)
    (x, y), losses = data["train"], []
    shuffler = torch.Generator().manual_seed(5)
    for _ in range(2):
        order = torch.randperm(320, generator=shuffler)[:300]
        for rows in order.split(50):
            loss = F.cross_entropy(net(x[:, rows]), y[rows])
            adam.zero_grad()
            loss.backward()
            adam.step()
            cosine.step()
            losses.append(loss.detach())
    losses = torch.stack(losses)
    torch.testing.assert_close(together.losses[:, k], losses, rtol=1e-3, atol=1e-3)
    with torch.no_grad():
        right = net(data["val"][0]).argmax(1) == data["val"][1]
    share = 100 * right.double().mean()
    torch.testing.assert_close(together.val[k], share, rtol=0, atol=1.0)


def test_training_learns(data):
    found = train_cells(["322233", "000000"], data, epochs=10, batch=20)
    assert found.losses[0, 0] > 3 * found.losses[-1, 0]
    assert found.val[0] > 60
    # The empty cell says the same of every picture.
    torch.testing.assert_close(found.losses[:, 1], torch.full((160,), math.log(10)))
    assert found.test[1] < 20


def test_adam_is_that_of_torch():
    generator = torch.Generator().manual_seed(0)
    ours = torch.randn(50, generator=generator)
    theirs = nn.Parameter(ours.clone())
    adam, reference = FlatAdam(ours), torch.optim.Adam([theirs])
    for step in range(20):
        gradient = torch.randn(50, generator=generator) * 10.0 ** (step % 5 - 3)
        reference.param_groups[0]["lr"] = lr = 0.1 / (1 + step)
        theirs.grad = gradient.clone()
        reference.step()
        adam.step(gradient, lr)
        torch.testing.assert_close(ours, theirs.data)


def test_start_depends_on_seed_and_code_alone():
    many, few = CellStack(CODES, seed=3), CellStack(CODES[3:4], seed=3)
    for a, b in zip(
        many.network(3).parameters(), few.network(0).parameters(), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    draws = [
        initial_weights(code, 12, seed)[0]
        for seed in (0, 1)
        for code in ((3, 2, 2, 2, 3, 3), (3, 2, 2, 2, 3, 2))
    ]
    assert len({tuple(draw.flatten().tolist()) for draw in draws}) == 4


def test_starting_values_have_the_deviations_of_mixnet():
    code = (2, 3, 2, 3, 2, 3)
    drawn = [initial_weights(code, 12, seed) for seed in range(60)]
    nets = [list(MixNet(code).parameters()) for _ in range(60)]
    for ours, theirs in zip(
        zip(*drawn, strict=True), zip(*nets, strict=True), strict=True
    ):
        a, b = torch.stack(ours), torch.stack(theirs).detach()
        assert a.shape == b.shape
        assert a.std().item() == pytest.approx(b.std().item(), rel=0.08)
        assert abs(a.mean()) < 0.1 * a.std()


def test_codes_as_text_or_numbers():
    numbers = torch.tensor([[int(digit) for digit in code] for code in CODES])
    torch.testing.assert_close(
        CellStack(numbers).flat, CellStack(CODES).flat, rtol=0, atol=0
    )


def test_accuracy_counts_all_rows(data):
    stack, (x, y) = CellStack(CODES[:3]), data["val"]
    scores = stack(x)
    wanted = [100 * (s.argmax(1) == y).double().mean() for s in scores]
    torch.testing.assert_close(accuracy(stack, x, y, rows=64), torch.stack(wanted))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="seed=4001"):
        CellStack(CODES, seed=4001)
    with pytest.raises(ValueError, match="code='12345'"):
        CellStack(["12345"])
    with pytest.raises(ValueError, match="seed=-1"):
        initial_weights((0,) * 6, 12, -1)
