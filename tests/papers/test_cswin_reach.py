"""Who can influence whom: by masks, by gradients, by loops, and as published."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.papers.cswin.attentions import KINDS
from lib.papers.cswin.reach import (
    expected_accuracy,
    reach_by_autograd,
    reach_by_masks,
    receptive_field,
    receptive_fields,
    sees,
    share_by_distance,
    shares,
    then,
)

# Share of all tokens in reach of the mean token after block 1, 2, ...
FIELDS = {
    56: {
        "cross_shaped": (0.035, 1.0),
        "shifted": (0.016, 0.055, 0.118, 0.191, 0.282, 0.371, 0.473, 0.562),
        "sequential": (0.018, 1.0),
    },
    28: {
        "cross_shaped": (0.138, 1.0),
        "shifted": (0.062, 0.191, 0.391, 0.562, 0.766, 0.879, 1.0),
        "sequential": (0.071, 1.0),
    },
    14: {
        "cross_shaped": (0.75, 1.0),
        "shifted": (0.25, 0.562, 1.0),
        "sequential": (0.5, 1.0),
    },
}


def test_receptive_fields():
    rounded = {
        side: {kind: tuple(round(c, 3) for c in row) for kind, row in rows.items()}
        for side, rows in receptive_fields().items()
    }
    assert rounded == FIELDS


@pytest.mark.parametrize(("side", "stripe"), [(56, 1), (28, 2), (14, 7)])
def test_closed_forms(side, stripe):
    n = side * side
    cross = (2 * stripe * side - stripe**2) / n
    assert receptive_field("cross_shaped", side, stripe) == pytest.approx((cross, 1))
    stripes = stripe * side / n
    assert receptive_field("sequential", side, stripe) == pytest.approx((stripes, 1))


def test_windows_reach_rectangles():
    """Rows and columns are independent: the share is the square of one axis's."""
    one = reach_by_masks("shifted", (28, 1), 5, 7)
    two = receptive_field("shifted", 28, 7, most=5)
    assert two == pytest.approx([share**2 for share in shares(one)])


def depth_of(kind):
    return 3 if kind in ("shifted", "sliding") else 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("position", ["none", "lepe"])
@pytest.mark.parametrize(("side", "stripe"), [((8, 8), 2), ((7, 9), 3), ((5, 6), 4)])
def test_masks_and_gradients_agree_exactly(kind, position, side, stripe):
    depth = depth_of(kind)
    masks = reach_by_masks(kind, side, depth, stripe, position=position)
    gradients = reach_by_autograd(kind, side, depth, stripe, position=position)
    assert masks.shape == (depth, side[0] * side[1], side[0] * side[1])
    assert torch.equal(masks, gradients)


@pytest.mark.parametrize("position", ["ape", "rpe", "cpe", "cpe_every"])
@pytest.mark.parametrize("kind", ["cross_shaped", "window"])
def test_other_positions(kind, position):
    masks = reach_by_masks(kind, (6, 6), 2, 2, position=position)
    gradients = reach_by_autograd(kind, (6, 6), 2, 2, position=position)
    assert torch.equal(masks, gradients)
    alone = reach_by_masks(kind, (6, 6), 1, 2)
    assert torch.equal(masks[:1], alone) == (position in ("ape", "rpe"))


@pytest.mark.parametrize("kind", ["cross_shaped", "shifted", "sequential"])
def test_published_grid_by_gradients(kind):
    stripe = 7
    depth = len(FIELDS[14][kind])
    gradients = reach_by_autograd(kind, (14, 14), depth, stripe, position="lepe")
    rounded = tuple(round(share, 3) for share in shares(gradients))
    assert rounded == FIELDS[14][kind]


def test_a_network_that_looks_elsewhere_is_told_apart():
    masks = reach_by_masks("axial", (6, 6), 1, 1)
    assert not torch.equal(masks, reach_by_autograd("cross_shaped", (6, 6), 1, 1))
    leaky = reach_by_autograd("criss_cross", (6, 6), 1, 1, position="lepe")
    assert not torch.equal(reach_by_masks("criss_cross", (6, 6), 1, 1), leaky)


@given(
    st.sampled_from(KINDS),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 4),
    st.integers(1, 4),
)
@settings(max_examples=60)
def test_sets_grow_and_hold_the_token_itself(kind, H, W, stripe, depth):
    reach = reach_by_masks(kind, (H, W), depth, stripe)
    assert reach[:, range(H * W), range(H * W)].all()
    assert not (reach[:-1] & ~reach[1:]).any()
    whole = reach_by_masks(kind, (H, W), depth, None)
    assert whole.all()


def test_products_by_loop():
    first, second = torch.rand(2, 7, 7) < 0.3
    found = then(first, second)
    for q, k in itertools.product(range(7), range(7)):
        path = any(second[q, m] and first[m, k] for m in range(7))
        assert found[q, k] == path


def test_the_last_block_asks_first():
    """A token looks by the last block; its neighbours had looked by the one before."""
    stripes = sees("sequential", (4, 4), 2)  # two columns, all rows
    shifted = sees("shifted", (4, 4), 2, 1)
    asked = then(stripes, shifted)[0].view(4, 4)  # alone in its corner window
    assert asked.tolist() == [[True, True, False, False]] * 4
    asked = then(shifted, stripes)[0].view(4, 4)  # two columns, then their windows
    assert asked.tolist() == [[True, True, True, False]] * 4


def test_share_by_distance_by_loop():
    side = (4, 5)
    reach = reach_by_masks("window", side, 1, 2)[0]
    counts = [[0, 0] for _ in range(5)]
    places = list(itertools.product(range(4), range(5)))
    for (q, a), (k, b) in itertools.product(enumerate(places), enumerate(places)):
        away = max(abs(a[0] - b[0]), abs(a[1] - b[1]))
        counts[away][0] += bool(reach[q, k])
        counts[away][1] += 1
    expected = [hits / pairs for hits, pairs in counts]
    assert share_by_distance(reach, side).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "stripe", "depth", "accuracy"),
    [
        ("cross_shaped", 1, 2, 1.00),
        ("shifted", 4, 2, 0.482),
        ("window", 4, 2, 0.333),
        ("axial", 1, 2, 1.00),
        ("full", None, 2, 1.00),
        ("cross_shaped", 1, 1, 0.37),
        ("axial", 1, 1, 0.312),
        ("shifted", 4, 4, 0.843),
        ("shifted", 4, 5, 1.00),
    ],
)
def test_expected_accuracy_on_the_cue(kind, stripe, depth, accuracy):
    share = shares(reach_by_masks(kind, (12, 12), depth, stripe))[-1]
    assert expected_accuracy(share) == pytest.approx(accuracy, abs=1e-3)


def test_expected_accuracy_of_nothing_and_everything():
    assert expected_accuracy(0.0) == 0.25
    assert expected_accuracy(0.0, classes=10) == pytest.approx(0.1)
    assert expected_accuracy(1.0) == 1
    by_distance = expected_accuracy(torch.tensor([1.0, 0.5]))
    assert by_distance.tolist() == pytest.approx([1, 0.625])


def test_refuse():
    with pytest.raises(ValueError, match="depth=0; allowed are 1 and more"):
        reach_by_masks("full", (2, 2), 0)
    with pytest.raises(ValueError, match="attention='round'; allowed are cross_shaped"):
        sees("round", (2, 2), 1)
    with pytest.raises(ValueError, match="position='gps'; allowed are none"):
        sees("full", (2, 2), 1, position="gps")
