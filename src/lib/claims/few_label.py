"""Do unlabelled target pictures in the pretraining save labels, and which to label?

Every pretraining takes the same number of steps from the same start. Then the target
pool is clustered, a few of its pictures are labelled, and accuracy on target pictures
that nothing has seen is measured: by a probe on frozen features, by the nearest mean
and by fine-tuning. "world" goes from enamel signs to ink on ruled paper; "digits" from
the same signs to handwritten digits on that paper; "cifar10" from the first five
classes of CIFAR-10 to the last five. "sweep" asks, in shorter runs, what the share of
target pictures in a batch does, for two sizes of the pool.

Arms are pretrainings (`source`), or a pretraining with a rule that chooses what is
labelled (`source/kmeans`). Metrics: `nmi`, `ari`, `purity`, `knn` and `silhouette` of
the pool against the true classes, which only measure; `probe_1` to `probe_8`, `mean_1`
to `mean_8` and `finetune_1` and `finetune_4`, accuracies with so many labels a class;
`probe`, the mean of the four; `classes_1`, the share of classes that the first labels
meet.
"""

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lib.data import column_hash, load_pictures, to_tensors
from lib.data.augment import BatchAugment
from lib.data.halves import class_split
from lib.data.worlds import paper_digits, two_domain_shapes
from lib.metrics.clustering import clustering_report, nmi
from lib.papers.few_label.clustering import kmeans
from lib.papers.few_label.encoders import small_encoder
from lib.papers.few_label.evaluate import (
    accuracy,
    draw_labels,
    features,
    finetune,
    linear_probe,
    nearest_mean,
)
from lib.papers.few_label.pretrain import PRETRAININGS, tup
from lib.papers.few_label.progressive import progressive
from lib.papers.few_label.selection import select
from lib.training import seed_everything

Numbers = dict[str, float]

LABELS = (1, 2, 4, 8)
"""Labels a class, on average where a rule chooses them."""

STEPS = {"world": 1500, "digits": 500, "cifar10": 1000, "sweep": 500}
SOURCE, POOL, TEST = 6000, 2000, 1000
BATCH = 128
DRAWS, TUNED_DRAWS = 5, 2
"""Draws of labels for the probe, and for fine-tuning, which is dearer."""

CHOOSERS = ("source", "tup", "supervised_tup")
"""Pretrainings on whose features the rules choose."""

RULES = (
    "random",
    "balanced",
    "kmeans",
    "ackmeans",
    "kcentre",
    "typiclust",
    "probcover",
    "usl",
)
IN_ROUNDS = ("ackmeans", "typiclust")
"""Rules that go on from what is labelled; the others spend each budget at once."""

ROUNDS = (1, 2, 4)
"""Labels a class after each round of the progressive loop."""

TARGETS = (0, 1, 6, 32, 64, 96, 128)
"""Target pictures in a batch of 128. Simply putting both sets together would give 32
with the whole pool, and 6 with the small one."""

SMALL_POOL = 300
"""Pictures of the small target pool."""


class Task(NamedTuple):
    """What one seed works on; the pool's labels measure, and answer an oracle."""

    source: tuple[Tensor, Tensor]
    pool: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]

    @property
    def classes(self) -> int:
        """Number of target classes."""
        return int(self.test[1].max()) + 1


def shapes_task(seed: int, target: str = "ink") -> Task:
    """Draw enamel signs and one of the two targets."""
    source = to_tensors(two_domain_shapes(SOURCE, seed, domain="enamel"))
    if target == "ink":
        pool = two_domain_shapes(POOL, seed, domain="ink")
        test = two_domain_shapes(TEST, seed, domain="ink", split="test")
    else:
        pool = paper_digits(POOL, seed, split="train")
        test = paper_digits(TEST, seed, split="test")
    return Task(source, to_tensors(pool), to_tensors(test))


@cache
def pictures(data: str) -> Task:
    """Return CIFAR-10 in two halves, read once a process."""
    train, test = (
        to_tensors(load_pictures(data, split, classes=10), size=32)
        for split in ("train", "test")
    )
    (source, pool), (_, held_out) = class_split(*train, 5), class_split(*test, 5)
    return Task(source, pool, held_out)


def pictures_task(seed: int, data: str) -> Task:
    """Draw a pool as small as the world's from the target half of CIFAR-10."""
    source, pool, test = pictures(data)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(pool[1]), generator=generator)[:POOL]
    return Task(source, (pool[0][rows], pool[1][rows]), test)


def clusters(x: Tensor, y: Tensor, seed: int) -> Numbers:
    """Measure how well features of the pool fall into the true classes."""
    report = clustering_report(x, y, int(y.max()) + 1, seed)
    return {key: float(value) for key, value in report.items()}


def probes(task: Task, x: Tensor, x_test: Tensor, seed: int) -> Numbers:
    """Measure the probe and the nearest mean with class-balanced draws of labels."""
    (_, y), (_, y_test) = task.pool, task.test
    found: Numbers = {}
    for k in LABELS:
        generator = torch.Generator().manual_seed(seed)
        draws = [draw_labels(y, k, generator) for _ in range(DRAWS)]
        for name, rule in (("probe", linear_probe), ("mean", nearest_mean)):
            right = [rule(x[rows], y[rows], x_test, y_test) for rows in draws]
            found[f"{name}_{k}"] = sum(right) / DRAWS
    return found | {"probe": sum(found[f"probe_{k}"] for k in LABELS) / len(LABELS)}


def tuned(task: Task, encoder: nn.Module, rows: Tensor, seed: int) -> nn.Sequential:
    """Fine-tune a copy of the encoder on the labelled rows of the pool."""
    x, y = task.pool
    generator = seed_everything(seed)
    return finetune(
        encoder,
        x[rows],
        y[rows],
        task.classes,
        augment=BatchAugment(),
        generator=generator,
    )


def tunings(task: Task, encoder: nn.Module, seed: int) -> Numbers:
    """Measure fine-tuning with class-balanced draws of labels."""
    found = {}
    for k in (1, 4):
        generator = torch.Generator().manual_seed(seed)
        right = [
            accuracy(
                tuned(task, encoder, draw_labels(task.pool[1], k, generator), seed),
                *task.test,
            )
            for _ in range(TUNED_DRAWS)
        ]
        found[f"finetune_{k}"] = sum(right) / TUNED_DRAWS
    return found


def choices(task: Task, x: Tensor, x_test: Tensor, seed: int) -> dict[str, Numbers]:
    """Measure every rule that chooses which pictures are labelled, by the probe.

    Numbers are means over `DRAWS` runs of the rule.
    """
    (_, y), (_, y_test), found = task.pool, task.test, {}
    for rule in RULES:
        sums: Numbers = {}
        for draw in range(DRAWS):
            generator = torch.Generator().manual_seed(DRAWS * seed + draw)
            labelled = none = torch.empty(0, dtype=torch.long)
            for k in LABELS:
                before = labelled if rule in IN_ROUNDS else none
                rows = select(
                    x,
                    k * task.classes - len(before),
                    rule,
                    labelled=before,
                    labels=y if rule == "balanced" else None,
                    generator=generator,
                )
                labelled = torch.cat([before, rows])
                right = linear_probe(x[labelled], y[labelled], x_test, y_test)
                met = len(y[labelled].unique()) / task.classes
                for name, value in ((f"probe_{k}", right), (f"classes_{k}", met)):
                    sums[name] = sums.get(name, 0.0) + value / DRAWS
        found[rule] = sums
    return found


def loops(task: Task, encoder: nn.Module, seed: int) -> dict[str, Numbers]:
    """Measure labelling in rounds with fine-tuning between, and its rivals.

    The rivals spend each budget at once and fine-tune once: on pictures drawn at
    random, or on those nearest to the centres of one k-means.
    """
    (pool, y), classes = task.pool, task.classes
    x = features(encoder, pool)
    generator = torch.Generator().manual_seed(seed)

    rounds: list[nn.Sequential] = []

    def tune(net: nn.Module, pictures: Tensor, labels: Tensor) -> nn.Sequential:
        rounds.append(
            finetune(
                net,
                pictures,
                labels,
                classes,
                augment=BatchAugment(),
                generator=seed_everything(seed),
            )
        )
        return rounds[-1]

    totals = [k * classes for k in ROUNDS]
    progressive(
        encoder, pool, totals, lambda i: int(y[i]), finetune=tune, generator=generator
    )
    found: dict[str, Numbers] = {
        rule: {} for rule in ("progressive", "at_random", "at_once")
    }
    for k, last in zip(ROUNDS, rounds, strict=True):
        nets = {"progressive": last}
        for name, rule in (("at_random", "random"), ("at_once", "kmeans")):
            rows = select(x, k * classes, rule, generator=generator)
            nets[name] = tuned(task, encoder, rows, seed)
        for name, net in nets.items():
            found[name][f"finetune_{k}"] = accuracy(net, *task.test)
            parts = kmeans(features(net[0], pool), classes, generator)
            found[name][f"nmi_{k}"] = nmi(y, parts.assignment)
    return found


def pretrained(name: str, task: Task, steps: int, seed: int) -> nn.Module:
    """Train one encoder; all of them start from the same weights."""
    generator = seed_everything(seed)
    return PRETRAININGS[name](
        small_encoder(),
        task.source,
        task.pool[0],
        steps,
        augment=BatchAugment(),
        generator=generator,
        batch=BATCH,
    )


def on_task(task: Task, steps: int, seed: int, choose: bool) -> dict[str, Numbers]:
    """Measure every pretraining, and with `choose` the rules that choose labels."""
    arms: dict[str, Numbers] = {}
    for name in PRETRAININGS:
        encoder = pretrained(name, task, steps, seed)
        x, x_test = features(encoder, task.pool[0]), features(encoder, task.test[0])
        arms[name] = (
            clusters(x, task.pool[1], seed)
            | probes(task, x, x_test, seed)
            | tunings(task, encoder, seed)
        )
        if choose and name in CHOOSERS:
            found = choices(task, x, x_test, seed) | loops(task, encoder, seed)
            arms |= {f"{name}/{rule}": numbers for rule, numbers in found.items()}
    return arms


def on_shares(seed: int) -> dict[str, Numbers]:
    """Measure how many target pictures a batch should hold, for two sizes of the pool.

    Clusters and labels are always those of the whole pool.
    """
    arms: dict[str, Numbers] = {}
    task = shapes_task(seed)
    for pool in (POOL, SMALL_POOL):
        for rows in TARGETS:
            if rows == 0 and pool == SMALL_POOL:
                continue  # the same as with the whole pool
            generator = seed_everything(seed)
            encoder = tup(
                small_encoder(),
                task.source,
                task.pool[0][:pool],
                STEPS["sweep"],
                share=rows / BATCH,
                augment=BatchAugment(),
                generator=generator,
                batch=BATCH,
            )
            x, x_test = (features(encoder, of[0]) for of in (task.pool, task.test))
            found = clusters(x, task.pool[1], seed) | probes(task, x, x_test, seed)
            arms[f"{pool}/{rows}"] = found
    return arms


def describe(data: str) -> dict[str, Any]:
    """Say what the data are: label, number of rows and hash of the contents.

    Args:
        data: "world", "digits", "sweep", or a Hub id or folder with CIFAR-10's columns.
    """
    rows = SOURCE + POOL + TEST
    if data in ("world", "sweep"):
        scenes = two_domain_shapes(TEST, 0, domain="ink", split="test")
        return {"label": data, "rows": rows, "hash": column_hash(scenes)}
    if data == "digits":
        digits = paper_digits(TEST, 0, split="test")
        return {"label": data, "rows": rows, "hash": column_hash(digits)}
    found = load_pictures(data, "test", classes=10)
    rows = len(found) + len(load_pictures(data, "train", classes=10))
    return {"label": "cifar10", "rows": rows, "hash": column_hash(found)}


def run(seed: int, data: str = "world") -> dict[str, dict[str, Numbers]]:
    """Measure one seed: `{"arms": {arm: {metric: number}}}`.

    Reported are seeds from 5 on; 0 to 4 served to design worlds and recipe. A seed
    draws pictures, first weights, views and labels.

    Args:
        seed: 0 or more.
        data: "world", "digits", "sweep", or a Hub id or folder with CIFAR-10's columns.
    """
    torch.set_num_threads(1)
    if data == "sweep":
        return {"arms": on_shares(seed)}
    if data == "world":
        return {"arms": on_task(shapes_task(seed), STEPS[data], seed, choose=True)}
    if data == "digits":
        task = shapes_task(seed, "digits")
        return {"arms": on_task(task, STEPS[data], seed, choose=False)}
    task = pictures_task(seed, data)
    return {"arms": on_task(task, STEPS["cifar10"], seed, choose=False)}
