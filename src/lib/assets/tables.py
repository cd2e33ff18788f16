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
from lib.assets.schema import Claim, LedgerRow, Names, Tolerance

MISSING = "–"
BESIDE = 8
"""Rows of a claims table that stand open below those of the primary claims."""
FOLDED = 4
"""The fewest rows that are worth folding away."""
DIGITS = 3
"""Digits of a number that comes from training; a next seed moves the fourth."""
NO_NAMES = Names()


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
    """A table with a caption; the first cell of each row is its heading.

    With `shown`, only so many rows stand open, and the others fold out below them.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    shown: int | None = None

    @property
    def _open(self) -> int:
        """How many rows stand open; all, where few would be left to fold away."""
        count = len(self.rows)
        few = self.shown is None or count - self.shown < FOLDED
        return count if few else self.shown or 0

    def __repr__(self) -> str:
        count, shown = len(self.rows), self._open
        folded = f": {shown} shown, {count - shown} folded away" * (shown < count)
        return f"{self.caption} ({count} row{'s' * (count != 1)}{folded})"

    def _parts(self) -> list[tuple[str, tuple[tuple[Cell, ...], ...]]]:
        """Return caption and rows of what stands open and of what is folded away."""
        count, shown = len(self.rows), self._open
        if shown == count:
            return [(self.caption, self.rows)]
        return [
            (f"{self.caption}: {shown} of {count} rows", self.rows[:shown]),
            (f"{self.caption}: the other {count - shown} rows", self.rows[shown:]),
        ]

    def _repr_html_(self) -> str:
        """Return the table in a box of its own that scrolls sideways when narrow."""
        first, *folded = (self._box(*part) for part in self._parts())
        return first + "".join(
            f'\n<details class="pb-fold">\n<summary>{self._summary()}</summary>\n'
            f"{box}\n</details>"
            for box in folded
        )

    def _summary(self) -> str:
        return f"The other {len(self.rows) - self._open} rows of this table"

    def _box(self, caption: str, rows: tuple[tuple[Cell, ...], ...]) -> str:
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in self.header)
        body = "\n".join(
            f'<tr><th scope="row">{first.html()}</th>'
            + "".join(f"<td>{cell.html()}</td>" for cell in rest)
            + "</tr>"
            for first, *rest in rows
        )
        return (
            f'<div class="pb-scroll" role="region" aria-label="{escape(caption)}" '
            'tabindex="0" style="overflow-x: auto">\n'
            '<table class="pb-ledger" style="min-width: 40rem">\n'
            f"<caption>{escape(caption)}</caption>\n"
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>"
        )

    def _repr_markdown_(self) -> str:
        first, *folded = (self._lines(*part) for part in self._parts())
        return first + "".join(
            f"\n<details>\n<summary>{self._summary()}</summary>\n\n{text}\n</details>\n"
            for text in folded
        )

    def _lines(self, caption: str, rows: tuple[tuple[Cell, ...], ...]) -> str:
        lines = [self.header, ["---"] * len(self.header)]
        lines += [[cell.markdown() for cell in row] for row in rows]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return f"**{caption}**\n\n{table}\n"


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
    published = _with_unit(_published(row.published, row.tolerance), row)
    return (
        Cell(row.what),
        Cell(MISSING if row.state == "own" else published, row.source),
        Cell(_computed(result)),
        Cell(_tolerance(row.tolerance)),
        Cell(state, row.why, kind=kind),
    )


def _with_unit(text: str, row: LedgerRow) -> str:
    return f"{text} {row.unit}".strip()


def _published(value: Any, tolerance: Tolerance | None) -> str:
    if isinstance(value, list):
        return _listed([_published(item, tolerance) for item in value])
    if isinstance(value, bool | str):
        return str(value)
    if tolerance and tolerance.decimals is not None:
        return number(value, tolerance.decimals)
    return number(value, 0) if isinstance(value, int) else _as_typed(value)


def _computed(result: Evaluated) -> str:
    row, rule = result.row, result.row.tolerance
    if rule is None:
        return MISSING
    if rule.absolute and row.published == 0 and result.agrees:
        return _with_unit(f"below {rule.absolute:g}", row)  # what is left is round-off
    return _with_unit(_rounded(result.value, rule), row)


def _listed(items: Sequence[str]) -> str:
    """Join items in brackets; a single one stands alone."""
    return items[0] if len(items) == 1 else "(" + ", ".join(items) + ")"


def _rounded(value: Any, rule: Tolerance) -> str:
    """Write a value with the digits that the tolerance speaks about, and one more."""
    if isinstance(value, list):
        return _listed([_rounded(item, rule) for item in value])
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return number(value, 0)
    if rule.decimals is not None:
        return number(value, rule.decimals + 1)
    if rule.absolute:
        return number(value, max(0, math.ceil(-math.log10(rule.absolute))))
    if rule.exact:
        return _as_typed(value)
    return number(value, 3 - math.floor(math.log10(abs(value))) if value else 0)


def _as_typed(value: float) -> str:
    """Write a number as one would type it: 0.3, and 1e-4 for a small one."""
    text = f"{value:.15g}" if not 0 < abs(value) < 1e-3 else f"{value:e}"
    if "e" in text:
        mantissa, _, exponent = text.partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        text = f"{mantissa}e{int(exponent)}"
    return "−" + text[1:] if text.startswith("-") else text


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

    The primary claims come first. Of a long table, they and the next few rows stand
    open; the others fold out.

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
    found = []
    for claim in sorted(paper.claims, key=lambda claim: not claim.primary):
        labels = [*claim.data, *(set(measured) - set(claim.data))]
        for label in sorted(labels, key=lambda name: (name not in claim.data, name)):
            result = measured.get(label, {}).get("claims", {}).get(claim.id)
            wanted = data in (None, label)
            if wanted and (result or label in claim.data):
                found.append((claim, label, result))
    later = any(claim.later for claim, _, _ in found)
    return Table(
        f"The claims of {paper.short}, listed before they were measured"
        + ", except where a row says later" * later,
        ("Claim", "Data", "Seeds", "Method", "Baseline", "Difference", "Verdict"),
        tuple(claim_row(*entry, paper.names) for entry in found),
        shown=BESIDE + sum(claim.primary for claim, _, _ in found),
    )


def judged(claim: Claim, result: dict[str, Any] | None) -> str:
    """Return the verdict, or how far the seeds are: only all that were planned judge.

    Args:
        claim: as listed in `paper.yml`.
        result: its entry in `claims.json`, None if it was not measured.
    """
    if result is None:
        return "not measured yet"
    n, planned = result["n"], claim.seeds
    return result["verdict"] if n >= planned else f"{n} of {planned} seeds"


def claim_row(
    claim: Claim,
    label: str,
    result: dict[str, Any] | None,
    names: Names = NO_NAMES,
) -> tuple[Cell, ...]:
    """Return one claim on one kind of data as a row of cells.

    Args:
        claim: as listed in `paper.yml`.
        label: which data.
        result: its entry in `claims.json`, None if it was not measured.
        names: words for arms, metrics and data, those of `paper.yml`.
    """
    kind = "primary" if claim.primary else "secondary"
    later = ", listed later" * claim.later
    note = f"{kind}{later}; {names.metric(claim.metric)}, {claim.better} is better"
    head, data = Cell(claim.statement, note), Cell(names.label(label))
    word = judged(claim, result)
    if result is None:
        blank = Cell(MISSING)
        verdict = Cell(word, kind="pb-verdict")
        return head, data, Cell(f"0 of {claim.seeds}"), *[blank] * 3, verdict
    mean, low, high = interval_texts(result["difference"])
    kind = f" pb-verdict-{word.replace(' ', '-')}" * (word == result["verdict"])
    return (
        head,
        data,
        Cell(f"{result['n']} of {claim.seeds}"),
        Cell(_mean(result, "method"), names.arm(claim.method)),
        Cell(_mean(result, "baseline"), names.arm(claim.baseline)),
        Cell(mean, f"{low} to {high}"),
        Cell(word, kind=f"pb-verdict{kind}"),
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
    paper = load_paper(slug)
    claims = {claim.id: claim for claim in paper.claims}
    if claim_id not in claims:
        raise ValueError(
            f"claim_id: '{claim_id}' is no claim of {slug}; "
            f"allowed are {', '.join(claims) or 'none'}"
        )
    measured = (load_claims(slug) or {"data": {}})["data"]
    result = measured.get(label, {}).get("claims", {}).get(claim_id)
    return claim_sentence(claims[claim_id], label, result, paper.names)


def claim_sentence(
    claim: Claim,
    label: str,
    result: dict[str, Any] | None,
    names: Names = NO_NAMES,
) -> str:
    """Say one result in words; the arguments are those of `claim_row`."""
    data = names.label(label)
    if result is None:
        return f"On {data}, this has not been measured yet."
    mean, low, high = interval_texts(result["difference"])
    n, planned = result["n"], claim.seeds
    over = f"{n} seeds" if n >= planned else f"{n} of the {planned} planned seeds"
    where = (
        f"The paired difference is {mean}; its 95 % interval, {low} to {high}, "
        f"{_where(claim, result)}. Verdict: {result['verdict']}."
    )
    if n < planned:
        where = (
            f"The paired difference so far is {mean}, with a 95 % interval from {low} "
            f"to {high}. No verdict before all {planned} seeds are in."
        )
    return (
        f"On {data}, the {names.metric(claim.metric)} is {_mean(result, 'method')} for "
        f"{names.arm(claim.method)} and {_mean(result, 'baseline')} for "
        f"{names.arm(claim.baseline)}, over {over} ({claim.better} is better). {where}"
    )


def _where(claim: Claim, result: dict[str, Any]) -> str:
    sign = -1 if claim.better == "lower" else 1
    margin = f"{sign * claim.margin:g}".replace("-", "−") if claim.margin else "0"
    sides = {"supported": sign, "not supported": -sign, "inconclusive": 0}
    return {
        1: f"lies wholly above {margin}",
        -1: f"lies wholly below {margin}",
        0: f"does not lie wholly on one side of {margin}",
    }[sides[result["verdict"]]]


def _mean(result: dict[str, Any], arm: str) -> str:
    """Write the mean of an arm as fine as the difference, with at most three digits."""
    return rounded(result[arm]["mean"], _decimals(result["difference"]))


def interval_texts(interval: dict[str, float]) -> tuple[str, str, str]:
    """Write mean and ends of an interval, all with the same decimals.

    They show two digits of the half-width, but no number gets more than three digits.
    """
    digits = _decimals(interval)
    mean, low, high = (
        number(round(interval[key], digits), digits) for key in ("mean", "low", "high")
    )
    return mean, low, high


def _decimals(interval: dict[str, float]) -> int:
    ends = [interval["low"], interval["high"]]
    finest = min(map(_finest, [interval["mean"], *ends]))
    digits = interval_digits(interval)
    if ends[0] * ends[1] > 0:  # the verdict hangs on an end that must not become 0
        digits = max(digits, _finest(min(ends, key=abs)) - DIGITS + 1)
    return min(digits, finest)


def rounded(value: float, decimals: int) -> str:
    """Write a number from training with so many decimals, and at most three digits."""
    digits = min(decimals, _finest(value))
    return number(round(value, digits), digits)


def _finest(value: float) -> int:
    """Return the decimals that a number has at three digits; negative from 1,000 on."""
    exponent = f"{value:.{DIGITS - 1}e}".partition("e")[2]  # that of 1.00 for 0.9996
    return DIGITS - 1 - int(exponent) if value else DIGITS


def interval_digits(interval: dict[str, float]) -> int:
    """Return the decimals that show two digits of an interval's half-width."""
    half = (interval["high"] - interval["low"]) / 2
    if not half:
        return DIGITS
    return min(6, max(0, 1 - math.floor(math.log10(half))))


def number(value: float, decimals: int) -> str:
    """Write a number with commas, a true minus sign, and no minus before zero."""
    text = f"{value:,.{max(0, decimals)}f}"
    zero = not text.strip("-0.,")
    return text.lstrip("-") if zero else text.replace("-", "−")
