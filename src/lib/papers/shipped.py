"""Weights that the book ships: `NAME.safetensors` and, beside it, a log `NAME.json`."""

import argparse
import hashlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from lib.assets import paper_path
from lib.training import load_checkpoint, save_checkpoint, write_atomically

Net = TypeVar("Net", bound=nn.Module)


def versions() -> dict[str, str]:
    """Return what a log says of the software used."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def extend_log(path: Path, entries: dict[str, Any]) -> None:
    """Write entries into a log, one a line; those of other names stay."""
    log = json.loads(path.read_text()) if path.is_file() else {}
    lines = [f" {json.dumps(k)}: {json.dumps(v)}" for k, v in (log | entries).items()]
    write_atomically(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def save_weights(
    folder: str | Path, name: str, net: nn.Module, log: dict[str, Any]
) -> None:
    """Write weights and log, each whole or not at all; a missing folder is made.

    The size and the hash of the weights' file are added to `log`.
    """
    path = Path(folder) / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, model=net)
    data = path.read_bytes()
    log |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    extend_log(path.with_suffix(".json"), log)


def load_weights(net: Net, slug: str, name: str, path: str | Path | None = None) -> Net:
    """Give a network the weights that come with the book, and put it into eval mode.

    Args:
        net: as it was built for the training.
        slug: of the paper.
        name: of the file, without its ending.
        path: of another file, which is read instead.

    Raises:
        ValueError: if the file is missing or no checkpoint.
    """
    if path is None:
        path = paper_path(slug, "weights", f"{name}.safetensors")
    load_checkpoint(path, model=net)
    return net.eval()


def run_command(
    slug: str,
    description: str,
    commands: Mapping[str, Callable[[Path], Any]],
    arguments: Sequence[str] | None = None,
) -> None:
    """Run the command line of a paper's `weights` and print what was reached.

    Args:
        slug: of the paper.
        description: what the command is for.
        commands: by name, each given the folder to write to.
        arguments: by default those of the process.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m lib.papers.{slug}.weights", description=description
    )
    parser.add_argument("name", choices=commands)
    folder = paper_path(slug, "weights")
    parser.add_argument("--folder", type=Path, default=folder, help="where to write")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)  # the same numbers on every machine of one kind
    chosen.folder.mkdir(parents=True, exist_ok=True)
    print(json.dumps(commands[chosen.name](chosen.folder), indent=1))
