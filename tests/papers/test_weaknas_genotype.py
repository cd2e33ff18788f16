"""The network of the NASNet space: sizes, shapes, and each operation by itself."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from lib.metrics import count_macs
from lib.papers.weaknas.genotype import (
    WEAKNAS_NASNET,
    GenotypeCell,
    GenotypeNetwork,
    HalveMap,
    operation,
)


def test_size_and_cost_are_those_of_the_authors_network() -> None:
    net = GenotypeNetwork().eval()
    assert sum(p.numel() for p in net.parameters()) == 5_436_061
    macs = count_macs(net, torch.zeros(1, 3, 224, 224), include_norm=False)
    assert round(macs / 1e6, 1) == 591.8


def test_a_cell_adds_pairs_of_operations_on_earlier_nodes() -> None:
    torch.manual_seed(0)
    edges = WEAKNAS_NASNET.normal
    cell = GenotypeCell(edges, (6, 8), 4, halve=False, halved_before=False).eval()
    older, newer = torch.randn(2, 6, 8, 8), torch.randn(2, 8, 8, 8)
    nodes = [cell.enter[0](older), cell.enter[1](newer)]
    for node in range(4):  # written out, a node at a time
        parts = [
            cell.operations[2 * node + k](nodes[edges[2 * node + k][1]]) for k in (0, 1)
        ]
        nodes.append(parts[0] + parts[1])
    assert_close(cell(older, newer), torch.cat(nodes[2:], 1))


def test_a_cell_that_halves_does_so_for_its_inputs_alone() -> None:
    cell = GenotypeCell(
        WEAKNAS_NASNET.reduce, (6, 8), 4, halve=True, halved_before=True
    ).eval()
    y = cell(torch.randn(1, 6, 16, 16), torch.randn(1, 8, 8, 8))
    assert y.shape == (1, 16, 4, 4)


@pytest.mark.parametrize("stride", [1, 2])
def test_pools_are_those_of_torch(stride: int) -> None:
    x = torch.randn(2, 4, 8, 8)
    mean = F.avg_pool2d(x, 3, stride, 1, count_include_pad=False)
    assert_close(operation("avg_pool_3x3", 4, stride)(x), mean)
    assert_close(operation("max_pool_3x3", 4, stride)(x), F.max_pool2d(x, 3, stride, 1))


@pytest.mark.parametrize(("kind", "reach"), [("sep_conv_3x3", 2), ("sep_conv_5x5", 4)])
def test_a_separable_convolution_is_applied_twice(kind: str, reach: int) -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 3, 17, 17, requires_grad=True)
    operation(kind, 3, 1).double().eval()(x.double())[0, :, 8, 8].sum().backward()
    rows = (x.grad[0, 0].abs().sum(1) > 0).nonzero().flatten()
    assert (rows.min(), rows.max()) == (8 - reach, 8 + reach)


def test_a_dilated_convolution_leaves_places_out() -> None:
    x = torch.ones(1, 3, 17, 17, requires_grad=True)
    operation("dil_conv_3x3", 3, 1).eval()(x)[0, :, 8, 8].sum().backward()
    rows = (x.grad[0].abs().sum((0, 2)) > 0).nonzero().flatten()
    assert rows.tolist() == [6, 8, 10]


def test_halving_sees_even_and_odd_places() -> None:
    x = torch.rand(1, 2, 6, 6) + 0.5
    x.requires_grad_()
    HalveMap(2, 4).eval()(x).square().sum().backward()
    seen = x.grad[0].abs().sum(0) > 0
    expected = torch.zeros(6, 6, dtype=torch.bool)
    expected[::2, ::2] = expected[1::2, 1::2] = True
    assert torch.equal(seen, expected)


@pytest.mark.parametrize("name", ["conv_3x3", "sep_conv_9x9", "none"])
def test_unknown_operations_are_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"name='{name}'; allowed are skip_connect"):
        operation(name, 4, 1)
