"""A pytest plugin that runs the notebooks under nbval as a hosted reader does.

Each notebook runs in an empty folder with the package from a freshly built wheel, one
thread, and no network. After its last cell the memory of its kernel is read: more than
is allowed fails that cell. CPU seconds and memory of every notebook end the report.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import nbval.plugin
import pytest
from nbval.kernel import RunningKernel
from nbval.plugin import IPyNbCell

from tools.notebooks import (
    MEMORY_MIB,
    clean_outputs,
    cost,
    kernel_environment,
    kernel_pid,
    shown,
)

ROOT = Path(__file__).resolve().parents[1]


def install_wheel(folder: Path, root: Path = ROOT) -> Path:
    """Build the wheel in a folder, install it into another there, and return that.

    Raises:
        RuntimeError: The wheel cannot be built or installed; the message has the log.
    """
    target = folder / "installed"
    build = ["build", "--wheel", "--no-isolation", "--outdir", str(folder), str(root)]
    _module(*build)
    (wheel,) = folder.glob("*.whl")
    _module("pip", "install", "-q", "--no-deps", "--target", str(target), str(wheel))
    return target


def _module(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        log = done.stdout + done.stderr
        raise RuntimeError(f"`python -m {' '.join(command[:2])}` failed:\n{log}")


class LoneKernel(RunningKernel):
    """nbval's kernel in an empty folder of its own instead of the notebook's."""

    def __init__(self, kernel_name: str, cwd: str | None = None, **options: Any):
        self.folder = tempfile.TemporaryDirectory(prefix="notebook-")
        super().__init__(kernel_name, cwd=self.folder.name, **options)

    def stop(self) -> None:
        """Stop the kernel and remove its folder."""
        super().stop()
        self.folder.cleanup()

    def package(self) -> str:
        """Return the file from which the kernel imported `lib`, empty if it did not."""
        modules = "__import__('sys').modules"
        expression = f"getattr({modules}.get('lib'), '__file__', '')"
        asked = self.kc.execute("", silent=True, user_expressions={"file": expression})
        end = time.monotonic() + 60
        while time.monotonic() < end:
            message = self.get_message("shell", timeout=60)
            if message["parent_header"].get("msg_id") == asked:
                answer = message["content"]["user_expressions"]["file"]
                return answer["data"]["text/plain"].strip("'\"")
        raise Empty


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the limit of memory, and a folder that holds the package already."""
    group = parser.getgroup("nbval")
    group.addoption("--nbval-memory-mib", type=float, default=MEMORY_MIB)
    group.addoption("--nbval-package", default="", help="an installed wheel's folder")


def pytest_configure(config: pytest.Config) -> None:
    """Set the kernels' surroundings, which workers inherit from the first process."""
    nbval.plugin.RunningKernel = LoneKernel
    config.pluginmanager.register(Costs(), "notebook-costs")
    if hasattr(config, "workerinput"):
        return
    folder = tempfile.TemporaryDirectory(prefix="wheel-")
    config.add_cleanup(folder.cleanup)
    config.add_cleanup(_restorer(dict(os.environ)))
    try:
        given = config.option.nbval_package
        package = Path(given) if given else install_wheel(Path(folder.name))
    except RuntimeError as error:
        raise pytest.UsageError(str(error)) from error
    os.environ.clear()
    os.environ.update(kernel_environment(), PYTHONPATH=str(package.resolve()))


def _restorer(before: dict[str, str]) -> Any:
    def restore() -> None:
        os.environ.clear()
        os.environ.update(before)

    return restore


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let progress bars and live widgets out of the comparison, on both sides."""
    if isinstance(item, IPyNbCell):
        compare = item.compare_outputs

        def compare_clean(test: list, ref: list, skip_compare: Any = None) -> bool:
            return compare(clean_outputs(test), clean_outputs(ref), skip_compare)

        item.compare_outputs = compare_clean


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Read the kernel's memory and package after the last cell of a notebook."""
    if not isinstance(item, IPyNbCell):
        return
    if nextitem is not None and nextitem.parent is item.parent:
        return
    kernel = item.parent.kernel
    if kernel is None or not kernel.is_alive():
        return
    used = cost(kernel_pid(kernel.km))
    name = shown(item.path)
    line = f"{name}: {used.cpu_seconds:.0f} CPU s, {used.peak_memory_mib:.0f} MiB"
    item.user_properties.append(("notebook", line))
    limit = item.config.option.nbval_memory_mib
    if used.peak_memory_mib > limit:
        peak = f"{used.peak_memory_mib:.0f} MiB at its highest"
        pytest.fail(f"{name} took {peak}; {limit:g} are allowed", pytrace=False)
    found = kernel.package()
    if found and not found.startswith(os.environ["PYTHONPATH"]):
        message = f"{name} imported lib from {found}, not from the wheel"
        pytest.fail(message, pytrace=False)


class Costs:
    """Collects what the notebooks used, from all workers, for the end of the report."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the line of a notebook whose last cell is done."""
        if report.when == "teardown":
            lines = [str(v) for key, v in report.user_properties if key == "notebook"]
            self.lines += lines

    @pytest.hookimpl(wrapper=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> Iterator[None]:
        """Print the lines."""
        yield
        if self.lines:
            terminalreporter.section("notebooks")
            for line in sorted(self.lines):
                terminalreporter.line(line)
