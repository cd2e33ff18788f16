import io
import os
import subprocess
import sys
import time

import datasets
import huggingface_hub
import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as Pillow

from lib.data import column_hash, load_pictures, to_tensors

FEATURES = Features({"img": Image(), "label": ClassLabel(names=["cat", "dog", "owl"])})
PIXELS = np.random.default_rng(0).integers(0, 256, (9, 6, 6, 3), dtype=np.uint8)


def png(pixels):
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def pictures(pixels=PIXELS):
    return [{"bytes": png(p), "path": None} for p in pixels]


def table(**changes):
    columns = {"img": pictures(), "label": [0, 1, 2] * 3, **changes}
    return {name: value for name, value in columns.items() if value is not None}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    """A folder as one copies it from the Hub."""
    place = tmp_path / "birds" / "plain_text"
    place.mkdir(parents=True)
    whole = Dataset.from_dict(table(), FEATURES)
    whole.select(range(6)).to_parquet(place / "train-00000-of-00001.parquet")
    whole.select(range(6, 9)).to_parquet(place / "test-00000-of-00001.parquet")
    return tmp_path / "birds"


def save(tmp_path, columns, features=None):
    Dataset.from_dict(columns, features).to_parquet(tmp_path / "train.parquet")
    return tmp_path / "train.parquet"


def test_a_folder_in_the_hubs_schema(folder):
    train, test = load_pictures(folder), load_pictures(str(folder), "test")
    assert train.column_names == ["image", "label"]
    assert train.features["label"].names == ["cat", "dog", "owl"]
    images, labels = to_tensors(train)
    assert images.dtype == torch.float32
    assert labels.tolist() == [0, 1, 2, 0, 1, 2]
    expected = torch.from_numpy(PIXELS[:6]).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(images, expected, rtol=0, atol=0)
    np.testing.assert_array_equal(np.asarray(test[0]["image"]), PIXELS[6])


def test_a_file_a_pattern_and_streaming_give_the_same_rows(folder):
    whole = load_pictures(folder)
    name = folder / "plain_text" / "train-00000-of-00001.parquet"
    for other in (
        load_pictures(name),
        load_pictures(folder / "plain_text" / "train-*.parquet"),
        load_pictures(folder, streaming=True, limit=100),
    ):
        assert column_hash(other) == column_hash(whole)
        assert other.features == whole.features
    for streaming in (False, True):
        part = load_pictures(folder, limit=4, streaming=streaming)
        assert column_hash(part) == column_hash(whole.select(range(4)))


def test_pictures_in_one_folder_a_class(tmp_path):
    for i, pixels in enumerate(PIXELS):
        place = tmp_path / "photos" / "train" / "xyz"[i % 3]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{i}.png").write_bytes(png(pixels))
    loaded = load_pictures(tmp_path / "photos")
    assert loaded.features["label"].names == ["x", "y", "z"]
    images, labels = to_tensors(loaded)
    assert images.shape == (9, 3, 6, 6)
    assert sorted(labels.tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_columns_by_other_names_and_plain_labels(tmp_path):
    columns = {"photo": pictures(), "kind": [0, 5, 1] * 3}
    features = Features({"photo": Image(), "kind": Value("int32")})
    path = save(tmp_path, columns, features)
    with pytest.raises(ValueError, match=r"no column 'image' or 'img', only 'photo'"):
        load_pictures(path)
    with pytest.raises(ValueError, match=r"no column 'label'.*label=…"):
        load_pictures(path, image="photo")
    with pytest.raises(ValueError, match=r"no column 'pic', only"):
        load_pictures(path, image="pic")
    loaded = load_pictures(path, image="photo", label="kind", classes=6)
    assert to_tensors(loaded)[1].tolist() == [0, 5, 1] * 3
    with pytest.raises(ValueError, match=r"row 1 of column 'kind' is 5.*from 0 to 4"):
        load_pictures(path, image="photo", label="kind", classes=5)


@pytest.mark.parametrize(
    ("changes", "features", "message"),
    [
        ({"img": None}, {"label": Value("int64")}, "no column 'image' or 'img'"),
        ({"label": None}, {"img": Image()}, "no column 'label' or 'labels'"),
        (
            {"label": [0, 1, -1] * 3},
            {"img": Image(), "label": Value("int64")},
            "label in row 2 of column 'label' is -1; labels must be 0 or more",
        ),
        (
            {"label": ["cat", "dog", "owl"] * 3},
            {"img": Image(), "label": Value("string")},
            "holds string, only columns of numbers",
        ),
        (
            {"label": [0.5] * 9},
            {"img": Image(), "label": Value("float32")},
            "labels must be single whole numbers",
        ),
        (
            {"img": ["a.png"] * 9},
            {"img": Value("string"), "label": Value("int64")},
            "column 'img' holds Value.*pictures must be stored as the Hub does",
        ),
        (
            {"img": [{"bytes": b"no picture", "path": None}] * 9},
            FEATURES,
            "the picture in row 0 cannot be read: cannot identify image file",
        ),
        ({"img": [None] * 9}, FEATURES, "picture in row 0 cannot be read: the row is"),
        ({"img": [], "label": []}, FEATURES, "split='train' has no rows"),
    ],
)
def test_one_clear_sentence_for_each_fault(tmp_path, changes, features, message):
    path = save(tmp_path, table(**changes), Features(features))
    with pytest.raises(ValueError, match=message) as caught:
        load_pictures(path)
    assert f"data={str(path)!r}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_labels_beyond_the_declared_classes(tmp_path):
    plain = Features({"img": Image(), "label": Value("int64")})
    data = Dataset.from_dict(table(label=[0, 1, 7] * 3), plain)
    with pytest.raises(ValueError, match=r"row 2 of column 'label' is 7; .* 0 to 2"):
        load_pictures(_declared(data, tmp_path))


def _declared(data, tmp_path):
    """Declare three classes on labels up to 7, which `datasets` does not check."""
    path, schema = tmp_path / "train.parquet", FEATURES.arrow_schema
    rows = data.with_format("arrow")[:].cast(schema)
    parquet.write_table(rows.replace_schema_metadata(schema.metadata), path)
    return path


def test_an_unreadable_picture_further_down_is_named(tmp_path):
    broken = pictures()
    broken[4] = {"bytes": broken[4]["bytes"][:40], "path": None}
    loaded = load_pictures(save(tmp_path, table(img=broken), FEATURES))
    with pytest.raises(ValueError, match="the picture in row 4 cannot be read"):
        to_tensors(loaded)


def test_paths_and_arguments_that_are_none(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "train.parquet").write_text("not parquet")
    for data, message in {
        tmp_path / "nowhere": "is no folder and no .parquet file on this machine",
        tmp_path / "notes.txt": "is no folder and no .parquet file on this machine",
        tmp_path / "x.parquet": "there is no such file",
        tmp_path / "empty": "cannot be loaded: The directory at .* doesn't contain",
        tmp_path / "torn": "cannot be loaded: Parquet magic bytes not found",
        "world": "data='world' names no pictures",
    }.items():
        with pytest.raises(ValueError, match=message):
            load_pictures(data)
    with pytest.raises(ValueError, match=r"split='dev' cannot be loaded: Unknown spl"):
        load_pictures(folder, "dev")
    with pytest.raises(ValueError, match="limit=0 must be 1 or more"):
        load_pictures(folder, limit=0)
    with pytest.raises(ValueError, match="streaming=True needs limit"):
        load_pictures(folder, streaming=True)


OFFLINE = r"data='owner/name': the Hub cannot be reached.*DATA = \"world\", or"


def test_no_network_is_said_at_once(monkeypatch):
    def unreachable(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", unreachable)
    start = time.perf_counter()
    with pytest.raises(ConnectionError, match=OFFLINE):
        load_pictures("owner/name")
    assert time.perf_counter() - start < 5
    assert not huggingface_hub.constants.HF_HUB_OFFLINE or os.environ.get(
        "HF_HUB_OFFLINE"
    )


def test_the_offline_switch_in_a_process_of_its_own(tmp_path):
    code = "from lib.data import load_pictures; load_pictures('owner/name')"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("ConnectionError: data='owner/name': the Hub cannot be")
    assert 'set DATA = "world"' in last


def test_a_name_that_the_hub_does_not_have(monkeypatch):
    def refuses(*_, **__):
        raise huggingface_hub.errors.HFValidationError("Repo id is wrong. Really.")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", refuses)
    with pytest.raises(ValueError, match=r"Hub does not give it: Repo id is wrong$"):
        load_pictures("owner/name")


def test_from_the_hub_or_from_its_earlier_copy(monkeypatch, folder):
    """Whether the Hub answers or not, `load_dataset` is asked with the same words."""
    calls = []

    def answer(name, config, **options):
        calls.append((name, config, options, datasets.config.HF_HUB_OFFLINE))
        return Dataset.from_dict(table(), FEATURES)

    monkeypatch.setattr(datasets, "load_dataset", answer)
    for answers in (True, False):
        monkeypatch.setattr("lib.data.real._hub_answers", lambda _, a=answers: a)
        assert len(load_pictures("owner/name", "test", config="plain_text")) == 9
    before = datasets.config.HF_HUB_OFFLINE
    options = {"split": "test", "streaming": False}
    assert calls == [
        ("owner/name", "plain_text", options, before),
        ("owner/name", "plain_text", options, True),
    ]


def test_quiet_leaves_no_bars(folder, monkeypatch, capsys):
    monkeypatch.setenv("PAPERS_BUILT_QUIET", "1")
    datasets.enable_progress_bars()
    load_pictures(folder)
    assert not datasets.are_progress_bars_disabled()
    assert "Generating" not in "".join(capsys.readouterr())
