"""`make pins`: resolve tools/requirements.in into requirements.txt, for 3.11 to 3.13.

Pins that still fit are kept; `UPGRADE=1` takes the newest of everything. torch is set
here by hand and kept out of the resolution: its builds for processors and for graphics
cards share one version number and ask for different packages.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TORCH = "torch==2.13.0"


def finished(resolved: str) -> str:
    """Return requirements.txt: what was resolved, torch, and the package itself."""
    lines = [line for line in resolved.splitlines() if line and line[0] not in "#- "]
    return "\n".join([*sorted([*lines, TORCH]), "-e ."]) + "\n"


def resolve(root: Path, upgrade: bool) -> str:
    """Return the pins of tools/requirements.in as uv resolves them."""
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder, "requirements.txt")
        shutil.copyfile(root / "requirements.txt", pins)  # uv keeps what still fits
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet"]
        command += ["--universal", "--python-version=3.11", "--no-annotate"]
        command += ["--no-header", "--no-emit-index-url", "--no-emit-find-links"]
        command += ["--upgrade"] if upgrade else []
        command += ["tools/requirements.in", f"--output-file={pins}"]
        subprocess.run(command, cwd=root, check=True)
        return pins.read_text(encoding="utf-8")


def main() -> int:
    """Write requirements.txt."""
    try:
        resolved = resolve(ROOT, bool(os.environ.get("UPGRADE")))
    except subprocess.CalledProcessError as error:
        print("The pins do not resolve; requirements.txt stays.", file=sys.stderr)
        return error.returncode
    (ROOT / "requirements.txt").write_text(finished(resolved), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
