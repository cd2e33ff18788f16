"""Parts of contrastive learning: the loss, a queue of keys, split normalisation."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def info_nce(
    query: Tensor, key: Tensor, negatives: Tensor, temperature: float = 0.2
) -> Tensor:
    """Return how badly each query finds its own key among the negatives (InfoNCE).

    It is a cross-entropy over `K + 1` classes, of which class 0 is right. A query that
    knows nothing pays `ln(K + 1)`.

    Args:
        query: unit rows (B, D).
        key: unit rows (B, D); row i is the positive of query i.
        negatives: unit rows (K, D), shared by all queries.
        temperature: divides the cosines, above 0.

    Returns:
        The mean over the batch.

    Raises:
        ValueError: shapes do not fit or the temperature is not above 0.
    """
    if query.shape != key.shape or query.shape[1:] != negatives.shape[1:]:
        raise ValueError(
            f"query {tuple(query.shape)}, key {tuple(key.shape)} and negatives "
            f"{tuple(negatives.shape)} must be (B, D), (B, D) and (K, D)"
        )
    if temperature <= 0:
        raise ValueError(f"temperature={temperature} must be above 0")
    positive = (query * key).sum(dim=1, keepdim=True)  # (B, 1)
    logits = torch.cat([positive, query @ negatives.T], dim=1)  # (B, 1 + K)
    right = torch.zeros(len(query), dtype=torch.long, device=query.device)
    return F.cross_entropy(logits / temperature, right)


class FeatureQueue(nn.Module):
    """A ring of the latest keys: new ones take the places of the oldest.

    It starts with random directions. Keys and pointer are buffers, so that they go to
    the device and into checkpoints with the model.

    Args:
        dim: width of a key.
        size: number of keys held.
        generator: draws the first rows.

    Raises:
        ValueError: `dim` or `size` is below 1.
    """

    keys: Tensor
    pointer: Tensor

    def __init__(self, dim: int, size: int, generator: torch.Generator) -> None:
        super().__init__()
        for name, value in (("dim", dim), ("size", size)):
            if value < 1:
                raise ValueError(f"{name}={value} must be 1 or more")
        rows = torch.randn(size, dim, generator=generator, device=generator.device)
        self.register_buffer("keys", F.normalize(rows, dim=1))
        self.register_buffer("pointer", torch.tensor(0))

    def negatives(self) -> Tensor:
        """Return the keys (size, dim) as a copy: `push` changes the ring in place."""
        return self.keys.clone()

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """Write keys (B, dim) over the oldest ones and move the pointer on.

        Raises:
            ValueError: B does not divide the size, or the width is another.
        """
        size, batch = len(self.keys), len(keys)
        if keys.ndim != 2 or keys.shape[1] != self.keys.shape[1]:
            raise ValueError(
                f"keys {tuple(keys.shape)} must be (B, {self.keys.shape[1]})"
            )
        if not batch or size % batch:
            raise ValueError(f"keys: the batch, {batch}, must divide the size, {size}")
        places = (self.pointer + torch.arange(batch, device=self.keys.device)) % size
        self.keys[places] = keys.to(self.keys)
        self.pointer += batch
        self.pointer %= size


class SplitBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation whose statistics come from parts of the batch.

    One device acts as several: part j is every `splits`-th picture from picture j on,
    and is normalised by its own mean and variance. The running statistics take the
    mean over the parts. In eval mode it is plain BatchNorm.

    Args:
        features: number of channels.
        splits: number of parts; it must divide the batch in training.

    Shape: (B, features, H, W) -> the same.

    Raises:
        ValueError: `splits` is below 1 or does not divide the batch.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, features: int, splits: int) -> None:
        super().__init__(features)
        if splits < 1:
            raise ValueError(f"splits={splits} must be 1 or more")
        self.splits = splits

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each part of the batch by itself."""
        if not self.training:
            return super().forward(x)
        s, shape = self.splits, x.shape
        if len(x) % s:
            raise ValueError(f"splits={s} must divide the batch, {len(x)}")
        # A part's channels stand beside those of the others: (B / s, s * C, H, W).
        parts = x.reshape(-1, s * shape[1], *shape[2:])
        mean, variance = self.running_mean.repeat(s), self.running_var.repeat(s)
        scale, shift = self.weight.repeat(s), self.bias.repeat(s)
        parts = F.batch_norm(
            parts, mean, variance, scale, shift, True, self.momentum or 0.0, self.eps
        )
        with torch.no_grad():
            self.running_mean.copy_(mean.unflatten(0, (s, -1)).mean(dim=0))
            self.running_var.copy_(variance.unflatten(0, (s, -1)).mean(dim=0))
            self.num_batches_tracked += 1
        return parts.reshape(shape)
