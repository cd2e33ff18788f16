"""Each published value that can be computed is computed, one test a row."""

import json
import re
from pathlib import Path

import pytest

from lib.assets import evaluate, load_paper, papers
from lib.assets.ledger import _computed
from lib.assets.schema import LedgerRow

ROOT = Path(__file__).parents[2]
ROWS = {f"{slug}/{row.id}": row for slug in papers() for row in load_paper(slug).ledger}


def complaint(row):
    """Return what is wrong with a ledger row, or None."""
    result = evaluate(row)
    if result.as_stated:
        return None
    return (
        f"{row.what}: published {row.published}, computed {result.value}, "
        f"tolerance {row.tolerance}, state '{row.state}'"
    )


def anchors(folder):
    """Return the labels, `(label)=`, in the text cells of a folder's notebooks."""
    found = set()
    for file in folder.glob("*.ipynb"):
        for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "markdown":
                text = "".join(cell["source"])
                found |= set(re.findall(r"^\(([^()\s]+)\)=\s*$", text, re.MULTILINE))
    return found


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_row(row):
    assert complaint(row) is None


@pytest.mark.parametrize("slug", papers())
def test_each_difference_links_to_a_cell(slug):
    paper = load_paper(slug)
    folder = ROOT / "chapters" / f"{paper.number:02d}_{slug}"
    cells = {difference.cell for difference in paper.differences}
    if (folder / f"{slug}.ipynb").exists():
        missing = cells - anchors(folder)
        assert not missing, f"{folder.name} has no text cell labelled {sorted(missing)}"


# The guards above, shown on made-up rows and notebooks.


def row(
    published, tolerance, compute="lib.papers.made_up:f", state="reproduced", **more
):
    return LedgerRow(
        id="made-up",
        what="Made up",
        source="Table 0",
        published=published,
        tolerance=tolerance,
        compute=compute,
        state=state,
        why="by arithmetic" if state != "reproduced" else "",
        **more,
    )


@pytest.fixture
def computes(monkeypatch):
    """Let every ledger function return the given value."""
    _computed.cache_clear()
    yield lambda value: monkeypatch.setattr(
        "lib.assets.ledger._function", lambda name: lambda **args: value
    )
    _computed.cache_clear()


@pytest.mark.parametrize(
    ("published", "tolerance", "good", "bad"),
    [
        (11.4, {"decimals": 1}, 11.423, 11.46),
        (11, {"decimals": 0}, 10.6, 10.4),
        (294, {"relative": 0.01}, 296.9, 297.0),
        (-2.0, {"relative": 0.1}, -2.2, -2.3),
        (0, {"absolute": 1e-4}, 9e-5, 2e-4),
        (6, {"exact": True}, 6, 7),
        ([1, 2], {"exact": True}, (1, 2), (1, 3)),
        ([0.1, 0.2], {"decimals": 1}, [0.11, 0.19], [0.11, 0.26]),
        ("stripes", {"exact": True}, "stripes", "windows"),
        (True, {"exact": True}, True, False),
    ],
)
def test_tolerances(computes, published, tolerance, good, bad):
    computes(good)
    assert complaint(row(published, tolerance)) is None
    _computed.cache_clear()
    computes(bad)
    assert "state 'reproduced'" in complaint(row(published, tolerance))


def test_explained_row_must_differ(computes):
    computes(5)
    assert complaint(row(6, {"exact": True}, state="explained")) is None
    assert "state 'explained'" in complaint(row(5, {"exact": True}, state="explained"))
    assert complaint(row(5, {"exact": True}, state="own")) is None
    assert "state 'own'" in complaint(row(6, {"exact": True}, state="own"))


@pytest.mark.parametrize(
    ("published", "value"),
    [(1, "1"), ([1, 2], [1, 2, 3]), ([1], 1), (1, True), (1, None)],
)
def test_value_of_another_form_is_an_error(computes, published, value):
    computes(value)
    with pytest.raises(ValueError, match=r"ledger row 'made-up': .* has another form"):
        evaluate(row(published, {"exact": True}))


@pytest.mark.parametrize("compute", ["lib.papers.nowhere:f", "lib.metrics:no_such"])
def test_compute_must_name_a_function(compute):
    with pytest.raises(ValueError, match=f"compute '{compute}' names no function"):
        evaluate(row(1, {"exact": True}, compute=compute))


def test_args_reach_the_function():
    made = row(
        ["lib", "assets"],
        {"exact": True},
        compute="lib.assets:paper_path",
        args={"slug": "cswin"},
    )
    with pytest.raises(ValueError, match=r"gives .*cswin.*another form"):
        evaluate(made)


def test_anchor_guard_sees_a_missing_label(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["(mf-gate)=\n", "## The gate"]},
        {"cell_type": "code", "source": ["(not-this)=\n"]},
        {"cell_type": "markdown", "source": ["text (nor-this)= here\n"]},
    ]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    assert anchors(tmp_path) == {"mf-gate"}
