import json
import random
import time
from itertools import product
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib.assets import paper_path
from lib.data.spaces import (
    MIXCELL4,
    MIXCELL5,
    NB101_OPS,
    NB201,
    CellSpace,
    nb101_sequence,
    ofa_code,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "weaknas_onehot.json"
PRIME = 2**61 - 1


@st.composite
def spaces_and_codes(draw):
    ops = draw(st.integers(2, 5))
    nodes = draw(st.integers(2, 4))
    space = CellSpace(tuple(["none", "skip", "a", "b", "c"][:ops]), nodes)
    edges = nodes * (nodes - 1) // 2
    return space, draw(st.tuples(*[st.integers(0, ops - 1)] * edges))


def values(space):
    """Evaluate every cell with random operations in a finite field, without text.

    An operation is a random odd polynomial of degree 3, so it is not linear and sends
    0 to 0. Equal functions give equal numbers; different ones do with a chance of
    about 1e-17, and nothing is rounded.
    """
    draw = random.Random(0)
    weights = {op: (draw.randrange(PRIME), draw.randrange(PRIME)) for op in space.ops}

    def apply(op, x):
        if op == "none":
            return 0
        if op == "skip":
            return x
        linear, cubic = weights[op]
        return (linear * x + cubic * x**3) % PRIME

    start, found = draw.randrange(PRIME), []
    for code in product(range(len(space.ops)), repeat=len(space.edges)):
        nodes, rest = [start], list(code)
        for end in range(1, space.nodes):
            ops, rest = rest[:end], rest[end:]
            nodes.append(
                sum(apply(space.ops[op], x) for op, x in zip(ops, nodes, strict=True))
                % PRIME
            )
        found.append(nodes[-1])
    return found


@pytest.mark.parametrize(
    ("space", "codes", "classes", "empty"),
    [
        (NB201, 15_625, 4_929, 341),
        (MIXCELL4, 4_096, 870, 169),
        (MIXCELL5, 15_625, 4_929, 341),
        (CellSpace(("none", "skip", "a"), 2), 3, 2, 1),
        (CellSpace(("a", "none", "skip"), 3), 27, 8, 5),
    ],
)
def test_counts(space, codes, classes, empty):
    assert len(space) == len(space.codes()) == codes
    found = space.classes()
    assert int((found == -1).sum()) == empty
    assert found[found >= 0].unique().tolist() == list(range(classes))
    assert len(space.representatives()) == classes


@pytest.mark.parametrize("space", [NB201, MIXCELL4])
def test_twins_are_the_codes_with_equal_outputs(space):
    numbers = values(space)
    first: dict[int, int] = {0: -1}
    expected = [first.setdefault(number, len(first) - 1) for number in numbers]
    assert space.classes().tolist() == expected


def test_canonical_forms_by_hand():
    assert NB201.canonical("111111") == "x+x+x+x"
    assert NB201.canonical("000000") == NB201.canonical("020020") == ""
    assert NB201.canonical("300001") == NB201.canonical("310000") == ""
    # Node 1 is conv3x3(x); node 2 a conv1x1 of it, beside x; node 3 is node 2.
    assert NB201.canonical("312001") == "conv1x1(conv3x3(x))+x"
    # The two best codes on CIFAR-10 are no twins, although their accuracy is equal.
    assert NB201.canonical("333132") != NB201.canonical("333123")
    # A sum under an operation stays under it, and how often it is added counts.
    assert NB201.canonical("212002") != NB201.canonical("200022")


def test_the_first_code_stands_for_its_class():
    codes, classes = MIXCELL4.codes(), MIXCELL4.classes()
    for number, code in enumerate(MIXCELL4.representatives()):
        rows = (classes == number).nonzero().flatten()
        assert MIXCELL4.row(code) == int(rows[0])
        assert torch.equal(codes[rows[0]], code)


def test_canonical_forms_of_the_whole_space_are_fast():
    space = CellSpace(NB201.ops)
    start = time.process_time()
    space.classes()
    assert time.process_time() - start < 2


def test_what_is_returned_is_the_callers_own():
    MIXCELL4.classes().zero_()
    assert int(MIXCELL4.classes().max()) == 869


@given(spaces_and_codes())
def test_one_hot_and_row_can_be_undone(case):
    space, code = case
    row = space.row(code)
    assert tuple(space.codes()[row].tolist()) == code
    features = space.one_hot(torch.tensor([code]))
    assert features.shape == (1, len(code) * len(space.ops))
    assert features.dtype == torch.float32
    places = features.view(len(code), len(space.ops))
    assert places.sum(1).eq(1).all()
    assert tuple(places.argmax(1).tolist()) == code
    assert space.row("".join(map(str, code))) == space.row(torch.tensor(code)) == row
    assert space.canonical("".join(map(str, code))) == space.canonical(code)


@given(spaces_and_codes())
def test_neighbours_differ_in_one_digit(case):
    space, code = case
    near = space.neighbours(code)
    everything = space.codes()
    apart = (everything != torch.tensor(code)).sum(1)
    expected = everything[apart == 1].tolist()
    assert sorted(near.tolist()) == expected
    assert len(near) == len(code) * (len(space.ops) - 1)
    edges = (near != torch.tensor(code)).int().argmax(1).tolist()
    assert edges == sorted(edges)


def test_edges_are_ordered_by_their_end():
    assert NB201.edges == [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
    codes = NB201.codes()
    assert codes[:2].tolist() == [[0] * 6, [0] * 5 + [1]]
    assert codes.tolist() == sorted(codes.tolist())


def test_one_hot_equals_the_authors_code():
    golden = json.loads(GOLDEN.read_text())
    shipped = paper_path("weaknas", "golden", "onehot.json")
    assert json.loads(Path(shipped).read_text()) == golden
    codes = torch.tensor([case["code"] for case in golden["codes"]])
    expected = torch.tensor([case["encoding"] for case in golden["codes"]])
    assert len(codes) == 3
    assert torch.equal(NB201.one_hot(codes), expected.float())
    assert torch.equal(NB201.one_hot(codes[1]), expected[1].float())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ops": ("skip", "skip")}, "two different names"),
        ({"ops": ("none",)}, "two different names"),
        ({"ops": ("none", "skip"), "nodes": 1}, "nodes=1 must be 2 or more"),
        ({"ops": ("zero", "skip")}, "none='none' is none of ops"),
        ({"ops": ("none", "id")}, "skip='skip' is none of ops"),
    ],
)
def test_a_space_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        CellSpace(**arguments)


@pytest.mark.parametrize(
    "code", ["01234", "0123450", "012345", [0.0] * 6, [0, 1, 2, 3, 4, -1], "01234x", 7]
)
def test_a_code_that_is_none(code):
    for method in (NB201.row, NB201.canonical, NB201.neighbours):
        with pytest.raises(ValueError, match="must have 6 digits from 0 to 4"):
            method(code)


def test_one_hot_refuses_what_is_no_code():
    with pytest.raises(ValueError, match="must have 6 digits in the last"):
        NB201.one_hot(torch.zeros(2, 5))
    for digit in (-1, 5):
        with pytest.raises(ValueError, match=rf"codes hold {digit}; allowed are 0 to"):
            NB201.one_hot(torch.full((2, 6), digit))


def test_nb101_sequence_of_a_whole_cell():
    upper = torch.triu(torch.ones(7, 7, dtype=torch.int64), 1)
    ops = ["input", "conv1x1", "conv3x3", "maxpool3x3", "conv1x1", "conv3x3", "output"]
    expected = []
    for node in range(1, 7):
        expected += [1] * node + [int(ops[node] == name) for name in NB101_OPS]
    assert nb101_sequence(upper, ops).tolist() == expected
    assert len(expected) == 45
    official = [o + "-bn-relu" if o.startswith("conv") else o for o in ops]
    assert nb101_sequence(upper.tolist(), official).tolist() == expected


def test_nb101_sequence_of_a_small_cell():
    adjacency = [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    sequence = nb101_sequence(adjacency, ["input", "conv3x3", "output"])
    assert sequence.dtype == torch.float32
    assert sequence.tolist() == [1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1] + [0] * 34


@pytest.mark.parametrize(
    ("adjacency", "ops", "message"),
    [
        ([[0, 1], [0, 0]], ["input", "conv1x1", "output"], "the same 2 to 7 nodes"),
        ([[0]], ["input"], "the same 2 to 7 nodes"),
        ([[0, 1], [1, 0]], ["input", "output"], "1 above the diagonal"),
        ([[0, 2], [0, 0]], ["input", "output"], "0 and 1 only"),
        ([[0, 1], [0, 0]], ["output", "input"], "must be 'input'"),
        (torch.zeros(3, 3), ["input", "conv5x5", "output"], "must be 'input', any of"),
        (torch.zeros(3, 3), ["input", "output", "output"], "must be 'input', any of"),
    ],
)
def test_nb101_sequence_refuses(adjacency, ops, message):
    with pytest.raises(ValueError, match=message):
        nb101_sequence(adjacency, ops)


def test_ofa_code():
    kernels, expands, depths = [3, 5, 7, 3] * 5, [6, 4, 3, 3] * 5, [2, 3, 4, 2, 4]
    code = ofa_code(kernels, expands, depths)
    assert code.tolist() == kernels + expands + depths
    assert code.shape == (45,)
    with pytest.raises(ValueError, match=r"kernels=.* must be 20 numbers out of"):
        ofa_code(kernels[:-1], expands, depths)
    with pytest.raises(ValueError, match=r"expands=.*\(3, 4, 6\)"):
        ofa_code(kernels, [5, *expands[1:]], depths)
    with pytest.raises(ValueError, match=r"depths=\[1, .*5 numbers"):
        ofa_code(kernels, expands, [1, *depths[1:]])
