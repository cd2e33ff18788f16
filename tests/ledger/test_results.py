"""The results page is what the files say now, with and without measured claims."""

import io
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from PIL import Image

from lib.assets.schema import Budgets, Claim, Names
from tools import results

CLAIM = {
    "statement": "The bridge helps.",
    "metric": "accuracy",
    "better": "higher",
    "method": "bridge",
    "baseline": "wide",
    "data": ["world"],
    "seeds": 3,
}
PAPER = SimpleNamespace(
    slug="mobile_former",
    number=1,
    short="Made-up",
    state="built",
    ledger=[],
    differences=[],
    claims=[
        Claim(id="wins", primary=True, **CLAIM),
        Claim(id="fails", **CLAIM | {"better": "lower", "metric": "error"}),
        Claim(id="waits", **CLAIM),
    ],
    names=Names(data={"world": "cue scenes"}, arms={"wide": "the widened"}),
    budgets=Budgets(
        cpu_seconds=150,
        memory_gib=1.5,
        notebook_mb=1.5,
        weights_mb=4,
        minutes_to_read=90,
    ),
)


def interval(low, high):
    return {"mean": (low + high) / 2, "low": low, "high": high}


def measured(difference):
    arms = {"method": interval(0.8, 0.9), "baseline": interval(0.7, 0.8)}
    wins = arms | {"n": 8, "difference": difference, "verdict": "supported"}
    fails = arms | {
        "n": 8,
        "difference": interval(0.01, 0.02),
        "verdict": "not supported",
    }
    found = {
        "rows": 4096,
        "hash": "0123456789abcdef",
        "seeds": dict.fromkeys("01234567"),
        "minutes": 31.4,
        "peak_memory_mib": 812,
        "claims": {"wins": wins, "fails": fails},
    }
    return {"data": {"world": found}}


@pytest.fixture
def made_up(monkeypatch, tmp_path):
    """One made-up paper with two claims measured, in a folder without notebooks."""
    numbers = {"now": measured(interval(0.05, 0.09))}
    for module in (results, "lib.assets.tables"):
        prefix = module if isinstance(module, str) else "tools.results"
        monkeypatch.setattr(f"{prefix}.load_paper", lambda slug: PAPER)
        monkeypatch.setattr(f"{prefix}.load_claims", lambda slug: numbers["now"])
    monkeypatch.setattr(results, "papers", lambda: [PAPER.slug])
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(results, "PAGE", tmp_path / "book/results.md")
    monkeypatch.setattr(results, "FOREST", tmp_path / "book/_static/results_forest.png")
    monkeypatch.setattr(results, "paper_path", lambda *parts: tmp_path.joinpath(*parts))
    folder = tmp_path / "mobile_former"
    folder.mkdir()
    (folder / "budgets.json").write_text(
        '{"exercises": {"cpu_seconds": 70, "peak_memory_mib": 400, "notebook_kb": 90}}'
    )
    (folder / "weights.safetensors").write_bytes(bytes(5_000_000))
    (tmp_path / "book").mkdir()
    return numbers


def test_the_committed_page_is_fresh(capsys):
    assert results.main(["--check"]) == 0, capsys.readouterr().out


def test_measured_claims(made_up):
    page = results.page()
    assert (
        "counted once for each kind of data: 1 supported, 1 not supported, 1 not"
        in page
    )
    assert "the accuracy is 0.850 for bridge and 0.750 for the widened, over" in page
    assert (
        "its 95 % interval, 0.050 to 0.090, lies wholly above 0. Verdict: supp" in page
    )
    assert "0.0100 to 0.0200, lies wholly above 0. Verdict: not supported." in page
    assert "*The bridge helps.* On cue scenes, this has not been measured yet." in page
    assert (
        ":alt: Paired differences with 95 % intervals. Made-up, cue scenes: The bridge "
        "helps: supported." in page
    )
    assert '<th scope="row">Made-up, cue scenes</th>' in page
    assert "world" not in page
    first, folded = page.split("<summary>2 secondary claims in words</summary>\n\n")
    assert "Verdict: supported" in first
    assert "Verdict: not supported" not in first
    assert "Verdict: not supported" in folded[: folded.index("\n\n</details>\n")]
    assert "<td>0123456789ab</td><td>8</td><td>31.4</td><td>812</td>" in page
    assert '70 of 60<div class="pb-note">over the limit</div>' in page
    assert "5.0 of 4<" in page
    assert "400 of 1,536" in page


def test_claims_with_seeds_to_come_are_not_judged(made_up):
    for found in made_up["now"]["data"]["world"]["claims"].values():
        found["n"] = 2
    page = results.page()
    assert "each kind of data: 2 unfinished, 1 not measured.\n" in page
    assert page.count("2 of 3 seeds</span>") == 2
    assert "The bridge helps: 2 of 3 seeds." in page
    assert "Verdict: " not in page
    assert 'class="pb-verdict pb-verdict-' not in page
    assert results.forest([r for r in results.results() if r.found])


def test_no_claims_at_all(made_up):
    made_up["now"] = None
    page = results.page()
    assert "No claim has been measured yet." in page
    assert page.count(">not measured yet<") == 3
    assert "{figure}" not in page
    assert results.main([]) == 0
    assert not results.FOREST.exists()
    assert results.main(["--check"]) == 0


def test_forest_plot_shows_the_numbers(made_up):
    first, again = (
        results.forest([r for r in results.results() if r.found]) for _ in range(2)
    )
    assert first == again
    made_up["now"] = measured(interval(0.02, 0.09))
    other = results.forest([r for r in results.results() if r.found])
    assert not results._same_picture(first, other)
    with Image.open(io.BytesIO(first)) as picture:
        assert picture.width > 600


def test_guard_sees_a_stale_page(made_up, capsys):
    assert results.main([]) == 0
    assert results.main(["--check"]) == 0
    made_up["now"] = measured(interval(0.04, 0.09))
    capsys.readouterr()
    assert results.main(["--check"]) == 1
    said = capsys.readouterr().out
    assert "book/results.md is not up to date: `make results`" in said
    assert "results_forest.png is not up to date" in said
    results.FOREST.unlink()
    made_up["now"] = measured(interval(0.05, 0.09))
    assert results.main(["--check"]) == 1


def test_labels_of_a_chapter_have_addresses(made_up):
    folder = results._folder(PAPER)
    folder.mkdir(parents=True)
    (folder / "detection.ipynb").write_text(
        '{"cells": [{"cell_type": "markdown", "source": ["(mf-head)=\\n", "## Head"]}]}'
    )
    assert results.label_places(PAPER) == {
        "mf-head": "../chapters/01_mobile_former/detection.html#mf-head"
    }


def test_wrong_argument(capsys):
    assert results.main(["--chek"]) == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("tool", ["results", "make_readme"])
def test_broken_paper_is_named_in_one_sentence(tool, root, tmp_path):
    for part in ("src/lib", "tools"):
        ignore = shutil.ignore_patterns("__pycache__", "golden")
        shutil.copytree(root / part, tmp_path / part, ignore=ignore)
    shutil.copy(root / "README.md", tmp_path)
    broken = tmp_path / "src/lib/assets/mobile_former/paper.yml"
    broken.write_text(broken.read_text("utf-8").replace("\nvenue:", "\nvenu:"), "utf-8")
    ran = subprocess.run(
        [sys.executable, f"tools/{tool}.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1
    assert "unknown key (did you mean 'venue'?)" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
