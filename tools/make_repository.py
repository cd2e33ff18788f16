"""Give the book another address: `make set-repository URL=https://github.com/ME/REPO`.

The address stands in `_config.yml: repository.url`. Where it must be repeated (the
first cells of notebooks, README, citation) this tool writes it; a test finds any other.
"""

import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
ADDRESS = re.compile(r"https://github\.com/([A-Za-z0-9][A-Za-z0-9-]*)/([\w.-]+)")
# What follows must not be a longer name, what precedes says whose address it is.
END = r"(?![\w-]|\.(?!git\b)\w)"


def parts(url: str) -> tuple[str, str]:
    """Return owner and name; ValueError unless url is a GitHub repository's."""
    found = ADDRESS.fullmatch(url.removesuffix("/").removesuffix(".git"))
    if not found:
        raise ValueError(
            f"URL is {url!r}; allowed is the address of a repository, "
            "https://github.com/NAME/REPO"
        )
    return found[1], found[2]


def address(root: Path = ROOT) -> str:
    """Return the book's address."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    return config["repository"]["url"]


def readdressed(text: str, old: tuple[str, str], new: tuple[str, str]) -> str:
    """Return text with one repository's address and site replaced by another's."""
    (owner, name), (new_owner, new_name) = old, new
    for before in ("github.com/", "/gh/", "/github/"):
        pattern = re.escape(f"{before}{owner}/{name}") + END
        text = re.sub(pattern, f"{before}{new_owner}/{new_name}", text)
    site = re.escape(f"{owner}.github.io/{name}") + END
    return re.sub(site, f"{new_owner.lower()}.github.io/{new_name}", text)


def tracked(root: Path) -> list[Path]:
    """Return the files that git knows, those that were removed left out."""
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True
    )
    paths = [root / name for name in done.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def set_address(url: str, root: Path = ROOT) -> list[Path]:
    """Write a new address everywhere; return the files that changed."""
    old, new = parts(address(root)), parts(url)
    changed = []
    for path in tracked(root):
        content = path.read_bytes()
        if b"github" not in content or b"\0" in content:
            continue
        text = content.decode("utf-8")
        if (fresh := readdressed(text, old, new)) != text:
            path.write_bytes(fresh.encode("utf-8"))
            changed.append(path)
    return changed


def main(url: str) -> int:
    """Set the address, or say in one sentence why not."""
    try:
        changed = set_address(url)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"The book's address is {address()} ({len(changed)} files written).")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
