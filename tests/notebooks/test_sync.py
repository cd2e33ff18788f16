"""Component cells hold the package's source, and the first cell installs it."""

from pathlib import Path

import pytest

from tests.notebooks.samples import SHIFT, code, make_book, notebook, stored, text
from tools.bootstrap import first_cell
from tools.notebooks import read
from tools.sync import component_source, differs, main

COMPONENT = "lib.toys:Shift"


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return make_book(tmp_path)


def test_source_has_one_line_docstrings(book: Path) -> None:
    assert component_source(COMPONENT, book) == SHIFT


def test_decorators_and_assignments_are_components(book: Path) -> None:
    root = component_source("lib.toys:root", book)
    assert root.startswith("@property\ndef root(")
    assert component_source("lib.toys:SIZES", book).endswith('"large": 2}')


@pytest.mark.parametrize(
    ("component", "words"),
    [
        ("lib.toys:Shif", "did you mean 'Shift'"),
        ("lib.toys:math", "it defines: Shift, root, SIZES"),
        ("lib.toy:Shift", "there is no module lib.toy"),
        ("lib.toys.Shift", "allowed is 'lib.module:Object'"),
        ("torch.nn:Conv2d", "allowed is 'lib.module:Object'"),
    ],
)
def test_unknown_component_is_named(book: Path, component: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        component_source(component, book)
    assert words in differs(SHIFT, component, book)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("x + self.by", "x - self.by", "the cell differs"),
        ("Adds a constant.", "Adds another.", "the cell differs"),
        ("# kept as given", "# kept", "the comments differ"),
        ("class Shift:", "class Shift", "is not Python"),
    ],
)
def test_changed_cell_is_found(book: Path, old: str, new: str, words: str) -> None:
    assert words in differs(SHIFT.replace(old, new), COMPONENT, book)


def test_line_breaks_do_not_count(book: Path) -> None:
    broken = SHIFT.replace("(self, by: float)", "(\n        self, by: float\n    )")
    assert differs(broken, COMPONENT, book) == ""


def test_sync_writes_cells_once(book: Path, capsys: pytest.CaptureFixture) -> None:
    path = book / "chapters/01_toys/toys.ipynb"
    stored(path, text("# Toys"), code("pass", component=COMPONENT), code("Shift(1)(2)"))
    assert main(["--check"], book) == 1
    assert (
        "code cell 1: the cell differs from lib.toys:Shift" in capsys.readouterr().err
    )
    assert main([], book) == 0
    nb = read(path, book).nb
    assert nb.cells[0].source == first_cell(book).source
    assert nb.cells[2].source == SHIFT
    before = path.read_bytes()
    assert main([], book) == 0
    assert main(["--check"], book) == 0
    assert path.read_bytes() == before


def test_sync_names_notebook_and_component(
    book: Path, capsys: pytest.CaptureFixture
) -> None:
    path = book / "chapters/01_toys/toys.ipynb"
    stored(path, text("# Toys"), code("pass", component="lib.toys:Shif"))
    before = path.read_bytes()
    assert main([], book) == 1
    said = capsys.readouterr().err
    assert "chapters/01_toys/toys.ipynb: component 'lib.toys:Shif'" in said
    assert path.read_bytes() == before


def test_sync_rewrites_an_old_first_cell(book: Path) -> None:
    path = book / "chapters/01_toys/toys.ipynb"
    stored(path, first_cell(book), text("# Toys"))
    config = book / "_config.yml"
    config.write_text(config.read_text().replace("someone", "somebody-else"))
    assert main(["--check"], book) == 1
    assert main([], book) == 0
    nb = read(path, book).nb
    assert "git+https://github.com/somebody-else/toys" in nb.cells[0].source
    assert len(nb.cells) == 2


def test_a_readers_edit_runs_on(book: Path) -> None:
    """The name means the edited class: nothing imports the package's over it."""
    cells = [code(SHIFT, component=COMPONENT), code("print(Shift(1)(2))", "3\n")]
    namespace: dict = {}
    for cell in notebook(*cells).cells:
        exec(cell.source.replace("x + self.by", "x * 10"), namespace)
    assert namespace["Shift"](1)(2) == 20
