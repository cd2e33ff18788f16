"""The Makefile: its help, its targets, and what it says to a wrong call."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

TARGETS = {
    *("book", "test", "check", "lab", "chapter", "student", "sync", "claims"),
    *("results", "bench", "serve", "pins", "set-repository", "help"),
}


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in a folder as a user would, not as a part of another make."""
    outer = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES")
    environment = {k: v for k, v in os.environ.items() if k not in outer}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Path:
    """Return a folder with the Makefile and two chapters, and a set-up that is done."""
    shutil.copy(root / "Makefile", tmp_path)
    for name in ("01_mobile_former/mobile_former", "02_cswin/cswin"):
        path = tmp_path / "chapters" / f"{name}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text("{}")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "set_up.sh").write_text("echo set up\n")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "python $*"\n')
    python.chmod(0o755)
    return tmp_path


def test_make_alone_lists_every_target(root: Path) -> None:
    said = make(root)
    assert said.returncode == 0
    assert said.stdout == make(root, "help").stdout
    listed = re.findall(r"^  ([a-z-]+) ", said.stdout, re.M)
    assert set(listed) >= TARGETS


def test_every_tool_that_make_calls_is_there(root: Path) -> None:
    tools = set(re.findall(r"tools/\w+\.\w+", (root / "Makefile").read_text()))
    assert len(tools) > 8
    assert [tool for tool in sorted(tools) if not (root / tool).is_file()] == []


@pytest.mark.parametrize("target", ["chapter", "claims"])
def test_no_name_and_a_wrong_name_are_one_sentence(checkout: Path, target: str) -> None:
    missing = make(checkout, target)
    assert missing.returncode == 2
    assert len(missing.stderr.splitlines()) == 1
    assert f"make {target} NAME=mobile_former (chapters: mobile_former cswin)" in (
        missing.stderr
    )
    for name in ("mobile_fromer", "mobile_former cswin", "01_cswin", "former"):
        wrong = make(checkout, target, f"NAME={name}")
        assert wrong.returncode == 2
        assert len(wrong.stderr.splitlines()) == 1
        assert f'no chapter named "{name}"; chapters: mobile_former cswin' in (
            wrong.stderr
        )
        assert "set up" not in wrong.stdout


def test_chapter_executes_the_notebooks_of_that_chapter(checkout: Path) -> None:
    said = make(checkout, "chapter", "NAME=cswin").stdout
    assert said == "set up\npython tools/execute.py --name cswin\n"


def test_claims_hands_its_choices_on(checkout: Path) -> None:
    arguments = ["NAME=cswin", "SEEDS=0-3", "DATA=some folder", "RENEW=1"]
    said = make(checkout, "claims", *arguments).stdout
    expected = "python -m lib.claims cswin --seeds 0-3 --data some folder --renew\n"
    assert said == "set up\n" + expected


def test_an_unknown_target_is_one_sentence(checkout: Path) -> None:
    said = make(checkout, "bokk")
    assert said.returncode == 2
    assert said.stderr.startswith('There is no target "bokk"; `make help` lists them.')
