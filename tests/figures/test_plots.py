"""The shared plots draw what they are given and refuse what they cannot draw."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from lib.figures import plots
from lib.figures.palette import SERIES
from lib.figures.style import colour_map, figure_image


def texts(figure: Figure) -> list[str]:
    figure.draw_without_rendering()
    return [
        text.get_text()
        for text in figure.findobj(lambda a: hasattr(a, "get_text"))
        if text.get_text()
    ]


def test_bar_lengths_are_the_amounts() -> None:
    figure = plots.bar_stack(
        {"A": {"x": 30.0, "y": 10.0}, "B": {"y": 5.0, "x": 15.0}}, unit="M"
    )
    widths = [patch.get_width() for patch in figure.axes[0].patches]
    assert widths == [30.0, 10.0, 15.0, 5.0]
    assert {"40", "20", "x", "y", "A", "B"} <= set(texts(figure))


def test_shares_add_up_to_a_hundred() -> None:
    figure = plots.bar_stack(
        {"A": {"x": 30.0, "y": 10.0}}, unit="M", share=True, colours={"y": SERIES[0]}
    )
    patches = figure.axes[0].patches
    assert sum(patch.get_width() for patch in patches) == pytest.approx(100)
    assert [to_hex(patch.get_facecolor()) for patch in patches] == [
        SERIES[1],
        SERIES[0],
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "values={} must hold at least one row"),
        ({"A": {"x": 1}, "B": {"y": 1}}, r"values\['B'\] has parts"),
        ({"A": {"x": -1}}, "must not be negative"),
        ({"A": {}}, "parts has 0 names"),
        ({"A": dict.fromkeys("abcdefgh", 1)}, "parts has 8 names"),
    ],
)
def test_wrong_bars(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plots.bar_stack(values, unit="M")


def test_image_grid_fills_rows_and_hides_the_rest() -> None:
    pictures = [np.zeros((3, 8, 6))] * 5
    figure = plots.image_grid(pictures, titles=list("abcde"), columns=3)
    assert [axis.axison for axis in figure.axes] == [True] * 5 + [False]
    assert figure.axes[0].images[0].get_array().shape == (8, 6, 3)
    assert set("abcde") <= set(texts(figure))


def test_signed_maps_are_centred_on_zero() -> None:
    figure = plots.image_grid([np.array([[-1.0, 3.0]])], cmap="pb_diverging")
    assert figure.axes[0].images[0].get_clim() == (-3.0, 3.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.image_grid([]), r"images=\[\] must hold"),
        (lambda: plots.image_grid([np.zeros((2, 2))], titles=[]), "0 entries for 1"),
        (lambda: plots.image_grid([np.zeros((2, 2, 5))]), "must be .H, W."),
        (lambda: plots.image_grid([np.full((2, 2), 7.0)]), "numbers from 0 to 1"),
        (lambda: plots.heat_on_image(np.zeros((4, 4)), []), r"maps=\[\] must hold"),
        (
            lambda: plots.heat_on_image(
                np.zeros((4, 4)), [np.ones((2, 2))], titles=["a", "b"]
            ),
            "titles has 2 entries for 1 maps",
        ),
        (lambda: plots.heat_over(np.zeros((4, 4)), -np.ones((2, 2))), "not negative"),
        (lambda: plots.heat_over(np.zeros((4, 4)), np.ones((3, 2))), "must divide"),
        (
            lambda: plots.curve_family([0, 1], [[0, 1, 2]], xlabel="x", ylabel="y"),
            r"curves of shape \(1, 3\) must be",
        ),
        (
            lambda: plots.curve_family(
                [0, 1], [[0, 1]], labels=["a", "b"], xlabel="x", ylabel="y"
            ),
            "labels has 2 entries for 1 curves",
        ),
        (
            lambda: plots.scatter_labelled({}, xlabel="x", ylabel="y"),
            "points has 0 groups",
        ),
        (
            lambda: plots.scatter_labelled(
                {"a": [(0, 0, "")]}, xlabel="x", ylabel="y", connect=["b"]
            ),
            "connect names 'b'; the groups are",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@settings(deadline=None, max_examples=30)
@given(
    arrays(np.float64, (4, 4), elements=st.floats(0, 10)),
    arrays(np.uint8, (8, 8, 3)),
)
def test_heat_stays_a_picture(heat: np.ndarray, picture: np.ndarray) -> None:
    over = plots.heat_over(picture, heat)
    assert over.shape == (8, 8, 3)
    assert over.min() >= 0
    assert over.max() <= 1


def test_heat_lands_on_the_right_pixels() -> None:
    heat = np.zeros((2, 2))
    heat[0, 1] = 5.0
    over = plots.heat_over(np.ones((4, 4)), heat, strength=1.0)
    strongest = colour_map("heat")(1.0)[:3]
    assert np.allclose(over[:2, 2:], strongest)
    assert np.allclose(over[2:], 1)
    assert np.allclose(over[:2, :2], 1)


def test_heat_on_image_shows_picture_and_maps() -> None:
    figure = plots.heat_on_image(np.ones((4, 4, 3)), [np.ones((2, 2))] * 2)
    assert [axis.get_title() for axis in figure.axes if axis.axison] == [
        "Picture",
        "map 1",
        "map 2",
    ]


def test_curves_are_the_data() -> None:
    x, y = np.arange(3.0), np.array([[0, 1, 2], [2.0, 1, 0]])
    figure = plots.curve_family(
        x, y, xlabel="time", ylabel="loss", labels=["up", "down"], reference=[1, 1, 1]
    )
    drawn = [line.get_ydata() for line in figure.axes[0].lines[2:]]
    assert np.array_equal(np.array(drawn), [*y, [1, 1, 1]])
    assert {"up", "down", "reference", "time", "loss"} <= set(texts(figure))


def test_order_colours_the_curves() -> None:
    figure = plots.curve_family(
        [0, 1], [[0, 1], [0, 2]], xlabel="x", ylabel="y", order=[2.0, 1.0]
    )
    first, second = figure.axes[0].lines[2:]
    assert to_hex(first.get_color()) == to_hex(colour_map("sequential")(0.95))
    assert to_hex(second.get_color()) == to_hex(colour_map("sequential")(0.25))


def test_scatter_writes_labels_apart_from_each_other_and_the_source() -> None:
    rows = [(1.0, 1.0, "alpha"), (1.05, 1.02, "beta"), (2.0, 2.0, "")]
    figure = plots.scatter_labelled(
        {"ours": rows, "theirs": [(1.0, 1.5, "gamma")]},
        xlabel="cost", ylabel="gain", source="Source: Table 1", connect=["ours"],
        log_x=True,
    )  # fmt: skip
    figure.draw_without_rendering()
    boxes = {text.get_text(): text.get_window_extent() for text in figure.axes[0].texts}
    assert sorted(boxes) == ["alpha", "beta", "gamma"]
    assert not boxes["alpha"].overlaps(boxes["beta"])
    assert "Source: Table 1" in texts(figure)
    assert figure.axes[0].get_xscale() == "log"


def test_same_figure_same_pixels() -> None:
    def draw() -> bytes:
        return figure_image(
            plots.bar_stack({"A": {"x": 3.0, "y": 1.0}}, unit="M")
        ).tobytes()

    assert draw() == draw()
