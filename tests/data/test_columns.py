import hashlib
import io

import numpy as np
import pyarrow as pa
import pytest
from datasets import (
    Array2D,
    Array3D,
    ClassLabel,
    Dataset,
    Features,
    Image,
    Sequence,
    Value,
    concatenate_datasets,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from lib.data.columns import column, column_hash, from_arrays

FEATURES = Features(
    {
        "picture": Array3D((2, 3, 3), "uint8"),
        "plane": Array2D((4, 2), "float32"),
        "kinds": Sequence(ClassLabel(names=["a", "b"]), length=3),
        "number": Value("int64"),
    }
)


def arrays(n, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "picture": rng.integers(0, 256, (n, 2, 3, 3), dtype=np.uint8),
        "plane": rng.standard_normal((n, 4, 2)).astype(np.float32),
        "kinds": rng.integers(0, 2, (n, 3)),
        "number": rng.integers(0, 9, n),
    }


@pytest.mark.parametrize("n", [1, 5, 1500])
def test_from_arrays_equals_from_dict(n):
    values = arrays(n)
    ours, theirs = from_arrays(values, FEATURES), Dataset.from_dict(values, FEATURES)
    assert ours.features == theirs.features
    assert ours[:3] == theirs[:3]
    assert column_hash(ours) == column_hash(theirs)
    for name, value in values.items():
        read = column(ours, name)
        assert read.dtype == value.dtype
        np.testing.assert_array_equal(read, value)


def test_from_arrays_names_what_does_not_fit():
    values = arrays(4)
    with pytest.raises(ValueError, match=r"'number'.*must be the names in features"):
        from_arrays(values, Features({"number": Value("int64")}))
    for name, wrong in {
        "picture": np.zeros((4, 3, 2, 3), np.uint8),
        "kinds": np.zeros((4, 2), int),
        "number": np.zeros((4, 1), int),
    }.items():
        with pytest.raises(ValueError, match=f"columns\\['{name}'\\]"):
            from_arrays({**values, name: wrong}, FEATURES)


@given(rows=st.lists(st.integers(0, 8), min_size=1, max_size=20))
@settings(deadline=None, max_examples=20)
def test_column_follows_selections(rows):
    values = arrays(9)
    picked = from_arrays(values, FEATURES).select(rows)
    np.testing.assert_array_equal(column(picked, "picture"), values["picture"][rows])


def test_column_refuses_what_is_no_array():
    data = Dataset.from_dict({"word": ["a", "b"], "ragged": [[1], [1, 2]]})
    with pytest.raises(ValueError, match="name='colour' is no column"):
        column(data, "colour")
    with pytest.raises(ValueError, match="only columns of numbers"):
        column(data, "word")
    with pytest.raises(ValueError, match=r"'ragged'.*differ in size"):
        column(data, "ragged")


def test_hash_of_one_column_by_hand():
    data = Dataset.from_dict({"number": [3, 5]})
    inner = hashlib.sha256(b"int64 2;" + np.array([3, 5], "<i8").tobytes())
    whole = hashlib.sha256(b"rows 2" + f"\nnumber {inner.hexdigest()}".encode())
    assert column_hash(data) == whole.hexdigest()


def test_hash_sees_contents_not_storage():
    values = arrays(2500)
    data = from_arrays(values, FEATURES)
    halves = [data.select(range(0, 700)), data.select(range(700, 2500))]
    assert column_hash(concatenate_datasets(halves)) == column_hash(data)
    assert column_hash(data.select(range(2500))) == column_hash(data)
    for name, value in values.items():
        changed = value.copy()
        changed[2400] += 1 if name != "kinds" else 1 - 2 * changed[2400]
        other = from_arrays({**values, name: changed}, FEATURES)
        assert column_hash(other) != column_hash(data), name
    assert column_hash(data.select(range(2499, -1, -1))) != column_hash(data)
    assert column_hash(data.rename_column("number", "n")) != column_hash(data)


def test_hash_keeps_neighbours_apart():
    def of(rows):
        return column_hash(Dataset.from_dict({"x": rows}))

    assert of(["ab", "c"]) != of(["a", "bc"])
    assert of([[1, 2], [3]]) != of([[1], [2, 3]])
    assert of([1, None]) != of([1, 0])
    assert of([{"a": 1, "b": 2}]) != of([{"a": 2, "b": 1}])


def test_hash_of_pictures_is_that_of_their_bytes(tmp_path):
    files = []
    for shade in (0, 200):
        buffer = io.BytesIO()
        Pillow.new("RGB", (4, 4), (shade, 0, 0)).save(buffer, "PNG")
        (tmp_path / f"{shade}.png").write_bytes(buffer.getvalue())
        files.append(buffer.getvalue())
    features = Features({"image": Image()})
    inside = Dataset.from_dict(
        {"image": [{"bytes": f, "path": "elsewhere.png"} for f in files]}, features
    )
    outside = Dataset.from_dict(
        {"image": [str(tmp_path / "0.png"), str(tmp_path / "200.png")]}, features
    )
    assert column_hash(inside) == column_hash(outside)
    assert column_hash(inside.select([1, 0])) != column_hash(inside)
    missing = Dataset.from_dict({"image": [{"bytes": files[0], "path": None}, None]})
    assert column_hash(missing) != column_hash(inside)


def test_hash_does_not_care_for_the_width_of_offsets():
    small = pa.table({"x": pa.array([["a"], ["b", "c"]], pa.list_(pa.string()))})
    large = pa.table(
        {"x": pa.array([["a"], ["b", "c"]], pa.large_list(pa.large_string()))}
    )
    assert column_hash(Dataset(small)) == column_hash(Dataset(large))
