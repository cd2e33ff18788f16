"""Data sets from NumPy arrays, their columns as arrays again, and their hash."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from datasets import Dataset, Features

_ROWS = 1024  # rows hashed at a time: bounds the memory, fixed for good


def from_arrays(columns: dict[str, np.ndarray], features: Features) -> Dataset:
    """Make a data set of arrays without going through Python objects.

    `Dataset.from_dict` does the same for any input, at several times the time and
    twenty times the memory of the pictures.

    Args:
        columns: name -> array `(rows, ...)`; all with the same number of rows.
        features: name -> type; fixed-size lists, arrays, classes and plain numbers.

    Raises:
        ValueError: a column is missing, or its shape does not fit its type.
    """
    from datasets import Dataset, DatasetInfo

    if set(columns) != set(features):
        raise ValueError(
            f"columns={sorted(columns)} must be the names in features, "
            f"{sorted(features)}"
        )
    schema = features.arrow_schema
    arrays = []
    # Without this `datasets` pickles the whole table to name its caches.
    fingerprint = hashlib.sha256(str(schema).encode())
    for field in schema:
        fingerprint.update(np.ascontiguousarray(columns[field.name]).data)
        try:
            arrays.append(_to_arrow(columns[field.name], field.type))
        except pa.ArrowInvalid as error:
            raise ValueError(
                f"columns[{field.name!r}] of shape {columns[field.name].shape} does "
                f"not fit its type {field.type}: {error}"
            ) from error
    return Dataset(
        pa.Table.from_arrays(arrays, schema=schema),
        info=DatasetInfo(features=features),
        fingerprint=fingerprint.hexdigest()[:16],
    )


def column(dataset: Dataset, name: str) -> np.ndarray:
    """Give one column of fixed-size numbers as an array, in its stored type.

    `dataset.with_format("numpy")` widens every integer to 64 bits, eight times the
    memory of a picture; this reads the stored bytes.

    Args:
        dataset: any data set; a selection or shuffle is followed.
        name: a column of numbers or of nested lists that all have the same size.

    Returns:
        Array of shape `(rows, ...)`.

    Raises:
        ValueError: no such column, or its rows differ in size or are no numbers.
    """
    if name not in dataset.column_names:
        raise ValueError(
            f"name={name!r} is no column of this data set; it has "
            f"{', '.join(dataset.column_names)}"
        )
    table = dataset.select_columns([name]).with_format("arrow")[:]
    pieces = [_storage(chunk) for chunk in table.column(name).chunks]
    if not pieces:
        return np.empty(0)
    return np.concatenate([_to_numpy(piece, name) for piece in pieces])


def column_hash(dataset: Dataset) -> str:
    """Hash the contents of all columns, whatever file or cache they came from.

    The hash covers column names, types, lengths of lists and the bytes of the values,
    row order included. It does not depend on how the rows are split into Arrow
    chunks, nor on the paths of picture files. Encoded pictures (a `datasets.Image`
    column) are hashed as their encoded bytes.

    Returns:
        64 hexadecimal digits (SHA-256).
    """
    total = hashlib.sha256(f"rows {len(dataset)}".encode())
    for name in sorted(dataset.column_names):
        digest = hashlib.sha256()
        rows = dataset.select_columns([name]).with_format("arrow")
        for table in rows.iter(_ROWS):
            values = pa.concat_arrays(table.column(name).chunks)
            _feed(digest, values)
        total.update(f"\n{name} {digest.hexdigest()}".encode())
    return total.hexdigest()


def _to_arrow(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Wrap an array as nested Arrow lists of the wanted type, sharing its memory."""
    if isinstance(kind, pa.ExtensionType):
        if values.shape[1:] != tuple(kind.shape):
            raise pa.ArrowInvalid(f"rows must have the shape {tuple(kind.shape)}")
        return pa.ExtensionArray.from_storage(
            kind, _to_arrow(values, kind.storage_type)
        )
    if pa.types.is_fixed_size_list(kind):
        if values.shape[1:2] != (kind.list_size,):
            raise pa.ArrowInvalid(f"rows must have {kind.list_size} entries")
        inner = _to_arrow(values.reshape(-1, *values.shape[2:]), kind.value_type)
        return pa.FixedSizeListArray.from_arrays(inner, type=kind)
    if pa.types.is_list(kind):
        inner = _to_arrow(values.reshape(-1, *values.shape[2:]), kind.value_type)
        offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
        return pa.ListArray.from_arrays(pa.array(offsets), inner, type=kind)
    if values.ndim != 1:
        raise pa.ArrowInvalid(f"rows must be single numbers of type {kind}")
    return pa.array(np.ascontiguousarray(values)).cast(kind)


def _storage(values: pa.Array) -> pa.Array:
    """Strip the extension type that `datasets` puts around pictures and arrays."""
    return values.storage if isinstance(values, pa.ExtensionArray) else values


def _to_numpy(values: pa.Array, name: str) -> np.ndarray:
    """Turn nested lists of equal lengths into one array without touching rows."""
    shape = [len(values)]
    while _is_list(values.type):
        inner = values.flatten()  # unlike .values it respects a slice's offset
        length, rest = divmod(len(inner), len(values)) if len(values) else (0, 0)
        even = pa.types.is_fixed_size_list(values.type) or bool(
            (np.diff(values.offsets.to_numpy()) == length).all()
        )
        if rest or not even:
            raise ValueError(f"name={name!r}: the rows of this column differ in size")
        shape.append(length)
        values = inner
    if not _is_number(values.type):
        raise ValueError(
            f"name={name!r} holds {values.type}, only columns of numbers are allowed"
        )
    return values.to_numpy(zero_copy_only=False).reshape(shape)


def _feed(digest: Any, values: pa.Array) -> None:
    """Add one Arrow array to a running hash, level by level."""
    values = _storage(values)
    kind = values.type
    digest.update(f"{_plain(kind)} {len(values)};".encode())
    if values.null_count:
        digest.update(
            np.packbits(values.is_null().to_numpy(zero_copy_only=False)).tobytes()
        )
    if pa.types.is_struct(kind) and {f.name for f in kind} == {"bytes", "path"}:
        for row in values.to_pylist():  # a picture: where it lay says nothing of it
            data = row["bytes"] if row else b""
            if data is None:
                data = Path(row["path"]).read_bytes()
            _feed_bytes(digest, data)
    elif pa.types.is_struct(kind):
        for field in kind:
            digest.update(f"{field.name}:".encode())
            _feed(digest, values.field(field.name))
    elif _is_list(kind):
        lengths = pc.list_value_length(values).fill_null(0)
        digest.update(lengths.to_numpy(zero_copy_only=False).astype("<i8").tobytes())
        _feed(digest, values.flatten())
    elif _is_number(kind):
        numbers = values.fill_null(0).to_numpy(zero_copy_only=False)
        digest.update(numbers.astype(numbers.dtype.newbyteorder("<")).tobytes())
    else:
        for value in values.to_pylist():
            _feed_bytes(
                digest, value if isinstance(value, bytes) else str(value).encode()
            )


def _feed_bytes(digest: Any, data: bytes) -> None:
    digest.update(f"{len(data)}:".encode())
    digest.update(data)


def _plain(kind: pa.DataType) -> str:
    """Name a type so that 32- and 64-bit offsets give the same hash."""
    if _is_list(kind):
        return "list"
    return "struct" if pa.types.is_struct(kind) else str(kind).removeprefix("large_")


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
    )


def _is_number(kind: pa.DataType) -> bool:
    return (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
    )
