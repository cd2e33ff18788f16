"""A made-up experiment, in a module of its own, for the tests of the runner."""

import itertools
import subprocess
import sys
import textwrap

import pytest

from lib.assets.schema import Claim
from lib.claims.runner import Experiment

COUNT = itertools.count()
MODULE = '''
"""A made-up experiment."""
import os, pathlib, time

HERE = pathlib.Path(__file__).parent


def run(seed, data):
    """Return numbers that depend on the seed alone."""
    with open(HERE / "log.txt", "a") as log:
        log.write(f"{seed} {os.environ['OMP_NUM_THREADS']}\\n")
    # hook
    score = 0.9 + 0.01 * (seed % 3)
    return {"arms": {"bridge": {"accuracy": score}, "wide": {"accuracy": 0.85}}}
'''
CLAIM = Claim(
    id="beats-wide",
    statement="It beats the wide one.",
    metric="accuracy",
    better="higher",
    method="bridge",
    baseline="wide",
    primary=True,
    data=["world", "cifar10"],
    seeds=3,
)


class MadeUp:
    """An experiment whose source the test may change."""

    def __init__(self, folder):
        self.name = f"made_up_{next(COUNT)}"
        self.file = folder / f"{self.name}.py"
        self.log = folder / "log.txt"
        self.exp = Experiment("made-up", self.name, folder / "assets", (CLAIM,))
        self.write(MODULE)

    def write(self, source):
        self.file.write_text(source, encoding="utf-8")

    def hook(self, code):
        code = textwrap.indent(textwrap.dedent(code).strip(), "    ").lstrip()
        self.write(MODULE.replace("# hook", code))

    def ran(self):
        """Return the seeds that `run` was called with, in order of the calls."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        assert all(line.endswith(" 1") for line in lines), "one thread a worker"
        return [int(line.split()[0]) for line in lines]

    def stored(self, label="world"):
        return sorted(
            path.name for path in self.exp.seed_file(label, 0).parent.glob("*")
        )

    def start(self, seeds, jobs=1):
        """Start the command in a process of its own."""
        script = self.file.with_name("command.py")
        script.write_text(
            f"""
import pathlib, signal, sys
from lib.assets.schema import Claim
from lib.claims.__main__ import command
from lib.claims.runner import Experiment
if __name__ == "__main__":
    # A shell's background jobs begin with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    claim = Claim.model_validate_json({CLAIM.model_dump_json()!r})
    folder = pathlib.Path({str(self.exp.folder)!r})
    exp = Experiment("made-up", {self.name!r}, folder, (claim,))
    sys.exit(command(exp, {list(seeds)}, "world", {jobs}, False))
""",
            encoding="utf-8",
        )
        return subprocess.Popen(
            [sys.executable, str(script)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    return MadeUp(tmp_path)
