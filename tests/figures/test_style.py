"""The house style, its colour maps, stable bytes, and a light import."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from PIL import Image

from lib.figures.palette import SERIES, luminance, part_colours
from lib.figures.style import (
    colour_map,
    few_colours,
    figure_image,
    house_style,
    in_house_style,
    png_bytes,
    use_house_style,
)


def lightness(colours: np.ndarray) -> np.ndarray:
    codes = ["#" + "".join(f"{round(255 * c):02x}" for c in row[:3]) for row in colours]
    return np.array([luminance(code) for code in codes])


def test_package_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, lib.figures\n"
        "heavy = {'matplotlib', 'numpy', 'PIL', 'IPython', 'ipywidgets', 'torch'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def test_functions_hide_the_modules_of_the_same_name() -> None:
    import lib.figures
    import lib.figures.live
    import lib.figures.show

    assert callable(lib.figures.show)
    assert callable(lib.figures.live)


def test_use_house_style_sets_matplotlib_and_knows_its_fonts() -> None:
    with matplotlib.rc_context():
        use_house_style()
        assert matplotlib.rcParams["axes.prop_cycle"].by_key()["color"] == SERIES
        assert matplotlib.rcParams["image.cmap"] == "pb_sequential"
        path = matplotlib.font_manager.findfont(
            "DejaVu Sans", fallback_to_default=False
        )
        assert matplotlib.get_data_path() in path
    assert set(house_style()) <= set(matplotlib.rcParams)


def test_plots_leave_the_settings_alone() -> None:
    before = dict(matplotlib.rcParams)

    @in_house_style
    def inside() -> float:
        return matplotlib.rcParams["axes.titlesize"]

    assert inside() == 10
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", ["sequential", "heat"])
def test_amounts_run_monotonically_from_light_to_dark(name: str) -> None:
    shades = lightness(colour_map(name)(np.linspace(0, 1, 64)))
    assert (np.diff(shades) < 0).all()


def test_signed_values_darken_to_both_sides() -> None:
    shades = lightness(colour_map("diverging")(np.linspace(0, 1, 65)))
    assert (np.diff(shades[:33]) > 0).all()
    assert (np.diff(shades[32:]) < 0).all()


def test_an_unknown_colour_map_is_named() -> None:
    with pytest.raises(ValueError, match="name='jet' must be one of"):
        colour_map("jet")


def test_png_holds_no_date_and_no_software() -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1], [1, 0])
    data = png_bytes(figure_image(figure))
    assert data == png_bytes(figure_image(figure))
    for mark in (b"tEXt", b"iTXt", b"tIME", b"Software"):
        assert mark not in data


def test_few_colours_keep_white_white() -> None:
    picture = Image.new("RGB", (64, 64), "white")
    picture.paste("#1d5c99", (10, 10, 30, 30))
    few = few_colours(picture, 16).convert("RGB")
    assert np.array_equal(np.asarray(few), np.asarray(picture))


def test_part_colours_keep_the_fixed_and_share_out_the_rest() -> None:
    assert part_colours(["a", "b"]) == SERIES[:2]
    assert part_colours(["a", "b", "c"], {"b": SERIES[0], "z": SERIES[1]}) == [
        SERIES[1],
        SERIES[0],
        SERIES[2],
    ]
    with pytest.raises(ValueError, match="parts has 8 names; allowed are 1 to 7"):
        part_colours(list("abcdefgh"))


def test_few_colours_keep_the_hue_of_a_small_patch() -> None:
    picture = Image.effect_noise((256, 256), 60).convert("RGB")  # many grays
    picture.paste("#00b4d8", (10, 10, 16, 16))
    picture.paste("#1b9e3a", (20, 10, 26, 16))
    few = few_colours(picture, 64).convert("RGB")
    moved = np.abs(np.asarray(few).astype(int) - np.asarray(picture)).max(axis=2)
    assert moved.max() < 40
    blunt = picture.quantize(64, method=Image.Quantize.MEDIANCUT, dither=0)
    assert (np.asarray(blunt.convert("RGB")).astype(int) - picture)[10:16].max() > 40
