"""The notebooks' first cell and the repository's address, which it repeats.

The address stands in `_config.yml: repository.url`; everything else that names it is
written from there. `python tools/bootstrap.py set-repository URL` gives the book
another address.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

import yaml
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # started as a script: let `tools` be found
    sys.path.insert(0, str(ROOT))

COLAB_LACKS: list[str] = []  # requirements of the package that Colab does not ship

_ADDRESS = re.compile(r"https://github\.com/([A-Za-z0-9][A-Za-z0-9-]*)/([\w.-]+)")
# Where an address can stand: GitHub itself, Binder (gh/) and Colab (github/).
_PLACES = r"(github\.com/|/gh/|/github/)"
_END = r"(?![\w-]|\.(?!git\b)\w)"  # what follows must not be a longer name


def check_address(url: str) -> tuple[str, str]:
    """Return the owner and the name in a repository's address.

    Raises:
        ValueError: The address is not of the form https://github.com/OWNER/NAME.
    """
    found = _ADDRESS.fullmatch(url)
    if not found or url.endswith(".git"):
        allowed = "https://github.com/OWNER/NAME, with nothing after the name"
        raise ValueError(f"URL is '{url}'; allowed is {allowed}")
    return found[1], found[2]


def address(root: Path = ROOT) -> str:
    """Return the repository's address from `_config.yml`."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    url = config["repository"]["url"]
    check_address(url)
    return url


def first_cell(root: Path = ROOT) -> NotebookNode:
    """Return the first cell of every notebook: it installs the package where it lacks.

    It does nothing where `lib` is installed. torch and the like stay as the host has
    them (`--no-deps`).
    """
    extra = f"    %pip install -q {' '.join(COLAB_LACKS)}\n" if COLAB_LACKS else ""
    source = (
        "try:\n"
        "    from lib import __version__  # noqa: F401\n"
        "except ImportError:  # a hosted notebook without the book's package\n"
        f"{extra}"
        f'    %pip install -q --no-deps "papers-built @ git+{address(root)}"'
    )
    metadata = {"generated": "bootstrap", "tags": ["remove-cell"]}
    return new_code_cell(source, metadata=metadata, outputs=[], execution_count=None)


def texts(root: Path = ROOT) -> dict[Path, str]:
    """Return the text files of the project, committed or new, with their contents."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    found = {}
    for name in filter(None, listed.stdout.split("\0")):
        path = root / name
        content = path.read_bytes() if path.is_file() else b"\0"
        if b"\0" not in content and b"github" in content:
            found[path] = content.decode("utf-8")
    return found


def set_repository(url: str, root: Path = ROOT) -> list[Path]:
    """Give the book another address everywhere; return the files that changed.

    Besides the address itself, launch links (Binder, Colab) and the address of the
    published pages (OWNER.github.io/NAME) are found in all text files.

    Raises:
        ValueError: The address is not of the form https://github.com/OWNER/NAME.
    """
    from tools.notebooks import replace_text

    owner, name = check_address(url)
    old_owner, old_name = (re.escape(part) for part in check_address(address(root)))
    site = rf"\b{old_owner}\.github\.io/{old_name}{_END}"
    changed = []
    for path, text in texts(root).items():
        pattern = rf"{_PLACES}{old_owner}/{old_name}{_END}"
        text = re.sub(pattern, rf"\g<1>{owner}/{name}", text)
        text = re.sub(site, f"{owner.lower()}.github.io/{name}", text, flags=re.I)
        if replace_text(path, text):
            changed.append(path)
    return changed


def other_addresses(root: Path = ROOT) -> list[str]:
    """Return the places that name the book's repository by another address."""
    owner, name = check_address(address(root))
    near = rf"{_PLACES}([\w-]+)/({re.escape(name)}|papers-built){_END}"
    return [
        f"{path.relative_to(root)} names {found[2]}/{found[3]}, not {owner}/{name}"
        for path, text in texts(root).items()
        for found in re.finditer(near, text)
        if (found[2], found[3]) != (owner, name)
    ]


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Set the repository's address, or print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["set-repository", "show"])
    parser.add_argument("url", nargs="?", default="")
    options = parser.parse_args(arguments)
    try:
        if options.action == "set-repository":
            for path in set_repository(options.url, root):
                print(f"changed {path.relative_to(root)}")
        print(f"The repository's address is {address(root)}.")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
