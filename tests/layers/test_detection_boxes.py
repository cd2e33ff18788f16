"""Overlap, box coordinates and suppression against counted pixels and slow loops."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib.layers.detection import (
    batched_nms,
    box_iou,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    giou,
    nms,
    part_by_class,
    suppress,
)


def random_boxes(n, generator, size=20, whole=True):
    """Return n boxes with sides from 1 pixel."""
    low = torch.rand(n, 2, generator=generator) * (size - 8)
    side = 1 + torch.rand(n, 2, generator=generator) * 7
    boxes = torch.cat([low, low + side], dim=1)
    return boxes.round() if whole else boxes


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def pixels(box, size=20):
    """Return the pixels that a box with whole corners covers."""
    x1, y1, x2, y2 = (int(n) for n in box)
    canvas = torch.zeros(size, size, dtype=torch.bool)
    canvas[y1:y2, x1:x2] = True
    return canvas


def greedy(boxes, scores, threshold):
    """Suppress as the textbook does, one box at a time."""
    left = scores.argsort(descending=True, stable=True).tolist()
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        rest = [i for i in left if box_iou(boxes[[best]], boxes[[i]]) <= threshold]
        left = rest
    return torch.tensor(kept, dtype=torch.long)


@given(st.integers(0, 10**6))
def test_iou_and_giou_count_pixels(seed):
    a, b = (random_boxes(3, seeded(seed + i)) for i in range(2))
    iou, generalised = box_iou(a, b), giou(a, b)
    for i in range(3):
        for j in range(3):
            both, either = pixels(a[i]) & pixels(b[j]), pixels(a[i]) | pixels(b[j])
            expected = (both.sum() / either.sum()).item()
            assert iou[i, j].item() == pytest.approx(expected, abs=1e-6)
            y, x = either.nonzero().T
            hull = (y.max() - y.min() + 1) * (x.max() - x.min() + 1)
            empty = ((hull - either.sum()) / hull).item()
            assert generalised[i, j].item() == pytest.approx(expected - empty, abs=1e-6)


def test_iou_by_hand():
    a = torch.tensor([[0.0, 0, 4, 4]])
    b = torch.tensor([[2.0, 2, 6, 6], [4, 0, 8, 4], [0, 0, 4, 4], [12, 0, 16, 4]])
    expected = torch.tensor([[4 / 28, 0, 1, 0]])
    torch.testing.assert_close(box_iou(a, b), expected)
    expected = torch.tensor([[4 / 28 - 8 / 36, 0, 1, -0.5]])
    torch.testing.assert_close(giou(a, b), expected)


def test_iou_keeps_the_axes_in_front():
    a, b = torch.rand(2, 5, 3, 4), torch.rand(5, 6, 4)
    found = box_iou(a, b)
    assert found.shape == giou(a, b).shape == (2, 5, 3, 6)
    torch.testing.assert_close(found[1, 2], box_iou(a[1, 2], b[2]))
    assert box_iou(torch.zeros(0, 4), b[0]).shape == (0, 6)


def test_empty_boxes_overlap_nothing():
    point = torch.tensor([[3.0, 3, 3, 3], [5, 5, 4, 4]])
    assert torch.equal(box_iou(point, point), torch.zeros(2, 2))
    assert giou(point, point).isfinite().all()


@pytest.mark.parametrize("measure", [box_iou, giou])
def test_iou_refuses(measure):
    with pytest.raises(ValueError, match=r"b of shape \(3, 5\) must be \(\.\.\., N"):
        measure(torch.zeros(2, 4), torch.zeros(3, 5))


def test_giou_pulls_disjoint_boxes_together():
    a = torch.tensor([[0.0, 0, 4, 4]], requires_grad=True)
    far = torch.tensor([[10.0, 0, 14, 4]])
    (slope,) = torch.autograd.grad(giou(a, far).sum(), a)
    assert slope[0, 2] > 0  # the right edge wants to go right
    (slope,) = torch.autograd.grad(box_iou(a, far).sum(), a)
    assert not slope.any()


@given(st.integers(0, 10**6))
def test_encode_and_decode_are_inverse(seed):
    boxes, anchors = (random_boxes(6, seeded(seed + i), whole=False) for i in (0, 1))
    again = decode_boxes(encode_boxes(boxes, anchors), anchors)
    torch.testing.assert_close(again, boxes, rtol=1e-4, atol=1e-4)


def test_encode_by_hand():
    anchor = torch.tensor([[10.0, 20, 30, 30]])  # centre (20, 25), 20 x 10
    box = torch.tensor([[20.0, 20, 30, 40]])  # centre (25, 30), 10 x 20
    expected = torch.tensor([[0.25, 0.5, math.log(0.5), math.log(2)]])
    torch.testing.assert_close(encode_boxes(box, anchor), expected)
    assert not encode_boxes(box, box).any()


def test_decode_cannot_overflow():
    anchor = torch.tensor([[0.0, 0, 16, 16]])
    wild = torch.tensor([[0.0, 0, 200, 200]])
    torch.testing.assert_close(
        decode_boxes(wild, anchor), torch.tensor([[-492.0, -492, 508, 508]])
    )


@pytest.mark.parametrize("which", ["boxes", "anchors"])
def test_encode_refuses_empty_sides(which):
    good, flat = torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[0.0, 3, 2, 3]])
    with pytest.raises(ValueError, match=f"{which}: the shortest side is 0"):
        encode_boxes(*((flat, good) if which == "boxes" else (good, flat)))


def test_clip():
    boxes = torch.tensor([[-3.0, 4, 40, 5], [2, -8, 3, 90]])
    expected = torch.tensor([[0.0, 4, 32, 5], [2, 0, 3, 16]])
    assert torch.equal(clip_boxes(boxes, (16, 32)), expected)


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(0, 25),
    threshold=st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9]),
)
def test_nms_is_greedy(seed, n, threshold):
    generator = seeded(seed)
    boxes = random_boxes(n, generator)
    scores = torch.randint(0, 8, (n,), generator=generator) / 8  # with ties
    assert torch.equal(nms(boxes, scores, threshold), greedy(boxes, scores, threshold))


@given(st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=9))
def test_suppression_is_greedy_for_any_relation(rows):
    overlaps = torch.tensor(rows[:9])
    kept = []
    for j in range(9):
        if not any(overlaps[i, j] for i in kept):
            kept.append(j)
    assert suppress(overlaps).nonzero()[:, 0].tolist() == kept


def test_suppression_of_the_longest_chain():
    # Each overlaps its neighbours alone: every other one stays, settled one by one.
    chain = torch.eye(50).roll(1, 1).bool()
    assert suppress(chain).nonzero()[:, 0].tolist() == list(range(0, 50, 2))
    batch = torch.stack([chain, torch.zeros_like(chain), torch.ones_like(chain)])
    assert suppress(batch).sum(1).tolist() == [25, 50, 1]


@given(seed=st.integers(0, 10**6), n=st.integers(0, 25))
def test_batched_nms_is_nms_of_each_class(seed, n):
    generator = seeded(seed)
    boxes = random_boxes(n, generator, whole=False)
    scores = torch.rand(n, generator=generator)
    classes = torch.randint(0, 3, (n,), generator=generator)
    kept = [
        rows[nms(boxes[rows].double(), scores[rows])]
        for rows in ((classes == c).nonzero()[:, 0] for c in range(3))
    ]
    kept = torch.cat(kept)
    expected = kept[scores[kept].argsort(descending=True)]
    assert torch.equal(batched_nms(boxes, scores, classes), expected)


@given(st.integers(0, 10**6))
def test_parted_boxes_keep_their_overlaps(seed):
    generator = seeded(seed)
    boxes = random_boxes(8, generator, size=1000, whole=False) - 100
    classes = torch.randint(0, 90, (8,), generator=generator)
    same = classes[:, None] == classes
    apart = part_by_class(boxes, classes)
    expected = box_iou(boxes.double(), boxes.double()) * same
    assert torch.equal(box_iou(apart, apart), expected)
    assert part_by_class(boxes[:0], classes[:0]).shape == (0, 4)


def test_nms_refuses():
    boxes, scores = torch.zeros(3, 4), torch.zeros(3)
    with pytest.raises(ValueError, match=r"boxes of shape \(3, 4\) must .* N=2"):
        nms(boxes, scores[:2])
    with pytest.raises(ValueError, match=r"threshold=50 must lie in \[0, 1\]"):
        nms(boxes, scores, 50)
    with pytest.raises(ValueError, match=r"classes of shape \(2,\) must be \(3,\)"):
        batched_nms(boxes, scores, torch.zeros(2))
