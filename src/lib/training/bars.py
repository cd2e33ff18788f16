"""Progress bars that leave nothing in stored notebooks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")

QUIET = "PAPERS_BUILT_QUIET"
"""Environment variable that the project's own notebook runs set: no bars at all."""


def progress(
    iterable: Iterable[T], desc: str = "", total: int | None = None
) -> Iterable[T]:
    """Show a bar while something is gone through, and remove it at the end.

    The bar appears in a live notebook (Jupyter, Colab, Binder) and in a terminal. It
    is left out when output goes to a file or a pipe, and whenever the environment
    variable `PAPERS_BUILT_QUIET` is set: a notebook keeps every display it was ever
    sent, also of a bar that removed itself, so runs whose outputs are stored set it.

    Args:
        iterable: what to go through.
        desc: a word or two before the bar.
        total: number of items, where `len(iterable)` does not give it.

    Returns:
        The items, unchanged and in order.
    """
    if os.environ.get(QUIET):
        return iterable
    if _in_notebook():
        from tqdm.auto import tqdm

        return tqdm(iterable, desc, total, leave=False)
    from tqdm import tqdm as terminal

    return terminal(iterable, desc, total, leave=False, disable=not sys.stderr.isatty())


def _in_notebook() -> bool:
    """Tell whether a notebook's kernel runs this."""
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython

    return hasattr(get_ipython(), "kernel")
