"""The detector on CSWin features that the book ships, and the command that trains it.

    python -m lib.papers.cswin.weights retinanet

trains the RetinaNet of the chapter on Mobile-Former with a small CSWin as its
backbone and writes `retinanet.safetensors` and, beside it, the log `retinanet.json`.
Scenes, pyramid, towers, steps and batches are that chapter's. `sweep` adds the rates
that were tried.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lib.layers.detection import RetinaNet
from lib.papers.cswin.model import CSWin
from lib.papers.mobile_former.queries_training import CLASSES
from lib.papers.mobile_former.weights import PYRAMID, TOWERS, train_detector
from lib.papers.shipped import extend_log, load_weights, run_command

# Three stages for 64x64 pictures: maps at strides 4, 8, 16. Its multiply-adds are near
# those of the Mobile-Former that the first chapter puts into the same detector.
BACKBONE: dict[str, Any] = dict(
    dim=16, depths=(1, 2, 2), stripes=(1, 2, 4), heads=(2, 4, 8)
)

RATE = 8e-3
"""Peak learning rate, the first chapter's too, and the best of those tried (the log's
"sweep")."""

SWEPT = (2e-3, 4e-3, 8e-3)
"""Peak learning rates that are tried."""


def build_retinanet() -> RetinaNet:
    """Build RetinaNet on a small CSWin, with random weights."""
    body = CSWin(**BACKBONE, num_classes=0)
    return RetinaNet(body, body.widths, CLASSES, **PYRAMID, **TOWERS)


def train_retinanet(
    seed: int = 0, *, rate: float = RATE, **options: Any
) -> tuple[RetinaNet, dict[str, Any]]:
    """Train the detector and measure it on held-out scenes.

    Args:
        seed: of weights, scenes and their order.
        rate: the highest learning rate.
        options: of the first chapter's `train_detector`.

    Returns:
        The detector in eval mode, and the log of the run.
    """
    about = {"command": "python -m lib.papers.cswin.weights retinanet"}
    return train_detector(build_retinanet, about, seed, rate=rate, **options)


def sweep_rates(
    folder: str | Path,
    rates: Sequence[float] = SWEPT,
    *,
    seed: int = 100,
    steps: int = 300,
    **options: Any,
) -> dict[str, Any]:
    """Try rates on a tuning seed and scenes of the training digits.

    Args:
        folder: of `retinanet.json`, whose entry "sweep" is written.
        rates: peak learning rates.
        seed: is not used again.
        steps: number of batches, fewer than for the weights.
        options: of `train_retinanet`.

    Returns:
        The entry: seed, steps, and rate -> AP.
    """
    found = {
        f"{rate:g}": train_retinanet(
            seed, rate=rate, steps=steps, split="train", **options
        )[1]["held_out"]["AP"]
        for rate in rates
    }
    entry = {"seed": seed, "steps": steps, "AP": found}
    extend_log(Path(folder) / "retinanet.json", {"sweep": entry})
    return entry


def load_retinanet() -> RetinaNet:
    """Build the detector and give it the weights that come with the book.

    Returns:
        The detector in eval mode.
    """
    return load_weights(build_retinanet(), "cswin", "retinanet")


COMMANDS: dict[str, Callable[[Path], Any]] = {
    "retinanet": lambda folder: train_retinanet(folder=folder)[1]["held_out"],
    "sweep": sweep_rates,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and print what was reached."""
    description = "Train the detector that the book ships."
    run_command("cswin", description, COMMANDS, arguments)


if __name__ == "__main__":
    main()
