"""Setting up: which Python, once only, nothing half done, no CUDA by accident."""

import shutil
import subprocess
from pathlib import Path

import pytest

# Stands in for a Python: tells its version, "makes" a venv that holds itself, and
# writes down what it is asked to install; BREAK ends it in the middle of that.
FAKE = """#!/bin/sh
case "$1 $2" in
"-c "*) echo {version} ;;
"-m venv") rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python"
    echo venv >>"$LOG" ;;
"-m pip") if [ "$3" = config ]; then printf '%s\n' "${{PIP_SAYS:-}}"
    else echo "pip $*" >>"$LOG"; fi ;;
"-m uv") echo "uv links=$UV_FIND_LINKS torch=$UV_TORCH_BACKEND" >>"$LOG"
    [ -z "${{BREAK:-}}" ] || exit 130 ;;
esac
"""
TOOLS = (
    "sh",
    "dirname",
    "cat",
    "cksum",
    "rm",
    "mkdir",
    "cp",
    "mv",
    "sed",
    "tr",
    "uname",
)


class Place:
    """A checkout with the script and the pins, and Pythons that only pretend."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.checkout = folder / "a checkout"
        self.bin = folder / "bin"
        self.log = folder / "log"
        (self.checkout / "tools").mkdir(parents=True)
        self.bin.mkdir()
        for name in ("tools/set_up.sh", "requirements.txt", "pyproject.toml"):
            (self.checkout / name).write_bytes((root / name).read_bytes())

    def python(self, name: str, version: str) -> Path:
        """Put a Python on the path."""
        path = self.bin / name
        path.write_text(FAKE.format(version=version))
        path.chmod(0o755)
        return path

    def run(self, **variables: str) -> subprocess.CompletedProcess[str]:
        """Set up with just these variables and no other Python to be found."""
        self.log.write_text("")
        for name in TOOLS:
            if not (self.bin / name).exists():
                (self.bin / name).symlink_to(shutil.which(name) or name)
        return subprocess.run(
            ["sh", "tools/set_up.sh", ".venv"],
            cwd=self.checkout,
            env={"PATH": str(self.bin), "LOG": str(self.log), **variables},
            capture_output=True,
            text=True,
        )

    @property
    def done(self) -> list[str]:
        """What the last run made and installed."""
        return [line.split()[0] for line in self.log.read_text().splitlines()]


@pytest.fixture
def place(root: Path, tmp_path: Path) -> Place:
    return Place(root, tmp_path)


def test_set_up_happens_once(place: Place) -> None:
    place.python("python3", "3.11.7")
    first = place.run()
    assert first.returncode == 0, first.stderr
    assert place.done == ["venv", "pip", "uv"]
    again = place.run()
    assert (again.returncode, again.stdout, place.done) == (0, "", [])


def test_an_interrupted_installation_starts_from_nothing(place: Place) -> None:
    place.python("python3", "3.11.7")
    assert place.run(BREAK="1").returncode == 130
    assert not (place.checkout / ".venv" / ".done").exists()
    assert place.run().returncode == 0
    assert place.done == ["venv", "pip", "uv"]


def test_changed_pins_are_installed_on_top(place: Place) -> None:
    place.python("python3", "3.11.7")
    place.run()
    with (place.checkout / "requirements.txt").open("a") as pins:
        pins.write("one-more==1.0\n")
    place.run()
    assert place.done == ["uv"]


def test_a_moved_checkout_and_a_removed_python_start_from_nothing(
    place: Place, tmp_path: Path
) -> None:
    place.python("python3", "3.11.7")
    place.run()
    place.checkout = place.checkout.rename(tmp_path / "elsewhere")
    place.run()
    assert place.done == ["venv", "pip", "uv"]
    (place.checkout / ".venv" / "bin" / "python").unlink()
    place.run()
    assert place.done == ["venv", "pip", "uv"]


@pytest.mark.parametrize("version", ["2.7.18", "3.10.13", "3.14.0"])
def test_another_python_is_one_sentence_before_anything_else(
    place: Place, version: str
) -> None:
    python = str(place.python("old", version))
    ran = place.run(PYTHON=python)
    assert ran.returncode == 2
    assert ran.stderr.splitlines() == [
        f"The book needs Python 3.11, 3.12 or 3.13, and {python} is Python {version}."
    ]
    assert place.done == []
    assert not (place.checkout / ".venv").exists()


def test_no_python_that_fits_says_what_was_seen_and_what_to_do(place: Place) -> None:
    ran = place.run()
    assert ran.returncode == 2
    assert "and no python3 was found. Install one of them" in ran.stderr
    place.python("python3", "3.10.13")
    ran = place.run()
    assert ran.returncode == 2
    assert "and python3 is Python 3.10.13. Install one of them" in ran.stderr
    assert "make book PYTHON=" in ran.stderr


def test_a_newer_python_beside_an_old_one_is_found(place: Place) -> None:
    place.python("python3", "3.10.13")
    place.python("python3.12", "3.12.1")
    ran = place.run()
    assert ran.returncode == 0
    assert "with Python 3.12.1" in ran.stdout


def test_naming_another_python_makes_the_environment_anew(place: Place) -> None:
    place.python("python3", "3.11.7")
    newer = str(place.python("python3.13", "3.13.0"))
    place.run()
    place.run(PYTHON=newer)
    assert place.done == ["venv", "pip", "uv"]
    place.run()
    assert place.done == []


@pytest.mark.parametrize(
    ("variables", "links", "torch"),
    [
        ({}, "", "cpu"),
        ({"TORCH": "cpu"}, "", "cpu"),
        ({"TORCH": "cuda"}, "", "auto"),
        ({"UV_TORCH_BACKEND": "cu130"}, "", "cu130"),
        ({"PIP_FIND_LINKS": "one two"}, "one,two", ""),
        ({"PIP_FIND_LINKS": "one", "UV_FIND_LINKS": "three"}, "three", ""),
        ({"PIP_SAYS": "global.find-links='a b'"}, "a,b", ""),
        ({"PIP_SAYS": "install.find-links='\\na\\nb'"}, "a,b", ""),
        ({"PIP_SAYS": "global.timeout='60'"}, "", "cpu"),
    ],
)
def test_linux_does_not_fetch_cuda_unless_asked(
    place: Place, variables: dict[str, str], links: str, torch: str
) -> None:
    place.python("python3", "3.11.7")
    place.python("uname", "")
    (place.bin / "uname").write_text("#!/bin/sh\necho Linux\n")
    assert place.run(**variables).returncode == 0
    said = place.log.read_text().splitlines()[-1]
    assert said == f"uv links={links} torch={torch}"


def test_a_mac_is_left_to_choose(place: Place) -> None:
    place.python("python3", "3.11.7")
    place.python("uname", "")
    (place.bin / "uname").write_text("#!/bin/sh\necho Darwin\n")
    place.run()
    assert place.log.read_text().splitlines()[-1] == "uv links= torch="


def test_the_choice_of_torch_stays_and_can_be_changed(place: Place) -> None:
    place.python("python3", "3.11.7")
    place.run(TORCH="cuda")
    place.run()
    assert place.done == []
    place.run(TORCH="cpu")
    assert place.done == ["venv", "pip", "uv"]
    wrong = place.run(TORCH="gpu")
    assert (wrong.returncode, wrong.stderr) == (
        2,
        'TORCH is "gpu"; allowed are cpu and cuda.\n',
    )
