"""How the query detector that the book ships was trained, on cue scenes with boxes.

The paper starts from a backbone trained on ImageNet. Here it learns for a minute from
the same scenes and boxes, to name what each patch of the picture holds; then the head
is put on top and everything is trained by the set loss, the backbone at a tenth of the
rate, as in DETR. In one trial each of 1,600 steps, AP50 was 0.33 when the backbone had
the full rate and 0.70 at a tenth of it.

Such trials were judged on 300 other scenes of the same held-out digits, and rate,
steps and the form of the head were chosen by them. The AP in the log is therefore
somewhat flattering, unlike that of a setting chosen on training digits.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.data import column
from lib.data.worlds import cue_scenes
from lib.layers.detection import Detections, batched_nms, box_iou
from lib.metrics import average_precision, count_macs
from lib.papers.mobile_former.model import Backbone
from lib.papers.mobile_former.queries import (
    QUERY_NANO,
    QueryDetector,
    detect,
    detection_loss,
    unit_boxes,
)
from lib.papers.shipped import extend_log, load_weights, save_weights, versions
from lib.training import batches, progress, seed_everything, warmup_cosine

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
    """Put a detector into eval mode and run it on pictures of bytes (n, 3, H, W)."""
    model.eval()
    return [
        found
        for part in images.split(100)
        for found in detect(model, part / 255, **options)
    ]


@torch.no_grad()
def territories(model: QueryDetector, images: Tensor, *, score: float = 0.5) -> Tensor:
    """Count in which cells of the scenes each query finds its objects.

    With as many queries as cells each may keep to one cell; then nothing has to be
    suppressed because nobody ever meets, not because the queries agree.

    Args:
        model: the detector; it is put into eval mode.
        images: bytes (n, 3, H, W).
        score: least probability of a detection that counts.

    Returns:
        Detections of each query by the cell of their centre, int64 (M, cells).
    """
    model.eval()
    grid, said = SCENES["grid"], [model(part / 255)[-1] for part in images.split(100)]
    places = torch.cat([boxes[..., :2] for _, boxes in said])  # (n, M, 2), x before y
    column_row = (places * grid).long().clamp(max=grid - 1)
    cell = column_row[..., 1] * grid + column_row[..., 0]  # (n, M)
    best = torch.cat([logits.softmax(-1)[..., :-1].amax(-1) for logits, _ in said])
    counted = F.one_hot(cell, grid**2) * (best >= score)[..., None]  # (n, M, cells)
    return counted.sum(dim=0)


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
        class, the same number if no two queries of a class overlap; and of the
        detections with a probability of 1/2 or more `found` and `double` a picture,
        the latter those that overlap a surer one by more than half, and
        `cells_per_query`, in how many cells a query finds something.
    """
    truth = [dict(boxes=b, labels=t) for b, t in zip(boxes, labels, strict=True)]
    found = find(model, images, score=0.0)
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
    cells = (territories(model, images) > 0).sum(dim=1).float()  # (M,)
    result["cells_per_query"] = round(cells.mean().item(), 2)
    return result


def patch_classes(boxes: Tensor, labels: Tensor, size: int, stride: int) -> Tensor:
    """Say what each patch of a picture holds, as far as boxes tell.

    A patch belongs to a box if they share at least a quarter of the smaller of the
    two. Boxes must be so far apart that no patch belongs to two.

    Args:
        boxes: x1 y1 x2 y2 in pixels, (n, K, 4).
        labels: classes (n, K).
        size: side of the picture in pixels.
        stride: side of a patch in pixels; must divide `size`.

    Returns:
        0 for the ground, label + 1 for an object, int64 (n, size / stride, ...).

    Raises:
        ValueError: if the stride does not divide the size.
    """
    if stride < 1 or size % stride:
        raise ValueError(f"stride={stride} must divide size={size}")
    start = torch.arange(0, size, stride)  # (P,)
    low, high = boxes.unsqueeze(2).split(2, dim=-1)  # (n, K, 1, 2)
    sides = (high.minimum(start[:, None] + stride) - low.maximum(start[:, None])).clamp(
        min=0
    )  # what a box shares with each column and each row of patches, (n, K, P, 2)
    shared = sides[..., None, :, 0] * sides[..., 1, None]  # (n, K, P, P), rows first
    area = (high - low).prod(dim=-1).clamp(max=stride**2)[..., None]  # (n, K, 1, 1)
    held = (shared >= area / 4) * (labels + 1)[..., None, None]
    return held.amax(dim=1)  # (n, P, P)


def teach_backbone(
    backbone: Backbone,
    scenes: tuple[Tensor, Tensor, Tensor],
    generator: torch.Generator,
    *,
    steps: int,
    batch: int = 32,
    rate: float = 4e-3,
) -> list[float]:
    """Train a backbone in place to name the patches under its coarsest map.

    The pointwise layer that names them is thrown away afterwards.

    Args:
        backbone: any; its coarsest stride must divide the side of the pictures.
        scenes: square pictures, boxes in pixels and labels, as from `query_scenes`.
        generator: of the order of the scenes.
        steps: number of batches.
        batch: scenes in a batch.
        rate: the highest learning rate.

    Returns:
        The mean loss of every 50 steps.
    """
    images, boxes, labels = scenes
    held = patch_classes(boxes, labels, images.shape[-1], max(backbone.strides))
    name = nn.Conv2d(backbone.channels, CLASSES + 1, 1)
    parts = nn.ModuleList([backbone, name]).train()
    optimiser = torch.optim.AdamW(parts.parameters(), lr=rate, weight_decay=1e-3)
    schedule = warmup_cosine(optimiser, steps, warmup=steps // 20)
    losses = []
    loader = batches(images, held, batch_size=batch, generator=generator, steps=steps)
    for x, patches in progress(loader, "backbone", total=steps):
        loss = F.cross_entropy(name(backbone.features(x / 255)[-1]), patches)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return by_fifties(losses)


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
        model: the detector; its backbone learns at a tenth of the rate.
        scenes: pictures, boxes in pixels and labels, as from `query_scenes`.
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
    groups = [
        {"params": list(model.head.parameters()), "lr": rate},
        {"params": list(model.backbone.parameters()), "lr": rate / 10},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=1e-3)
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
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return by_fifties(losses)


def by_fifties(losses: list[float]) -> list[float]:
    """Average the losses of every 50 steps."""
    return [
        round(float(np.mean(losses[i : i + 50])), 4) for i in range(0, len(losses), 50)
    ]


def train_queries(
    seed: int = 0,
    *,
    steps: int = 2400,
    batch: int = 16,
    rate: float = 3e-3,
    first_steps: int = 500,
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
        first_steps: number of batches, of 32, for the backbone alone.
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
    data = query_scenes(scenes, seed)
    options = dict(steps=steps, batch=batch)
    first = teach_backbone(model.backbone, data, generator, steps=first_steps)
    losses = fit(model, data, generator, rate=rate, auxiliary=auxiliary, **options)
    seconds = time.process_time() - start
    log = {
        "command": COMMAND,
        "seed": seed,
        **options,
        "rate": rate,
        "first_steps": first_steps,
        "scenes": scenes,
        "seconds": round(seconds),
        **describe(model, held_out),
        "first_loss": first,
        "loss": losses,
    }
    if folder is not None:
        save_weights(folder, "queries", model, log)
    return model, log


def describe(model: QueryDetector, held_out: int) -> dict[str, Any]:
    """Put together what a log says of a trained detector and of the versions used.

    Args:
        model: the detector; it is put into eval mode.
        held_out: number of scenes to be measured on, of digits never seen; also the
            first few of them, which the tests look at again.
    """
    test = query_scenes(held_out, 0, "test")
    few = min(FEW, held_out)
    return {
        "held_out": {"scenes": held_out} | judge(model, *test),
        "few": {"scenes": few} | judge(model, *(part[:few] for part in test)),
        "parameters": sum(p.numel() for p in model.parameters()),
        "multiply_adds": count_macs(model, test[0][:1] / 255),
        "versions": versions(),
    }


def measure_switches(
    folder: str | Path, seeds: Sequence[int] = (1,), *, steps: int = 800, **options: Any
) -> dict[str, Any]:
    """Train with one idea switched off at a time, each as long as the whole.

    Args:
        folder: of `queries.json`, whose entry "switches" is written after each seed.
        seeds: one training of each arm a seed.
        steps: number of batches, fewer than for the weights.
        options: of `train_queries`.

    Returns:
        The entry: seeds, steps, and for each of `SWITCHES` AP and AP50 on held-out
        scenes, one a seed.
    """
    entry: dict[str, Any] = {"seeds": [], "steps": steps, "arms": {}}
    for seed in seeds:
        for name, switch in SWITCHES.items():
            log = train_queries(seed, steps=steps, **{**switch, **options})[1]
            found = entry["arms"].setdefault(name, {"AP": [], "AP50": []})
            for key, values in found.items():
                values.append(log["held_out"][key])
        entry["seeds"].append(seed)
        extend_log(Path(folder) / "queries.json", {"switches": entry})
    return entry


def load_queries(path: str | Path | None = None) -> QueryDetector:
    """Build the query detector and give it trained weights.

    Args:
        path: of the weights; by default those that the book ships.

    Returns:
        The detector in eval mode.

    Raises:
        ValueError: if the file is missing or no checkpoint.
    """
    model = QueryDetector(CLASSES, **QUERY_NANO)
    return load_weights(model, "mobile_former", "queries", path)
