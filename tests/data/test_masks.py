import io

import datasets
import huggingface_hub
import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Image, Value
from PIL import Image as Pillow

from lib.data import masks
from lib.data.masks import ADE20K, load_masks, masks_to_tensors

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (4, 6, 8, 3), dtype=np.uint8)
CLASSES = RNG.integers(0, 5, (4, 6, 8), dtype=np.uint8)
FEATURES = Features({"image": Image(), "annotation": Image()})


def png(array, mode=None):
    buffer = io.BytesIO()
    picture = Pillow.fromarray(array)
    (picture.convert(mode) if mode else picture).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def table(**changes):
    columns = {
        "image": [png(p) for p in PIXELS],
        "annotation": [png(c) for c in CLASSES],
        **changes,
    }
    return {name: value for name, value in columns.items() if value is not None}


def save(folder, columns=None, features=FEATURES, name="train.parquet"):
    Dataset.from_dict(columns or table(), features).to_parquet(folder / name)
    return folder / name


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def test_a_parquet_file_gives_pictures_and_classes(tmp_path):
    loaded = load_masks(save(tmp_path))
    assert loaded.column_names == ["image", "mask"]
    x, y = masks_to_tensors(loaded, 6)  # the middle six of eight columns, unscaled
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    wanted = torch.from_numpy(PIXELS[:, :, 1:7]).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(x, wanted, rtol=0, atol=0)
    np.testing.assert_array_equal(y.numpy(), CLASSES[:, :, 1:7])


def test_a_folder_a_limit_and_a_stream_give_the_same_rows(tmp_path):
    folder = tmp_path / "scenes"
    folder.mkdir()
    for split in ("train", "validation"):
        save(folder, name=f"{split}-00000-of-00001.parquet")
    whole = masks_to_tensors(load_masks(folder), 6)
    for options in ({}, {"limit": 2}, {"limit": 2, "streaming": True}):
        part = masks_to_tensors(load_masks(folder, "validation", **options), 6)
        for a, b in zip(part, whole, strict=True):
            torch.testing.assert_close(a, b[: len(a)], rtol=0, atol=0)
        assert len(part[0]) == options.get("limit", 4)


def test_scaling_invents_no_class(tmp_path):
    coarse = np.kron(np.array([[1, 4], [9, 4]], np.uint8), np.ones((5, 5), np.uint8))
    columns = {"image": [png(PIXELS[0][:, :6])], "annotation": [png(coarse[:6, :6])]}
    loaded = load_masks(save(tmp_path, columns))
    for size in (3, 7, 20):
        assert set(masks_to_tensors(loaded, size)[1].unique().tolist()) <= {1, 4, 9}


def test_classes_from_one(tmp_path):
    _, y = masks_to_tensors(load_masks(save(tmp_path)), 6, from_one=True, classes=4)
    given = CLASSES[:, :, 1:7].astype(int)
    np.testing.assert_array_equal(y.numpy(), np.where(given == 0, 255, given - 1))


@pytest.mark.parametrize("mode", ["P", "I;16", "1"])
def test_other_kinds_of_masks_keep_their_numbers(tmp_path, mode):
    given = CLASSES % 2
    if mode == "1":
        encoded = [png(c * 255, "1") for c in given]
    elif mode == "P":
        encoded = [png(c) for c in given]
        for i, c in enumerate(given):
            picture = Pillow.fromarray(c, "P")
            picture.putpalette([0, 0, 0, 200, 30, 90])
            buffer = io.BytesIO()
            picture.save(buffer, "PNG")
            encoded[i] = {"bytes": buffer.getvalue(), "path": None}
    else:
        encoded = [png(c.astype(np.uint16)) for c in given]
    _, y = masks_to_tensors(load_masks(save(tmp_path, table(annotation=encoded))), 6)
    np.testing.assert_array_equal(y.numpy(), given[:, :, 1:7])


def test_columns_by_other_names(tmp_path):
    columns = {"photo": table()["image"], "map": table()["annotation"]}
    path = save(tmp_path, columns, Features({"photo": Image(), "map": Image()}))
    with pytest.raises(ValueError, match=r"no column 'image' or 'img', only 'photo'"):
        load_masks(path)
    with pytest.raises(ValueError, match=r"no column 'annotation' or .*mask=…"):
        load_masks(path, image="photo")
    assert len(load_masks(path, image="photo", mask="map")) == 4


@pytest.mark.parametrize(
    ("changes", "features", "message"),
    [
        ({"annotation": None}, {"image": Image()}, "no column 'annotation' or 'mask'"),
        (
            {"annotation": [3] * 4},
            {"image": Image(), "annotation": Value("int64")},
            "column 'annotation' holds Value.*must be stored as the Hub does",
        ),
        (
            {"annotation": [png(p) for p in PIXELS]},
            FEATURES,
            "mask in row 0 is a picture of mode RGB; a mask must have one number",
        ),
        (
            {"annotation": [png(c[:5]) for c in CLASSES]},
            FEATURES,
            r"row 0: the mask has height and width \(5, 8\), its picture \(6, 8\)",
        ),
        ({"annotation": [None] * 4}, FEATURES, "mask in row 0 cannot be read: the row"),
        (
            {"image": [{"bytes": b"none", "path": None}] * 4},
            FEATURES,
            "picture in row 0 cannot be read",
        ),
        ({"image": [], "annotation": []}, FEATURES, "split='train' has no rows"),
    ],
)
def test_one_clear_sentence_for_each_fault(tmp_path, changes, features, message):
    path = save(tmp_path, table(**changes), Features(features))
    with pytest.raises(ValueError, match=message) as caught:
        load_masks(path)
    assert f"data={str(path)!r}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_faults_further_down_are_named_by_row(tmp_path):
    broken = [png(c) for c in CLASSES]
    broken[2] = {"bytes": broken[2]["bytes"][:40], "path": None}
    loaded = load_masks(save(tmp_path, table(annotation=broken)))
    with pytest.raises(ValueError, match="the mask in row 2 cannot be read"):
        masks_to_tensors(loaded, 6)
    high = CLASSES.copy()
    high[3, 2, 4] = 200
    loaded = load_masks(save(tmp_path, table(annotation=[png(c) for c in high])))
    with pytest.raises(ValueError, match=r"row 3 holds class 200; .* 0 to 149 and 255"):
        masks_to_tensors(loaded, 6, classes=150)
    high[3, 2, 4] = 255  # does not count
    loaded = load_masks(save(tmp_path, table(annotation=[png(c) for c in high])))
    assert masks_to_tensors(loaded, 6, classes=150)[1].max() == 255


def test_arguments_that_are_none(tmp_path):
    folder = tmp_path / "scenes"
    folder.mkdir()
    path = save(folder)
    for arguments, message in (
        (("world",), "data='world' names no pictures"),
        ((tmp_path / "x.parquet",), "there is no such file"),
        ((folder, "dev"), "split='dev' cannot be loaded: Unknown split"),
    ):
        with pytest.raises(ValueError, match=message):
            load_masks(*arguments)
    with pytest.raises(ValueError, match="limit=0 must be 1 or more"):
        load_masks(path, limit=0)
    with pytest.raises(ValueError, match="streaming=True needs limit"):
        load_masks(path, streaming=True)
    with pytest.raises(ValueError, match="size=0 must be 1 or more"):
        masks_to_tensors(load_masks(path), 0)


def test_the_address_on_the_hub(monkeypatch):
    asked = []

    def answer(kind, **options):
        asked.append((kind, options))
        return Dataset.from_dict(table(), FEATURES)

    monkeypatch.setattr(datasets, "load_dataset", answer)
    assert len(load_masks(ADE20K, "validation")) == 4
    address = masks.ADE20K.replace("{split}", "validation")
    assert "{" not in address
    files = {"validation": address}
    options = {"data_files": files, "split": "validation", "streaming": False}
    assert asked == [("parquet", options)]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            OSError("Name or service not known"),
            ConnectionError,
            "Hub cannot be reached",
        ),
        (
            huggingface_hub.errors.OfflineModeIsEnabled("offline"),
            ConnectionError,
            'DATA = "world"',
        ),
        (FileNotFoundError("no"), ValueError, "there are no such files"),
        (ValueError("Bad split. Really."), ValueError, "cannot be loaded: Bad split$"),
    ],
)
def test_what_the_hub_may_answer(monkeypatch, error, kind, message):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fails)
    with pytest.raises(kind, match=message):
        load_masks(ADE20K)
