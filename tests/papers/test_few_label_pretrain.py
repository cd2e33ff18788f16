"""Pretrainings of chapter 4: exact shares, equal steps, same seed same weights."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lib.papers import few_label
from lib.papers.few_label import pretrain
from lib.training import warmup_cosine


def pool(n, start=0):
    """Return n tiny pictures; all pixels of picture i are start + i."""
    return (start + torch.arange(n).float()).view(n, 1, 1, 1).expand(n, 3, 2, 2)


def numbers(batch):
    return batch[:, 0, 0, 0].tolist()


def noise(images, generator):
    """Stand in for the augmentation: as cheap, and drawn from the generator."""
    return images + 0.05 * torch.randn(images.shape, generator=generator)


# Batches.


@settings(max_examples=30)
@given(
    st.integers(1, 20),
    st.integers(1, 20),
    st.floats(0, 1),
    st.integers(1, 12),
    st.integers(0, 9),
)
def test_each_batch_has_the_share_and_each_pool_is_gone_through(n, m, share, b, steps):
    generator = torch.Generator().manual_seed(0)
    found = list(
        few_label.mixed_batches(pool(n), pool(m, 100), share, b, generator, steps)
    )
    assert len(found) == steps
    part = round(share * b)
    for batch in found:
        assert batch.shape == (b, 3, 2, 2)
        assert [value >= 100 for value in numbers(batch)] == (
            [False] * (b - part) + [True] * part
        )
    rows = [value for batch in found for value in numbers(batch)]
    for size, start in ((n, 0), (m, 100)):
        mine = [value for value in rows if (value >= 100) == (start == 100)]
        counts = [mine.count(start + i) for i in range(size)]
        assert max(counts) - min(counts) <= 1  # nothing left out, nothing favoured


def test_each_round_is_shuffled_anew_by_the_generator():
    def rounds(seed):
        generator = torch.Generator().manual_seed(seed)
        made = few_label.mixed_batches(pool(8), pool(8), 0, 8, generator, 3)
        return [numbers(batch) for batch in made]

    one, two, three = rounds(0)
    assert sorted(one) == sorted(two) == sorted(three) == list(range(8))
    assert one != two != three
    assert rounds(0) == [one, two, three]
    assert rounds(1) != [one, two, three]


def test_a_small_pool_fills_a_large_part():
    generator = torch.Generator().manual_seed(0)
    made = few_label.mixed_batches(pool(9), pool(3, 100), 0.5, 16, generator, 1)
    target = numbers(next(made))[8:]
    assert sorted(target.count(100.0 + i) for i in range(3)) == [2, 3, 3]


def test_a_pool_that_is_not_needed_may_be_empty():
    generator = torch.Generator().manual_seed(0)
    made = few_label.mixed_batches(pool(5), pool(0), 0, 4, generator, 2)
    assert [len(batch) for batch in made] == [4, 4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share": 1.1}, r"share=1\.1 must be from 0 to 1"),
        ({"batch": 0}, "batch=0 must be 1 or more"),
        ({"steps": -1}, "steps=-1 0 or more"),
        ({"target": pool(0)}, r"target is empty, but share=0\.5 needs its pictures"),
        ({"source": pool(0)}, "source is empty"),
    ],
)
def test_bad_arguments_are_named_before_the_first_batch(change, message):
    arguments = dict(source=pool(4), target=pool(4), share=0.5, batch=4, steps=1)
    with pytest.raises(ValueError, match=message):
        few_label.mixed_batches(**arguments | change, generator=torch.Generator())


@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 5))
def test_plain_share_counts_the_list_that_is_put_together(n, m, repeats):
    together = [False] * n + [True] * m * repeats
    share = few_label.plain_share(n, m, repeats)
    assert share == pytest.approx(sum(together) / len(together))


@pytest.mark.parametrize("numbers", [(0, 0, 1), (-1, 5, 1), (3, 3, -1)])
def test_plain_share_refuses_what_is_no_count(numbers):
    with pytest.raises(ValueError, match=f"n_source={numbers[0]}, n_target="):
        few_label.plain_share(*numbers)


# All pretrainings.


class Watched(nn.Module):
    """A linear encoder that notes how many target pictures each batch had."""

    feature_dim = 4

    def __init__(self):
        super().__init__()
        self.layer, self.seen = nn.Linear(12, 4), []

    def forward(self, x):
        if self.training:
            self.seen.append(int((x[:, 0, 0, 0] > 50).sum()))
        return self.layer(x.flatten(1))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("random", []),
        ("supervised", [0] * 7),
        ("source", [0] * 7),
        ("target", [8] * 7),
        ("tup", [4] * 7),
        ("sequential", [0] * 3 + [4] * 4),
        ("supervised_tup", [0] * 3 + [4] * 4),
    ],
)
def test_each_pretraining_sees_what_it_should_in_as_many_steps(name, expected):
    encoder, losses = Watched(), []
    before = copy.deepcopy(encoder.state_dict())
    found = few_label.PRETRAININGS[name](
        encoder,
        (pool(20), torch.arange(20) % 3),
        pool(10, 100),
        7,
        augment=noise,
        generator=torch.Generator().manual_seed(0),
        batch=8,
        queue=16,
        warmup=1,
        losses=losses,
    )
    assert found is encoder
    assert not found.training
    assert encoder.seen == expected
    assert len(losses) == len(expected)
    moved = (encoder.layer.weight - before["layer.weight"]).abs().max()
    assert (moved > 0) == bool(expected)


def test_all_pretrainings_are_tested():
    names = ["random", "supervised", "source", "target", "tup", "sequential"]
    assert list(few_label.PRETRAININGS) == [*names, "supervised_tup"]


def test_share_and_head_reach_tup():
    encoder = Watched()
    few_label.tup(
        encoder,
        (pool(20), torch.zeros(20)),
        pool(10, 100),
        2,
        share=0.25,
        head="v1",
        batch=8,
        queue=8,
        warmup=0,
        augment=noise,
        generator=torch.Generator(),
    )
    assert encoder.seen == [2, 2]


def pictures(n, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 3, 16, 16, generator=generator)


def run(name, seed=0, steps=4):
    torch.manual_seed(seed)
    losses = []
    encoder = few_label.PRETRAININGS[name](
        few_label.small_encoder(),
        (pictures(24, 1), torch.arange(24) % 3),
        pictures(10, 2),
        steps,
        augment=noise,
        generator=torch.Generator().manual_seed(seed),
        batch=8,
        queue=16,
        warmup=1,
        losses=losses,
    )
    return encoder.state_dict(), losses


@pytest.mark.parametrize("name", ["supervised", "tup", "supervised_tup"])
def test_same_seed_same_weights_and_finite_losses(name):
    (one, losses), (two, _), (other, _) = run(name), run(name), run(name, seed=1)
    assert torch.tensor(losses).isfinite().all()
    assert all(
        torch.equal(a, b) for a, b in zip(one.values(), two.values(), strict=True)
    )
    assert not torch.equal(one["layers.0.weight"], other["layers.0.weight"])


def test_labels_are_learned():
    """Three plain colours are told apart in a few steps."""
    y = torch.arange(24) % 3
    x = torch.eye(3)[y].view(24, 3, 1, 1).expand(24, 3, 16, 16)
    losses = []
    few_label.pretrain_supervised(
        few_label.small_encoder(),
        x,
        y,
        15,
        augment=noise,
        generator=torch.Generator().manual_seed(0),
        batch=12,
        warmup=2,
        losses=losses,
    )
    assert losses[0] > 0.9
    assert losses[-1] < 0.3


@pytest.mark.parametrize("labels", [False, True])
def test_the_loops_equal_a_loop_by_hand(labels):
    """The weights after three steps: two views a picture, AdamW, warm-up, cosine."""
    x, y, steps = pictures(8, 3), torch.arange(8) % 2, 3
    options = dict(augment=noise, rate=0.01, decay=0.1, warmup=1)
    torch.manual_seed(5)
    ours = few_label.small_encoder()
    slow = copy.deepcopy(ours)
    state = torch.random.get_rng_state()
    generator = torch.Generator().manual_seed(9)
    if labels:
        few_label.pretrain_supervised(
            ours, x, y, steps, generator=generator, batch=8, **options
        )
    else:
        few_label.pretrain_moco(
            ours, "book", [x] * steps, steps, generator=generator, queue=16, **options
        )
    torch.random.set_rng_state(state)
    generator = torch.Generator().manual_seed(9)
    if labels:
        model = nn.Sequential(slow, nn.Linear(128, 2))
    else:
        head = few_label.projection_head(128)
        model = few_label.MoCo(slow, head, queue=16, generator=generator)
    model.train()
    weights = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, 0.01, weight_decay=0.1)
    schedule = warmup_cosine(optimiser, steps, 1)
    for _ in range(steps):
        if labels:
            order = torch.randperm(8, generator=generator)
            answers = model(noise(x[order], generator))
            loss = nn.functional.cross_entropy(answers, y[order])
        else:
            a = noise(x, generator)
            loss = model(a, noise(x, generator))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    for a, b in zip(ours.parameters(), slow.parameters(), strict=True):
        # Rounding may differ with the layout, and a step of AdamW is about 0.01.
        torch.testing.assert_close(a, b, rtol=0, atol=5e-4)


def test_pictures_are_laid_out_for_the_processor():
    x = pretrain._channels_last(pictures(2, 0))
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(x, pictures(2, 0))
