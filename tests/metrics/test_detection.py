"""Average precision against 101 points of recall gathered by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.metrics import average_precision

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)


def overlap(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return width * height / (area - width * height)


def slow_ap(predictions, targets, label, iou, most=100):
    """Average the precision of one class at one IoU, box by box."""
    answers, objects = [], 0  # (score, whether right)
    for found, truth in zip(predictions, targets, strict=True):
        free = [b for b, c in zip(*truth.values(), strict=True) if c == label]
        objects += len(free)
        rows = np.argsort(-found["scores"], kind="stable")
        rows = [i for i in rows if found["labels"][i] == label][:most]
        for i in rows:
            near = [overlap(found["boxes"][i], b) for b in free]
            hit = bool(near) and max(near) >= iou
            if hit:
                free.pop(int(np.argmax(near)))
            answers.append((found["scores"][i], hit))
    answers.sort(key=lambda answer: -answer[0])
    right, points = 0, []  # (recall, precision)
    for n, (_, hit) in enumerate(answers, start=1):
        right += hit
        points.append((right / objects, right / n))
    best = [max((p for r, p in points if r >= level), default=0) for level in RECALLS]
    return np.mean(best)


def random_scenes(seed, pictures=3, classes=2):
    """Return predictions and targets; most predictions are moved targets."""
    rng = np.random.default_rng(seed)
    predictions, targets = [], []
    for _ in range(pictures):
        n = rng.integers(0, 5)
        low = rng.random((n, 2)) * 40
        truth = np.concatenate([low, low + 4 + rng.random((n, 2)) * 20], axis=1)
        labels = rng.integers(0, classes, n)
        boxes = np.repeat(truth, 2, axis=0) + rng.normal(0, 1.5, (2 * n, 4))
        boxes = np.concatenate([boxes[:, :2], np.maximum(*np.split(boxes, 2, 1))], 1)
        again = np.repeat(labels, 2)
        again = np.where(rng.random(2 * n) < 0.2, 1 - again, again)
        scores = rng.permutation(1000)[: 2 * n] / 1000
        targets.append(dict(boxes=truth, labels=labels))
        predictions.append(dict(boxes=boxes, labels=again, scores=scores))
    return predictions, targets


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), most=st.sampled_from([1, 3, 100]))
def test_it_is_the_slow_one(seed, most):
    predictions, targets = random_scenes(seed)
    classes = sorted({int(c) for t in targets for c in t["labels"]})
    if not classes:
        targets[0] = dict(boxes=np.array([[1.0, 2, 9, 8]]), labels=np.array([0]))
        classes = [0]
    found = average_precision(predictions, targets, max_detections=most)
    table = np.array(
        [[slow_ap(predictions, targets, c, t, most) for t in IOUS] for c in classes]
    )
    close = dict(abs=1e-6)
    assert found["AP"] == pytest.approx(table.mean(), **close)
    assert found["AP50"] == pytest.approx(table[:, 0].mean(), **close)
    assert found["AP75"] == pytest.approx(table[:, 5].mean(), **close)
    assert list(found["per_class"]) == classes
    for row, label in zip(table, classes, strict=True):
        expected = {"AP": row.mean(), "AP50": row[0], "AP75": row[5]}
        assert found["per_class"][label] == pytest.approx(expected, **close)


def test_perfect_and_silent(capfd):
    _, targets = random_scenes(3)
    predictions = [t | dict(scores=np.ones(len(t["labels"]))) for t in targets]
    found = average_precision(predictions, targets)
    assert [found[k] for k in ("AP", "AP50", "AP75")] == pytest.approx([1, 1, 1])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("empty", [[], np.zeros((0, 4)), torch.zeros(0, 4)])
def test_nothing_found(empty):
    _, targets = random_scenes(3)
    predictions = [dict(boxes=empty, scores=[], labels=[])] * len(targets)
    found = average_precision(predictions, targets)
    assert (found["AP"], found["AP50"], found["AP75"]) == (0, 0, 0)


def test_by_hand():
    # Two objects; the best answer is wrong, then both are found: precision 1/2, 2/3.
    targets = [dict(boxes=[[0, 0, 10, 10], [20, 20, 30, 30]], labels=[4, 4])]
    boxes = [[40, 40, 50, 50], [0, 0, 10, 10], [20, 20, 30, 29]]
    predictions = [dict(boxes=boxes, scores=[0.9, 0.8, 0.7], labels=[4, 4, 4])]
    found = average_precision(predictions, targets)
    assert found["AP50"] == pytest.approx(2 / 3)
    # Above .90 the last box is no longer good enough: precision 1/2 up to recall .5.
    assert found["AP"] == pytest.approx((9 * 2 / 3 + 0.5 * 51 / 101) / 10)
    assert found["per_class"] == {4: {k: found[k] for k in ("AP", "AP50", "AP75")}}


def test_tensors_objects_and_padding():
    class Found:
        boxes = torch.tensor([[1.0, 1, 5, 5]])
        scores, labels = torch.tensor([0.5]), torch.tensor([0])

    target = dict(
        boxes=torch.tensor([[1.0, 1, 5, 5], [0, 0, 0, 0]]), labels=torch.tensor([0, -1])
    )
    found = average_precision([Found], [target], num_classes=1)
    assert found["AP"] == pytest.approx(1)
    assert list(found["per_class"]) == [0]


def test_large_boxes_count():
    box = dict(boxes=[[0.0, 0, 1e6, 1e6]], labels=[0])
    assert average_precision([box | dict(scores=[1.0])], [box])["AP"] > 0.99


GOOD = dict(boxes=[[0, 0, 4, 4]], labels=[1], scores=[0.5])


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        ([GOOD] * 2, [GOOD], "predictions for 2 pictures, targets for 1"),
        ([dict(boxes=[], labels=[])], [GOOD], r"predictions\[0\]: has no 'scores'"),
        ([GOOD], [dict(labels=[1])], r"targets\[0\]: has no 'boxes'"),
        ([GOOD | dict(scores=[0.1, 0.2])], [GOOD], r"scores of shape \(2,\); with 1 l"),
        ([GOOD | dict(boxes=[0, 0, 4, 4])], [GOOD], r"boxes of shape \(4,\)"),
        ([GOOD | dict(scores=[np.nan])], [GOOD], "scores holds numbers that are not"),
        ([GOOD | dict(boxes=[[0, 0, 4, np.inf]])], [GOOD], "boxes holds numbers"),
        (
            [GOOD],
            [GOOD | dict(boxes=[[4, 0, 0, 4]])],
            r"targets\[0\]: boxes must be x1",
        ),
        ([GOOD | dict(labels=[3])], [GOOD], r"labels \[3\]; allowed .* below 3 from 0"),
        ([GOOD], [GOOD | dict(labels=[7])], r"targets\[0\]: labels \[7\]; allowed"),
        ([GOOD | dict(labels=[-1])], [GOOD], r"labels \[-1\]; allowed"),
        ([GOOD | dict(labels=[0.5])], [GOOD], r"labels \[0.5\]; allowed are whole"),
        ([GOOD], [dict(boxes=[], labels=[])], "targets: hold no box at all"),
        ([], [], "targets: hold no box at all"),
    ],
)
def test_it_refuses(prediction, target, message):
    with pytest.raises(ValueError, match=message):
        average_precision(prediction, target, num_classes=3)


def test_it_refuses_no_detections():
    with pytest.raises(ValueError, match="max_detections=0; allowed are 1 and more"):
        average_precision([GOOD], [GOOD], max_detections=0)
