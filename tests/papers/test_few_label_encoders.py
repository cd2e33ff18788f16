"""Encoders of chapter 4: exact sizes, shapes, and a forward pass by hand."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lib.layers import SplitBatchNorm2d
from lib.papers import few_label


def parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (few_label.small_encoder, 97_680),
        (few_label.resnet18, 11_176_512),
        (few_label.resnet50, 23_508_032),
        # 3 x 3 instead of 7 x 7 in the first convolution
        (partial(few_label.resnet18, small=True), 11_176_512 - 64 * 3 * 40),
        (partial(few_label.resnet50, small=True), 23_508_032 - 64 * 3 * 40),
        (lambda: few_label.projection_head(2048, 128, "v1"), 262_272),
        (lambda: few_label.projection_head(2048, 128, "v2"), 4_458_624),
        (lambda: few_label.projection_head(128), 25_024),
    ],
)
def test_parameters(make, count):
    with torch.device("meta"):
        assert parameters(make()) == count


def test_layers_of_the_heads():
    kinds = {
        version: [
            type(layer).__name__ for layer in few_label.projection_head(8, 4, version)
        ]
        for version in ("v1", "v2", "book")
    }
    assert kinds == {
        "v1": ["Linear"],
        "v2": ["Linear", "ReLU", "Linear"],
        "book": ["Linear", "BatchNorm1d", "ReLU", "Linear"],
    }
    assert few_label.projection_head(8)[-1].out_features == 64
    assert few_label.projection_head(8, version="v2")[-1].out_features == 128
    with pytest.raises(ValueError, match="version='v3': allowed are v1, v2, book"):
        few_label.projection_head(8, version="v3")


@pytest.mark.parametrize(
    ("make", "dim", "map_224", "map_32"),
    [(few_label.resnet18, 512, 7, 4), (few_label.resnet50, 2048, 7, 4)],
)
def test_shapes_of_residual_networks(make, dim, map_224, map_32):
    for small, side, last in ((False, 224, map_224), (True, 32, map_32)):
        with torch.device("meta"):
            model, x = make(small=small), torch.zeros(2, 3, side, side)
            maps = []
            model.layer4.register_forward_hook(lambda *a, m=maps: m.append(a[2].shape))
            assert model(x).shape == (2, dim)
        assert maps == [(2, dim, last, last)]
        assert model.feature_dim == dim


def norm_by_hand(weights, name, x):
    """Normalise by the batch, with nothing of nn.BatchNorm2d."""
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
    scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
    x = (x - mean) / (variance + 1e-5).sqrt()
    return x * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)


def resnet18_by_hand(weights, x):
    x = F.conv2d(x, weights["conv1.weight"], padding=1)
    x = norm_by_hand(weights, "bn1", x).clamp(min=0)
    for stage in range(1, 5):
        for block in range(2):
            at = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = F.conv2d(x, weights[f"{at}.conv1.weight"], stride=stride, padding=1)
            y = norm_by_hand(weights, f"{at}.bn1", y).clamp(min=0)
            y = F.conv2d(y, weights[f"{at}.conv2.weight"], padding=1)
            y = norm_by_hand(weights, f"{at}.bn2", y)
            if stride == 2:
                x = F.conv2d(x, weights[f"{at}.downsample.0.weight"], stride=2)
                x = norm_by_hand(weights, f"{at}.downsample.1", x)
            x = (x + y).clamp(min=0)
    return x.flatten(2).mean(dim=2)


def test_resnet18_equals_a_forward_pass_by_hand():
    model = few_label.resnet18(small=True).double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    x = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        slow = resnet18_by_hand(dict(model.named_parameters()), x)
        torch.testing.assert_close(model(x), slow)


def test_bottleneck_equals_its_formula():
    block = few_label.ResNet((1,), bottleneck=True).layer1[0].eval()
    x = torch.randn(2, 64, 5, 5)
    c, scale = [block.conv1, block.conv2, block.conv3], (1 + 1e-5) ** -0.5
    with torch.no_grad():  # fresh running statistics: mean 0, variance 1
        y = F.relu(F.conv2d(x, c[0].weight) * scale)
        y = F.relu(F.conv2d(y, c[1].weight, padding=1) * scale)
        y = F.conv2d(y, c[2].weight) * scale
        y = F.relu(y + F.conv2d(x, block.downsample[0].weight) * scale)
        torch.testing.assert_close(block(x), y, rtol=1e-4, atol=1e-5)


def test_the_stride_of_a_bottleneck_is_in_its_middle():
    model = few_label.ResNet((1, 1), bottleneck=True)
    first = model.layer2[0]
    strides = [c.stride for c in (first.conv1, first.conv2, first.conv3)]
    assert strides == [(1, 1), (2, 2), (1, 1)]


def test_small_encoder_equals_its_layers():
    model = few_label.small_encoder().eval()
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        y = x
        for i, stride in enumerate((2, 2, 2, 1)):
            weight = model.layers[3 * i].weight
            y = F.conv2d(y, weight, stride=stride, padding=1) / (1 + 1e-5) ** 0.5
            y = y.clamp(min=0)
        assert y.shape == (2, 128, 4, 4)
        torch.testing.assert_close(model(x), y.flatten(2).mean(2))
    assert model.feature_dim == 128


def test_every_normalisation_can_be_replaced():
    norm = partial(SplitBatchNorm2d, splits=4)
    for make, count in ((few_label.small_encoder, 4), (few_label.resnet18, 20)):
        layers = [m for m in make(norm=norm).modules() if isinstance(m, nn.BatchNorm2d)]
        assert len(layers) == count
        assert all(type(layer) is SplitBatchNorm2d for layer in layers)
