"""Numbers recorded from the authors' code, and how to compare ours with them.

A recorded file tells what the official network of a paper gave on weights that are
made by a rule from the official names and shapes alone. Our network gets the same
weights through its loader for official checkpoints and must give the same numbers.
`tests/golden/README.md` says more.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

RTOL, ATOL = 1e-4, 1e-5


def read_golden(file: str | Path) -> dict[str, Any]:
    """Read one recorded file."""
    return json.loads(Path(file).read_text(encoding="utf-8"))


def golden_value(key: str, shape: list[int]) -> np.ndarray:
    """Make a tensor from its official key and shape alone; the first case counts."""
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    seed = zlib.crc32(key.encode()) & 0x7FFFFFFF
    r = np.random.RandomState(seed)
    z = np.asarray(r.standard_normal(tuple(shape))).astype(np.float32)
    v: np.ndarray
    if key.endswith("running_var"):
        v = 1 + 0.1 * np.abs(z)
    elif key.endswith("running_mean"):
        v = 0.1 * z
    elif z.ndim == 1 and key.endswith("weight"):
        v = 1 + 0.1 * z
    elif key.endswith("bias"):
        v = 0.1 * z
    elif z.ndim >= 2:
        v = z / np.sqrt(z.size / shape[0])
    else:
        v = 0.1 * z
    return v.astype(np.float32)


def golden_weights(golden: Mapping[str, Any]) -> dict[str, Tensor]:
    """Make the official state dict of a recorded file."""
    skip = set(golden.get("left_as_constructed", ()))
    return {
        key: torch.from_numpy(golden_value(key, shape))
        for key, shape in golden["state"]
        if key not in skip
    }


def golden_input(golden: Mapping[str, Any]) -> Tensor:
    """Make the input of a recorded file."""
    shape = golden["input"]["shape"]
    r = np.random.RandomState(0)
    if ".rand(" in golden["input"]["rule"]:
        return torch.from_numpy(r.rand(*shape).astype(np.float32))
    return torch.from_numpy(r.standard_normal(shape).astype(np.float32))


def _pairs(summary: Mapping[str, Any], tensor: Tensor) -> Iterator[tuple[Any, Any]]:
    """Yield computed and recorded numbers of one summary, side by side."""
    a = tensor.detach().double().contiguous().numpy()
    if list(a.shape) != summary["shape"]:
        raise ValueError(f"tensor: shape {list(a.shape)}, not {summary['shape']}")
    f = a.reshape(-1)
    yield f.mean(), summary["mean"]
    yield f.std(), summary["std"]
    yield f.min(), summary["min"]
    yield f.max(), summary["max"]
    yield f[:32], summary["first"]
    yield f[summary["probe"]["index"]], summary["probe"]["value"]


def golden_excess(summary: Mapping[str, Any], tensor: Tensor) -> float:
    """Return the largest deviation in units of the tolerance; up to 1 is equal.

    The tolerance of a number y is 1e-5 + 1e-4 |y|, in float32.

    Args:
        summary: recorded shape, mean, deviation, range, and 64 of the values.
        tensor: what our network gives at the same place.

    Raises:
        ValueError: if the shapes differ.
    """
    worst = 0.0
    for got, want in _pairs(summary, tensor):
        want = np.asarray(want)
        ratio = np.abs(got - want) / (ATOL + RTOL * np.abs(want))
        worst = max(worst, float(np.max(ratio)))
    return worst
