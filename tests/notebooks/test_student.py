"""The students' notebooks: no solution, no hidden test, no output."""

from pathlib import Path

import pytest

from tests.notebooks.samples import code, make_book, stored, text
from tools.notebooks import read
from tools.student import main

STUB = "def double(x):\n    ..."


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return make_book(tmp_path)


def exercises(book: Path) -> Path:
    solution = "def double(x):\n    return 2 * x  # the secret"
    return stored(
        book / "chapters/01_toys/exercises.ipynb",
        text("# Exercises\n\nDouble a number."),
        code(solution, tags=["solution"], stub=STUB, points=2),
        code("assert double(2) == 4\nprint('ok')", "ok\n", tags=["test-visible"]),
        code("assert double(8) == 16  # the secret", tags=["test-hidden"], points=1),
        text("Because of the secret.", tags=["solution"]),
        code("answer = 42  # the secret", tags=["solution"]),
    )


def test_student_view(book: Path, capsys: pytest.CaptureFixture) -> None:
    source = exercises(book)
    before = source.read_bytes()
    assert main(["--name", "toys"], book) == 0
    assert capsys.readouterr().out == "wrote student/01_toys/exercises.ipynb\n"
    path = book / "student/01_toys/exercises.ipynb"
    nb = read(path, book).nb
    assert [cell.source for cell in nb.cells] == [
        "# Exercises\n\nDouble a number.",
        STUB,
        "assert double(2) == 4\nprint('ok')",
        "*Your answer here.*",
        "# your code here\n...",
    ]
    assert nb.cells[1].metadata == {"tags": ["solution"], "points": 2}
    assert "secret" not in path.read_text()
    assert '"ok\\n"' not in path.read_text()
    assert source.read_bytes() == before
    assert main([], book) == 0  # all chapters
    compile("\n".join(cell.source for cell in nb.cells[1:3]), "stub", "exec")


def test_untagged_solution_is_refused(
    book: Path, capsys: pytest.CaptureFixture
) -> None:
    path = book / "chapters/01_toys/exercises.ipynb"
    stored(path, text("# E"), text("```{solution} one\n42\n```"))
    assert main([], book) == 1
    said = capsys.readouterr().err
    assert "chapters/01_toys/exercises.ipynb: cell 2 holds a solution" in said
    assert not (book / "student").exists()


def test_missing_exercises_and_typos_are_named(
    book: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["--name", "toys"], book) == 1
    assert "no notebook chapters/01_toys/exercises.ipynb" in capsys.readouterr().err
    assert main(["--name", "tyos"], book) == 1
    assert "did you mean 'toys'?" in capsys.readouterr().err
    assert main([], book) == 0  # no chapter has exercises: nothing to do
