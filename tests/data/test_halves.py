import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib.data import class_split


@given(
    labels=st.lists(st.integers(0, 9), min_size=2, max_size=40), first=st.integers(1, 9)
)
def test_every_row_goes_to_the_half_of_its_class(labels, first):
    labels += [0, 9]  # so that both halves hold pictures
    images = torch.arange(len(labels) * 12.0).view(-1, 3, 2, 2)
    (x, y), (u, v) = class_split(images, torch.tensor(labels), first)
    low = [i for i, label in enumerate(labels) if label < first]
    high = [i for i, label in enumerate(labels) if label >= first]
    assert y.tolist() == [labels[i] for i in low]
    assert v.tolist() == [labels[i] - first for i in high]
    for half, rows in ((x, low), (u, high)):
        assert [int(picture[0, 0, 0]) // 12 for picture in half] == rows
        torch.testing.assert_close(half, torch.stack([images[i] for i in rows]))


def test_the_halves_are_copies():
    images, labels = torch.zeros(4, 1), torch.arange(4)
    (x, y), (u, v) = class_split(images, labels, 2)
    for half in (x, y, u, v):
        half += 7
    assert not images.any()
    assert labels.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("labels", "first", "message"),
    [
        ([0, 1, 2], 0, "first=0 leaves a half empty: .* allowed are 1 to 2"),
        ([0, 1, 2], 3, "first=3 leaves a half empty"),
        ([2, 3, 3], 2, "first=2 leaves a half empty: .* from 2 to 3, .* 3 to 3"),
        ([1, 1, 1], 1, "first=1 leaves a half empty"),
        ([0, -1, 2], 1, "labels=-1 occurs"),
        ([0, 1], 1, "images has 3 rows and labels 2"),
        ([0.0, 1.0, 2.0], 1, "must be a vector of whole numbers"),
        ([True, False, True], 1, "must be a vector of whole numbers"),
        ([[0], [1], [2]], 1, r"labels of shape \(3, 1\)"),
    ],
)
def test_wrong_arguments_are_named(labels, first, message):
    with pytest.raises(ValueError, match=message):
        class_split(torch.zeros(3, 1, 2, 2), torch.tensor(labels), first)


def test_no_rows_cannot_be_split():
    with pytest.raises(ValueError, match="leaves a half empty"):
        class_split(torch.zeros(0, 3, 2, 2), torch.zeros(0, dtype=torch.int64), 1)
