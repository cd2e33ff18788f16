import numpy as np
import pytest
from sklearn.datasets import load_digits

from lib.data import column, digit_images
from lib.data.digits import digit_arrays


def test_the_splits_are_the_source_cut_in_two():
    source = load_digits()
    parts = [digit_images(split) for split in ("train", "test")]
    assert [len(part) for part in parts] == [1200, 597]
    pictures = np.concatenate([column(part, "image") for part in parts])
    labels = np.concatenate([column(part, "label") for part in parts])
    assert pictures.shape == (1797, 8, 8, 1)
    np.testing.assert_array_equal(
        np.rint(pictures[..., 0] / 255 * 16).astype(int), source.images.astype(int)
    )
    np.testing.assert_array_equal(labels, source.target)


def test_no_picture_is_in_both_splits_and_all_classes_in_each():
    train, test = (
        digit_arrays(split)[0].reshape(-1, 64) for split in ("train", "test")
    )
    assert not {row.tobytes() for row in train} & {row.tobytes() for row in test}
    for split in ("train", "test"):
        assert np.bincount(digit_arrays(split)[1]).min() >= 50


def test_default_names_and_bad_split():
    digits = digit_images()
    assert digits.features["label"].names == list("0123456789")
    with pytest.raises(ValueError, match=r"split='dev' is unknown.*'train', 'test'"):
        digit_images("dev")


def test_the_shared_arrays_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        digit_arrays("train")[0][0] = 1
