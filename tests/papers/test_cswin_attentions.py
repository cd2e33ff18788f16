"""Rival attentions against full attention under a mask written out by loops."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lib.layers import CrossShapedAttention
from lib.metrics import count_macs
from lib.papers.cswin import cswin
from lib.papers.cswin.attentions import (
    KINDS,
    CrissCrossAttention,
    RegionAttention,
    SlidingWindowAttention,
    WindowAttention,
    Windows,
    bands,
    build_attention,
    convolve_within,
    window_side,
)
from lib.papers.cswin.positions import (
    POSITIONS,
    AbsolutePosition,
    ConditionalPosition,
    RelativeBias,
    position_before,
    sincos_table,
)
from tests.bench import bench_cswin

DIM, HEADS = 8, 4
RIVALS = [kind for kind in KINDS if kind != "cross_shaped"]


def sees(kind, stripe, index, side, a, b):
    """Say whether the token at `a` sees the one at `b`, from the words of the paper."""
    (i, j), (p, q), (H, W) = a, b, side
    if kind == "full" or stripe is None or stripe >= max(side):
        return True
    if kind == "window":
        return i // stripe == p // stripe and j // stripe == q // stripe
    if kind == "shifted":
        moved = index % 2 == 1

        def window(place, n):
            shift = stripe // 2 if moved and stripe < n else 0
            return -1 if place < shift else (place - shift) // stripe

        return window(i, H) == window(p, H) and window(j, W) == window(q, W)
    if kind == "sliding":
        before, after = stripe // 2, (stripe - 1) // 2
        return -before <= p - i <= after and -before <= q - j <= after
    if kind == "criss_cross":
        return i == p or j == q
    width = 1 if kind == "axial" else stripe
    return i // width == p // width if index % 2 else j // width == q // width


def explicit_mask(kind, stripe, index, side):
    places = list(itertools.product(range(side[0]), range(side[1])))
    return torch.tensor(
        [[sees(kind, stripe, index, side, a, b) for b in places] for a in places]
    )


def masked_full_attention(module, x, mask, bias=None):
    """Attend to everything by PyTorch's own layer, with a mask; LePE apart."""
    torchs = nn.MultiheadAttention(DIM, HEADS, batch_first=True)
    torchs.in_proj_weight, torchs.in_proj_bias = module.qkv.weight, module.qkv.bias
    torchs.out_proj = nn.Identity()
    torchs.out_proj.weight = torch.eye(DIM, dtype=x.dtype)
    torchs.out_proj.bias = torch.zeros(DIM, dtype=x.dtype)
    tokens = x.flatten(1, 2)
    hidden = torch.where(mask, 0.0, -torch.inf).to(x.dtype)
    if bias is not None:
        hidden = (hidden + bias).repeat(len(x), 1, 1)  # (B * heads, N, N)
    y, _ = torchs(tokens, tokens, tokens, attn_mask=hidden, need_weights=False)
    return y.view_as(x)


def loop_lepe(conv, v, mask):
    """Convolve by nine taps, leaving out neighbours that a token does not see."""
    B, H, W, C = v.shape
    out = conv.bias.expand(B, H, W, C).clone()
    for i, j, di, dj in itertools.product(range(H), range(W), (-1, 0, 1), (-1, 0, 1)):
        p, q = i + di, j + dj
        if 0 <= p < H and 0 <= q < W and mask[i * W + j, p * W + q]:
            out[:, i, j] += conv.weight[:, 0, di + 1, dj + 1] * v[:, p, q]
    return out


def randomised(module):
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


CASES = [
    (stripe, index, side)
    for stripe, side in [
        (1, (4, 4)),
        (2, (4, 6)),
        (3, (7, 5)),
        (4, (6, 9)),
        (4, (3, 8)),
    ]
    for index in (0, 1)
]


@pytest.mark.parametrize("kind", RIVALS)
@pytest.mark.parametrize(("stripe", "index", "side"), CASES)
def test_equals_masked_full_attention(kind, stripe, index, side):
    module = build_attention(kind, "none", DIM, HEADS, stripe, index, side)
    randomised(module)
    x = torch.randn(2, *side, DIM)
    mask = explicit_mask(kind, stripe, index, side)
    expected = module.proj(masked_full_attention(module, x, mask))
    torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", RIVALS)
@pytest.mark.parametrize(("stripe", "index", "side"), [(3, 0, (7, 5)), (4, 1, (6, 9))])
def test_gradients_equal_those_of_masked_full_attention(kind, stripe, index, side):
    module = build_attention(kind, "none", DIM, HEADS, stripe, index, side)
    randomised(module).double()
    x = torch.randn(2, *side, DIM, dtype=torch.double, requires_grad=True)
    mask = explicit_mask(kind, stripe, index, side)
    weights = torch.randn(2, *side, DIM, dtype=torch.double)
    wanted = [x, module.qkv.weight, module.qkv.bias]
    ours = torch.autograd.grad((module.attend(module.qkv(x)) * weights).sum(), wanted)
    theirs = masked_full_attention(module, x, mask)
    theirs = torch.autograd.grad((theirs * weights).sum(), wanted)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("kind", RIVALS)
@pytest.mark.parametrize(("stripe", "index", "side"), [(3, 0, (7, 5)), (4, 1, (6, 9))])
def test_lepe_stays_inside_regions(kind, stripe, index, side):
    module = randomised(build_attention(kind, "lepe", DIM, HEADS, stripe, index, side))
    x = torch.randn(2, *side, DIM)
    plain = module.attend(module.qkv(x))
    v = module.qkv(x).chunk(3, dim=-1)[2]
    whole = kind in ("criss_cross", "sliding")
    mask = explicit_mask("full" if whole else kind, stripe, index, side)
    expected = module.proj(plain + loop_lepe(module.lepe, v, mask))
    torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["axial", "sequential", "window", "shifted", "full"])
def test_lepe_gradients_reach_what_the_loop_reaches(kind):
    module = randomised(build_attention(kind, "lepe", DIM, HEADS, 2, 1, (5, 6)))
    v = torch.randn(1, 5, 6, DIM, requires_grad=True)
    mask = explicit_mask(kind, 2, 1, (5, 6))
    weights = torch.randn(1, 5, 6, DIM)
    wanted = [v, module.lepe.weight, module.lepe.bias]
    borders = module.borders(5, 6)
    ours = (convolve_within(module.lepe, v, *borders) * weights).sum()
    ours = torch.autograd.grad(ours, wanted)
    theirs = (loop_lepe(module.lepe, v, mask) * weights).sum()
    theirs = torch.autograd.grad(theirs, wanted)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def loop_bias(table, sides, mask):
    """Return (heads, N, N) of the table's entries, looked up pair by pair."""
    H, W = sides
    n = H * W
    bias = torch.zeros(len(table), n, n)
    rows, columns = table.shape[1] // 2, table.shape[2] // 2
    for a, b in itertools.product(range(n), range(n)):
        if mask[a, b]:
            di, dj = b // W - a // W, b % W - a % W
            di, dj = max(-rows, min(rows, di)), max(-columns, min(columns, dj))
            bias[:, a, b] = table[:, rows + di, columns + dj]
    return bias


@pytest.mark.parametrize(
    "kind", ["full", "window", "shifted", "sliding", "axial", "sequential"]
)
@pytest.mark.parametrize("side", [(4, 4), (7, 5)])
def test_relative_bias_is_added_to_the_scores(kind, side):
    module = randomised(build_attention(kind, "rpe", DIM, HEADS, 3, 1, (4, 4)))
    assert module.lepe is None
    x = torch.randn(2, *side, DIM)
    mask = explicit_mask(kind, 3, 1, side)
    bias = loop_bias(module.bias.table, side, mask)
    expected = module.proj(masked_full_attention(module, x, mask, bias))
    torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [(4, 4), (7, 5)])
def test_relative_bias_of_rows_and_columns(side):
    module = randomised(build_attention("criss_cross", "rpe", DIM, HEADS, 1, 0, (4, 4)))
    x = torch.randn(2, *side, DIM)
    mask = explicit_mask("criss_cross", 1, 0, side)
    row = explicit_mask("axial", 1, 1, side)
    along, across = (bias.table for bias in module.bias)
    bias = loop_bias(along, side, row)
    bias += loop_bias(across, side, mask & ~row)  # itself is in the row
    expected = module.proj(masked_full_attention(module, x, mask, bias))
    torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [(4, 4), (6, 4)])
def test_cross_shaped_windows_with_relative_bias(side):
    module = randomised(
        build_attention("cross_shaped", "rpe", DIM, HEADS, 2, 0, (4, 4))
    )
    assert isinstance(module, CrossShapedAttention)
    x = torch.randn(2, *side, DIM)
    masks, biases = [], []
    for branch, index in zip(module.branches, (0, 1), strict=True):
        mask = explicit_mask("sequential", 2, index, side)
        masks += [mask] * 2
        biases += [*loop_bias(branch.bias.table, side, mask)]
    bias = torch.where(torch.stack(masks), torch.stack(biases), -torch.inf)
    everything = torch.ones(side[0] * side[1], side[0] * side[1], dtype=torch.bool)
    expected = module.proj(masked_full_attention(module, x, everything, bias))
    torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-5)


def size(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("position", ["none", "lepe", "ape", "cpe"])
def test_all_kinds_have_the_same_parameters(position):
    sizes = {
        size(build_attention(kind, position, 32, 4, stripe, index, (8, 8)))
        for kind in KINDS
        for stripe in (2, None)
        for index in (0, 1)
    }
    lepe = 32 * 10 if position == "lepe" else 0
    assert sizes == {32 * 96 + 96 + 32 * 32 + 32 + lepe}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("position", POSITIONS)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(0, 1))
@settings(max_examples=8)
def test_any_size(kind, position, H, W, stripe, index):
    module = build_attention(kind, position, DIM, HEADS, stripe, index, (6, 6))
    x = torch.randn(2, H, W, DIM)
    y = module(x)
    assert y.shape == x.shape
    assert y.isfinite().all()
    y.square().sum().backward()
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    assert len(gradients) >= 4
    assert all(g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("kind", RIVALS)
def test_pictures_do_not_mix(kind):
    module = build_attention(kind, "lepe", DIM, HEADS, 3, 1, (5, 7))
    x = torch.randn(3, 5, 7, DIM)
    torch.testing.assert_close(module(x)[1:2], module(x[1:2]))


def test_blocks_alternate():
    def rows_and_columns(kind, index):
        module = build_attention(kind, "none", DIM, HEADS, 2, index, (6, 6))
        return tuple(int(b[-1]) + 1 for b in module.borders(6, 6))

    assert rows_and_columns("axial", 0) == (1, 6), "vertical: one band of rows"
    assert rows_and_columns("axial", 1) == (6, 1)
    assert rows_and_columns("sequential", 2) == (1, 3)
    assert rows_and_columns("sequential", 3) == (3, 1)
    assert rows_and_columns("window", 1) == (3, 3)
    assert rows_and_columns("shifted", 0) == (3, 3)
    assert rows_and_columns("shifted", 1) == (4, 4)


def test_the_whole_map_is_full_attention_whatever_the_kind():
    for kind, stripe in itertools.product(RIVALS, (None, 6, 7)):
        module = build_attention(kind, "lepe", DIM, HEADS, stripe, 1, (6, 6))
        assert isinstance(module, WindowAttention)
        assert module.window == (None, None)
    assert (
        len(build_attention("cross_shaped", "lepe", 8, 4, 6, 0, (6, 6)).branches) == 1
    )
    assert (
        len(build_attention("cross_shaped", "lepe", 8, 4, 4, 0, (6, 6)).branches) == 2
    )


def test_cost_of_windows():
    # M * M = sw (H + W) / 2: 9.9 at 14 x 14 with stripes of 7, 7.5 at 56 x 56 with 1.
    assert window_side(7, (14, 14)) == 10
    assert window_side(1, (56, 56)) == 8
    assert window_side(1, (12, 12)) == 4

    def products(module, n):
        return count_macs(module.attend, torch.zeros(1, n, n, 3 * 32))

    window = WindowAttention(32, 4, window=(4, 4), lepe=False)
    assert products(window, 12) == 2 * 16 * 144 * 32
    axial = WindowAttention(32, 4, window=(1, None), lepe=False)
    assert products(axial, 12) == 2 * 12 * 144 * 32
    full = WindowAttention(32, 4, lepe=False)
    assert products(full, 12) == 2 * 144 * 144 * 32
    cross = CrissCrossAttention(32, 4, lepe=False)
    assert products(cross, 12) == 2 * 24 * 144 * 32
    sliding = SlidingWindowAttention(32, 4, window=3, lepe=False)
    assert products(sliding, 12) == 2 * 9 * 144 * 32


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 4))
def test_bands(n, size, shift):
    shift = shift % size
    found = bands(n, size, shift).tolist()
    borders = [i for i in range(1, n) if found[i] != found[i - 1]]
    assert borders == [i for i in range(1, n) if i % size == shift]
    assert found[0] == 0
    assert sorted(set(found)) == list(range(found[-1] + 1))


@given(
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(1, 4),
    st.integers(1, 4),
    st.booleans(),
)
@settings(max_examples=40)
def test_windows_there_and_back(H, W, h, w, shift):
    attention = WindowAttention(DIM, HEADS, window=(h, w), shift=shift)
    windows = attention.windows(H, W)
    x = torch.randn(2, H, W, 3)
    assert torch.equal(windows.merge(windows.cut(x)), x)
    seen = windows.sees()
    if seen is None:
        assert H % min(h, H) == W % min(w, W) == 0
    else:
        assert seen.diagonal(dim1=-2, dim2=-1).all(), "a row without keys gives NaN"


def test_windows_name_the_regions_after_rolling():
    windows = Windows((4, 4), (2, 2), (1, 1))
    regions = (windows.borders()[0] * 10)[:, None] + windows.borders()[1]
    tiles = windows.cut(regions[None, ..., None])[..., 0].tolist()
    assert tiles == [
        [11, 11, 11, 11],
        [12, 10, 12, 10],
        [21, 21, 1, 1],
        [22, 20, 2, 0],
    ]


def test_convolution_within_one_band_is_the_convolution():
    conv = nn.Conv2d(4, 4, 3, padding=1, groups=4)
    x = torch.randn(2, 5, 6, 4)
    y = convolve_within(conv, x, bands(5, 5), bands(6, 6))
    torch.testing.assert_close(y, conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


def test_refuse():
    with pytest.raises(
        ValueError, match=r"attention='round'; allowed are cross_shaped, .*"
    ):
        build_attention("round", "lepe", 8, 4, 2, 0, (4, 4))
    with pytest.raises(ValueError, match="position='gps'; allowed are none, ape"):
        build_attention("full", "gps", 8, 4, 2, 0, (4, 4))
    with pytest.raises(ValueError, match="stripe=0; allowed are 1 and more"):
        build_attention("window", "lepe", 8, 4, 0, 0, (4, 4))
    with pytest.raises(ValueError, match="heads=3 must divide the width, 8"):
        build_attention("full", "lepe", 8, 3, 2, 0, (4, 4))
    with pytest.raises(ValueError, match="position='gps'"):
        position_before("gps", 8, (4, 4), 0, 0)
    with pytest.raises(NotImplementedError):
        RegionAttention(8, 4).attend(torch.zeros(1, 2, 2, 24))


# The plain reference that `make bench` times.


@pytest.mark.parametrize(("dim", "heads", "side", "stripe"), bench_cswin.STAGES)
def test_attention_of_each_stage_equals_the_plain_reference(dim, heads, side, stripe):
    ours = CrossShapedAttention(dim, heads, stripe)
    plain = bench_cswin.reference(ours)
    x = torch.randn(1, side, side, dim)
    with torch.no_grad():
        assert not torch.equal(plain(x), x)
        torch.testing.assert_close(ours(x), plain(x), rtol=1e-5, atol=1e-5)
    bench_cswin.agree(plain.double(), ours.double(), x.double())


def test_network_equals_the_plain_reference():
    ours = cswin("T", num_classes=5, dim=16, depths=(2, 2, 1, 1), stripes=(1, 2, 2, 2))
    plain = bench_cswin.reference(ours.eval())
    x = torch.randn(2, 3, 64, 64)
    bench_cswin.agree(plain, ours, x)
    nn.init.normal_(ours.stages[0][0].attention.branches[0].lepe.conv.weight)
    with pytest.raises(AssertionError, match="not close"):
        bench_cswin.agree(plain, ours, x)


# Position encodings outside of the attention.


def test_where_positions_stand():
    def places(position):
        return {
            (stage, index): type(module)
            for stage, index in itertools.product((0, 1), (0, 1))
            if (module := position_before(position, 8, (4, 4), stage, index))
        }

    every = {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert places("none") == places("rpe") == places("lepe") == {}
    assert places("ape") == places("ape_sincos") == {(0, 0): AbsolutePosition}
    assert places("cpe") == dict.fromkeys({(0, 0), (1, 0)}, ConditionalPosition)
    assert places("cpe_every") == dict.fromkeys(every, ConditionalPosition)


def test_absolute_positions_are_added_and_resized():
    ape = AbsolutePosition(3, (4, 6))
    x = torch.randn(2, 4, 6, 3)
    added = (ape(x) - x)[0]
    torch.testing.assert_close(added, ape.table[0].permute(1, 2, 0))
    # Twice as wide: cubic convolution (Keys, a = -0.75) a quarter off the centres.
    wide = ape(torch.zeros(1, 4, 12, 3))[0, :, 4:5]
    near, far = 0.75, 0.25

    def weight(d):
        inner = 1.25 * d**3 - 2.25 * d**2 + 1
        return inner if d <= 1 else -0.75 * (d**3 - 5 * d**2 + 8 * d - 4)

    right = [weight(d) for d in (1 + near, near, far, 1 + far)]
    table = ape.table[0].permute(1, 2, 0)  # (4, 6, 3)
    by_hand = sum(w * table[:, i] for w, i in zip(right, (0, 1, 2, 3), strict=True))
    torch.testing.assert_close(wide[:, 0], by_hand)
    assert ape(torch.zeros(1, 8, 3, 3)).shape == (1, 8, 3, 3)


@given(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7))
@settings(max_examples=20)
def test_sines_and_cosines_by_a_slow_loop(quarter, H, W):
    table = sincos_table(4 * quarter, (H, W))
    expected = torch.zeros(1, 4 * quarter, H, W)
    for i, j, c in itertools.product(range(H), range(W), range(quarter)):
        angle = 100 ** (-c / quarter)
        for first, place in ((0, i), (2, j)):
            expected[0, first * quarter + c, i, j] = math.sin(place * angle)
            expected[0, (first + 1) * quarter + c, i, j] = math.cos(place * angle)
    torch.testing.assert_close(table, expected)
    start = AbsolutePosition(4 * quarter, (H, W), sincos=True)
    assert torch.equal(start.table, table)
    assert start.table.requires_grad


def test_sines_and_cosines_need_a_multiple_of_four():
    with pytest.raises(ValueError, match="dim=6; allowed are multiples of 4"):
        AbsolutePosition(6, (2, 2), sincos=True)


def test_conditional_positions_are_a_residual_convolution():
    cpe = ConditionalPosition(4)
    x = torch.randn(2, 5, 3, 4)
    expected = x + cpe.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    torch.testing.assert_close(cpe(x), expected)
    assert cpe.conv.groups == 4


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 6), st.integers(1, 6))
@settings(max_examples=30)
def test_relative_bias_by_loop(rows, columns, h, w):
    bias = RelativeBias(2, (rows, columns))
    found = bias(h, w)
    for a, b in itertools.product(range(h * w), range(h * w)):
        di, dj = b // w - a // w, b % w - a % w
        di = max(1 - rows, min(rows - 1, di)) + rows - 1
        dj = max(1 - columns, min(columns - 1, dj)) + columns - 1
        assert torch.equal(found[:, a, b], bias.table[:, di, dj])
