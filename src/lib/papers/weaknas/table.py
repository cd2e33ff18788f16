"""The command that makes the book's own table of trained networks.

    python -m lib.papers.weaknas.table --space mixcell4 --seeds 0-7
    python -m lib.papers.weaknas.table --space mixcell4 --seeds 8-23 --codes best:100

The first line trains one network a class and seed, the second more seeds of the classes
that are best by validation. Each finished seed is a file of its own, written aside and
renamed; a stopped command resumes with the seeds that are missing. At the end all seed
files are joined to one CSV file with a log.

*The label of a class.* The best 100 by validation are partly lucky: a mean that chose
them is too high (the winner's curse). Where a class has seeds of its own, its `val` and
`test` are therefore means over these alone, and the seeds that chose it do not count.
All other classes have the mean over the seeds of the whole table. Every single run is
in the columns `val_0`, `test_0`, ... so that other labels can be made.

Two settings of glibc's allocator keep freed memory in the process and make the trainer
faster; the command starts itself again with them.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import platform
import re
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from lib.papers.weaknas.shipped import SPACES, class_codes, mixcell4
from lib.papers.weaknas.trainer import cell_data, train_cells

__all__ = ["combine", "main", "make_seed", "mixcell4", "train_seed"]

ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
    "MALLOC_TRIM_THRESHOLD_": "4000000000",
}
"""Environment for the training: large blocks come from the heap and stay there."""

Json = dict[str, Any]


def train_seed(
    codes: Sequence[str],
    seed: int,
    *,
    data_seed: int = 0,
    together: int = 30,
    device: str = "cpu",
) -> dict[str, tuple[float, float]]:
    """Train one network a code with the recipe of the table.

    Args:
        codes: codes as text.
        seed: of weights and batches.
        data_seed: of `cell_digits`.
        together: networks in one graph; it changes the time, not the numbers.
        device: where to train.

    Returns:
        Code -> validation and test accuracy in percent.
    """
    data = cell_data(data_seed, device=device)
    labels: dict[str, tuple[float, float]] = {}
    for start in range(0, len(codes), together):
        batch = codes[start : start + together]
        found = train_cells(batch, data, seed=seed)
        pairs = zip(found.val.tolist(), found.test.tolist(), strict=True)
        labels.update(zip(batch, pairs, strict=True))
    return labels


def machine() -> str:
    """Name what the last digits of a training depend on: torch and the processor."""
    name = platform.processor() or platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.is_file():
        found = re.search(r"model name\s*: (.*)", cpus.read_text())
        name = found[1] if found else name
    level = torch.backends.cpu.get_cpu_capability()
    return f"torch {torch.__version__.split('+')[0]}, {name}, {level}"


def make_seed(
    folder: Path, space: str, seed: int, codes: Sequence[str], **options: Any
) -> Path:
    """Train one seed unless its file is there, and store it in one step.

    Args:
        folder: of the seed files.
        space: name of the space.
        seed: of weights and batches.
        codes: what to train.
        **options: those of `train_seed`.

    Raises:
        ValueError: the file is there with other codes or other data.
    """
    file = folder / f"seed_{seed}.json"
    data_seed = options.get("data_seed", 0)
    if file.is_file():
        old = json.loads(file.read_text())
        if set(old["labels"]) != set(codes) or old["data_seed"] != data_seed:
            raise ValueError(
                f"{file.name} holds other codes or other data; delete it, or choose "
                f"another seed than seed={seed}"
            )
        return file
    clock = time.process_time()
    labels = train_seed(codes, seed, **options)
    record = {
        "space": space,
        "seed": seed,
        "data_seed": data_seed,
        "codes": len(codes),
        "cpu_seconds": round(time.process_time() - clock),
        "together": options.get("together", 30),
        "device": options.get("device", "cpu"),
        "machine": machine(),
        "labels": labels,
    }
    write_whole(file, json.dumps(record))
    return file


def write_whole(file: Path, text: str) -> None:
    """Write a file aside and rename it, so that it is whole or not there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f"{file.name}.{os.getpid()}.part")
    aside.write_text(text, encoding="utf-8")
    aside.replace(file)


def read_seeds(folder: Path) -> list[Json]:
    """Read the finished seeds, in the order of their numbers."""
    found = [json.loads(file.read_text()) for file in folder.glob("seed_*.json")]
    return sorted(found, key=lambda record: record["seed"])


def best_codes(records: Iterable[Json], codes: Sequence[str], count: int) -> list[str]:
    """Give the codes of highest mean validation accuracy over the whole seeds.

    Args:
        records: seeds; those that hold only some of the codes are left out.
        codes: all codes.
        count: how many.

    Returns:
        In the order of `codes`.

    Raises:
        ValueError: no seed holds all codes, or there are fewer than `count`.
    """
    whole = [r["labels"] for r in records if len(r["labels"]) == len(codes)]
    if not whole:
        raise ValueError("codes='best:...': no seed of all codes is finished yet")
    if not 1 <= count <= len(codes):
        raise ValueError(f"codes='best:{count}': allowed are 1 to {len(codes)}")
    mean = {code: sum(labels[code][0] for labels in whole) for code in codes}
    chosen = set(sorted(codes, key=lambda code: (-mean[code], code))[:count])
    return [code for code in codes if code in chosen]


def combine(records: Sequence[Json], codes: Sequence[str]) -> tuple[str, str]:
    """Join the seeds to the text of the table and of its log.

    Args:
        records: seeds, at least one that holds all codes.
        codes: all codes, one a row.

    Returns:
        The CSV text, percent with a dot, and one line of JSON a seed.

    Raises:
        ValueError: no seed holds all codes, or the data differ.
    """
    whole = [r["seed"] for r in records if len(r["labels"]) == len(codes)]
    if not whole:
        raise ValueError("records: no seed of all codes is finished yet")
    if len({r["data_seed"] for r in records}) > 1:
        raise ValueError("records: the seeds were trained on different data")
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    runs = [f"{kind}_{r['seed']}" for r in records for kind in ("val", "test")]
    table.writerow(["code", "val", "test", "runs", *runs])
    for code in codes:
        own = {r["seed"]: r["labels"][code] for r in records if code in r["labels"]}
        fresh = [seed for seed in own if seed not in whole]  # they did not choose it
        used = [own[seed] for seed in (fresh or whole)]
        means = [sum(pair[i] for pair in used) / len(used) for i in (0, 1)]
        cells = [own.get(r["seed"], ("", "")) for r in records]
        table.writerow(
            [code, *(f"{mean:.4f}" for mean in means), len(used)]
            + [round(x, 4) if x != "" else x for pair in cells for x in pair]
        )
    kept = [{k: v for k, v in r.items() if k != "labels"} for r in records]
    return out.getvalue(), "".join(json.dumps(line) + "\n" for line in kept)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m lib.papers.weaknas.table")
    parser.add_argument("--space", choices=SPACES, default="mixcell4")
    parser.add_argument("--seeds", default="0-7", help="such as 0-7 or 3,5")
    parser.add_argument(
        "--codes", default="all", help="all, best:100, or codes separated by commas"
    )
    parser.add_argument("--jobs", type=int, default=1, help="seeds at the same time")
    parser.add_argument("--together", type=int, default=30, help="networks in a graph")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--data-seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="default: build/tables/SPACE")
    return parser.parse_args(arguments)


def read_numbers(text: str) -> list[int]:
    """Read seeds written as `0-7`, `3` or `0-2,5`, each once and rising.

    Raises:
        ValueError: for anything else.
    """
    numbers: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part.strip())
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise ValueError(f"seeds={text!r}: allowed are such as 0-7 or 0-2,5")
        numbers |= set(range(int(match[1]), int(match[2] or match[1]) + 1))
    return sorted(numbers)


def main(arguments: Sequence[str] | None = None) -> Path:
    """Train the missing seeds, then join all of them to one table.

    Returns:
        The table, `SPACE.csv` in the folder; the folder if no seed is whole.
    """
    options = parse(arguments)
    folder = options.folder or Path("build", "tables", options.space)
    every = class_codes(options.space)
    codes = every
    if options.codes.startswith("best:"):
        codes = best_codes(read_seeds(folder), every, int(options.codes[5:]))
    elif options.codes != "all":
        codes = options.codes.split(",")
        if unknown := set(codes) - set(every):
            raise ValueError(f"codes: {min(unknown)} is the first code of no class")
    settings = {
        "data_seed": options.data_seed,
        "together": options.together,
        "device": options.device,
    }
    tasks = [
        (folder, options.space, seed, codes) for seed in read_numbers(options.seeds)
    ]
    if options.jobs == 1:
        for task in tasks:
            print("finished", make_seed(*task, **settings), flush=True)
    else:
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        own = get_context("spawn")
        with ProcessPoolExecutor(
            options.jobs, own, torch.set_num_threads, (1,)
        ) as pool:
            for done in [pool.submit(make_seed, *task, **settings) for task in tasks]:
                print("finished", done.result(), flush=True)
    records = read_seeds(folder)
    if not any(len(record["labels"]) == len(every) for record in records):
        print("no seed of all codes is finished yet: nothing to join")
        return folder
    table, log = combine(records, every)
    write_whole(folder / f"{options.space}.log", log)
    write_whole(folder / f"{options.space}.csv", table)
    return folder / f"{options.space}.csv"


if __name__ == "__main__":
    if sys.platform == "linux" and not ALLOCATOR.keys() <= os.environ.keys():
        again = [sys.executable, "-m", "lib.papers.weaknas.table", *sys.argv[1:]]
        os.execve(sys.executable, again, ALLOCATOR | dict(os.environ))
    torch.set_num_threads(1)
    try:
        main()
    except ValueError as error:
        sys.exit(str(error))
