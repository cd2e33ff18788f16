"""Dynamic ReLU against loops, and its start as the plain rectifier."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lib.layers import (
    DynamicReLU,
    LeanDynamicReLU,
    SpatialDynamicReLU,
    fuse,
    token_shares,
)


def wild(layer):
    """Give the slopes weights that make them differ."""
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer


def one_slope_pair(layer, z):
    """Compute both slopes of every channel for one token, straight from the paper."""
    first, _, second, _ = layer.slopes
    hidden = (first.weight @ z + first.bias).clamp(min=0)
    p = ((second.weight @ hidden + second.bias + 3).clamp(0, 6)) / 6
    half = len(p) // 2
    return (p[:half] - 0.5) * 2 + 1, (p[half:] - 0.5) * 2


def test_is_the_loop():
    layer, x, z = wild(DynamicReLU(5, 8)), torch.randn(3, 5, 4, 6), torch.randn(3, 8)
    y = layer(x, z)
    for b in range(3):
        a1, a2 = one_slope_pair(layer, z[b])
        for c in range(5):
            for i in range(4):
                for j in range(6):
                    v = x[b, c, i, j]
                    torch.testing.assert_close(y[b, c, i, j], max(a1[c] * v, a2[c] * v))


@pytest.mark.parametrize("seed", range(3))
def test_starts_as_relu(seed):
    torch.manual_seed(seed)
    layer, z = DynamicReLU(64, 192), torch.randn(8, 192)
    a1, a2 = layer.coefficients(z)
    assert (a1 - 1).abs().max() < 0.02
    assert a2.abs().max() < 0.02
    x = torch.randn(8, 64, 5, 5)
    torch.testing.assert_close(layer(x, z), x.relu(), rtol=0, atol=0.1)
    layer.slopes[2].weight.data.zero_()
    assert torch.equal(layer(x, z), x.relu())


@given(scale=st.floats(0, 1e3), seed=st.integers(0, 10))
def test_range_of_the_slopes(scale, seed):
    torch.manual_seed(seed)
    a1, a2 = wild(DynamicReLU(6, 8)).coefficients(scale * torch.randn(4, 8))
    assert 0 <= a1.min() <= a1.max() <= 2
    assert -1 <= a2.min() <= a2.max() <= 1


@given(scale=st.floats(0, 100))
def test_scales_with_its_input(scale):
    layer, z = wild(DynamicReLU(3, 8)), torch.randn(2, 8)
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(layer(scale * x, z), scale * layer(x, z))


def test_gradients_are_those_of_the_maximum():
    layer = wild(DynamicReLU(3, 8)).double()
    x = torch.randn(2, 3, 4, 4, dtype=torch.double, requires_grad=True)
    z = torch.randn(2, 8, dtype=torch.double)
    a1, a2 = (a[:, :, None, None] for a in layer.coefficients(z))
    wanted = [x, *layer.parameters()]
    weights = torch.randn_like(x)
    ours = torch.autograd.grad((weights * layer(x, z)).sum(), wanted)
    plain = torch.autograd.grad((weights * torch.maximum(a1 * x, a2 * x)).sum(), wanted)
    torch.testing.assert_close(ours, plain)


def test_keeps_channels_last():
    layer, z = wild(DynamicReLU(6, 8)), torch.randn(2, 8)
    x = torch.randn(2, 6, 4, 4)
    y = layer(x.to(memory_format=torch.channels_last), z)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(y, layer(x, z))


def test_gradients():
    layer = wild(DynamicReLU(2, 4)).double()
    x = torch.randn(2, 2, 2, 2, dtype=torch.double, requires_grad=True)
    z = torch.randn(2, 4, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x, z))


def test_shares_are_weights_of_the_tokens():
    logits = torch.randn(2, 3, 5, 8, 6)
    shares = token_shares(logits, (4, 3))
    assert shares.shape == (2, 5, 4, 3)
    torch.testing.assert_close(shares.sum(1), torch.ones(2, 4, 3))
    block = logits.mean(1)[1, :, 2:4, 4:6].mean(dim=(1, 2)).softmax(0)
    torch.testing.assert_close(shares[1, :, 1, 2], block)


@pytest.mark.parametrize("size", [(13, 9), (1, 1)])
def test_shares_at_odd_sizes(size):
    assert token_shares(torch.randn(1, 2, 3, 25, 17), size).shape == (1, 3, *size)


def test_spatial_is_the_loop():
    layer = wild(SpatialDynamicReLU(3, 8))
    x, tokens = torch.randn(2, 3, 4, 5), torch.randn(2, 6, 8)
    shares = torch.randn(2, 6, 4, 5).softmax(1)
    y = layer(x, tokens, shares)
    for b in range(2):
        pairs = [one_slope_pair(layer, tokens[b, m]) for m in range(6)]
        for i in range(4):
            for j in range(5):
                a1 = sum(shares[b, m, i, j] * pairs[m][0] for m in range(6))
                a2 = sum(shares[b, m, i, j] * pairs[m][1] for m in range(6))
                v = x[b, :, i, j]
                torch.testing.assert_close(y[b, :, i, j], torch.maximum(a1 * v, a2 * v))


def test_spatial_with_equal_tokens_is_the_shared_one():
    spatial, shared = wild(SpatialDynamicReLU(3, 8)), DynamicReLU(3, 8)
    shared.load_state_dict(spatial.state_dict())
    x, z = torch.randn(2, 3, 4, 5), torch.randn(2, 8)
    shares = torch.randn(2, 6, 4, 5).softmax(1)
    tokens = z[:, None].expand(2, 6, 8)
    torch.testing.assert_close(spatial(x, tokens, shares), shared(x, z))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_lean_rectifier_is_the_same_and_leaves_its_input(layout):
    torch.manual_seed(0)
    plain = DynamicReLU(6, 8)
    for parameter in plain.parameters():
        nn.init.normal_(parameter, std=3)
    lean = LeanDynamicReLU(6, 8)
    lean.load_state_dict(plain.state_dict())
    x = torch.randn(3, 6, 5, 4).contiguous(memory_format=layout)
    context, kept = torch.randn(3, 8), x.clone()
    a1, a2 = (a[:, :, None, None] for a in plain.coefficients(context))
    assert (a1 < a2).any(), "the test needs slopes of which the second is larger"
    assert (a1 > a2).any(), "and others of which the first is"
    with torch.inference_mode():
        torch.testing.assert_close(lean(x, context), torch.maximum(a1 * x, a2 * x))
    assert torch.equal(x, kept)
    x.requires_grad_()
    lean(x, context).square().sum().backward()
    mine, x.grad = x.grad, None
    plain(x, context).square().sum().backward()
    torch.testing.assert_close(mine, x.grad)


def test_fusing_makes_rectifiers_lean():
    torch.manual_seed(0)
    model = torch.nn.ModuleDict({"act": DynamicReLU(6, 8)}).eval()
    x, context = torch.randn(2, 6, 3, 3), torch.randn(2, 8)
    before = model["act"](x, context)
    assert type(fuse(model)["act"]) is LeanDynamicReLU
    with torch.no_grad():
        torch.testing.assert_close(model["act"](x, context), before)
