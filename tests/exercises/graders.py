"""What the graders of every chapter meet: solutions, empty answers and wrong ones.

A chapter's module makes one `Book`, and a class `TestGraders(Graders)` of tables.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from nbformat import NotebookNode

from lib.exercises.checks import Result, Wrong
from tools.notebooks import generated, read, tags
from tools.student import student_view

ROOT = Path(__file__).resolve().parents[2]

# What hidden tests of empty and of wrong answers end with.
FAILURES = (
    *(AssertionError, AttributeError, KeyError),
    *(RuntimeError, TypeError, ValueError, Wrong),
)

Edit = tuple[int, str, str]
"""Number of the exercise; what is replaced in its solution, and by what."""


def code_cells(nb: NotebookNode) -> list[NotebookNode]:
    """Return the code cells, without the one that installs the package."""
    cells = [cell for cell in nb.cells if cell.cell_type == "code"]
    return [cell for cell in cells if not generated(cell)]


class Book:
    """The exercises of a chapter.

    Args:
        folder: of the chapter.
        given: makes what the notebook defines between its exercises.
    """

    def __init__(
        self, folder: str, given: Callable[[], dict[str, Any]] = lambda: {}
    ) -> None:
        self.nb = read(ROOT / "chapters" / folder / "exercises.ipynb").nb
        self.given = given

    def tagged(self, tag: str) -> list[NotebookNode]:
        """Return cells by tag; of solutions those that earn points, no pictures."""
        cells = [cell for cell in code_cells(self.nb) if tag in tags(cell)]
        return [c for c in cells if tag != "solution" or "points" in c.metadata]

    def text_of(self, heading: str) -> str:
        """Return the text cell that begins with a heading."""
        return next(c.source for c in self.nb.cells if c.source.startswith(heading))


class Exercise:
    """The cells of one exercise, and a namespace in which they run."""

    def __init__(self, book: Book, number: int) -> None:
        index = number - 1
        cell = book.tagged("solution")[index]
        self.solution, self.stub = cell.source, cell.metadata.stub
        self.points = cell.metadata.points
        self.visible = book.tagged("test-visible")[index].source
        self.hidden = book.tagged("test-hidden")[index].source
        self.space: dict[str, Any] = {}
        exec(code_cells(book.nb)[0].source, self.space)  # the imports
        self.space |= book.given()

    def grade(self, answer: str) -> Result:
        """Run an answer and the visible check, which is a single expression."""
        exec(answer, self.space)
        return eval(self.visible, self.space)

    def grade_edited(self, old: str, new: str) -> Result:
        """Grade the solution with a part of it replaced."""
        assert old in self.solution
        return self.grade(self.solution.replace(old, new))

    def run_hidden(self) -> None:
        """Run the hidden test on the answer that was graded last."""
        exec(self.hidden, self.space)


class Graders:
    """The tests; a chapter sets the tables."""

    book: Book
    points: tuple[int, ...]
    empty: ClassVar[dict[int, str]]  # words of the hint for an empty answer
    wrong: ClassVar[list[tuple[int, str, str, str]]]  # an edit, and words of its hint
    right: ClassVar[list[Edit]]  # other ways to be right
    found: ClassVar[list[Edit]]  # by hidden tests, while the visible check passes
    stated: tuple[str, ...] = ("*Given:*", "*Wanted:*")
    standing: str | None = None  # words of a line that the last check prints besides
    fewer: tuple[str, str] = ("", "")  # what hidden tests say, and should say here
    secret: tuple[str, ...]  # words that only solutions hold
    open_questions: int  # places for an answer in words
    printed: str = "\n"  # marks lines that the notebook itself prints

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Give each test the rows of its table, or the numbers of the exercises."""
        tables: dict[str, list] = {
            "test_wrong_answers_get_the_intended_hint": self.wrong,
            "test_other_right_answers_pass": self.right,
            "test_hidden_tests_find_what_the_visible_check_cannot": self.found,
        }
        names = ["number", "old", "new", "hint"]
        names = [name for name in names if name in metafunc.fixturenames]
        if names:
            each = [(number,) for number in range(1, len(self.points) + 1)]
            metafunc.parametrize(names, tables.get(metafunc.function.__name__, each))

    def test_the_notebook_has_six_exercises(self) -> None:
        for tag in ("solution", "test-visible", "test-hidden"):
            assert len(self.book.tagged(tag)) == 6
        solutions = self.book.tagged("solution")
        assert [cell.metadata.points for cell in solutions] == list(self.points)
        cells = self.book.nb.cells
        first = next(cell for cell in cells if cell.cell_type == "markdown")
        assert f"{sum(self.points)} points in all" in first.source
        for number, points in enumerate(self.points, start=1):
            text = self.book.text_of(f"## {number}. ")
            assert f", {points} {'point' if points == 1 else 'points'}" in text
            assert f"| {text.splitlines()[0].removeprefix('## ')} |" in first.source
            assert all(words in text for words in self.stated)

    def test_stored_outputs_are_the_fixed_lines(self) -> None:
        visible = self.book.tagged("test-visible")
        for cell, points in zip(visible, self.points, strict=True):
            (output,) = cell.outputs
            *above, last = output.text.splitlines()
            assert last == str(Result(True, points, ""))
            assert len(above) == (cell is visible[-1] and self.standing is not None)
            assert all(self.standing in line for line in above)
        assert all(len(c.outputs) == 1 for c in self.book.tagged("test-hidden"))

    def test_solutions_pass(self, number: int, capsys: pytest.CaptureFixture) -> None:
        exercise = Exercise(self.book, number)
        before = states()
        passed = Result(True, exercise.points, "")
        assert exercise.grade(exercise.solution) == passed
        assert states() == before
        torch.manual_seed(0)
        exercise.hidden = exercise.hidden.replace(*self.fewer)
        exercise.run_hidden()
        besides = number == 6 and self.standing is not None
        assert len(capsys.readouterr().out.splitlines()) == 2 + besides

    def test_empty_stubs_get_a_hint(self, number: int) -> None:
        exercise = Exercise(self.book, number)
        result = exercise.grade(exercise.stub)
        assert (result.passed, result.points) == (False, 0)
        assert self.empty[number] in result.hint
        with pytest.raises(FAILURES):
            exercise.run_hidden()

    def test_wrong_answers_get_the_intended_hint(
        self, number: int, old: str, new: str, hint: str
    ) -> None:
        result = Exercise(self.book, number).grade_edited(old, new)
        assert not result.passed
        assert hint in result.hint

    def test_other_right_answers_pass(self, number: int, old: str, new: str) -> None:
        assert Exercise(self.book, number).grade_edited(old, new).passed

    def test_hidden_tests_find_what_the_visible_check_cannot(
        self, number: int, old: str, new: str
    ) -> None:
        exercise = Exercise(self.book, number)
        assert exercise.grade_edited(old, new).passed
        with pytest.raises(FAILURES):
            exercise.run_hidden()

    def test_student_view_runs_and_answers_with_hints(
        self, capsys: pytest.CaptureFixture
    ) -> None:
        view = student_view(self.book.nb)
        text = "\n".join(cell.source for cell in view.cells)
        assert not [cell for cell in view.cells if "test-hidden" in tags(cell)]
        for cell in self.book.nb.cells:
            if tags(cell) & {"solution", "test-hidden"}:
                assert cell.source not in text
        for revealed in self.secret:
            assert revealed not in text
        assert text.count("*Your answer here.*") == self.open_questions
        space: dict[str, Any] = {}
        for cell in code_cells(view):
            exec(cell.source, space)
        out = capsys.readouterr().out.splitlines()
        lines = [line for line in out if self.printed not in line]
        assert len(lines) == 6
        for number, line in enumerate(lines, start=1):
            assert line.startswith("not yet: ")
            assert self.empty[number] in line


def states() -> tuple[list[int], Any, list[int]]:
    """Return where the global random generators stand."""
    numpy = np.random.get_state()[1].tolist()  # noqa: NPY002
    return torch.get_rng_state().tolist(), random.getstate(), numpy
