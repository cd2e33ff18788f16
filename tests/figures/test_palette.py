"""The colours are legible on both pages and stay apart for colour-blind readers."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.figures.palette import (
    PALETTE,
    SERIES,
    SERIES_NAMES,
    contrast,
    css_variables,
    luminance,
    text_on,
)

# Machado, Oliveira and Fernandes (2009), severity 1.0, applied to linear RGB.
SIMULATIONS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
RGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def seen_as_lab(colour: str, matrix: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of a colour as a viewer with this colour vision sees it."""
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = RGB_TO_XYZ @ np.clip(matrix @ linear, 0, 1) / (RGB_TO_XYZ @ np.ones(3))
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def smallest_distance(colours: list[str], matrix: np.ndarray) -> float:
    labs = [seen_as_lab(colour, matrix) for colour in colours]
    return min(float(np.linalg.norm(a - b)) for a, b in combinations(labs, 2))


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("text", ["ink", "muted", "accent"])
@pytest.mark.parametrize("ground", ["paper", "surface"])
def test_text_is_legible(mode: str, text: str, ground: str) -> None:
    assert contrast(PALETTE[mode][text], PALETTE[mode][ground]) >= 4.5


@pytest.mark.parametrize("colour", SERIES, ids=SERIES_NAMES)
def test_series_stand_out_from_the_figure_and_carry_a_label(colour: str) -> None:
    assert contrast(colour, PALETTE["light"]["surface"]) >= 3
    assert contrast(colour, text_on(colour)) >= 4.5


@pytest.mark.parametrize("vision", SIMULATIONS)
def test_series_stay_apart(vision: str) -> None:
    assert smallest_distance(SERIES, SIMULATIONS[vision]) >= 12


def test_the_distance_catches_red_beside_green() -> None:
    reddish, greenish = "#a05a2c", "#6b6f22"
    normal = smallest_distance([reddish, greenish], SIMULATIONS["normal"])
    deutan = smallest_distance([reddish, greenish], SIMULATIONS["deuteranopia"])
    assert normal > 12 > deutan


def test_contrast_of_black_and_white() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=0.001)


@given(st.integers(0, 0xFFFFFF), st.integers(0, 0xFFFFFF))
def test_contrast_is_symmetric_and_in_range(a: int, b: int) -> None:
    first, second = f"#{a:06x}", f"#{b:06x}"
    assert contrast(first, second) == contrast(second, first)
    assert 1 <= contrast(first, second) <= 21.0001


@pytest.mark.parametrize("bad", ["red", "#12345", "1d5c99", "#gggggg", ""])
def test_a_wrong_colour_is_named(bad: str) -> None:
    with pytest.raises(ValueError, match=r"colour=.*six hexadecimal digits"):
        luminance(bad)


def test_style_sheet_names_every_colour() -> None:
    light, dark = css_variables().split('html[data-theme="dark"]')
    assert light.startswith(":root {")
    for name, value in PALETTE["light"].items():
        assert f"--pb-{name}: {value};" in light
    for name, value in PALETTE["dark"].items():
        assert f"--pb-{name}: {value};" in dark
    for i, value in enumerate(SERIES, start=1):
        assert f"--pb-series-{i}: {value};" in light
    assert css_variables().count("{") == css_variables().count("}") == 2


def test_modes_hold_the_same_names() -> None:
    assert list(PALETTE["light"]) == list(PALETTE["dark"])
