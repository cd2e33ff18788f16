"""Speed of chapter 3: many networks in one graph, and small predictors, in one run.

First, thirty networks of MixCell-4 trained in one graph against the same thirty trained
one after the other as plain modules with `torch.optim.Adam`, both with the allocator
settings of the table's command. The losses must agree before anything is timed. Second,
a whole WeakNAS run on the shipped table with the predictors of the book against one
with those of the paper, at the same budget. Printed are ratios of CPU time, reference
over ours: above 1 ours is faster.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from lib.papers.weaknas import book_predictor, mixcell4, paper_predictor, weak_nas
from lib.papers.weaknas.shipped import class_codes
from lib.papers.weaknas.table import ALLOCATOR
from lib.papers.weaknas.trainer import CellStack, FlatAdam, cell_data, stack_losses

CODES = class_codes("mixcell4")[::29]  # 30 of 870, spread over the space
STEPS, BATCH, LR = 4, 40, 1e-2
RUNS = 9
PREDICTOR_RUNS = 3
BUDGET = 30  # two fits of a predictor: one of the paper's takes seconds


def in_one_graph(x: Tensor, y: Tensor) -> Callable[[], Tensor]:
    """Return some steps of training of all networks together: losses (STEPS, K)."""
    stack = CellStack(CODES)
    adam = FlatAdam(stack.flat)

    def run() -> Tensor:
        losses = []
        for i in range(STEPS):
            rows = slice(i * BATCH, (i + 1) * BATCH)
            loss = stack_losses(stack(x[:, rows]), y[rows])
            (gradient,) = torch.autograd.grad(loss.sum(), stack.flat)
            adam.step(gradient, LR)
            losses.append(loss.detach())
        return torch.stack(losses)

    return run


def one_at_a_time(x: Tensor, y: Tensor) -> Callable[[], Tensor]:
    """Return the same steps of the same networks, one network after the other."""
    stack = CellStack(CODES)
    nets = [stack.network(k) for k in range(len(CODES))]
    adams = [torch.optim.Adam(net.parameters(), LR) for net in nets]

    def run() -> Tensor:
        losses = torch.zeros(STEPS, len(nets))
        for k, (net, adam) in enumerate(zip(nets, adams, strict=True)):
            for i in range(STEPS):
                rows = slice(i * BATCH, (i + 1) * BATCH)
                loss = F.cross_entropy(net(x[:, rows]), y[rows])
                adam.zero_grad()
                loss.backward()
                adam.step()
                losses[i, k] = loss.detach()
        return losses

    return run


def search(make: Callable, kind: str) -> Callable[[], object]:
    """Return a WeakNAS run on the shipped table with one kind of predictor."""
    table = mixcell4()

    def run() -> object:
        return weak_nas(
            table,
            table.oracle(BUDGET),
            lambda seed: make(kind, seed),
            init=10,
            per_step=10,
            top=30,
            budget=BUDGET,
            generator=torch.Generator().manual_seed(0),
        )

    return run


def ratio(
    slow: Callable[[], object], fast: Callable[[], object], runs: int, each: int = 1
) -> str:
    """Time both in turns; return the median of the ratios and their spread.

    Args:
        slow: the reference.
        fast: ours.
        runs: how often both run.
        each: what a time is divided by in the printed milliseconds.
    """
    seconds: list[list[float]] = [[], []]
    for _ in range(runs):
        for run, kept in zip((slow, fast), seconds, strict=True):
            start = time.process_time()
            run()
            kept.append(time.process_time() - start)
    ratios = [a / b for a, b in zip(*seconds, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    took = " and ".join(f"{1e3 * statistics.median(s) / each:.2f}" for s in seconds)
    return f"{middle:.2f} (quartiles {low:.2f} to {high:.2f}; {took} ms, {runs} runs)"


def main() -> None:
    """Check equality, then print the ratios."""
    torch.set_num_threads(1)
    x, y = cell_data()["train"]
    slow, fast = one_at_a_time(x, y), in_one_graph(x, y)
    torch.testing.assert_close(fast(), slow(), rtol=1e-4, atol=1e-4)
    trained = ratio(slow, fast, RUNS, each=len(CODES) * STEPS)
    print(f"a training step of one of {len(CODES)} networks:  {trained}")
    for kind in ("mlp", "trees"):
        paper, book = search(paper_predictor, kind), search(book_predictor, kind)
        book()  # the first call imports scikit-learn
        result = ratio(paper, book, PREDICTOR_RUNS)
        print(f"WeakNAS, {BUDGET} evaluations, {kind}:  {result}")


if __name__ == "__main__":
    if sys.platform == "linux" and not ALLOCATOR.keys() <= os.environ.keys():
        again = [sys.executable, "-m", "tests.bench.bench_weaknas"]
        os.execve(sys.executable, again, ALLOCATOR | dict(os.environ))
    main()
