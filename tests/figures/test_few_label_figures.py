"""The figures and the widgets of the chapter on few-label transfer."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import product

import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from nbclient import NotebookClient
from playwright.sync_api import Page
from scipy.spatial import procrustes
from torch.nn import functional as F

from lib.figures import few_label as figures
from lib.figures.palette import SERIES, contrast
from lib.figures.player import FRAME_LIMIT
from lib.figures.show import checked_alt
from lib.figures.style import figure_image
from lib.metrics import paired_difference, t_interval
from tests.figures.test_cswin_figures import assert_inside, words
from tests.figures.test_player import Outline
from tests.site.checks import axe_problems, widget_problems

Open = Callable[..., Page]
PRETRAININGS = list(figures.LOOKS)
CHOOSERS = ("source", "tup", "supervised_tup")
RULES = [
    "random", "balanced", "kmeans", "ackmeans", "kcentre", "typiclust", "probcover",
    "usl",
]  # fmt: skip
N = 120
DRAW = np.random.default_rng(3)
LABELS = np.arange(N) % 10
POINTS = DRAW.normal(size=(N, 2)) + 2 * DRAW.normal(size=(10, 2))[LABELS]


def made_up(count: int = 5) -> dict:
    """Make up results in the form of claims.json."""
    draw = np.random.default_rng(8)
    seeds = {}
    for seed in range(5, 5 + count):
        arms = {
            name: {
                f"{kind}_{k}": 0.2 + 0.05 * i + 0.1 * np.log2(k) + draw.normal(0, 0.01)
                for kind, k in product(("probe", "mean"), (1, 2, 4, 8))
            }
            | {"nmi": 0.1 + 0.04 * i + draw.normal(0, 0.01)}
            for i, name in enumerate(PRETRAININGS)
        }
        for (i, encoder), rule in product(enumerate(CHOOSERS), RULES):
            better = 0.0 if rule == "random" else 0.03 * (i - 1)
            arms[f"{encoder}/{rule}"] = {"probe_1": 0.3 + better + draw.normal(0, 0.01)}
        seeds[str(seed)] = {"arms": arms}
    return json.loads(json.dumps(seeds))


SEEDS = made_up()


# --- pictures -----------------------------------------------------------------------


def pictures(n: int, side: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


def cut(figure: Figure, axis: int, row: int, column: int, side: int = 6) -> np.ndarray:
    """Cut one picture out of a sheet."""
    page = np.asarray(figure.axes[axis].images[0].get_array())
    y, x = row * (side + 2), column * (side + 2)
    return page[y : y + side, x : x + side]


def test_sheet_has_a_row_a_class() -> None:
    labels = torch.tensor([2, 0, 1, 1, 0, 2, 2, 0, 1])
    images = pictures(9)
    figure = figures.sheet(images, labels, ["a", "b", "c"], 2)
    assert_inside(figure)
    for row, own in enumerate([(1, 4), (2, 3), (0, 5)]):
        for column, k in enumerate(own):
            expected = images[k].permute(1, 2, 0).numpy()
            assert np.allclose(cut(figure, 0, row, column), expected)
    ticks = figure.axes[0].get_yticklabels()
    assert [tick.get_text() for tick in ticks] == ["a", "b", "c"]
    assert [tick.get_position()[1] for tick in ticks] == [3, 11, 19]  # their middles
    page = np.asarray(figure.axes[0].images[0].get_array())
    assert page.shape == (22, 14, 3)
    assert (page[6:8] == 1).all()  # white between the rows


def test_two_sheets_have_a_row_a_shape() -> None:
    names = ["disc, solid", "disc, stripes", "star, solid", "star, stripes"]
    source = (pictures(8), torch.arange(8) % 4, names)
    target = (pictures(6, seed=1), torch.arange(6) % 3, ["a, x", "b, x", "c, x"])
    figure = figures.two_sheets(source, target, 2, titles=("left", "right"))
    assert_inside(figure)
    figure.draw_without_rendering()
    # Two pictures of a class stand side by side: column 2 begins the next texture.
    for side, row, column, k in (
        (0, 0, 0, 0),
        (0, 0, 3, 5),
        (0, 1, 2, 3),
        (1, 2, 1, 5),
    ):
        expected = (source, target)[side][0][k].permute(1, 2, 0).numpy()
        assert np.allclose(cut(figure, side, row, column), expected)
    left, right = figure.axes
    assert [a.get_title(loc="center") for a in figure.axes] == ["left", "right"]
    assert [t.get_text() for t in left.get_yticklabels()] == ["disc", "star"]
    assert [t.get_text() for t in left.get_xticklabels()] == ["solid", "stripes"]
    assert left.get_xticks() == pytest.approx([7.5, 23.5], abs=1)
    assert [t.get_text() for t in right.get_yticklabels()] == ["a", "b", "c"]
    boxes = [axis.get_window_extent() for axis in figure.axes]
    assert boxes[0].height == pytest.approx(boxes[1].height, rel=0.1)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b"], "must be different shapes and textures"),
        (["a, x", "a, x"], "must be different shapes and textures"),
        (["a, x", "b, y"], r"must pair each of \['a', 'b'\] with each of"),
    ],
)
def test_two_sheets_want_shapes_and_textures(names: list[str], message: str) -> None:
    side = (pictures(4), torch.arange(4) % 2, names)
    with pytest.raises(ValueError, match=message):
        figures.two_sheets(side, side)


def test_views_stand_below_their_picture() -> None:
    rows = [pictures(4, seed=seed) for seed in range(3)]
    figure = figures.view_pairs(*rows)
    assert_inside(figure)
    for i, j in product(range(3), range(4)):
        expected = rows[i][j].permute(1, 2, 0).numpy()
        assert np.allclose(cut(figure, 0, i, j), expected)
    assert {"picture", "view 1", "view 2"} <= set(words(figure).split("\n"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"per_class": 0}, "per_class=0 must be 1 or more"),
        ({"per_class": 4}, r"labels hold \[3, 3, 3\] pictures of each class"),
        ({"names": ["a", "b"]}, "2 names need 2 or more of each"),
        ({"labels": torch.zeros(9)}, "must be whole numbers from 0"),
        ({"labels": torch.zeros(8, dtype=torch.long)}, r"labels of shape \(8,\)"),
        ({"images": pictures(9) + 1}, "must hold numbers from 0 to 1"),
    ],
)
def test_wrong_sheets(change: dict, message: str) -> None:
    good = {"images": pictures(9), "labels": torch.arange(9) % 3, "names": list("abc")}
    with pytest.raises(ValueError, match=message):
        figures.sheet(**good | {"per_class": 2} | change)


@pytest.mark.parametrize("sizes", [(0, 0, 0), (13, 13, 13), (3, 3, 2)])
def test_wrong_views(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be 1 to 12 each, of one shape"):
        figures.view_pairs(*map(pictures, sizes))


# --- training -----------------------------------------------------------------------


def test_loss_and_the_mean_around_it() -> None:
    losses = {"source": DRAW.uniform(5, 7, 40), "tup": DRAW.uniform(4, 6, 60)}
    figure = figures.loss_curve(losses, chance=np.log(1025), window=11)
    assert_inside(figure)
    (axis,) = figure.axes
    for k, (name, loss) in enumerate(losses.items()):
        thin, thick = axis.lines[2 * k : 2 * k + 2]
        assert np.array_equal(thin.get_ydata(), loss)
        assert len(thick.get_xdata()) == len(loss) - 10
        for at, mean in zip(thick.get_xdata(), thick.get_ydata(), strict=True):
            middle = int(at) - 1  # steps count from 1
            assert mean == pytest.approx(loss[middle - 5 : middle + 6].mean())
        assert thick.get_color() == figures.LOOKS[name].colour
    (chance,) = (line for line in axis.lines if line.get_linestyle() == ":")
    assert chance.get_ydata()[0] == np.log(1025)
    said = ["MoCo source", "TUP", "each step", "mean of 11", "chance"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == said


def test_first_steps_have_a_panel() -> None:
    loss = np.r_[1.0, 2.0, DRAW.uniform(5, 7, 48)]
    figure = figures.loss_curve(loss, window=4, first=10)
    assert_inside(figure)
    left, right = figure.axes
    (line,) = left.lines
    assert np.array_equal(line.get_ydata(), loss[:10])
    assert left.get_xlim() == (0, 10)
    thin, thick = right.lines
    assert np.array_equal(thin.get_ydata(), loss)
    assert thick.get_xdata()[0] == 12.5  # the middle of steps 11 to 14
    assert thick.get_ydata()[0] == pytest.approx(loss[10:14].mean())
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said == ["each step", "mean of 4"]


@pytest.mark.parametrize(
    ("first", "message"),
    [(-1, "first=-1 must be 0 or more"), (9, "window=2 .* behind the first 9")],
)
def test_wrong_first_steps(first: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figures.loss_curve(np.ones(10), window=2, first=first)


@pytest.mark.parametrize(
    ("losses", "window", "message"),
    [
        ({}, 1, r"arms=\[\] must be 1 to 7"),
        ([1.0, 2.0], 3, "at least window=3"),
        ([1.0, 2.0], 0, "at least window=0"),
        ([1.0, np.nan], 1, "must be finite"),
        ({str(k): [1.0] for k in range(8)}, 1, "must be 1 to 7 different names"),
    ],
)
def test_wrong_losses(losses: object, window: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figures.loss_curve(losses, window=window)


# --- clouds -------------------------------------------------------------------------


@given(st.integers(1, 21))
def test_no_two_classes_look_alike(classes: int) -> None:
    looks = figures.class_looks(classes)
    assert len(set(looks)) == len(looks) == classes
    assert len(set(looks[:7])) == len({colour for colour, _ in looks[:7]})


def test_shapes_have_colours_and_textures_markers() -> None:
    shapes, textures = "abcde", ("rings", "waves")
    names = [f"{a}, {b}" for a in shapes for b in textures]
    looks = figures.class_looks(10, names)
    assert looks == [(SERIES[k // 2], "o^"[k % 2]) for k in range(10)]
    figure = figures.clouds({"tup": POINTS}, LABELS, names=names)
    assert_inside(figure)
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said == [*shapes, *textures]
    dots = drawn(figure.axes[0], 2)
    for place, label in zip(POINTS, LABELS, strict=True):
        assert dots[tuple(place)][0] == SERIES[label // 2]
    # One texture says nothing; classes that are no pairs keep looks of their own.
    for others in ([f"{k}, x" for k in range(10)], ["a", *names[1:]], None):
        assert figures.class_looks(10, others) == figures.class_looks(10)


def test_methods_differ_in_colour_and_shape() -> None:
    looks = figures.LOOKS.values()
    for part in zip(*looks, strict=True):
        assert len({str(p) for p in part}) == (
            3 if part[0] in ("-", (0, (1, 1.4))) else 7
        )
    for name in PRETRAININGS:
        colour = figures._on_white(figures.LOOKS[name].colour)
        assert contrast(colour, "#ffffff") >= 4.5


def drawn(axis, count: int) -> dict[tuple[float, ...], tuple[str, int]]:
    """Return place -> colour and corners of the marker of the dots in `axis`."""
    found = {}
    for some in axis.collections[:count]:
        colours = some.get_facecolors()
        corners = len(some.get_paths()[0].vertices)
        for place, colour in zip(some.get_offsets(), colours, strict=True):
            found[tuple(np.asarray(place))] = to_hex(colour), corners
    return found


def test_clouds_are_coloured_by_class() -> None:
    points = {"source": POINTS, "tup": POINTS[::-1].copy(), "other": 2 * POINTS}
    figure = figures.clouds(points, LABELS, nmi={"source": 0.163, "tup": 0.221})
    assert_inside(figure)
    for axis, at in zip(figure.axes, points.values(), strict=True):
        dots = drawn(axis, 2)
        assert len(dots) == N
        looks = {dots[tuple(place)] for place in at}
        assert len(looks) == 10
        for c in range(10):
            same = {dots[tuple(place)] for place in at[c == LABELS]}
            assert len(same) == 1
            assert same.pop()[0] == SERIES[c % 7]
        low, high = at.min(0), at.max(0)
        assert axis.get_xlim()[0] < low[0]
        assert axis.get_ylim()[1] > high[1]
    titles = [axis.get_title(loc="center") for axis in figure.axes]
    assert titles == ["MoCo source\nNMI 0.16", "TUP\nNMI 0.22", "other"]
    legend = figure.legends[0].get_texts()
    assert [text.get_text() for text in legend] == [str(c) for c in range(10)]


def test_two_clouds_name_their_classes(capsys: pytest.CaptureFixture) -> None:
    names = [f"shape {c}, some texture" for c in range(10)]
    points = {"random": torch.tensor(POINTS), "sequential": POINTS * [9, 0.1]}
    figure = figures.clouds(points, LABELS, names=names)
    assert_inside(figure)
    figure_image(figure)
    assert capsys.readouterr().err == ""  # a notebook would keep it
    assert set(names) <= set(words(figure).split("\n"))
    assert figure.axes[1].get_title(loc="center") == "source, then both"


@pytest.mark.parametrize("count", [1, 2, 6])
def test_chosen_rows_stand_out(count: int) -> None:
    rules = ["kmeans", "random", "balanced", "kcentre", "mine", "usl"][:count]
    picks = {rule: DRAW.permutation(N)[: 5 + k] for k, rule in enumerate(rules)}
    figure = figures.chosen(POINTS, LABELS, picks, names=list("abcdefghij"))
    assert_inside(figure)
    for axis, (rule, rows) in zip(figure.axes, picks.items(), strict=True):
        ringed = [c for c in axis.collections if c.get_linewidths()[0] > 0]
        at = np.concatenate([np.asarray(c.get_offsets()) for c in ringed])
        assert {tuple(p) for p in at} == {tuple(p) for p in POINTS[rows]}
        for some in ringed:
            for place, colour in zip(
                some.get_offsets(), some.get_facecolors(), strict=True
            ):
                (k,) = np.flatnonzero((np.asarray(place) == POINTS).all(1))
                assert to_hex(colour) == SERIES[LABELS[k] % 7]
        met = f"{len({int(LABELS[k]) for k in rows})} of 10 classes"
        title = axis.get_title(loc="center")
        assert title.endswith(met)
        assert title.startswith(figures.RULE_WORDS.get(rule, rule))


def test_nothing_chosen_meets_nothing() -> None:
    figure = figures.chosen(POINTS, LABELS, {"random": []})
    assert "random: 0 of 10 classes" in words(figure)
    assert figure.legends == []


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: figures.clouds({}, LABELS), "labels of shape"),
        (lambda: figures.clouds({}, LABELS[:0]), "points has 0 entries"),
        (
            lambda: figures.clouds({"a": POINTS[:, :1]}, LABELS),
            r"points\['a'\] of shape",
        ),
        (
            lambda: figures.clouds({"a": POINTS, "b": POINTS[1:]}, LABELS),
            "has 119 rows",
        ),
        (lambda: figures.clouds({"a": POINTS}, LABELS, nmi={"b": 1}), "nmi has"),
        (lambda: figures.clouds({"a": POINTS}, LABELS, names=["x"]), "names has 1"),
        (lambda: figures.clouds({"a": POINTS}, LABELS + 12), "classes=22 must be 1"),
        (lambda: figures.chosen(POINTS, LABELS, {}), "picks has 0 entries"),
        (lambda: figures.chosen(POINTS, LABELS, {"a": [N]}), "different rows from 0"),
        (
            lambda: figures.chosen(POINTS, LABELS, {"a": [1, 1]}),
            r"picks\['a'\] must be",
        ),
    ],
)
def test_wrong_clouds(draw: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()


# --- results over seeds -------------------------------------------------------------


def values(arm: str, metric: str) -> list[float]:
    return [SEEDS[seed]["arms"][arm][metric] for seed in SEEDS]


@pytest.mark.parametrize(
    ("arms", "metric"), [(PRETRAININGS, "probe"), (["tup"], "mean")]
)
def test_bands_are_student_intervals(arms: list[str], metric: str) -> None:
    figure = figures.label_curves(SEEDS, arms, metric, chance=0.1, level=0.9)
    assert_inside(figure)
    axis = figure.axes[0]
    lines = [line for line in axis.lines if len(line.get_xdata()) == 4]
    for arm, line, band in zip(arms, lines, axis.collections, strict=True):
        corners = band.get_paths()[0].vertices
        for k, mean in zip((1, 2, 4, 8), line.get_ydata(), strict=True):
            expected = t_interval(values(arm, f"{metric}_{k}"), 0.9)
            assert mean == pytest.approx(expected.mean)
            heights = corners[corners[:, 0] == k, 1]
            assert heights.min() == pytest.approx(expected.low)
            assert heights.max() == pytest.approx(expected.high)
        assert line.get_color() == figures.LOOKS[arm].colour
        assert to_rgba(line.get_color())[:3] == tuple(band.get_facecolor()[0, :3])
    assert len({line.get_color() for line in lines}) == len(arms)
    figure.draw_without_rendering()
    ticks = [tick.get_text() for tick in axis.get_xticklabels()]
    assert ticks == ["1", "2", "4", "8"]
    assert axis.get_xscale() == "log"


def test_ends_carry_names_that_do_not_touch() -> None:
    same = {
        seed: {"arms": dict.fromkeys(PRETRAININGS, r["arms"]["tup"])}
        for seed, r in SEEDS.items()
    }
    for seeds in (SEEDS, same):
        figure = figures.label_curves(seeds, PRETRAININGS)
        assert_inside(figure)
        figure.draw_without_rendering()
        boxes = {t.get_text(): t.get_window_extent() for t in figure.axes[0].texts}
        assert set(boxes) == {look.words for look in figures.LOOKS.values()}
        # The box of an annotation holds its line too: compare the words alone.
        middles = sorted(
            figure.axes[0].transData.transform((1, t.get_position()[1]))[1]
            for t in figure.axes[0].texts
        )
        assert min(np.diff(middles)) >= 9.5 * figure.dpi / 72


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.01, 0.3))
def test_spread_keeps_order_and_distance(given_values: list, gap: float) -> None:
    rising = sorted(given_values)
    moved = figures.spread(rising, gap)
    assert all(np.diff(moved) >= gap - 1e-9)
    assert np.mean(moved) == pytest.approx(np.mean(rising))
    if len(rising) > 1 and min(np.diff(rising)) >= gap:
        assert moved == pytest.approx(rising)


def test_panels_share_a_scale() -> None:
    groups = {"world": SEEDS, "digits": made_up(3)}
    arms = ["source", "tup"]
    figure = figures.label_panels(groups, arms, chance={"digits": 0.1})
    assert_inside(figure)
    for axis, (title, seeds) in zip(figure.axes, groups.items(), strict=True):
        lines = [line for line in axis.lines if len(line.get_xdata()) == 4]
        for arm, line in zip(arms, lines, strict=True):
            found = [s["arms"][arm]["probe_8"] for s in seeds.values()]
            assert line.get_ydata()[-1] == pytest.approx(np.mean(found))
        assert axis.get_title(loc="center") == f"{title}\n{len(seeds)} seeds"
        dotted = [line for line in axis.lines if line.get_linestyle() == ":"]
        assert len(dotted) == (title == "digits")
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said == ["MoCo source", "TUP", "chance"]


def test_one_seed_has_no_band() -> None:
    figure = figures.label_curves(made_up(1), ["source", "tup"], labels=(1, 4))
    assert list(figure.axes[0].collections) == []
    assert len([li for li in figure.axes[0].lines if len(li.get_xdata()) == 2]) == 2


def test_one_dot_a_method_and_seed() -> None:
    figure = figures.quality_against_accuracy(SEEDS, PRETRAININGS)
    assert_inside(figure)
    axis = figure.axes[0]
    for arm, dots in zip(PRETRAININGS, axis.collections, strict=True):
        pairs = np.array([values(arm, "nmi"), values(arm, "probe_1")]).T
        assert np.allclose(dots.get_offsets(), pairs)
        assert to_hex(dots.get_facecolors()[0]) == figures.LOOKS[arm].colour
    assert axis.get_ylabel() == "probe accuracy, 1 label a class"
    assert axis.get_xlabel() == "NMI"
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axis.texts]
    assert len(boxes) == 7
    frame = axis.get_window_extent()
    every = np.concatenate([np.asarray(c.get_offsets()) for c in axis.collections])
    for k, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:k])
        assert frame.x0 <= box.x0 < box.x1 <= frame.x1
        own = axis.transData.transform(axis.collections[k].get_offsets())
        middle = np.array([(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2])
        # Near its own dots, and on no dot's middle.
        assert min(abs(own[:, 1] - middle[1])) < 30
        assert not any(box.contains(*p) for p in axis.transData.transform(every))


def test_gains_are_paired_with_random() -> None:
    rules = [rule for rule in RULES if rule != "random"]
    figure = figures.gains(SEEDS, CHOOSERS, rules)
    assert_inside(figure)
    for axis, encoder in zip(figure.axes, CHOOSERS, strict=True):
        bars = [line for line in axis.lines if len(line.get_xdata()) == 2][1:]
        marks = [line for line in axis.lines if len(line.get_xdata()) == 1]
        for k, (rule, bar, mark) in enumerate(zip(rules, bars, marks, strict=True)):
            expected = paired_difference(
                values(f"{encoder}/{rule}", "probe_1"),
                values(f"{encoder}/random", "probe_1"),
            )
            assert bar.get_xdata() == pytest.approx(
                [100 * expected.low, 100 * expected.high]
            )
            assert mark.get_xdata()[0] == pytest.approx(100 * expected.mean)
            assert mark.get_ydata()[0] == k
            end = min(abs(expected.low), abs(expected.high))
            holds_zero = expected.low <= 0 <= expected.high
            near = end < 0.1 * (expected.high - expected.low)
            is_open = mark.get_markerfacecolor() == "#ffffff"
            assert is_open == (holds_zero or near)
            assert (mark.get_marker() == "D") == (expected.high < 0)
            assert bar.get_marker() == "|"  # an end that one can see
        nmi = np.mean(values(encoder, "nmi"))
        assert axis.get_title(loc="center").endswith(f"NMI {nmi:.2f}")
    shown = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert shown == [figures.RULE_WORDS[rule] for rule in rules]
    low, high = figure.axes[0].get_ylim()
    assert low > high  # the first rule stands on top
    assert "balanced (oracle)" in shown


def shifted(gain: float, wobble: float) -> dict:
    """Make up four seeds in which a loop gains so much, more or less."""
    return {
        str(k): {
            "arms": {
                "tup/progressive": {"finetune_2": 0.4 + gain + wobble * (-1) ** k},
                "tup/at_random": {"finetune_2": 0.4},
            }
        }
        for k in range(4)
    }


# Student's half width of four values +-w around their mean is 1.837 w.
@pytest.mark.parametrize(
    ("gain", "expected", "is_open"),
    [
        (0.10, "above 0", False),
        (0.02, "barely above", True),
        (0.01, "includes 0", True),
        (-0.02, "barely below", True),
        (-0.10, "below 0", False),
    ],
)
def test_only_what_occurs_is_in_the_legend(
    gain: float, expected: str, is_open: bool
) -> None:
    seeds, options = shifted(gain, 0.01), {"baseline": "at_random"}
    figure = figures.gains(seeds, ["tup"], ["progressive"], "finetune_2", **options)
    assert_inside(figure)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [expected]
    (mark,) = (line for line in figure.axes[0].lines if len(line.get_xdata()) == 1)
    assert (mark.get_markerfacecolor() == "#ffffff") == is_open
    assert "points above random (fine-tuned accuracy, 2 labels a class)" in words(
        figure
    )
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["loop"]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: figures.label_curves({}, ["tup"]), "at least one seed"),
        (
            lambda: figures.label_curves(SEEDS, ["mine"]),
            "seed 5 has no 'mine' 'probe_1'",
        ),
        (lambda: figures.label_curves(SEEDS, ["tup"], "other"), "no 'tup' 'other_1'"),
        (lambda: figures.label_curves(SEEDS, []), "must be 1 to 7 different names"),
        (lambda: figures.label_curves(SEEDS, ["tup"] * 2), "must be 1 to 7 different"),
        (lambda: figures.label_curves(SEEDS, ["tup"], labels=[1]), r"labels=\[1\]"),
        (lambda: figures.label_curves(SEEDS, ["tup"], labels=[4, 1]), "rising from 1"),
        (lambda: figures.label_panels({}, ["tup"]), r"groups=\[\] must be 1 to 3"),
        (
            lambda: figures.label_panels({"a": SEEDS}, ["tup"], chance={"b": 0.1}),
            "of these",
        ),
        (lambda: figures.quality_against_accuracy(SEEDS, ["tup"], "x"), "no 'tup' 'x'"),
        (lambda: figures.gains(SEEDS, [], ["kmeans"]), r"encoders=\[\]"),
        (lambda: figures.gains(SEEDS, ["tup"], []), r"rules=\[\]"),
        (lambda: figures.gains(made_up(1), ["tup"], ["usl"]), "at least 2"),
    ],
)
def test_wrong_results(draw: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tup/kmeans", "TUP, k-means"),
        ("tup", "TUP"),
        ("2000/0.05", "2000, 0.05"),
        ("mine", "mine"),
    ],
)
def test_names_in_words(name: str, expected: str) -> None:
    assert figures.in_words(name) == expected


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("probe", "probe accuracy, mean of 1 to 8 labels"),
        ("finetune_4", "fine-tuned accuracy, 4 labels a class"),
        ("classes_1", "share of classes met, 1 label a class"),
        ("knn", "k-NN accuracy"),
    ],
)
def test_metrics_in_words(metric: str, expected: str) -> None:
    assert figures.metric_in_words(metric) == expected


# --- players ------------------------------------------------------------------------

SHARES = (0.0, 0.005, 0.5, 1.0)


def shares(**options):
    return figures.share_frames(
        **{
            "points": {s: POINTS * (1 + s) for s in SHARES},
            "labels": LABELS,
            "nmi": {s: 0.1 + 0.2 * s for s in SHARES},
            "probe": {s: 0.3 + 0.1 * s for s in SHARES},
        }
        | options
    )


BUDGETS = (10, 20, 40)


def budgets(**options):
    draw = np.random.default_rng(2)
    picks = {
        rule: {b: draw.permutation(N)[:b] for b in BUDGETS}
        for rule in ("random", "usl")
    }
    return figures.budget_frames(
        **{"points": POINTS, "labels": LABELS, "picks": picks} | options
    )


def test_turning_and_mirroring_are_taken_back() -> None:
    turn, mirror = [[0.6, -0.8], [0.8, 0.6]], [1, -1]
    first, second = figures.aligned(
        [POINTS, 3 * (POINTS * mirror) @ np.array(turn) + 5]
    )
    assert np.allclose(first, second)
    assert np.allclose(first.mean(0), 0)
    assert (first**2).sum(1).mean() == pytest.approx(1)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_alignment_is_that_of_scipy(seed: int) -> None:
    other = POINTS + np.random.default_rng(seed).normal(0, 2, POINTS.shape)
    first, second = figures.aligned([POINTS, other])
    mine = ((first - second) ** 2).sum()
    theirs = procrustes(POINTS, other)[2]
    # SciPy may scale as well: d = 1 - c², where c is the best overlap; ours 2 - 2c.
    assert mine / N == pytest.approx(2 - 2 * np.sqrt(1 - theirs))


def test_share_frames_say_their_numbers() -> None:
    widget = shares(caption="A < B", name="fig-share")
    html = widget._repr_html_()
    assert len(widget) == 4
    alts = re.findall(r'alt="([^"]+)"', html)
    assert [checked_alt(alt) for alt in alts] == alts
    for share, alt in zip(SHARES, alts, strict=True):
        numbers = f"NMI {0.1 + 0.2 * share:.2f}, probe {0.3 + 0.1 * share:.2f}."
        assert f"share of {share:g}: {numbers}" in alt
    assert widget.axes == {"Target share of a batch": ["0 %", "0.5 %", "50 %", "100 %"]}
    assert html == shares(caption="A < B", name="fig-share")._repr_html_()


def test_share_frame_marks_where_it_stands() -> None:
    nmi, probe = [0.2, 0.1, 0.3], [0.3, 0.4, 0.2]
    for k in range(3):
        figure = figures._share_frame(POINTS, LABELS, SHARES[:3], k, nmi, probe)
        assert_inside(figure)
        axis = figure.axes[1]
        long = [line for line in axis.lines if len(line.get_xdata()) == 3]
        assert [list(line.get_ydata()) for line in long] == [probe, nmi]
        spots = [line for line in axis.lines if len(line.get_xdata()) == 1]
        assert [(s.get_xdata()[0], s.get_ydata()[0]) for s in spots] == [
            (k, probe[k]), (k, nmi[k]),
        ]  # fmt: skip
        assert {f"probe {probe[k]:.2f}", f"NMI {nmi[k]:.2f}"} == {
            text.get_text() for text in axis.texts
        }


def test_budget_frames_count_the_classes() -> None:
    accuracy = {rule: {b: b / 100 for b in BUDGETS} for rule in ("random", "usl")}
    html = budgets(accuracy=accuracy)._repr_html_()
    draw = np.random.default_rng(2)
    met = {
        (rule, b): len(set(LABELS[draw.permutation(N)[:b]].tolist()))
        for rule in ("random", "USL")
        for b in BUDGETS
    }
    notes = re.findall(r'<p class="pb-note">([^<]+)</p>', html)
    assert notes == [
        f"{b} labels: "
        + "; ".join(
            f"{rule} meets {met[rule, b]} of 10 classes, accuracy {b / 100:.2f}"
            for rule in ("random", "USL")
        )
        + "."
        for b in BUDGETS
    ]


def test_large_clouds_are_thinned_and_keep_what_is_chosen() -> None:
    many = np.random.default_rng(0).normal(size=(3000, 2))
    y = np.arange(3000) % 10
    picks = {r: {b: np.arange(k, k + b) for b in BUDGETS} for k, r in enumerate("ab")}
    html = figures.budget_frames(many, y, picks)._repr_html_()
    assert len(html) < len(BUDGETS) * 1.4 * FRAME_LIMIT
    figure = figures._budget_frame(
        many, y, ["a", "b"], [np.arange(5), np.arange(9, 16)]
    )
    assert_inside(figure)
    for axis, rows in zip(figure.axes, (range(5), range(9, 16)), strict=True):
        ringed = [c for c in axis.collections if c.get_linewidths()[0] > 0]
        at = np.concatenate([np.asarray(c.get_offsets()) for c in ringed])
        assert {tuple(p) for p in at} == {tuple(many[k]) for k in rows}
        pale = [c for c in axis.collections if c.get_linewidths()[0] == 0]
        assert sum(len(c.get_offsets()) for c in pale) <= figures.MOST_DOTS + 12


@pytest.mark.parametrize("make", [shares, budgets])
def test_players_pass_the_checks_of_the_site(open_page: Open, make: Callable) -> None:
    page = open_page(make()._repr_html_(), width=390, mode="dark")
    assert widget_problems(page) == []
    assert axe_problems(page) == []


@pytest.mark.parametrize(
    ("make", "change", "message"),
    [
        (shares, {"points": {1.0: POINTS, 0.0: POINTS}}, "they must rise from 0 to 1"),
        (shares, {"points": {0.0: POINTS, 2.0: POINTS}}, "they must rise from 0 to 1"),
        (shares, {"nmi": {0.0: 0.1}}, "nmi=.* must hold a number from 0 to 1 for each"),
        (shares, {"probe": dict.fromkeys(SHARES, 31.0)}, "probe=.* must hold a number"),
        (
            shares,
            {"points": {s: POINTS[: N - (s > 0)] for s in SHARES}},
            r"points\[1\] of shape",
        ),
        (shares, {"labels": LABELS[1:]}, r"labels of shape \(119,\)"),
        (budgets, {"picks": {"a": {1: [0], 2: [0, 1]}}}, "must have two rules"),
        (
            budgets,
            {"picks": {"a": {1: [0]}, "b": {2: [0, 1]}}},
            "with the same rising budgets",
        ),
        (
            budgets,
            {"picks": {r: {1: [0], 2: [0]} for r in "ab"}},
            "picks at the budget 2 has",
        ),
        (budgets, {"accuracy": {"random": {10: 0.1}}}, "accuracy has no 'usl'"),
    ],
)
def test_wrong_players(make: Callable, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**change)


# --- the temperature ----------------------------------------------------------------


def heat(**options) -> figures.TemperaturePlayer:
    return figures.temperature_widget(**options)


def expected_weights(similarities: list[float], temperature: float) -> list[float]:
    scaled = torch.tensor(similarities, dtype=torch.float64) / temperature
    return scaled.softmax(0).tolist()


@settings(deadline=None)
@given(
    st.lists(st.floats(-1, 1), min_size=2, max_size=13),
    st.sampled_from([0.05, 0.2, 1.0]),
)
def test_first_state_is_that_of_torch(similarities: list[float], T: float) -> None:
    temperatures = [0.05, 0.2, 1.0]
    widget = heat(
        positive=similarities[0], negatives=similarities[1:],
        temperatures=temperatures, start=temperatures.index(T),
    )  # fmt: skip
    rounded = [round(s, 2) for s in similarities]
    assert widget.weights() == pytest.approx(expected_weights(rounded, T))
    logits = torch.tensor([rounded], dtype=torch.float64) / T
    loss = F.cross_entropy(logits, torch.zeros(1, dtype=torch.long)).item()
    said = float(re.findall(r"the loss is ([\d.]+),", widget.sentence())[0])
    assert said == pytest.approx(loss, abs=0.00501)
    chance = f"ln {len(rounded)} = {np.log(len(rounded)):.2f}"
    assert chance in widget.sentence()


def shown(page: Page) -> tuple[list[list[str]], list[float], str]:
    rows = [
        row.locator(".pb-number").all_inner_texts()
        for row in page.locator("div.pb-sim").all()
    ]
    widths = page.locator(".pb-pull span").evaluate_all(
        "all => all.map(e => parseFloat(e.style.width))"
    )
    return rows, widths, page.locator("[aria-live=polite]").inner_text()


def test_the_page_does_the_arithmetic_of_torch(open_page: Open) -> None:
    page = open_page(heat()._repr_html_())
    start = heat().similarities
    temperatures = heat().temperatures
    assert len(start) == 9
    draw = np.random.default_rng(4)
    for _ in range(6):
        similarities = draw.integers(-100, 101, 9) / 100
        k = int(draw.integers(len(temperatures)))
        page.get_by_role("slider", name="Temperature T").fill(str(k))
        sliders = page.locator(".pb-sim input").all()
        for slider, s in zip(sliders, similarities, strict=True):
            slider.fill(f"{s:.2f}")
        weights = expected_weights(similarities.tolist(), temperatures[k])
        rows, widths, say = shown(page)
        for s, weight, (own, scaled, share) in zip(
            similarities, weights, rows, strict=True
        ):
            assert float(own) == s
            assert float(scaled) == pytest.approx(s / temperatures[k], abs=0.00501)
            assert float(share.removesuffix(" %")) == pytest.approx(
                100 * weight, abs=0.0501
            )
        assert widths == pytest.approx([100 * w for w in weights], abs=1e-3)
        same = heat(positive=similarities[0], negatives=similarities[1:], start=k)
        assert say == same.sentence()
        again = re.findall(
            r'<span class="pb-number">([^<]+)</span>', same._repr_html_()
        )
        assert again == [number for row in rows for number in row]


def test_gradient_is_what_the_page_says() -> None:
    """Pull (1 - weight) / T on the positive, push weight / T from each negative."""
    assert "(1 − its weight) / T" in heat()._repr_html_()
    s = torch.tensor([heat().similarities], dtype=torch.float64, requires_grad=True)
    F.cross_entropy(s / 0.2, torch.zeros(1, dtype=torch.long)).backward()
    weights = heat().weights()  # at T = 0.2
    expected = [(weights[0] - 1) / 0.2, *(w / 0.2 for w in weights[1:])]
    assert s.grad[0].tolist() == pytest.approx(expected)


def test_keys_alone_are_enough(open_page: Open) -> None:
    page = open_page(heat()._repr_html_())
    before = shown(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Home")  # the positive becomes the most dissimilar
    rows, _, say = shown(page)
    assert rows[0][0] == "-1.00"
    assert say != before[2]
    slider = page.get_by_role("slider", name="positive")
    assert slider.get_attribute("aria-valuetext") == f"-1.00, weight {rows[0][2]}"
    page.get_by_role("button", name="Next: Temperature T").press("Enter")
    assert page.locator("output").inner_text() == "0.3"
    assert shown(page)[2].startswith("At T = 0.3 ")


def test_a_finger_can_drag(open_page: Open) -> None:
    page = open_page(heat()._repr_html_(), width=390, has_touch=True)
    slider = page.get_by_role("slider", name="negative 8")
    box = slider.bounding_box()
    assert box["height"] >= 24
    page.touchscreen.tap(box["x"] + box["width"] - 4, box["y"] + box["height"] / 2)
    assert float(shown(page)[0][8][0]) > 0.8


@pytest.mark.parametrize(("mode", "width"), [*product(("light", "dark"), (1280, 390))])
def test_temperature_passes_the_checks_of_the_site(
    open_page: Open, mode: str, width: int
) -> None:
    page = open_page(heat(caption="A caption")._repr_html_(), width=width, mode=mode)
    assert widget_problems(page) == []
    assert axe_problems(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    right = page.locator(".pb-card").bounding_box()
    for number in page.locator(".pb-number").all():
        box = number.bounding_box()
        assert box["x"] + box["width"] <= right["x"] + right["width"]


def test_two_widgets_of_a_page_do_not_disturb_each_other(open_page: Open) -> None:
    page = open_page(heat(name="a")._repr_html_() + shares(name="b")._repr_html_())
    page.locator("#b").get_by_role("slider").fill("2")
    assert page.locator("#a .pb-note").inner_text() == heat().sentence()
    page.locator("#a").get_by_role("slider", name="positive").fill("0")
    assert page.locator("#b output").inner_text() == "50 %"


def test_first_state_stands_in_print_and_without_javascript(open_page: Open) -> None:
    page = open_page(heat()._repr_html_(), java_script_enabled=False)
    assert page.locator(".pb-note").inner_text() == heat().sentence()
    page.emulate_media(media="print")
    assert page.locator(".pb-pull").first.is_visible()
    assert not any(slider.is_visible() for slider in page.get_by_role("slider").all())


def test_no_script_no_library_no_address() -> None:
    html = heat(caption="A < B & C", name="fig-x")._repr_html_()
    outline = Outline(html.replace("<input", "<input "))
    assert not {"script", "link", "iframe", "img"} & {tag for tag, _ in outline.tags}
    assert "http" not in html
    assert "$" not in html
    assert "A &lt; B &amp; C" in html
    assert len(html) < 16_000
    assert repr(heat()) == (
        "TemperaturePlayer: InfoNCE: how the temperature spreads the weights, 7 states"
    )


def test_same_html_in_another_process() -> None:
    code = (
        "from lib.figures.few_label import temperature_widget\n"
        "print(temperature_widget()._repr_html_())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, encoding="utf-8"
    )
    assert run.stdout.strip() == heat()._repr_html_()


@pytest.mark.parametrize(
    ("number", "places", "expected"),
    [(0.125, 2, "0.13"), (-0.125, 2, "-0.13"), (2.5, 0, "3"), (-0.0, 2, "0.00")],
)
def test_ties_are_rounded_as_javascript_does(
    number: float, places: int, expected: str
) -> None:
    assert figures._fixed(number, places) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positive": 1.1}, "positive=1.1 and negatives="),
        ({"negatives": []}, "must be one and 1 to 12 similarities"),
        ({"negatives": [0.0] * 13}, "must be one and 1 to 12 similarities"),
        ({"negatives": [float("nan")]}, "similarities from -1 to 1"),
        ({"temperatures": [0.0, 1.0]}, "must rise from 0.01 or more"),
        ({"temperatures": [1.0, 0.5]}, "must rise from 0.01 or more"),
        ({"temperatures": [1.0]}, "axis 'Temperature T' has the values"),
        ({"temperatures": []}, "axis 'Temperature T' has the values"),
        ({"start": 7}, r"start=\(7,\) must hold one index"),
    ],
)
def test_wrong_temperatures(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        heat(**change)


# --- live ---------------------------------------------------------------------------

CELL = """
import numpy as np
from lib.figures.few_label import live_choice

points = np.random.default_rng(0).normal(size=(60, 2))
draw = live_choice(points, np.arange(60) % 3, lambda n, rule: np.arange(n))
"""


def test_live_choice_has_two_controls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAPERS_BUILT_QUIET", raising=False)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    NotebookClient(notebook, timeout=120).execute()
    state = notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]
    models = [model["state"] for model in state["state"].values()]
    (slider,) = (m for m in models if m["_model_name"] == "IntSliderModel")
    assert (slider["description"], slider["min"], slider["max"], slider["step"]) == (
        "budget", 10, 80, 10,
    )  # fmt: skip
    (menu,) = (m for m in models if m["_model_name"] == "DropdownModel")
    assert menu["_options_labels"] == ["random", "kmeans", "typiclust", "kcentre"]
    (panel,) = (m for m in models if m["_model_name"] == "OutputModel")
    assert ["image/png" in o.get("data", {}) for o in panel["outputs"]] == [True]


def test_what_is_drawn_live_is_what_was_chosen() -> None:
    asked = []

    def choose(budget: int, rule: str) -> torch.Tensor:
        asked.append((budget, rule))
        return torch.arange(budget)

    draw = figures.live_choice(
        POINTS, LABELS, choose, score=lambda rows: len(rows) / 100
    )
    figure = draw(4, "usl")
    assert_inside(figure)
    assert asked == [(4, "usl")]
    text = words(figure).split("\n")
    assert {"USL: 4 of 10 classes", "4 labels: accuracy 0.04"} <= set(text)


def test_figures_are_as_wide_as_the_page() -> None:
    for figure in (
        figures.gains(SEEDS, CHOOSERS, RULES[1:]),
        figures.clouds({"tup": POINTS}, LABELS),
    ):
        assert figure_image(figure).width == 972
