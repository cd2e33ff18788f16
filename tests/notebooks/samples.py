"""Notebooks made for the tests, in a small book of their own."""

from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
)

from tools.bootstrap import first_cell
from tools.notebooks import KERNEL, Notebook, write

MODULE = '''
"""A module with one component."""

import math


class Shift:
    """Adds a constant.

    Args:
        by: the constant.
    """

    def __init__(self, by: float):
        self.by = by  # kept as given

    def __call__(self, x: float) -> float:
        """Return `x` shifted.

        Any number will do.
        """
        return x + self.by


@property
def root(x: float) -> float:
    """Return the root."""
    return math.sqrt(x)


SIZES: dict[str, int] = {"small": 1, "large": 2}
'''

SHIFT = '''class Shift:
    """Adds a constant."""

    def __init__(self, by: float):
        self.by = by  # kept as given

    def __call__(self, x: float) -> float:
        """Return `x` shifted."""
        return x + self.by'''


def text(source: str, **metadata: Any) -> NotebookNode:
    """Return a text cell."""
    return new_markdown_cell(source, metadata=metadata)


def code(
    source: str, prints: str = "", *outputs: NotebookNode, **metadata: Any
) -> NotebookNode:
    """Return a code cell that stores printed text and other outputs."""
    stored = list(outputs)
    if prints:
        stored.append(new_output("stream", name="stdout", text=prints))
    return new_code_cell(source, outputs=stored, metadata=metadata)


def notebook(*cells: NotebookNode) -> NotebookNode:
    """Return a notebook whose cells are counted as if they had run."""
    nb = new_notebook(cells=list(cells))
    count = 0
    for cell in nb.cells:
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
    return nb


def good_cells(root: Path) -> list[NotebookNode]:
    """Return the cells of a chapter that keeps every rule."""
    opening = "# Toys\n\n" + "The paper shifts numbers by what it learns. " * 6
    long = "Every number is shifted once and then read off. " * 340
    png = {"image/png": "AAAA", "text/plain": "Figure: a line"}
    alt = "A straight line that rises from the lower left to the upper right"
    return [
        first_cell(root),
        text(opening),
        text("## Before you start\n\nNothing is needed."),
        code("import numpy as np\n\nprint(np.arange(3))", "[0 1 2]\n"),
        text("## The shift\n\n" + long),
        code(SHIFT, component="lib.toys:Shift"),
        text("It is drawn, then trained."),
        code(
            "draw()",
            "",
            new_output("display_data", data=png),
            mystnb={"image": {"alt": alt}, "figure": {"name": "line"}},
        ),
        text("Trained numbers differ from machine to machine."),
        code("print(loss)", "0.123\n", tags=["nbval-ignore-output"]),
        text("They stay below a bound."),
        code("assert loss < 0.2\nprint('learned')", "learned\n"),
        text("The shift is undone."),
        code("print(Shift(-1)(2))", "1\n"),
        text("A last look."),
        code("print(Shift(1)(2))", "3\n"),
        text("## The ledger\n\nAll met."),
        text("## Limits\n\nMany."),
        text("## Summary\n\nDone."),
    ]


def make_book(root: Path) -> Path:
    """Make a book of one chapter, `toys`, with one component; return its top folder."""
    for folder in ("chapters/01_toys", "src/lib/assets/toys"):
        (root / folder).mkdir(parents=True)
    (root / "src/lib/toys.py").write_text(MODULE)
    (root / "src/lib/assets/toys/paper.yml").write_text("slug: toys\nstate: built\n")
    (root / "_config.yml").write_text(
        "repository:\n  url: https://github.com/someone/toys\n"
    )
    toc = "root: index\nparts:\n- chapters:\n  - file: chapters/01_toys/toys\n"
    (root / "_toc.yml").write_text(toc)
    return root


def in_book(root: Path, nb: NotebookNode, stem: str = "toys") -> Notebook:
    """Return a notebook placed in the small book, not written."""
    nb.metadata = nbformat.from_dict(KERNEL | nb.metadata)
    return Notebook(root / "chapters/01_toys" / f"{stem}.ipynb", nb, root)


def stored(path: Path, *cells: NotebookNode) -> Path:
    """Write a notebook of these cells and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write(notebook(*cells), path)
    return path
