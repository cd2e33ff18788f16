"""`make book`: build the site from the committed outputs, unless it is up to date."""

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INPUTS = (
    "CONTRIBUTING.md",
    "_config.yml",
    "_toc.yml",
    "requirements.txt",
    "book",
    "chapters",
    "src/lib",
)
PASSING = {"__pycache__", ".ipynb_checkpoints"}  # folders that say nothing of the site

# Jupyter Book has a command but no `python -m`.
JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"


def inputs_hash(root: Path = ROOT) -> str:
    """Hash names and contents of everything that the site is built from."""
    digest = hashlib.sha256()
    for name in INPUTS:
        top = root / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and not PASSING.intersection(path.parts):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f"{path.relative_to(root)}\0{content}\n".encode())
    return digest.hexdigest()


def build(root: Path = ROOT) -> int:
    """Build `_build/html` with warnings as errors; return the exit status."""
    site = root / "_build" / "html"
    stamp = site / ".inputs"
    key = inputs_hash(root)
    if stamp.is_file() and stamp.read_text() == key:
        print("The site is up to date.")
    else:
        print("Building the site (a minute or two) ...", flush=True)
        stamp.unlink(missing_ok=True)
        command = [sys.executable, "-c", JUPYTER_BOOK, "build", str(root)]
        done = subprocess.run([*command, "-W", "--keep-going", "--quiet"], cwd=root)
        if done.returncode:
            print("The site was not built: see the messages above.", file=sys.stderr)
            return done.returncode
        stamp.write_text(key)
    print(f"Open {(site / 'index.html').as_uri()}")
    print("or type `make serve` and open http://localhost:8000/")
    return 0


if __name__ == "__main__":
    sys.exit(build())
