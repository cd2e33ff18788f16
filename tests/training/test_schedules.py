import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

from lib.training import cosine_momentum, warmup_cosine


def rates(make, n, lr=0.4):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler, seen = make(optimizer), []
    for _ in range(n):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_without_warm_up_it_is_torchs_cosine():
    ours = rates(lambda o: warmup_cosine(o, 20, final=0.1), 21)
    theirs = rates(lambda o: CosineAnnealingLR(o, 20, eta_min=0.04), 21)
    assert ours == pytest.approx(theirs)


def test_warm_up_peak_and_end():
    seen = rates(lambda o: warmup_cosine(o, 12, warmup=3), 15)
    assert seen[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert seen[3:12] == sorted(seen[3:12], reverse=True)
    assert seen[11] > 0
    assert seen[12:] == pytest.approx([0, 0, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps=0 must be 1 or more"),
        ({"steps": 5, "warmup": 5}, "warmup=5 must be from 0 to steps - 1 = 4"),
        ({"steps": 5, "warmup": -1}, "warmup=-1 must be"),
        ({"steps": 5, "final": 1.5}, r"final=1\.5 must be from 0 to 1"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
    with pytest.raises(ValueError, match=message):
        warmup_cosine(optimizer, **arguments)


def test_cosine_momentum_is_torchs_cosine_read_backwards():
    """From 0.9 to 1, what is missing to 1 falls as a learning rate of 0.1 does."""
    missing = rates(lambda o: CosineAnnealingLR(o, 20), 21, lr=0.1)
    ours = [cosine_momentum(t, 20, 0.9) for t in range(21)]
    assert ours == pytest.approx([1 - rate for rate in missing])


def test_cosine_momentum_may_go_either_way_and_stays_at_its_end():
    assert cosine_momentum(0, 10, 0.99, 0.5) == pytest.approx(0.99)
    assert cosine_momentum(5, 10, 0.9, 0.5) == pytest.approx(0.7)
    assert cosine_momentum(25, 10, 0.9, 0.5) == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0, 0.9), "steps=0 must be 1 or more"),
        ((-1, 5, 0.9), "step=-1 must be 0 or more"),
        ((0, 5, 1.5), r"start=1\.5 must be from 0 to 1"),
        ((0, 5, 0.9, -0.1), r"end=-0\.1 must be from 0 to 1"),
    ],
)
def test_bad_momenta_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        cosine_momentum(*arguments)
