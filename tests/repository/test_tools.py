"""The tools behind `make book`, `make test` and the README's table."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lib import assets
from tools import make_book, make_readme, run_tests
from tools.run_tests import Stage


def test_the_readme_is_fresh_and_complete(root: Path) -> None:
    assert make_readme.main(["--check"]) == 0
    text = (root / "README.md").read_text()
    for slug in assets.papers():
        assert assets.load_paper(slug).title in text
    assert "make book " in text
    assert "make test " in text
    linked = re.findall(r"\]\(([^)#:]+)\)", text)
    assert ".github/overview.svg" in linked
    assert [name for name in linked if not (root / name).is_file()] == []


def test_a_stale_readme_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = f"before\n{make_readme.BEGIN}old{make_readme.END}after\n"
    (tmp_path / "README.md").write_text(stale)
    monkeypatch.setattr(make_readme, "ROOT", tmp_path)
    assert make_readme.main(["--check"]) == 1
    assert "make sync" in capsys.readouterr().err
    assert (tmp_path / "README.md").read_text() == stale
    assert make_readme.main([]) == 0
    assert make_readme.main(["--check"]) == 0
    fresh = (tmp_path / "README.md").read_text()
    assert fresh.startswith("before\n")
    assert fresh.endswith("after\n")
    with pytest.raises(ValueError, match="once each"):
        make_readme.refreshed("no marker", "table")


@pytest.mark.parametrize(
    ("state", "rows", "said"),
    [
        ("planned", [], "planned"),
        (
            "built",
            ["reproduced", "explained", "not computable"],
            "built; of 3 ledger rows 1 reproduced, 1 explained, 1 not computable",
        ),
        ("complete", ["reproduced"], "complete; of 1 ledger rows 1 reproduced"),
    ],
)
def test_a_chapters_state_in_words(state: str, rows: list[str], said: str) -> None:
    ledger = [SimpleNamespace(state=row) for row in rows]
    paper = SimpleNamespace(state=state, ledger=ledger)
    assert make_readme.state(paper) == said  # type: ignore[arg-type]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Make a small book whose builder only writes down that it was called."""
    for name in make_book.INPUTS:
        path = tmp_path / name / "page.md" if "." not in name else tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    calls: list[list[str]] = []

    def build(command: list[str], cwd: Path) -> SimpleNamespace:
        calls.append(command)
        (tmp_path / "_build" / "html").mkdir(parents=True, exist_ok=True)
        broken = "broken" in (tmp_path / "_config.yml").read_text()
        return SimpleNamespace(returncode=int(broken))

    monkeypatch.setattr(make_book.subprocess, "run", build)
    return calls


def test_the_site_is_built_once_and_again_when_a_page_changes(
    site: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_book.build(tmp_path) == 0
    assert "-W" in site[0]
    said = capsys.readouterr().out
    assert (tmp_path / "_build" / "html" / "index.html").as_uri() in said
    assert "make serve" in said
    (tmp_path / "src" / "lib" / "__pycache__").mkdir()
    (tmp_path / "src" / "lib" / "__pycache__" / "a.pyc").write_text("")
    assert make_book.build(tmp_path) == 0
    assert len(site) == 1
    assert "up to date" in capsys.readouterr().out
    (tmp_path / "book" / "page.md").write_text("other words")
    make_book.build(tmp_path)
    assert len(site) == 2


def test_a_site_with_warnings_is_not_taken_for_built(
    site: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "_config.yml").write_text("broken")
    assert make_book.build(tmp_path) == 1
    assert "was not built" in capsys.readouterr().err
    assert make_book.build(tmp_path) == 1
    assert len(site) == 2


PASSING = "def test_a():\n    pass\n\ndef test_b():\n    pass\n"
FAILING = "def test_c():\n    assert 1 == 2\n"


def run(folder: Path, tests: str) -> Stage:
    """Run a stage of pytest on one file of tests."""
    (folder / "test_it.py").write_text(tests)
    stage = Stage("unit", ["-m", "pytest", "test_it.py"], True)
    stage.run(folder)
    return stage


@pytest.fixture
def plain_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the small runs below start without the plugins of the large one."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.mark.usefixtures("plain_pytest")
def test_a_stage_counts_its_tests(tmp_path: Path) -> None:
    stage = run(tmp_path, PASSING)
    assert (stage.passed, stage.failed, stage.skipped) == (2, 0, 0)
    stage = run(tmp_path, PASSING + FAILING)
    assert (stage.passed, stage.failed) == (2, 1)
    assert "1 failed" in stage.row()
    assert "FAILED" in stage.row()
    stage = run(tmp_path, PASSING + "import pytest\n@pytest.mark.skip\n" + FAILING)
    assert (stage.passed, stage.failed, stage.skipped) == (2, 0, 1)


@pytest.mark.usefixtures("plain_pytest")
def test_a_stage_that_breaks_or_finds_no_test_has_failed(tmp_path: Path) -> None:
    assert run(tmp_path, "import nothing_of_this_name").failed == 1
    assert run(tmp_path, "").failed == 1
    assert run(tmp_path, PASSING + "import os\nos._exit(1)").failed == 1
    for code, failed in (("pass", 0), ("raise SystemExit(2)", 1)):
        stage = Stage("lint", ["-c", code])
        stage.run(tmp_path)
        assert (stage.passed, stage.failed) == (1 - failed, failed)


def test_the_summary_ends_with_the_plain_counts() -> None:
    ran = [Stage("lint", [], passed=1), Stage("unit", [], True, 5, 2, 0, 3.25)]
    lines = run_tests.summary(ran).splitlines()
    assert lines[1].split() == ["lint", "1", "passed", "passed", "0.0", "s"]
    assert lines[2].split()[-4:] == ["failed", "FAILED", "3.2", "s"]
    assert lines[-1] == "6 passed, 2 failed"
    ran[0].skipped = 1
    assert run_tests.summary(ran).splitlines()[-1] == "6 passed, 2 failed, 1 skipped"


def test_every_stage_runs_whatever_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    three = [Stage(n, ["-c", c]) for n, c in (("a", "1"), ("b", "1/0"), ("c", "2"))]
    monkeypatch.setattr(run_tests, "stages", lambda quick: three)
    assert run_tests.main([]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "2 passed, 1 failed"
    with pytest.raises(SystemExit):
        run_tests.main(["d"])
    assert "no stage 'd'; stages: a, b, c" in capsys.readouterr().err
    assert run_tests.main(["c"]) == 0


def test_the_whole_run_has_every_stage() -> None:
    names = [stage.name for stage in run_tests.stages()]
    first = ["lint", "format", "types", "imports", "sync", "results", "tests"]
    assert names == [*first, "notebooks", "site"]
    quick = [stage.name for stage in run_tests.stages(quick=True)]
    assert "site" not in quick
    assert set(quick) <= set(names)


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a book of three notebooks, the second changed by the last commit."""

    def git(*command: str) -> None:
        user = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *user, *command], cwd=tmp_path, check=True)

    folder = tmp_path / "chapters" / "01_a"
    folder.mkdir(parents=True)
    git("init", "-q")
    for commit in ("one", "two"):
        for name in ("a", "b") if commit == "one" else ("b",):
            (folder / f"{name}.ipynb").write_text(commit)
        git("add", ".")
        git("commit", "-qm", commit)
    (folder / "c.ipynb").write_text("new")
    monkeypatch.setattr(run_tests, "ROOT", tmp_path)
    return folder


def test_check_runs_the_notebooks_that_changed_and_did_not_pass(history: Path) -> None:
    def changed() -> list[str]:
        return [path.stem for path in run_tests.changed_notebooks()]

    assert changed() == ["b", "c"]
    run_tests.record_green([history / "b.ipynb", history / "c.ipynb"])
    assert changed() == []
    (history / "a.ipynb").write_text("edited")
    (history / "c.ipynb").write_text("edited")
    assert changed() == ["a", "c"]
    run_tests.record_green([history / "a.ipynb"])
    known = json.loads((history.parents[1] / run_tests.GREEN).read_text())
    assert len(known) == 3
    (history / "c.ipynb").unlink()
    assert changed() == []


def test_the_tests_start_as_a_script(root: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "tools/run_tests.py", "--help"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0
    assert "--quick" in ran.stdout
