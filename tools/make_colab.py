"""Write the versions that Colab ships as constraints for an installer.

`python tools/make_colab.py FREEZE` reads Colab's published `pip freeze` and prints one
`name==version` a line. A dependency of the book's package that Colab lacks, or has in a
version that is too old, stops it with a sentence: the notebooks would fail there.
"""

import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PLAIN = re.compile(r"^([\w.-]+)==([\w.!-]+)")  # without a local part such as +cu128
WHEEL = re.compile(r"^([\w.-]+) @ \S+/[\w.]+-(\d[\w.!]*)(?:%2B[\w.]+|\+[\w.]+)?-")


def shipped(freeze: str) -> dict[str, str]:
    """Return name -> version of a `pip freeze`, wheels named by address included."""
    versions: dict[str, str] = {}
    for line in freeze.splitlines():
        found = PLAIN.match(line) or WHEEL.match(line)
        if found:
            versions[canonicalize_name(found[1])] = found[2]
    return versions


def check(versions: dict[str, str], dependencies: list[str]) -> None:
    """Raise ValueError where Colab's packages do not do for the book's package."""
    for dependency in map(Requirement, dependencies):
        version = versions.get(canonicalize_name(dependency.name))
        if version is None or version not in dependency.specifier:
            has = f"has {version}" if version else "lacks it"
            raise ValueError(f"the book's package needs {dependency}, and Colab {has}")


def main(freeze: str) -> None:
    """Print the constraints, or stop with one sentence."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = shipped(Path(freeze).read_text())
    try:
        check(versions, project["dependencies"])
    except ValueError as error:
        sys.exit(str(error))
    for name, version in versions.items():
        print(f"{name}=={version}")


if __name__ == "__main__":
    main(sys.argv[1])
