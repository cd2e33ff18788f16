"""What git tracks: the layout, a statement in each room, and nothing of one machine."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tools import bootstrap

TOP = {
    *("README.md", "LICENSE", "LICENSE-TEXT", "CITATION.cff", "CONTRIBUTING.md"),
    *("_config.yml", "_toc.yml", "pyproject.toml", "requirements.txt", "Makefile"),
    *("book", "chapters", "src", "tests", "tools"),
    *(".binder", ".ci", ".github", ".gitignore"),
}
ROOMS = ("book", "chapters", "src/lib", "tests", "tools")
LARGEST = 1_500_000  # bytes; weights are limited for each chapter, see budgets
WEIGHTS = 4_000_000
# Folders of one machine; a place inside an address or another path is none, and `me`
# is nobody.
MACHINE = re.compile(r"(?<![\w.~}$-])/(?:home|root|Users|work|opt|mnt)/[\w.-]+")
# Hosts that serve packages, put together here so that this file names none.
REGISTRIES = [
    *("pypi" + ".org", "python" + "hosted.org", "npm" + "js.org", "npm" + "js.com"),
    *("deb." + "debian.org", "conda." + "anaconda.org", "yarn" + "pkg.com"),
    *("download." + "pytorch.org", "proxy." + "golang.org"),
]


def tracked(root: Path) -> list[str]:
    """Return the names of the files that git tracks and that are there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True
    )
    return [
        name for name in listed.stdout.split("\0") if name and (root / name).is_file()
    ]


def text(path: Path) -> str:
    """Return what a text file says, nothing for others."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def machine_places(said: str) -> list[str]:
    """Return the absolute paths of one machine that a text names."""
    nobody = "/home" + "/me"
    return [place for place in MACHINE.findall(said) if place != nobody]


def registries(said: str) -> list[str]:
    """Return the hosts of package registries that a text names."""
    return [host for host in REGISTRIES if host in said]


def too_large(name: str, size: int) -> bool:
    """Return whether a tracked file is larger than its kind may be."""
    return size > (WEIGHTS if name.endswith(".safetensors") else LARGEST)


def test_the_top_level_is_the_one_agreed_on(root: Path) -> None:
    assert {name.split("/")[0] for name in tracked(root)} == TOP


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_says_what_belongs_in_it(root: Path, room: str) -> None:
    assert len((root / room / "README.md").read_text().split()) > 20


def test_every_room_of_the_package_says_what_it_is_for(root: Path) -> None:
    rooms = sorted((root / "src" / "lib").glob("*/__init__.py"))
    assert len(rooms) == 9
    for path in rooms:
        statement = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert len(statement.split()) > 5, f"{path} has no statement"


def test_git_keeps_the_package_although_it_is_called_lib(root: Path) -> None:
    assert len([n for n in tracked(root) if n.startswith("src/lib/")]) > 9
    command = ["git", "check-ignore", "--no-index", "src/lib/a.py", "src/lib/a/b.yml"]
    assert subprocess.run(command, cwd=root).returncode == 1, "src/lib is ignored"
    assert subprocess.run([*command[:3], "_build/x"], cwd=root).returncode == 0


def test_no_file_names_a_place_on_one_machine(root: Path) -> None:
    found = {name: machine_places(text(root / name)) for name in tracked(root)}
    assert {name: places for name, places in found.items() if places} == {}
    place = "/home" + "/ada"
    assert machine_places(f"reads {place}/data.csv") == [place]
    assert machine_places(f"see https://example.org{place}") == []


def test_no_file_names_a_package_registry(root: Path) -> None:
    found = {name: registries(text(root / name)) for name in tracked(root)}
    assert {name: hosts for name, hosts in found.items() if hosts} == {}
    assert registries("from https://" + REGISTRIES[0] + "/simple") == REGISTRIES[:1]


def test_no_file_is_too_large(root: Path) -> None:
    sizes = {name: (root / name).stat().st_size for name in tracked(root)}
    assert {n: size for n, size in sizes.items() if too_large(n, size)} == {}
    assert too_large("chapters/a/a.ipynb", 1_500_001)
    assert not too_large("src/lib/assets/a/a.safetensors", 1_500_001)


def test_the_address_can_be_changed_everywhere(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["git", "clone", "-q", str(root), str(copy)], check=True)
    owner, name = bootstrap.check_address(bootstrap.address(copy))
    changed = bootstrap.set_repository("https://github.com/ada/vision", copy)
    names = {str(path.relative_to(copy)) for path in changed}
    assert {"_config.yml", "README.md", "CITATION.cff"} <= names
    for old in (f"/{owner}/{name}", f"{owner}.github.io/{name}"):
        left = subprocess.run(["git", "grep", "-lF", old], cwd=copy, text=True)
        assert left.returncode == 1, f"{old} is still named"
    assert bootstrap.other_addresses(copy) == []
