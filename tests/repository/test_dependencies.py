"""Pins, bounds, Binder's environment and Colab's packages: they must not drift."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools import make_colab, make_pins

PYTHONS = ("3.11.0", "3.12.0", "3.13.0")
# conda-forge's names where they differ, and what Binder needs besides the package.
CONDA = {"pytorch-cpu": "torch", "matplotlib-base": "matplotlib"}
BINDER_ITSELF = {"python=3.11", "pip", "jupyterlab", "hatchling", "editables"}
HEAVY = ("torch", "numpy", "matplotlib", "datasets", "sklearn", "scipy", "pydantic")


def project(root: Path) -> dict:
    """Return the project table of pyproject.toml."""
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


def pins(text: str, python: str) -> dict[str, Version]:
    """Return name -> version for one Python on Linux; ValueError for what is no pin."""
    marks = {
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "sys_platform": "linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    found: dict[str, Version] = {}
    for line in text.splitlines():
        if line == "-e .":
            continue
        requirement = Requirement(line)
        (only,) = requirement.specifier or [None]
        if only is None or only.operator != "==" or "*" in only.version:
            raise ValueError(f"{line!r} pins nothing")
        if requirement.marker is None or requirement.marker.evaluate(marks):
            name = canonicalize_name(requirement.name)
            if name in found:
                raise ValueError(f"{name} is pinned twice for Python {python}")
            found[name] = Version(only.version)
    return found


def unmet(needs: list[str], pinned: dict[str, Version]) -> list[str]:
    """Return the requirements that the pins do not meet."""
    return [
        need
        for need in needs
        if (version := pinned.get(canonicalize_name(Requirement(need).name))) is None
        or version not in Requirement(need).specifier
    ]


def binder_drift(environment: dict, dependencies: list[str]) -> set[str]:
    """Return what only one of Binder's environment and the package asks for."""
    asked = {line for line in environment["dependencies"] if line not in BINDER_ITSELF}
    renamed = set()
    for line in asked:
        requirement = Requirement(line)
        name = CONDA.get(requirement.name, requirement.name)
        renamed.add(f"{name}{requirement.specifier}")
    return renamed ^ set(dependencies)


@pytest.mark.parametrize("python", PYTHONS)
def test_pins_meet_what_the_package_and_the_book_ask_for(
    root: Path, python: str
) -> None:
    pinned = pins((root / "requirements.txt").read_text(), python)
    assert unmet(project(root)["dependencies"], pinned) == []
    wanted = (root / "tools" / "requirements.in").read_text().splitlines()
    wanted = [line for line in wanted if line and not line.startswith("#")]
    assert unmet(wanted, pinned) == []
    assert unmet(["torch>=99", "absent"], pinned) == ["torch>=99", "absent"]


def test_the_set_up_and_jupyter_book_are_pinned(root: Path) -> None:
    pinned = pins((root / "requirements.txt").read_text(), PYTHONS[0])
    assert str(pinned["jupyter-book"]).startswith("1.")  # 2 ignores _config.yml
    assert "uv" in pinned
    lines = (root / "requirements.txt").read_text().splitlines()
    assert make_pins.TORCH in lines
    assert lines[-1] == "-e ."


@pytest.mark.parametrize("line", ["numpy", "numpy>=1", "numpy==2.*", "a==1\na==2"])
def test_a_line_that_pins_nothing_is_found(line: str) -> None:
    with pytest.raises(ValueError, match=r"pins nothing|pinned twice"):
        pins(line, PYTHONS[0])


def test_the_package_has_lower_bounds_only(root: Path) -> None:
    assert project(root)["requires-python"] == ">=3.11,<3.14"
    for dependency in map(Requirement, project(root)["dependencies"]):
        assert [bound.operator for bound in dependency.specifier] == [">="]


def test_pins_are_written_with_torch_and_the_package() -> None:
    resolved = "# a comment\nwheel==1\n--flag\nnumpy==2 ; sys_platform == 'x'\n-e .\n"
    assert make_pins.finished(resolved).splitlines() == [
        "numpy==2 ; sys_platform == 'x'",
        make_pins.TORCH,
        "wheel==1",
        "-e .",
    ]


def test_binder_asks_for_what_the_package_asks_for(root: Path) -> None:
    environment = yaml.safe_load((root / ".binder/environment.yml").read_text())
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    dependencies = project(root)["dependencies"]
    assert binder_drift(environment, dependencies) == set()
    environment["dependencies"].append("pandas>=2")
    drift = binder_drift(environment, [*dependencies, "torchvision>=1"])
    assert drift == {"pandas>=2", "torchvision>=1"}


def test_binder_installs_the_package_and_nothing_else(root: Path) -> None:
    script = root / ".binder" / "postBuild"
    assert script.stat().st_mode & 0o111
    assert "--no-deps --no-build-isolation -e ." in script.read_text()
    assert subprocess.run(["bash", "-n", str(script)]).returncode == 0


FREEZE = """# Colab writes a comment here
absl-py==1.4.0
Pillow==11.3.0
torch @ https://wheels.example/cu126/torch-2.8.0%2Bcu126-cp312-cp312-linux_x86_64.whl
torchvision==0.23.0+cu126
google-colab @ file:///colabtools/dist/google-colab-1.0.0.tar.gz
"""


def test_colabs_list_becomes_constraints(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = make_colab.shipped(FREEZE)
    assert shipped == {
        "absl-py": "1.4.0",
        "pillow": "11.3.0",
        "torch": "2.8.0",
        "torchvision": "0.23.0",
    }
    make_colab.check(shipped, ["torch>=2.4", "pillow>=10"])
    with pytest.raises(ValueError, match=r"needs torch>=2.9, and Colab has 2.8.0"):
        make_colab.check(shipped, ["torch>=2.9"])
    with pytest.raises(ValueError, match=r"needs datasets>=2.19, and Colab lacks it"):
        make_colab.check(shipped, ["datasets>=2.19"])
    everything = FREEZE + "\n".join(
        f"{Requirement(d).name}==99" for d in project(root)["dependencies"]
    )
    (tmp_path / "freeze.txt").write_text(everything)
    make_colab.main(str(tmp_path / "freeze.txt"))
    assert "absl-py==1.4.0" in capsys.readouterr().out.splitlines()
    (tmp_path / "freeze.txt").write_text(FREEZE)
    with pytest.raises(SystemExit, match="Colab lacks it"):
        make_colab.main(str(tmp_path / "freeze.txt"))


def heavy_after(statement: str) -> list[str]:
    """Return the heavy packages that a statement imports, in a fresh Python."""
    code = f"{statement}\nimport sys\nprint(*sorted(set(sys.modules) & set({HEAVY})))"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return ran.stdout.split()


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert heavy_after("import lib") == []
    assert heavy_after("import numpy") == ["numpy"]
