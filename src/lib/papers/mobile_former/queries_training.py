"""How the query detector that the book ships was trained, on cue scenes with boxes."""

import json
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lib.assets import paper_path
from lib.data import column
from lib.data.worlds import cue_scenes
from lib.layers.detection import Detections, batched_nms, box_iou
from lib.metrics.detection import average_precision
from lib.papers.mobile_former.queries import (
    QUERY_NANO,
    QueryDetector,
    detect,
    detection_loss,
    unit_boxes,
)
from lib.training import (
    batches,
    load_checkpoint,
    progress,
    save_checkpoint,
    seed_everything,
    warmup_cosine,
    write_atomically,
)

SCENES: dict[str, Any] = dict(size=64, grid=4, objects=4, scales=(1, 2), jitter=True)
"""Four digits and a cue a scene, of two sizes, anywhere in their cells."""

CLASSES = 11
"""The ten digits and the cue."""

TRAIN, TEST, FEW = 8000, 500, 60
"""Scenes to learn from, held-out scenes, and how many of these the tests look at."""

COMMAND = "python -m lib.papers.mobile_former.weights queries"

# What is switched off, one at a time, for the numbers in the log.
SWITCHES: dict[str, dict[str, bool]] = {
    "all": {},
    "positions not adapted": dict(adapt_position=False),
    "loss of the last block alone": dict(auxiliary=False),
}


def query_scenes(
    n: int, seed: int, split: str = "train"
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw scenes as tensors.

    Args:
        n: number of scenes.
        seed: of the scenes.
        split: whose digits are used, "train" or "test".

    Returns:
        Pictures uint8 (n, 3, 64, 64), boxes x1 y1 x2 y2 in pixels (n, 5, 4), and
        labels (n, 5).
    """
    data = cue_scenes(n, seed, split=split, **SCENES)
    images = torch.from_numpy(column(data, "image")).permute(0, 3, 1, 2).contiguous()
    labels = column(data, "labels").astype(np.int64)
    return images, torch.from_numpy(column(data, "boxes")), torch.from_numpy(labels)


def find(model: QueryDetector, images: Tensor, **options: float) -> list[Detections]:
    """Run `detect` on many pictures (n, 3, H, W) of bytes, a hundred at a time."""
    model.eval()
    return [
        found
        for part in images.split(100)
        for found in detect(model, part / 255, **options)
    ]


def judge(
    model: QueryDetector, images: Tensor, boxes: Tensor, labels: Tensor
) -> dict[str, Any]:
    """Measure a detector on scenes, and whether its queries share objects.

    Args:
        model: the detector; it is put into eval mode.
        images: bytes (n, 3, H, W).
        boxes: x1 y1 x2 y2 in pixels, (n, K, 4).
        labels: classes (n, K).

    Returns:
        `AP`, `AP50` and `AP75`; `AP50_nms`, the same after suppression within each
        class, which has little to do if every object has one query; and of the
        detections with a probability of 1/2 or more `found` and `double` a picture,
        the latter those that overlap a surer one by more than half.
    """
    truth = [dict(boxes=b, labels=t) for b, t in zip(boxes, labels, strict=True)]
    found = find(model, images, threshold=0.0)
    score = average_precision(found, truth)
    kept = [batched_nms(f.boxes, f.scores, f.labels, 0.5) for f in found]
    single = [
        Detections(*(part[keep] for part in f))
        for f, keep in zip(found, kept, strict=True)
    ]
    result: dict[str, Any] = {k: round(score[k], 4) for k in ("AP", "AP50", "AP75")}
    result["AP50_nms"] = round(average_precision(single, truth)["AP50"], 4)
    sure = [f.boxes[f.scores >= 0.5] for f in found]
    overlap = [box_iou(b, b).triu(1) > 0.5 for b in sure]  # row is surer than column
    result["found"] = round(sum(map(len, sure)) / len(sure), 3)
    result["double"] = round(
        sum(int(pairs.any(dim=0).sum()) for pairs in overlap) / len(sure), 3
    )
    return result


def fit(
    model: QueryDetector,
    scenes: tuple[Tensor, Tensor, Tensor],
    generator: torch.Generator,
    *,
    steps: int,
    batch: int,
    rate: float,
    auxiliary: bool = True,
) -> list[float]:
    """Train a detector in place by AdamW, with warm-up and a cosine.

    Args:
        model: the detector.
        scenes: pictures, boxes in pixels and labels, as `query_scenes` gives them.
        generator: of the order of the scenes.
        steps: number of batches.
        batch: scenes in a batch.
        rate: the highest learning rate.
        auxiliary: whether the blocks before the last have losses of their own.

    Returns:
        The mean loss of every 50 steps.
    """
    images, boxes, labels = scenes
    boxes = unit_boxes(boxes, images.shape[-2:])
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-3)
    schedule = warmup_cosine(optimiser, steps, warmup=steps // 20)
    losses = []
    model.train()
    loader = batches(
        images, boxes, labels, batch_size=batch, generator=generator, steps=steps
    )
    for x, near, classes in progress(loader, "queries", total=steps):
        loss = detection_loss(model(x / 255), near, classes, auxiliary=auxiliary)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return [
        round(float(np.mean(losses[i : i + 50])), 4) for i in range(0, len(losses), 50)
    ]


def train_queries(
    seed: int = 0,
    *,
    steps: int = 2000,
    batch: int = 32,
    rate: float = 1e-3,
    scenes: int = TRAIN,
    held_out: int = TEST,
    folder: str | Path | None = None,
    adapt_position: bool = True,
    auxiliary: bool = True,
) -> tuple[QueryDetector, dict[str, Any]]:
    """Train the query detector of the book and measure it on held-out scenes.

    Args:
        seed: of weights, scenes and their order.
        steps: number of batches.
        batch: scenes in a batch.
        rate: the highest learning rate.
        scenes: number of scenes to learn from.
        held_out: number of scenes to be measured on, with digits never seen.
        folder: where `queries.safetensors` and `queries.json` are written, whole or
            not at all; by default nowhere.
        adapt_position: whether the queries' positions are adapted after every block.
        auxiliary: whether the blocks before the last have losses of their own.

    Returns:
        The detector in eval mode, and the log of the run.
    """
    start = time.process_time()
    generator = seed_everything(seed)
    model = QueryDetector(CLASSES, adapt_position=adapt_position, **QUERY_NANO)
    losses = fit(
        model,
        query_scenes(scenes, seed),
        generator,
        steps=steps,
        batch=batch,
        rate=rate,
        auxiliary=auxiliary,
    )
    seconds = time.process_time() - start
    test = query_scenes(held_out, 0, "test")
    few = min(FEW, held_out)
    log = {
        "command": COMMAND,
        "seed": seed,
        "steps": steps,
        "batch": batch,
        "rate": rate,
        "scenes": scenes,
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(seconds),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "held_out": {"scenes": held_out} | judge(model, *test),
        "few": {"scenes": few} | judge(model, *(part[:few] for part in test)),
        "loss": losses,
    }
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        save_checkpoint(Path(folder) / "queries.safetensors", model=model)
        _write(Path(folder) / "queries.json", log)
    return model, log


def measure_switches(
    seeds: tuple[int, ...] = (0,), *, steps: int = 800, **options: Any
) -> dict[str, Any]:
    """Train with one idea switched off at a time, each as long as the whole.

    Args:
        seeds: one training each, the same for all.
        steps: number of batches, fewer than for the weights.
        options: of `train_queries`.

    Returns:
        For each of `SWITCHES` the AP and AP50 on held-out scenes, one a seed.
    """
    result: dict[str, Any] = {"seeds": list(seeds), "steps": steps}
    for name, switch in SWITCHES.items():
        logs = [
            train_queries(s, steps=steps, **(switch | options))[1]["held_out"]
            for s in seeds
        ]
        result[name] = {key: [log[key] for log in logs] for key in ("AP", "AP50")}
    return result


def load_queries(path: str | Path | None = None) -> QueryDetector:
    """Build the query detector and give it trained weights.

    Args:
        path: of the weights; by default those that the book ships.

    Returns:
        The detector in eval mode.

    Raises:
        ValueError: if the file is missing or no checkpoint.
    """
    if path is None:
        path = paper_path("mobile_former", "weights", "queries.safetensors")
    model = QueryDetector(CLASSES, **QUERY_NANO)
    load_checkpoint(path, model=model)
    return model.eval()


def _write(path: Path, log: Mapping[str, Any]) -> None:
    """Write a log as JSON, with short lists on one line."""
    text = json.dumps(log, indent=1)
    write_atomically(path, (text + "\n").encode())
