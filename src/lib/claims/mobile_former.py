"""Does the bridge earn its multiply-adds? Mobile-Former against wider rivals.

Two tasks on cue scenes (chapter 1). *One cue*: find the digit that has the colour of
the cue; one pooled fact about the picture is enough. *Two cues*: write at each of two
digits the mark of the cue of its colour; now colour and mark belong together, and the
answers live at different places. On CIFAR-10 the same networks classify pictures.

Every arm has the same data, batches, steps, optimiser and choice of learning rates
(see `sweep`). The wide rivals have at least the multiply-adds of Mobile-Former.
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

RATES = (2e-3, 4e-3, 8e-3)
"""Peak learning rates that every arm may choose from."""

RIVALS = ("mobile_wide", "squeeze_excite_wide", "mobile_former")
"""The arms that the sweep tunes; their relatives take over their rates."""

# The best of RATES for each rival on the tuning seed, which is not measured again.
CHOSEN: dict[str, dict[str, float]] = {
    "one_cue": dict.fromkeys(RIVALS, 4e-3),
    "two_cues": dict.fromkeys(RIVALS, 4e-3),
    "cifar10": dict.fromkeys(RIVALS, 4e-3),
}

STEPS = {"one_cue": 1000, "two_cues": 2000, "cifar10": 2500}
SCENES: dict[str, dict[str, Any]] = {"one_cue": {}, "two_cues": dict(cues=2, marks=2)}
TRAIN, TEST, BATCH = 8000, 2000, 64

# Sweeps and narrow rivals are dear: only three seeds measure them.
SWEEP_SEEDS = (10, 11, 12)
SWEEPS = {
    "one_cue": ("mobile", "squeeze_excite", "dynamic_relu"),
    "two_cues": (
        "mobile",
        "squeeze_excite",
        "dynamic_relu",
        "tokens_1",
        "tokens_3",
        "tokens_6",
    ),
}


class CellAnswers(nn.Module):
    """A backbone and a pointwise convolution: one answer for each cell of the grid."""

    def __init__(self, arm: str, answers: int) -> None:
        super().__init__()
        self.backbone = MobileFormer(**NANO | ARMS[arm], num_classes=0)
        self.answer = nn.Conv2d(self.backbone.channels, answers, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the answers, (B, answers, cells)."""
        return self.answer(self.backbone(x)).flatten(2)


def scenes(task: str, n: int, seed: int, split: str) -> tuple[Tensor, Tensor]:
    """Return pictures (n, 3, 32, 32) and answers of a task on cue scenes.

    Answers are the cell of the digit, (n,), with one cue, and the mark at each cell,
    (n, 16), with two.
    """
    label = "target" if task == "one_cue" else "target_map"
    return to_tensors(cue_scenes(n, seed, split=split, **SCENES[task]), label=label)


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


def train_on_scenes(task: str, arm: str, seed: int, rate: float) -> float:
    """Train one arm on a task; return the share of test scenes answered rightly.

    With two cues a scene counts only if all sixteen cells are right.
    """
    x, y = scenes(task, TRAIN, seed, "train")
    generator = seed_everything(seed)
    marks = int(SCENES[task].get("marks", 0))
    net: nn.Module = CellAnswers(arm, marks + 1)
    if task == "one_cue":
        net = nn.Sequential(net, nn.Flatten())  # the sixteen cells are the classes
    steps = STEPS[task]
    minibatches = batches(x, y, batch_size=BATCH, generator=generator, steps=steps)
    fit(net, minibatches, steps, rate)
    x, y = scenes(task, TEST, 0, "test")
    right = answers(net, x) == y
    return (right if task == "one_cue" else right.all(dim=1)).float().mean().item()


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
        found = cue_scenes(TEST, 0, split="test", **SCENES["two_cues"])
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
    if data != "world":
        train, test = pictures(data)
        return {
            "arms": {
                arm: {
                    "cifar10": train_on_pictures(
                        arm, seed, rate("cifar10", arm), train, test
                    )
                }
                for arm in (*RIVALS, *SWEEPS["one_cue"])
            }
        }
    arms: dict[str, dict[str, float]] = {}
    for task, more in SWEEPS.items():
        for arm in (*RIVALS, *(more if seed in SWEEP_SEEDS else ())):
            share = train_on_scenes(task, arm, seed, rate(task, arm))
            arms.setdefault(arm, {})[task] = share
    return {"arms": arms}


def sweep(task: str, seed: int = 100, data: str = "world") -> dict[str, Any]:
    """Try every rate for every rival on a tuning seed that is not measured again.

    Args:
        task: "one_cue", "two_cues" or "cifar10".
        seed: the tuning seed.
        data: where CIFAR-10 is, for that task.

    Returns:
        rival -> rate -> share of right answers.
    """
    torch.set_num_threads(1)

    def share(arm: str, peak: float) -> float:
        if task == "cifar10":
            return train_on_pictures(arm, seed, peak, *pictures(data))
        return train_on_scenes(task, arm, seed, peak)

    return {arm: {f"{peak:g}": share(arm, peak) for peak in RATES} for arm in RIVALS}
