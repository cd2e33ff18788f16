"""Writes `book/results.md` and its forest plot from what was computed and measured.

`make results` writes both; `python tools/results.py --check` says whether they are up
to date. Nothing on the page is typed: ledger values are computed, verdicts are read off
intervals, budgets come from the last stored runs.
"""

import io
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.assets import (
    Table,
    claims_table,
    differences_table,
    ledger_table,
    load_claims,
    load_paper,
    paper_path,
    papers,
)
from lib.assets.schema import Claim, Paper
from lib.assets.tables import Cell, claim_row, claim_sentence, judged, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "book" / "results.md"
FOREST = ROOT / "book" / "_static" / "results_forest.png"
EXERCISES_SECONDS = 60  # the limit of exercises.ipynb, the same in every chapter
CLAIM_MINUTES = 120  # an hour on two cores
LOOKS = {"supported": ("o", 0), "not supported": ("s", 1), "inconclusive": ("D", 6)}
UNJUDGED = ("x", 6)  # planned seeds are missing

INTRO = """\
# Results

What the book computed and measured, chapter by chapter. `make results` writes this
page: values in the ledgers are computed while it is written, verdicts are read off the
intervals, and nothing is typed. A verdict follows from the 95 % interval of the paired
difference between method and baseline: wholly above the margin, *supported*; wholly
below it, *not supported*; otherwise *inconclusive*. There is none before all planned
seeds are in. Numbers that come from training have at most three digits.
"""


@dataclass(frozen=True)
class Result:
    """One claim on one kind of data; `found` is None where it was not measured."""

    paper: Paper
    claim: Claim
    label: str
    found: dict[str, Any] | None

    @property
    def word(self) -> str:
        """The verdict, or why there is none."""
        return judged(self.claim, self.found)

    @property
    def data(self) -> str:
        """The words for the data."""
        return self.paper.names.label(self.label)


def results() -> list[Result]:
    """Return every claim of every paper on every kind of data, measured or not."""
    everything = []
    for paper in map(load_paper, papers()):
        data = (load_claims(paper.slug) or {"data": {}})["data"]
        for claim in paper.claims:
            apart = [name for name in data if name.rpartition("-")[0] in claim.data]
            for label in dict.fromkeys([*claim.data, *apart]):
                found = data.get(label, {}).get("claims", {}).get(claim.id)
                everything.append(Result(paper, claim, label, found))
    return everything


def page() -> str:
    """Return the whole page as MyST Markdown."""
    every = results()
    built = [paper for paper in map(load_paper, papers()) if paper.state != "planned"]
    parts = [INTRO, *_claims(every), *_ledgers(built), *_budgets(built)]
    planned = [p.short for p in map(load_paper, papers()) if p.state == "planned"]
    if planned:
        parts.append(
            "## Still to come\n\nThese chapters are planned, and nothing of them has "
            f"been computed or measured yet: {', '.join(planned)}.\n"
        )
    return "\n".join(parts)


def _claims(every: Sequence[Result]) -> list[str]:
    heading = "## All claims at a glance\n"
    measured = [result for result in every if result.found]
    if not measured:
        slugs = dict.fromkeys(result.paper.slug for result in every)
        tables = [claims_table(slug)._repr_html_() + "\n" for slug in slugs]
        return [heading, "No claim has been measured yet.\n", *tables]
    parts = [
        heading,
        _tally(every),
        _glance(every)._repr_html_() + "\n",
        _figure(drawn(measured)),
    ]
    parts.append("## Verdicts in words\n")
    for slug in dict.fromkeys(result.paper.slug for result in every):
        mine = [result for result in every if result.paper.slug == slug]
        parts.append(f"### {_chapter(mine[0].paper)}\n")
        parts += [
            _in_words(mine, claim) for claim in mine[0].paper.claims if claim.primary
        ]
        others = [claim for claim in mine[0].paper.claims if not claim.primary]
        if others:
            plural = f"{len(others)} secondary claim{'s' * (len(others) != 1)}"
            fold = f'<details class="pb-fold">\n<summary>{plural} in words</summary>\n'
            parts += [
                fold,
                *(_in_words(mine, claim) for claim in others),
                "</details>\n",
            ]
    return parts


def _in_words(mine: Sequence[Result], claim: Claim) -> str:
    """Say what was measured for one claim, on all kinds of data."""
    said = [
        claim_sentence(r.claim, r.label, r.found, r.paper.names)
        for r in mine
        if r.claim.id == claim.id
    ]
    return f"*{claim.statement}* {' '.join(said)}\n"


def _tally(every: Sequence[Result]) -> str:
    words = Counter(
        r.word if r.word in LOOKS else "unfinished" if r.found else "not measured"
        for r in every
    )
    order = (*LOOKS, "unfinished", "not measured")
    counts = ", ".join(f"{words[word]} {word}" for word in order if words[word])
    return f"Claims are counted once for each kind of data: {counts}.\n"


def _glance(every: Sequence[Result]) -> Table:
    rows = []
    for result in sorted(every, key=lambda result: not result.claim.primary):
        head, label, seeds, _, _, difference, verdict = claim_row(
            result.claim, result.label, result.found, result.paper.names
        )
        paper = result.paper
        chapter = Cell(f"{paper.number} {paper.short}", link=_address(paper))
        rows.append((chapter, head, label, seeds, difference, verdict))
    return Table(
        "Every claim with its difference, 95 % interval and verdict",
        ("Chapter", "Claim", "Data", "Seeds", "Difference", "Verdict"),
        tuple(rows),
        shown=sum(result.claim.primary for result in every) or None,
    )


def drawn(measured: Sequence[Result]) -> list[Result]:
    """Return the claims that the forest plot shows: the primary ones, if there are any.

    The table above it has all of them; dozens of panels would be no picture.
    """
    return [r for r in measured if r.claim.primary] or list(measured)


def _figure(measured: Sequence[Result]) -> str:
    alt = " ".join(
        f"{r.paper.short}, {r.data}: {r.claim.statement.rstrip('.')}: {r.word}."
        for r in measured
        if r.found
    )
    return (
        f"```{{figure}} _static/{FOREST.name}\n:name: results-forest\n"
        f":alt: Paired differences with 95 % intervals. {alt}\n\n"
        "The primary claims: paired differences between method and baseline with their "
        "95 % intervals; "
        "to the right the method is better. A short bar marks the margin that the "
        "interval has to clear.\n```\n"
    )


def forest(measured: Sequence[Result]) -> bytes:
    """Draw the forest plot, one panel a metric, and return it as PNG."""
    from lib.figures.style import few_colours, figure_image, in_house_style, png_bytes

    @in_house_style
    def picture() -> bytes:
        return png_bytes(few_colours(figure_image(_panels(measured))))

    return picture()


def _panels(measured: Sequence[Result]) -> "Figure":
    from matplotlib.figure import Figure

    from lib.figures.style import WIDTH

    panels: dict[str, list[Result]] = {}
    for result in measured:
        metric = result.paper.names.metric(result.claim.metric)
        panels.setdefault(metric, []).append(result)
    sizes = [len(rows) for rows in panels.values()]
    figure = Figure(figsize=(WIDTH, 0.62 * sum(sizes) + 0.85 * len(panels)))
    axes = figure.subplots(
        len(panels), squeeze=False, height_ratios=[size + 0.4 for size in sizes]
    )
    for axis, (metric, rows) in zip(axes[:, 0], panels.items(), strict=True):
        axis.set(ylim=(len(rows) - 0.5, -0.85), yticks=[])
        turned = ", reversed" * (rows[0].claim.better == "lower")
        axis.set_xlabel(
            f"difference in {metric}{turned}:\nbetter to the right", loc="left"
        )
        axis.spines["left"].set_visible(False)
        axis.margins(x=0.1)
        axis.axvline(0, color="0.5", linewidth=0.8)
        for place, result in enumerate(rows):
            _interval(axis, place, result)
    return figure


def _interval(axis: "Axes", place: int, result: Result) -> None:
    from lib.figures.palette import PALETTE, SERIES

    found, claim, names = result.found or {}, result.claim, result.paper.names
    sign = -1 if claim.better == "lower" else 1
    low, mean, high = (
        sign * found["difference"][key] for key in ("low", "mean", "high")
    )
    marker, series = LOOKS.get(result.word, UNJUDGED)
    axis.plot([low, high], [place, place], color=SERIES[series])
    axis.plot(mean, place, marker, color=SERIES[series])
    bar = [place - 0.2, place + 0.2]
    axis.plot([claim.margin] * 2, bar, color=PALETTE["light"]["ink"])
    axis.annotate(
        f"{names.arm(claim.method)} against {names.arm(claim.baseline)}, "
        f"{result.data}: {result.word}",
        (0, place - 0.3),
        xycoords=("axes fraction", "data"),
        va="bottom",
        fontsize=9,
        bbox={"facecolor": PALETTE["light"]["surface"], "linewidth": 0, "pad": 1},
    )


def _ledgers(built: Sequence[Paper]) -> list[str]:
    parts = ["## Ledgers: what the papers publish, computed again\n"]
    if not built:
        parts.append("No chapter has been built yet.\n")
    for paper in built:
        states: Counter[str] = Counter(row.state for row in paper.ledger)
        order = ("reproduced", "explained", "not computable", "own")
        counts = ", ".join(
            f"{states[state]} {state}" for state in order if states[state]
        )
        places = label_places(paper)
        parts += [
            f"### {_chapter(paper)}\n",
            f"{len(paper.ledger)} values, published or counted in the authors' code: "
            f"{counts}.\n",
            ledger_table(paper.slug)._repr_html_() + "\n",
        ]
        if paper.differences:
            table = differences_table(paper.slug, defaultdict(str, places).__getitem__)
            parts.append(table._repr_html_() + "\n")
    return parts


def label_places(paper: Paper) -> dict[str, str]:
    """Return the address, as seen from this page, of each label in a chapter."""
    places = {}
    for file in sorted(_folder(paper).glob("*.ipynb")):
        for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
            text = "".join(cell["source"]) if cell["cell_type"] == "markdown" else ""
            for label in re.findall(r"^\(([^()\s]+)\)=\s*$", text, re.MULTILINE):
                page = f"../chapters/{file.parent.name}/{file.stem}.html"
                places[label] = f"{page}#{label}"
    return places


def _budgets(built: Sequence[Paper]) -> list[str]:
    rows = [row for paper in built for row in _budget_rows(paper)]
    costs = [row for paper in built for row in _cost_rows(paper)]
    parts = ["## Budgets\n"]
    if rows:
        limits = (
            "Notebook",
            "CPU seconds",
            "Peak memory (MiB)",
            "File (kB)",
            "Weights (MB)",
        )
        parts += [
            "One process, one thread, no network; weights are those of the whole "
            "chapter. Memory and sizes over their limit fail a test; time is only "
            "reported.\n",
            Table(
                "What each notebook uses, of its limit", limits, tuple(rows)
            )._repr_html_()
            + "\n",
        ]
    else:
        parts.append("No notebook has been executed yet.\n")
    if costs:
        head = (
            "Data",
            "Rows",
            "Content hash",
            "Seeds",
            "Minutes on one core",
            "Peak memory (MiB)",
        )
        caption = f"What the claims cost to measure, of {CLAIM_MINUTES} minutes each"
        parts.append(Table(caption, head, tuple(costs))._repr_html_() + "\n")
    return parts


def _budget_rows(paper: Paper) -> list[tuple[Cell, ...]]:
    file = paper_path(paper.slug, "budgets.json")
    if not file.is_file() or paper.budgets is None:
        return []
    limits = paper.budgets
    weights = sum(f.stat().st_size for f in file.parent.rglob("*.safetensors")) / 1e6
    rows: list[tuple[Cell, ...]] = []
    for notebook, used in sorted(json.loads(file.read_text(encoding="utf-8")).items()):
        exercises = notebook == "exercises"
        seconds = EXERCISES_SECONDS if exercises else limits.cpu_seconds
        rows.append(
            (
                Cell(f"{_folder(paper).name}/{notebook}"),
                _of(used["cpu_seconds"], seconds),
                _of(used["peak_memory_mib"], 1024 * limits.memory_gib),
                _of(used["notebook_kb"], 1000 * limits.notebook_mb),
                _of(weights, limits.weights_mb, 1),
            )
        )
    return rows


def _cost_rows(paper: Paper) -> list[tuple[Cell, ...]]:
    data = (load_claims(paper.slug) or {"data": {}})["data"]
    return [
        (
            Cell(f"{paper.short}, {paper.names.label(label)}"),
            Cell(number(found["rows"], 0) if found["rows"] else "–"),
            Cell(str(found["hash"] or "–")[:12]),
            Cell(str(len(found["seeds"]))),
            Cell(number(found["minutes"], 1)),
            Cell(number(found["peak_memory_mib"], 0)),
        )
        for label, found in data.items()
    ]


def _of(used: float, limit: float, decimals: int = 0) -> Cell:
    over = used > limit
    text = f"{number(used, decimals)} of {number(limit, 0)}"
    return Cell(text, "over the limit" if over else "")


def _folder(paper: Paper) -> Path:
    return ROOT / "chapters" / f"{paper.number:02d}_{paper.slug}"


def _address(paper: Paper) -> str:
    notebook = _folder(paper) / f"{paper.slug}.ipynb"
    if not notebook.is_file():
        return ""
    return f"../chapters/{notebook.parent.name}/{notebook.stem}.html"


def _chapter(paper: Paper) -> str:
    notebook = _folder(paper) / f"{paper.slug}.ipynb"
    if not notebook.is_file():
        return paper.short
    return f"[{paper.short}](../chapters/{notebook.parent.name}/{notebook.name})"


def complaints(text: str, picture: bytes | None) -> list[str]:
    """Say which of the two files differ from a fresh page and plot."""
    stored = FOREST.read_bytes() if FOREST.is_file() else None
    fresh = {
        PAGE: PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text,
        FOREST: _same_picture(stored, picture),
    }
    return [
        f"{file.relative_to(ROOT)} is not up to date: `make results`"
        for file, same in fresh.items()
        if not same
    ]


def _same_picture(one: bytes | None, other: bytes | None) -> bool:
    """Whether two pictures look the same; machines may round a pixel differently."""
    if one is None or other is None:
        return one is other
    import numpy as np
    from PIL import Image

    a, b = (
        np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)
        for data in (one, other)
    )
    return a.shape == b.shape and float(np.abs(a - b).mean()) < 0.02


def main(arguments: Sequence[str]) -> int:
    """Write the page, or check it; the exit code is 1 where it is not up to date."""
    measured = [result for result in results() if result.found]
    text, picture = page(), forest(drawn(measured)) if measured else None
    if list(arguments) == ["--check"]:
        found = complaints(text, picture)
        print("\n".join(found) or "The results page is up to date.")
        return 1 if found else 0
    if arguments:
        print("usage: python tools/results.py [--check]", file=sys.stderr)
        return 2
    PAGE.write_text(text, encoding="utf-8")
    if picture is None:
        FOREST.unlink(missing_ok=True)
    else:
        FOREST.parent.mkdir(exist_ok=True)
        FOREST.write_bytes(picture)
    print(f"Wrote {PAGE.relative_to(ROOT)}.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ValueError as error:  # a broken paper.yml is named in one sentence
        sys.exit(str(error))
