"""Momentum contrast: an encoder learns to find each picture's key in a queue.

MoCo (He et al., CVPR 2020) and MoCo v2 (Chen et al., 2020), the pretraining that the
paper of chapter 4 starts from.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.layers.contrast import FeatureQueue, SplitBatchNorm2d, info_nce
from lib.papers.few_label.encoders import projection_head, resnet18, resnet50
from lib.training.averaging import EMA


class MoCo(nn.Module):
    """Two encoders and a queue: queries are trained, keys follow with a delay.

    Args:
        encoder: (B, 3, H, W) -> (B, features), trained in place.
        head: (B, features) -> (B, dim), trained and then thrown away; its last
            parameter is the offset (dim,).
        queue: number of keys that serve as negatives.
        momentum: share of the old key encoder that an update keeps, or a function of
            the number of updates so far.
        temperature: divides the cosines.
        symmetric: let the views change roles as well, and take the mean loss.
        shuffle: encode the keys in another order. With `SplitBatchNorm2d` a key is
            then normalised beside other pictures than its query; with plain
            normalisation nothing changes.
        generator: draws the first keys, and the order.
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        *,
        queue: int = 1024,
        momentum: float | Callable[[int], float] = 0.99,
        temperature: float = 0.2,
        symmetric: bool = False,
        shuffle: bool = False,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.encoder, self.query = encoder, nn.Sequential(encoder, head)
        self.ema = EMA(self.query, momentum, buffers="keep")
        self.key = self.ema.module
        dim = list(head.parameters())[-1].shape[0]  # the last offset has one a channel
        self.queue = FeatureQueue(dim, queue, generator)
        self.temperature, self.generator = temperature, generator
        self.symmetric, self.shuffle = symmetric, shuffle

    def forward(self, view_q: Tensor, view_k: Tensor) -> Tensor:
        """Update the key encoder, return the loss of two views, then store the keys.

        The order matters: keys that were pushed first would be negatives of their own
        queries.
        """
        self.ema.update(self.query)
        loss, keys = self.contrast(view_q, view_k)
        if self.symmetric:
            swapped, more = self.contrast(view_k, view_q)
            loss, keys = (loss + swapped) / 2, torch.cat([keys, more])
        self.queue.push(keys)
        return loss

    def contrast(self, view_q: Tensor, view_k: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of the queries, and the keys (B, dim)."""
        query = F.normalize(self.query(view_q), dim=1)  # (B, dim)
        keys = self.encode_keys(view_k)  # (B, dim), constants
        negatives = self.queue.negatives()  # (K, dim), a copy
        return info_nce(query, keys, negatives, self.temperature), keys

    @torch.no_grad()
    def encode_keys(self, view: Tensor) -> Tensor:
        """Return unit keys of a view, encoded in another order if `shuffle`."""
        if not self.shuffle:
            return F.normalize(self.key(view), dim=1)
        order = torch.randperm(len(view), generator=self.generator).to(view.device)
        return F.normalize(self.key(view[order]), dim=1)[order.argsort()]


MOCO: dict[str, dict[str, Any]] = {
    "v1": dict(
        head="v1",
        dim=128,
        queue=65536,
        momentum=0.999,
        temperature=0.07,
        views="moco_v1",
        epochs=200,
        batch=256,
        rate=0.03,
        sgd_momentum=0.9,
        decay=1e-4,
        schedule="steps",
        drops=(120, 160),  # a tenth of the rate from these epochs on
    ),
    "v2": dict(
        head="v2",
        dim=128,
        queue=65536,
        momentum=0.999,
        temperature=0.2,
        views="moco_v2",
        epochs=200,
        batch=256,
        rate=0.03,
        sgd_momentum=0.9,
        decay=1e-4,
        schedule="cosine",  # without warm-up
    ),
    "cifar": dict(
        head="v1",
        dim=128,
        queue=4096,
        momentum=0.99,
        temperature=0.1,
        epochs=200,
        batch=512,
        rate=0.06,
        sgd_momentum=0.9,
        decay=5e-4,
        schedule="cosine",
        splits=8,
    ),
}
"""Published recipes: MoCo, MoCo v2, and the authors' demonstration on CIFAR-10."""

ENCODERS: dict[str, Callable[..., nn.Module]] = {
    "resnet18": resnet18,
    "resnet50": resnet50,
}


def moco(
    version: str,
    encoder: str | None = None,
    *,
    generator: torch.Generator,
    small: bool | None = None,
    **options: Any,
) -> MoCo:
    """Build a published MoCo by name.

    Args:
        version: "v1", "v2" or "cifar".
        encoder: "resnet18" or "resnet50"; by default the published one.
        generator: see `MoCo`; the weights come from torch's own generator.
        small: for pictures of 32 x 32; by default only "cifar" is.
        **options: of `MoCo`, in place of the published ones.

    Raises:
        ValueError: for another version or encoder.
    """
    if version not in MOCO:
        raise ValueError(f"version={version!r}: allowed are {', '.join(MOCO)}")
    recipe, cifar = MOCO[version], version == "cifar"
    encoder = encoder or ("resnet18" if cifar else "resnet50")
    if encoder not in ENCODERS:
        raise ValueError(f"encoder={encoder!r}: allowed are {', '.join(ENCODERS)}")
    norm: Any = nn.BatchNorm2d
    if "splits" in recipe:
        norm = partial(SplitBatchNorm2d, splits=recipe["splits"])
    body: Any = ENCODERS[encoder](small=cifar if small is None else small, norm=norm)
    head = projection_head(body.feature_dim, recipe["dim"], recipe["head"])
    published = {key: recipe[key] for key in ("queue", "momentum", "temperature")}
    published["shuffle"] = "splits" in recipe
    return MoCo(body, head, generator=generator, **published | options)
