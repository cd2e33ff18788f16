"""Mobile-Former's arms run at the learning rates that the recorded sweep found."""

import json

import pytest

from lib.assets import paper_path
from lib.claims import mobile_former as claim

SWEEP = json.loads(paper_path("mobile_former", "sweep.json").read_text("utf-8"))


@pytest.mark.parametrize("rival", claim.RIVALS)
def test_each_rival_has_its_best_rate(rival: str) -> None:
    found = {float(peak): share for peak, share in SWEEP["three_cues"][rival].items()}
    assert tuple(sorted(found)) == claim.RATES
    assert claim.rate("three_cues", rival) == max(found, key=lambda peak: found[peak])


def test_relatives_take_the_rate_of_their_family() -> None:
    rates = {arm: claim.rate("three_cues", arm) for arm in claim.ARMS}
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
