import matplotlib.colors as colors
import numpy as np
import pytest

from lib.figures import dense as draw

MASK = np.array([[0, 1], [11, 255]])
PICTURE = np.zeros((3, 2, 2))


def texts(axis):
    return [axis.get_title(loc) for loc in ("left", "center", "right")]


def test_every_class_has_a_colour_of_its_own():
    assert len(set(draw.CLASS_COLOURS)) == len(draw.CLASS_COLOURS) == 12
    painted = draw.class_picture(MASK)
    wanted = [draw.CLASS_COLOURS[i] for i in (0, 1, 11)] + [draw.HATCH]
    for found, colour in zip(painted.reshape(4, 3), wanted, strict=True):
        np.testing.assert_allclose(found, colors.to_rgb(colour))


def test_colours_of_classes_lie_apart():
    rgb = np.array([colors.to_rgb(c) for c in draw.CLASS_COLOURS])
    apart = np.abs(rgb[:, None] - rgb[None]).sum(-1) + 9 * np.eye(len(rgb))
    assert apart.min() > 0.2


def test_a_row_for_each_kind_and_a_key():
    figure = draw.mask_rows(
        {"scene": [PICTURE] * 3, "truth": [MASK] * 3}, names=["none", "0", "1"]
    )
    assert len(figure.axes) == 6
    assert [figure.axes[i].get_ylabel() for i in (0, 1, 3)] == ["scene", "", "truth"]
    shown = figure.axes[3].images[0].get_array()
    np.testing.assert_allclose(shown, draw.class_picture(MASK))
    key = figure.legends[0]
    assert [t.get_text() for t in key.get_texts()] == ["none", "0", "1"]
    faces = [colors.to_hex(p.get_facecolor()) for p in key.get_patches()]
    assert faces == [colors.to_hex(c) for c in draw.CLASS_COLOURS[:3]]


def test_the_player_counts_right_pixels():
    player = draw.mask_player(PICTURE, MASK, {1: MASK * 0, 50: MASK})
    html = player._repr_html_()
    assert len(player) == 2
    assert "25% of the pixels are right." in html
    assert "100% of the pixels are right." in html
    assert "mask after 50 steps" in html


def test_one_mark_a_class_and_method():
    scores = {"one": [0.5, np.nan, 0.1], "two": [0.2, 0.4, 1.0]}
    axis = draw.iou_by_class(scores, ["ground", "0", "cue"]).axes[0]
    heights = [line.get_ydata() for line in axis.lines]
    np.testing.assert_array_equal(heights[1], [0.2, 0.4, 1.0])
    np.testing.assert_array_equal(np.isnan(heights[0]), [False, True, False])
    assert len({line.get_marker() for line in axis.lines}) == 2
    assert [t.get_text() for t in axis.get_xticklabels()] == ["ground", "0", "cue"]


@pytest.mark.parametrize(
    ("names", "lines"),
    [(["UPerNet", "Semantic FPN", "first map alone", "colour alone"], 1),
     (["a method with a long name", "another with a long name", "one more name"], 2)],
)  # fmt: skip
def test_the_key_takes_one_line_where_it_fits(names, lines):
    figure = draw.iou_by_class({name: [0.5] for name in names}, ["ground"])
    figure.draw_without_rendering()
    key = figure.legends[0]
    places = {round(text.get_window_extent().y0) for text in key.get_texts()}
    assert len(places) == lines
    assert key.get_window_extent().x1 <= figure.bbox.x1


@pytest.mark.parametrize(("rows", "columns", "stripe"), [(7, 9, 4), (8, 6, 2)])
def test_zeros_are_hatched_where_the_layer_adds_them(rows, columns, stripe):
    import torch

    from lib.layers import pad_rows

    figure = draw.padded_stripes(rows, columns, stripe)
    for axis, turn in zip(figure.axes, (True, False), strict=True):
        ones = torch.ones(1, rows, columns, 1)
        ones = ones.transpose(1, 2) if turn else ones
        padded = pad_rows(ones, stripe)[0, :, :, 0]
        padded = (padded.T if turn else padded).numpy()
        hatched = np.array([p.get_hatch() is not None for p in axis.patches])
        np.testing.assert_array_equal(hatched.reshape(padded.shape), padded == 0)
        zeros = padded.shape[turn] - (columns if turn else rows)
        assert f"{zeros} zero {'column' if turn else 'row'}" in "".join(texts(axis))


def test_the_change_is_shown_as_it_is():
    change = np.arange(12.0).reshape(3, 4)
    figure = draw.padded_stripes(3, 4, 2, change)
    np.testing.assert_array_equal(figure.axes[2].images[0].get_array(), change)


@pytest.mark.parametrize("size", [(3, 7), (7, 10), (9, 4)])
def test_panels_stand_side_by_side_and_inside(size):
    figure = draw.padded_stripes(*size, 4, np.ones(size))
    figure.draw_without_rendering()
    panels = [axis.title.get_window_extent() for axis in figure.axes[:3]]
    tops = [axis.get_window_extent().y1 for axis in figure.axes[:3]]
    assert max(tops) - min(tops) < 1
    assert max(box.y0 for box in panels) - min(box.y0 for box in panels) < 1
    label = figure.axes[3].xaxis.label.get_window_extent()
    for box in (*panels, label):
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1 - 3
        assert figure.bbox.y0 <= box.y0
        assert box.y1 <= figure.bbox.y1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw.class_picture(np.zeros(3)), r"must be \(H, W\)"),
        (lambda: draw.class_picture([[12]]), "mask holds class 12"),
        (lambda: draw.mask_rows({}), "rows have"),
        (lambda: draw.mask_rows({"a": [MASK], "b": []}), r"rows have \[0, 1\]"),
        (lambda: draw.mask_rows({"a": [MASK]}, ["x"] * 13), "names has 13"),
        (lambda: draw.iou_by_class({}, ["a"]), "scores of 0 methods"),
        (lambda: draw.iou_by_class({"a": [1, 2]}, ["a"]), "there are 1 names"),
        (lambda: draw.padded_stripes(0, 3, 1), "rows=0"),
        (lambda: draw.padded_stripes(2, 3, 1, np.zeros((3, 2))), "change of shape"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
