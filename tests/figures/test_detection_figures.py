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
    for count in (3, 2, 0):
        assert f"{count} boxes for 1 objects." in html
    assert "&quot;0.95&quot;" in html


def test_one_state_a_block():
    player = draw.block_player(
        PICTURE, [found(0), found(1), found(2)], np.zeros((1, 4)), names=NAMES
    )
    assert len(player) == 3
    assert "after block 3: 2 boxes" in player._repr_html_()


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
