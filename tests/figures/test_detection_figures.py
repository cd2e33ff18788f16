from typing import NamedTuple

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from lib.figures import detection as draw

PICTURE = np.zeros((8, 8, 3))
NAMES = ("zero", "one")


class Found(NamedTuple):
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


def found(n):
    boxes = np.array([[i, i, i + 2, i + 3] for i in range(n)], dtype=float)
    return Found(boxes.reshape(-1, 4), np.linspace(0.9, 0.1, n), np.arange(n) % 2)


def rectangles(axis):
    return [
        (p.get_x() + 0.5, p.get_y() + 0.5, p.get_width(), p.get_height())
        for p in axis.patches
        if isinstance(p, Rectangle)
    ]


def test_boxes_lie_on_their_pixels():
    figure = draw.boxes_on_images([PICTURE] * 2, [found(2), found(0)], names=NAMES)
    first, second = figure.axes[:2]
    assert rectangles(first) == [(0, 0, 2, 3), (1, 1, 2, 3)]
    assert [t.get_text() for t in first.texts if t.get_text()] == ["zero", "one"]
    assert rectangles(second) == []


CROWD = np.array(
    [[0, 0, 4, 4], [10, 10, 14, 14], [1, 0, 5, 4], [11, 11, 13, 13], [4, 0, 8, 4]],
    dtype=float,
)


def test_boxes_on_one_object_form_a_crowd_the_surest_first():
    scores = np.array([0.5, 0.3, 0.9, 0.6, 0.2])
    # Box 4 shares a quarter with the surest box of the first crowd: alone.
    assert draw.crowds_of_boxes(CROWD, scores) == [[2, 0], [3, 1], [4]]
    assert draw.crowds_of_boxes(CROWD[:0], scores[:0]) == []


def test_of_a_crowd_only_the_surest_box_is_named():
    dark = np.zeros((32, 32, 3))
    crowd = Found(CROWD, np.array([0.5, 0.3, 0.9, 0.6, 0.2]), np.array([0, 0, 1, 1, 0]))
    axis = draw.boxes_on_images([dark], [crowd], names=NAMES).axes[0]
    assert len(rectangles(axis)) == 5
    said = [t.get_text() for t in axis.texts if t.get_text()]
    assert said == ["one +1", "one +1", "zero"]


def test_texts_hide_neither_boxes_nor_each_other():
    dark = np.zeros((64, 64, 3))
    # Each crowds out the place above the next; the last stand at the edges.
    boxes = [[30, 20, 36, 28], [30, 29, 36, 35], [1, 0, 10, 9], [55, 55, 64, 64]]
    four = Found(np.array(boxes, dtype=float), np.ones(4), np.array([0, 1, 0, 1]))
    figure = draw.boxes_on_images([dark], [four], names=NAMES, columns=1)
    figure.draw_without_rendering()
    axis = figure.axes[0]
    places = [t.get_window_extent() for t in axis.texts if t.get_text()]
    frame = axis.get_window_extent()
    boxes = [p.get_window_extent() for p in axis.patches if isinstance(p, Rectangle)]
    for i, place in enumerate(places):
        assert frame.x0 <= place.x0
        assert place.x1 <= frame.x1
        assert frame.y0 <= place.y0
        assert place.y1 <= frame.y1
        assert not any(place.overlaps(other) for other in boxes + places[i + 1 :])


def test_true_boxes_are_dotted():
    figure = draw.boxes_on_images([PICTURE], [found(1)], [[[4, 4, 6, 7]]])
    styles = [p.get_linestyle() for p in figure.axes[0].patches]
    assert sorted(styles) == sorted([":", "-"])


def test_each_threshold_keeps_the_boxes_above_it():
    player = draw.threshold_player(
        PICTURE, found(3), np.zeros((1, 4)), names=NAMES, thresholds=(0.1, 0.5, 0.95)
    )
    html = player._repr_html_()
    assert len(player) == 3
    for count in ("3 boxes", "2 boxes", "0 boxes"):
        assert f"{count} for 1 object." in html
    assert "&quot;0.95&quot;" in html


def test_one_state_a_block():
    player = draw.block_player(
        PICTURE, [found(0), found(1), found(2)], np.zeros((1, 4)), names=NAMES
    )
    assert len(player) == 3
    assert "after block 2: 1 box for 1 object." in player._repr_html_()
    assert "after block 3: 2 boxes for 1 object." in player._repr_html_()


def test_one_panel_a_group():
    figure = draw.anchors_on_image(PICTURE, [found(1).boxes, found(3).boxes], "ab")
    assert [len(rectangles(axis)) for axis in figure.axes] == [1, 3]


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="found has 0 entries for 1 images"):
        draw.boxes_on_images([PICTURE], [])
    with pytest.raises(ValueError, match="titles has 1 entries for 2 groups"):
        draw.anchors_on_image(PICTURE, [found(1).boxes] * 2, ["a"])
    with pytest.raises(ValueError, match=r"must be \(n, 4\)"):
        draw.boxes_on_images([PICTURE], [Found(np.zeros((1, 3)), [1], [0])])
    with pytest.raises(ValueError, match="scores has 2 entries for 1 boxes"):
        draw.boxes_on_images([PICTURE], [Found(np.zeros((1, 4)), [1, 0], [0])])
