"""What is committed was measured by the code that is committed with it."""

import json

import pytest

from lib.assets import load_claims, papers
from lib.claims import runner
from lib.claims.hashing import code_hash


def complaints(exp):
    """Say what is stale in an experiment's `claims.json`."""
    found = []
    stored = json.loads((exp.folder / "claims.json").read_text(encoding="utf-8"))
    for label, data in stored["data"].items():
        if data["code_hash"] != code_hash(exp.module):
            found.append(
                f"{exp.name} on {label} was measured by other code than today's; "
                f"`make claims NAME={exp.name} DATA={label} RENEW=1` compares the two"
            )
    made = json.loads(json.dumps(runner.aggregate(exp)))
    if not same(made, stored):
        found.append(
            f"{exp.name}: claims.json is not what its finished seeds and paper.yml "
            f"give; `make claims NAME={exp.name}` writes it again"
        )
    return found


def same(a, b):
    """Compare two JSON values, numbers to six digits."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, float) and isinstance(b, float):
        return a == pytest.approx(b, rel=1e-5)
    return a == b


def test_nothing_committed_is_stale():
    measured = [slug for slug in papers() if load_claims(slug) is not None]
    assert [c for slug in measured for c in complaints(runner.experiment(slug))] == []


# The guard above, shown on a made-up experiment.


def test_guard_passes_what_was_just_measured(made_up):
    runner.measure(made_up.exp, [0, 1])
    assert complaints(made_up.exp) == []


def test_guard_sees_changed_code(made_up):
    runner.measure(made_up.exp, [0, 1])
    made_up.hook("# only a remark")
    assert complaints(made_up.exp) == []
    made_up.hook("time.sleep(0)")
    (said,) = complaints(made_up.exp)
    assert "made-up on world was measured by other code than today's" in said


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "not supported"},
        {"method": {"mean": 0.99, "low": 0.98, "high": 1.0}},
        {"n": 8},
    ],
)
def test_guard_sees_a_changed_number(made_up, change):
    runner.measure(made_up.exp, [0, 1])
    file = made_up.exp.folder / "claims.json"
    content = json.loads(file.read_text())
    content["data"]["world"]["claims"]["beats-wide"].update(change)
    file.write_text(json.dumps(content))
    (said,) = complaints(made_up.exp)
    assert "claims.json is not what its finished seeds and paper.yml give" in said
