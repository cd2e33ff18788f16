import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.data import column, column_hash
from lib.data.digits import digit_arrays
from lib.data.worlds import card, cell_digits, make
from lib.data.worlds.cells import SPLITS

HASHES = {
    "train": "115eda624ea975d7",
    "val": "a9fb5e6297abd25e",
    "test": "ca319bbc76702be2",
}


@pytest.fixture(scope="module")
def digits():
    """All source pictures, in the order of the source."""
    pairs = zip(digit_arrays("train"), digit_arrays("test"), strict=True)
    return [np.concatenate(parts) for parts in pairs]


@pytest.mark.parametrize("split", SPLITS)
def test_same_seed_same_bytes_and_prefix(split):
    assert column_hash(cell_digits(300, 0, split=split))[:16] == HASHES[split]
    short, long = (column(cell_digits(n, 4, split=split), "image") for n in (9, 300))
    np.testing.assert_array_equal(short, long[:9])


def test_no_source_picture_serves_two_splits():
    sources = {}
    for split in SPLITS:
        rows = [column(cell_digits(6000, s, split=split), "source") for s in (0, 1)]
        sources[split] = {row for part in rows for row in part.tolist()}
    # 12,000 draws leave a given picture out with probability below 1e-5.
    assert {split: len(rows) for split, rows in sources.items()} == {
        "train": 900,
        "val": 400,
        "test": 497,
    }
    assert set.union(*sources.values()) == set(range(1797))


@given(seed=st.integers(0, 2**40), split=st.sampled_from(list(SPLITS)))
def test_pictures_are_scaled_sources_with_noise(seed, split, digits):
    rows = cell_digits(40, seed, split=split)
    source = column(rows, "source")
    image = column(rows, "image").astype(np.float64) * 0.5 + 0.3
    ink, labels = digits[0][source], digits[1][source]
    np.testing.assert_array_equal(column(rows, "label"), labels)
    # Least squares finds each picture's scale; what it does not explain is the noise.
    power = (ink**2).sum((1, 2))
    scale = (image * ink).sum((1, 2)) / power
    error = 0.15 / power.min() ** 0.5
    assert (scale > 0.6 - 5 * error).all()
    assert (scale < 1.3 + 5 * error).all()
    noise = image - scale[:, None, None] * ink
    assert noise.std() == pytest.approx(0.15, abs=0.01)  # 2,520 free numbers
    assert abs(noise.mean()) < 0.02


def test_scales_are_evenly_spread(digits):
    rows = cell_digits(4000, 0)
    ink = digits[0][column(rows, "source")]
    image = column(rows, "image").astype(np.float64) * 0.5 + 0.3
    scale = (image * ink).sum((1, 2)) / (ink**2).sum((1, 2))
    assert scale.mean() == pytest.approx(0.95, abs=0.015)
    np.testing.assert_allclose(
        np.quantile(scale, [0.25, 0.5, 0.75]), [0.775, 0.95, 1.125], atol=0.02
    )


def test_it_is_listed_among_the_worlds():
    assert make("cell_digits", 2, 0).num_rows == 2
    assert "Not in it" in card("cell_digits")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n=0"),
        ({"seed": -1}, "seed=-1"),
        ({"split": "tset"}, "split='tset'"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        cell_digits(**{"n": 2, "seed": 0} | options)
