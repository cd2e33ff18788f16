"""Tables are accessible, deterministic, and say what the numbers say."""

import re
from types import SimpleNamespace

import pytest

from lib.assets import claims_table, differences_table, ledger_table, verdict_sentence
from lib.assets.schema import Claim, Difference, LedgerRow
from lib.assets.tables import number

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
]
VALUES = {"ok": 11.4228, "off": (8, -1), "equal": 3.1e-6, "wrong": 312.3456}
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
    ]
    assert "<caption>Published and computed values of Made-up</caption>" in html
    assert html.count('scope="col"') == 5
    assert html.count('scope="row"') == 5
    assert 'tabindex="0"' in html
    assert repr(table) == "Published and computed values of Made-up (5 rows)"
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
            "0.9300 bridge",
            "0.9088 wide",
            "0.0212 0.0119 to 0.0305",
            "supported",
        ],
        [
            "world-1a2b",
            "5 of 8",
            "0.930 bridge",
            "0.929 wide",
            "0.001 −0.019 to 0.021",
            "inconclusive",
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
        "On world, bridge has 0.9300 and wide 0.9088 in accuracy, over 8 seeds (higher "
        "is better). The paired difference is 0.0212; its 95 % interval, "
        "0.0119 to 0.0305, lies wholly above 0. Verdict: supported."
    )
    assert "over 5 of the 8 planned seeds" in verdict_sentence(
        "x", "wins", "world-1a2b"
    )
    assert "does not lie wholly on one side of 0" in verdict_sentence(
        "x", "wins", "world-1a2b"
    )
    assert verdict_sentence("x", "wins", "cifar10") == (
        "On cifar10, this has not been measured yet."
    )
    measured = {
        "data": {"world": {"claims": {"less": result(-0.05, 0.01, "supported")}}}
    }
    monkeypatch.setattr("lib.assets.tables.load_claims", lambda slug: measured)
    assert "lies wholly below −0.01. Verdict: supp" in verdict_sentence("x", "less")
    with pytest.raises(ValueError, match=r"claim_id: 'nope' .* allowed are wins, less"):
        verdict_sentence("x", "nope")


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(1234.5, 1, "1,234.5"), (-0.02, 1, "0.0"), (-0.02, 2, "−0.02"), (7, 0, "7")],
)
def test_number(value, decimals, text):
    assert number(value, decimals) == text
