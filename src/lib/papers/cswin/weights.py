"""The detector on CSWin features that the book ships, and the command that trains it.

    python -m lib.papers.cswin.weights retinanet

trains the RetinaNet of the chapter on Mobile-Former with a small CSWin as its
backbone and writes `retinanet.safetensors` and, beside it, the log `retinanet.json`.
Scenes, pyramid, towers, steps and batches are that chapter's. `sweep` adds the rates
that were tried.
"""

import argparse
import hashlib
import json
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lib.assets import paper_path
from lib.layers.detection import RetinaNet
from lib.metrics import count_macs
from lib.papers.cswin.model import CSWin
from lib.papers.mobile_former.queries_training import CLASSES, query_scenes
from lib.papers.mobile_former.weights import (
    FEW,
    PYRAMID,
    TEST,
    TOWERS,
    TRAIN,
    extend_log,
    fit,
    judge,
)
from lib.training import load_checkpoint, save_checkpoint, seed_everything

# Three stages for 64x64 pictures: maps at strides 4, 8, 16. Its multiply-adds are near
# those of the Mobile-Former that the first chapter puts into the same detector.
BACKBONE: dict[str, Any] = dict(
    dim=16, depths=(1, 2, 2), stripes=(1, 2, 4), heads=(2, 4, 8)
)

RATE = 8e-3
"""Peak learning rate, the first chapter's too, and the best of those tried (the log's
"sweep")."""

SWEPT = (2e-3, 4e-3, 8e-3)
"""Peak learning rates that are tried."""


def build_retinanet() -> RetinaNet:
    """Build RetinaNet on a small CSWin, with random weights."""
    body = CSWin(**BACKBONE, num_classes=0)
    return RetinaNet(body, body.widths, CLASSES, **PYRAMID, **TOWERS)


def train_retinanet(
    seed: int = 0,
    *,
    steps: int = 2000,
    batch: int = 16,
    rate: float = RATE,
    scenes: int = TRAIN,
    held_out: int = TEST,
    split: str = "test",
    folder: str | Path | None = None,
) -> tuple[RetinaNet, dict[str, Any]]:
    """Train the detector and measure it on held-out scenes.

    Args:
        seed: of weights, scenes and their order.
        steps: number of batches.
        batch: scenes in a batch.
        rate: the highest learning rate.
        scenes: number of scenes to learn from.
        held_out: number of scenes to be measured on.
        split: whose digits these have, "test" or, to choose a rate, "train".
        folder: where `retinanet.safetensors` and `retinanet.json` are written, whole
            or not at all; by default nowhere.

    Returns:
        The detector in eval mode, and the log of the run.
    """
    start = time.process_time()
    generator = seed_everything(seed)
    net = build_retinanet()
    losses = fit(
        net,
        query_scenes(scenes, seed),
        generator,
        steps=steps,
        batch=batch,
        rate=rate,
    )
    seconds = round(time.process_time() - start)
    # Scenes of the training digits are drawn with a seed that trains nothing.
    test = query_scenes(held_out, 0 if split == "test" else 1000, split)
    few = min(FEW, held_out)
    picture = test[0][:1] / 255
    log = {
        "command": "python -m lib.papers.cswin.weights retinanet",
        "seed": seed,
        "steps": steps,
        "batch": batch,
        "rate": rate,
        "scenes": scenes,
        "parameters": sum(p.numel() for p in net.parameters()),
        "multiply_adds": count_macs(net, picture),
        "multiply_adds_backbone": count_macs(net.backbone, picture),
        "seconds": seconds,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "held_out": {"scenes": held_out, "split": split} | judge(net, *test),
        "few": {"scenes": few} | judge(net, *(part[:few] for part in test)),
        "loss": losses,
    }
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        path = Path(folder) / "retinanet.safetensors"
        save_checkpoint(path, model=net)
        data = path.read_bytes()
        log |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        extend_log(path.with_suffix(".json"), log)
    return net, log


def sweep_rates(
    folder: str | Path,
    rates: Sequence[float] = SWEPT,
    *,
    seed: int = 100,
    steps: int = 300,
    **options: Any,
) -> dict[str, Any]:
    """Try rates on a tuning seed and scenes of the training digits.

    Args:
        folder: of `retinanet.json`, whose entry "sweep" is written.
        rates: peak learning rates.
        seed: is not used again.
        steps: number of batches, fewer than for the weights.
        options: of `train_retinanet`.

    Returns:
        The entry: seed, steps, and rate -> AP.
    """
    found = {
        f"{rate:g}": train_retinanet(
            seed, rate=rate, steps=steps, split="train", **options
        )[1]["held_out"]["AP"]
        for rate in rates
    }
    entry = {"seed": seed, "steps": steps, "AP": found}
    extend_log(Path(folder) / "retinanet.json", {"sweep": entry})
    return entry


def load_retinanet() -> RetinaNet:
    """Build the detector and give it the weights that come with the book.

    Returns:
        The detector in eval mode.
    """
    net = build_retinanet()
    load_checkpoint(paper_path("cswin", "weights", "retinanet.safetensors"), model=net)
    return net.eval()


COMMANDS: dict[str, Callable[[Path], Any]] = {
    "retinanet": lambda folder: train_retinanet(folder=folder)[1]["held_out"],
    "sweep": sweep_rates,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and print what was reached."""
    parser = argparse.ArgumentParser(
        prog="python -m lib.papers.cswin.weights",
        description="Train the detector that the book ships.",
    )
    parser.add_argument("name", choices=COMMANDS)
    folder = paper_path("cswin", "weights")
    parser.add_argument("--folder", type=Path, default=folder, help="where to write")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)  # the same numbers on every machine of one kind
    chosen.folder.mkdir(parents=True, exist_ok=True)
    print(json.dumps(COMMANDS[chosen.name](chosen.folder), indent=1))


if __name__ == "__main__":
    main()
