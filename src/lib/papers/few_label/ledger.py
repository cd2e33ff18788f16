"""What the ledger of the chapter computes: sizes, the queue, the delay of the keys.

Parameters are counted on PyTorch's "meta" device, which has shapes and no numbers.
"""

import math
from collections.abc import Callable

import torch
from torch import nn

from lib.layers.contrast import FeatureQueue, info_nce
from lib.papers.few_label.encoders import (
    projection_head,
    resnet18,
    resnet50,
    small_encoder,
)
from lib.papers.few_label.moco import MOCO
from lib.papers.few_label.pretrain import plain_share
from lib.training.averaging import EMA

MIB = 2**20
NUMBERS = (
    *("queue", "momentum", "temperature"),
    *("rate", "batch", "sgd_momentum", "decay", "epochs"),
)
ENCODERS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": resnet18,
    "resnet50": resnet50,
    "small": small_encoder,
}


def _parameters(make: Callable[[], nn.Module]) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in make().parameters())


def encoder_parameters(names: list[str]) -> list[int]:
    """Count the parameters of encoders up to their pooled features.

    Args:
        names: "resnet18", "resnet50" or "small".
    """
    return [_parameters(ENCODERS[name]) for name in names]


def head_parameters(version: str, channels: int = 2048, dim: int | None = None) -> int:
    """Count the parameters of a projection head.

    Args:
        version: "v1", "v2" or "book".
        channels: width of the features.
        dim: width of the vectors, or None for the usual one.
    """
    return _parameters(lambda: projection_head(channels, dim, version))


def book_parameters() -> int:
    """Count the parameters that the book trains without labels: encoder and head."""
    channels = small_encoder().feature_dim
    return _parameters(small_encoder) + head_parameters("book", channels)


def queue_mib(version: str) -> float:
    """Return the memory of the keys of a published recipe in MiB.

    Args:
        version: a key of `MOCO`.
    """
    recipe = MOCO[version]
    keys = FeatureQueue(recipe["dim"], recipe["queue"], torch.Generator()).keys
    return keys.numel() * keys.element_size() / MIB


def steps_in_queue(version: str) -> int:
    """Count the steps until a key of a published recipe is overwritten.

    Args:
        version: a key of `MOCO`.
    """
    recipe = MOCO[version]
    ring = FeatureQueue(1, recipe["queue"], torch.Generator())
    ring.push(torch.full((recipe["batch"], 1), 2.0))  # no unit row is 2
    steps = 0
    while bool(ring.keys.eq(2).any()):
        ring.push(torch.ones(recipe["batch"], 1))
        steps += 1
    return steps


def half_life(momentum: float) -> float:
    """Return after how many updates half of a change has reached the key encoder.

    The distance to a model that stands still is read off 64 updates.

    Args:
        momentum: share of the old key encoder that an update keeps.
    """
    model = nn.Linear(1, 1, bias=False).double()
    nn.init.ones_(model.weight)
    average = EMA(model, momentum)
    nn.init.zeros_(model.weight)
    for _ in range(64):
        average.update(model)
    (left,) = average.module.parameters()
    return 64 * math.log(0.5) / math.log(left.item())


def chance(negatives: int) -> float:
    """Return the InfoNCE of a query that is as near to its key as to all others.

    Args:
        negatives: number of keys in the queue.
    """
    query = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    key = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    return info_nce(query, key, key.expand(negatives, 2)).item()


def target_pictures(
    n_source: int, n_target: int, batch: int, repeats: int = 1
) -> float:
    """Return the mean number of target pictures in a batch of two sets in one list.

    Args:
        n_source: pictures of the source.
        n_target: pictures of the target.
        batch: pictures in a batch.
        repeats: how often each target picture is in the list.
    """
    return batch * plain_share(n_source, n_target, repeats)


def coverage(classes: int, draws: int) -> float:
    """Return the expected share of classes that random draws meet, in percent.

    Args:
        classes: number of classes, equally likely.
        draws: number of draws.
    """
    return 100 * (1 - (1 - 1 / classes) ** draws)


def recipes(versions: list[str]) -> list[list[float]]:
    """List queue, momentum, temperature, rate, batch, SGD momentum, decay, epochs.

    Args:
        versions: keys of `MOCO`.
    """
    return [[MOCO[version][key] for key in NUMBERS] for version in versions]
