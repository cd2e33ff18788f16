"""Executing a notebook: the same bytes, figures named, failures said in a sentence."""

import json
from pathlib import Path

import pytest

from tests.notebooks.samples import code, make_book, stored, text
from tools import execute
from tools.execute import main, record_budget
from tools.notebooks import Cost, read

FIGURE = """
from IPython.display import display
display(
    {"image/png": "iVBORw0KGgo=", "text/plain": "Figure: a line"},
    raw=True,
    metadata={"image/png": {"alt": "A line", "caption": "It rises", "name": "line"}},
)"""
CELLS = {
    "print": "import sys\nprint('one')\nsys.stdout.flush()\nprint('two')",
    "figure": FIGURE.strip(),
    "bar": "print('50%|#### | 1/2 [00:01<00:01, 1.00it/s]', file=sys.stderr)",
    "widget": "import ipywidgets\nipywidgets.IntSlider()",
    "surroundings": (
        "import os\nfrom pathlib import Path\n"
        "print(hash('a'), os.environ['OMP_NUM_THREADS'], Path.cwd().name)"
    ),
}


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return make_book(tmp_path)


def place(book: Path, stem: str = "toys") -> Path:
    return book / f"chapters/01_toys/{stem}.ipynb"


def test_outputs_are_stored_with_the_same_bytes(book: Path) -> None:
    raising = code("raise KeyError('gone')", tags=["raises-exception"])
    stale = code(
        "x = 1", "old\n", mystnb={"image": {"alt": "Old"}}, execution={"a": "b"}
    )
    path = stored(place(book), text("# T"), *map(code, CELLS.values()), raising, stale)
    assert main([str(path)], book) == 0
    first = path.read_bytes()
    nb = read(path, book).nb
    printed, figure, bar, widget, surroundings, raised, silent = nb.cells[1:]
    assert [cell.execution_count for cell in nb.cells[1:]] == [1, 2, 3, 4, 5, 6, 7]
    assert [output.text for output in printed.outputs] == ["one\ntwo\n"]
    assert figure.metadata == {
        "mystnb": {
            "image": {"alt": "A line"},
            "figure": {"name": "line", "caption": "It rises"},
        }
    }
    assert bar.outputs == widget.outputs == silent.outputs == []
    assert surroundings.outputs[0].text.split()[1:] == ["1", "01_toys"]
    assert raised.outputs[0].traceback == ["KeyError: 'gone'"]
    assert silent.metadata == {}
    assert "widgets" not in nb.metadata
    assert main([str(path)], book) == 0
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    ("source", "metadata", "words"),
    [
        ("1 / 0", {}, "code cell 2 (`1 / 0`) raised ZeroDivisionError: division by"),
        ("import nothing_here", {}, "raised ModuleNotFoundError: No module named"),
        ("import warnings\nwarnings.warn('careful')", {}, "wrote to stderr"),
        ("x = 1", {"tags": ["raises-exception"]}, "did not raise"),
        (f"{FIGURE}\n{FIGURE}", {}, "shows 2 figures; show one a cell"),
        ("import os\nos._exit(1)", {}, "ended the kernel"),
    ],
)
def test_failure_is_named_and_leaves_the_notebook(
    book: Path, capsys: pytest.CaptureFixture, source: str, metadata: dict, words: str
) -> None:
    path = stored(place(book), code("print(1)", "old\n"), code(source, **metadata))
    before = path.read_bytes()
    assert main([str(path)], book) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("chapters/01_toys/toys.ipynb: code cell 2")
    assert words in said[0]
    assert said[1:] == ["The notebook was left as it was."]
    assert path.read_bytes() == before
    assert [path.name] == [file.name for file in path.parent.iterdir()]


def test_too_long_a_cell_is_named(
    book: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "TIMEOUT", 1)
    path = stored(place(book), code("import time\ntime.sleep(30)"))
    assert main([str(path)], book) == 1
    assert "took more than 1 seconds" in capsys.readouterr().err


def test_name_executes_all_notebooks_of_a_chapter(
    book: Path, capsys: pytest.CaptureFixture
) -> None:
    for stem in ("toys", "exercises"):
        stored(place(book, stem), code("print(2)"))
    assert main(["--name", "toys"], book) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == [
        "chapters/01_toys/exercises.ipynb",
        "chapters/01_toys/toys.ipynb",
    ]
    assert all("CPU s" in line and "MiB at most" in line for line in said)
    budgets = book / "src/lib/assets/toys/budgets.json"
    assert set(json.loads(budgets.read_text())) == {"toys", "exercises"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--name", "toy"],
            "no chapter named 'toy'; did you mean 'toys'?",
        ),
        (["--name", "xyz"], "no chapter named 'xyz'; chapters: toys"),
        (["--name", "toys"], "chapters/01_toys has no notebook yet"),
        (["gone.ipynb"], "there is no notebook"),
        ([], "name a notebook, or a chapter by --name"),
    ],
)
def test_wrong_call_is_one_sentence(
    book: Path, capsys: pytest.CaptureFixture, arguments: list[str], said: str
) -> None:
    assert main(arguments, book) == 1
    err = capsys.readouterr().err
    assert err.startswith(said)
    assert len(err.splitlines()) == 1


def test_budgets_change_only_when_the_cost_does(book: Path) -> None:
    path = stored(place(book), code("print(1)"))
    budgets = book / "src/lib/assets/toys/budgets.json"
    notebook = read(path, book)
    assert record_budget(notebook, Cost(101.0, 620.0))
    first = budgets.read_text()
    assert json.loads(first) == {
        "toys": {"cpu_seconds": 100, "notebook_kb": 1, "peak_memory_mib": 650}
    }
    assert not record_budget(notebook, Cost(115.0, 690.0))
    assert budgets.read_text() == first
    assert record_budget(notebook, Cost(130.0, 620.0))
    assert json.loads(budgets.read_text())["toys"]["cpu_seconds"] == 130


def test_budgets_forget_notebooks_that_are_gone(book: Path) -> None:
    notebook = read(stored(place(book), code("print(1)")), book)
    budgets = book / "src/lib/assets/toys/budgets.json"
    budgets.write_text('{"gone": {"cpu_seconds": 5}}\n')
    assert record_budget(notebook, Cost(10.0, 100.0))
    assert set(json.loads(budgets.read_text())) == {"toys"}
