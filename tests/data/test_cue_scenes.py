import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import column, column_hash, worlds
from lib.data.digits import digit_arrays
from lib.data.worlds.cues import CLASS_NAMES, MARKS, palette


@st.composite
def options(draw):
    grid = draw(st.integers(2, 5))
    side = draw(st.sampled_from([8, 11, 16]))
    colours = draw(st.integers(1, 9))
    objects = draw(st.integers(1, min(colours, grid * grid - 1)))
    return {
        "split": draw(st.sampled_from(["train", "test"])),
        "size": grid * side,
        "grid": grid,
        "colours": colours,
        "objects": objects,
        "cues": draw(st.integers(1, min(objects, grid * grid - objects))),
        "marks": draw(st.integers(1, 4)),
        "scales": draw(st.sampled_from([None, (1,), (1, side // 8)])),
        "jitter": draw(st.booleans()),
    }


def arrays(data):
    return {name: column(data, name) for name in data.column_names}


@given(options=options(), seed=st.integers(0, 2**40))
@settings(deadline=None, max_examples=40)
def test_labels_are_exact(options, seed):
    """Everything the columns say is found again in the noiseless picture."""
    n, grid, size = 6, options["grid"], options["size"]
    objects, cues, side = options["objects"], options["cues"], size // grid
    scene = arrays(worlds.cue_scenes(n, seed, noise=0, **options))
    ink_of, label_of = digit_arrays(options["split"])
    for i in range(n):
        labels, boxes, cells = (scene[k][i] for k in ("labels", "boxes", "cells"))
        hues, marks = scene["colours"][i], scene["marks"][i]
        assert (labels[:objects] < 10).all()
        assert (labels[objects:] == CLASS_NAMES.index("cue")).all()
        assert len(labels) == objects + cues == len(set(cells))
        assert len(set(hues[:objects])) == objects
        np.testing.assert_array_equal(hues[objects:], hues[:cues])
        np.testing.assert_array_equal(marks[objects:], marks[:cues])
        assert (marks[:cues] >= 1).all()
        assert (marks <= options["marks"]).all()
        assert not marks[cues:objects].any()
        assert scene["target"][i] == cells[0]
        expected = np.zeros(grid * grid, int)
        for j in range(objects):
            expected[cells[j]] = marks[j]
        np.testing.assert_array_equal(scene["target_map"][i], expected)
        assert (expected > 0).sum() == cues

        seen = np.zeros((size, size), int)
        for j, (x1, y1, x2, y2) in enumerate(boxes.astype(int)):
            mask = scene["instances"][i] == j + 1
            seen += mask
            rows, columns = np.nonzero(mask)
            assert (columns.min(), rows.min()) == (x1, y1)
            assert (columns.max() + 1, rows.max() + 1) == (x2, y2)
            row, col = divmod(cells[j], grid)
            assert row * side <= y1 < y2 <= (row + 1) * side
            assert col * side <= x1 < x2 <= (col + 1) * side
            assert (scene["classes"][i][mask] == labels[j] + 1).all()
            pixels = scene["image"][i][mask].astype(int)
            colour = palette(options["colours"])[hues[j]]
            strongest = pixels.max(1, keepdims=True)
            assert (abs(pixels - strongest * colour) <= 1).all()
            assert strongest.min() >= 63
            if j >= objects:
                assert (x2 - x1) == (y2 - y1)
                assert (x2 - x1) % 4 == 0
                assert mask_name(mask[y1:y2, x1:x2]) == MARKS[marks[j] - 1]
        assert seen.max() == 1
        assert not scene["instances"][i][seen == 0].any()
        assert not scene["classes"][i][seen == 0].any()
        assert scene["image"][i][seen == 0].max() < 64
    # Each digit's ink is that of some picture of its split with that label.
    if options["scales"] == (1,) and not options["jitter"]:
        room = (side - 8) // 2
        row, col = divmod(scene["cells"][0][0], grid)
        cell = scene["image"][0, row * side :, col * side :][:side, :side].max(2)
        ink = np.rint(cell[room : room + 8, room : room + 8] / 255 * 16)
        same = (ink_of * 16 == ink).all((1, 2))
        assert scene["labels"][0][0] in label_of[same]


def mask_name(mask):
    """Name a cue's mark from its outline alone."""
    step = len(mask) // 4
    small = mask[::step, ::step]
    assert (small.repeat(step, 0).repeat(step, 1) == mask).all()
    if small.all():
        return "solid"
    if small[[0, 3]].all():
        return "ring" if small[:, [0, 3]].all() else "rows"
    assert small[:, [0, 3]].all()
    return "columns"


def test_the_default_is_the_task_of_the_chapter():
    data = worlds.cue_scenes(300, 3)
    scene = arrays(data)
    assert scene["image"].shape == (300, 32, 32, 3)
    assert scene["image"].dtype == np.uint8
    assert data.features["labels"].feature.names == list(CLASS_NAMES)
    assert scene["boxes"].shape == (300, 5, 4)
    assert (scene["marks"][:, -1] == 1).all()
    np.testing.assert_array_equal(np.unique(scene["target"]), np.arange(16))
    # The cue is a solid square of 4 by 4 in the middle of its cell.
    cue = scene["boxes"][:, -1].astype(int)
    assert (cue[:, 2:] - cue[:, :2] == 4).all()
    assert (cue[:, :2] % 8 == 2).all()
    assert {tuple(row) for row in palette() * 1} == {
        tuple(map(float, f"{i:03b}")) for i in range(1, 7)
    }


def test_noise_has_the_asked_strength():
    quiet = column(worlds.cue_scenes(64, 0, noise=0), "image").astype(float)
    noisy = column(worlds.cue_scenes(64, 0, noise=0.1), "image").astype(float)
    grey = (quiet > 80) & (quiet < 175)  # far from both ends, so nothing is cut off
    assert abs((noisy - quiet)[grey].std() / 255 - 0.1) < 0.01


def test_same_seed_same_bytes():
    assert column_hash(worlds.cue_scenes(40, 5)) == column_hash(
        worlds.make("cue_scenes", 40, 5)
    )
    longer = worlds.cue_scenes(600, 5)
    assert column_hash(longer.select(range(300))) == column_hash(
        worlds.cue_scenes(300, 5)
    )
    assert column_hash(worlds.cue_scenes(40, 6)) != column_hash(
        worlds.cue_scenes(40, 5)
    )


def test_other_split_is_another_draw():
    train, test = (
        column(worlds.cue_scenes(300, 0, split=split), "cells")
        for split in ("train", "test")
    )
    assert (train == test).all(1).mean() < 0.05


@pytest.mark.parametrize(
    ("options", "digest"),
    [
        ({}, "8e5edc80a800d450870ede7ed7f6b7f05a9b20c50cab4268e557daa38be3ed76"),
        (
            {
                "split": "test",
                "size": 64,
                "cues": 3,
                "marks": 4,
                "scales": (1, 2),
                "jitter": True,
            },
            "81d71298eea2368cbbd6e3b8bc50506bfb52a474c02f83190c8e9cfb600737f3",
        ),
    ],
)
def test_the_bytes_are_pinned(options, digest):
    assert column_hash(worlds.cue_scenes(64, 0, **options)) == digest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n=0 must be a whole number of 1 or more"),
        ({"n": 2.5}, "n=2.5 must be a whole number"),
        ({"seed": -1}, "seed=-1 must be a whole number of 0 or more"),
        ({"seed": True}, "seed=True must be"),
        ({"split": "dev"}, "split='dev' is unknown; allowed: 'train', 'test'"),
        ({"size": 24}, "size=24 must be a whole number of 32 or more"),
        ({"size": 33}, "size=33 must be a multiple of grid=4"),
        ({"grid": 0}, "grid=0 must be"),
        ({"objects": 7}, "objects=7 must be a whole number from 1 to 6"),
        ({"objects": 0}, "objects=0 must be"),
        ({"cues": 5}, r"cues=5 must be a whole number from 1 to 4 \(objects, free"),
        ({"cues": 0}, "cues=0 must be"),
        ({"marks": 5}, "marks=5 must be a whole number from 1 to 4"),
        ({"colours": 0}, "colours=0 must be"),
        ({"noise": -0.1}, "noise=-0.1 must be a number that is 0 or more"),
        ({"noise": float("nan")}, "noise=nan must be"),
        ({"scales": (2,)}, r"scales=2 must be a whole number from 1 to 1 \(a digit"),
        ({"scales": ()}, "scales=0 must be"),
    ],
)
def test_bad_options_are_named(arguments, message):
    given = {"n": 2, "seed": 0, **arguments}
    with pytest.raises(ValueError, match=message):
        worlds.cue_scenes(**given)


def test_worlds_by_name():
    assert "cue_scenes" in worlds.WORLDS
    for name in worlds.WORLDS:
        assert "Made from." in worlds.card(name)
        assert len(worlds.make(name, 3, 0)) == 3
    with pytest.raises(ValueError, match="name='mars' is no world; allowed: cell_"):
        worlds.make("mars", 1, 0)
    with pytest.raises(AttributeError, match="no attribute 'mars'"):
        _ = worlds.mars
