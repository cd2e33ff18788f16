"""The detectors that the book ships, and the command that trains them.

    python -m lib.papers.mobile_former.weights retinanet

trains RetinaNet on Mobile-Former features on cue scenes with boxes and writes
`retinanet.safetensors` and, beside it, the log `retinanet.json`. `queries` does the
same for the query detector of `queries_training.py`. `baseline` adds to the first log
what Mobile alone reaches, widened to at least the multiply-adds of Mobile-Former, and
`sweep` the rates that were tried for both.
"""

import importlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lib.layers.detection import Detections, RetinaNet, anchor_shapes, retinanet_loss
from lib.metrics import average_precision, count_macs
from lib.papers.mobile_former.model import MobileFormer, widen
from lib.papers.mobile_former.queries_training import CLASSES, query_scenes
from lib.papers.shipped import (
    extend_log,
    load_weights,
    run_command,
    save_weights,
    versions,
)
from lib.training import batches, progress, seed_everything

# A network for 64x64 pictures, one block longer than `NANO`: maps at strides 4, 8, 16.
BACKBONE: dict[str, Any] = {
    "blocks": [
        ("lite", 16, 8),
        ("MF-down", (32, 48), 16),
        ("MF", 64, 16),
        ("MF-down", (96, 128), 32),
        ("MF", 128, 32),
        ("MF-down", (192, 256), 64),
        ("MF", 256, 64),
    ],
    "stem": 8,
    "tokens": 4,
    "dim": 64,
    "act": "relu6",
}

# Digits measure 8 or 16 pixels and cues 4 or 8. The paper's levels, of strides 8 to
# 128 with anchors from 32 pixels, would look past them: here the strides are 4 to 16,
# and the smallest anchor of a level is as large as its stride, 4 to 25 pixels in all.
PYRAMID: dict[str, Any] = dict(stride=4, extra=0, shapes=anchor_shapes(1.0))

# Narrow and short towers keep the training to minutes. They begin without pretrained
# weights, which their normalisation makes up for.
TOWERS: dict[str, Any] = dict(width=32, depth=2, groups=4)

ARMS: dict[str, dict[str, Any]] = {
    "mobile_former": {},
    "mobile_wide": dict(tokens=0, width=1.15),
}
"""What differs in the backbone; the second has at least the first's multiply-adds."""

RATES: dict[str, float] = {"mobile_former": 8e-3, "mobile_wide": 8e-3}
"""Peak learning rate of each arm.

After 400 steps (the log's "sweep") Mobile-Former is best at 1.6e-2, its rival at 8e-3;
after 2,000 steps Mobile-Former reaches the same at 4e-3 and at 8e-3.
"""

SWEPT = (2e-3, 4e-3, 8e-3, 1.6e-2)
"""Peak learning rates that are tried."""

TRAIN, TEST, FEW = 8000, 500, 60
"""Scenes to learn from, held-out scenes, and how many of these the tests look at."""

Scenes = tuple[Tensor, Tensor, Tensor]
"""Pictures uint8 (n, 3, 64, 64), boxes (n, 5, 4) in pixels, and labels (n, 5)."""


def build_retinanet(arm: str = "mobile_former") -> RetinaNet:
    """Build the book-scale RetinaNet, with random weights.

    Raises:
        ValueError: if `arm` is none of `ARMS`.
    """
    if arm not in ARMS:
        raise ValueError(f"arm={arm!r}; allowed are {', '.join(ARMS)}")
    options = BACKBONE | ARMS[arm]
    # Every stride ends with one row "MF".
    rows = widen(options["stem"], options["blocks"], options.get("width", 1.0))[1]
    channels = [row[-1] for row in rows if row[0] == "MF"]
    backbone = MobileFormer(**options, num_classes=0)
    return RetinaNet(backbone, channels, CLASSES, **PYRAMID, **TOWERS)


def fit(
    net: RetinaNet,
    scenes: Scenes,
    generator: torch.Generator,
    *,
    steps: int,
    batch: int,
    rate: float,
) -> list[list[float]]:
    """Train a detector in place by AdamW with one cycle of the rate.

    Args:
        net: the detector.
        scenes: what to learn from.
        generator: of the order of the scenes.
        steps: number of batches.
        batch: scenes in a batch.
        rate: the highest learning rate.

    Returns:
        The mean losses of every 50 steps, of classes and of boxes.
    """
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    loader = batches(*scenes, batch_size=batch, generator=generator, steps=steps)
    losses = []
    net.train()
    for x, boxes, labels in progress(loader, "retinanet", total=steps):
        class_loss, box_loss = retinanet_loss(net(x / 255), boxes, labels)
        optimiser.zero_grad()
        (class_loss + box_loss).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append((class_loss.item(), box_loss.item()))
    net.eval()
    return [
        np.mean(losses[i : i + 50], axis=0).round(4).tolist()
        for i in range(0, len(losses), 50)
    ]


def find(net: nn.Module, images: Tensor) -> list[Detections]:
    """Detect in many pictures (n, 3, H, W) of bytes, fifty at a time."""
    parts = images.split(50)
    return [f for part in parts for f in net.detect(part / 255)]  # type: ignore[operator]


def judge(net: nn.Module, images: Tensor, boxes: Tensor, labels: Tensor) -> dict:
    """Measure a detector on scenes: `AP`, `AP50`, `AP75` and AP50 of each class."""
    truth = [dict(boxes=b, labels=c) for b, c in zip(boxes, labels, strict=True)]
    score = average_precision(find(net, images), truth)
    result: dict[str, Any] = {k: round(score[k], 4) for k in ("AP", "AP50", "AP75")}
    each = {str(c): round(v["AP50"], 4) for c, v in score["per_class"].items()}
    return result | {"AP50_per_class": each}


def train_detector(
    build: Callable[[], RetinaNet],
    about: dict[str, Any],
    seed: int = 0,
    *,
    rate: float,
    steps: int = 2000,
    batch: int = 16,
    scenes: int = TRAIN,
    held_out: int = TEST,
    split: str = "test",
    folder: str | Path | None = None,
) -> tuple[RetinaNet, dict[str, Any]]:
    """Train a RetinaNet and measure it on held-out scenes.

    Args:
        build: gives the detector with random weights.
        about: how the log begins.
        seed: of weights, scenes and their order.
        rate: the highest learning rate.
        steps: number of batches.
        batch: scenes in a batch.
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
    net = build()
    options = dict(steps=steps, batch=batch, rate=rate)
    losses = fit(net, query_scenes(scenes, seed), generator, **options)  # type: ignore[arg-type]
    seconds = round(time.process_time() - start)
    # Scenes of the training digits are drawn with a seed that trains nothing.
    test = query_scenes(held_out, 0 if split == "test" else 1000, split)
    few = min(FEW, held_out)
    picture = test[0][:1] / 255
    log = about | {
        "seed": seed,
        **options,
        "scenes": scenes,
        "parameters": sum(p.numel() for p in net.parameters()),
        "multiply_adds": count_macs(net, picture),
        "multiply_adds_backbone": count_macs(net.backbone, picture),
        "seconds": seconds,
        "versions": versions(),
        "held_out": {"scenes": held_out, "split": split} | judge(net, *test),
        "few": {"scenes": few} | judge(net, *(part[:few] for part in test)),
        "loss": losses,
    }
    if folder is not None:
        save_weights(folder, "retinanet", net, log)
    return net, log


def train_retinanet(
    seed: int = 0,
    *,
    arm: str = "mobile_former",
    rate: float | None = None,
    **options: Any,
) -> tuple[RetinaNet, dict[str, Any]]:
    """Train the RetinaNet of the book and measure it on held-out scenes.

    Args:
        seed: of weights, scenes and their order.
        arm: the backbone, one of `ARMS`.
        rate: the highest learning rate; by default the arm's of `RATES`.
        options: of `train_detector`.

    Returns:
        The detector in eval mode, and the log of the run.

    Raises:
        ValueError: if `arm` is none of `ARMS`.
    """
    about = {"command": "python -m lib.papers.mobile_former.weights retinanet"}
    if rate is None:
        rate = RATES.get(arm, 0.0)  # other arms are refused when they are built
    build = partial(build_retinanet, arm)
    return train_detector(build, about | {"arm": arm}, seed, rate=rate, **options)


def sweep_rates(
    folder: str | Path,
    rates: Sequence[float] = SWEPT,
    *,
    seed: int = 100,
    steps: int = 400,
    **options: Any,
) -> dict[str, Any]:
    """Try rates for both arms on a tuning seed and scenes of the training digits.

    Args:
        folder: of `retinanet.json`, whose entry "sweep" is written.
        rates: peak learning rates.
        seed: is not used again.
        steps: number of batches, fewer than for the weights.
        options: of `train_retinanet`.

    Returns:
        The entry: seed, steps, and arm -> rate -> AP.
    """
    entry: dict[str, Any] = {"seed": seed, "steps": steps, "AP": {a: {} for a in ARMS}}
    for arm, found in entry["AP"].items():
        for rate in rates:
            log = train_retinanet(
                seed, arm=arm, rate=rate, steps=steps, split="train", **options
            )[1]
            found[f"{rate:g}"] = log["held_out"]["AP"]
    extend_log(Path(folder) / "retinanet.json", {"sweep": entry})
    return entry


def compare_backbones(
    folder: str | Path,
    seeds: Sequence[int] = (1, 2, 3),
    *,
    steps: int = 800,
    **options: Any,
) -> dict[str, Any]:
    """Train both arms equally, seed by seed.

    Args:
        folder: of `retinanet.json`, whose entry "baseline" is written after each seed.
        seeds: one training of each arm a seed.
        steps: number of batches, fewer than for the weights.
        options: of `train_retinanet`.

    Returns:
        The entry: seeds, steps, and for each arm its multiply-adds, its rate, and AP,
        AP50 and AP75, one a seed.
    """
    entry: dict[str, Any] = {"seeds": [], "steps": steps, "arms": {a: {} for a in ARMS}}
    for seed in seeds:
        for arm, found in entry["arms"].items():
            log = train_retinanet(seed, arm=arm, steps=steps, **options)[1]
            for key in ("rate", "multiply_adds", "multiply_adds_backbone"):
                found[key] = log[key]
            for key in ("AP", "AP50", "AP75"):
                found.setdefault(key, []).append(log["held_out"][key])
        entry["seeds"].append(seed)
        extend_log(Path(folder) / "retinanet.json", {"baseline": entry})
    return entry


def load_detector(name: str) -> nn.Module:
    """Build a detector of the book and give it the weights that come with it.

    Args:
        name: "retinanet" or "queries".

    Returns:
        The detector in eval mode.

    Raises:
        ValueError: for another name.
    """
    if name == "retinanet":
        return load_weights(build_retinanet(), "mobile_former", "retinanet")
    if name == "queries":
        return _later("load_queries")()
    raise ValueError(f"name={name!r}; allowed are 'retinanet', 'queries'")


def _later(name: str) -> Callable[..., Any]:
    """Import a function of the query detector when it is needed."""
    module = importlib.import_module("lib.papers.mobile_former.queries_training")
    return getattr(module, name)


COMMANDS: dict[str, Callable[[Path], Any]] = {
    "retinanet": lambda folder: train_retinanet(folder=folder)[1]["held_out"],
    "sweep": sweep_rates,
    "baseline": compare_backbones,
    "queries": lambda folder: _later("train_queries")(folder=folder)[1]["held_out"],
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and print what was reached."""
    description = "Train the detectors that the book ships."
    run_command("mobile_former", description, COMMANDS, arguments)


if __name__ == "__main__":
    main()
