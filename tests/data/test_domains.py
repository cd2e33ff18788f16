import cmath
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from lib.data import column, column_hash
from lib.data.digits import digit_arrays
from lib.data.worlds import card, make, paper_digits, two_domain_shapes
from lib.data.worlds.domains import (
    COLOURS,
    NOISE,
    SHAPES,
    SPREAD,
    TEXTURES,
    class_names,
)

HASHES = {
    ("enamel", "train"): "aa921fb428147b53",
    ("enamel", "test"): "3358148f47a71146",
    ("ink", "train"): "045f20c05d8dbabd",
    ("ink", "test"): "3961e46b4db9b13a",
    ("digits", "train"): "9520c92e9cdbf413",
    ("digits", "test"): "a21fd4599226201b",
}


def draw(n, seed, world, split="train", **options):
    if world == "digits":
        return paper_digits(n, seed, split=split, **options)
    return two_domain_shapes(n, seed, domain=world, split=split, **options)


def arrays(data):
    return {name: column(data, name) for name in data.column_names}


def logistic(x):
    return 1 / (1 + math.exp(-x))


# The sheet's formulas, written out once more, by name.
OUTLINES = {
    "disc": lambda t: 1,
    "trefoil": lambda t: 1 + 0.22 * math.cos(3 * t) - 0.11,
    "quatrefoil": lambda t: 1 + 0.20 * math.cos(4 * t) - 0.10,
    "star": lambda t: 1 + 0.28 * math.cos(5 * t) - 0.14,
    "ellipse": lambda t: 1.2 / math.sqrt(math.cos(t) ** 2 + (1.9 * math.sin(t)) ** 2),
    "peanut": lambda t: 1 + 0.38 * math.cos(2 * t) - 0.19,
    "flower": lambda t: 1 + 0.30 * math.cos(6 * t) - 0.15,
    "propeller": lambda t: 1 + 0.42 * math.cos(3 * t) - 0.21,
    "cross": lambda t: 1 + 0.40 * math.cos(4 * t) - 0.20,
}
FIRST = {
    "solid": lambda u, v, p: 1,
    "stripes": lambda u, v, p: logistic(6 * math.sin(8 * u + p)),
    "checker": lambda u, v, p: logistic(6 * math.sin(8 * u + p) * math.sin(8 * v + p)),
    "rings": lambda u, v, p: logistic(6 * math.sin(8 * math.hypot(u, v) + p)),
    "waves": lambda u, v, p: logistic(
        6 * math.sin(6 * (u + v) + 2.2 * math.sin(4 * (u - v)) + p)
    ),
}


def slow_picture(row, paint, ruled):
    """Paint one picture pixel by pixel; `paint(z)` gives share and colour at u + iv."""
    ground = np.array(row["colours"][2])
    picture = np.zeros((32, 32, 3))
    for i in range(32):
        for j in range(32):
            x, y = (j + 0.5) / 16 - 1, (i + 0.5) / 16 - 1
            light = 0.10 * math.sin(7 * x + row["ruling"]) if ruled else 0.15 * y
            z = complex(x, y) - complex(*row["centre"])
            z *= cmath.exp(-1j * row["angle"]) / row["radius"]
            share, colour = paint(z)
            picture[i, j] = share * colour + (1 - share) * (1 + light) * ground
    return picture


def slow_shape(row, domain):
    shape, texture = (
        list(names[domain])[row[name]]
        for name, names in (("shape", SHAPES), ("texture", TEXTURES))
    )
    one, two = (np.array(row["colours"][i]) for i in range(2))

    def paint(z):
        distance = (OUTLINES[shape](cmath.phase(z)) - abs(z)) * row["radius"] * 16
        first = FIRST[texture](z.real, z.imag, row["phase"])
        return logistic(2 * distance), first * one + (1 - first) * two

    return slow_picture(row, paint, domain == "ink")


def slow_digit(row):
    ink = np.concatenate([digit_arrays("train")[0], digit_arrays("test")[0]])
    ink = ink[row["source"]]

    def paint(z):  # pixel k of 8 has its middle at (k + 0.5) / 4 - 1
        place = [[(z.imag + 1) * 4 - 0.5], [(z.real + 1) * 4 - 0.5]]
        share = map_coordinates(ink, place, order=1, mode="grid-constant", cval=0)
        return float(share[0]), np.array(row["colours"][0])

    return slow_picture(row, paint, True)


@given(seed=st.integers(0, 2**40), world=st.sampled_from(["enamel", "ink", "digits"]))
@settings(deadline=None, max_examples=8)
def test_pictures_equal_a_slow_loop_over_the_formulas(seed, world):
    for row in draw(3, seed, world, noise=0):
        slow = slow_digit(row) if world == "digits" else slow_shape(row, world)
        picture = np.array(row["image"])
        # Half a step of 255, and what rounding to 1e-6 moves.
        assert abs(picture / 255 - slow.clip(0, 1)).max() < 0.5 / 255 + 2e-6


@pytest.mark.parametrize(("world", "split"), HASHES)
def test_same_seed_same_bytes_and_prefix(world, split):
    long = draw(300, 0, world, split)
    assert column_hash(long)[:16] == HASHES[world, split]
    assert column_hash(draw(9, 0, world, split)) == column_hash(long.select(range(9)))
    other = column(draw(9, 1, world, split), "image")
    assert not np.array_equal(other, column(long, "image")[:9])


def test_splits_and_worlds_share_no_draws():
    angles = [
        column(draw(300, seed, world, split), "angle")
        for world, split in HASHES
        for seed in (0, 1)
    ]
    assert len(np.unique(np.concatenate(angles))) == 12 * 300


@pytest.mark.parametrize(("domain", "classes"), [("enamel", 12), ("ink", 10)])
def test_the_label_is_the_pair_of_shape_and_texture(domain, classes):
    data = two_domain_shapes(3000, 0, domain=domain)
    names = data.features["label"].names
    assert len(names) == len(set(names)) == classes
    assert names == class_names(domain)
    for label, shape, texture in zip(
        *(data[name] for name in ("label", "shape", "texture")), strict=True
    ):
        pair = list(SHAPES[domain])[shape], list(TEXTURES[domain])[texture]
        assert names[label] == ", ".join(pair)
    share = np.bincount(column(data, "label"), minlength=classes) / 3000
    # A standard deviation of a share is 0.0055.
    np.testing.assert_allclose(share, 1 / classes, atol=0.025)


def test_the_domains_share_no_shape_texture_or_class():
    outline = np.linspace(0, 2 * np.pi, 97)
    for table in (SHAPES, TEXTURES):
        assert not set(table["enamel"]) & set(table["ink"])
    assert not set(class_names("enamel")) & set(class_names("ink"))
    for one in SHAPES["enamel"]:
        for two in SHAPES["ink"]:
            gap = [abs(OUTLINES[one](t) - OUTLINES[two](t)) for t in outline]
            assert max(gap) > 0.05


@pytest.mark.parametrize("world", ["enamel", "ink", "digits"])
def test_nuisances_have_the_ranges_of_the_card(world):
    scene = arrays(draw(4000, 0, world))
    ranges = {"centre": (-0.2, 0.2), "radius": (0.6, 0.8), "angle": (-0.45, 0.45)}
    ranges["ruling"] = (0, 2 * np.pi)
    if world != "digits":
        ranges["phase"] = (0, 1.5)
    for name, (low, high) in ranges.items():
        width = high - low
        assert low <= scene[name].min() < low + 0.01 * width
        assert high - 0.01 * width < scene[name].max() <= high
        assert abs(scene[name].mean() - (low + high) / 2) < 0.02 * width
    domain = "ink" if world == "digits" else world
    shift = scene["colours"] - COLOURS[domain]
    np.testing.assert_allclose(shift.mean(0), 0, atol=0.006)
    for i, spread in enumerate(SPREAD[domain]):
        # One part a channel and one for all three, equally strong.
        wanted = spread**2 * (np.eye(3) + 1)
        np.testing.assert_allclose(np.cov(shift[:, i].T), wanted, atol=5e-4)


@pytest.mark.parametrize("world", ["enamel", "ink", "digits"])
def test_noise_has_the_asked_strength(world):
    quiet, noisy, loud = (
        column(draw(64, 0, world, **options), "image").astype(float)
        for options in ({"noise": 0}, {}, {"noise": 0.1})
    )
    own = NOISE["ink" if world == "digits" else world]
    gray = (quiet > 90) & (quiet < 165)  # far from both ends, so nothing is cut off
    assert (noisy - quiet)[gray].std() / 255 == pytest.approx(own, rel=0.05)
    assert (loud - quiet)[gray].std() / 255 == pytest.approx(0.1, rel=0.05)


def test_no_source_digit_serves_both_splits():
    ink_labels = np.concatenate([digit_arrays(s)[1] for s in ("train", "test")])
    sources = {}
    for split in ("train", "test"):
        data = paper_digits(4000, 0, split=split)
        source = column(data, "source")
        np.testing.assert_array_equal(column(data, "label"), ink_labels[source])
        sources[split] = set(source.tolist())
    assert not sources["train"] & sources["test"]
    # 4,000 draws leave out 43 of 1200 sources on average, and 1 of 597.
    assert len(sources["train"]) > 1100
    assert len(sources["test"]) > 580
    assert max(sources["train"]) < 1200 <= min(sources["test"])


def test_they_are_listed_among_the_worlds():
    assert make("two_domain_shapes", 2, 0, domain="ink").num_rows == 2
    assert make("paper_digits", 2, 0).num_rows == 2
    for name in ("two_domain_shapes", "paper_digits"):
        assert "Not in it" in card(name)


@pytest.mark.parametrize("world", [two_domain_shapes, paper_digits])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n=0 must be a whole number from 1 on"),
        ({"n": 1.5}, "n=1.5"),
        ({"n": True}, "n=True"),
        ({"seed": -1}, "seed=-1"),
        ({"split": "val"}, "split='val' is unknown; allowed: 'train', 'test'"),
        ({"noise": -0.1}, "noise=-0.1 must be a number that is 0 or more"),
        ({"noise": math.nan}, "noise=nan"),
    ],
)
def test_wrong_arguments_are_named(world, options, message):
    with pytest.raises(ValueError, match=message):
        world(**{"n": 2, "seed": 0} | options)


def test_a_domain_that_does_not_exist_is_named():
    for call in (class_names, lambda name: two_domain_shapes(1, 0, domain=name)):
        with pytest.raises(ValueError, match=r"domain='oil' is unk.* enamel, ink"):
            call("oil")
