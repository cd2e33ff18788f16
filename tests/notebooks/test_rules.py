"""Every notebook of the book keeps every rule, and every rule can fail."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_output

from tests.notebooks.samples import (
    SHIFT,
    code,
    good_cells,
    in_book,
    make_book,
    notebook,
    text,
)
from tools import notebooks
from tools.notebooks import RULES, all_notebooks, read, shown

NOTEBOOKS = all_notebooks()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_notebooks_keep_rule(rule: Callable) -> None:
    problems = []
    for path in NOTEBOOKS:
        problems += [f"{shown(path)}: {problem}" for problem in rule(read(path))]
    assert not problems, "\n".join(problems)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return make_book(tmp_path)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_good_notebook_keeps_rule(rule: Callable, book: Path) -> None:
    assert rule(in_book(book, notebook(*good_cells(book)))) == []


def error(name: str = "ValueError") -> NotebookNode:
    return new_output("error", ename=name, evalue="no", traceback=[f"{name}: no"])


def image() -> NotebookNode:
    return new_output("display_data", data={"image/png": "AAAA", "text/plain": "Line"})


def html(source: str) -> NotebookNode:
    return new_output("display_data", data={"text/html": source})


def bad(number: int, value: object) -> Callable:
    """Return a change that gives a code cell (from 1) another execution count."""

    def change(nb: NotebookNode) -> None:
        code_cells = [cell for cell in nb.cells if cell.cell_type == "code"]
        code_cells[number - 1].execution_count = value

    return change


def add(*cells: NotebookNode) -> Callable:
    """Return a change that puts cells at the end, counted on."""

    def change(nb: NotebookNode) -> None:
        nb.cells += [text("Some words."), *cells]
        whole = [cell for cell in nb.cells if cell.cell_type == "code"]
        for i, cell in enumerate(whole, 1):
            cell.execution_count = i

    return change


def without(words: str) -> Callable:
    """Return a change that removes the text cells that hold some words."""

    def change(nb: NotebookNode) -> None:
        nb.cells = [
            c for c in nb.cells if c.cell_type == "code" or words not in c.source
        ]

    return change


def metadata(key: str, value: object) -> Callable:
    """Return a change of the notebook's own metadata."""

    def change(nb: NotebookNode) -> None:
        nb.metadata[key] = nbformat.from_dict(value)

    return change


def old_format(nb: NotebookNode) -> None:
    nb.nbformat_minor = 4


def same_id(nb: NotebookNode) -> None:
    nb.cells[1].id = nb.cells[2].id


def no_first_cell(nb: NotebookNode) -> None:
    del nb.cells[0]


def other_address(nb: NotebookNode) -> None:
    nb.cells[0].source = nb.cells[0].source.replace("someone", "nobody")


def edited_component(nb: NotebookNode) -> None:
    for cell in nb.cells:
        cell.source = cell.source.replace("x + self.by", "x - self.by")


def all_ignored(nb: NotebookNode) -> None:
    for cell in nb.cells:
        cell.metadata.tags = ["nbval-ignore-output"]


ERROR_TAGS = ["raises-exception", "nbval-ignore-output"]
IGNORED = ["nbval-ignore-output"]
STDERR = new_output("stream", name="stderr", text="UserWarning: careful\n")
WIDGET = new_output("display_data", data={notebooks.WIDGET_VIEW: {"model_id": "1"}})
LONG = "\n".join(f"x{i} = {i}" for i in range(30))
MANY = [cell for i in range(9) for cell in (text("On."), code(f"y = {i}\n" * 12))]
WIDE = SHIFT + "".join(f"\n\n    def f{i}(self): return {i}" for i in range(40))

# A rule, what a bad notebook has, and words of the sentence about it.
BAD = [
    ("valid_format", old_format, "4.4, not 4.5"),
    ("valid_format", same_id, "same id"),
    ("valid_format", metadata("kernelspec", {"name": "mine"}), "not python3"),
    ("counts", bad(3, None), "count None, not 3"),
    ("counts", bad(3, 7), "count 7, not 3"),
    ("outputs_stored", add(code("print(1)")), "code cell 9 shows something"),
    ("outputs_stored", add(code("x = 1\nx + 1")), "code cell 9 shows something"),
    ("no_stderr", add(code("f()", "", STDERR)), "UserWarning: careful"),
    ("no_errors", add(code("f()", "", error())), "stores ValueError without"),
    ("no_errors", add(code("f()", tags=ERROR_TAGS)), "stores no error"),
    ("no_errors", add(code("f()", "", error(), tags=ERROR_TAGS[:1])), "not tagged"),
    ("known_tags", add(code("f()", tags=["nbval-ignore"])), "'nbval-ignore'"),
    ("known_tags", add(code("# NBVAL_SKIP\nf()")), "by a comment"),
    ("few_ignored", all_ignored, "8 of 8 code cells are not compared"),
    ("trained_checked", add(code("print(a)", "0.5\n", tags=IGNORED)), "no later"),
    (
        "trained_checked",
        add(
            code("print(a)", "0.5\n", tags=IGNORED),
            code("assert a > 0\nprint('good')", "good\n", tags=["hide-input"]),
        ),
        "no later visible cell",
    ),
    ("small_file", add(text("word " * 400_000)), "at most 1,500,000"),
    ("short_outputs", add(code("print(a)", "a\n" * 9_000)), "prints 18,000"),
    ("short_cells", add(*MANY), "the median code cell has 12 lines"),
    ("short_cells", add(code(LONG)), "longer than 20 lines"),
    ("short_cells", add(code(WIDE, component="lib.toys:Shift")), "has 45 lines"),
    ("text_first", add(code("a = 1"), code("b = 1")), "code cell 10 has no text"),
    ("alt_texts", add(code("f()", "", image())), "its alt text is ''"),
    ("alt_texts", add(code("f()", "", html("<img src=''>"))), "no alt text"),
    (
        "alt_texts",
        add(code("f()", "", image(), mystnb={"image": {"alt": "Figure"}})),
        "'Figure'",
    ),
    ("headings", without("## Limits"), "no section '## Limits'"),
    ("headings", add(text("# Another title")), "the one title"),
    ("headings", without("The paper shifts"), "the one title"),
    ("word_count", without("Every number"), "3,000 to 5,000"),
    ("word_count", add(text("word " * 4_000)), "3,000 to 5,000"),
    ("no_traces", metadata("widgets", {}), "'widgets'"),
    ("no_traces", add(code("f()", execution={"a": "b"})), "'execution'"),
    ("no_traces", add(code("f()", "", WIDGET)), "a live widget"),
    ("imports", add(code("import torchvision.ops")), "torchvision.ops"),
    ("imports", add(code("def f():\n    from timm import a")), "imports timm"),
    ("no_own_paths", add(code("open('/home/me/data')")), "/home/me"),
    ("no_own_paths", add(code("print(p)", "/home/me\n")), "/home/me"),
    ("bootstrap_first", no_first_cell, "missing"),
    ("bootstrap_first", other_address, "out of date"),
    ("components", edited_component, "differs from lib.toys:Shift"),
    ("components", add(code(SHIFT, component="lib.toys:Shif")), "did you mean"),
    ("components", add(code("from lib.toys import Shift")), "over the component"),
]


def by_name(name: str) -> Callable:
    return next(rule for rule in RULES if rule.__name__ == name)


@pytest.mark.parametrize(("name", "change", "words"), BAD)
def test_rule_fails(name: str, change: Callable, words: str, book: Path) -> None:
    nb = notebook(*good_cells(book))
    change(nb)
    problems = by_name(name)(in_book(book, nb))
    assert any(words in problem for problem in problems), problems


def test_toc_rule_fails(book: Path) -> None:
    nb = notebook(*good_cells(book))
    found = notebooks.in_toc(in_book(book, nb, stem="other"))
    assert found == ["_toc.yml does not name chapters/01_toys/other"]


def test_no_rule_is_without_its_bad_notebook() -> None:
    shown_failing = {name for name, _, _ in BAD} | {"in_toc"}
    assert shown_failing == {rule.__name__ for rule in RULES}


def test_complete_chapter_has_more_sections(book: Path) -> None:
    paper = book / "src/lib/assets/toys/paper.yml"
    paper.write_text("slug: toys\nstate: complete\n")
    problems = notebooks.headings(in_book(book, notebook(*good_cells(book))))
    assert [p.split("'")[1] for p in problems] == [
        "## The claim",
        "## Real data",
        "## Exercises",
    ]


def test_second_notebook_needs_no_sections_and_no_length(book: Path) -> None:
    short = notebook(text("# Detection\n\nMore."), code("print(1)", "1\n"))
    second = in_book(book, short, stem="detection")
    assert notebooks.headings(second) == []
    assert notebooks.word_count(second) == []


def test_words_leave_out_code_maths_and_addresses() -> None:
    source = (
        "Two words $x + y$ `code here`.\n\n```{note}\nnot this\n```\n\n"
        "[a link](https://example.org/some/page)\n\n$$\na = b\n$$"
    )
    assert notebooks.words(source) == ["Two", "words", "a", "link"]


def test_missing_and_broken_notebooks_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no notebook .*a\.ipynb"):
        read(tmp_path / "a.ipynb")
    (tmp_path / "b.ipynb").write_text("{ no json")
    with pytest.raises(ValueError, match=r"b\.ipynb is no notebook"):
        read(tmp_path / "b.ipynb")
