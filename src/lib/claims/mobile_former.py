"""Does the bridge earn its multiply-adds? Mobile-Former against wider rivals.

On cue scenes with *three cues* (chapter 1) a network writes at each of three digits
the mark of the cue of its colour, out of twelve colours and four marks: colour and
mark belong together, and the answers live at different places. On CIFAR-10 the same
networks classify pictures.

Every arm has the same data, batches, steps and optimiser, and the learning rate that
`sweep` chose for its family. The wide rivals have at least the multiply-adds of
Mobile-Former.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.data import column_hash, load_pictures, random_crop_flip, to_tensors
from lib.data.worlds import cue_scenes
from lib.papers.mobile_former import NANO, MobileFormer
from lib.training import batches, seed_everything

WIDE = 1.4
"""Factor on all widths that lifts Mobile alone above Mobile-Former's multiply-adds."""

ARMS: dict[str, dict[str, Any]] = {
    "mobile": dict(tokens=0, act="relu6"),
    "mobile_wide": dict(tokens=0, act="relu6", width=WIDE),
    "squeeze_excite": dict(tokens=0, act="relu6", squeeze_excite=True),
    "squeeze_excite_wide": dict(tokens=0, act="relu6", squeeze_excite=True, width=WIDE),
    "mobile_former": dict(act="relu6"),
    "dynamic_relu": dict(act="dynamic"),
    "tokens_1": dict(act="relu6", tokens=1),
    "tokens_3": dict(act="relu6", tokens=3),
    "tokens_6": dict(act="relu6", tokens=6),
}
"""What is switched in the book-scale network; `mobile_former` has 4 tokens."""

RATES = {
    "three_cues": (2e-3, 4e-3, 8e-3, 1.6e-2),
    "cifar10": (4e-3, 8e-3, 1.6e-2, 3.2e-2),
}
"""Peak learning rates that the sweep tries for each of the rivals."""

RIVALS = ("mobile_wide", "squeeze_excite_wide", "mobile_former")
"""The arms that the sweep tunes; their relatives take over their rates."""

# The best of RATES for each rival on the tuning seed, which is not measured again
# (`sweep.json` among the assets).
CHOSEN: dict[str, dict[str, float]] = {
    "three_cues": {
        "mobile_wide": 4e-3,
        "squeeze_excite_wide": 8e-3,
        "mobile_former": 4e-3,
    },
    "cifar10": {
        "mobile_wide": 1.6e-2,
        "squeeze_excite_wide": 8e-3,
        "mobile_former": 1.6e-2,
    },
}

STEPS = {"three_cues": 2000, "cifar10": 2500}
SCENES: dict[str, Any] = dict(cues=3, marks=4, colours=12)
TRAIN, TEST, BATCH = 8000, 2000, 64

# Sweeps and narrow rivals are dear: only three seeds measure them.
SWEEP_SEEDS = (10, 11, 12)
SWEEPS = (
    "mobile",
    "squeeze_excite",
    "dynamic_relu",
    "tokens_1",
    "tokens_3",
    "tokens_6",
)
PICTURE_SWEEPS = ("mobile", "squeeze_excite", "dynamic_relu")


class CellAnswers(nn.Module):
    """A backbone and a pointwise convolution: one answer for each cell of the grid."""

    def __init__(self, arm: str, answers: int) -> None:
        super().__init__()
        self.backbone = MobileFormer(**NANO | ARMS[arm], num_classes=0)
        self.answer = nn.Conv2d(self.backbone.channels, answers, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the answers, (B, answers, cells)."""
        return self.answer(self.backbone(x)).flatten(2)


def scenes(n: int, seed: int, split: str) -> tuple[Tensor, Tensor]:
    """Return pictures (n, 3, 32, 32) and the mark at each cell, (n, 16)."""
    return to_tensors(cue_scenes(n, seed, split=split, **SCENES), label="target_map")


def fit(
    net: nn.Module, data: Iterable[tuple[Tensor, ...]], steps: int, rate: float
) -> nn.Module:
    """Train a network on minibatches with AdamW and one cycle of the rate."""
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    net.train()
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for x, y in data:
        x = x.contiguous(memory_format=torch.channels_last)
        loss = F.cross_entropy(net(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.eval()


@torch.no_grad()
def answers(net: nn.Module, x: Tensor) -> Tensor:
    """Return the most likely answers for all pictures."""
    return torch.cat([net(part).argmax(dim=1) for part in x.split(500)])


def train_on_scenes(arm: str, seed: int, peak: float) -> float:
    """Train one arm on cue scenes; return the share of test scenes it solves.

    A scene is solved if all sixteen cells are right.
    """
    x, y = scenes(TRAIN, seed, "train")
    generator = seed_everything(seed)
    net = CellAnswers(arm, SCENES["marks"] + 1)
    steps = STEPS["three_cues"]
    minibatches = batches(x, y, batch_size=BATCH, generator=generator, steps=steps)
    fit(net, minibatches, steps, peak)
    x, y = scenes(TEST, 0, "test")
    return (answers(net, x) == y).all(dim=1).float().mean().item()


def train_on_pictures(arm: str, seed: int, rate: float, train: Any, test: Any) -> float:
    """Train one arm as a classifier; return its accuracy on the test pictures."""
    generator = seed_everything(seed)
    (x, y), (x_test, y_test) = train, test
    net = MobileFormer(**NANO | ARMS[arm], num_classes=int(y.max()) + 1)
    steps = STEPS["cifar10"]

    def augmented() -> Iterator[tuple[Tensor, ...]]:
        for a, b in batches(x, y, batch_size=BATCH, generator=generator, steps=steps):
            yield random_crop_flip(a, generator), b

    fit(net, augmented(), steps, rate)
    return (answers(net, x_test) == y_test).float().mean().item()


@cache
def pictures(data: str) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return training and test pictures with their labels, read once a process."""
    splits = [load_pictures(data, split, classes=10) for split in ("train", "test")]
    train, test = (to_tensors(split, size=32) for split in splits)
    return train, test


def describe(data: str) -> dict[str, Any]:
    """Say what the data are: label, number of rows and hash of the contents.

    Args:
        data: "world", or a Hub id or folder with CIFAR-10's columns.
    """
    if data == "world":
        found = cue_scenes(TEST, 0, split="test", **SCENES)
        return {"label": "world", "rows": TRAIN + TEST, "hash": column_hash(found)}
    found = load_pictures(data, "test", classes=10)
    rows = len(found) + len(load_pictures(data, "train", classes=10))
    return {"label": "cifar10", "rows": rows, "hash": column_hash(found)}


def rate(task: str, arm: str) -> float:
    """Return the peak learning rate that the sweep chose for an arm's family."""
    family = f"{arm.removesuffix('_wide')}_wide"
    return CHOSEN[task][family if family in RIVALS else "mobile_former"]


def run(seed: int, data: str = "world") -> dict[str, dict[str, dict[str, float]]]:
    """Measure one seed: `{"arms": {arm: {task: share of right answers}}}`.

    Reported are seeds from 10 on; smaller ones served to design the tasks.

    Args:
        seed: draws training scenes, weights and batches; the test scenes are fixed.
        data: "world", or a Hub id or folder with CIFAR-10's columns.
    """
    torch.set_num_threads(1)
    sweeps = SWEEPS if seed in SWEEP_SEEDS else ()
    if data == "world":
        return {
            "arms": {
                arm: {"three_cues": train_on_scenes(arm, seed, rate("three_cues", arm))}
                for arm in (*RIVALS, *sweeps)
            }
        }
    train, test = pictures(data)
    return {
        "arms": {
            arm: {"cifar10": train_on_pictures(arm, seed, peak, train, test)}
            for arm in (*RIVALS, *PICTURE_SWEEPS)
            for peak in [rate("cifar10", arm)]
        }
    }


def sweep(task: str, seed: int = 100, data: str = "world") -> dict[str, Any]:
    """Try every rate for every rival on a tuning seed that is not measured again.

    Args:
        task: "three_cues" or "cifar10".
        seed: the tuning seed.
        data: where CIFAR-10 is, for that task.

    Returns:
        rival -> rate -> share of right answers.
    """
    torch.set_num_threads(1)

    def share(arm: str, peak: float) -> float:
        if task == "cifar10":
            return train_on_pictures(arm, seed, peak, *pictures(data))
        return train_on_scenes(arm, seed, peak)

    return {
        arm: {f"{peak:g}": share(arm, peak) for peak in RATES[task]} for arm in RIVALS
    }
