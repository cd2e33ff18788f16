"""Counted multiply-adds against closed forms, whichever kernel runs."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from lib.metrics import count_macs, macs_by_part


@given(
    cin=st.integers(1, 4),
    cout=st.integers(1, 4),
    groups=st.integers(1, 3),
    kernel=st.sampled_from([1, 3]),
    stride=st.integers(1, 2),
    size=st.integers(4, 9),
)
def test_convolution(cin, cout, groups, kernel, stride, size):
    conv = nn.Conv2d(
        cin * groups, cout * groups, kernel, stride, padding=kernel // 2, groups=groups
    )
    out = -(-size // stride)
    expected = 2 * out**2 * (cout * groups) * cin * kernel**2
    assert count_macs(conv, torch.zeros(2, cin * groups, size, size)) == expected


def test_transposed_convolution():
    conv = nn.ConvTranspose2d(6, 4, 3, stride=2, groups=2)
    assert count_macs(conv, torch.zeros(1, 6, 5, 5)) == 25 * 6 * (4 // 2) * 9


def test_one_dimensional_convolution():
    assert count_macs(nn.Conv1d(3, 5, 4), torch.zeros(1, 3, 10)) == 7 * 5 * 3 * 4


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 3, 7)])
def test_linear(bias, shape):
    x = torch.zeros(shape)
    assert count_macs(nn.Linear(7, 5, bias=bias), x) == x.numel() * 5


def test_products():
    a, b = torch.zeros(2, 3, 4), torch.zeros(2, 4, 5)
    assert count_macs(torch.bmm, a, b) == 2 * 3 * 4 * 5
    assert count_macs(torch.matmul, a, b[0]) == 2 * 3 * 4 * 5
    assert count_macs(lambda p, q: torch.einsum("bij,bjk->bik", p, q), a, b) == 120
    assert count_macs(torch.baddbmm, torch.zeros(2, 3, 5), a, b) == 120
    assert count_macs(torch.addmm, torch.zeros(3, 5), a[0], b[0]) == 60
    assert count_macs(torch.mv, a[0], b[0, :, 0]) == 12
    assert count_macs(torch.addmv, torch.zeros(3), a[0], b[0, :, 0]) == 12
    assert count_macs(torch.dot, a[0, 0], a[0, 1]) == 4
    assert count_macs(torch.add, a, a) == 0


@pytest.mark.parametrize("backend", [SDPBackend.MATH, SDPBackend.FLASH_ATTENTION])
def test_attention_whichever_kernel(backend):
    q, kv = torch.zeros(2, 4, 6, 8), torch.zeros(2, 4, 9, 8)
    with sdpa_kernel(backend):
        macs = count_macs(F.scaled_dot_product_attention, q, kv, kv)
    assert macs == 2 * 4 * 6 * 9 * 8 * 2


def test_multihead_attention_module():
    module = nn.MultiheadAttention(16, 4, batch_first=True)
    x = torch.zeros(2, 5, 16)

    def run(x):
        return module(x, x, x, need_weights=False)

    projections, products = 4 * 2 * 5 * 16 * 16, 2 * 2 * 5 * 5 * 16
    assert count_macs(run, x) == projections + products


@pytest.mark.parametrize(
    ("norm", "shape", "each"),
    [
        (nn.BatchNorm2d(4), (2, 4, 3, 3), 2),
        (nn.BatchNorm1d(4), (2, 4), 2),
        (nn.BatchNorm2d(4, affine=False), (2, 4, 3, 3), 1),
        (nn.LayerNorm(4), (2, 3, 4), 5),
        (nn.LayerNorm(4, elementwise_affine=False), (2, 3, 4), 4),
        (nn.GroupNorm(2, 4), (2, 4, 3, 3), 5),
        (nn.GroupNorm(2, 4, affine=False), (2, 4, 3, 3), 4),
    ],
)
def test_normalisation(norm, shape, each):
    x = torch.zeros(shape)
    assert count_macs(norm, x) == each * x.numel()
    assert count_macs(norm, x, include_norm=False) == 0


def test_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout())
    model[2].eval()
    mean = model[1].running_mean.clone()
    count_macs(model, torch.randn(2, 3, 4, 4))
    assert [m.training for m in model.modules()] == [True, True, True, False]
    assert torch.equal(model[1].running_mean, mean)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_inference_mode_hides_nothing():
    model = nn.Linear(7, 5)
    with torch.inference_mode():
        assert count_macs(model, torch.zeros(3, 7)) == 105


def test_failure_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(RuntimeError):
        macs_by_part(model, torch.zeros(1, 4), parts={"all": "0"})
    assert model.training
    assert not model[0]._forward_hooks


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(4, 4)
        self.block = nn.Sequential(nn.Linear(4, 6), nn.Sequential(nn.Linear(6, 2)))
        self.head = nn.Linear(2, 1)

    def forward(self, x):
        return self.head(self.block(self.stem(x)))


def test_parts():
    x = torch.zeros(1, 4)
    split = macs_by_part(
        Net(), x, parts={"block": "block", "inner": r"block\.1", "none": "no"}
    )
    assert split == {"block": 24, "inner": 12, "none": 0, "rest": 18}
    assert sum(split.values()) == count_macs(Net(), x)
    everything = {"all": "stem|block|head"}
    assert macs_by_part(Net(), x, parts=everything) == {"all": 54}
    first = macs_by_part(Net(), x, parts={"a": "stem", "b": "stem|head"})
    assert first == {"a": 16, "b": 2, "rest": 36}


def test_module_called_twice_counts_twice():
    layer = nn.Linear(3, 3)
    assert count_macs(lambda x: layer(layer(x)), torch.zeros(1, 3)) == 18
    twice = nn.Sequential(layer, layer)
    assert macs_by_part(twice, torch.zeros(1, 3), parts={"all": "0"}) == {"all": 18}
