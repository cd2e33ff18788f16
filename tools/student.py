"""Make the students' notebooks from `exercises.ipynb`, the instructor's source.

Solutions become empty places, hidden tests and all outputs go. The result is
`student/NN_slug/exercises.ipynb`, a folder that git leaves out.
"""

import argparse
import copy
import re
import sys
from pathlib import Path

from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # started as a script: let `tools` be found
    sys.path.insert(0, str(ROOT))

from tools.notebooks import (  # noqa: E402
    chapters,
    find_chapter,
    read,
    shown,
    tags,
    write,
)

CODE_STUB = "# your code here\n..."
TEXT_STUB = "*Your answer here.*"


def student_view(nb: NotebookNode) -> NotebookNode:
    """Return a copy without solutions, hidden tests and outputs.

    A cell tagged `solution` becomes its metadata's `stub`, or a standard one; a cell
    tagged `test-hidden` goes.

    Raises:
        ValueError: A solution stands in a text cell that is not tagged.
    """
    view = copy.deepcopy(nb)
    view.cells = [cell for cell in view.cells if "test-hidden" not in tags(cell)]
    for i, cell in enumerate(view.cells, 1):
        code = cell.cell_type == "code"
        stub = cell.metadata.pop("stub", CODE_STUB if code else TEXT_STUB)
        if "solution" in tags(cell):
            cell.source = stub
        elif not code and re.search(r"\{solution", cell.source):
            raise ValueError(f"cell {i} holds a solution and is not tagged `solution`")
        if code:
            cell.outputs, cell.execution_count = [], None
    return view


def make(folder: Path, root: Path = ROOT) -> Path:
    """Write a chapter's student notebook and return its path.

    Raises:
        ValueError: The chapter has no exercises, or a solution would be shown.
    """
    book = read(folder / "exercises.ipynb", root)
    try:
        view = student_view(book.nb)
    except ValueError as error:
        raise ValueError(f"{book.name}: {error}") from error
    path = root / "student" / folder.name / "exercises.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    write(view, path)
    return path


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Make one chapter's student notebook, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", help="a chapter; without it, all with exercises")
    options = parser.parse_args(arguments)
    try:
        if options.name:
            folders = [find_chapter(options.name, root)]
        else:
            known = chapters(root).values()
            folders = [path for path in known if (path / "exercises.ipynb").is_file()]
        for folder in folders:
            print(f"wrote {shown(make(folder, root), root)}")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
