import colorsys
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d, map_coordinates
from torch.nn import functional

from lib.data import BatchAugment, two_views
from lib.data.augment import (
    LUMA,
    PRESETS,
    affine_maps,
    colour_matrices,
    gaussian_blur,
    recolour,
    warp,
)

OFF = dict(
    crop=(1.0, 1.0),
    aspect=0.0,
    rotate=0.0,
    jitter=0.0,
    hue=0.0,
    saturation=0.0,
    gray=0.0,
    blur=0.0,
    flip=False,
)
CHECKS = settings(deadline=None, max_examples=30)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(batch=6, height=12, width=12, seed=0):
    return torch.rand(batch, 3, height, width, generator=generator(seed))


unit = st.floats(0, 1)


@st.composite
def augments(draw):
    low = draw(st.floats(0.05, 1))
    return BatchAugment(
        crop=(low, draw(st.floats(low, 1))),
        aspect=draw(unit),
        rotate=draw(st.floats(0, 4)),
        **{
            name: draw(unit)
            for name in ("jitter", "hue", "saturation", "gray", "blur", "colour")
        },
        flip=draw(st.booleans()),
    )


@given(
    augment=augments(),
    seed=st.integers(0, 2**40),
    sides=st.tuples(st.integers(2, 15), st.integers(2, 15)),
)
@CHECKS
def test_views_stay_pictures_and_repeat(augment, seed, sides):
    images = pictures(3, *sides)
    kept = images.clone()
    view = augment(images, generator(seed))
    assert torch.equal(images, kept)
    assert view.shape == images.shape
    assert view.is_contiguous()
    assert view.isfinite().all()
    assert view.min() >= 0
    assert view.max() <= 1
    assert torch.equal(view, augment(images, generator(seed)))


@given(sides=st.tuples(st.integers(1, 40), st.integers(1, 40)))
@CHECKS
def test_everything_off_returns_the_input(sides):
    images = pictures(4, *sides)
    view = BatchAugment(**OFF)(images, generator())
    torch.testing.assert_close(view, images, rtol=0, atol=2e-5)
    if sides == (32, 32):
        assert torch.equal(view, images)


def test_everything_off_returns_pictures_of_32_pixels_exactly():
    images = pictures(64, 32, 32)
    assert (BatchAugment(**OFF)(images, generator()) - images).abs().max() < 1e-6


def test_flip_is_torch_flip_in_every_other_picture():
    images = pictures(4000, 4, 4)
    view = BatchAugment(**OFF | {"flip": True})(images, generator())
    same, mirrored = (
        (view - wanted).abs().amax((1, 2, 3)) < 1e-6
        for wanted in (images, images.flip(3))
    )
    assert (same ^ mirrored).all()
    # A standard deviation of the share is 0.008.
    assert mirrored.float().mean().item() == pytest.approx(0.5, abs=0.03)


def reflect(place, low, high):
    """Reflect a place between two borders, as often as it takes."""
    while not low <= place <= high:
        place = 2 * low - place if place < low else 2 * high - place
    return place


def slow_view(picture, area, log_aspect, angle, place, mirror):
    """One crop, turned around its centre in pixels, read pixel by pixel."""
    channels, height, width = picture.shape
    half_width = math.sqrt(area) * math.exp(log_aspect / 2) * width / 2
    half_height = math.sqrt(area) / math.exp(log_aspect / 2) * height / 2
    middle = [
        side / 2 + shift * max(0, side / 2 - half)
        for side, shift, half in (
            (width, place[0], half_width),
            (height, place[1], half_height),
        )
    ]
    view = np.zeros((channels, height, width))
    for i in range(height):
        for j in range(width):
            along = mirror * ((j + 0.5) / width * 2 - 1) * half_width
            down = ((i + 0.5) / height * 2 - 1) * half_height
            x = middle[0] + along * math.cos(angle) - down * math.sin(angle)
            y = middle[1] + along * math.sin(angle) + down * math.cos(angle)
            x, y = reflect(x, 0, width) - 0.5, reflect(y, 0, height) - 0.5
            for c in range(channels):
                view[c, i, j] = map_coordinates(
                    picture[c], [[y], [x]], order=1, mode="nearest"
                )[0]
    return view


@pytest.mark.parametrize("sides", [(9, 9), (6, 11)])
def test_crop_and_rotation_equal_a_slow_loop(sides):
    images = pictures(5, *sides).double()
    draws = torch.rand(6, 5, generator=generator(3), dtype=torch.float64)
    mirror = torch.tensor([1.0, -1, 1, -1, 1])
    area, log_aspect = 0.2 + 0.8 * draws[0], 0.6 * (draws[1] - 0.5)
    angle, place = 3 * (draws[2] - 0.5), 2 * draws[3:5] - 1
    maps = affine_maps(area, log_aspect, angle, place, mirror, sides[0] / sides[1])
    ours = warp(images, maps)
    for i in range(5):
        arguments = (area[i], log_aspect[i], angle[i], place[:, i], mirror[i])
        slow = slow_view(
            images[i].numpy(), *(np.asarray(a.tolist()) for a in arguments)
        )
        np.testing.assert_allclose(ours[i], slow, atol=1e-6)


@given(
    area=st.floats(0.05, 1),
    log_aspect=st.floats(-0.3, 0.3),
    place=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    ratio=st.floats(0.3, 3),
)
@CHECKS
def test_upright_crops_have_their_area_and_stay_inside(area, log_aspect, place, ratio):
    maps = affine_maps(
        *(
            torch.tensor([value], dtype=torch.float64)
            for value in (area, log_aspect, 0)
        ),
        torch.tensor(place, dtype=torch.float64)[:, None],
        torch.ones(1, dtype=torch.float64),
        ratio,
    )[0]
    assert torch.linalg.det(maps[:, :2]).item() == pytest.approx(area)
    assert (maps[0, 0] / maps[1, 1]).item() == pytest.approx(math.exp(log_aspect))
    for side, reach in zip(maps[:, :2].diagonal(), maps[:, 2].abs(), strict=True):
        assert side > 1 or side + reach <= 1 + 1e-9


def test_draws_fill_their_ranges(monkeypatch):
    seen = {}

    def spy(*arguments):
        names = ("area", "log_aspect", "angle", "place")
        seen.update(zip(names, arguments, strict=False))
        return affine_maps(*arguments)

    monkeypatch.setattr("lib.data.augment.affine_maps", spy)
    BatchAugment()(pictures(2000, 2, 2), generator())
    wanted = dict(area=(0.5, 1), log_aspect=(-0.2, 0.2), angle=(-0.4, 0.4))
    for name, (low, high) in (wanted | dict(place=(-1, 1))).items():
        values, width = seen[name], high - low
        assert low <= values.min() < low + 0.01 * width
        assert high - 0.01 * width < values.max() <= high
        assert abs(values.mean() - (low + high) / 2) < 0.03 * width


@given(
    hue=st.floats(-math.pi, math.pi),
    saturation=st.floats(0, 2),
    gray=unit,
)
@CHECKS
def test_gray_stays_gray(hue, saturation, gray):
    matrix = colour_matrices(torch.tensor([hue]), torch.tensor([saturation]))[0]
    mixed = matrix @ torch.full((3,), gray)
    torch.testing.assert_close(mixed, torch.full((3,), gray), rtol=0, atol=1e-6)


@given(
    hue=st.floats(-math.pi, math.pi),
    colour=st.tuples(*[st.floats(0.01, 0.99)] * 3),
)
@CHECKS
def test_hue_is_a_rotation_around_gray(hue, colour):
    """Closed form: keep the part along gray, turn the rest in a plane of our own."""
    colour = np.array(colour)
    gray = np.ones(3) / 3**0.5
    east = np.array([2, -1, -1]) / 6**0.5
    north = np.array([0, 1, -1]) / 2**0.5
    angle = math.atan2(colour @ north, colour @ east) + hue
    length = math.hypot(colour @ north, colour @ east)
    plane = length * (math.cos(angle) * east + math.sin(angle) * north)
    matrix = colour_matrices(torch.tensor([hue]), torch.ones(1))[0].double().numpy()
    np.testing.assert_allclose(matrix @ colour, colour @ gray * gray + plane, atol=1e-6)


@pytest.mark.parametrize("turns", [0, 1 / 3, 2 / 3, -1 / 3])
@given(colour=st.tuples(unit, unit, unit))
@CHECKS
def test_thirds_of_a_turn_agree_with_hsv(turns, colour):
    """There the rotation permutes the channels, as a turned hue does in HSV."""
    hue, saturation, value = colorsys.rgb_to_hsv(*colour)
    wanted = colorsys.hsv_to_rgb((hue + turns) % 1, saturation, value)
    matrix = colour_matrices(torch.tensor([turns * 2 * math.pi]), torch.ones(1))[0]
    np.testing.assert_allclose(matrix @ torch.tensor(colour), wanted, atol=1e-6)


@given(saturation=st.floats(0, 2), colour=st.tuples(unit, unit, unit))
@CHECKS
def test_saturation_blends_with_gray(saturation, colour):
    matrix = colour_matrices(torch.zeros(1), torch.tensor([saturation]))[0]
    gray = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    wanted = [saturation * part + (1 - saturation) * gray for part in colour]
    np.testing.assert_allclose(matrix @ torch.tensor(colour), wanted, atol=1e-6)


def test_saturation_comes_before_hue():
    hue, saturation = torch.tensor([0.7]), torch.tensor([0.4])
    ours = colour_matrices(hue, saturation)
    apart = colour_matrices(hue, torch.ones(1)) @ colour_matrices(
        torch.zeros(1), saturation
    )
    torch.testing.assert_close(ours, apart)


def test_recolour_equals_a_slow_loop():
    images = pictures(5, 4, 6)
    hue, saturation, contrast, shift = torch.rand(4, 5, generator=generator(1))
    matrices = colour_matrices(hue, saturation)
    ours = recolour(images, matrices, contrast + 0.5, shift - 0.5)
    for i in range(5):
        mean = images[i].mean()
        for row in range(4):
            for column in range(6):
                mixed = matrices[i] @ images[i, :, row, column]
                wanted = mean + (contrast[i] + 0.5) * (mixed - mean) + shift[i] - 0.5
                torch.testing.assert_close(
                    ours[i, :, row, column], wanted.clamp(0, 1), rtol=0, atol=1e-6
                )


def test_contrast_and_brightness_have_their_ranges():
    """A picture half 0.4, half 0.6 shows both: the distance and the middle."""
    images = torch.full((3000, 3, 8, 8), 0.4)
    images[..., 4:] = 0.6
    view = BatchAugment(**OFF | {"jitter": 0.4})(images, generator())
    dark, light = view[:, 0, 0, 0], view[:, 0, 0, 7]
    for values, low, high in (
        ((light - dark) / 0.2, 0.6, 1.4),
        ((light + dark) / 2 - 0.5, -0.16, 0.16),
    ):
        width = high - low
        assert low - 1e-5 <= values.min() < low + 0.01 * width
        assert high - 0.01 * width < values.max() <= high + 1e-5
        assert abs(values.mean() - (low + high) / 2) < 0.03 * width


def hue_angles(hue, batch=3000):
    """Angles by which red was turned around gray."""
    red = torch.tensor([0.55, 0.4, 0.4])[:, None, None].expand(batch, 3, 2, 2)
    view = BatchAugment(**OFF | {"hue": hue})(red, generator())[:, :, 0, 0]
    return torch.atan2(
        (view[:, 1] - view[:, 2]) / 2**0.5,
        (2 * view[:, 0] - view[:, 1] - view[:, 2]) / 6**0.5,
    )


@pytest.mark.parametrize("hue", [0.1, 0.8])
def test_hue_is_counted_in_half_turns(hue):
    angles = hue_angles(hue)
    assert angles.abs().max() <= hue * math.pi + 1e-4
    assert angles.max() > 0.99 * hue * math.pi
    assert angles.min() < -0.99 * hue * math.pi


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_gray_has_its_probability(share):
    images = pictures(4000, 2, 2)
    view = BatchAugment(**OFF | {"gray": share})(images, generator())
    gray = (view.amax(1) - view.amin(1)).amax((1, 2)) < 1e-6
    # A standard deviation of the share is at most 0.008.
    assert gray.float().mean().item() == pytest.approx(share, abs=0.03)
    luma = torch.einsum("bchw,c->bhw", images, torch.tensor(LUMA))
    torch.testing.assert_close(view[gray, 0], luma[gray], rtol=0, atol=1e-6)
    torch.testing.assert_close(view[~gray], images[~gray], rtol=0, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.8, 1.0])
def test_colours_change_with_their_probability(share):
    images = pictures(4000, 2, 2)
    options = dict(jitter=0.4, hue=0.2, saturation=0.4, colour=share)
    view = BatchAugment(**OFF | options)(images, generator())
    changed = (view - images).abs().amax((1, 2, 3)) > 1e-6
    assert changed.float().mean().item() == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("sides", [(32, 32), (13, 20)])
def test_blur_equals_scipy(sides):
    images = pictures(6, *sides).double()
    sigma = torch.tensor([0.1, 0.4, 0.9, 1.3, 1.7, 2.0])
    ours = gaussian_blur(images, sigma)
    for i in range(6):
        slow = images[i].numpy()
        for axis in (1, 2):
            slow = gaussian_filter1d(
                slow, sigma[i].item(), axis=axis, mode="mirror", radius=6
            )
        np.testing.assert_allclose(ours[i], slow, atol=1e-6)


def test_blur_of_small_pictures_equals_a_slow_loop():
    images, sigma = pictures(3, 3, 5), torch.tensor([0.5, 1.0, 2.0])
    ours = gaussian_blur(images, sigma)
    for i in range(3):
        slow = images[i][:, None]  # channels become a batch
        for reach, axis in ((2, 0), (4, 1)):
            place = torch.arange(-reach, reach + 1)
            kernel = torch.exp(-(place**2) / (2 * sigma[i] ** 2))
            kernel = (kernel / kernel.sum()).unsqueeze(1 - axis)[None, None]
            around = [0, 0, reach, reach] if axis == 0 else [reach, reach, 0, 0]
            slow = functional.conv2d(
                functional.pad(slow, around, mode="reflect"), kernel
            )
        torch.testing.assert_close(ours[i], slow[:, 0], rtol=0, atol=1e-6)


@given(seed=st.integers(0, 2**40))
@CHECKS
def test_no_width_no_blur(seed):
    images = pictures(3, 9, 7, seed)
    assert torch.equal(gaussian_blur(images, torch.zeros(3)), images)
    # A blur averages: constant pictures stay, ranges shrink.
    flat = torch.full((3, 3, 9, 7), 0.25)
    sigma = 2 * torch.rand(3, generator=generator(seed))
    torch.testing.assert_close(gaussian_blur(flat, sigma), flat)
    assert gaussian_blur(images, sigma).max() <= images.max() + 1e-6


def test_blur_has_its_probability():
    images = pictures(4000, 4, 4)
    view = BatchAugment(**OFF | {"blur": 0.5})(images, generator())
    blurred = (view - images).abs().amax((1, 2, 3)) > 1e-6
    # 5 % of the widths lie below 0.2 pixels, where next to nothing changes.
    assert 0.44 < blurred.float().mean().item() < 0.53


def test_two_views_are_two_draws():
    images = pictures(8)
    augment = BatchAugment()
    one, two = two_views(images, augment, generator(5))
    same = generator(5)
    assert torch.equal(one, augment(images, same))
    assert torch.equal(two, augment(images, same))
    assert ((one - two).abs().amax((1, 2, 3)) > 0.05).all()


@pytest.mark.parametrize(
    "change", [{"blur": 1.0}, {"gray": 1.0}, {"flip": False}, {"rotate": 0.0}]
)
def test_one_setting_leaves_the_other_draws_alone(change):
    """The generator ends where it would have ended without the change."""
    ends = []
    for options in ({}, change):
        source = generator()
        BatchAugment(**options)(pictures(), source)
        ends.append(source.get_state())
    assert torch.equal(*ends)


def test_a_picture_does_not_depend_on_its_neighbours():
    images = pictures(6)
    others = images.clone()
    others[1:] = pictures(5, seed=9)
    augment = BatchAugment(blur=1.0)
    one, two = (augment(x, generator()) for x in (images, others))
    torch.testing.assert_close(one[0], two[0])
    assert not torch.equal(one[1], two[1])


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_the_type_is_kept(kind):
    view = BatchAugment(blur=0.5)(pictures().to(kind), generator())
    assert view.dtype == kind
    torch.testing.assert_close(
        view.float(), BatchAugment(blur=0.5)(pictures(), generator()), atol=1e-5, rtol=0
    )


def test_presets_have_the_published_ranges():
    """Hue of MoCo's code is in turns: 0.4 of one is 0.8 half turns."""
    assert BatchAugment.preset("book") == BatchAugment()
    one, two = (BatchAugment.preset(f"moco_v{i}") for i in (1, 2))
    for augment in (one, two):
        assert augment.crop == (0.2, 1.0)
        assert math.exp(augment.aspect) == pytest.approx(4 / 3)
        assert (augment.rotate, augment.gray, augment.flip) == (0, 0.2, True)
        assert (augment.jitter, augment.saturation) == (0.4, 0.4)
    assert (one.hue, one.colour, one.blur) == (0.8, 1, 0)
    assert (two.hue, two.colour, two.blur) == (0.2, 0.8, 0.5)
    assert set(PRESETS) == {"book", "moco_v1", "moco_v2"}
    with pytest.raises(ValueError, match="name='moco_v3' is unknown; allowed: book, "):
        BatchAugment.preset("moco_v3")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": (0.0, 1.0)}, r"crop=\(0.0, 1.0\) must be two shares"),
        ({"crop": (0.9, 0.8)}, r"crop=\(0.9, 0.8\)"),
        ({"crop": (0.5, 1.1)}, r"crop=\(0.5, 1.1\)"),
        ({"crop": (0.5,)}, r"crop=\(0.5,\)"),
        ({"jitter": -0.1}, "jitter=-0.1 must be from 0 to 1"),
        ({"hue": 1.1}, "hue=1.1"),
        ({"saturation": 2}, "saturation=2"),
        ({"gray": math.nan}, "gray=nan"),
        ({"blur": -1}, "blur=-1"),
        ({"colour": 1.5}, "colour=1.5"),
        ({"aspect": -0.2}, "aspect=-0.2 must be a number that is 0 or more"),
        ({"rotate": math.inf}, "rotate=inf"),
    ],
)
def test_wrong_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        BatchAugment(**options)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 8, 8), r"images of shape \(3, 8, 8\) must be \(B, 3, H, W\)"),
        (torch.zeros(2, 1, 8, 8), r"images of shape \(2, 1, 8, 8\)"),
        (torch.zeros(0, 3, 8, 8), r"images of shape \(0, 3, 8, 8\)"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "images of type torch.uint8"),
    ],
)
def test_wrong_pictures_are_named(images, message):
    with pytest.raises(ValueError, match=message):
        BatchAugment()(images, generator())
