"""The wheel is whole, and the notebooks' test runs on it as a hosted reader would.

The notebooks themselves run once, under nbval, with this same plugin: package from the
wheel, empty folder, memory read.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from nbformat import NotebookNode

from tests.notebooks.samples import code, stored, text
from tools.nbval_plugin import install_wheel
from tools.notebooks import NBVAL_ARGS


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder into which the wheel was installed."""
    return install_wheel(tmp_path_factory.mktemp("wheel"))


def tracked(root: Path) -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "src/lib"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    names = [name for name in listed.stdout.split("\0") if (root / name).is_file()]
    return {name.removeprefix("src/") for name in names if name}


def missing(files: set[str], package: Path) -> set[str]:
    """Return the files that an installed package lacks."""
    return {name for name in files if not (package / name).is_file()}


def test_wheel_has_every_file_of_the_package(root: Path, package: Path) -> None:
    files = tracked(root)
    assert "lib/__init__.py" in files
    assert missing(files, package) == set()
    assert missing({"lib/gone.py"}, package) == {"lib/gone.py"}


def test_wheel_is_the_package_alone(package: Path) -> None:
    (wheel,) = package.parent.glob("*.whl")
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"lib"}


def test_package_is_imported_from_the_wheel(package: Path, tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import lib, lib.assets; print(lib.__file__)"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(said.stdout.strip()) == package / "lib" / "__init__.py"


def test_a_broken_project_is_named(tmp_path: Path) -> None:
    broken = "[build-system]\nbuild-backend = 'nothing'\n"
    (tmp_path / "pyproject.toml").write_text(broken)
    with pytest.raises(RuntimeError, match="`python -m build --wheel` failed"):
        install_wheel(tmp_path / "out", tmp_path)


def nbval(
    root: Path, package: Path, path: Path, *options: str
) -> subprocess.CompletedProcess:
    """Run a notebook as `make test` runs the chapters."""
    command = [sys.executable, "-m", "pytest", "-q", "--color=no", *NBVAL_ARGS]
    command += ["--nbval-package", str(package), *options, str(path)]
    return subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )


SURROUNDINGS = """
import os
from pathlib import Path

import lib

print(list(Path.cwd().iterdir()), Path(lib.__file__).parts[-3])
print(os.environ["OMP_NUM_THREADS"], os.environ["HF_HUB_OFFLINE"])
"""
BAR = "import sys\nprint('50%|#### | 1/2 [00:01<00:01, 1.00it/s]', file=sys.stderr)"


def lone(tmp_path: Path, *cells: NotebookNode) -> Path:
    (tmp_path / "beside.txt").write_text("not to be seen\n")
    return stored(tmp_path / "toys.ipynb", text("# Toys"), *cells)


def test_notebook_runs_alone_on_the_wheel(
    root: Path, package: Path, tmp_path: Path
) -> None:
    said = "[] installed\n1 1\n"
    bar, widget = code(BAR), code("import ipywidgets\nipywidgets.IntSlider()")
    path = lone(tmp_path, code(SURROUNDINGS.strip(), said), bar, widget)
    done = nbval(root, package, path, "-n", "1", "--dist", "loadfile")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    assert "toys.ipynb: " in done.stdout
    assert "CPU s" in done.stdout


def test_too_much_memory_fails(root: Path, package: Path, tmp_path: Path) -> None:
    path = lone(tmp_path, code("x = bytearray(200 * 2**20)"), code("del x"))
    done = nbval(root, package, path, "--nbval-memory-mib", "200")
    assert done.returncode == 1
    assert "2 passed, 1 error" in done.stdout
    assert "MiB at its highest; 200 are allowed" in done.stdout


def test_changed_output_fails(root: Path, package: Path, tmp_path: Path) -> None:
    done = nbval(root, package, lone(tmp_path, code("print(1)", "2\n")))
    assert done.returncode == 1
    assert "1 failed" in done.stdout


def test_another_package_fails(root: Path, package: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "lib"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("")
    source = f"import sys\nsys.path.insert(0, {str(other.parent)!r})\nimport lib"
    done = nbval(root, package, lone(tmp_path, code(source)))
    assert done.returncode == 1
    assert "not from the wheel" in done.stdout
