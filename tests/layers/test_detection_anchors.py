"""Anchors against closed forms, and their assignment against a slow loop."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib.layers.detection import (
    IGNORED,
    NEGATIVE,
    anchor_shapes,
    assign_anchors,
    box_iou,
    grid_anchors,
    pyramid_anchors,
)


def test_shapes():
    shapes = anchor_shapes(32)
    assert shapes.shape == (9, 2)
    side = 32 * 2 ** (torch.arange(9) // 3 / 3)
    torch.testing.assert_close(shapes.prod(1), side**2)
    torch.testing.assert_close(
        shapes[:, 1] / shapes[:, 0], torch.tensor([0.5, 1, 2]).repeat(3)
    )
    torch.testing.assert_close(
        anchor_shapes(8, [1], [4]), torch.tensor([[4.0, 16.0]])
    )  # a tall one


@pytest.mark.parametrize(
    "options", [dict(size=0), dict(size=8, scales=()), dict(size=8, ratios=(1, -1))]
)
def test_shapes_refuse(options):
    with pytest.raises(ValueError, match="allowed are numbers above 0"):
        anchor_shapes(**options)


def test_grid():
    shapes = torch.tensor([[4.0, 2.0], [8.0, 8.0]])
    anchors = grid_anchors((2, 3), 8, shapes)
    assert anchors.shape == (12, 4)
    expected = []
    for row in range(2):
        for column in range(3):
            x, y = 8 * column + 4, 8 * row + 4
            for w, h in shapes.tolist():
                expected.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    assert anchors.tolist() == expected


def test_pyramid():
    shapes = anchor_shapes(1.5)
    fine, coarse = pyramid_anchors([(4, 6), (2, 3)], 8, shapes)
    assert torch.equal(fine, grid_anchors((4, 6), 8, shapes * 8))
    assert torch.equal(coarse, grid_anchors((2, 3), 16, shapes * 16))


def slow(anchors, boxes, labels, high, low):
    """Assign the anchors of one picture, pair by pair."""
    real = [k for k in range(len(boxes)) if labels[k] >= 0]
    iou = box_iou(anchors, boxes).tolist()
    found = []
    for row in iou:
        best = max(real, key=lambda k: row[k], default=None)
        if best is None or row[best] < low:
            found.append(NEGATIVE)
        else:
            found.append(best if row[best] >= high else IGNORED)
    for n, row in enumerate(iou):
        mine = [k for k in real if row[k] == max(r[k] for r in iou) and row[k] > 0]
        if mine:
            found[n] = max(mine, key=lambda k: row[k])
    return found


@given(
    seed=st.integers(0, 10**6),
    boxes=st.integers(0, 4),
    limits=st.sampled_from([(0.5, 0.4), (0.7, 0.3), (0.5, 0.5), (1.0, 0.0)]),
)
def test_assignment_is_the_slow_one(seed, boxes, limits):
    generator = torch.Generator().manual_seed(seed)
    anchors = grid_anchors((3, 3), 4, anchor_shapes(5, [1, 1.5], [0.5, 2]))
    low = (torch.rand(2, boxes, 2, generator=generator) * 10).round()
    side = 1 + torch.rand(2, boxes, 2, generator=generator) * 8
    truth = torch.cat([low, low + side], dim=2)
    labels = torch.randint(-1, 3, (2, boxes), generator=generator)
    found = assign_anchors(anchors, truth, labels, high=limits[0], low=limits[1])
    assert found.shape == (2, 36)
    for i in range(2):
        assert found[i].tolist() == slow(anchors, truth[i], labels[i], *limits)


def test_every_box_gets_an_anchor():
    anchors = grid_anchors((4, 4), 8, anchor_shapes(8))
    tiny = torch.tensor([[[3.0, 3, 4, 4], [20, 20, 28, 28]]])
    assert box_iou(anchors, tiny[0, :1]).max() < 0.1
    found = assign_anchors(anchors, tiny, torch.tensor([[0, 0]]))
    assert set(found.unique().tolist()) == {NEGATIVE, 0, 1}
    # A label below zero takes the box away, whatever its numbers.
    found = assign_anchors(anchors, tiny, torch.tensor([[-1, 0]]))
    assert 0 not in found


def test_between_the_limits_an_anchor_counts_neither_way():
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 4.5], [0, 0, 10, 3.9]])
    box = torch.tensor([[[0.0, 0, 10, 10]]])
    found = assign_anchors(anchors, box, torch.zeros(1, 1).long())
    assert found.tolist() == [[0, IGNORED, NEGATIVE]]


def test_assignment_refuses():
    anchors, boxes, labels = torch.zeros(5, 4), torch.zeros(2, 3, 4), torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"labels of shape \(2, 1\) \(B, K\)"):
        assign_anchors(anchors, boxes, labels[:, :1])
    with pytest.raises(ValueError, match=r"low=0.6, high=0.5; allowed are 0 <= low"):
        assign_anchors(anchors, boxes, labels, low=0.6)
