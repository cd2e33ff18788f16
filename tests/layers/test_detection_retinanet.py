"""Pyramid, focal loss, RetinaNet and its selection against loops and closed forms."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lib.layers.detection import (
    FPN,
    Outputs,
    RetinaHead,
    RetinaNet,
    anchor_shapes,
    assign_anchors,
    batched_nms,
    by_anchor,
    candidates,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    focal_loss,
    retinanet_loss,
    select,
    tower,
)


def size(module):
    return sum(p.numel() for p in module.parameters())


# The pyramid.


def test_pyramid_by_hand():
    fpn = FPN([3, 5], 4, extra=2)
    fine, coarse = torch.randn(2, 3, 8, 6), torch.randn(2, 5, 4, 3)
    top = fpn.lateral[1](coarse)
    below = fpn.lateral[0](fine) + top.repeat_interleave(2, 2).repeat_interleave(2, 3)
    p6 = fpn.extra[0](coarse)
    expected = [fpn.smooth[0](below), fpn.smooth[1](top), p6, fpn.extra[1](p6.relu())]
    found = fpn([fine, coarse])
    assert [tuple(p.shape) for p in found] == [
        (2, 4, *s) for s in [(8, 6), (4, 3), (2, 2), (1, 1)]
    ]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_coarser_levels_from_the_pyramid():
    fpn = FPN([3, 5], 4, extra=1, extra_from="pyramid")
    levels = fpn([torch.randn(1, 3, 8, 8), torch.randn(1, 5, 4, 4)])
    torch.testing.assert_close(levels[2], fpn.extra[0](levels[1]))


def test_pyramid_of_odd_sizes():
    maps = [torch.randn(1, 2, n, n + 2) for n in (25, 13, 7)]
    shapes = [p.shape[-2:] for p in FPN([2, 2, 2], 4, extra=2)(maps)]
    assert shapes == [(25, 27), (13, 15), (7, 9), (4, 5), (2, 3)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(channels=[]), "one width or more"),
        (dict(channels=[4, 0]), r"channels=\(4, 0\)"),
        (dict(channels=[4], extra=-1), "extra=-1"),
        (dict(channels=[4], extra_from="c5"), "extra_from='c5'; allowed are"),
    ],
)
def test_pyramid_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        FPN(**options)
    with pytest.raises(ValueError, match="zip"):
        FPN([4, 4])([torch.zeros(1, 4, 4, 4)])


# The losses.


@given(logit=st.floats(-30, 30), target=st.sampled_from([0.0, 1.0]))
def test_focal_loss_is_the_formula(logit, target):
    p = 1 / (1 + math.exp(-logit))
    right, weight = (p, 0.25) if target else (1 - p, 0.75)
    found = focal_loss(torch.tensor(logit).double(), torch.tensor(target).double())
    expected = -weight * (1 - right) ** 2 * math.log(max(right, 1e-300))
    assert found.item() == pytest.approx(expected, rel=1e-3, abs=1e-12)


def test_focal_loss_without_focus_is_cross_entropy():
    logits, targets = torch.randn(50), torch.randint(0, 2, (50,)).float()
    torch.testing.assert_close(
        focal_loss(logits, targets, alpha=0.5, gamma=0),
        F.binary_cross_entropy_with_logits(logits, targets, reduction="none") / 2,
    )


def test_focal_loss_has_finite_slopes():
    logits = torch.tensor([-200.0, -1e-8, 0, 1e-8, 200], requires_grad=True)
    for target in (0.0, 1.0):
        focal_loss(logits, torch.full((5,), target)).sum().backward()
    assert logits.grad.isfinite().all()


def fake_outputs(batch=2, classes=3, seed=0):
    """Return two levels of made-up outputs for pictures of 16 x 24 pixels."""
    generator = torch.Generator().manual_seed(seed)
    counts = (24, 6)
    corner = [torch.rand(n, 2, generator=generator) * 14 for n in counts]
    side = [2 + torch.rand(n, 2, generator=generator) * 6 for n in counts]
    return Outputs(
        [torch.randn(batch, n, classes, generator=generator) for n in counts],
        [torch.randn(batch, n, 4, generator=generator) / 4 for n in counts],
        [torch.cat([c, c + s], dim=1) for c, s in zip(corner, side, strict=True)],
    )


def test_loss_is_the_loop():
    outputs = fake_outputs()
    boxes = torch.tensor([[[1.0, 1, 6, 7], [8, 8, 14, 12]], [[3, 3, 9, 9], [0] * 4]])
    labels = torch.tensor([[2, 0], [1, -1]])
    logits, deltas = torch.cat(outputs.logits, 1), torch.cat(outputs.deltas, 1)
    anchors = torch.cat(outputs.anchors)
    found = assign_anchors(anchors, boxes, labels)
    classes = where = positives = 0
    for b in range(2):
        for n, box in enumerate(found[b].tolist()):
            truth = torch.zeros(3)
            if box >= 0:
                positives += 1
                truth[labels[b, box]] = 1
                wanted = encode_boxes(boxes[b, [box]], anchors[[n]])[0]
                for error in (deltas[b, n] - wanted).abs().tolist():
                    line = error - 0.25
                    where += error**2 if error < 0.5 else line  # beta = 1/2
            if box != -2:
                classes += focal_loss(logits[b, n], truth).sum()
    assert positives >= 3
    class_loss, box_loss = retinanet_loss(outputs, boxes, labels, beta=0.5)
    torch.testing.assert_close(class_loss, classes / positives)
    assert box_loss.item() == pytest.approx(where / positives, rel=1e-5)


@pytest.mark.parametrize("count", [0, 2])
def test_loss_of_empty_pictures(count):
    outputs = fake_outputs()
    found = retinanet_loss(
        outputs, torch.zeros(2, count, 4), torch.full((2, count), -1)
    )
    logits = torch.cat(outputs.logits, 1)
    torch.testing.assert_close(
        found[0], focal_loss(logits, torch.zeros_like(logits)).sum()
    )
    assert found[1] == 0


def test_loss_refuses_unknown_labels():
    with pytest.raises(ValueError, match=r"labels from -1 to 3; allowed .* to 2"):
        retinanet_loss(
            fake_outputs(),
            torch.zeros(2, 2, 4),
            torch.tensor([[0, 3]] * 2) - torch.tensor([[0, 0], [1, 0]]),
        )


# Towers and network.


class Maps(nn.Module):
    """A backbone with maps of 3, 5 and 7 channels at strides 4, 8 and 16."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, c, 1) for c in (3, 5, 7))

    def features(self, x):
        return [
            conv(F.avg_pool2d(x, s, ceil_mode=True))
            for conv, s in zip(self.convs, (4, 8, 16), strict=True)
        ]


def small(**options):
    options = dict(stride=8, width=8, extra=1, depth=1) | options
    channels = options.pop("channels", (5, 7))
    return RetinaNet(Maps(), channels, options.pop("num_classes", 3), **options)


@pytest.mark.parametrize(("depth", "groups"), [(0, 0), (2, 0), (2, 4)])
def test_tower(depth, groups):
    net = tower(8, 6, depth, groups)
    one = 8 * 8 * 9 + 8 + (16 if groups else 0)
    assert size(net) == depth * one + 8 * 6 * 9 + 6
    assert net(torch.randn(1, 8, 5, 4)).shape == (1, 6, 5, 4)


def test_order_of_the_anchors():
    # Channel a * 2 + c at row y and column x goes to anchor (y * 4 + x) * 3 + a.
    x = torch.arange(2 * 6 * 5 * 4).reshape(2, 6, 5, 4)
    rows = by_anchor(x, 2)
    assert rows.shape == (2, 60, 2)
    for b, y, column, a, c in [(0, 0, 0, 0, 0), (1, 4, 3, 2, 1), (1, 2, 1, 1, 0)]:
        assert rows[b, (y * 4 + column) * 3 + a, c] == x[b, a * 2 + c, y, column]


@pytest.mark.parametrize("groups", [0, 4])
def test_shapes_and_anchors(groups):
    net = small(groups=groups)
    outputs = net(torch.randn(2, 3, 40, 33))
    places = [5 * 5, 3 * 3, 2 * 2]
    assert [x.shape for x in outputs.logits] == [(2, 9 * n, 3) for n in places]
    assert [x.shape for x in outputs.deltas] == [(2, 9 * n, 4) for n in places]
    assert [x.shape for x in outputs.anchors] == [(9 * n, 4) for n in places]
    for stride, anchors in zip((8, 16, 32), outputs.anchors, strict=True):
        torch.testing.assert_close(
            anchors[1], torch.tensor([-1.5, -1.5, 2.5, 2.5]) * stride
        )  # square, 4 strides wide, around the middle of the first place


def test_before_training_every_class_has_its_prior():
    probability = torch.cat(small(prior=0.03)(torch.randn(1, 3, 32, 32)).logits, 1)
    torch.testing.assert_close(
        probability.sigmoid().mean(), torch.tensor(0.03), rtol=0.05, atol=0
    )


def test_the_towers_are_shared_over_the_levels():
    level = torch.randn(1, 8, 4, 4)
    for parts in RetinaHead(8, 3, 9)([level, level]):
        assert torch.equal(*parts)


def test_no_anchor_in_the_state():
    assert not [name for name in small().state_dict() if "shapes" in name]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(num_classes=0), "num_classes=0"),
        (dict(prior=1.0), "prior=1.0; allowed"),
        (dict(stride=2), "stride=2; allowed are 4, 8"),
        (dict(stride=12), "stride=12; allowed are 4, 8"),
    ],
)
def test_network_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_network_refuses_another_number_of_maps():
    with pytest.raises(ValueError, match="channels: 3 given, but the backbone has 2"):
        small(channels=(3, 5, 7))(torch.zeros(1, 3, 32, 32))


def test_it_learns_one_picture():
    net = small(groups=4, shapes=anchor_shapes(1.0))
    x = torch.randn(1, 3, 32, 32)
    boxes = torch.tensor([[[2.0, 3, 12, 11], [15, 9, 30, 29]]])
    labels = torch.tensor([[0, 2]])
    optimiser = torch.optim.Adam(net.parameters(), 2e-2)
    for _ in range(60):
        loss = sum(retinanet_loss(net(x), boxes, labels))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    (found,) = net.eval().detect(x, score=0.3)
    assert sorted(found.labels.tolist()) == [0, 2]
    torch.testing.assert_close(
        found.boxes[found.labels.argsort()], boxes[0], rtol=0, atol=1
    )


# From outputs to objects.


def slow_select(outputs, b, size, score, top, overlap, most):
    """Select the objects of one picture with lists, level by level."""
    boxes, scores, labels = [], [], []
    for logits, deltas, anchors in zip(*outputs, strict=True):
        probability = logits[b].sigmoid()
        pairs = [(n, c) for n in range(len(anchors)) for c in range(logits.shape[2])]
        pairs.sort(key=lambda pair: -probability[pair].item())
        for n, c in pairs[:top]:
            if probability[n, c] > score:
                box = decode_boxes(deltas[b, n], anchors[n])
                boxes.append(clip_boxes(box, size))
                scores.append(probability[n, c])
                labels.append(c)
    if not boxes:
        return torch.zeros(0, 4), torch.zeros(0), torch.zeros(0).long()
    parts = torch.stack(boxes), torch.stack(scores), torch.tensor(labels)
    keep = batched_nms(*parts, overlap)[:most]
    return tuple(part[keep] for part in parts)


@given(
    seed=st.integers(0, 10**6),
    score=st.sampled_from([0.0, 0.05, 0.5, 0.8, 1.0]),
    top=st.sampled_from([1, 7, 1000]),
    overlap=st.sampled_from([0.1, 0.5]),
    most=st.sampled_from([1, 5, 100]),
)
def test_selection_is_the_slow_one(seed, score, top, overlap, most):
    outputs = fake_outputs(seed=seed)
    found = select(outputs, (16, 20), score=score, top=top, overlap=overlap, most=most)
    for b in range(2):
        expected = slow_select(outputs, b, (16, 20), score, top, overlap, most)
        for ours, theirs in zip(found[b], expected, strict=True):
            torch.testing.assert_close(ours, theirs)


def test_candidates_are_sorted_and_inside():
    boxes, scores, labels = candidates(fake_outputs(), (16, 20), top=10)
    assert boxes.shape == (2, 20, 4)
    assert labels.shape == scores.shape == (2, 20)
    assert (scores.diff(dim=1) <= 0).all()
    assert boxes.amin() >= 0
    assert boxes[..., [1, 3]].max() <= 16


@pytest.mark.parametrize(
    "options", [dict(score=-0.1), dict(overlap=2), dict(top=0), dict(most=0)]
)
def test_selection_refuses(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"{name}={options[name]}.*; allowed are"):
        select(fake_outputs(), (16, 24), **options)


def test_detect_wants_eval_mode():
    net = small()
    with pytest.raises(ValueError, match=r"detect\(\) needs model\.eval\(\) first"):
        net.detect(torch.zeros(1, 3, 32, 32))
    net.eval()
    assert net.detect(torch.zeros(0, 3, 32, 32)) == []
    (found,) = net.detect(torch.zeros(1, 3, 32, 32), score=0.9)
    assert found.boxes.shape == (0, 4)
    assert not found.boxes.requires_grad
