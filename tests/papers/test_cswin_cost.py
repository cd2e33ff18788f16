"""The closed forms of the costs against the counter, and against slow counting."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.layers import CrossShapedAttention, FCNHead, PreNormBlock, UPerHead
from lib.metrics import count_macs
from lib.papers.cswin import VARIANTS, CSWin, cost, cswin, ledger

EVEN = st.integers(1, 4).map(lambda n: 2 * n)


def counted(module, H, W, C):
    return count_macs(module, torch.zeros(1, H, W, C), include_norm=False)


def without_lepe(C, stripe):
    return CrossShapedAttention(C, 2, stripe, lepe=False)


@given(H=st.integers(1, 12), W=st.integers(1, 12), C=EVEN, stripe=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_equation_3_is_what_the_counter_counts(H, W, C, stripe):
    attention = without_lepe(C, stripe)
    assert counted(attention, H, W, C) == cost.omega(H, W, C, stripe)


@given(n=st.integers(1, 4), m=st.integers(1, 4), C=EVEN, stripe=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_equation_3_as_printed_where_stripes_fill_the_map(n, m, C, stripe):
    H, W = n * stripe, m * stripe
    printed = H * W * C * (4 * C + stripe * H + stripe * W)
    assert cost.omega(H, W, C, stripe) == printed


@given(H=st.integers(1, 9), W=st.integers(1, 9), C=EVEN, stripe=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_whole_block(H, W, C, stripe):
    block = PreNormBlock(C, CrossShapedAttention(C, 2, stripe), mlp_ratio=3)
    attention = cost.omega(H, W, C, stripe) + cost.lepe(H, W, C, stripe)
    assert counted(block, H, W, C) == attention + cost.mlp(H, W, C, 3)


def pairs_of_keys(H, W, stripe, share, C):
    """Count, token by token and channel by channel, with no formula at all."""
    total = 0
    for i in range(H):
        for j in range(W):
            column = [x for x in range(W) if x // stripe == j // stripe]
            row = [y for y in range(H) if y // stripe == i // stripe]
            for channel in range(C):
                vertical = channel < share * C
                keys = H * len(column) if vertical else len(row) * W
                total += 2 * keys
    return total


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize(("H", "W", "stripe"), [(4, 6, 1), (4, 6, 2), (6, 3, 3)])
def test_unequal_halves(H, W, stripe, share):
    want = pairs_of_keys(H, W, stripe, share, 8)
    assert cost.stripe_products(H, W, 8, stripe, vertical=share) == want


def test_full_and_window():
    full = without_lepe(8, None)
    want = cost.projections(5, 6, 8) + cost.full_products(5, 6, 8)
    assert counted(full, 5, 6, 8) == want
    assert cost.window_products(6, 6, 8, 6) == cost.full_products(6, 6, 8)
    assert cost.window_products(6, 6, 8, 3) == cost.full_products(6, 6, 8) // 4
    assert cost.window_products(5, 4, 8, 3) == cost.window_products(6, 6, 8, 3)


@given(n=st.integers(1, 5), m=st.integers(1, 5), stripe=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_equivalent_window_costs_the_same(n, m, stripe):
    H, W = n * stripe, m * stripe
    M = cost.equivalent_window(H, W, stripe)
    products = cost.stripe_products(H, W, 8, stripe)
    assert products == pytest.approx(2 * M**2 * H * W * 8)


def test_numbers_of_the_paper_scale():
    assert cost.equivalent_window(56, 56, 1) == pytest.approx(7.5, abs=0.05)
    assert cost.equivalent_window(14, 14, 7) == pytest.approx(9.9, abs=0.05)


@pytest.mark.parametrize(
    "stripes", [(1, 2, 7, 7), (2, 2, 2, 7), (7, 7, 7, 7), (1, 2, 14, 7), (None,) * 4]
)
def test_products_of_a_network(stripes):
    table = VARIANTS["T"]
    sides = (56, 28, 14, 7)
    closed = cost.network_products(table["dim"], table["depths"], stripes, sides)
    assert ledger.attention_m(list(stripes)) == sum(closed) / 1e6


def test_sweep_of_stripe_widths_is_the_formula():
    for stripe in (1, 2, 3, 4, 6, 12):
        with torch.device("meta"):
            net = CSWin(32, (2,), (stripe,), (4,), patch=(2, 2, 0), num_classes=0)
        H = W = 12
        want = 2 * (
            cost.omega(H, W, 32, stripe)
            + cost.lepe(H, W, 32, stripe)
            + cost.mlp(H, W, 32)
        )
        embed = H * W * 32 * 3 * 4
        x = torch.zeros(1, 3, 24, 24, device="meta")
        assert count_macs(net, x, include_norm=False) == want + embed


def test_counting_without_numbers_gives_the_same():
    x = torch.zeros(1, 3, 64, 64)
    real = cswin("T", 64)
    with torch.device("meta"):
        shapes = cswin("T", 64)
    assert count_macs(real, x) == count_macs(shapes, x.to("meta"))


@pytest.mark.parametrize("include_norm", [False, True])
@pytest.mark.parametrize("attention", ["cross_shaped", "sequential"])
def test_one_block_of_each_stage_stands_for_all(attention, include_norm):
    with torch.device("meta"):
        whole = cswin("T", attention=attention)
    x = torch.zeros(1, 3, 224, 224, device="meta")
    want = count_macs(whole, x, include_norm=include_norm) / 1e9
    found = ledger.macs_g("T", include_norm=include_norm, attention=attention)
    assert found == want


def test_segmenter_counts_body_and_heads():
    with torch.device("meta"):
        body = cswin("T", segmentation=True)
        head, helper = UPerHead(body.widths), FCNHead(body.widths[2])
    x = torch.zeros(1, 3, 128, 160, device="meta")
    maps = body.features(x)
    want = count_macs(body.features, x) + count_macs(head, maps)
    want += count_macs(helper, maps[2])
    assert ledger.segmenter_macs_g("T", "upernet", 128, 160) == want / 1e9


def test_parts_add_up():
    assert sum(ledger.parameters_of_parts("T")) == ledger.parameters("T")


def test_dead_taps():
    assert ledger.dead_taps() == [6, 6]
    assert ledger.dead_taps(stage=1) == [0, 0]


def test_stripes_that_fill_the_map_cost_less():
    padded = ledger.segmenter_macs_g("T", "fpn")
    assert ledger.segmenter_macs_g("T", "fpn", padding=False) < padded
    even = dict(height=448, width=448)
    with_zeros = ledger.segmenter_macs_g("T", "fpn", **even)
    assert ledger.segmenter_macs_g("T", "fpn", padding=False, **even) == with_zeros


def test_ways_to_compute_reach_agree_and_can_disagree(monkeypatch):
    assert ledger.reach_disagreements(["cross_shaped", "shifted"], 8, 2) == 0
    monkeypatch.setattr(
        ledger, "reach_by_masks", lambda *args: ~ledger.reach_by_autograd(*args)
    )
    assert ledger.reach_disagreements(["cross_shaped"], 8, 2) > 0


def test_ledger_runs_leave_the_global_seed_alone():
    torch.manual_seed(3)
    want = torch.rand(2)
    torch.manual_seed(3)
    ledger.dead_taps()
    assert torch.equal(torch.rand(2), want)
