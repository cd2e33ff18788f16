"""A small training that can be killed at any moment and continued.

Usage: killed_run.py CHECKPOINT STEPS. Uses everything a real run has: BatchNorm,
dropout, momentum, a schedule, averaged weights, augmentation, shuffled batches.
"""

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from lib.data import random_crop_flip
from lib.training import (
    EMA,
    batches,
    load_checkpoint,
    save_checkpoint,
    seed_everything,
    warmup_cosine,
)


def main(path: Path, steps: int) -> None:
    torch.set_num_threads(1)
    order = seed_everything(0)
    images = torch.rand(40, 3, 8, 8)
    labels = torch.randint(0, 5, (40,))
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(72, 5),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    parts = {
        "model": model,
        "optimizer": optimizer,
        "scheduler": warmup_cosine(optimizer, steps, 3),
        "ema": EMA(model, 0.9),
        "augmentation": torch.Generator().manual_seed(1),
        "dropout": torch.default_generator,
    }
    step = load_checkpoint(path, **parts)["step"] if path.exists() else 0
    rest = batches(
        images, labels, batch_size=16, generator=order, steps=steps, start=step
    )
    for x, y in rest:
        x = random_crop_flip(x, parts["augmentation"], padding=1)
        loss = functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        parts["scheduler"].step()
        parts["ema"].update(model)
        step += 1
        save_checkpoint(path, step=step, loss=loss.item(), **parts)
        print(step, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
