"""The figures and widgets of the chapter on CSWin."""

from itertools import product

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from playwright.sync_api import Page

from lib.figures import cswin as figures
from lib.figures.palette import SERIES
from lib.figures.style import figure_image
from tests.site.checks import widget_problems

SIDE = (4, 6)


def walk(steps: list[tuple[int, int]], blocks: int) -> np.ndarray:
    """Find by walking what each token of a 4 x 6 map sees."""
    H, W = SIDE
    sees = np.zeros((blocks, H * W, H * W), dtype=bool)
    for q in range(H * W):
        seen = {divmod(q, W)}
        for b in range(blocks):
            seen |= {(i + di, j + dj) for i, j in seen for di, dj in steps}
            seen = {(i, j) for i, j in seen if 0 <= i < H and 0 <= j < W}
            for i, j in seen:
                sees[b, q, i * W + j] = True
    return sees


ROW_AND_COLUMN = [(i, 0) for i in range(-4, 5)] + [(0, j) for j in range(-6, 7)]
REACH = {
    "cross_shaped": walk(ROW_AND_COLUMN, 3),
    "a method": walk(list(product((-1, 0, 1), repeat=2)), 3),
}


def words(figure: Figure) -> str:
    figure.draw_without_rendering()
    found = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return "\n".join(artist.get_text() for artist in found)


def assert_inside(figure: Figure) -> None:
    """No word of the figure may stick out of it."""
    figure.draw_without_rendering()
    frame = figure.bbox
    for axis in figure.axes:
        for text in [*axis.texts, axis.title, axis.xaxis.label, axis.yaxis.label]:
            if not text.get_text().strip():
                continue
            box = text.get_window_extent()
            assert frame.x0 - 1 <= box.x0, text
            assert box.x1 <= frame.x1 + 1, text
            assert frame.y0 - 1 <= box.y0, text
            assert box.y1 <= frame.y1 + 1, text


# --- who sees whom ------------------------------------------------------------------


def test_regions_are_those_of_the_definitions() -> None:
    """Every pair of tokens, decided one by one."""
    side, (row, column), sw, m = 8, (2, 5), 2, 4
    found = figures.regions(side, (row, column), sw, m)
    for i, j in product(range(side), repeat=2):
        window = i // m == row // m and j // m == column // m
        moved = (i + m // 2) // m == (row + m // 2) // m
        moved &= (j + m // 2) // m == (column + m // 2) // m
        expected = {
            "Full": [True],
            "Windows": [window],
            "Shifted windows": [window, moved],
            "Axial": [j == column, i == row],
            "Criss-cross": [i == row or j == column],
            "Cross-shaped": [j // sw == column // sw, i // sw == row // sw],
        }
        for name, parts in found.items():
            assert [bool(mask[i, j]) for mask in parts.values()] == expected[name]


def test_regions_are_drawn_cell_by_cell() -> None:
    figure = figures.attention_regions()
    text = words(figure)
    assert_inside(figure)
    for name, parts in figures.regions().items():
        (axis,) = (a for a in figure.axes if a.get_title(loc="center") == name)
        cells = [p for p in axis.patches if isinstance(p, Rectangle)]
        halves = [p for p in axis.patches if isinstance(p, Polygon)]
        both = np.logical_and.reduce(list(parts.values())) & (len(parts) == 2)
        assert len(cells) == 64
        assert len(halves) == both.sum()
        union = np.logical_or.reduce(list(parts.values())).ravel()
        grounds = np.array([p.get_facecolor() for p in cells])
        plain = (grounds == grounds[~union][0]).all(1) if not union.all() else ~union
        assert np.array_equal(~plain, union)
    for keys in ("64 keys", "15 keys", "8 keys each", "16 keys each", "other half"):
        assert keys in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"token": (8, 0)}, r"token=\(8, 0\) must lie on a map of \(8, 8\)"),
        ({"token": (0, -1)}, r"token=\(0, -1\) must lie"),
        ({"stripe": 3}, "stripe=3 must divide side=8"),
        ({"window": 0}, "window=0 must divide side=8"),
    ],
)
def test_wrong_regions(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figures.attention_regions(**change)


def test_reach_maps_show_what_is_new() -> None:
    figure = figures.reach_maps(REACH, (1, 2), SIDE)
    figure.draw_without_rendering()
    axes = np.array(figure.axes).reshape(2, 3)
    for i, sets in enumerate(REACH.values()):
        before = np.zeros(24, dtype=bool)
        for b in range(3):
            seen = sets[b, 1 * 6 + 2]
            (mesh,) = axes[i, b].collections[:1]
            state = np.asarray(mesh.get_array()).ravel()
            assert np.array_equal(state > 0, seen)
            assert np.array_equal(state == 2, seen & ~before)
            share = int(100 * seen.mean() + 0.5)
            assert axes[i, b].get_title(loc="center").endswith(f"{share} %")
            before = seen
    assert [a.get_ylabel() for a in axes[:, 0]] == ["cross-\nshaped", "a\nmethod"]
    assert_inside(figure)


def test_reach_maps_can_skip_blocks() -> None:
    figure = figures.reach_maps(REACH, (0, 0), SIDE, blocks=[1, 3])
    titles = [axis.get_title(loc="center") for axis in figure.axes]
    assert titles[0].startswith("block 1: ")
    assert titles[1].startswith("block 3: ")
    assert len(titles) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reach": {}}, "must hold at least one method"),
        ({"token": (4, 0)}, r"token=\(4, 0\) must lie on a map of \(4, 6\)"),
        ({"side": (6, 6)}, r"must be \(blocks, 36, 36\)"),
        ({"blocks": [1, 4]}, r"blocks=\[1, 4\] must be numbers from 1 to 3"),
        ({"blocks": []}, r"blocks=\[\] must be numbers"),
    ],
)
def test_wrong_reach_maps(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figures.reach_maps(**{"reach": REACH, "token": (1, 2), "side": SIDE} | change)


def test_reach_widget_speaks_in_words() -> None:
    widget = figures.reach_widget(REACH, SIDE, start=(0, 0, 1, 2), name="fig-reach")
    assert widget.axes["Attention"] == ["cross-shaped", "a method"]
    assert widget.sentence(0, 0, 1, 2) == (
        "Cross-shaped: after 1 block, 9 of the 24 tokens (38 %) can influence the one "
        "in row 2, column 3."
    )
    assert 'id="fig-reach"' in widget._repr_html_()


def test_stripe_painter_has_three_cuts() -> None:
    widget = figures.stripe_painter()
    assert len(widget) == 12
    html = widget._repr_html_()
    assert len(html) < 30_000
    assert "http" not in html
    assert "nothing was copied" in widget.states[7]["note"]
    assert "were copied" in widget.states[3]["note"]
    with pytest.raises(ValueError, match="vertical stripes"):
        figures.stripe_painter(stripe=5)


# --- the block ----------------------------------------------------------------------


def test_block_names_its_shapes() -> None:
    figure = figures.block_diagram(14, 21, 96, 7)
    text = words(figure)
    for expected in (
        "14 × 21 × 96", "96 → 288", "q, k, v: 48 each", "3 stripes\nof 14 × 7 tokens",
        "2 stripes\nof 7 × 21 tokens", "48 + 48 → 96", "96 → 384 → 96", "LePE",
    ):  # fmt: skip
        assert expected in text
    assert_inside(figure)
    assert figure_image(figure).width == 972


@pytest.mark.parametrize("sizes", [(14, 20, 96, 7), (14, 14, 95, 7), (14, 14, 96, 0)])
def test_wrong_block(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"stripe=\d+ must divide height=14"):
        figures.block_diagram(*sizes)


def test_taps_that_are_dead_are_told_apart() -> None:
    column = np.zeros((3, 3))
    column[:, 1] = [1.0, 4.0, 2.0]
    figure = figures.lepe_taps({"vertical": column, "wide": np.full((3, 3), 2.0)})
    figure.draw_without_rendering()
    first, second = figure.axes
    assert first.get_xlabel() == "3 of 9 alive"
    assert second.get_xlabel() == "9 of 9 alive"
    numbers = [text.get_text() for text in first.texts]
    assert numbers == ["0", "0.25", "0", "0", "1.00", "0", "0", "0.50", "0"]
    hatched = [bool(patch.get_hatch()) for patch in first.patches]
    assert hatched == [number == "0" for number in numbers]
    assert {text.get_text() for text in second.texts} == {"0.50"}
    assert_inside(figure)


@pytest.mark.parametrize("count", [1, 4])
def test_taps_of_one_kernel_or_four(count: int) -> None:
    figure = figures.lepe_taps({f"kernel {i}": np.ones((3, 3)) for i in range(count)})
    assert_inside(figure)
    assert len([axis for axis in figure.axes if axis.axison]) == count


@pytest.mark.parametrize(
    ("gradients", "message"),
    [
        ({}, "gradients has 0 kernels"),
        ({"a": np.ones((2, 3))}, r"gradients\['a'\] of shape \(2, 3\) must be"),
        ({"a": -np.ones((3, 3))}, "not negative"),
        ({"a": np.zeros((3, 3))}, "not zero everywhere"),
        (dict.fromkeys("abcde", np.ones((3, 3))), "gradients has 5 kernels"),
    ],
)
def test_wrong_taps(gradients: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figures.lepe_taps(gradients)


# --- costs --------------------------------------------------------------------------


def test_costs_are_drawn_in_millions() -> None:
    costs = {
        "1, 2, 7": {"linear layers": 3854e6, "attention": 254e6},
        "full": {"linear layers": 3854e6, "attention": 1989e6},
    }
    figure = figures.cost_bars(costs, rows="stripe widths")
    text = words(figure)
    assert {"multiply–adds (M)", "4,108", "5,843", "stripe widths"} <= set(
        text.split("\n")
    )
    assert figure.axes[0].patches[1].get_facecolor() != (
        figure.axes[0].patches[0].get_facecolor()
    )
    assert "%" in words(figures.cost_bars(costs, share=True))


def test_short_ends_of_cost_bars_have_their_number_behind_them() -> None:
    costs = {
        "1, 2, 7": {"linear layers": 3854e6, "attention": 254e6},
        "full": {"linear layers": 3854e6, "attention": 1989e6},
    }
    figure = figures.cost_bars(costs, rows="stripe widths")
    assert_inside(figure)
    axis = figure.axes[0]
    boxes = {t.get_text(): t.get_window_extent() for t in axis.texts}
    assert len(axis.texts) == 6
    assert len(boxes) == 5  # both bars begin with 3,854
    bar = axis.patches[1].get_window_extent()
    assert bar.x1 < boxes["254"].x0 < boxes["254"].x1 < boxes["4,108"].x0
    assert abs(boxes["254"].y0 + boxes["254"].y1 - bar.y0 - bar.y1) < 4
    assert boxes["1,989"].x1 < axis.patches[3].get_window_extent().x1
    (end,) = (t for t in axis.texts if t.get_text() == "254")
    assert end.get_color() == SERIES[1]
    ticks = [tick.get_text() for tick in axis.get_xticklabels()]
    assert "2,000" in ticks


def block_cost(H: int, W: int, C: int, sw: int) -> dict[str, float]:
    """Count the products of one block one stripe at a time (slow, on purpose)."""
    attention = 0
    for h, w in ((H, sw), (sw, W)):
        tokens = h * w
        for _ in range(H * W // tokens):
            attention += 2 * tokens * tokens * (C // 2)  # scores, then values
    return {
        "projections": H * W * C * (3 * C + C),
        "attention": attention,
        "MLP": 2 * H * W * C * 4 * C,
    }


def test_cost_widget_asks_for_each_state_and_names_the_window() -> None:
    widget = figures.cost_widget(block_cost, caption="Cost", name="fig-cost")
    assert len(widget) == 256
    assert widget.parts == ["projections", "attention", "MLP"]
    assert widget.colours == [SERIES[0], SERIES[1], SERIES[5]]
    for i, (H, W, C, sw) in enumerate(
        product(
            (14, 28, 56, 112), (14, 28, 56, 112), (64, 128, 256, 512), (1, 2, 7, 14)
        )
    ):
        omega = H * W * C * (4 * C + sw * H + sw * W)  # equation 3
        millions = widget.amounts[i]
        assert sum(millions[:2]) == pytest.approx(omega / 1e6, abs=0.011)
        assert millions[2] == pytest.approx(8 * H * W * C * C / 1e6, abs=0.006)
        side = float(widget.notes[i].split("M = ")[1].split(" ")[0])
        assert side == pytest.approx((sw * (H + W) / 2) ** 0.5, abs=0.051)
        assert (
            f"sees {sw * H} keys with half of the heads and {sw * W} "
            in (widget.notes[i])
        )
    assert len(widget._repr_html_()) < 60_000


def test_cost_widget_names_the_window_of_the_paper() -> None:
    """Stripes of 7 on 14 x 14 tokens cost as much as windows of 9.9 x 9.9."""
    widget = figures.cost_widget(block_cost, heights=(14, 28), widths=(14, 28))
    note = widget.notes[2]
    assert "98 keys with half of the heads and 98 with the other half" in note
    assert "M = 9.9 cost" in note
    assert note.endswith("196.")
    with pytest.raises(ValueError, match="stripes has 3, which does not divide 14"):
        figures.cost_widget(block_cost, stripes=(1, 3))


def test_every_slider_of_the_widgets_does_something(open_page) -> None:
    body = "".join(
        widget._repr_html_()
        for widget in (
            figures.reach_widget(REACH, SIDE),
            figures.stripe_painter(),
            figures.cost_widget(block_cost),
        )
    )
    page: Page = open_page(body, width=390)
    assert widget_problems(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for slider in page.get_by_role("slider").all():
        slider.press("End")  # the largest numbers must fit as well
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_reach_and_cost_of_a_stripe_width() -> None:
    costs = {sw: block_cost(4, 6, 8, sw) for sw in (1, 2)}
    sets = REACH["a method"][:2]
    figure = figures.reach_and_cost(sets, costs, stripe=2, token=(1, 2), side=SIDE)
    figure.draw_without_rendering()
    place, bars = figure.axes
    state = np.asarray(place.collections[0].get_array()).ravel()
    assert np.array_equal(state > 0, sets[1, 8])
    assert np.array_equal(state == 1, sets[0, 8])
    share = int(100 * sets[1, 8].mean() + 0.5)
    assert place.get_title(loc="center") == f"stripe width 2, 2 blocks: {share} %"
    widths = [round(1e6 * patch.get_width()) for patch in bars.patches]
    assert widths == [n for parts in costs.values() for n in parts.values()]
    assert [patch.get_alpha() for patch in bars.patches] == [0.35] * 3 + [1] * 3
    text = words(figure).split("\n")
    assert {"projections", "attention", "MLP", "stripe width"} <= set(text)
    assert_inside(figure)
    with pytest.raises(ValueError, match=r"stripe=3 has no cost; known are \[1, 2\]"):
        figures.reach_and_cost(sets, costs, stripe=3, token=(1, 2), side=SIDE)
    with pytest.raises(ValueError, match=r"token=\(9, 0\) must lie on a map"):
        figures.reach_and_cost(sets, costs, stripe=1, token=(9, 0), side=SIDE)


# --- measured -----------------------------------------------------------------------

DISTANCES = np.arange(6)
CURVES = {
    "cross_shaped": np.ones((3, 6)),
    "axial": np.full(6, 0.99),
    "shifted": [[1, 1, 0.6, 0.25, 0.25, 0.25], [1, 0.9, 0.5, 0.25, 0.25, 0.27]],
    "axial_1": [1, 0.5, 0.4, 0.3, 0.3, 0.3],
    "something": np.full(6, 0.5),
}


def test_distance_curves_show_means_and_predictions() -> None:
    predicted = {"shifted": [1, 1, 0.55, 0.25, 0.25, 0.25]}
    figure = figures.distance_curves(DISTANCES, CURVES, predicted)
    text = words(figure)
    for label in (
        "cross-shaped", "axial", "axial, 1 block", "shifted windows", "something",
        "predicted from reach", "chance",
    ):  # fmt: skip
        assert label in text.split("\n")
    lines = {
        tuple(np.round(line.get_ydata(), 6)): line
        for line in figure.axes[0].lines
        if len(line.get_ydata()) == 6
    }
    assert tuple(np.round(np.mean(CURVES["shifted"], 0), 6)) in lines
    assert lines[tuple(predicted["shifted"])].get_linestyle() == "--"
    colours = [lines[tuple(np.ones(6))], lines[tuple(CURVES["something"])]]
    assert colours[0].get_color() == SERIES[0]
    assert colours[1].get_color() not in {SERIES[k] for k in (0, 1, 2)}
    assert_inside(figure)


def test_marks_take_turns_only_where_curves_coincide() -> None:
    figure = figures.distance_curves(DISTANCES, CURVES)
    every = {
        line.get_marker() + str(line.get_linestyle()): line.get_markevery()
        for line in figure.axes[0].lines
        if len(line.get_ydata()) == 6
    }
    assert every["o-"] == (0, 2)
    assert every["^-"] == (1, 2)
    assert every["s-"] == (0, 1)


def test_the_lower_of_two_curves_that_coincide_is_wider() -> None:
    equal = {str(k): np.ones(6) for k in range(4)}
    figure = figures.distance_curves(DISTANCES, {**equal, "shifted": np.arange(6) / 6})
    lines = [line for line in figure.axes[0].lines if len(line.get_ydata()) == 6]
    assert [line.get_linewidth() for line in lines] == [8, 8, 5, 2, 2]


def test_chance_is_written_where_no_curve_falls_to_it() -> None:
    figure = figures.distance_curves(DISTANCES, {"shifted": CURVES["shifted"]})
    figure.draw_without_rendering()
    axis = figure.axes[0]
    (word,) = (t for t in axis.texts if t.get_text() == "chance")
    (line,) = (line for line in axis.lines if len(line.get_ydata()) == 6)
    points = axis.transData.transform(line.get_xydata())
    box = word.get_window_extent().padded(line.get_markersize())
    assert not any(box.contains(*point) for point in points)


def test_resolution_curves_name_the_trained_size() -> None:
    curves = {"none": [0.3, 0.4, 0.4], "lepe": np.ones((2, 3)), "ape": [0.5, 0.6, 0.5]}
    figure = figures.resolution_curves([8, 12, 24], curves)
    text = words(figure).split("\n")
    assert {"no encoding", "LePE", "APE", "trained", "chance"} <= set(text)
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == [
        "8", "12", "24",
    ]  # fmt: skip
    assert_inside(figure)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: figures.distance_curves(DISTANCES, {}), "at least one method"),
        (lambda: figures.resolution_curves([8, 12], {}), "at least one encoding"),
        (
            lambda: figures.distance_curves(DISTANCES, {"full": [1, 1]}),
            r"the values of 'full' have shape \(2,\)",
        ),
        (
            lambda: figures.distance_curves(DISTANCES, {"full": [np.nan] * 6}),
            "must be finite",
        ),
        (
            lambda: figures.distance_curves(DISTANCES, CURVES, {"full": [1] * 6}),
            r"predicted has \['full'\]; the curves are",
        ),
        (
            lambda: figures.distance_curves([0], {str(k): [1] for k in range(8)}),
            "need more colours than the 7",
        ),
    ],
)
def test_wrong_curves(draw, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()
