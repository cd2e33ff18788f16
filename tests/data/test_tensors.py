import io

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Image, Value
from PIL import Image as Pillow

from lib.data import column, digit_images, random_crop_flip, to_tensors, worlds


def test_scenes_and_digits():
    scenes = worlds.cue_scenes(5, 0)
    images, target = to_tensors(scenes, label="target")
    assert images.shape == (5, 3, 32, 32)
    assert images.is_contiguous()
    assert images.dtype == torch.float32
    expected = torch.from_numpy(column(scenes, "image")).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(images, expected, rtol=0, atol=0)
    assert target.tolist() == scenes["target"][:]
    assert to_tensors(scenes, label="target_map")[1].shape == (5, 16)
    images, labels = to_tensors(digit_images("test"))
    assert images.shape == (597, 1, 8, 8)
    assert (images.min(), images.max()) == (0, 1)
    assert labels.dtype == torch.int64


def test_size_scales_and_crops_the_middle():
    for data in (digit_images("test").select(range(3)), worlds.cue_scenes(3, 0)):
        label = "label" if "label" in data.column_names else "target"
        images, _ = to_tensors(data, 16, label=label)
        assert images.shape[2:] == (16, 16)
    stripe = np.zeros((10, 30, 3), np.uint8)
    stripe[:, 10:20] = 255
    images, _ = to_tensors(encoded([stripe, stripe[:, 5:25]]), size=10)
    assert images.shape == (2, 3, 10, 10)
    assert (images == 1).all()


def encoded(arrays):
    rows = []
    for array in arrays:
        buffer = io.BytesIO()
        Pillow.fromarray(array).save(buffer, "PNG")
        rows.append({"bytes": buffer.getvalue(), "path": None})
    features = Features({"image": Image(), "label": Value("int64")})
    return Dataset.from_dict({"image": rows, "label": [0] * len(rows)}, features)


def test_grey_pictures_become_three_equal_channels():
    grey = np.arange(36, dtype=np.uint8).reshape(6, 6)
    images, _ = to_tensors(encoded([grey]))
    assert images.shape == (1, 3, 6, 6)
    assert (images[0, 0] == images[0, 2]).all()


def test_what_cannot_be_a_tensor():
    mixed = encoded([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)])
    with pytest.raises(ValueError, match=r"row 1 has height and width \(4, 5\), the f"):
        to_tensors(mixed)
    scenes = worlds.cue_scenes(2, 0)
    with pytest.raises(ValueError, match="name='label' is no column"):
        to_tensors(scenes)
    with pytest.raises(ValueError, match="name='photo' is no column"):
        to_tensors(scenes, image="photo", label="target")
    with pytest.raises(ValueError, match="image='boxes' holds float32"):
        to_tensors(scenes, image="boxes", label="target")


def slow_crop_flip(images, generator, padding, flip):
    """The same draws, one picture at a time."""
    b, c, h, w = images.shape
    shift = torch.randint(0, 2 * padding + 1, (2, b, 1), generator=generator)
    mirrored = torch.rand(b, 1, generator=generator) < 0.5 if flip else [False] * b
    result = []
    for i in range(b):
        canvas = torch.zeros(c, h + 2 * padding, w + 2 * padding)
        canvas[:, padding : padding + h, padding : padding + w] = images[i]
        top, left = int(shift[0, i]), int(shift[1, i])
        cut = canvas[:, top : top + h, left : left + w]
        result.append(cut.flip(2) if mirrored[i] else cut)
    return torch.stack(result)


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("padding", [0, 3])
def test_crop_and_flip_equal_a_slow_loop(padding, flip):
    images = torch.rand(40, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    one, two = (torch.Generator().manual_seed(1) for _ in range(2))
    ours = random_crop_flip(images, one, padding, flip)
    torch.testing.assert_close(ours, slow_crop_flip(images, two, padding, flip))
    assert ours.is_contiguous()
    if padding == 0 and not flip:
        assert torch.equal(ours, images)


def test_crop_and_flip_names_bad_input():
    generator = torch.Generator()
    with pytest.raises(ValueError, match=r"images of shape \(3, 4, 4\) must be"):
        random_crop_flip(torch.zeros(3, 4, 4), generator)
    with pytest.raises(ValueError, match="padding=-1 must be 0 or more"):
        random_crop_flip(torch.zeros(1, 3, 4, 4), generator, padding=-1)
