"""Tables of trained networks: every answer is known, and only asking reveals it."""

from __future__ import annotations

import csv
import math
import operator
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import torch
from torch import Tensor

_GAP = re.compile(r"[\s,;:|/_-]+")  # between the numbers of a code


class BudgetError(RuntimeError):
    """A search asked for more rows than it was allowed."""


class Oracle:
    """Answers one row at a time and counts the rows that were asked.

    The labels stand in no attribute, so that a search knows only what it asked for.
    This guards against mistakes, not against code that digs for them on purpose.

    Args:
        labels: the answer to each row (n,).
        budget: how many different rows may be asked; by default all.

    Raises:
        ValueError: a budget below 1.
    """

    __slots__ = ("_ask", "_asked", "_count", "budget")

    def __init__(
        self, labels: Sequence[float] | Tensor, budget: int | None = None
    ) -> None:
        if budget is not None and budget < 1:
            raise ValueError(f"budget={budget} must be 1 or more")
        known = torch.as_tensor(labels).tolist()
        asked: dict[int, float] = {}

        def ask(row: int) -> float:
            if row not in asked:
                _checked(row, len(known))
                if budget is not None and len(asked) >= budget:
                    raise BudgetError(
                        f"row {row} would be query {budget + 1}; the budget is {budget}"
                    )
                asked[row] = known[row]
            return asked[row]

        # Labels and count live in these functions, out of a search's way.
        self._ask = ask
        self._asked = lambda: dict(asked)
        self._count = lambda: len(asked)
        self.budget = budget

    @property
    def n_queries(self) -> int:
        """How many different rows have been asked."""
        return self._count()

    @property
    def asked(self) -> dict[int, float]:
        """The rows asked so far with their answers, in the order of asking."""
        return self._asked()

    def query(self, i: SupportsIndex) -> float:
        """Return the label of a row; a row that was asked before costs nothing.

        Raises:
            ValueError: no such row.
            BudgetError: a further row after the budget is used up.
        """
        return self._ask(operator.index(i))


class TabularSpace:
    """The codes of a table, without its labels: all that a search may look at.

    Args:
        codes: whole numbers (n, digits), no row twice.
        neighbours: for each row the rows beside it, as a sequence of n integer
            tensors or as a matrix (n, most) padded with -1; by default the rows that
            differ in exactly one digit.

    Raises:
        ValueError: an argument outside what is said here.
    """

    def __init__(
        self, codes: Tensor, *, neighbours: Sequence[Tensor] | Tensor | None = None
    ) -> None:
        self.codes = _checked_codes(codes)
        if neighbours is not None:
            self._neighbours = _checked_neighbours(neighbours, len(self.codes))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.codes)

    def features(self) -> Tensor:
        """Return the codes as predictors read them, float32 (n, d).

        Each digit is written as one 1 among as many places as it has options; options
        are the numbers that occur in the table at this digit, in ascending order.
        """
        return self._features.clone()

    @cached_property
    def _features(self) -> Tensor:
        return torch.cat(
            [digit[:, None] == digit.unique() for digit in self.codes.T], 1
        ).float()

    def neighbours(self, i: SupportsIndex) -> Tensor:
        """Return the rows beside a row, integers (any number,), ascending by default.

        Raises:
            ValueError: no such row.
        """
        return self._neighbours[_checked(operator.index(i), len(self))]

    @cached_property
    def _neighbours(self) -> Sequence[Tensor]:
        return _one_digit_apart(self.codes.numpy())


class TabularBenchmark(TabularSpace):
    """A table of networks with the validation and test accuracy of each.

    Hand `space()` and `oracle(budget)` to a search of your own: together they show
    what the table knows only for the rows that were asked.

    Args:
        codes: whole numbers (n, digits), no row twice.
        val: label of each row that a search asks for (n,), finite; higher is better.
        test: label of each row that is reported (n,), finite; by default `val`.
        groups: class of equal networks of each row (n,), whole numbers.
        neighbours: as for `TabularSpace`.

    Raises:
        ValueError: an argument outside what is said here.
    """

    def __init__(
        self,
        codes: Tensor,
        val: Sequence[float] | Tensor,
        test: Sequence[float] | Tensor | None = None,
        *,
        groups: Sequence[int] | Tensor | None = None,
        neighbours: Sequence[Tensor] | Tensor | None = None,
    ) -> None:
        super().__init__(codes, neighbours=neighbours)
        self.val = _checked_labels("val", val, len(self))
        self.test = _checked_labels("test", val if test is None else test, len(self))
        self.groups = None if groups is None else torch.as_tensor(groups).long()
        if self.groups is not None and self.groups.shape != (len(self),):
            raise ValueError(
                f"groups of shape {tuple(self.groups.shape)} must have "
                f"one number for each of {len(self)} codes"
            )
        self._own = self.oracle()

    @property
    def best(self) -> int:
        """The row of the best validation label, the first if several are best."""
        return int(np.argmax(self.val.numpy()))  # torch promises no first one

    def space(self) -> TabularSpace:
        """Return the codes and neighbours alone."""
        return TabularSpace(self.codes, neighbours=self._neighbours)

    def oracle(self, budget: int | None = None) -> Oracle:
        """Return a fresh oracle that answers with validation labels.

        Args:
            budget: how many different rows it answers; by default all.

        Raises:
            ValueError: a budget below 1.
        """
        return Oracle(self.val, budget)

    def query(self, i: SupportsIndex) -> float:
        """Ask the table's own oracle, which has no budget.

        Raises:
            ValueError: no such row.
        """
        return self._own.query(i)

    @property
    def n_queries(self) -> int:
        """How many different rows `query` has been asked for."""
        return self._own.n_queries

    @classmethod
    def from_csv(
        cls, path: str | Path, *, code: str, val: str, test: str | None = None
    ) -> TabularBenchmark:
        """Read a table from a CSV file with a line of column names.

        Args:
            path: the file, in UTF-8.
            code: column of codes, read as text so that leading zeros stay: one figure
                a digit (`0142`), or whole numbers with something between them
                (`3-10-2`).
            val: column of the labels that a search asks for.
            test: column of the labels that are reported, by default `val`; may be the
                same column.

        Raises:
            ValueError: no such file, a missing column, no rows, or a row that cannot
                be read, is not finite or repeats a code.
        """
        where, columns = f"path={str(path)!r}", {}
        wanted = {"code": code, "val": val, "test": val if test is None else test}
        try:
            with Path(path).open(encoding="utf-8-sig", newline="") as stream:
                rows = list(csv.reader(stream))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{where} cannot be read: {error}") from error
        names, *rows = [row for row in rows if row] or [[]]
        for argument, name in wanted.items():
            at = _place(where, argument, name, names)
            columns[argument] = [row[at] if at < len(row) else "" for row in rows]
        return cls._from_columns(where, wanted, columns)

    @classmethod
    def from_hub(
        cls,
        name: str | Path,
        *,
        split: str = "train",
        code: str,
        val: str,
        test: str | None = None,
    ) -> TabularBenchmark:
        """Read a table from the Hugging Face Hub, or a local copy of one.

        Args:
            name: a Hub id such as `"owner/name"`, a local `.parquet` file, or a local
                folder of parquet or CSV files.
            split: which split of it.
            code: column of codes: text, as `from_csv` reads it, or a list of whole
                numbers a row. Single numbers are refused: they have lost their leading
                zeros.
            val: column of the labels that a search asks for.
            test: column of the labels that are reported, by default `val`; may be the
                same column.

        Raises:
            ValueError: as `from_csv`, or no such data set or split.
            ConnectionError: the Hub cannot be reached and no copy is on this machine.
        """
        where, columns = f"name={str(name)!r}", {}
        wanted = {"code": code, "val": val, "test": val if test is None else test}
        rows = _load(name, split)
        for argument, column in wanted.items():
            _place(where, argument, column, rows.column_names)
            columns[argument] = list(rows[column])
        return cls._from_columns(where, wanted, columns)

    @classmethod
    def _from_columns(
        cls, where: str, wanted: dict[str, str], columns: dict[str, list[Any]]
    ) -> TabularBenchmark:
        """Read codes and labels, or say in which row of which column that fails."""
        if not columns["code"]:
            raise ValueError(f"{where} has no rows")
        labels = {
            argument: [
                _label(value, f"{where}: row {row} of column {wanted[argument]!r}")
                for row, value in enumerate(columns[argument])
            ]
            for argument in ("val", "test")
        }
        codes: list[list[int]] = []
        for row, value in enumerate(columns["code"]):
            place = f"{where}: row {row} of column {wanted['code']!r}"
            codes.append(_code(value, place))
            if len(codes[-1]) != len(codes[0]):
                raise ValueError(
                    f"{place} holds {value!r}, a code of {len(codes[-1])} digits; row "
                    f"0 has {len(codes[0])}, and all must have the same number"
                )
        try:
            return cls(torch.tensor(codes), labels["val"], labels["test"])
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error


def _load(name: str | Path, split: str) -> Any:
    """Load rows as `load_pictures` does, with the same words when that fails."""
    from lib.data import real

    try:
        return real._load(name, split, None, None)
    except ConnectionError as error:
        raise ConnectionError(
            f"name={str(name)!r}: the Hub cannot be reached, and no copy is on this "
            "machine; a local folder with the same columns does as well"
        ) from error
    except ValueError as error:
        raise ValueError(str(error).replace("data=", "name=", 1)) from error


def _place(where: str, argument: str, name: str, names: Sequence[str]) -> int:
    """Find a column, or say which there are."""
    if list(names).count(name) == 1:
        return list(names).index(name)
    if name in names:
        raise ValueError(f"{where} has several columns {name!r}; {argument} needs one")
    there = ", ".join(map(repr, names)) or "none"
    raise ValueError(
        f"{where} has no column {name!r} for {argument}; its columns: {there}"
    )


def _code(value: Any, place: str) -> list[int]:
    """Read one code: figures, numbers with something between them, or a list."""
    if isinstance(value, str):
        parts = _GAP.split(value.strip(" []()"))
        parts = parts if len(parts) > 1 else list(parts[0])
        if parts and all(re.fullmatch(r"[0-9]{1,9}", part) for part in parts):
            return [int(part) for part in parts]
    elif isinstance(value, list) and value and all(type(v) is int for v in value):
        return value
    raise ValueError(
        f"{place} holds {value!r}; a code is text such as '0142' or '3-10-2', or a "
        "list of whole numbers (a single number has lost its leading zeros)"
    )


def _label(value: Any, place: str) -> float:
    """Read one label."""
    try:
        label = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{place} holds {value!r}; labels must be numbers") from None
    if not math.isfinite(label):
        raise ValueError(f"{place} holds {value!r}; labels must be finite")
    return label


def _checked(row: int, rows: int) -> int:
    if not 0 <= row < rows:
        raise ValueError(f"i={row} is no row; allowed are 0 to {rows - 1}")
    return row


def _checked_codes(codes: Tensor) -> Tensor:
    """Refuse what is no table of different codes."""
    codes = torch.as_tensor(codes)
    if codes.ndim != 2 or not codes.numel() or codes.is_floating_point():
        raise ValueError(
            f"codes of shape {tuple(codes.shape)} and type {codes.dtype} must be whole "
            "numbers (rows, digits), at least one row and one digit"
        )
    codes = codes.long().cpu().clone()
    first: dict[tuple[int, ...], int] = {}
    for row, code in enumerate(map(tuple, codes.tolist())):
        if first.setdefault(code, row) != row:
            raise ValueError(
                f"codes: row {row} repeats row {first[code]}, code "
                f"{'-'.join(map(str, code))}; each code may stand only once"
            )
    return codes


def _checked_labels(argument: str, labels: Any, rows: int) -> Tensor:
    """Refuse labels that are not one finite number a row."""
    checked = torch.as_tensor(labels, dtype=torch.float64).cpu().clone()
    if checked.shape != (rows,):
        raise ValueError(
            f"{argument} of shape {tuple(checked.shape)} must have one number for each "
            f"of {rows} codes"
        )
    wrong = (~checked.isfinite()).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(
            f"{argument}: row {row} is {float(checked[row])}; labels must be finite"
        )
    return checked


def _checked_neighbours(
    neighbours: Sequence[Tensor] | Tensor, rows: int
) -> Sequence[Tensor]:
    """Refuse neighbours that are no rows; give one tensor a row."""
    if len(neighbours) != rows:
        raise ValueError(f"neighbours: {len(neighbours)} given for {rows} codes")
    if isinstance(neighbours, Tensor):
        neighbours = [row[row != -1] for row in neighbours]
    lists = [torch.as_tensor(row).long() for row in neighbours]
    flat = torch.cat(lists)
    wrong = flat[(flat < 0) | (flat >= rows)]
    if len(wrong):
        raise ValueError(
            f"neighbours hold {int(wrong[0])}; allowed are 0 to {rows - 1}"
        )
    return lists


def _one_digit_apart(codes: np.ndarray) -> Sequence[Tensor]:
    """List for each row the rows that differ in exactly one digit, ascending.

    For each digit, rows that agree in all others form a group; everything in a group
    is beside everything else in it.
    """
    starts, ends = [], []
    for digit in range(codes.shape[1]):
        others = codes.copy()
        others[:, digit] = 0
        group = np.unique(others, axis=0, return_inverse=True)[1].ravel()
        order = np.argsort(group, kind="stable")
        for shift in range(1, int(np.bincount(group).max())):
            a, b = order[:-shift], order[shift:]
            same = group[a] == group[b]
            starts += [a[same], b[same]]
            ends += [b[same], a[same]]
    empty = np.empty(0, np.int64)
    start, end = np.concatenate([empty, *starts]), np.concatenate([empty, *ends])
    sorted_ends = torch.from_numpy(end[np.lexsort((end, start))])
    return sorted_ends.split(np.bincount(start, minlength=len(codes)).tolist())
