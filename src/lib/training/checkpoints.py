"""Checkpoints as safetensors: written whole or not at all, and nothing is unpickled."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

_FORMAT = "papers-built-1"


def save_checkpoint(path: str | Path, **parts: Any) -> None:
    """Write the state of a run to one file, atomically.

    Example: `save_checkpoint("run.safetensors", model=model, optimizer=optimizer,
    scheduler=scheduler, generator=generator, dropout=torch.default_generator,
    step=step)`.

    Args:
        path: of the file; an earlier one is replaced only by a whole new one.
        **parts: anything with a `state_dict()` (models, optimizers, schedulers,
            `EMA`), a `torch.Generator`, or plain values: tensors, numbers, strings,
            booleans, None, and lists, tuples and dictionaries of these.

    Raises:
        ValueError: a part holds something else; it is named.
        OSError: the file cannot be written (the disk is full, say). A file that was
            there before is left as it was.
    """
    tensors: dict[str, torch.Tensor] = {}
    tree = {name: _pack(_state(part), name, tensors) for name, part in parts.items()}
    about = {"format": _FORMAT, "tree": json.dumps(tree)}
    write_atomically(path, save(tensors, metadata=about))


def load_checkpoint(path: str | Path, **parts: Any) -> dict[str, Any]:
    """Read a checkpoint and set the given parts back to it.

    Args:
        path: of a file that `save_checkpoint` wrote.
        **parts: by the names under which they were saved: objects with a
            `load_state_dict()` and generators are set in place.

    Returns:
        Every saved part by name as plain values and tensors on the CPU: of those
        given above their state, of the others (a step count, say) the value.

    Raises:
        ValueError: no such file, no checkpoint of this kind, or it lacks a part.
    """
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise ValueError(f"path={str(path)!r}: there is no such checkpoint") from error
    except (SafetensorError, OSError) as error:
        raise ValueError(f"path={str(path)!r} is no checkpoint: {error}") from error
    if about.get("format") != _FORMAT:
        raise ValueError(
            f"path={str(path)!r} holds weights alone, not a run written by "
            "save_checkpoint; read it with safetensors.torch.load_file"
        )
    saved = {n: _unpack(t, tensors) for n, t in json.loads(about["tree"]).items()}
    for name, part in parts.items():
        if name not in saved:
            raise ValueError(
                f"path={str(path)!r} has no part {name!r}, only "
                f"{', '.join(map(repr, saved))}"
            )
        if isinstance(part, torch.Generator):
            part.set_state(saved[name])
        elif hasattr(part, "load_state_dict"):
            part.load_state_dict(saved[name])
        else:
            raise ValueError(
                f"{name}={part!r} can take up no state; leave it out and read it from "
                "what load_checkpoint returns"
            )
    return saved


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write a file so that its name never stands for half of it.

    The bytes go to a temporary file in the same folder, onto the disk, and only then
    under the name. A process that is killed meanwhile leaves that file behind, whose
    name begins with a dot and ends in `.tmp`.

    Raises:
        OSError: they cannot be written. The temporary file is gone, and a file that
            had the name before is left as it was.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if not isinstance(error, OSError):
            raise
        left = "the earlier file is unchanged" if path.exists() else "nothing was left"
        raise OSError(
            error.errno, f"cannot write {path}: {error.strerror}; {left}"
        ) from error


def _state(part: Any) -> Any:
    if isinstance(part, torch.Generator):
        return part.get_state()
    return part.state_dict() if hasattr(part, "state_dict") else part


def _pack(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Turn a nested state into JSON, with its tensors set aside by name.

    Tensors, tuples and dictionaries become `{"kind": ..., "value": ...}`; numbers
    come back from JSON bit by bit the same.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, torch.Tensor):
        while name in tensors:  # keys 1 and "1" would share a name
            name += "_"
        # A copy, because safetensors refuses two names for one memory (tied weights).
        value = value.detach().cpu()
        tensors[name] = value.clone(memory_format=torch.contiguous_format)
        return {"kind": "tensor", "value": name}
    if isinstance(value, dict):
        items = [
            [_pack(key, f"{name}.{key}", {}), _pack(item, f"{name}.{key}", tensors)]
            for key, item in value.items()
        ]
        return {"kind": "dict", "value": items}
    if isinstance(value, (list, tuple)):
        packed = [_pack(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]
        return packed if isinstance(value, list) else {"kind": "tuple", "value": packed}
    raise ValueError(
        f"{name} is a {type(value).__name__}; a checkpoint holds tensors, numbers, "
        "strings, booleans, None, and lists, tuples and dictionaries of these"
    )


def _unpack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Undo `_pack`."""
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    inner = value["value"]
    if value["kind"] == "tensor":
        return tensors[inner]
    if value["kind"] == "tuple":
        return tuple(_unpack(item, tensors) for item in inner)
    return {_unpack(key, tensors): _unpack(item, tensors) for key, item in inner}
