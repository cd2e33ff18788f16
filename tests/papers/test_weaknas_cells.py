"""Cells from codes: operations, sums over paths, twins, MixNet."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from lib.data.spaces import MIXCELL4, MIXCELL5, NB201
from lib.papers.weaknas.cells import (
    Cell,
    ChannelMix,
    MeanPool,
    MixNet,
    SpatialMix,
    Zero,
    cell_edges,
    mix_ops,
    nb201_ops,
    pool_matrix,
    read_code,
    rms_norm,
    to_tokens,
)

codes = st.lists(st.integers(0, 4), min_size=6, max_size=6)
FACTORIES = {"mix": (mix_ops, (16, 3, 8)), "nb201": (nb201_ops, (3, 8, 5, 5))}


@pytest.fixture(params=FACTORIES)
def kind(request):
    """A factory of operations and an input for it."""
    factory, shape = FACTORIES[request.param]
    return factory, torch.randn(shape)


def by_paths(cell, x):
    """Compute a cell from its definition, node by node, edge by named edge."""
    edge = dict(zip(["01", "02", "12", "03", "13", "23"], cell.edges, strict=True))
    one = edge["01"](x)
    two = edge["02"](x) + edge["12"](one)
    return edge["03"](x) + edge["13"](one) + edge["23"](two)


def test_edges_are_those_of_the_space():
    assert cell_edges(6) == NB201.edges
    assert cell_edges(1) == [(0, 1)]


def test_all_skip_adds_the_four_paths(kind):
    factory, x = kind
    torch.testing.assert_close(Cell("111111", factory, 8)(x), 4 * x)


def test_all_none_gives_zeros(kind):
    factory, x = kind
    torch.testing.assert_close(Cell("000000", factory, 8)(x), torch.zeros_like(x))


@given(code=codes, name=st.sampled_from(list(FACTORIES)))
def test_cell_is_the_sum_over_its_edges(code, name):
    factory, shape = FACTORIES[name]
    cell, x = Cell(code, factory, 8).eval(), torch.randn(shape)
    torch.testing.assert_close(cell(x), by_paths(cell, x))


@given(code=st.lists(st.integers(0, 4), min_size=10, max_size=10))
def test_cell_of_five_nodes(code):
    cell, x = Cell(code, mix_ops, 8), torch.randn(16, 2, 8)
    edges = iter(cell.edges)
    nodes = [x]
    for _ in range(4):
        nodes.append(sum(next(edges)(node) for node in nodes))
    torch.testing.assert_close(cell(x), nodes[-1])


def test_channel_mix_is_a_convolution_of_one_pixel():
    x, mix = torch.randn(16, 3, 8), ChannelMix(8)
    picture = x.permute(1, 2, 0).unflatten(2, (4, 4))
    wanted = F.conv2d(picture.relu(), mix.weight.T[:, :, None, None])
    torch.testing.assert_close(mix(x), wanted.flatten(2).permute(2, 0, 1))


def test_spatial_mix_is_a_linear_layer_over_tokens():
    x, mix = torch.randn(16, 3, 8), SpatialMix(16)
    wanted = F.linear(x.relu().transpose(0, 2), mix.weight).transpose(0, 2)
    torch.testing.assert_close(mix(x), wanted)


def test_mean_pool_is_that_of_torch():
    x = torch.randn(16, 3, 8)
    picture = x.permute(1, 2, 0).unflatten(2, (4, 4))
    wanted = nn.AvgPool2d(3, 1, 1, count_include_pad=False)(picture)
    torch.testing.assert_close(MeanPool(16)(x), wanted.flatten(2).permute(2, 0, 1))
    with pytest.raises(ValueError, match="tokens=12"):
        pool_matrix(12)


def test_starting_values_keep_the_scale():
    weights = torch.cat([ChannelMix(12).weight.flatten() for _ in range(200)])
    assert weights.std().item() == pytest.approx((2 / 12) ** 0.5, rel=0.02)
    weights = torch.cat([SpatialMix(16).weight.flatten() for _ in range(200)])
    assert weights.std().item() == pytest.approx((2 / 16) ** 0.5, rel=0.02)


TWINS = {  # pairs of codes, and which edge has the weights of which
    ("230032", "320023"): [(0, 1), (1, 0), (4, 5), (5, 4)],  # nodes 1 and 2 swapped
    ("120002", "020002"): [(1, 1), (5, 5)],  # edge 0-1 leads nowhere
    ("100020", "000200"): [(4, 3)],  # a skip before a mix
}


@pytest.mark.parametrize(("one", "other"), TWINS)
def test_twins_are_equal_once_their_weights_are(one, other):
    assert MIXCELL4.canonical(one) == MIXCELL4.canonical(other)
    x = torch.randn(16, 3, 8)
    a, b = Cell(one, mix_ops, 8), Cell(other, mix_ops, 8)
    assert not torch.allclose(a(x), b(x))
    for i, j in TWINS[one, other]:
        b.edges[j].load_state_dict(a.edges[i].state_dict())
    torch.testing.assert_close(a(x), b(x))


def shared(code):
    """Make a cell in which all edges of one operation have the same weights."""
    torch.manual_seed(7)
    common = [make() for make in mix_ops(8)]
    cell = Cell(code, mix_ops, 8)
    cell.edges = nn.ModuleList(common[int(digit)] for digit in code)
    return cell


@pytest.mark.parametrize("space", [MIXCELL4, MIXCELL5])
def test_codes_of_one_class_are_equal_with_shared_operations(space):
    """All twins of forty classes; and classes that differ give other outputs."""
    x = torch.randn(16, 2, 8)
    classes, all_codes = space.classes(), space.codes()
    generator = torch.Generator().manual_seed(0)
    several = (classes[classes >= 0].bincount() > 1).nonzero()[:, 0]
    chosen = several[torch.randperm(len(several), generator=generator)[:40]]
    outputs = []
    for number in chosen.tolist():
        group = all_codes[classes == number]
        found = [shared(code)(x) for code in group]
        for other in found[1:]:
            torch.testing.assert_close(other, found[0], rtol=1e-4, atol=1e-4)
        outputs.append(found[0])
    for one, other in itertools.combinations(outputs, 2):
        assert not torch.allclose(one, other, rtol=1e-3, atol=1e-3)


def test_codes_of_the_empty_class_give_zeros():
    x = torch.randn(16, 2, 8)
    empty = MIXCELL4.codes()[MIXCELL4.classes() == -1]
    assert len(empty) == 169
    for code in empty[::13]:
        assert not Cell(code, mix_ops, 8)(x).any()


def test_tokens_are_the_patches_row_by_row():
    images = torch.randn(3, 8, 8)
    tokens = to_tokens(images)
    assert tokens.shape == (16, 3, 4)
    for t, b in itertools.product(range(16), range(3)):
        i, j = divmod(t, 4)
        patch = images[b, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        torch.testing.assert_close(tokens[t, b], patch.flatten())


def test_rms_norm_is_that_of_torch():
    x = torch.randn(16, 3, 12)
    torch.testing.assert_close(rms_norm(x), F.rms_norm(x, (12,), eps=1e-4))


@given(code=st.text("01234", min_size=6, max_size=6))
def test_mixnet_takes_tokens_and_gives_ten_scores(code):
    net = MixNet(code, channels=6)
    assert net(torch.randn(16, 5, 4)).shape == (5, 10)
    mixes = 2 * (36 * code.count("2") + 256 * code.count("3"))
    assert sum(p.numel() for p in net.parameters()) == 4 * 6 + 16 * 6 + 60 + mixes


def test_an_empty_cell_says_nothing_of_the_picture():
    net = MixNet("000000")
    assert not net(torch.randn(16, 5, 4)).any()


def test_codes_are_read_in_any_form():
    digits = (3, 2, 2, 2, 3, 3)
    for code in ("322233", list(digits), torch.tensor(digits), digits):
        assert read_code(code, 4) == digits


@pytest.mark.parametrize("code", ["12345", "", "4", "32223x", [1, -1, 0], None, 322233])
def test_wrong_codes_are_named(code):
    with pytest.raises(ValueError, match="code="):
        read_code(code, 4)


def test_none_is_zero_of_the_same_shape():
    x = torch.full((2, 3), float("nan"))
    torch.testing.assert_close(Zero()(x), torch.zeros(2, 3))
