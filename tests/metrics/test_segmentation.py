"""Confusion matrix and intersection over union against scikit-learn and loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sklearn_metrics

from lib.metrics import confusion_matrix, iou_per_class, mean_iou, pixel_accuracy

K = 4
LABELS = arrays(np.int64, (3, 5), elements=st.integers(0, K - 1))
IGNORED = arrays(np.bool_, (3, 5))


@given(LABELS, LABELS, IGNORED)
def test_equals_scikit_learn(predicted, target, ignored):
    ignored[0, 0] = False
    labelled = np.where(ignored, 255, target)
    matrix = confusion_matrix(torch.tensor(predicted), torch.tensor(labelled), K)
    truth, answer = target[~ignored], predicted[~ignored]
    expected = sklearn_metrics.confusion_matrix(truth, answer, labels=range(K))
    assert matrix.tolist() == expected.tolist()
    occur = sorted({*truth.tolist(), *answer.tolist()})
    scores = sklearn_metrics.jaccard_score(truth, answer, labels=occur, average=None)
    found = iou_per_class(matrix)
    np.testing.assert_allclose(found[occur], scores)
    assert found.isnan().sum() == K - len(occur)
    assert mean_iou(matrix) == pytest.approx(scores.mean())
    right = sklearn_metrics.accuracy_score(truth, answer)
    assert pixel_accuracy(matrix) == pytest.approx(right)


def test_by_loop():
    predicted, target = torch.randint(0, K, (2, 3, 6, 6)).unbind()
    matrix = torch.zeros(K, K, dtype=torch.long)
    for p, t in zip(predicted.flatten(), target.flatten(), strict=True):
        matrix[t, p] += 1
    assert torch.equal(confusion_matrix(predicted, target, K), matrix)


def test_parts_add_up():
    predicted, target = torch.randint(0, K, (2, 6, 8)).unbind()
    parts = zip(predicted.split(2), target.split(2), strict=True)
    total = sum(confusion_matrix(p, t, K) for p, t in parts)
    assert torch.equal(total, confusion_matrix(predicted, target, K))


def test_a_hand_made_example():
    target = torch.tensor([0, 0, 0, 1, 1, 255])
    predicted = torch.tensor([0, 0, 1, 1, 2, 77])
    matrix = confusion_matrix(predicted, target, 4)
    assert matrix.tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    first, second, third, fourth = iou_per_class(matrix).tolist()
    assert first == pytest.approx(2 / 3)
    assert second == pytest.approx(1 / 3)
    assert third == 0, "named once, never true"
    assert math.isnan(fourth), "never named and never true"
    assert mean_iou(matrix) == pytest.approx(1 / 3)
    assert pixel_accuracy(matrix) == pytest.approx(3 / 5)


def test_another_label_to_ignore():
    target = torch.tensor([-1, 1])
    matrix = confusion_matrix(torch.tensor([0, 1]), target, 2, ignore=-1)
    assert matrix.tolist() == [[0, 0], [0, 1]]


def test_nothing_counted():
    matrix = confusion_matrix(torch.zeros(3), torch.full((3,), 255), 2)
    assert matrix.sum() == 0
    assert math.isnan(mean_iou(matrix))
    assert math.isnan(pixel_accuracy(matrix))


def test_small_integers_do_not_overflow():
    labels = torch.full((2, 9), 120, dtype=torch.uint8)
    matrix = confusion_matrix(labels, labels, 150)
    assert matrix[120, 120] == 18
    assert mean_iou(matrix) == 1


def test_refuse():
    two = torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\) given"):
        confusion_matrix(two, torch.zeros(3), 2)
    with pytest.raises(
        ValueError, match=r"predicted: class 2 given; allowed are 0 to 1$"
    ):
        confusion_matrix(torch.tensor([0, 2]), two, 2)
    with pytest.raises(ValueError, match=r"target: class -1 .* 0 to 1 and 255"):
        confusion_matrix(two, torch.tensor([0, -1]), 2)
