"""Write the NATS-Bench archive as a CSV file that `TabularBenchmark` reads.

NATS-Bench (Dong et al., TPAMI 2021) holds what the 15,625 networks of NAS-Bench-201
reached on three data sets. The archive is read by its own package, `nats_bench`, which
this book neither needs nor installs. It unpickles, so open only an archive that you
trust.

    python -m lib.data.nats_bench NATS-tss-v1_0-3ffb9-simple nb201.csv
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""The archive's names of the operations; the digit of a code is the place here."""

TEST = {"c10": "cifar10", "c100": "cifar100", "in16": "ImageNet16-120"}
"""Column -> data set of the test accuracy after 200 epochs."""

VAL12 = TEST | {"c10": "cifar10-valid"}
"""Column -> data set of the validation accuracy after 12 epochs.

CIFAR-10 has two: `cifar10` trains on all 50,000 pictures, `cifar10-valid` on half.
"""

COLUMNS = ("code", "group", *(f"{c}_test" for c in TEST), *(f"{c}_val12" for c in TEST))


class ArchiveError(ValueError):
    """The archive cannot be read, in words for the reader."""


def arch_code(arch: str) -> str:
    """Turn the archive's text for a cell into six digits.

    Args:
        arch: such as `|none~0|+|skip_connect~0|none~1|+|none~0|none~1|none~2|`.

    Raises:
        ArchiveError: another form, or an unknown operation.
    """
    digits, starts = "", []
    for edge in arch.replace("+", "").split("|"):
        if edge:
            op, _, start = edge.partition("~")
            starts.append(start)
            digits += str(OPS.index(op)) if op in OPS else "?"
    if starts != ["0", "0", "1", "0", "1", "2"] or "?" in digits:
        raise ArchiveError(f"arch={arch!r} is no cell of NAS-Bench-201")
    return digits


def same_text(code: str) -> str:
    """Write a cell as NATS-Bench does to find the 6,466 cells it calls different.

    This form tells apart more than `CellSpace.canonical`: sums of sums stay nested,
    and an empty sum of more than one edge still counts as something.
    """
    nodes, digits = ["x"], iter(code)
    for end in range(1, 4):
        terms = []
        for start in nodes[:end]:
            op = OPS[int(next(digits))]
            if op == "none" or start == "#":
                terms.append("#")
            else:
                terms.append(start if op == "skip_connect" else f"({start})@{op}")
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


def read_rows(api: Any) -> list[dict[str, Any]]:
    """Read all cells, sorted by code.

    Args:
        api: what `nats_bench.create(..., "tss")` gives.

    Returns:
        One row a cell with the names of `COLUMNS`: the six digits, the number of its
        group by first appearance in the archive, and accuracies in percent, each the
        mean over the runs of the archive, to 4 decimals.

    Raises:
        ArchiveError: a cell or accuracy is missing, or cells are not all different.
    """
    rows: dict[str, dict[str, Any]] = {}
    groups: dict[str, int] = {}
    for index in range(len(api)):
        code = arch_code(api.arch(index))
        row = {"code": code, "group": groups.setdefault(same_text(code), len(groups))}
        wanted = [(f"{c}_test", TEST[c], "200", "test-accuracy") for c in TEST]
        wanted += [(f"{c}_val12", VAL12[c], "12", "valid-accuracy") for c in TEST]
        for column, data, epochs, measure in wanted:
            try:
                # By default this would give one run drawn at random, after 12 epochs.
                info = api.get_more_info(index, data, hp=epochs, is_random=False)
                row[column] = round(float(info[measure]), 4)
            except (AssertionError, KeyError, OSError, ValueError) as error:
                raise ArchiveError(
                    f"cell {index} has no {measure} on {data} after {epochs} epochs "
                    f"({type(error).__name__}: {error})"
                ) from error
        rows[code] = row
        # In the fast mode the package keeps every file that it has read.
        getattr(api, "arch2infos_dict", {}).pop(index, None)
    if not rows or len(rows) != len(api):
        raise ArchiveError(f"{len(api)} cells with {len(rows)} different codes")
    return [rows[code] for code in sorted(rows)]


def write_csv(rows: Sequence[dict[str, Any]], out: str | Path) -> None:
    """Write rows under a name of its own, then rename, so that no half file stays.

    Raises:
        OSError: it cannot be written.
    """
    out = Path(out)
    part = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with part.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        os.replace(part, out)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0 if the file is written."""
    parser = argparse.ArgumentParser(
        prog="python -m lib.data.nats_bench", description=__doc__.split("\n")[0]
    )
    parser.add_argument("archive", help="NATS-tss folder (simple) or .pickle.pbz2 file")
    parser.add_argument("out", type=Path, help="the CSV file to write")
    given = parser.parse_args(arguments)
    try:
        nats_bench = importlib.import_module("nats_bench")
    except ImportError as error:
        return _fail(f"This command needs the package nats_bench ({error}).")
    if not Path(given.archive).exists():
        return _fail(f"ARCHIVE={given.archive!r} is no file or folder.")
    try:
        folder = Path(given.archive).is_dir()
        api = nats_bench.create(given.archive, "tss", fast_mode=folder, verbose=False)
        rows = read_rows(api)
    except Exception as error:  # the package raises whatever it meets
        return _fail(f"ARCHIVE={given.archive!r} cannot be read: {error}.")
    try:
        write_csv(rows, given.out)
    except OSError as error:
        return _fail(f"OUT={str(given.out)!r} cannot be written: {error.strerror}.")
    print(f"{given.out}: {len(rows)} cells")
    return 0


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
