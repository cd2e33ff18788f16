"""What a few labels are worth: frozen features with a probe, and fine-tuning."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.training.schedules import warmup_cosine

Augment = Callable[[Tensor, torch.Generator], Tensor]


@torch.no_grad()
def features(encoder: nn.Module, images: Tensor, batch: int = 500) -> Tensor:
    """Encode images in evaluation mode and scale each feature vector to length 1.

    Every module is left in the mode, training or evaluation, that it had.

    Args:
        encoder: maps (B, C, H, W) to (B, d); the projection head is left out.
        images: (n, C, H, W), as the encoder wants them.
        batch: images at a time.

    Returns:
        (n, d), on the device of the images.

    Raises:
        ValueError: for no image, or a batch below 1.
    """
    return F.normalize(torch.cat(list(_outputs(encoder, images, batch))), dim=1)


@torch.no_grad()
def accuracy(
    network: nn.Module, images: Tensor, labels: Tensor, batch: int = 500
) -> float:
    """Return the share of images that a classifier gets right, in evaluation mode.

    Args:
        network: maps (B, C, H, W) to scores (B, classes).
        images: (n, C, H, W).
        labels: (n,).
        batch: images at a time.

    Raises:
        ValueError: for no image, unequal lengths, or a batch below 1.
    """
    _same_rows("images", images, "labels", labels)
    scores = torch.cat(list(_outputs(network, images, batch)))
    return float((scores.argmax(1) == labels.to(scores.device)).double().mean())


def linear_probe(train_x: Any, train_y: Any, test_x: Any, test_y: Any) -> float:
    """Return the accuracy of a logistic regression on frozen features.

    scikit-learn's, with C = 10 on features times 4, for features of length 1. Where
    all training labels are equal it answers with that one.

    Args:
        train_x: features (n, d), tensor or array.
        train_y: classes (n,).
        test_x: features (m, d).
        test_y: classes (m,).

    Raises:
        ValueError: for unequal numbers of rows, or no row.
    """
    from sklearn.linear_model import LogisticRegression

    train_x, train_y, test_x, test_y = _arrays(train_x, train_y, test_x, test_y)
    if (train_y == train_y[0]).all():
        return float((test_y == train_y[0]).mean())
    probe = LogisticRegression(C=10, max_iter=1000).fit(4 * train_x, train_y)
    return float((probe.predict(4 * test_x) == test_y).mean())


def nearest_mean(train_x: Any, train_y: Any, test_x: Any, test_y: Any) -> float:
    """Return the accuracy of taking the class whose mean feature is nearest.

    Args:
        train_x: features (n, d), tensor or array.
        train_y: classes (n,).
        test_x: features (m, d).
        test_y: classes (m,).

    Raises:
        ValueError: for unequal numbers of rows, or no row.
    """
    train_x, train_y, test_x, test_y = _arrays(train_x, train_y, test_x, test_y)
    classes = np.unique(train_y)
    means = np.stack([train_x[train_y == c].mean(0) for c in classes])  # (classes, d)
    # The nearest by Euclid; |x|² is the same for all classes and left out.
    distance = (means**2).sum(1) - 2 * test_x @ means.T  # (m, classes)
    return float((classes[distance.argmin(1)] == test_y).mean())


def with_head(encoder: nn.Module, images: Tensor, classes: int) -> nn.Sequential:
    """Put a linear head of zeros, which favours no class, on a copy of an encoder.

    Args:
        encoder: is copied, never changed.
        images: one or more, to see how wide its features are.
        classes: number of outputs.
    """
    head = nn.Linear(features(encoder, images[:1]).shape[1], classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    weights = next(encoder.parameters(), head.weight)
    return nn.Sequential(copy.deepcopy(encoder), head.to(weights.device))


def finetune(
    encoder: nn.Module,
    x: Tensor,
    y: Tensor,
    classes: int,
    *,
    steps: int = 60,
    batch: int = 64,
    encoder_rate: float = 0.02,
    head_rate: float = 0.3,
    augment: Augment | None,
    generator: torch.Generator,
) -> nn.Sequential:
    """Train a copy of an encoder and a fresh head on a few labelled images.

    SGD with momentum 0.9 along a cosine. Of fewer images than a batch holds, each
    batch is drawn with replacement.

    Args:
        encoder: pretrained, is copied and not changed.
        x: images (n, C, H, W).
        y: classes (n,), from 0 to `classes` - 1.
        classes: number of outputs.
        steps: number of batches.
        batch: images in each.
        encoder_rate: learning rate of the encoder.
        head_rate: learning rate of the head, which starts from zero.
        augment: changes each batch, or None.
        generator: draws batches and augmentations.

    Returns:
        `nn.Sequential(encoder, head)` in evaluation mode.

    Raises:
        ValueError: for unequal lengths, no image, a class out of range, or a number
            below 1.
    """
    check_few(x, y, classes, steps, batch)
    network = with_head(encoder, x, classes).train().requires_grad_()
    device = next(network.parameters()).device
    rates = [(network[0], encoder_rate), (network[1], head_rate)]
    groups = [{"params": list(part.parameters()), "lr": rate} for part, rate in rates]
    optimizer = torch.optim.SGD([g for g in groups if g["params"]], momentum=0.9)
    schedule = warmup_cosine(optimizer, steps)
    for _ in range(steps):
        if len(x) < batch:
            rows = torch.randint(len(x), (batch,), generator=generator)
        else:
            rows = torch.randperm(len(x), generator=generator)[:batch]
        rows = rows.to(x.device)
        images = x[rows] if augment is None else augment(x[rows], generator)
        loss = F.cross_entropy(network(images.to(device)), y[rows].to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def draw_labels(y: Tensor, per_class: int, generator: torch.Generator) -> Tensor:
    """Draw rows so that every class has as many: the usual protocol of k shots.

    It knows all labels before it buys any, which no one has who labels a set.

    Args:
        y: classes (n,).
        per_class: rows of each class that occurs.
        generator: draws them without replacement.

    Returns:
        Rows (classes * per_class,), class by class.

    Raises:
        ValueError: where a class has fewer rows, or for a number below 1.
    """
    classes, counts = y.unique(return_counts=True)
    most = int(counts.min()) if len(counts) else 0
    if not 1 <= per_class <= most:
        raise ValueError(
            f"per_class={per_class}; allowed are 1 to {most}, the rows of the rarest "
            "class"
        )
    rows = []
    for c in classes:
        of_class = (y == c).nonzero()[:, 0]
        order = torch.randperm(len(of_class), generator=generator)[:per_class]
        rows.append(of_class[order.to(y.device)])
    return torch.cat(rows)


def _outputs(network: nn.Module, images: Tensor, batch: int) -> Iterator[Tensor]:
    """Give a network's outputs in evaluation mode and restore every module's mode."""
    if not len(images) or batch < 1:
        raise ValueError(
            f"images: {len(images)} in batches of {batch}; both must be 1 or more"
        )
    weights = next(network.parameters(), images)
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        for part in images.split(batch):
            yield network(part.to(weights.device)).flatten(1).to(images.device)
    finally:
        for module, mode in modes:
            module.training = mode


def _arrays(*values: Any) -> list[np.ndarray]:
    """Bring tensors or arrays of training and test rows to NumPy."""
    arrays = [
        np.asarray(v.detach().cpu() if isinstance(v, Tensor) else v) for v in values
    ]
    for part, (x, y) in {"train": arrays[:2], "test": arrays[2:]}.items():
        _same_rows(f"{part}_x", x, f"{part}_y", y)
    arrays[0], arrays[2] = arrays[0].astype(np.float64), arrays[2].astype(np.float64)
    return arrays


def _same_rows(name: str, a: Any, other: str, b: Any) -> None:
    if len(a) != len(b) or not len(a):
        raise ValueError(
            f"{name} and {other}: {len(a)} and {len(b)} rows given; they must be as "
            "many, 1 or more"
        )


def check_few(x: Tensor, y: Tensor, classes: int, steps: int, batch: int) -> None:
    """Refuse what cannot be fine-tuned on; see `finetune`."""
    _same_rows("x", x, "y", y)
    for name, value in (("classes", classes), ("steps", steps), ("batch", batch)):
        if value < 1:
            raise ValueError(f"{name}={value}; allowed is 1 or more")
    if not 0 <= int(y.min()) <= int(y.max()) < classes:
        raise ValueError(
            f"y: classes from {int(y.min())} to {int(y.max())} given; allowed are 0 to "
            f"{classes - 1}"
        )
