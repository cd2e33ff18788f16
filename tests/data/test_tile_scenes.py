import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import column, column_hash
from lib.data.worlds import card, make, tile_scenes
from lib.data.worlds.tiles import COLOURS, SIDES, SKIP

options = st.fixed_dictionaries(
    {
        "split": st.sampled_from(["train", "test"]),
        "grid": st.integers(4, 9),
        "distractors": st.integers(0, 4),
    }
)


def arrays(data):
    return {name: column(data, name) for name in data.column_names}


def tiles_of(picture, grid):
    return picture.reshape(grid, 2, grid, 2, 3).swapaxes(1, 2)  # (row, column, ...)


@given(options=options, seed=st.integers(0, 2**40))
@settings(deadline=None, max_examples=25)
def test_the_cue_is_the_only_checker_and_has_the_answers_colour(options, seed):
    grid = options["grid"]
    scene = arrays(tile_scenes(5, seed, noise=0, **options))
    for i in range(5):
        tiles = tiles_of(scene["image"][i], grid)
        lit = (tiles.max(-1) > 0).sum((2, 3)).ravel()
        (cue,) = np.nonzero(lit == 2)
        assert list(cue) == [scene["cell"][i]]
        assert (lit == 4).sum() == options["distractors"]
        colour = tiles[divmod(cue[0], grid)][0, 0] / 255
        np.testing.assert_array_equal(colour, COLOURS[scene["target"][i]])
        assert (scene["target_map"][i] == scene["target"][i]).all()


@given(options=options, seed=st.integers(0, 2**40))
@settings(deadline=None, max_examples=25)
def test_only_the_two_halves_of_the_domino_touch(options, seed):
    grid = options["grid"]
    scene = arrays(tile_scenes(5, seed, task="domino", noise=0, **options))
    for i in range(5):
        colour = tiles_of(scene["image"][i], grid)[:, :, 0, 0].argmax(-1)
        lit = tiles_of(scene["image"][i], grid).max((2, 3, 4)) > 0
        places = np.argwhere(lit)
        far = abs(places[:, None] - places).max(-1)  # Chebyshev
        pairs = np.argwhere(np.triu(far <= 1, 1))
        assert len(pairs) == 1
        red, blue = sorted(places[pairs[0]].tolist(), key=lambda p: colour[tuple(p)])
        assert [colour[tuple(red)], colour[tuple(blue)]] == [0, 2]
        step = blue[0] - red[0], blue[1] - red[1]
        assert step == SIDES[scene["target"][i]]
        expected = np.full((grid, grid), SKIP)
        expected[tuple(red)] = expected[tuple(blue)] = scene["target"][i]
        np.testing.assert_array_equal(scene["target_map"][i], expected.ravel())
        assert len(places) <= 2 + options["distractors"]


def test_distance_is_the_larger_of_rows_and_columns():
    scene = tile_scenes(3, 1, grid=5)[0]
    row, column_ = divmod(scene["cell"], 5)
    slow = [max(abs(r - row), abs(c - column_)) for r in range(5) for c in range(5)]
    assert scene["distance"] == slow


@pytest.mark.parametrize("task", ["tell", "domino"])
def test_answers_are_evenly_spread(task):
    target = column(tile_scenes(4000, 0, task=task), "target")
    share = np.bincount(target, minlength=4) / 4000
    # A standard deviation of a share is 0.007.
    np.testing.assert_allclose(share, 0.25, atol=0.03)


def test_same_seed_same_bytes_and_prefix():
    assert column_hash(tile_scenes(300, 0))[:16] == "f39ea6677911f804"
    assert column_hash(tile_scenes(300, 0, task="domino"))[:16] == "8a4c843c530a5fcc"
    short, long = (column(tile_scenes(n, 4), "image") for n in (10, 300))
    np.testing.assert_array_equal(short, long[:10])
    other = column(tile_scenes(10, 4, split="test"), "image")
    assert not np.array_equal(short, other)


def test_it_is_listed_among_the_worlds():
    assert make("tile_scenes", 2, 0, grid=4).num_rows == 2
    assert "Not in it" in card("tile_scenes")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n=0"),
        ({"seed": -1}, "seed=-1"),
        ({"grid": 3}, "grid=3"),
        ({"split": "val"}, "split='val'"),
        ({"task": "shout"}, "task='shout'"),
        ({"distractors": 13}, "distractors=13"),
        ({"noise": -0.1}, "noise=-0.1"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        tile_scenes(**{"n": 2, "seed": 0} | options)
