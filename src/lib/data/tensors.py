"""From data sets to tensors, and light batched augmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

from lib.data.columns import column

if TYPE_CHECKING:
    from datasets import Dataset


def to_tensors(
    dataset: Dataset,
    size: int | None = None,
    *,
    image: str = "image",
    label: str = "label",
) -> tuple[Tensor, Tensor]:
    """Give all pictures and labels of a data set as two tensors.

    Args:
        dataset: with a column of encoded pictures (`datasets.Image`) or of uint8
            arrays, as `load_pictures`, `digit_images` and the worlds give.
        size: side in pixels to which pictures are scaled (shorter side) and centrally
            cropped; by default they stay as they are and must all have one size.
        image: name of the column of pictures.
        label: name of the column of labels, one whole number or a fixed-size list
            a row; cue scenes have `"target"` and `"target_map"`.

    Returns:
        Pictures `(B, C, H, W)`, float32 in [0, 1], C = 3 for encoded pictures; labels
        `(B,)` or `(B, ...)`, int64.

    Raises:
        ValueError: a column is missing, a picture cannot be read (the row is named),
            or sizes differ and no `size` was given.
    """
    from datasets import Image

    labels = column(dataset, label)
    if image in dataset.column_names and isinstance(dataset.features[image], Image):
        pixels = _decode(dataset, image, size)
    else:
        pixels = column(dataset, image)
        if pixels.dtype != np.uint8 or pixels.ndim != 4:
            raise ValueError(
                f"image={image!r} holds {pixels.dtype} of shape {pixels.shape[1:]}; "
                "pictures must be uint8 of shape (H, W, C)"
            )
        if size is not None and pixels.shape[1:3] != (size, size):
            mode = "L" if pixels.shape[3] == 1 else "RGB"
            pixels = np.stack(
                [_fit(Pillow.fromarray(p.squeeze(), mode), size) for p in pixels]
            ).reshape(len(pixels), size, size, -1)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    images = images.to(torch.float32, memory_format=torch.contiguous_format)
    return images.div_(255), torch.from_numpy(labels.astype(np.int64))


def random_crop_flip(
    images: Tensor, generator: torch.Generator, padding: int = 4, flip: bool = True
) -> Tensor:
    """Shift each picture of a batch by up to `padding` pixels and mirror every other.

    Pictures are padded with zeros, cut out again at a random place and, with
    probability one half, mirrored left to right: the usual augmentation of CIFAR-10.

    Args:
        images: `(B, C, H, W)`.
        generator: source of the draws, on the CPU; two or three draws a batch.
        padding: largest shift in pixels, 0 or more.
        flip: whether to mirror at all; digits and text must not be.

    Returns:
        A new tensor of the same shape, type and device.

    Raises:
        ValueError: `images` has no four axes or `padding` is negative.
    """
    if images.ndim != 4:
        raise ValueError(f"images of shape {tuple(images.shape)} must be (B, C, H, W)")
    if padding < 0:
        raise ValueError(f"padding={padding} must be 0 or more")
    batch, _, height, width = images.shape
    shift = torch.randint(0, 2 * padding + 1, (2, batch, 1), generator=generator)
    rows = torch.arange(height) + shift[0]  # (B, H)
    columns = torch.arange(width) + shift[1]  # (B, W)
    if flip:
        mirrored = torch.rand(batch, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    rows, columns = rows.to(images.device), columns.to(images.device)
    padded = functional.pad(images, [padding] * 4)
    every = torch.arange(batch, device=images.device)[:, None, None]
    # Indices around a slice put the channels last: (B, H, W, C).
    cut = padded[every, :, rows[:, :, None], columns[:, None, :]]
    return cut.permute(0, 3, 1, 2).contiguous()


def _decode(dataset: Dataset, name: str, size: int | None) -> np.ndarray:
    """Decode a column of encoded pictures into one uint8 array (n, H, W, 3)."""
    from datasets import Image

    rows = dataset.select_columns([name]).cast_column(name, Image(decode=False))
    pixels = np.empty(0, np.uint8)
    for i, row in enumerate(rows):
        picture = open_picture(row[name], i)
        array = np.asarray(picture) if size is None else _fit(picture, size)
        if i == 0:
            pixels = np.empty((len(rows), *array.shape), np.uint8)
        if array.shape != pixels.shape[1:]:
            raise ValueError(
                f"the picture in row {i} has height and width {array.shape[:2]}, the "
                f"first one {pixels.shape[1:3]}; give size=… to bring all to one size"
            )
        pixels[i] = array
    return pixels


def open_picture(encoded: dict | None, row: int) -> Pillow.Image:
    """Decode one picture as RGB.

    Args:
        encoded: `{"bytes", "path"}`, as `datasets.Image(decode=False)` gives.
        row: its row number, for the message.

    Raises:
        ValueError: there is no picture in the row, or it cannot be read.
    """
    import io

    try:
        if encoded is None:
            raise ValueError("the row is empty")
        data = encoded["bytes"]
        with Pillow.open(encoded["path"] if data is None else io.BytesIO(data)) as file:
            return file.convert("RGB")
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise ValueError(
            f"the picture in row {row} cannot be read: {str(error).rstrip('.')}"
        ) from error


def _fit(picture: Pillow.Image, size: int) -> np.ndarray:
    """Scale the shorter side to `size` and crop the middle."""
    resample = Pillow.Resampling.BICUBIC
    return np.asarray(ImageOps.fit(picture, (size, size), resample))
