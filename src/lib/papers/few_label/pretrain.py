"""Pretraining with and without labels, on the source, the target or both.

Every function of `PRETRAININGS` takes the same number of steps of the same batch, so
that what differs is what the steps see.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.papers.few_label.encoders import projection_head
from lib.papers.few_label.moco import MoCo
from lib.training.loops import batches as labelled_batches
from lib.training.schedules import warmup_cosine

Augment = Callable[[Tensor, torch.Generator], Tensor]
Labelled = tuple[Tensor, Tensor]


def plain_share(n_source: int, n_target: int, repeats: int = 1) -> float:
    """Return the share of target pictures when both sets are simply put together.

    Args:
        n_source: pictures of the source.
        n_target: pictures of the target.
        repeats: how often each target picture is put in.

    Raises:
        ValueError: a number is negative, or there are no pictures.
    """
    both = n_source + repeats * n_target
    if min(n_source, n_target, repeats) < 0 or not both:
        raise ValueError(
            f"n_source={n_source}, n_target={n_target} and repeats={repeats} must be "
            "0 or more, with at least one picture"
        )
    return repeats * n_target / both


def mixed_batches(
    source: Tensor,
    target: Tensor,
    share: float,
    batch: int,
    generator: torch.Generator,
    steps: int,
) -> Iterator[Tensor]:
    """Give batches of which a fixed share comes from the target, source rows first.

    Each pool is shuffled and gone through to its end before it is shuffled again, so
    that a small one comes round often.

    Args:
        source: pictures (N, 3, H, W).
        target: pictures (M, 3, H, W).
        share: of the target in a batch, 0 to 1; `share * batch` is rounded.
        batch: pictures in a batch.
        generator: source of the shuffles.
        steps: number of batches.

    Yields:
        Pictures (batch, 3, H, W).

    Raises:
        ValueError: an argument is out of range, or a pool that is needed is empty.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share={share} must be from 0 to 1")
    if batch < 1 or steps < 0:
        raise ValueError(f"batch={batch} must be 1 or more, steps={steps} 0 or more")
    part = round(share * batch)
    for name, pool, rows in (
        ("source", source, batch - part),
        ("target", target, part),
    ):
        if rows and not len(pool):
            raise ValueError(f"{name} is empty, but share={share} needs its pictures")
    left = rounds_of(source, batch - part, generator)
    right = rounds_of(target, part, generator)
    return (torch.cat([next(left), next(right)]) for _ in range(steps))


def rounds_of(pool: Tensor, rows: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Give `rows` pictures of a pool at a time, round after round, without end."""
    order = torch.empty(0, dtype=torch.long)
    while True:
        while len(order) < rows:
            again = torch.randperm(len(pool), generator=generator)
            order = torch.cat([order, again])
        yield pool[order[:rows].to(pool.device)]
        order = order[rows:]


def pretrain_moco(
    encoder: nn.Module,
    head_version: str,
    batches: Iterable[Tensor],
    steps: int,
    *,
    augment: Augment,
    generator: torch.Generator,
    rate: float = 2e-3,
    decay: float = 1e-3,
    warmup: int = 20,
    momentum: float = 0.99,
    queue: int = 1024,
    temperature: float = 0.2,
    losses: list[float] | None = None,
) -> nn.Module:
    """Train an encoder to tell pictures apart, without labels.

    Args:
        encoder: with `feature_dim`; trained in place, on the device of its weights.
        head_version: see `projection_head`.
        batches: as many batches of pictures as there are steps.
        steps: length of the schedule.
        augment: makes a view of pictures with a generator.
        generator: of views and first keys.
        rate: peak learning rate of AdamW.
        decay: weight decay of AdamW.
        warmup: steps before the peak.
        momentum: see `MoCo`.
        queue: see `MoCo`; a batch must divide it.
        temperature: see `MoCo`.
        losses: takes up the loss of every step.

    Returns:
        The encoder, in eval mode; the head is thrown away.
    """
    head = projection_head(_width(encoder), version=head_version)
    model = MoCo(
        encoder,
        head,
        queue=queue,
        momentum=momentum,
        temperature=temperature,
        generator=generator,
    )
    device = next(encoder.parameters()).device
    model.to(device).train()
    optimiser = torch.optim.AdamW(model.query.parameters(), rate, weight_decay=decay)
    schedule = warmup_cosine(optimiser, steps, warmup)
    for images in batches:
        images = images.to(device)
        views = [_channels_last(augment(images, generator)) for _ in range(2)]
        loss = model(*views)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if losses is not None:
            losses.append(loss.item())
    return encoder.eval()


def pretrain_supervised(
    encoder: nn.Module,
    x: Tensor,
    y: Tensor,
    steps: int,
    *,
    augment: Augment,
    generator: torch.Generator,
    batch: int = 128,
    rate: float = 2e-3,
    decay: float = 1e-3,
    warmup: int = 20,
    losses: list[float] | None = None,
) -> nn.Module:
    """Train an encoder to name classes, on the same views.

    Args:
        encoder: with `feature_dim`; trained in place, on the device of its weights.
        x: pictures (N, 3, H, W).
        y: classes (N,), from 0 on.
        steps: number of batches.
        augment: makes a view of pictures with a generator.
        generator: of shuffles and views.
        batch: pictures in a batch.
        rate: peak learning rate of AdamW.
        decay: weight decay of AdamW.
        warmup: steps before the peak.
        losses: takes up the loss of every step.

    Returns:
        The encoder, in eval mode; the layer of classes is thrown away.
    """
    device = next(encoder.parameters()).device
    model = nn.Sequential(encoder, nn.Linear(_width(encoder), int(y.max()) + 1))
    model.to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=decay)
    schedule = warmup_cosine(optimiser, steps, warmup)
    for images, classes in labelled_batches(
        x, y, batch_size=batch, generator=generator, steps=steps
    ):
        views = _channels_last(augment(images.to(device), generator))
        loss = F.cross_entropy(model(views), classes.to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if losses is not None:
            losses.append(loss.item())
    return encoder.eval()


def random(
    encoder: nn.Module, source: Labelled, target: Tensor, steps: int, **options: Any
) -> nn.Module:
    """Leave the encoder as it starts: what any pretraining must beat."""
    return encoder.eval()


def supervised(
    encoder: nn.Module, source: Labelled, target: Tensor, steps: int, **options: Any
) -> nn.Module:
    """Learn the classes of the source; the target is not looked at."""
    shared = {key: options[key] for key in _SHARED if key in options}
    return pretrain_supervised(encoder, *source, steps, **shared)


def tup(
    encoder: nn.Module,
    source: Labelled,
    target: Tensor,
    steps: int,
    *,
    share: float = 0.5,
    batch: int = 128,
    head: str = "book",
    **options: Any,
) -> nn.Module:
    """Tell pictures of source and target apart in the same batches (TUP).

    Args:
        encoder: trained in place.
        source: pictures and labels; the labels are not used.
        target: pictures.
        steps: number of batches.
        share: of the target in a batch, 0 to 1.
        batch: pictures in a batch.
        head: version of the projection head.
        **options: `augment`, `generator` and others of `pretrain_moco`.
    """
    both = mixed_batches(source[0], target, share, batch, options["generator"], steps)
    return pretrain_moco(encoder, head, both, steps, **options)


def source_only(
    encoder: nn.Module, source: Labelled, target: Tensor, steps: int, **options: Any
) -> nn.Module:
    """Tell pictures of the source apart: a share of 0."""
    return tup(encoder, source, target, steps, **options | {"share": 0.0})


def target_only(
    encoder: nn.Module, source: Labelled, target: Tensor, steps: int, **options: Any
) -> nn.Module:
    """Tell pictures of the target apart: a share of 1."""
    return tup(encoder, source, target, steps, **options | {"share": 1.0})


def sequential(
    encoder: nn.Module, source: Labelled, target: Tensor, steps: int, **options: Any
) -> nn.Module:
    """Spend half of the steps on the source, the others on both.

    The second half starts with a new head, queue and schedule.
    """
    source_only(encoder, source, target, steps // 2, **options)
    return tup(encoder, source, target, steps - steps // 2, **options)


def supervised_then_tup(
    encoder: nn.Module, source: Labelled, target: Tensor, steps: int, **options: Any
) -> nn.Module:
    """Spend half of the steps on the classes of the source, the others on TUP."""
    supervised(encoder, source, target, steps // 2, **options)
    return tup(encoder, source, target, steps - steps // 2, **options)


PRETRAININGS: dict[str, Callable[..., nn.Module]] = {
    "random": random,
    "supervised": supervised,
    "source": source_only,
    "target": target_only,
    "tup": tup,
    "sequential": sequential,
    "supervised_tup": supervised_then_tup,
}
"""`f(encoder, source, target, steps, *, augment, generator, ...) -> encoder`.

All take the options of `tup`; `source` is `(pictures, labels)`, `target` pictures.
"""

_SHARED = ("augment", "generator", "batch", "rate", "decay", "warmup", "losses")


def _width(encoder: Any) -> int:
    return encoder.feature_dim


def _channels_last(images: Tensor) -> Tensor:
    """Lay pictures out as the convolutions of a CPU like them."""
    return images.contiguous(memory_format=torch.channels_last)
