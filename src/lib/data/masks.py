"""Real pictures with a class for every pixel, by Hub id or from a local folder."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub
import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError
from torch import Tensor

from lib.data.real import (
    IMAGE_NAMES,
    WAY_ON,
    _find,
    _first_sentence,
    _keep_encoded,
    _load,
    _no_rows,
)
from lib.data.tensors import open_picture

if TYPE_CHECKING:
    from datasets import Dataset

MASK_NAMES = ("annotation", "mask", "label", "labels", "segmentation")

ADE20K = (
    "hf://datasets/zhoubolei/scene_parse_150@~parquet/scene_parsing/{split}/*.parquet"
)
"""The benchmark's 150 classes; 0 is "none of them", so read it with `from_one=True`.

The data set itself is a loading script, which `datasets` runs no longer; this names
the parquet files that the Hub made of it. Its splits are train, validation and test.
"""

IGNORED = 255
"""The label of pixels that do not count."""

_INDEX_MODES = ("1", "L", "P", "I", "I;16")  # one number a pixel


def load_masks(
    data: str | Path,
    split: str = "train",
    *,
    config: str | None = None,
    image: str | None = None,
    mask: str | None = None,
    limit: int | None = None,
    streaming: bool = False,
) -> Dataset:
    """Load pictures with class masks through `datasets`, in plain words if it fails.

    Args:
        data: a Hub id, or a local `.parquet` file or pattern, or a local folder of
            parquet files named by split, or the address of parquet files on the Hub,
            `"hf://datasets/..."`, in which `{split}` stands for the split; `ADE20K`
            is one.
        split: `"train"`, `"validation"`, or any other that the data set has.
        config: name of the configuration, where the Hub's data set has several.
        image: name of the column of pictures; by default `image` or `img`.
        mask: name of the column of masks; by default the first of `MASK_NAMES` that
            there is.
        limit: keep only the first so many rows.
        streaming: fetch only the rows that `limit` asks for.

    Returns:
        Columns `image` and `mask`, both `datasets.Image`. `masks_to_tensors` gives
        both as tensors.

    Raises:
        ValueError: unknown path, id or split, no such column, no rows, or a first row
            whose picture or mask cannot be read or whose sizes differ.
            (`masks_to_tensors` checks every row.)
        ConnectionError: the Hub cannot be reached and no copy is on this machine.
    """
    from datasets import Image

    if data == "world":
        raise ValueError(
            "data='world' names no pictures: it stands for the chapter's own world, "
            "made by lib.data.worlds"
        )
    if limit is not None and limit < 1:
        raise ValueError(f"limit={limit} must be 1 or more")
    if streaming and limit is None:
        raise ValueError("streaming=True needs limit=…, the number of rows to fetch")

    stream = limit if streaming else None
    if str(data).startswith("hf://"):
        rows = _load_address(str(data).replace("{split}", split), split, stream)
    else:
        rows = _load(data, split, config, stream)
    if limit is not None:
        rows = rows.select(range(min(limit, len(rows))))
    if not len(rows):
        raise ValueError(_no_rows(data, split))
    image = _find("image", image, IMAGE_NAMES, rows, data)
    mask = _find("mask", mask, MASK_NAMES, rows, data)
    rows = rows.select_columns([image, mask])
    rows = rows.rename_columns({image: "image", mask: "mask"})
    for old, new in ((image, "image"), (mask, "mask")):
        _check_kind(rows.features[new], old, data)
        rows = rows.cast_column(new, Image())
    try:
        _row(_keep_encoded(rows.select(range(1)))[0], 0)
    except ValueError as error:
        raise ValueError(f"data={str(data)!r}: {error}") from error
    return rows


def masks_to_tensors(
    dataset: Dataset,
    size: int,
    *,
    from_one: bool = False,
    classes: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Give all pictures and masks as two tensors, cut to squares.

    The shorter side is scaled to `size` and the middle cut out. Pictures are
    interpolated; of masks the nearest pixel is taken, because classes cannot be mixed.

    Args:
        dataset: as `load_masks` gives it.
        size: side of the squares in pixels.
        from_one: whether classes are counted from 1 and 0 means "none"; then 0 becomes
            255, which losses and measures leave out, and the others come down by one.
        classes: number of classes that masks must stay below, 255 excepted; by default
            any.

    Returns:
        Pictures (B, 3, size, size), float32 in [0, 1], and masks (B, size, size),
        int64.

    Raises:
        ValueError: a picture or mask cannot be read, its sizes differ, or a class is
            out of range; the row is named.
    """
    if size < 1:
        raise ValueError(f"size={size} must be 1 or more")
    images = np.empty((len(dataset), size, size, 3), np.uint8)
    masks = np.empty((len(dataset), size, size), np.int64)
    for i, row in enumerate(_keep_encoded(dataset.select_columns(["image", "mask"]))):
        picture, mask = _row(row, i)
        images[i] = _fit(picture, size, Pillow.Resampling.BICUBIC)
        masks[i] = _fit(mask, size, Pillow.Resampling.NEAREST)
        if from_one:
            masks[i] = np.where(masks[i] == 0, IGNORED, masks[i] - 1)
        wrong = (masks[i] >= (classes or np.inf)) & (masks[i] != IGNORED)
        if wrong.any():
            raise ValueError(
                f"the mask in row {i} holds class {masks[i][wrong][0]}; allowed are 0 "
                f"to {(classes or 0) - 1} and {IGNORED}"
            )
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    x = x.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
    return x, torch.from_numpy(masks)


def _load_address(address: str, split: str, stream: int | None) -> Dataset:
    """Load parquet files from their address on the Hub."""
    import datasets

    options: dict[str, Any] = {"split": split, "streaming": stream is not None}
    try:
        loaded = datasets.load_dataset(
            "parquet", data_files={split: address}, **options
        )
        if stream is None:
            return loaded
        encoded = _keep_encoded(loaded)
        rows = list(encoded.take(stream))
        return datasets.Dataset.from_list(rows, features=encoded.features)
    except FileNotFoundError as error:
        raise ValueError(f"data={address!r}: there are no such files") from error
    except (ValueError, datasets.exceptions.DatasetsError) as error:
        raise ValueError(
            f"data={address!r} cannot be loaded: {_first_sentence(error)}"
        ) from error
    except (OSError, huggingface_hub.errors.OfflineModeIsEnabled) as error:
        raise ConnectionError(
            f"data={address!r}: the Hub cannot be reached; to go on without a "
            f"network, {WAY_ON}"
        ) from error


def _check_kind(kind: Any, name: str, data: str | Path) -> None:
    """Refuse a column that holds no encoded pictures."""
    from datasets import Image

    if not isinstance(kind, Image) and set(getattr(kind, "keys", set)()) != {
        "bytes",
        "path",
    }:
        raise ValueError(
            f"data={str(data)!r}: column {name!r} holds {kind}; pictures and masks "
            "must be stored as the Hub does, as datasets.Image"
        )


def _row(row: dict, i: int) -> tuple[Pillow.Image, Pillow.Image]:
    """Decode the picture and the mask of a row, and compare their sizes."""
    picture, mask = open_picture(row["image"], i), _open_mask(row["mask"], i)
    if picture.size != mask.size:
        raise ValueError(
            f"row {i}: the mask has height and width {mask.size[::-1]}, its picture "
            f"{picture.size[::-1]}; they must be equal"
        )
    return picture, mask


def _open_mask(encoded: dict | None, row: int) -> Pillow.Image:
    """Decode a mask as it is, one number a pixel."""
    try:
        if encoded is None:
            raise ValueError("the row is empty")
        data = encoded["bytes"]
        with Pillow.open(encoded["path"] if data is None else io.BytesIO(data)) as file:
            file.load()
            mask = file.copy()
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise ValueError(
            f"the mask in row {row} cannot be read: {str(error).rstrip('.')}"
        ) from error
    if mask.mode not in _INDEX_MODES:
        raise ValueError(
            f"the mask in row {row} is a picture of mode {mask.mode}; a mask must have "
            "one number a pixel, the class"
        )
    return mask


def _fit(picture: Pillow.Image, size: int, how: Pillow.Resampling) -> np.ndarray:
    """Scale the shorter side to `size` and crop the middle."""
    return np.asarray(ImageOps.fit(picture, (size, size), how))
