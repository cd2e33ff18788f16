"""Stripes against slow loops: cutting, attention, LePE, padding, gradients."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lib.layers import (
    CrossShapedAttention,
    LePE,
    StripeAttention,
    crop_rows,
    pad_rows,
    stripe_merge,
    stripe_partition,
)
from lib.layers import stripes as module
from lib.layers.stripes import by_columns, real_keys

SIDES = st.integers(1, 6)


# Slow references, written from the equations, one stripe and one head at a time.


def slow_partition(x, h, w):
    """Collect the tokens of each tile, token by token."""
    B, H, W = x.shape[:3]
    return torch.stack(
        [
            torch.stack([x[b, i + r, j + c] for r in range(h) for c in range(w)])
            for b in range(B)
            for i in range(0, H, h)
            for j in range(0, W, w)
        ]
    )


def slow_tile(q, k, v, heads, lepe, bias=None, real=None):
    """Attend among the tokens of one tile (h, w, C), queries of all."""
    h, w, C = v.shape
    keys = torch.ones(h, w, dtype=torch.bool) if real is None else real
    k_, v_ = k[keys], v[keys]  # tokens that are padding are not there at all
    out = []
    for head in torch.arange(C).chunk(heads):
        scores = q.reshape(h * w, C)[:, head] @ k_[:, head].T / len(head) ** 0.5
        if bias is not None:
            scores = scores + bias[len(out)][:, keys.flatten()]
        weights = scores.exp() / scores.exp().sum(1, keepdim=True)  # equation 2
        out.append(weights @ v_[:, head])
    y = torch.cat(out, 1).reshape(h, w, C)
    if lepe is not None:  # each channel by its own 3x3 sum, zero outside of the tile
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                for i in range(h):
                    for j in range(w):
                        if 0 <= i + dy < h and 0 <= j + dx < w:
                            tap = lepe.conv.weight[:, 0, dy + 1, dx + 1]
                            y[i, j] = y[i, j] + tap * v[i + dy, j + dx]
        y = y + lepe.conv.bias
    return y


def slow_branch(branch, q, k, v):
    """Attend stripe by stripe with the padding of the official code."""
    B, H, W = q.shape[:3]
    vertical, full = branch.orientation == "vertical", branch.orientation == "full"
    length = W if vertical else H
    size = H if full else branch.stripe
    extra = -length % size
    before, after = extra // 2, extra - extra // 2
    sides = (0, 0, before, after) if vertical else (0, 0, 0, 0, before, after)
    q, k, v, real = (F.pad(t, sides) for t in (q, k, v, torch.ones(1, H, W, 1)))
    y = torch.zeros_like(v)
    for b in range(B):
        for start in range(0, length + extra, size):
            stripe = slice(start, start + size)
            place = (slice(None), stripe) if vertical else (stripe, slice(None))
            tile = [t[b][place] for t in (q, k, v)]
            keys = real[0, ..., 0][place] > 0 if branch.mask_padding else None
            bias = branch.bias(*tile[0].shape[:2]) if branch.bias else None
            y[b][place] = slow_tile(*tile, branch.heads, branch.lepe, bias, keys)
    i, j = (0, before) if vertical else (before, 0)
    return y[:, i : i + H, j : j + W]


class Table(nn.Module):
    """Some number for each pair of tokens of a tile, by their offset."""

    def __init__(self, heads):
        super().__init__()
        self.slopes = nn.Parameter(torch.randn(heads, 2))

    def forward(self, h, w):
        i, j = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        place = torch.stack([i, j], -1).reshape(-1, 2).float()
        offset = place[None] - place[:, None]  # (h * w, h * w, 2)
        return (offset @ self.slopes.T).permute(2, 0, 1).sin()


def qkv(*shape):
    return [torch.randn(*shape, requires_grad=True) for _ in range(3)]


# Cutting and putting back.


@given(B=st.integers(1, 3), n=SIDES, m=SIDES, h=SIDES, w=SIDES)
@settings(max_examples=30, deadline=None)
def test_merge_is_the_inverse_of_partition(B, n, m, h, w):
    x = torch.randn(B, n * h, m * w, 3)
    tiles = stripe_partition(x, h, w)
    assert tiles.shape == (B * n * m, h * w, 3)
    assert torch.equal(stripe_merge(tiles, h, w, n * h, m * w), x)


@pytest.mark.parametrize(("h", "w"), [(1, 6), (4, 1), (2, 3), (4, 6), (1, 1)])
def test_partition_is_the_slow_one(h, w):
    x = torch.arange(2 * 4 * 6 * 2.0).reshape(2, 4, 6, 2)
    assert torch.equal(stripe_partition(x, h, w), slow_partition(x, h, w))


def test_partition_takes_any_axes_at_the_end():
    x = torch.randn(2, 4, 6, 3, 5)
    flat = stripe_partition(x.flatten(3), 2, 3)
    assert torch.equal(stripe_partition(x, 2, 3).flatten(2), flat)
    assert torch.equal(stripe_merge(stripe_partition(x, 2, 3), 2, 3, 4, 6), x)


def test_stripes_of_rows_are_not_copied():
    packed = torch.randn(2, 4, 6, 9)
    x = packed[..., 3:6]  # a part of every token, as attention gets it
    assert stripe_partition(x, 2, 6).data_ptr() == x.data_ptr()
    assert stripe_partition(x, 4, 3).data_ptr() != x.data_ptr()


@pytest.mark.parametrize(("h", "w"), [(3, 6), (4, 4), (0, 6), (8, 6)])
def test_tiles_must_fill_the_map(h, w):
    with pytest.raises(ValueError, match=rf"h={h}, w={w} must divide .* 4 and 6"):
        stripe_partition(torch.zeros(1, 4, 6, 2), h, w)
    with pytest.raises(ValueError, match=rf"h={h}, w={w} must divide H=4, W=6"):
        stripe_merge(torch.zeros(1, 24, 2), h, w, 4, 6)


def test_tiles_must_have_the_size_they_say():
    with pytest.raises(ValueError, match="give tiles of 6"):
        stripe_merge(torch.zeros(4, 6, 2), 2, 2, 4, 6)


@given(H=st.integers(1, 9), h=st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_padding_is_even_and_crops_back(H, h):
    x = torch.randn(2, H, 3, 2)
    padded = pad_rows(x, h)
    assert padded.shape[1] % h == 0
    assert padded.shape[1] - H < h
    assert torch.equal(crop_rows(padded, H), x)
    empty = (padded == 0).all(dim=(0, 2, 3))
    above, below = int(empty[: h - 1].sum()), int(empty.sum())
    assert above <= below
    top = next((i for i in range(len(empty)) if not empty[i]), 0)
    assert top == (padded.shape[1] - H) // 2


def test_what_needs_no_padding_is_not_touched():
    x = torch.randn(1, 6, 4, 2)
    assert pad_rows(x, 3) is x
    assert crop_rows(x, 6) is x
    assert real_keys(x, 3) is None


# Attention.


@pytest.mark.parametrize("orientation", ["vertical", "horizontal", "full"])
@pytest.mark.parametrize("stripe", [1, 2, 3])
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("size", [(4, 3), (2, 5)])
def test_branch_is_the_slow_one(orientation, stripe, mask, size):
    branch = StripeAttention(8, 2, stripe, orientation, mask_padding=mask)
    inputs = qkv(2, *size, 8)
    y, want = branch(*inputs), slow_branch(branch, *inputs)
    torch.testing.assert_close(y, want, rtol=1e-5, atol=1e-5)
    weights = [*inputs, *branch.parameters()]
    noise = torch.randn_like(y)
    found = torch.autograd.grad((y * noise).sum(), weights)
    expected = torch.autograd.grad((want * noise).sum(), weights)
    for got, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


@given(
    H=st.integers(1, 8),
    W=st.integers(1, 8),
    stripe=st.integers(1, 9),
    orientation=st.sampled_from(["vertical", "horizontal"]),
    mask=st.booleans(),
    lepe=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_any_size(H, W, stripe, orientation, mask, lepe):
    branch = StripeAttention(4, 2, stripe, orientation, lepe=lepe, mask_padding=mask)
    inputs = qkv(1, H, W, 4)
    y = branch(*inputs)
    torch.testing.assert_close(y, slow_branch(branch, *inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("orientation", ["vertical", "horizontal", "full"])
@pytest.mark.parametrize("mask", [False, True])
def test_bias_is_added_in_the_order_of_the_tile(orientation, mask):
    branch = StripeAttention(4, 2, 2, orientation, mask_padding=mask)
    branch.bias = Table(2)
    inputs = qkv(2, 5, 3, 4)
    torch.testing.assert_close(branch(*inputs), slow_branch(branch, *inputs))


def test_by_columns_is_its_own_inverse():
    bias = torch.randn(2, 12, 12)
    turned = by_columns(bias, 3, 4)
    assert not torch.equal(turned, bias)
    assert torch.equal(by_columns(turned, 4, 3), bias)


@pytest.mark.parametrize("orientation", ["vertical", "horizontal"])
@pytest.mark.parametrize("stripe", [1, 2, 3])
def test_stripes_are_full_attention_under_a_mask(orientation, stripe):
    H, W = 6, 12
    branch = StripeAttention(8, 2, stripe, orientation, lepe=False)
    q, k, v = qkv(2, H, W, 8)
    i, j = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    line = (j if orientation == "vertical" else i).flatten() // stripe
    same = line[:, None] == line[None]  # who shares a stripe
    heads = [t.reshape(2, H * W, 2, 4).transpose(1, 2) for t in (q, k, v)]
    scores = heads[0] @ heads[1].mT / 2
    weights = scores.masked_fill(~same, -torch.inf).softmax(-1)
    want = (weights @ heads[2]).transpose(1, 2).reshape(2, H, W, 8)
    torch.testing.assert_close(branch(q, k, v), want, rtol=1e-5, atol=1e-5)


def test_full_is_one_tile_whatever_the_stripe():
    inputs = qkv(2, 5, 7, 8)
    branch = StripeAttention(8, 2, None, "full", lepe=False)
    flat = [t.reshape(2, 35, 2, 4).transpose(1, 2) for t in inputs]
    want = F.scaled_dot_product_attention(*flat).transpose(1, 2).reshape(2, 5, 7, 8)
    torch.testing.assert_close(branch(*inputs), want)


def test_official_padding_takes_part_and_the_masked_does_not():
    inputs = qkv(1, 5, 6, 4)
    plain = StripeAttention(4, 1, 3, "horizontal", lepe=False)
    masked = StripeAttention(4, 1, 3, "horizontal", lepe=False, mask_padding=True)
    y, z = plain(*inputs), masked(*inputs)
    # Five rows become six: a row of zeros below, in the second stripe.
    torch.testing.assert_close(y[:, :3], z[:, :3])
    assert (y[:, 3:] - z[:, 3:]).abs().min() > 0


@pytest.mark.parametrize("orientation", ["vertical", "horizontal"])
def test_masked_padding_may_hold_anything(orientation, monkeypatch):
    inputs = qkv(2, 5, 7, 4)
    masked = StripeAttention(4, 2, 3, orientation, lepe=False, mask_padding=True)
    plain = StripeAttention(4, 2, 3, orientation, lepe=False)
    y, z = masked(*inputs), plain(*inputs)

    def pad_with(value):
        def pad(x, h):
            padded = pad_rows(x, h)
            hole = pad_rows(torch.ones_like(x), h) == 0
            return padded.masked_fill(hole, value if x.is_floating_point() else False)

        return pad

    for value in (0.0, 1.0, 1e3):
        monkeypatch.setattr(module, "pad_rows", pad_with(value))
        torch.testing.assert_close(masked(*inputs), y)
    assert (plain(*inputs) - z).abs().max() > 1


# LePE.


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("h", "w"), [(1, 6), (3, 1), (2, 6), (4, 4), (1, 1)])
def test_lepe_is_one_convolution_for_each_tile(h, w, turned):
    lepe = LePE(5)
    v = torch.randn(6, h * w, 5, requires_grad=True)
    kernel = lepe.conv.weight.mT if turned else lepe.conv.weight
    want = torch.stack(
        [
            F.conv2d(
                tile.reshape(1, h, w, 5).permute(0, 3, 1, 2),
                kernel,
                lepe.conv.bias,
                padding=1,
                groups=5,
            )
            .permute(0, 2, 3, 1)
            .reshape(h * w, 5)
            for tile in v
        ]
    )
    y = lepe(v, h, w, turned)
    torch.testing.assert_close(y, want, rtol=1e-5, atol=1e-6)
    noise = torch.randn_like(y)
    for got, wanted in zip(
        torch.autograd.grad((y * noise).sum(), [v, *lepe.parameters()]),
        torch.autograd.grad((want * noise).sum(), [v, *lepe.parameters()]),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_lepe_of_the_whole_map_is_something_else():
    branch = StripeAttention(4, 1, 2, "horizontal")
    v = torch.randn(1, 6, 6, 4)
    zero = torch.zeros_like(v)
    tiles = branch(zero, zero, v) - StripeAttention(4, 1, 2, "horizontal", lepe=False)(
        zero, zero, v
    )
    whole = branch.lepe.conv(v.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    off = (tiles - whole).abs().amax(dim=(0, 2, 3))
    assert (off[[1, 2, 3, 4]] > 1e-3).all()  # rows beside a border between stripes
    assert (off[[0, 5]] < 1e-5).all()


@pytest.mark.parametrize("stripe", [1, 2])
def test_taps_that_no_token_meets_get_no_gradient(stripe):
    attention = CrossShapedAttention(8, 2, stripe)
    attention(torch.randn(1, 4, 4, 8)).square().sum().backward()
    vertical, horizontal = (b.lepe.conv.weight.grad for b in attention.branches)
    alive = (vertical.abs().amax((0, 1)) > 0, horizontal.abs().amax((0, 1)) > 0)
    column = torch.tensor([[False, True, False]] * 3)
    if stripe == 1:
        assert torch.equal(alive[0], column)
        assert torch.equal(alive[1], column.T)
    else:
        assert alive[0].all()
        assert alive[1].all()


def test_dead_taps_change_nothing():
    attention = CrossShapedAttention(8, 2, 1)
    x = torch.randn(1, 4, 4, 8)
    before = attention(x)
    with torch.no_grad():
        vertical, horizontal = (b.lepe.conv.weight for b in attention.branches)
        vertical[:, :, :, [0, 2]] = 7
        horizontal[:, :, [0, 2]] = 7
        assert torch.equal(attention(x), before)
        vertical[:, :, :, 1] = 7
    assert not torch.allclose(attention(x), before)


# Both halves.


@pytest.mark.parametrize("stripe", [1, 2, None])
def test_cross_is_projection_of_slow_branches(stripe):
    attention = CrossShapedAttention(8, 4, stripe)
    x = torch.randn(2, 5, 6, 8)
    q, k, v = attention.qkv(x).split(8, dim=-1)
    if stripe is None:
        seen = slow_branch(attention.branches[0], q, k, v)
    else:  # the first half of the channels is the vertical one
        kinds = [branch.orientation for branch in attention.branches]
        assert kinds == ["vertical", "horizontal"]
        seen = torch.cat(
            [
                slow_branch(branch, q[..., part], k[..., part], v[..., part])
                for branch, part in zip(
                    attention.branches, (slice(0, 4), slice(4, 8)), strict=True
                )
            ],
            dim=-1,
        )
    torch.testing.assert_close(attention(x), attention.proj(seen), rtol=1e-5, atol=1e-5)


def test_a_cross_is_what_both_halves_see_together():
    attention = CrossShapedAttention(8, 2, 1, lepe=False)
    x = torch.randn(1, 5, 5, 8, requires_grad=True)
    attention(x)[0, 1, 3].sum().backward()
    seen = x.grad.abs().sum(-1)[0] > 0
    cross = torch.zeros(5, 5, dtype=torch.bool)
    cross[1], cross[:, 3] = True, True
    assert torch.equal(seen, cross)


def test_parameters_do_not_depend_on_the_stripe():
    sizes = {
        sum(p.numel() for p in CrossShapedAttention(8, 4, stripe).parameters())
        for stripe in (1, 2, 7, None)
    }
    assert sizes == {4 * 8 * 8 + 4 * 8 + 10 * 8}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: StripeAttention(8, 2, 1, "diagonal"), "orientation='diagonal'"),
        (lambda: StripeAttention(8, 3, 1, "vertical"), "heads=3 must divide .* 8"),
        (lambda: StripeAttention(8, 0, 1, "vertical"), "heads=0"),
        (lambda: StripeAttention(8, 2, 0, "vertical"), "stripe=0; allowed are 1"),
        (lambda: StripeAttention(8, 2, None, "horizontal"), "stripe=None"),
        (lambda: CrossShapedAttention(8, 1, 1), "heads=1; needed are even heads"),
        (lambda: CrossShapedAttention(9, 2, 1), "heads=2; .* divide 9"),
        (lambda: CrossShapedAttention(8, 0, None), "heads=0"),
        (lambda: CrossShapedAttention(8, 2, 0), "stripe=0"),
    ],
)
def test_what_cannot_be_built(build, message):
    with pytest.raises(ValueError, match=message):
        build()
