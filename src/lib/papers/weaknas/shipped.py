"""The book's own table as a benchmark, and the classes that are its rows."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from lib.assets import paper_path
from lib.data.spaces import MIXCELL4, MIXCELL5, CellSpace
from lib.data.tabular import TabularBenchmark

SPACES = {"mixcell4": MIXCELL4, "mixcell5": MIXCELL5}
"""Tables that the command of `lib.papers.weaknas.table` makes; the first is shipped."""


def mixcell4(path: str | Path | None = None) -> TabularBenchmark:
    """Read the book's own table, MixCell-4: one row a class of trained cells.

    `val` and `test` are means over seeds in percent, as `lib.papers.weaknas.table`
    describes them. The neighbours of a row are the classes that one changed digit of
    its code leads to.

    Args:
        path: a table that the command made; by default the shipped one.
    """
    file = Path(path) if path is not None else paper_path("weaknas", "mixcell4.csv")
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    codes = torch.tensor([[int(digit) for digit in row["code"]] for row in rows])
    val, test = (
        torch.tensor([float(row[name]) for row in rows], dtype=torch.float64)
        for name in ("val", "test")
    )
    return TabularBenchmark(codes, val, test, neighbours=class_neighbours("mixcell4"))


@cache
def class_neighbours(space: str) -> tuple[Tensor, ...]:
    """Give, for each class, the other classes one changed digit away, rising.

    The digit is changed in the first code of the class; a code whose output is empty
    leads nowhere.

    Args:
        space: one of `SPACES`.
    """
    cells = _space(space)
    classes, near = cells.classes(), []
    for row, code in enumerate(cells.representatives()):
        places = [cells.row(other) for other in cells.neighbours(code)]
        found = classes[places].unique()  # sorted
        near.append(found[(found >= 0) & (found != row)])
    return tuple(near)


def class_codes(space: str) -> list[str]:
    """Give the first code of each class that computes something, as text.

    Raises:
        ValueError: unknown space.
    """
    rows = _space(space).representatives()
    return ["".join(map(str, row)) for row in rows.tolist()]


def _space(name: str) -> CellSpace:
    if name not in SPACES:
        raise ValueError(f"space={name!r} is unknown; allowed: {', '.join(SPACES)}")
    return SPACES[name]
