import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.training import batches, seed_everything


def draws():
    legacy = np.random.rand()  # noqa: NPY002 -- what other packages draw from
    return random.random(), legacy, torch.rand(1).item()


def test_seeding_repeats_every_source():
    one = seed_everything(3)
    first = draws(), torch.rand(2, generator=one).tolist()
    two = seed_everything(3)
    assert (draws(), torch.rand(2, generator=two).tolist()) == first
    assert one is not torch.default_generator
    seed_everything(4)
    assert draws() != first[0]
    for seed in (-1, 2**32):
        with pytest.raises(ValueError, match=f"seed={seed} must be from 0 to"):
            seed_everything(seed)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@given(
    n=st.integers(1, 30),
    size=st.integers(1, 30),
    epochs=st.integers(0, 3),
)
@settings(deadline=None)
def test_each_epoch_sees_each_row_at_most_once(n, size, epochs):
    size = min(n, size)
    x, y = torch.arange(n), torch.arange(n) * 2
    seen = list(batches(x, y, batch_size=size, generator=generator(), epochs=epochs))
    per_epoch = n // size
    assert len(seen) == epochs * per_epoch
    for epoch in range(epochs):
        rows = torch.cat([a for a, _ in seen[epoch * per_epoch :][:per_epoch]])
        assert len(rows) == len(set(rows.tolist())) == per_epoch * size
    for a, b in seen:
        assert torch.equal(2 * a, b)


def test_epochs_and_steps_agree_and_shuffles_differ():
    x = torch.arange(64)
    a = list(batches(x, batch_size=16, generator=generator(), epochs=2))
    b = list(batches(x, batch_size=16, generator=generator(), steps=8))
    assert [t[0].tolist() for t in a] == [t[0].tolist() for t in b]
    assert (
        torch.cat([t[0] for t in a[:4]]).tolist()
        != torch.cat([t[0] for t in a[4:]]).tolist()
    )


@pytest.mark.parametrize("start", [0, 3, 4, 7, 10])
def test_a_continued_run_sees_the_rest(start):
    x = torch.arange(10)
    whole = list(batches(x, batch_size=3, generator=generator(), steps=10))
    rest = list(batches(x, batch_size=3, generator=generator(), steps=10, start=start))
    assert [t[0].tolist() for t in rest] == [t[0].tolist() for t in whole[start:]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 6}, "batch_size=6 must be from 1 to 5, the rows"),
        ({"batch_size": 0}, "batch_size=0 must be"),
        ({"steps": None}, "give either epochs or steps, not epochs=None and steps=N"),
        ({"epochs": 1}, "give either epochs or steps, not epochs=1 and steps=2"),
        ({"steps": -1}, "steps=-1 must be 0 or more"),
        ({"start": -1}, "start=-1 must be 0 or more"),
    ],
)
def test_bad_arguments_are_named_at_once(arguments, message):
    given = {"batch_size": 2, "steps": 2, "generator": generator(), **arguments}
    with pytest.raises(ValueError, match=message):
        batches(torch.zeros(5), **given)


def test_tensors_must_belong_together():
    for tensors in ((torch.zeros(5), torch.zeros(4)), ()):
        with pytest.raises(ValueError, match="all must have as many"):
            batches(*tensors, batch_size=1, generator=generator(), steps=1)
