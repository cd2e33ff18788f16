"""The ledger, the differences and the claims of a paper as tables.

A table shows itself in a notebook and on the site. Its text is the same on every
machine: computed values are rounded to what their tolerance speaks about.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from lib.assets import load_claims, load_paper
from lib.assets.ledger import Evaluated, evaluate
from lib.assets.schema import Claim, LedgerRow, Tolerance

MISSING = "–"


@dataclass(frozen=True)
class Cell:
    """A table cell: its text, a smaller note below it, a link on the text, a class."""

    text: str
    note: str = ""
    link: str = ""
    kind: str = ""

    def html(self) -> str:
        """Return the inside of the cell."""
        text = _code(self.text)
        if self.link:
            text = f'<a href="{escape(self.link)}">{text}</a>'
        if self.kind:
            text = f'<span class="{self.kind}">{text}</span>'
        return text + (
            f'<div class="pb-note">{_code(self.note)}</div>' * bool(self.note)
        )

    def markdown(self) -> str:
        """Return the cell for a Markdown table."""
        text = f"[{self.text}]({self.link})" if self.link else self.text
        return (text + f" ({self.note})" * bool(self.note)).replace("|", r"\|")


def _code(text: str) -> str:
    """Escape a text for HTML, with what stands between back-ticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


@dataclass(frozen=True)
class Table:
    """A table with a caption; the first cell of each row is its heading."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def __repr__(self) -> str:
        count = len(self.rows)
        return f"{self.caption} ({count} row{'s' * (count != 1)})"

    def _repr_html_(self) -> str:
        """Return the table in a box of its own that scrolls sideways when narrow."""
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in self.header)
        body = "\n".join(
            f'<tr><th scope="row">{first.html()}</th>'
            + "".join(f"<td>{cell.html()}</td>" for cell in rest)
            + "</tr>"
            for first, *rest in self.rows
        )
        return (
            f'<div class="pb-scroll" role="region" aria-label="{escape(self.caption)}" '
            'tabindex="0" style="overflow-x: auto">\n'
            '<table class="pb-ledger" style="min-width: 40rem">\n'
            f"<caption>{escape(self.caption)}</caption>\n"
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>"
        )

    def _repr_markdown_(self) -> str:
        lines = [self.header, ["---"] * len(self.header)]
        lines += [[cell.markdown() for cell in row] for row in self.rows]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return f"**{self.caption}**\n\n{table}\n"


def ledger_table(slug: str, ids: Sequence[str] | None = None) -> Table:
    """Return the ledger of a paper, computed here and now.

    Args:
        slug: the paper.
        ids: which rows, in which order; all of them by default.

    Raises:
        ValueError: for an unknown slug or row.
    """
    paper = load_paper(slug)
    rows = {row.id: row for row in paper.ledger}
    for name in ids or ():
        if name not in rows:
            raise ValueError(
                f"ids: '{name}' is no ledger row of {slug}; "
                f"allowed are {', '.join(rows) or 'none'}"
            )
    chosen = [rows[name] for name in (ids if ids is not None else rows)]
    return Table(
        f"Published and computed values of {paper.short}",
        ("What", "Published", "Computed", "Tolerance", "State"),
        tuple(_ledger_row(evaluate(row)) for row in chosen),
    )


def _ledger_row(result: Evaluated) -> tuple[Cell, ...]:
    row = result.row
    state = row.state if result.as_stated else f"stated as {row.state}, but it is not"
    kind = f"pb-state pb-state-{row.state.replace(' ', '-')}"
    return (
        Cell(row.what),
        Cell(_with_unit(_published(row.published, row.tolerance), row), row.source),
        Cell(_computed(result)),
        Cell(_tolerance(row.tolerance)),
        Cell(state, row.why, kind=kind),
    )


def _with_unit(text: str, row: LedgerRow) -> str:
    return f"{text} {row.unit}".strip()


def _published(value: Any, tolerance: Tolerance | None) -> str:
    if isinstance(value, list):
        return "(" + ", ".join(_published(item, tolerance) for item in value) + ")"
    if isinstance(value, bool | str):
        return str(value)
    if tolerance and tolerance.decimals is not None:
        return number(value, tolerance.decimals)
    return number(value, 0) if isinstance(value, int) else str(value).replace("-", "−")


def _computed(result: Evaluated) -> str:
    row, rule = result.row, result.row.tolerance
    if rule is None:
        return MISSING
    if rule.absolute and row.published == 0 and result.agrees:
        return _with_unit(f"below {rule.absolute:g}", row)  # what is left is round-off
    return _with_unit(_rounded(result.value, rule), row)


def _rounded(value: Any, rule: Tolerance) -> str:
    """Write a value with the digits that the tolerance speaks about, and one more."""
    if isinstance(value, list):
        return "(" + ", ".join(_rounded(item, rule) for item in value) + ")"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return number(value, 0)
    if rule.decimals is not None:
        return number(value, rule.decimals + 1)
    if rule.absolute:
        return number(value, max(0, math.ceil(-math.log10(rule.absolute))))
    return number(value, 3 - math.floor(math.log10(abs(value))) if value else 0)


def _tolerance(rule: Tolerance | None) -> str:
    if rule is None:
        return MISSING
    if rule.decimals is not None:
        return f"rounded to {rule.decimals} decimal{'s' * (rule.decimals != 1)}"
    if rule.relative:
        return f"{100 * rule.relative:g} %"
    return f"± {rule.absolute:g}" if rule.absolute else "exact"


def differences_table(slug: str, link: Callable[[str], str] = "#{}".format) -> Table:
    """Return where paper, official code and book differ, with links to the cells.

    Args:
        slug: the paper.
        link: makes an address of a cell's label; by default, one on the same page.

    Raises:
        ValueError: for an unknown slug.
    """
    paper = load_paper(slug)
    return Table(
        f"Where {paper.short}, its official code and this book differ",
        ("Point", "The paper says", "The official code does", "This book does"),
        tuple(
            (
                Cell(d.point, link=link(d.cell)),
                Cell(d.paper),
                Cell(d.code),
                Cell(d.book),
            )
            for d in paper.differences
        ),
    )


def claims_table(slug: str, data: str | None = None) -> Table:
    """Return the claims of a paper with what was measured for each kind of data.

    Args:
        slug: the paper.
        data: one kind of data, such as "world"; by default all.

    Raises:
        ValueError: for an unknown slug, or data that no claim is about.
    """
    paper = load_paper(slug)
    known = sorted({label for claim in paper.claims for label in claim.data})
    if data is not None and data not in known:
        raise ValueError(f"data={data!r}; allowed are {', '.join(known) or 'none'}")
    measured = (load_claims(slug) or {"data": {}})["data"]
    rows = []
    for claim in paper.claims:
        labels = [*claim.data, *(set(measured) - set(claim.data))]
        for label in sorted(labels, key=lambda name: (name not in claim.data, name)):
            result = measured.get(label, {}).get("claims", {}).get(claim.id)
            wanted = data in (None, label)
            if wanted and (result or label in claim.data):
                rows.append(claim_row(claim, label, result))
    return Table(
        f"The claims of {paper.short}, listed before they were measured",
        ("Claim", "Data", "Seeds", "Method", "Baseline", "Difference", "Verdict"),
        tuple(rows),
    )


def claim_row(
    claim: Claim, label: str, result: dict[str, Any] | None
) -> tuple[Cell, ...]:
    """Return one claim on one kind of data as a row of cells.

    Args:
        claim: as listed in `paper.yml`.
        label: which data.
        result: its entry in `claims.json`, None if it was not measured.
    """
    kind = "primary" if claim.primary else "secondary"
    note = f"{kind}; {_words(claim.metric)}, {claim.better} is better"
    head = Cell(claim.statement, note)
    if result is None:
        blank = Cell(MISSING)
        verdict = Cell("not measured yet", kind="pb-verdict")
        return head, Cell(label), Cell(f"0 of {claim.seeds}"), *[blank] * 3, verdict
    digits = interval_digits(result["difference"])
    low, high = (number(result["difference"][end], digits) for end in ("low", "high"))
    word = result["verdict"]
    return (
        head,
        Cell(label),
        Cell(f"{result['n']} of {claim.seeds}"),
        Cell(number(result["method"]["mean"], digits), claim.method),
        Cell(number(result["baseline"]["mean"], digits), claim.baseline),
        Cell(number(result["difference"]["mean"], digits), f"{low} to {high}"),
        Cell(word, kind=f"pb-verdict pb-verdict-{word.replace(' ', '-')}"),
    )


def verdict_sentence(slug: str, claim_id: str, label: str = "world") -> str:
    """Say in words what was measured for a claim, with the verdict of its interval.

    Args:
        slug: the paper.
        claim_id: one of its claims.
        label: which data.

    Raises:
        ValueError: for an unknown slug or claim.
    """
    claims = {claim.id: claim for claim in load_paper(slug).claims}
    if claim_id not in claims:
        raise ValueError(
            f"claim_id: '{claim_id}' is no claim of {slug}; "
            f"allowed are {', '.join(claims) or 'none'}"
        )
    measured = (load_claims(slug) or {"data": {}})["data"]
    result = measured.get(label, {}).get("claims", {}).get(claim_id)
    return claim_sentence(claims[claim_id], label, result)


def claim_sentence(claim: Claim, label: str, result: dict[str, Any] | None) -> str:
    """Say one result in words; the arguments are those of `claim_row`."""
    if result is None:
        return f"On {label}, this has not been measured yet."
    digits = interval_digits(result["difference"])
    mean, low, high = (
        number(result["difference"][key], digits) for key in ("mean", "low", "high")
    )
    method, baseline = (
        number(result[arm]["mean"], digits) for arm in ("method", "baseline")
    )
    sign = -1 if claim.better == "lower" else 1
    margin = f"{sign * claim.margin:g}".replace("-", "−") if claim.margin else "0"
    sides = {"supported": sign, "not supported": -sign, "inconclusive": 0}
    where = {
        1: f"lies wholly above {margin}",
        -1: f"lies wholly below {margin}",
        0: f"does not lie wholly on one side of {margin}",
    }[sides[result["verdict"]]]
    n, planned = result["n"], claim.seeds
    over = f"{n} seeds" if n >= planned else f"{n} of the {planned} planned seeds"
    return (
        f"On {label}, {claim.method} has {method} and {claim.baseline} {baseline} in "
        f"{_words(claim.metric)}, over {over} ({claim.better} is better). The paired "
        f"difference is {mean}; its 95 % interval, {low} to {high}, {where}. "
        f"Verdict: {result['verdict']}."
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def interval_digits(interval: dict[str, float]) -> int:
    """Return the decimals that show two digits of an interval's half-width."""
    half = (interval["high"] - interval["low"]) / 2
    if not half:
        return 3
    return min(6, max(0, 1 - math.floor(math.log10(half))))


def number(value: float, decimals: int) -> str:
    """Write a number with commas, a true minus sign, and no minus before zero."""
    text = f"{value:,.{max(0, decimals)}f}"
    zero = not text.strip("-0.,")
    return text.lstrip("-") if zero else text.replace("-", "−")
