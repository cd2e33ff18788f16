"""`make test`: run every stage, whatever fails, and end with a table of what ran.

`--quick` (`make check`) leaves out the site, the wheel and the notebooks that did not
change. Names of stages run only those: `python tools/run_tests.py lint types`.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # started as a script: let `tools` be found
    sys.path.insert(0, str(ROOT))

REPORTS = Path("_build", "tests")  # what pytest reports, one file a stage
GREEN = Path("_build", "green.json")  # the notebooks that passed, by content
WORKERS = ["-n", "2", "--dist", "loadfile"]  # two workers; a notebook stays whole


@dataclass
class Stage:
    """One part of the tests: a command for `python`, and what came of it."""

    name: str
    command: list[str]
    pytest: bool = False
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0

    def run(self, root: Path = ROOT) -> None:
        """Run the command, its output going straight through, and count its tests."""
        start = time.monotonic()
        command = [sys.executable, *self.command]
        report = root / REPORTS / f"{self.name}.xml"
        if self.pytest:
            report.unlink(missing_ok=True)
            report.parent.mkdir(parents=True, exist_ok=True)
            command += ["-q", f"--junitxml={report}"]
        print(f"\n== {self.name}: python {' '.join(command[1:])}", flush=True)
        code = subprocess.run(
            command, cwd=root, stdin=subprocess.DEVNULL, check=False
        ).returncode
        if self.pytest and report.is_file():
            self._count(report)
        elif code == 0:
            self.passed = 1
        if code and not self.failed:
            self.failed = 1  # broken before, after or outside its tests
        self.seconds = time.monotonic() - start

    def _count(self, report: Path) -> None:
        for suite in ElementTree.parse(report).iter("testsuite"):
            tests, failures, errors, skipped = (
                int(suite.get(key, 0))
                for key in ("tests", "failures", "errors", "skipped")
            )
            self.failed += failures + errors
            self.skipped += skipped
            self.passed += tests - failures - errors - skipped

    def row(self) -> str:
        """Return the stage's line of the table."""
        what = f"{self.passed} passed"
        what += f", {self.skipped} skipped" if self.skipped else ""
        what += f", {self.failed} failed" if self.failed else ""
        verdict = "FAILED" if self.failed else "passed"
        return f"{self.name:<12}{what:<36}{verdict:<9}{self.seconds:>7.1f} s"


def stages(quick: bool = False) -> list[Stage]:
    """Return the stages in order, the quick ones first."""
    from tools.notebooks import NBVAL_ARGS

    tests = ["-m", "pytest", "tests", "--ignore=tests/site", *WORKERS]
    names = ["chapters"]
    if quick:
        names = [str(path.relative_to(ROOT)) for path in changed_notebooks()]
    chosen = [
        Stage("lint", ["-m", "ruff", "check"]),
        Stage("format", ["-m", "ruff", "format", "--check"]),
        Stage("types", ["-m", "mypy"]),
        Stage("imports", ["-c", IMPORTS]),
        Stage("sync", ["tools/sync.py", "--check"]),
        Stage("results", ["tools/results.py", "--check"]),
        Stage("tests", [*tests, *(["--ignore=tests/wheel"] if quick else [])], True),
    ]
    if names:
        command = ["-m", "pytest", *NBVAL_ARGS, *names, *WORKERS]
        chosen.append(Stage("notebooks", command, True))
    if not quick:
        chosen.append(Stage("site", ["-m", "pytest", "tests/site"], True))
    return chosen


# import-linter has a command but no `python -m`.
IMPORTS = "from importlinter.cli import lint_imports_command as run; run()"


def git_lines(*command: str) -> list[str]:
    """Return the lines that git prints, none where it cannot answer."""
    done = subprocess.run(
        ["git", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.splitlines() if done.returncode == 0 else []


def content(notebook: Path) -> str:
    """Return the hash of a notebook's bytes."""
    return hashlib.sha256(notebook.read_bytes()).hexdigest()


def green() -> dict[str, str]:
    """Return the notebooks that passed before, name -> content."""
    path = ROOT / GREEN
    return json.loads(path.read_text()) if path.is_file() else {}


def changed_notebooks() -> list[Path]:
    """Return the notebooks changed by the last commit or since, unless they passed.

    A notebook that passed with just these bytes is not run again.
    """
    names = {
        *git_lines("diff", "--name-only", "HEAD~1", "--", "chapters"),
        *git_lines("diff", "--name-only", "HEAD", "--", "chapters"),
        *git_lines("ls-files", "--others", "--exclude-standard", "--", "chapters"),
    }
    passed = green()
    paths = [ROOT / name for name in sorted(names) if name.endswith(".ipynb")]
    return [
        path
        for path in paths
        if path.is_file() and passed.get(str(path.relative_to(ROOT))) != content(path)
    ]


def record_green(notebooks: Iterable[Path]) -> None:
    """Remember notebooks that passed, so that `make check` leaves them out."""
    known = green() | {str(p.relative_to(ROOT)): content(p) for p in notebooks}
    (ROOT / GREEN).parent.mkdir(exist_ok=True)
    (ROOT / GREEN).write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


def summary(ran: list[Stage]) -> str:
    """Return the table and, as its last line, the tests passed and failed in all."""
    passed = sum(stage.passed for stage in ran)
    failed = sum(stage.failed for stage in ran)
    skipped = sum(stage.skipped for stage in ran)
    seconds = sum(stage.seconds for stage in ran)
    lines = ["", *(stage.row() for stage in ran)]
    lines.append(f"in all{seconds:>60.1f} s")
    lines.append("")
    closing = f"{passed} passed, {failed} failed"
    lines.append(closing + (f", {skipped} skipped" if skipped else ""))
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the stages that were asked for; return 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the tests while working")
    parser.add_argument("stage", nargs="*", help="only these stages")
    options = parser.parse_args(arguments)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    ran = stages(options.quick)
    known = [stage.name for stage in ran]
    for name in options.stage:
        if name not in known:
            parser.error(f"there is no stage {name!r}; stages: {', '.join(known)}")
    ran = [stage for stage in ran if not options.stage or stage.name in options.stage]
    every = ROOT.glob("chapters/*/*.ipynb")
    before = {p: content(p) for p in (changed_notebooks() if options.quick else every)}
    for stage in ran:
        stage.run()
        if stage.name == "notebooks" and not stage.failed:
            record_green(path for path in before if before[path] == content(path))
    print(summary(ran))
    return int(any(stage.failed for stage in ran))


if __name__ == "__main__":
    sys.exit(main())
