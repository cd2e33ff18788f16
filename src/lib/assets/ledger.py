"""Computes the values of a ledger and compares them with the published ones.

A computed value is never typed: a row names a function, `lib.papers.x.ledger:f`, and
its arguments, and the value is what that function returns here and now.
"""

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lib.assets.schema import LedgerRow, Tolerance


@dataclass(frozen=True)
class Evaluated:
    """A ledger row with its computed value.

    `value` and `agrees` are None for a row that is not computable. `agrees` says
    whether the value meets the published one within the row's tolerance; `as_stated`
    whether that fits the row's state: a reproduced row agrees, as does a value of the
    book's own with its record; an explained one does not.
    """

    row: LedgerRow
    value: Any
    agrees: bool | None

    @property
    def as_stated(self) -> bool:
        """Whether the outcome is the one that the row's state promises."""
        expected = {"explained": False, "not computable": None}
        return self.agrees is expected.get(self.row.state, True)


def evaluate(row: LedgerRow) -> Evaluated:
    """Compute one row of a ledger.

    Args:
        row: the row, from `load_paper(slug).ledger`.

    Raises:
        ValueError: if the row names no function, or its value has another form than
            the published one.
    """
    if row.compute is None or row.tolerance is None:
        return Evaluated(row, None, None)
    value = _computed(row.compute, json.dumps(row.args, sort_keys=True))
    if _form(value) != _form(row.published):
        raise ValueError(
            f"ledger row '{row.id}': {row.compute} gives {value!r}, which has another "
            f"form than the published {row.published!r}"
        )
    return Evaluated(row, value, _agrees(value, row.published, row.tolerance))


@lru_cache
def _computed(compute: str, args: str) -> Any:
    return _lists(_function(compute)(**json.loads(args)))


def _function(compute: str) -> Callable[..., Any]:
    module, name = compute.split(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(f"compute '{compute}' names no function: {error}") from error


def _lists(value: Any) -> Any:
    """Turn tuples and shapes into lists and 0-d arrays into numbers."""
    if isinstance(value, tuple | list):
        return [_lists(item) for item in value]
    return value.item() if hasattr(value, "item") else value


def _form(value: Any) -> Any:
    if isinstance(value, list):
        return [_form(item) for item in value]
    if isinstance(value, bool | str):
        return type(value)
    return float if isinstance(value, int | float) else type(value)


def _agrees(value: Any, published: Any, tolerance: Tolerance) -> bool:
    if isinstance(published, list):
        return all(
            _agrees(v, p, tolerance) for v, p in zip(value, published, strict=True)
        )
    if tolerance.exact:
        return value == published
    if tolerance.decimals is not None:
        digits = tolerance.decimals
        return f"{value:.{digits}f}" == f"{published:.{digits}f}"
    if tolerance.relative is not None:
        allowed = tolerance.relative * abs(published)
    else:
        allowed = tolerance.absolute or 0.0
    return abs(value - published) <= allowed * (1 + 1e-9)  # the edge itself agrees
