"""Are multiply-adds time? Mobile-Former-294M beside networks of the same cost.

All networks run as they would be used: fused, channels last, one thread, 224 x 224.
They take turns, so that a busy machine slows all alike. Printed is the median CPU
time of a picture; `--save` also writes the numbers for the chapter.
"""

import json
import platform
import statistics
import sys
import time

import torch
from torch import nn

from lib.assets import paper_path
from lib.layers import fuse
from lib.metrics import count_macs
from lib.papers.mobile_former import mobile_former
from lib.training import write_atomically

RUNS = 15
BATCHES = (1, 4)
MOBILE = dict(tokens=0, act="relu6")
NETWORKS: dict[str, dict] = {
    "Mobile-Former 294M": {},
    "the same with ReLU6": dict(act="relu6"),
    "Mobile with squeeze-and-excitation, 1.08 times as wide": MOBILE
    | dict(squeeze_excite=True, width=1.08),
    "Mobile alone, 1.12 times as wide": MOBILE | dict(width=1.12),
}
"""The widened ones have at least the multiply-adds of Mobile-Former."""


def build(**switches: object) -> tuple[nn.Module, float]:
    """Build a network for inference; return it with its multiply-adds, in millions."""
    torch.manual_seed(0)
    net = mobile_former("294M", **switches).eval()
    macs = count_macs(net, torch.zeros(1, 3, 224, 224)) / 1e6
    return fuse(net).to(memory_format=torch.channels_last), macs


def measure(nets: dict[str, nn.Module], batch: int) -> dict[str, list[float]]:
    """Return milliseconds of CPU time for one picture, run by run."""
    x = torch.randn(batch, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    times: dict[str, list[float]] = {name: [] for name in nets}
    for run in range(RUNS + 2):
        for name, net in nets.items():
            start = time.process_time()
            with torch.inference_mode():
                net(x)
            if run >= 2:  # the first two warm the caches
                spent = time.process_time() - start
                times[name].append(1e3 * spent / batch)
    return times


def main() -> None:
    """Measure, print, and write the numbers if asked to."""
    torch.set_num_threads(1)
    built = {name: build(**options) for name, options in NETWORKS.items()}
    nets = {name: net for name, (net, _) in built.items()}
    table = {name: {"million_macs": round(m, 1)} for name, (_, m) in built.items()}
    for batch in BATCHES:
        for name, times in measure(nets, batch).items():
            table[name][f"ms_batch_{batch}"] = round(statistics.median(times), 2)
    for name, row in table.items():
        times = ", ".join(
            f"{row[f'ms_batch_{b}']:.1f} ms at batch {b}" for b in BATCHES
        )
        print(f"{name}: {row['million_macs']:.0f} M, {times} for a picture")
    if "--save" in sys.argv[1:]:
        found = {
            "machine": f"{platform.machine()}, one thread, torch {torch.__version__}",
            "networks": table,
        }
        path = paper_path("mobile_former", "latency.json")
        write_atomically(path, (json.dumps(found, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
