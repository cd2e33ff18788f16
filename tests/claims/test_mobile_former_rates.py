"""Mobile-Former's arms run at the learning rates that the recorded sweep found."""

import json

import pytest

from lib.assets import paper_path
from lib.claims import mobile_former as claim

SWEEP = json.loads(paper_path("mobile_former", "sweep.json").read_text("utf-8"))


@pytest.mark.parametrize("rival", claim.RIVALS)
@pytest.mark.parametrize("task", claim.RATES)
def test_each_rival_has_its_best_rate(task: str, rival: str) -> None:
    found = {float(peak): share for peak, share in SWEEP[task][rival].items()}
    assert tuple(sorted(found)) == claim.RATES[task]
    assert claim.rate(task, rival) == max(found, key=lambda peak: found[peak])


@pytest.mark.parametrize("task", claim.RATES)
def test_relatives_take_the_rate_of_their_family(task: str) -> None:
    rates = {arm: claim.rate(task, arm) for arm in claim.ARMS}
    assert rates["mobile"] == rates["mobile_wide"]
    assert rates["squeeze_excite"] == rates["squeeze_excite_wide"]
    for arm in ("dynamic_relu", "tokens_1", "tokens_3", "tokens_6"):
        assert rates[arm] == rates["mobile_former"]


def test_wide_rivals_cost_at_least_as_much() -> None:
    import torch

    from lib.metrics import count_macs

    x = torch.zeros(1, 3, 32, 32)
    cost = {
        arm: count_macs(claim.CellAnswers(arm, 5), x, include_norm=False)
        for arm in claim.RIVALS
    }
    assert min(cost, key=lambda arm: cost[arm]) == "mobile_former"


@pytest.mark.parametrize("task", claim.RATES)
def test_sweep_tries_every_rate_for_every_rival(task: str, monkeypatch) -> None:
    asked = []

    def share(arm: str, seed: int, peak: float, *pictures: object) -> float:
        asked.append((arm, seed, peak))
        return peak

    monkeypatch.setattr(claim, "train_on_scenes", share)
    monkeypatch.setattr(claim, "train_on_pictures", share)
    monkeypatch.setattr(claim, "pictures", lambda data: ((), ()))
    table, rates = claim.sweep(task), claim.RATES[task]
    assert asked == [(arm, 100, r) for arm in claim.RIVALS for r in rates]
    assert table == {arm: {f"{r:g}": r for r in rates} for arm in claim.RIVALS}
    assert {arm: list(found) for arm, found in table.items()} == {
        arm: list(found) for arm, found in SWEEP[task].items()
    }


def test_pictures_are_learned_by_every_arm(monkeypatch) -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    y = torch.arange(64) % 2
    x = (
        torch.rand(64, 3, 32, 32, generator=generator) * 0.2
        + 0.6 * y[:, None, None, None]
    )
    monkeypatch.setattr(claim, "pictures", lambda data: ((x, y), (x, y)))
    monkeypatch.setitem(claim.STEPS, "cifar10", 12)
    arms = claim.run(0, "bright or dark")["arms"]
    assert set(arms) == {*claim.RIVALS, "mobile", "squeeze_excite", "dynamic_relu"}
    assert all(0 <= found["cifar10"] <= 1 for found in arms.values())
    assert max(found["cifar10"] for found in arms.values()) > 0.9
