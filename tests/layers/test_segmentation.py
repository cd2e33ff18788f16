"""Segmentation heads: published sizes, each step by hand, any size of picture."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lib.layers import (
    FCNHead,
    PyramidPooling,
    Segmenter,
    SemanticFPNHead,
    UPerHead,
    segmentation_loss,
)
from lib.layers.segmentation import Classify, resize_to
from lib.metrics import count_macs
from lib.papers.cswin import cswin

WIDTHS = (4, 6, 8, 10)


def size(module):
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def backbones():
    with torch.device("meta"):  # sizes without numbers
        return {v: cswin(v, segmentation=True) for v in "TSBL"}


# UPerNet of the paper's table 6 with both heads, in millions; the paper has 59.9 for
# T, the size of its Swin row.
@pytest.mark.parametrize(
    ("variant", "millions", "exact"),
    [
        ("T", 52.1, 52_116_076),
        ("S", 64.4, 64_438_828),
        ("B", 109.0, 109_035_692),
        ("L", 207.7, 207_703_148),
    ],
)
def test_upernet_sizes(backbones, variant, millions, exact):
    body = backbones[variant]
    model = Segmenter(body, UPerHead(body.widths), FCNHead(body.widths[2]))
    assert size(model) == exact
    assert round(exact / 1e6, 1) == millions


def test_head_sizes_by_hand():
    T = (64, 128, 256, 512)
    pooled = 4 * (512 * 512 + 2 * 512) + (5 * 512 * 512 * 9 + 2 * 512)
    lateral = (64 + 128 + 256) * 512 + 3 * 2 * 512
    smooth = 3 * (512 * 512 * 9 + 2 * 512)
    mix = 4 * 512 * 512 * 9 + 2 * 512
    classes = 512 * 150 + 150
    assert size(UPerHead(T)) == pooled + lateral + smooth + mix + classes
    assert size(FCNHead(256)) == 256 * 256 * 9 + 2 * 256 + 256 * 150 + 150
    pyramid = sum(T) * 256 + 4 * 256 + 4 * (256 * 256 * 9 + 256)
    first = 4 * (256 * 128 * 9 + 2 * 128)  # each level narrows once
    further = (0 + 0 + 1 + 2) * (128 * 128 * 9 + 2 * 128)
    assert size(SemanticFPNHead(T)) == pyramid + first + further + 128 * 150 + 150


def test_semantic_fpn_size(backbones):
    model = Segmenter(backbones["T"], SemanticFPNHead(backbones["T"].widths))
    assert round(size(model) / 1e6, 1) == 26.1


def test_cost_at_the_published_size():
    """Table 6: 959G for UPerNet and 202G for semantic FPN at 512 x 2048."""
    with torch.device("meta"):  # counted without computing
        body = cswin("T", segmentation=True)
        heads = UPerHead(body.widths), SemanticFPNHead(body.widths)
        x = torch.zeros(1, 3, 512, 2048)
    heavy, light = (count_macs(Segmenter(body, head), x) / 1e9 for head in heads)
    assert heavy == pytest.approx(959, rel=0.01)
    assert light == pytest.approx(202, rel=0.015)


def maps(B=2, H=13, W=10):
    sides = [(H, W)]
    for _ in range(3):
        sides.append(tuple(-(-n // 2) for n in sides[-1]))
    return [torch.randn(B, c, *side) for c, side in zip(WIDTHS, sides, strict=True)]


def randomised(module):
    """Give normalisations weights and statistics that show in the output."""
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.uniform_(m.weight, 0.5, 1.5)
            nn.init.normal_(m.bias)
            m.running_mean.normal_()
            m.running_var.uniform_(0.5, 2)
    return module.eval()


def conv_bn_relu(module, x):
    conv, bn = module.conv, module.bn
    x = F.conv2d(x, conv.weight, padding=conv.padding)
    mean, var = bn.running_mean, bn.running_var
    shift = bn.bias - mean * bn.weight / (var + bn.eps).sqrt()
    x = x * (bn.weight / (var + bn.eps).sqrt())[:, None, None] + shift[:, None, None]
    return x.clamp(min=0)


def cell_means(x, scale):
    """Average in cells by loops; cell i of n places goes from floor to ceiling."""
    B, C, H, W = x.shape
    out = torch.zeros(B, C, scale, scale)
    for i in range(scale):
        for j in range(scale):
            rows = slice(i * H // scale, -(-(i + 1) * H // scale))
            columns = slice(j * W // scale, -(-(j + 1) * W // scale))
            out[:, :, i, j] = x[:, :, rows, columns].mean(dim=(2, 3))
    return out


@pytest.mark.parametrize("side", [(7, 7), (5, 9), (12, 6)])
def test_pyramid_pooling_by_hand(side):
    pool = randomised(PyramidPooling(10, 8))
    x = torch.randn(2, 10, *side)
    parts = [x]
    for (_, conv), scale in zip(pool.branches, (1, 2, 3, 6), strict=True):
        seen = conv_bn_relu(conv, cell_means(x, scale))
        parts.append(F.interpolate(seen, side, mode="bilinear", align_corners=False))
    expected = conv_bn_relu(pool.mix, torch.cat(parts, dim=1))
    torch.testing.assert_close(pool(x), expected, rtol=1e-4, atol=1e-5)


def up(x, like):
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


def classes(head, x):
    return F.conv2d(x, head.classify[1].weight, head.classify[1].bias)


def test_uper_head_by_hand():
    head = randomised(UPerHead(WIDTHS, 8, 5))
    a, b, c, d = given_maps = maps()
    d = head.pool(d)
    c = conv_bn_relu(head.lateral[2], c)
    c = c + up(d, c)
    b = conv_bn_relu(head.lateral[1], b)
    b = b + up(c, b)
    a = conv_bn_relu(head.lateral[0], a)
    a = a + up(b, a)
    levels = [conv_bn_relu(f, x) for f, x in zip(head.smooth, (a, b, c), strict=True)]
    mixed = torch.cat([up(x, a) for x in (*levels, d)], dim=1)
    expected = classes(head, conv_bn_relu(head.mix, mixed))
    assert expected.shape == (2, 5, 13, 10)
    torch.testing.assert_close(head(given_maps), expected, rtol=1e-4, atol=1e-5)


def test_semantic_fpn_by_hand():
    head = randomised(SemanticFPNHead(WIDTHS, 8, 5, pyramid=6))
    given_maps = maps()
    a, b, c, d = head.pyramid(given_maps)
    (fa,), (fb,), (fc, gc), (fd, gd, hd) = head.climbs
    total = conv_bn_relu(fa, a) + up(conv_bn_relu(fb, b), a)
    total = total + up(conv_bn_relu(gc, up(conv_bn_relu(fc, c), b)), a)
    middle = up(conv_bn_relu(gd, up(conv_bn_relu(fd, d), c)), b)
    total = total + up(conv_bn_relu(hd, middle), a)
    expected = classes(head, total)
    torch.testing.assert_close(head(given_maps), expected, rtol=1e-4, atol=1e-5)


def test_fcn_head_by_hand():
    head = randomised(FCNHead(8, 6, 5))
    x = torch.randn(2, 8, 5, 7)
    expected = classes(head, conv_bn_relu(head.conv, x))
    torch.testing.assert_close(head(x), expected, rtol=1e-4, atol=1e-5)


def test_dropout_only_while_training_and_whole_channels():
    classify = Classify(1000, 1000, dropout=0.1)
    dropped = classify[0](torch.ones(1, 1000, 2, 2)) == 0
    assert dropped.all(dim=(2, 3)).sum() == dropped.any(dim=(2, 3)).sum()
    assert 60 < dropped[:, :, 0, 0].sum() < 140
    assert torch.equal(
        classify.eval()[0](torch.ones(1, 9, 2, 2)), torch.ones(1, 9, 2, 2)
    )


def test_resize_leaves_the_right_size_alone():
    x = torch.randn(1, 2, 3, 5)
    assert resize_to(x, (3, 5)) is x
    assert resize_to(x, (6, 4)).shape == (1, 2, 6, 4)


HEADS = {
    "uper": lambda: UPerHead(WIDTHS, 8, 5),
    "fpn": lambda: SemanticFPNHead(WIDTHS, 8, 5, pyramid=8),
}


@pytest.mark.parametrize("name", HEADS)
@given(st.integers(1, 21), st.integers(1, 21))
@settings(max_examples=10)
def test_heads_at_any_size(name, H, W):
    head = HEADS[name]().eval()
    assert head(maps(1, H, W)).shape == (1, 5, H, W)


@pytest.mark.parametrize("name", HEADS)
def test_every_map_and_every_weight_gets_a_gradient(name):
    head = HEADS[name]()
    given_maps = [m.requires_grad_() for m in maps()]
    head(given_maps).square().sum().backward()
    for tensor in [*given_maps, *head.parameters()]:
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()
        assert tensor.grad.abs().sum() > 0


class FourMaps(nn.Module):
    """A backbone of four strided convolutions."""

    def __init__(self):
        super().__init__()
        pairs = zip((3, *WIDTHS), WIDTHS, strict=False)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=4 if a == 3 else 2, padding=1) for a, b in pairs
        )

    def features(self, x):
        found = []
        for conv in self.convs:
            x = conv(x)
            found.append(x)
        return found


def test_segmenter_answers_for_every_pixel():
    model = Segmenter(FourMaps(), UPerHead(WIDTHS, 8, 5), FCNHead(8, 6, 5))
    x = torch.randn(2, 3, 50, 67)
    main, second = model(x)
    assert main.shape == second.shape == (2, 5, 50, 67)
    one = model.eval()(x)
    assert one.shape == (2, 5, 50, 67)
    maps = model.backbone.features(x)
    assert torch.equal(one, up(model.head(maps), x))
    assert isinstance(Segmenter(FourMaps(), UPerHead(WIDTHS, 8, 5))(x), torch.Tensor)


def test_segmenter_on_cswin():
    body = cswin("T", segmentation=True, dim=8, depths=(1, 1, 1, 1), heads=(2, 2, 2, 2))
    model = Segmenter(body, SemanticFPNHead(body.widths, 8, 5, pyramid=8)).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, 70, 94)).shape == (1, 5, 70, 94)


def test_loss_by_loop():
    main, second = torch.randn(2, 2, 3, 4, 5).unbind()  # (2, 3, 4, 5) each
    target = torch.randint(0, 3, (2, 4, 5))
    target[0, :2] = 255

    def mean(logits):
        total, n = 0.0, 0
        for b in range(2):
            for i in range(4):
                for j in range(5):
                    if target[b, i, j] != 255:
                        shares = logits[b, :, i, j].softmax(dim=0)
                        total, n = total - shares[target[b, i, j]].log(), n + 1
        return total / n

    torch.testing.assert_close(segmentation_loss(main, target), mean(main))
    both = segmentation_loss((main, second), target)
    torch.testing.assert_close(both, mean(main) + 0.4 * mean(second))
    changed = main.clone()
    changed[0, :, :2] += torch.randn(3, 2, 5)
    torch.testing.assert_close(
        segmentation_loss(changed, target), segmentation_loss(main, target)
    )


def test_wrong_number_of_maps():
    for head in HEADS.values():
        with pytest.raises(ValueError, match="maps: 3 given; this head takes 4"):
            head()(maps()[:3])
