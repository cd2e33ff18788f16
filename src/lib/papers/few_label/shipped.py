"""Embeddings for the chapter's slider over the share of target pictures.

    python -m lib.papers.few_label.shipped

pretrains one small encoder for each share, 500 steps, seed 5, and writes `shares.json`
among the assets: where t-SNE puts 300 pictures of the pool, and two numbers of the
whole pool. About three minutes on one core.
"""

from __future__ import annotations

import json
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from lib.assets import paper_path
from lib.data.augment import BatchAugment
from lib.data.tensors import to_tensors
from lib.data.worlds import two_domain_shapes
from lib.metrics.clustering import clustering_report
from lib.papers.few_label.encoders import small_encoder
from lib.papers.few_label.evaluate import draw_labels, features, linear_probe
from lib.papers.few_label.pretrain import tup
from lib.training import seed_everything, write_atomically

ROWS = (0, 1, 6, 32, 64, 96, 128)
"""Target pictures in a batch of 128."""

SHOWN = 300
"""Pictures in an embedding: the first of the pool."""


@dataclass(frozen=True)
class Share:
    """One encoder: its share, its embedding and two numbers of the pool.

    Attributes:
        share: of target pictures in a batch.
        points: x and y of each shown picture, t-SNE.
        labels: their classes.
        nmi: of k-means clusters of the whole pool.
        probe: accuracy of a linear probe with one label a class, mean of five draws.
    """

    share: float
    points: list[list[float]]
    labels: list[int]
    nmi: float
    probe: float


def make_share(rows: int, steps: int = 500, seed: int = 5, pool: int = 2000) -> Share:
    """Pretrain one encoder and embed what it makes of the pool.

    Args:
        rows: target pictures in a batch of 128.
        steps: number of batches.
        seed: of pictures, weights and views.
        pool: number of target pictures, `SHOWN` or more.

    Raises:
        ValueError: rows or pool out of range.
    """
    from sklearn.manifold import TSNE

    if not 0 <= rows <= 128:
        raise ValueError(f"rows={rows} must be from 0 to 128, the batch")
    if pool < SHOWN:
        raise ValueError(f"pool={pool} must be {SHOWN} or more")
    source = to_tensors(two_domain_shapes(6000, seed, domain="enamel"))
    x, y = to_tensors(two_domain_shapes(pool, seed, domain="ink"))
    test = to_tensors(two_domain_shapes(1000, seed, domain="ink", split="test"))
    encoder = tup(
        small_encoder_of(seed),
        source,
        x,
        steps,
        share=rows / 128,
        augment=BatchAugment(),
        generator=torch.Generator().manual_seed(seed),
    )
    z, z_test = features(encoder, x), features(encoder, test[0])
    generator = torch.Generator().manual_seed(seed)
    draws = [draw_labels(y, 1, generator) for _ in range(5)]
    right = [linear_probe(z[few], y[few], z_test, test[1]) for few in draws]
    embedding = TSNE(init="pca", perplexity=20, random_state=0)
    points = embedding.fit_transform(z[:SHOWN].numpy()).round(2)
    return Share(
        rows / 128,
        [[float(value) for value in point] for point in points],
        y[:SHOWN].tolist(),
        round(clustering_report(z, y)["nmi"], 4),
        round(sum(right) / len(right), 4),
    )


def small_encoder_of(seed: int) -> torch.nn.Module:
    """Build the small encoder with the weights that a seed gives."""
    seed_everything(seed)
    return small_encoder()


def load_shares(path: str | Path | None = None) -> list[Share]:
    """Read the embeddings, shares rising.

    Args:
        path: a file that the command made; by default the shipped one.
    """
    file = Path(path) if path is not None else paper_path("few_label", "shares.json")
    return [Share(**row) for row in json.loads(file.read_text("utf-8"))["shares"]]


def main() -> None:
    """Make the shipped file."""
    torch.set_num_threads(1)
    begin, shares = time.process_time(), []
    for rows in ROWS:
        shares.append(asdict(make_share(rows)))
        print(f"{rows:3} of 128: NMI {shares[-1]['nmi']}, probe {shares[-1]['probe']}")
    content = {
        "command": "python -m lib.papers.few_label.shipped",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cpu_seconds": round(time.process_time() - begin),
        "shares": shares,
    }
    file = paper_path("few_label", "shares.json")
    write_atomically(file, json.dumps(content).encode() + b"\n")
    print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
