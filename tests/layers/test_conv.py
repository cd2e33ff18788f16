"""Convolution, shuffle, squeeze-and-excitation, drop path and fusing."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lib.layers import ConvBNAct, DropPath, SqueezeExcite, channel_shuffle, fuse


@given(groups=st.integers(1, 5), each=st.integers(1, 5), size=st.integers(1, 3))
def test_shuffle_is_the_loop(groups, each, size):
    x = torch.randn(2, groups * each, size, size)
    y = channel_shuffle(x, groups)
    for group in range(groups):
        for k in range(each):
            assert torch.equal(y[:, k * groups + group], x[:, group * each + k])


@given(groups=st.integers(1, 5), each=st.integers(1, 5))
def test_shuffle_back(groups, each):
    x = torch.randn(1, groups * each, 2, 2)
    assert torch.equal(channel_shuffle(channel_shuffle(x, groups), each), x)


def test_shuffle_is_torchs():
    x = torch.randn(2, 12, 3, 3)
    assert torch.equal(channel_shuffle(x, 4), F.channel_shuffle(x, 4))


@pytest.mark.parametrize("groups", [0, 5])
def test_shuffle_refuses(groups):
    with pytest.raises(ValueError, match=f"groups={groups} must divide .* 12"):
        channel_shuffle(torch.zeros(1, 12, 1, 1), groups)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(7, 8), (32, 25)])
def test_conv_keeps_the_size(kernel, stride, size):
    y = ConvBNAct(3, 4, kernel=kernel, stride=stride)(torch.randn(2, 3, *size))
    assert y.shape == (2, 4, -(-size[0] // stride), -(-size[1] // stride))


def test_conv_is_its_parts():
    layer = ConvBNAct(8, 16, groups=4, shuffle=4, act=nn.Hardswish).eval()
    layer.bn.running_mean.normal_()
    x = torch.randn(2, 8, 5, 5)
    y = F.conv2d(x, layer.conv.weight, padding=1, groups=4)
    y = (y - layer.bn.running_mean[:, None, None]) / (1 + layer.bn.eps) ** 0.5
    y = F.hardswish(channel_shuffle(y, 4))
    torch.testing.assert_close(layer(x), y)
    assert layer.conv.bias is None


def test_conv_without_activation_is_linear():
    layer = ConvBNAct(3, 4, act=None).eval()
    x = torch.randn(1, 3, 4, 4)
    torch.testing.assert_close(layer(-2 * x), -2 * layer(x))


def test_squeeze_excite_by_hand():
    layer = SqueezeExcite(8)
    x = torch.randn(2, 8, 3, 4)
    for b in range(2):
        pooled = torch.tensor([x[b, c].mean() for c in range(8)])
        hidden = torch.relu(layer.scale[0](pooled))
        scale = ((layer.scale[2](hidden) + 3) / 6).clamp(0, 1)
        for c in range(8):
            torch.testing.assert_close(layer(x)[b, c], scale[c] * x[b, c])


def test_drop_path():
    x = torch.ones(4000, 2, 1, 1)
    drop = DropPath(0.25)
    torch.manual_seed(0)
    y = drop(x)
    torch.testing.assert_close(y.unique(), torch.tensor([0, 1 / 0.75]))
    assert (y[:, 0] == y[:, 1]).all(), "a picture loses the whole branch or nothing"
    assert y.mean().item() == pytest.approx(1, abs=0.05)
    assert drop.eval()(x) is x
    assert DropPath()(x) is x


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_drop_path_refuses(rate):
    with pytest.raises(ValueError, match=f"rate={rate}"):
        DropPath(rate)


def test_fuse():
    model = nn.Sequential(ConvBNAct(3, 8), ConvBNAct(8, 8, groups=8, act=None))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    x = torch.randn(2, 3, 9, 9)
    with pytest.raises(ValueError, match=r"model\.eval\(\)"):
        fuse(model)
    before = model.eval()(x)
    assert fuse(model) is model
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    torch.testing.assert_close(model(x), before, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fuse(model)(x), before, rtol=1e-4, atol=1e-5)
