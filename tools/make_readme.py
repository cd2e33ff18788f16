"""Write the README's table of chapters from the chapters' `paper.yml`.

`--check` writes nothing and returns 1 where the table is stale.
"""

import sys
from pathlib import Path

from lib import assets

ROOT = Path(__file__).resolve().parents[1]
BEGIN = "<!-- chapters: written by tools/make_readme.py -->\n"
END = "<!-- end of chapters -->\n"
WORDS = ("reproduced", "explained", "not computable", "own")


def state(paper: assets.Paper) -> str:
    """Say in a few words how far a chapter is."""
    if paper.state == "planned":
        return "planned"
    states = [row.state for row in paper.ledger]
    counts = [f"{states.count(word)} {word}" for word in WORDS if word in states]
    said = "built" if paper.state == "built" else "complete"
    return f"{said}; of {len(states)} ledger rows {', '.join(counts)}"


def table(root: Path = ROOT) -> str:
    """Return the table of chapters, a link for each that has a notebook."""
    lines = ["| | paper | state |", "|---|---|---|"]
    for slug in assets.papers():
        paper = assets.load_paper(slug)
        notebook = f"chapters/{paper.number:02d}_{slug}/{slug}.ipynb"
        title = paper.title
        if (root / notebook).is_file():
            title = f"[{title}]({notebook})"
        where = f"{title} ({paper.venue})"
        lines.append(f"| {paper.number} | {where} | {state(paper)} |")
    return "\n".join(lines) + "\n"


def refreshed(text: str, chapters: str) -> str:
    """Return a README with a new table between the markers."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"README.md needs the lines {BEGIN!r} and {END!r} once each")
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n" + chapters + "\n" + END + rest.split(END)[1]


def main(arguments: list[str]) -> int:
    """Write README.md, or only look whether it is fresh."""
    path = ROOT / "README.md"
    old = path.read_text(encoding="utf-8")
    new = refreshed(old, table())
    if "--check" in arguments:
        if new != old:
            print("README.md is stale: type `make sync`.", file=sys.stderr)
        return int(new != old)
    if new != old:
        path.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ValueError as error:  # a broken paper.yml is named in one sentence
        sys.exit(str(error))
