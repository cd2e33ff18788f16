"""The figures and the widget of the chapter on WeakNAS."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from html import unescape
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from playwright.sync_api import Page
from sklearn.decomposition import PCA

from lib.data.spaces import MIXCELL4, NB201
from lib.figures import weaknas as figures
from lib.figures.palette import SERIES
from lib.figures.style import figure_image
from lib.metrics import t_interval
from tests.figures.test_cswin_figures import assert_inside, words
from tests.figures.test_player import Outline
from tests.site.checks import axe_problems, widget_problems

Open = Callable[..., Page]
OPS = MIXCELL4.ops
N, STEPS, PER_STEP, TOP = 120, 7, 6, 12
FEATURES = np.random.default_rng(5).integers(0, 2, (N, 9)).astype(float)
ACCURACY = np.random.default_rng(6).uniform(60, 95, N)


def search(seed: int, n: int, top: int = 0, steps: int = STEPS) -> list:
    """Make up a search: rows asked so far, and a top set of so many rows."""
    draw = np.random.default_rng(seed)
    order = draw.permutation(n)
    return [
        (order[: PER_STEP * (k + 1)], draw.permutation(n)[: top if k else 0])
        for k in range(steps)
    ]


METHODS = {
    "random_search": search(1, N),
    "regularised_evolution": search(2, N),
    "a < b & c": search(3, N, 5),
    "weak_nas": search(4, N, TOP),
}


def target(**options) -> figures.TargetPlayer:
    return figures.shrinking_target(
        **{
            "points": figures.plane(FEATURES), "accuracy": ACCURACY, "methods": METHODS
        }
        | options
    )  # fmt: skip


# --- cells --------------------------------------------------------------------------


def matters(code: list[int], edge: int) -> bool:
    """Say by walking every path whether an edge lies on one from 0 to 3."""
    edges = {e: d for e, d in zip(MIXCELL4.edges, code, strict=True) if d}

    def paths(node: int) -> list[list[tuple[int, int]]]:
        if node == 3:
            return [[]]
        return [
            [(i, j), *rest] for i, j in edges if i == node for rest in paths(j)
        ]  # fmt: skip

    return any(MIXCELL4.edges[edge] in path for path in paths(0))


@given(st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_pale_edges_are_those_on_no_path(code: list[int]) -> None:
    live = figures._live(code, 4, 0)
    assert live == [matters(code, edge) for edge in range(6)]


def test_cells_carry_their_digits() -> None:
    figure = figures.cell_graph(["022233", [3, 2, 2, 1, 2, 3]], OPS, notes=["a", "b"])
    assert_inside(figure)
    for axis, code in zip(figure.axes, ("022233", "322123"), strict=True):
        assert axis.get_title(loc="center") == f"cell {code}"
        arrows = [p for p in axis.patches if isinstance(p, FancyArrowPatch)]
        boxes = [p for p in axis.patches if isinstance(p, Rectangle)]
        assert len(arrows) == len(boxes) == 6
        digits = [t.get_text() for t in axis.texts if t.get_weight() == "bold"]
        assert sorted(digits) == sorted(2 * code)  # on the edges and in the row below
        below = [t.get_text() for t in axis.texts if t.get_position()[1] < -1.3]
        assert [t for t in below if t.isdigit()] == list(code)
        assert "1–3" in below
        faint = [arrow.get_alpha() == 0.35 for arrow in arrows]
        expected = [
            d != "0" and not matters([int(c) for c in code], e)
            for e, d in enumerate(code)
        ]
        assert faint == expected
    assert "2 channel mix" in words(figure)
    assert "a" in words(figure).split("\n")


@pytest.mark.parametrize("count", [1, 3, 6])
def test_cells_of_other_spaces(count: int) -> None:
    figure = figures.cell_graph(["333132"] * count, NB201.ops)
    assert_inside(figure)
    assert sum(bool(axis.patches) for axis in figure.axes) == count
    assert_inside(figures.cell_graph(["1", "123", "0123010123"], NB201.ops))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": []}, "codes has 0 cells"),
        ({"codes": ["012301"] * 7}, "codes has 7 cells"),
        ({"codes": ["01230"]}, "code='01230' must have one digit for each pair"),
        ({"codes": ["012304"]}, "must hold digits from 0 to 3"),
        ({"titles": ["a", "b"]}, "titles has 2 texts for 1 cells"),
        ({"notes": "a"}, "notes has 1 texts for 1 cells"),
        ({"ops": [f"op{i}" for i in range(9)]}, "more names than there are colours"),
    ],
)
def test_wrong_cells(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figures.cell_graph(**{"codes": ["012301"], "ops": OPS} | change)


# --- the plane ----------------------------------------------------------------------


def test_plane_is_that_of_principal_components() -> None:
    at = figures.plane(FEATURES, spread=0, jitter=0)
    expected = PCA(2, svd_solver="full").fit_transform(FEATURES)
    for mine, theirs in zip(at.T, expected.T, strict=True):
        assert abs(np.corrcoef(mine, theirs)[0, 1]) == pytest.approx(1, abs=1e-9)
    assert at.min() == 0
    assert at.max() == 1


def test_plane_is_fixed_and_parts_what_coincides() -> None:
    twice = np.concatenate([FEATURES, FEATURES])
    at = figures.plane(twice)
    assert np.array_equal(at, figures.plane(twice))
    assert len(np.unique(at.round(9), axis=0)) == 2 * N
    assert at.min() >= 0
    assert at.max() <= 1
    close = figures.plane(twice, spread=0)
    apart = np.linalg.norm(close[:N] - close[N:], axis=1)
    assert apart.min() > 0
    assert apart.max() <= 2 * 0.012 + 1e-12


def test_spreading_keeps_the_order() -> None:
    plain = figures.plane(FEATURES, spread=0)
    even = figures.plane(FEATURES, spread=1)
    for before, after in zip(plain.T, even.T, strict=True):
        assert np.array_equal(np.sort(after), np.arange(N) / (N - 1))
        assert (np.diff(before[after.argsort()]) >= 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.zeros(4)}, r"features of shape \(4,\) must be finite and"),
        ({"features": np.full((4, 2), np.nan)}, "must be finite"),
        ({"features": np.ones((4, 2))}, "must not be the same in every row"),
        ({"spread": 1.5}, "spread=1.5 must lie between 0 and 1"),
    ],
)
def test_wrong_plane(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figures.plane(**{"features": FEATURES} | change)


def test_map_outlines_what_was_asked_and_what_is_predicted() -> None:
    steps = {k: METHODS["weak_nas"][k] for k in (0, 2, 5, 6)}
    figure = figures.space_map(FEATURES, ACCURACY, steps)
    assert_inside(figure)
    at = figures.plane(FEATURES)
    for axis, (k, (asked, top)) in zip(figure.axes[:4], steps.items(), strict=True):
        every, done, ring, star = (c.get_offsets() for c in axis.collections)
        assert len(every) == N
        assert np.allclose(done, at[asked])
        assert np.allclose(ring, at[top])
        assert np.allclose(star, at[[ACCURACY.argmax()]])
        assert axis.get_title(loc="center") == f"step {k}: {len(asked)} asked"
        shown = np.asarray(axis.collections[0].get_array())
        assert np.array_equal(shown, np.sort(ACCURACY))  # the best is drawn last
    ticks = figure.axes[4].get_xticks()
    assert np.allclose(ticks, np.quantile(ACCURACY, [0, 0.1, 0.3, 0.5, 0.7, 0.9, 1]))
    text = words(figure).split("\n")
    assert {"asked", "predicted top", "best row"} <= set(text)


@pytest.mark.parametrize("count", [1, 3])
def test_map_of_few_steps(count: int) -> None:
    steps = dict(enumerate(METHODS["weak_nas"][:count]))
    assert_inside(figures.space_map(FEATURES, np.repeat([70, 80], N // 2), steps))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": {}}, "steps has 0 entries"),
        ({"accuracy": ACCURACY[1:]}, r"accuracy of shape \(119,\) must be finite"),
        ({"accuracy": np.full(N, 90)}, "accuracy must not be the same"),
        ({"steps": {0: ([N], [])}}, r"steps\[0\]: the rows asked must be different"),
        ({"steps": {3: ([0], [1, 1])}}, r"steps\[3\]: the top set must be different"),
        ({"steps": {0: ([0.5], [])}}, "must be different rows from 0 to 119"),
    ],
)
def test_wrong_map(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figures.space_map(
            **{"features": FEATURES, "accuracy": ACCURACY, "steps": {0: ([0], [])}}
            | change
        )


# --- curves -------------------------------------------------------------------------

DRAW = np.random.default_rng(7)
CURVES = {
    name: [np.maximum.accumulate(DRAW.uniform(80, 92, 60 + 5 * i)) for i in range(4)]
    for name in (*list(figures.LOOKS)[:5], "something")
}


def test_curves_are_means_with_student_bands() -> None:
    live = {"weak_nas": CURVES["weak_nas"][:2]}
    figure = figures.best_so_far_curves(CURVES, live=live, first=8, best=92.0)
    assert_inside(figure)
    axis = figure.axes[0]
    assert axis.get_xscale() == "log"
    lines = [line for line in axis.lines if len(line.get_xdata()) > 2]
    assert len(lines) == len(CURVES) + 2
    cut = 0
    bands = [None, *axis.collections]  # where single runs are drawn, there is none
    for line, band, runs in zip(lines, bands, CURVES.values(), strict=False):
        for at in (8, 33, 60, 75):
            values = [run[min(at, len(run)) - 1] for run in runs]  # the last one stays
            expected = t_interval(values)
            (k,) = np.flatnonzero(line.get_xdata() == at)
            assert line.get_ydata()[k] == pytest.approx(expected.mean)
            if band is None:
                continue
            corners = band.get_paths()[0].vertices
            heights = corners[corners[:, 0] == at, 1]
            assert heights.min() == pytest.approx(expected.low)
            assert heights.max() == pytest.approx(min(expected.high, 92.0))
            cut += expected.high > 92
    assert len(axis.collections) == len(CURVES) - 1
    assert cut
    for line, run in zip(lines[-2:], live["weak_nas"], strict=True):
        assert np.array_equal(line.get_ydata()[: len(run) - 7], run[7:])
        assert (line.get_ydata()[len(run) - 7 :] == run[-1]).all()
        assert line.get_color() == lines[0].get_color() == SERIES[0]
        assert line.get_linewidth() < 1
    ticks = [t.get_text() for t in axis.get_xticklabels()]
    assert ticks == ["10", "20", "50"]
    text = words(figure).split("\n")
    assert {"WeakNAS", "random search", "something", "best row"} <= set(text)


def test_one_run_has_no_band() -> None:
    figure = figures.best_so_far_curves({"greedy": [1.0, 2, 3, 4]}, first=1)
    corners = figure.axes[0].collections[0].get_paths()[0].vertices
    assert sorted(set(corners[:, 1])) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"curves": {}}, "at least one method"),
        ({"level": 1}, "level=1 must lie between 0 and 1"),
        ({"live": {"other": [[1]]}}, r"live has \['other'\]; the curves are"),
        ({"first": 61}, "first=61 must be 1 to 60"),
        ({"best": 85.0}, "best=85 is not the best: a curve reaches 9"),
        ({"curves": {"a": [[1, np.nan]]}}, "the values of 'a' must be one or more"),
        ({"curves": {"a": []}}, "the values of 'a' must be one or more runs"),
        (
            {"curves": {str(k): [[1.0]] for k in range(8)}, "first": 1},
            "need more colours than the 7",
        ),
    ],
)
def test_wrong_curves(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figures.best_so_far_curves(
            **{"curves": {"a": CURVES["weak_nas"][:1]}, "first": 2} | change
        )


@settings(deadline=None, max_examples=15)
@given(st.lists(st.none() | st.integers(1, 300), min_size=1, max_size=12))
def test_ecdf_counts_misses(runs: list[int | None]) -> None:
    figure = figures.hit_ecdf({"local_search": runs}, 200)
    axis = figure.axes[0]
    line = axis.lines[0]
    for x in (1, 60, 150, 200):
        share = sum(run is not None and run <= x for run in runs) / len(runs)
        at = np.searchsorted(line.get_xdata(), x, side="right") - 1
        assert line.get_ydata()[at] == pytest.approx(share)
    crosses = [other for other in axis.lines if other.get_marker() == "x"]
    assert len(crosses) == (share < 1)
    for cross in crosses:
        assert cross.get_xdata() == [200]
        assert cross.get_ydata() == [share]
    label = f"local search: {round(share * len(runs))} of {len(runs)}"
    assert label in words(figure).split("\n")


@pytest.mark.parametrize("log_x", [False, True])
def test_ecdf_of_five_methods(log_x: bool) -> None:
    hits = {name: [5 * k, 90 + k, None] for k, name in enumerate(figures.LOOKS, 1)}
    figure = figures.hit_ecdf(hits, 100, log_x=log_x)
    assert_inside(figure)
    assert figure.axes[0].get_xscale() == ("log" if log_x else "linear")
    assert figure.axes[0].get_xlim()[1] == 100


@pytest.mark.parametrize(
    ("hits", "cap", "message"),
    [
        ({}, 10, "at least one method"),
        ({"a": []}, 10, "each with a run or more"),
        ({"a": [0]}, 10, r"hits\['a'\]=\[0\] must be 1 or more, or None"),
        ({"a": [float("nan")]}, 10, "must be 1 or more, or None"),
        ({"a": [1]}, 0, "cap=0 must be 1 or more"),
    ],
)
def test_wrong_hits(hits: dict, cap: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figures.hit_ecdf(hits, cap)


def test_top_fifty_skips_what_is_not_defined() -> None:
    p = [[0.1, 0.3, 0.5], [0.2, 0.5, 0.7]]
    tau = [[np.nan, 0.2, 0.4], [np.nan, np.nan, 0.8]]
    figure = figures.top_fifty(p, tau, best_rows=20, chance=0.06)
    assert_inside(figure)
    left, right = figure.axes
    (mean,) = (line for line in left.lines if line.get_marker() == "o")
    assert np.allclose(mean.get_ydata(), [0.15, 0.4, 0.6])
    (mean,) = (line for line in right.lines if line.get_marker() == "s")
    assert np.isnan(mean.get_ydata()[0])
    assert np.allclose(mean.get_ydata()[1:], [0.2, 0.6])
    assert len([line for line in left.lines if line.get_alpha() == 0.4]) == 2
    text = words(figure).split("\n")
    assert {"tau in the true top 20", "whole space", "Kendall’s tau"} <= set(text)
    assert_inside(figures.top_fifty([0.1, 0.2], [0.0, -0.5]))


def test_top_fifty_holds_unasked_rows_beside_all() -> None:
    fresh = [[0.1, 0.2, np.nan], [0.3, np.nan, np.nan]]
    p, tau = [[0.1, 0.3, 0.5], [0.2, 0.5, 0.7]], [[0.0, 0.2, 0.4]] * 2
    figure = figures.top_fifty(p, tau, fresh=fresh, chance=0.06)
    assert_inside(figure)
    left, right = figure.axes
    (mean,) = (line for line in left.lines if line.get_marker() == "^")
    assert np.allclose(mean.get_ydata(), [0.2, 0.2, np.nan], equal_nan=True)
    assert not [line for line in right.lines if line.get_marker() == "^"]
    assert {"whole top set", "its rows not yet asked"} <= set(words(figure).split("\n"))
    with pytest.raises(ValueError, match="fresh must lie between 0 and 1"):
        figures.top_fifty([0.1, 0.2], [0.0, 0.1], fresh=[0.1, 1.2])
    with pytest.raises(ValueError, match=r"fresh of shape \(1, 1\) must be \(1, 2\)"):
        figures.top_fifty([0.1, 0.2], [0.0, 0.1], fresh=[0.1])


@pytest.mark.parametrize(
    ("p", "tau", "message"),
    [
        ([0.1, 0.2], [0.1], "must both be"),
        ([], [], "must both be"),
        ([1.2], [0.1], "probability must lie between 0 and 1"),
        ([np.nan], [0.1], "probability must lie"),
        ([0.2], [-1.1], "tau must lie between -1 and 1"),
    ],
)
def test_wrong_top_fifty(p: list, tau: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figures.top_fifty(p, tau)


PANELS = {
    "first": {
        "random_search": (-30.0, -40.0, -20.0, "supported"),
        "something": (5.0, -2.0, 12.0, "inconclusive"),
    },
    "second": {
        "random_search": (-3.0, -9.0, 3.0, "inconclusive"),
        "something": (9.0, 2.0, 16.0, "not supported"),
    },
}


def test_differences_stand_at_their_numbers_in_the_colour_of_the_verdict() -> None:
    figure = figures.query_differences(PANELS)
    assert_inside(figure)
    assert len(figure.axes) == 2
    for axis, rows in zip(figure.axes, PANELS.values(), strict=True):
        spans = [s for s in axis.lines[:-1] if s.get_marker() == "None"]
        dots = [line for line in axis.lines if line.get_marker() != "None"]
        for y, (span, dot, row) in enumerate(
            zip(spans, dots, rows.values(), strict=True)
        ):
            assert list(span.get_xdata()) == [row[1], row[2]]
            assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (row[0], y)
            colour, mark, _ = figures.VERDICTS[row[3]]
            assert (dot.get_color(), dot.get_marker()) == (colour, mark)
            assert span.get_color() == colour
        assert axis.get_xlim()[0] < -40 < 16 < axis.get_xlim()[1]
        assert axis.get_ylim() == (1.5, -0.5)  # the first rival is on top
    text = set(words(figure).split("\n"))
    assert {"random search", "something", "first", "second", "inconclusive"} <= text


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ({}, "each table must have the same ones"),
        ({"a": {}}, "each table must have the same ones"),
        ({"a": PANELS["first"], "b": {}}, "each table must have the same ones"),
        ({"a": {"x": (1, 2, 3, "supported")}}, "needed are low <= mean <= high"),
        ({"a": {"x": (1, 0, 3, "good")}}, "'good'; needed are"),
    ],
)
def test_wrong_differences(panels: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figures.query_differences(panels)


def test_ruggedness_names_who_wins() -> None:
    tables = {
        "NB-201 CIFAR-10": (17, 15625, 0.73, "local_search"),
        "MixCell-4": (22, 870, 0.15, "weak_nas"),
        "a slope": (1, 10, 1.0, "strong_predictor"),
    }
    figure = figures.ruggedness_bars(tables)
    assert_inside(figure)
    axis = figure.axes[0]
    assert [bar.get_width() for bar in axis.patches] == [73, 15, 100]
    assert len({bar.get_facecolor() for bar in axis.patches}) == 3
    assert [text.get_text() for text in axis.texts] == [
        "73 %: local search", "15 %: WeakNAS", "100 %: strong predictor",
    ]  # fmt: skip
    names = [tick.get_text() for tick in axis.get_yticklabels()]
    assert names[:2] == [
        "NB-201 CIFAR-10\n17 optima of 15,625", "MixCell-4\n22 optima of 870",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({}, "at least one table"),
        ({"a": (1, 10, 1.1, "x")}, r"tables\['a'\]: 1 local optima of 10 rows"),
        ({"a": (0, 10, 0.1, "x")}, "0 local optima of 10 rows"),
        ({"a": (11, 10, 0.1, "x")}, "11 local optima of 10 rows"),
    ],
)
def test_wrong_tables(tables: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figures.ruggedness_bars(tables)


# --- the network that was found -----------------------------------------------------

KERNELS = [[5, 3, 3, 3], [5, 5, 5], [7, 5, 7], [3, 5, 5], [7, 5, 3, 5]]
EXPANDS = [[3, 3, 4, 3], [4, 6, 4], [4, 6, 6], [6, 6, 6], [6, 6, 6, 3]]
DEPTHS = [4, 3, 3, 3, 4]


def drawn_blocks(figure: Figure) -> list[str]:
    return [t.get_text() for t in figure.axes[0].texts if "expand" in t.get_text()]


def test_network_is_drawn_block_by_block() -> None:
    figure = figures.ofa_diagram(KERNELS, EXPANDS, DEPTHS)
    assert_inside(figure)
    expected = [
        f"{k}×{k}\nexpand {e}"
        for ks, es in zip(KERNELS, EXPANDS, strict=True)
        for k, e in zip(ks, es, strict=True)
    ]
    assert drawn_blocks(figure) == expected
    empty = [p for p in figure.axes[0].patches if p.get_facecolor() == (1, 1, 1, 1)]
    assert len(empty) == 20 - sum(DEPTHS)
    assert "stage 5\n192 channels" in words(figure)
    full = [
        [n for stage in choices for n in (*stage, *[3] * (4 - len(stage)))]
        for choices in (KERNELS, EXPANDS)
    ]
    assert drawn_blocks(figures.ofa_diagram(*full, DEPTHS)) == expected
    wide = [p.get_width() for p in figure.axes[0].patches]
    assert wide[0] > wide[1]  # 5 x 5 beside 3 x 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depths": [4, 3, 3, 3]}, "must be five numbers out of"),
        ({"depths": [4, 3, 3, 3, 5]}, "must be five numbers out of"),
        ({"kernels": KERNELS[:4]}, "kernels=.* must be 20 numbers"),
        ({"kernels": [[4, 3, 3, 3], *KERNELS[1:]]}, "kernels=.* must be 20 numbers"),
        ({"expands": [[3, 3, 4], *EXPANDS[1:]]}, "expands=.* with at least its depth"),
    ],
)
def test_wrong_network(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figures.ofa_diagram(
            **{"kernels": KERNELS, "expands": EXPANDS, "depths": DEPTHS} | change
        )


def test_figures_are_as_wide_as_the_page() -> None:
    for figure in (
        figures.cell_graph(["322233"], OPS),
        figures.ofa_diagram(KERNELS, EXPANDS, DEPTHS),
    ):
        assert figure_image(figure).width == 972


# --- the widget ---------------------------------------------------------------------

DOT = re.compile(r"M(\d+) (\d+)h0")


def data(html: str) -> dict:
    return json.loads(unescape(re.findall(r'data-target="([^"]+)"', html)[0]))


def test_no_script_no_library_no_address() -> None:
    html = target(caption="A < B & C", name="fig-x")._repr_html_()
    outline = Outline(html)
    assert not {"script", "link", "iframe", "img"} & {tag for tag, _ in outline.tags}
    assert "http" not in html
    assert "$" not in html
    assert "A &lt; B &amp; C" in html
    assert "A &lt; b &amp; c" in html
    tag, attributes = outline.tags[0]
    assert (tag, attributes["id"]) == ("figure", "fig-x")
    assert repr(target()) == (
        "TargetPlayer: How a search closes in on the best row, 7 states"
    )


def test_same_html_in_another_process() -> None:
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from tests.figures.test_weaknas_figures import target\n"
        "print(target()._repr_html_())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, encoding="utf-8"
    )
    assert run.stdout.strip() == target()._repr_html_()


def test_a_whole_table_stays_small() -> None:
    features = MIXCELL4.one_hot(MIXCELL4.representatives())
    n = len(features)
    assert n == 870
    accuracy = np.random.default_rng(1).uniform(40, 92, n)
    methods = {
        name: search(k, n, 30, steps=30) for k, name in enumerate("abcd")
    }  # fmt: skip
    widget = figures.shrinking_target(figures.plane(features), accuracy, methods)
    assert len(widget._repr_html_().encode()) < 60_000


def test_rows_are_written_once() -> None:
    found = data(target()._repr_html_())
    for steps, fresh, tops in zip(
        METHODS.values(), found["asked"], found["top"], strict=True
    ):
        asked: list[int] = []
        for (rows, top), new, kept in zip(steps, fresh, tops, strict=True):
            asked += new
            assert asked == list(rows)
            assert kept == list(top)
    assert found["acc"] == [int(10 * a + 0.5) for a in ACCURACY]
    assert found["best"] == int(ACCURACY.argmax())
    assert set(found["good"]) == set(np.argsort(-ACCURACY)[:50].tolist())


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 3), st.integers(0, STEPS - 1))
def test_the_sentence_counts(method: int, step: int) -> None:
    asked, top = list(METHODS.values())[method][step]
    text = target().sentence(method, step)
    assert f", step {step}: asked {len(asked)} of {N}, " in text
    assert f"best so far {int(10 * ACCURACY[asked].max() + 0.5) / 10:.1f} %" in text
    true = {j for j in range(N) if (ACCURACY[j] < ACCURACY).sum() < 50}
    held = f"predicted top {len(top)} holds {len(true & set(top))} of the true top 50"
    assert (held in text) == (len(top) > 0)
    assert ("predicted" in text) == (len(top) > 0)
    assert ("best row has been found" in text) == (ACCURACY.argmax() in asked)
    assert text.startswith(
        ("Random search", "Evolution", "A < b & c", "WeakNAS")[method]
    )


def layers(page: Page) -> dict[str, list[tuple[str, ...]]]:
    """Return the places of the dots in each layer of the map."""
    read = "e => e.getAttribute('d')"
    kinds = ("ring", "gap", "all", "low", "mid", "good")
    return {
        kind: DOT.findall(page.eval_on_selector(f".pb-map .pb-{kind}", read))
        for kind in kinds
    }


def expected_layers(method: int, step: int) -> dict[str, list[tuple[str, str]]]:
    places = [tuple(map(str, place)) for place in target().places.tolist()]
    asked, top = list(METHODS.values())[method][step]
    rank = [(a < ACCURACY).sum() for a in ACCURACY]
    half = int(np.median([int(10 * a + 0.5) for a in ACCURACY]))
    good = [j for j in asked if rank[j] < 50]
    upper = [int(10 * ACCURACY[j] + 0.5) >= half for j in asked]
    rest = [(j, up) for j, up in zip(asked, upper, strict=True) if rank[j] >= 50]
    chosen = {
        "ring": top, "gap": top, "all": range(N), "good": good,
        "low": [j for j, up in rest if not up], "mid": [j for j, up in rest if up],
    }  # fmt: skip
    return {kind: [places[j] for j in rows] for kind, rows in chosen.items()}


def test_slider_and_radio_redraw_the_map(open_page: Open) -> None:
    page = open_page(target()._repr_html_())
    names = target().names
    for method, step in [(0, 0), (3, 2), (2, 6), (1, 3), (3, 6), (3, 0)]:
        page.get_by_role("radio", name=names[method]).check()
        page.get_by_role("slider", name="Step").fill(str(step))
        assert layers(page) == expected_layers(method, step)
        say = page.locator("[aria-live=polite]").inner_text()
        assert say == target().sentence(method, step)
        assert page.locator(".pb-map").get_attribute("aria-label") == say
        same = target(method=list(METHODS)[method], start=step)._repr_html_()
        page_of_it = re.findall(r'<path class="pb-(\w+)" d="([^"]*)"', same)
        assert {
            kind: DOT.findall(d) for kind, d in page_of_it if kind != "best"
        } == expected_layers(method, step)


def test_keys_alone_are_enough(open_page: Open) -> None:
    page = open_page(target()._repr_html_())
    note = page.locator("[aria-live=polite]")
    before = note.inner_text()
    page.keyboard.press("Tab")  # into the group of radio buttons
    page.keyboard.press("ArrowUp")
    assert page.get_by_role("radio", name="A < b & c").is_checked()
    assert note.inner_text().startswith("A < b & c, step 6")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    assert note.inner_text() == target().sentence(2, 5)
    page.keyboard.press("Home")
    assert note.inner_text() == target().sentence(2, 0)
    assert page.locator("output").inner_text() == "0"
    assert note.inner_text() != before
    page.get_by_role("button", name="Next: Step").press("Enter")
    assert note.inner_text() == target().sentence(2, 1)


def test_playing_starts_anew_from_the_last_step(open_page: Open) -> None:
    page = open_page(target()._repr_html_())
    page.get_by_role("button", name="Play").click()
    assert page.locator("output").inner_text() == "0"
    page.wait_for_function("document.querySelector('output').value === '1'")
    page.get_by_role("button", name="Pause").click()
    note = page.locator("[aria-live=polite]").inner_text()
    assert note == target().sentence(3, 1)


def test_two_widgets_of_a_page_do_not_disturb_each_other(open_page: Open) -> None:
    both = target(name="a")._repr_html_() + target(name="b")._repr_html_()
    page = open_page(both)
    page.locator("#a").get_by_role("radio", name="Evolution").check()
    assert page.locator("#b").get_by_role("radio", name="WeakNAS").is_checked()
    assert page.locator("#b .pb-note").inner_text() == target().sentence(3, 6)
    assert page.locator("#a .pb-note").inner_text() == target().sentence(1, 6)


@pytest.mark.parametrize(("mode", "width"), [*product(("light", "dark"), (1280, 390))])
def test_widget_passes_the_checks_of_the_site(
    open_page: Open, mode: str, width: int
) -> None:
    page = open_page(target(caption="A caption")._repr_html_(), width=width, mode=mode)
    assert widget_problems(page) == []
    assert axe_problems(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    keys = page.locator(".pb-keys span").all()
    right = page.locator(".pb-card").bounding_box()
    for key in keys:  # the card hides what sticks out
        box = key.bounding_box()
        assert box["x"] + box["width"] <= right["x"] + right["width"]


def test_a_finger_can_choose(open_page: Open) -> None:
    page = open_page(target()._repr_html_(), width=390, has_touch=True)
    page.get_by_text("Random search").tap()
    note = page.locator("[aria-live=polite]").inner_text()
    assert note == target().sentence(0, 6)
    labels = page.locator(".pb-methods label").all()
    assert all(label.bounding_box()["height"] >= 24 for label in labels)


def test_last_step_stands_without_javascript(open_page: Open) -> None:
    page = open_page(target()._repr_html_(), java_script_enabled=False)
    assert page.locator(".pb-note").inner_text() == target().sentence(3, STEPS - 1)
    page.emulate_media(media="print")
    assert not page.locator(".pb-methods").is_visible()
    assert not page.get_by_role("slider").is_visible()
    assert page.locator(".pb-map").is_visible()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": np.zeros((N, 3))}, r"points of shape \(120, 3\) must be finite"),
        ({"accuracy": ACCURACY[:-1]}, r"accuracy of shape \(119,\) must be finite"),
        ({"accuracy": ACCURACY / 100}, "must be in percent, 0 to 100"),
        ({"accuracy": -ACCURACY}, "must be in percent, 0 to 100"),
        ({"best_rows": 0}, "best_rows=0 must be 1 to 120"),
        ({"methods": {"a": METHODS["weak_nas"]}}, "methods has 1 searches"),
        (
            {"methods": METHODS | {"weak_nas": METHODS["weak_nas"][:-1]}},
            r"4 searches of \[6, 7\] steps",
        ),
        ({"method": "greedy"}, "method='greedy' must be one of"),
        ({"start": 7}, r"start=\(7,\) must hold one index"),
        (
            {"methods": METHODS | {"weak_nas": METHODS["weak_nas"][::-1]}},
            r"methods\['weak_nas'\], step 1: 36 rows asked; at least one, and all",
        ),
        (
            {"methods": METHODS | {"weak_nas": [([], [])] * STEPS}},
            "step 0: 0 rows asked; at least one",
        ),
        (
            {"methods": METHODS | {"weak_nas": [([0], [N])] * STEPS}},
            r"methods\['weak_nas'\], step 0: the top set must be different rows",
        ),
        (
            {"methods": {"a": METHODS["weak_nas"][:1], "b": METHODS["weak_nas"][:1]}},
            "axis 'Step' has the values",
        ),
    ],
)
def test_wrong_targets(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        target(**change)


# --- the NASNet space ---------------------------------------------------------------

CELL = [
    ("sep_conv_5x5", 1),
    ("skip_connect", 0),
    ("avg_pool_3x3", 2),
    ("dil_conv_3x3", 0),
]


def test_genotype_names_each_operation_and_what_it_reads() -> None:
    figure = figures.genotype_diagram({"one": CELL, "two": CELL[:2]})
    first, second = figure.axes
    said = [text.get_text() for text in first.texts]
    assert [t for t in said if "of node" in t] == [
        "sep 5×5\nof node 1",
        "skip\nof node 0",
        "pool 3×3\nof node 2",
        "dil 3×3\nof node 0",
    ]
    assert [t for t in said if "=" in t] == ["node 2 =", "node 3 ="]
    assert (first.get_title(), second.get_title()) == ("one", "two")
    assert len(second.patches) == 2


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({}, "none given"),
        ({"x": CELL[:3]}, "x: 3 operations"),
        ({"x": [("skip_connect", 2), ("skip_connect", 0)]}, "earlier nodes"),
    ],
)
def test_genotype_refuses(cells: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        figures.genotype_diagram(cells)
