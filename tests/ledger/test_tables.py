"""Tables are accessible, deterministic, and say what the numbers say."""

import re
from math import floor, isclose, log10
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.assets import (
    claims_table,
    differences_table,
    ledger_table,
    load_claims,
    load_paper,
    papers,
    verdict_sentence,
)
from lib.assets.schema import Claim, Difference, LedgerRow, Names
from lib.assets.tables import Cell, Table, interval_texts, number, rounded

COMMON = {"source": "Table 1", "what": "Parameters <M>"}
ROWS = [
    LedgerRow(
        id="ok",
        published=11.4,
        unit="M",
        tolerance={"decimals": 1},
        compute="lib.a:ok",
        state="reproduced",
        **COMMON,
    ),
    LedgerRow(
        id="off",
        published=[7, -1],
        tolerance={"exact": True},
        compute="lib.a:off",
        state="explained",
        why="7 = 8 − 1",
        **COMMON,
    ),
    LedgerRow(
        id="equal",
        published=0,
        tolerance={"absolute": 1e-4},
        compute="lib.a:equal",
        state="reproduced",
        **COMMON,
    ),
    LedgerRow(
        id="wrong",
        published=294,
        unit="M",
        tolerance={"relative": 0.01},
        compute="lib.a:wrong",
        state="reproduced",
        **COMMON,
    ),
    LedgerRow(
        id="no",
        published=77.9,
        state="not computable",
        why="Needs ImageNet.",
        **COMMON,
    ),
    LedgerRow(
        id="own",
        published=[[4096, 0.3, 1e-4]],
        tolerance={"exact": True},
        compute="lib.a:own",
        state="own",
        **COMMON,
    ),
]
VALUES = {
    "ok": 11.4228,
    "off": (8, -1),
    "equal": 3.1e-6,
    "wrong": 312.3456,
    "own": [(4096, 0.3, 1e-4)],
}
CLAIM = Claim(
    id="wins",
    statement="It wins.",
    metric="accuracy",
    better="higher",
    method="bridge",
    baseline="wide",
    primary=True,
    data=["world", "cifar10"],
    seeds=8,
)
LOWER = CLAIM.model_copy(
    update={"id": "less", "better": "lower", "margin": 0.01, "metric": "error"}
)
DIFFERENCE = Difference(
    id="gate", point="Gate", paper="a | b", code="c", book="d", cell="mf-gate"
)


def result(mean, half, verdict, n=8):
    return {
        "n": n,
        "method": {"mean": 0.93, "low": 0.92, "high": 0.94},
        "baseline": {"mean": 0.93 - mean, "low": 0.9, "high": 0.92},
        "difference": {"mean": mean, "low": mean - half, "high": mean + half},
        "verdict": verdict,
    }


@pytest.fixture
def paper(monkeypatch):
    """A made-up paper whose functions return VALUES and whose claim was measured."""
    monkeypatch.setattr(
        "lib.assets.ledger._function", lambda name: lambda: VALUES[name.split(":")[1]]
    )
    made_up = SimpleNamespace(
        short="Made-up",
        ledger=ROWS,
        differences=[DIFFERENCE],
        claims=[CLAIM, LOWER],
        names=Names(),
    )
    measured = {
        "data": {
            "world": {"claims": {"wins": result(0.0212, 0.0093, "supported")}},
            "world-1a2b": {"claims": {"wins": result(0.001, 0.02, "inconclusive", 5)}},
        }
    }
    monkeypatch.setattr("lib.assets.tables.load_paper", lambda slug: made_up)
    monkeypatch.setattr("lib.assets.tables.load_claims", lambda slug: measured)
    return made_up


def cells(html):
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)[1:]
    texts = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[re.sub(r"<[^>]+>", " ", text).strip() for text in row] for row in texts]


def test_ledger_table(paper):
    table = ledger_table("x")
    html = table._repr_html_()
    assert cells(html) == [
        [
            "Parameters &lt;M&gt;",
            "11.4 M Table 1",
            "11.42 M",
            "rounded to 1 decimal",
            "reproduced",
        ],
        [
            "Parameters &lt;M&gt;",
            "(7, −1) Table 1",
            "(8, −1)",
            "exact",
            "explained  7 = 8 − 1",
        ],
        [
            "Parameters &lt;M&gt;",
            "0 Table 1",
            "below 0.0001",
            "± 0.0001",
            "reproduced",
        ],
        [
            "Parameters &lt;M&gt;",
            "294 M Table 1",
            "312.3 M",
            "1 %",
            "stated as reproduced, but it is not",
        ],
        [
            "Parameters &lt;M&gt;",
            "77.9 Table 1",
            "–",
            "–",
            "not computable  Needs ImageNet.",
        ],
        [
            "Parameters &lt;M&gt;",
            "– Table 1",
            "(4,096, 0.3, 1e-4)",
            "exact",
            "own",
        ],
    ]
    assert "<caption>Published and computed values of Made-up</caption>" in html
    assert html.count('scope="col"') == 5
    assert html.count('scope="row"') == 6
    assert 'tabindex="0"' in html
    assert repr(table) == "Published and computed values of Made-up (6 rows)"
    assert html == ledger_table("x")._repr_html_()
    assert "\n\n" not in html  # an empty line would end the HTML block on a page


def test_some_rows_of_a_ledger(paper):
    assert [row[1].text for row in ledger_table("x", ["no", "ok"]).rows] == [
        "77.9",
        "11.4 M",
    ]
    with pytest.raises(
        ValueError, match="ids: 'nope' is no ledger row of x; allowed are"
    ):
        ledger_table("x", ["nope"])


def test_differences_table(paper):
    table = differences_table("x", link="page.html#{}".format)
    assert '<a href="page.html#mf-gate">Gate</a>' in table._repr_html_()
    assert '<a href="#mf-gate">' in differences_table("x")._repr_html_()
    assert r"| [Gate](page.html#mf-gate) | a \| b | c | d |" in table._repr_markdown_()


def test_claims_table(paper):
    rows = cells(claims_table("x")._repr_html_())
    assert [row[1:] for row in rows] == [
        ["cifar10", "0 of 8", "–", "–", "–", "not measured yet"],
        [
            "world",
            "8 of 8",
            "0.930 bridge",
            "0.909 wide",
            "0.0212 0.0119 to 0.0305",
            "supported",
        ],
        [
            "world-1a2b",
            "5 of 8",
            "0.930 bridge",
            "0.929 wide",
            "0.001 −0.019 to 0.021",
            "5 of 8 seeds",
        ],
        ["cifar10", "0 of 8", "–", "–", "–", "not measured yet"],
        ["world", "0 of 8", "–", "–", "–", "not measured yet"],
    ]


def test_claims_of_one_kind_of_data(paper):
    assert [row[1].text for row in claims_table("x", "cifar10").rows] == ["cifar10"] * 2
    assert {row[1].text for row in claims_table("x", "world").rows} == {"world"}
    with pytest.raises(ValueError, match="data='moon'; allowed are cifar10, world"):
        claims_table("x", "moon")


def test_verdict_sentence(paper, monkeypatch):
    assert verdict_sentence("x", "wins") == (
        "On world, the accuracy is 0.930 for bridge and 0.909 for wide, over 8 seeds "
        "(higher is better). The paired difference is 0.0212; its 95 % interval, "
        "0.0119 to 0.0305, lies wholly above 0. Verdict: supported."
    )
    assert verdict_sentence("x", "wins", "cifar10") == (
        "On cifar10, this has not been measured yet."
    )
    measured = {
        "data": {"world": {"claims": {"less": result(-0.05, 0.01, "supported")}}}
    }
    monkeypatch.setattr("lib.assets.tables.load_claims", lambda slug: measured)
    assert "lies wholly below −0.01. Verdict: supp" in verdict_sentence("x", "less")
    measured["data"]["world"]["claims"]["less"] = result(0, 0.01, "inconclusive")
    assert "does not lie wholly on one side of −0.01" in verdict_sentence("x", "less")
    with pytest.raises(ValueError, match=r"claim_id: 'nope' .* allowed are wins, less"):
        verdict_sentence("x", "nope")


VERDICTS = ("supported", "not supported", "inconclusive")


@pytest.mark.parametrize("word", VERDICTS)
def test_no_verdict_before_all_planned_seeds(paper, monkeypatch, word):
    for n, judged in ((2, False), (7, False), (8, True), (9, True)):
        measured = {
            "data": {"world": {"claims": {"wins": result(0.02, 0.01, word, n)}}}
        }
        monkeypatch.setattr("lib.assets.tables.load_claims", lambda slug, m=measured: m)
        row = claims_table("x", "world").rows[0]
        assert row[-1].text == (word if judged else f"{n} of 8 seeds")
        assert row[2].text == f"{n} of 8"
        said = " ".join([row[-1].html(), verdict_sentence("x", "wins")])
        assert any(verdict in said for verdict in VERDICTS) == judged
        assert ("Verdict: " in said) == judged
        assert (f"over {n} of the 8 planned seeds" in said) != judged
        assert ("No verdict before all 8 seeds are in." in said) != judged


def test_names_stand_for_keys(paper):
    paper.names = Names(
        arms={"bridge": "the bridge"},
        metrics={"accuracy": "share of right cells"},
        data={"world": "cue scenes"},
    )
    assert verdict_sentence("x", "wins").startswith(
        "On cue scenes, the share of right cells is 0.930 for the bridge and 0.909 for "
        "wide, over"
    )
    assert verdict_sentence("x", "wins", "world-1a2b").startswith(
        "On cue scenes (other data, 1a2b), the share"
    )
    rows = claims_table("x").rows
    assert [row[1].text for row in rows[:3]] == [
        "cifar10",
        "cue scenes",
        "cue scenes (other data, 1a2b)",
    ]
    assert rows[1][0].note == "primary; share of right cells, higher is better"
    assert [cell.note for cell in rows[1][3:5]] == ["the bridge", "wide"]


def test_later_claims_say_so(paper):
    assert "later" not in claims_table("x")._repr_html_()
    update = {"id": "new", "primary": False, "later": True}
    paper.claims = [CLAIM.model_copy(update=update), CLAIM]
    table = claims_table("x", "world")
    assert table.caption.endswith("measured, except where a row says later")
    notes = [row[0].note for row in table.rows]
    assert notes == [  # the primary one first
        "primary; accuracy, higher is better",
        "secondary, listed later; accuracy, higher is better",
    ]


@pytest.mark.parametrize("slug", papers())
def test_each_key_of_a_measured_claim_has_words(slug):
    paper, stored = load_paper(slug), load_claims(slug)
    if stored is None:
        return
    for claim in paper.claims:
        assert {claim.method, claim.baseline} <= paper.names.arms.keys()
        assert claim.metric in paper.names.metrics
        assert set(claim.data) <= paper.names.data.keys()
        for label in claim.data:
            found = stored["data"].get(label, {"claims": {}})["claims"].get(claim.id)
            if found and found["n"] < claim.seeds:
                assert "Verdict" not in verdict_sentence(slug, claim.id, label)
    for words in (paper.names.arms, paper.names.metrics, paper.names.data):
        assert not [text for text in words.values() if re.search("[_/]", text)]


def plain(count, shown=None):
    rows = tuple((Cell(f"row {i}"), Cell(str(i))) for i in range(count))
    return Table("Numbers", ("What", "Number"), rows, shown)


def test_long_table_is_folded():
    table = plain(20, shown=9)
    html = table._repr_html_()
    assert repr(table) == "Numbers (20 rows: 9 shown, 11 folded away)"
    first, folded = html.split('<details class="pb-fold">')
    assert [row[1] for row in cells(first)] == [str(i) for i in range(9)]
    rest = folded[: folded.index("</details>")]
    assert [row[1] for row in cells(rest)] == [str(i) for i in range(9, 20)]
    summary = "<summary>The other 11 rows of this table</summary>"
    assert rest.startswith(f"\n{summary}\n")
    assert "<caption>Numbers: 9 of 20 rows</caption>" in first
    assert "<caption>Numbers: the other 11 rows</caption>" in rest
    for part in (first, rest):  # each is a table of its own to a screen reader
        assert part.count('scope="col"') == 2
        assert part.count('tabindex="0"') == 1
    assert len(set(re.findall('aria-label="([^"]+)"', html))) == 2
    assert "\n\n" not in html  # an empty line would end the HTML block on a page
    markdown = table._repr_markdown_()
    assert markdown.index("| row 8 |") < markdown.index(summary)
    assert markdown.index(summary + "\n\n") < markdown.index("| row 9 |")
    assert markdown.rstrip().endswith("</details>")


@pytest.mark.parametrize(("count", "shown"), [(12, 9), (9, 9), (3, 9), (12, None)])
def test_few_rows_are_not_folded(count, shown):
    table = plain(count, shown)
    assert "details" not in table._repr_html_() + table._repr_markdown_()
    assert repr(table) == f"Numbers ({count} rows)"
    assert table._repr_html_() == plain(count)._repr_html_()


def test_long_claims_table_shows_the_primary_claims(paper):
    many = [
        CLAIM.model_copy(update={"id": f"c{i}", "primary": i > 28}) for i in range(30)
    ]
    paper.claims = many
    table = claims_table("x", "cifar10")
    assert "11 shown" not in repr(table)
    assert repr(table).endswith("(30 rows: 9 shown, 21 folded away)")
    assert [row[0].note[:8] for row in table.rows[:2]] == ["primary;", "secondar"]


def digits(text):
    """Count the digits of a number from the first that is not 0."""
    return len(re.sub("[^0-9]", "", text).lstrip("0"))


values = st.floats(-1e3, 1e3).filter(lambda x: x == 0 or abs(x) > 1e-6)


@given(values, st.integers(0, 6))
def test_numbers_from_training_have_three_digits(value, decimals):
    text = rounded(value, decimals)
    assert digits(text) <= 3 or abs(value) >= 999.5
    carried = abs(value) * 1.0006  # 0.9996 is written 1.00
    step = 10.0 ** -min(decimals, 2 - floor(log10(carried))) if value else 1
    read = float(text.replace("−", "-").replace(",", ""))
    assert abs(read - value) <= 0.501 * step


@given(st.floats(-1, 1), st.floats(1e-5, 1))
def test_intervals_are_rounded_alike(mean, half):
    interval = {"mean": mean, "low": mean - half, "high": mean + half}
    texts = interval_texts(interval)
    assert len({len(text.partition(".")[2]) for text in texts}) == 1
    assert max(map(digits, texts)) <= 3
    read = [float(text.replace("−", "-")) for text in texts]
    unit = 10.0 ** -len(texts[0].partition(".")[2])
    for value, exact in zip(read, interval.values(), strict=True):
        assert isclose(value, exact, abs_tol=0.501 * unit)


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0.740095, 0.752906, ("0.747", "0.740", "0.753")),
        (-0.000484, 0.017284, ("0.0084", "−0.0005", "0.0173")),
        (-57.8826, -0.184071, ("−29.0", "−57.9", "−0.2")),  # not "−58 to 0"
        (-10.4, 12.6, ("1", "−10", "13")),
        (1.0, 1.0, ("1.00", "1.00", "1.00")),
        (0.0, 0.0, ("0.000", "0.000", "0.000")),
        (0.9992, 0.9998, ("1.00", "1.00", "1.00")),
    ],
)
def test_interval_texts(low, high, texts):
    found = interval_texts({"mean": (low + high) / 2, "low": low, "high": high})
    assert found == texts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.3, "0.3"),
        (1e-4, "1e-4"),
        (-2.5e-5, "−2.5e-5"),
        (0.001, "0.001"),
        (1234.5, "1234.5"),
        (0.0, "0"),
    ],
)
def test_exact_numbers_are_written_as_typed(value, text, monkeypatch):
    monkeypatch.setattr("lib.assets.ledger._function", lambda name: lambda: value)
    monkeypatch.setattr("lib.assets.ledger._computed", lambda *key: value)
    row = ROWS[1].model_copy(update={"published": value, "state": "reproduced"})
    paper = SimpleNamespace(short="Made-up", ledger=[row])
    monkeypatch.setattr("lib.assets.tables.load_paper", lambda slug: paper)
    assert [cell.text for cell in ledger_table("x").rows[0][1:3]] == [text, text]


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(1234.5, 1, "1,234.5"), (-0.02, 1, "0.0"), (-0.02, 2, "−0.02"), (7, 0, "7")],
)
def test_number(value, decimals, text):
    assert number(value, decimals) == text
