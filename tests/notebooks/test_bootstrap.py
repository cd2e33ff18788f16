"""The repository's address stands in one place and can be changed from there."""

import subprocess
from pathlib import Path

import pytest

from tests.notebooks.samples import make_book, stored, text
from tools.bootstrap import check_address, first_cell, main, other_addresses
from tools.notebooks import read
from tools.sync import check


@pytest.fixture
def book(tmp_path: Path) -> Path:
    root = make_book(tmp_path)
    stored(root / "chapters/01_toys/toys.ipynb", first_cell(root), text("# Toys"))
    (root / "README.md").write_text(
        "See https://github.com/someone/toys. Not https://github.com/someone/toys-2.\n"
        "https://mybinder.org/v2/gh/someone/toys/main https://someone.github.io/toys/\n"
    )
    script = root / "run"
    script.write_text("#!/bin/sh\ngit clone https://github.com/someone/toys.git\n")
    script.chmod(0o755)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return root


def test_nothing_names_another_address(root: Path) -> None:
    assert other_addresses(root) == []


def test_another_address_is_found(book: Path) -> None:
    assert other_addresses(book) == []
    (book / "page.md").write_text("Clone https://github.com/nobody/toys now.\n")
    assert other_addresses(book) == ["page.md names nobody/toys, not someone/toys"]


def test_address_is_changed_everywhere(
    book: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["set-repository", "https://github.com/New-One/book.built"], book) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("New-One/book.built.")
    readme = (book / "README.md").read_text()
    assert "https://github.com/New-One/book.built. Not" in readme
    assert "https://github.com/someone/toys-2." in readme
    assert "/gh/New-One/book.built/main" in readme
    assert "https://new-one.github.io/book.built/" in readme
    assert "New-One/book.built.git" in (book / "run").read_text()
    assert (book / "run").stat().st_mode & 0o777 == 0o755
    assert check(read(book / "chapters/01_toys/toys.ipynb", book)) == []
    assert main(["show"], book) == 0
    assert other_addresses(book) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "github.com/me/book",
        "http://github.com/me/book",
        "https://github.com/me",
        "https://github.com/me/book/",
        "https://github.com/me/book.git",
        "https://github.com/me/book/tree/main",
        "https://gitlab.com/me/book",
    ],
)
def test_wrong_address_is_one_sentence(
    url: str, book: Path, capsys: pytest.CaptureFixture
) -> None:
    before = (book / "_config.yml").read_text()
    assert main(["set-repository", url], book) == 1
    said = capsys.readouterr().err
    assert f"URL is '{url}'; allowed is https://github.com/OWNER/NAME" in said
    assert len(said.splitlines()) == 1
    assert (book / "_config.yml").read_text() == before
    with pytest.raises(ValueError, match="allowed is"):
        check_address(url)


def test_first_cell_does_nothing_where_the_package_is(root: Path) -> None:
    lines = first_cell(root).source.splitlines()
    guarded = [line for line in lines if line.lstrip().startswith("%pip")]
    exec("\n".join(line for line in lines if line not in guarded) + "\n    raise")
    assert all(line.startswith("    ") for line in guarded)
    assert "--no-deps" in guarded[-1]
