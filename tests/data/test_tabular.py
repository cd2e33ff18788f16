import datasets
import pytest
import torch
from datasets import Dataset, Features, Sequence, Value
from hypothesis import given
from hypothesis import strategies as st

from lib.data import real
from lib.data.spaces import MIXCELL4, NB201
from lib.data.tabular import (
    BudgetError,
    Oracle,
    TabularBenchmark,
    TabularSpace,
)

CODES = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 2]])
VAL = [10.0, 30.0, 20.0, 30.0]
TEST = [1.0, 2.0, 3.0, 4.0]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def table():
    return TabularBenchmark(CODES, VAL, TEST)


def write(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


@st.composite
def code_tables(draw):
    digits = draw(st.integers(1, 4))
    code = st.tuples(*[st.integers(0, 4)] * digits)
    rows = draw(st.lists(code, min_size=1, max_size=30, unique=True))
    return torch.tensor(rows)


def test_what_a_table_holds(table):
    assert len(table) == 4
    assert torch.equal(table.codes, CODES)
    assert table.val.tolist() == VAL
    assert table.test.tolist() == TEST
    assert table.val.dtype == table.test.dtype == torch.float64
    assert table.best == 1  # rows 1 and 3 are equally good
    assert table.groups is None
    assert TabularBenchmark(CODES, VAL).test.tolist() == VAL
    assert TabularBenchmark(CODES, VAL, groups=[3, 3, 4, 5]).groups.tolist()[0] == 3


def test_a_table_keeps_copies():
    codes, val = CODES.clone(), torch.tensor(VAL, dtype=torch.float64)
    table = TabularBenchmark(codes, val)
    codes.zero_()
    val.zero_()
    table.features().zero_()
    assert torch.equal(table.codes, CODES)
    assert table.val.tolist() == VAL
    assert table.features().sum() == 8
    assert table.query(1) == 30


def test_each_digit_has_its_own_options(table):
    expected = [[1, 0, 1, 0, 0], [1, 0, 0, 1, 0], [0, 1, 1, 0, 0], [0, 1, 0, 0, 1]]
    assert table.features().tolist() == expected
    assert table.features().dtype == torch.float32


@given(code_tables())
def test_features_tell_codes_apart(codes):
    features = TabularSpace(codes).features()
    assert features.sum(1).eq(codes.shape[1]).all()
    assert features.sum(0).ge(1).all()
    assert len(features.unique(dim=0)) == len(codes)


def test_features_of_a_whole_space_are_its_one_hot_codes():
    codes = NB201.codes()
    assert torch.equal(TabularSpace(codes).features(), NB201.one_hot(codes))
    codes = MIXCELL4.representatives()
    assert torch.equal(TabularSpace(codes).features(), MIXCELL4.one_hot(codes))


@given(code_tables())
def test_neighbours_differ_in_exactly_one_digit(codes):
    space = TabularSpace(codes)
    for i, code in enumerate(codes):
        apart = (codes != code).sum(1)
        assert space.neighbours(i).tolist() == (apart == 1).nonzero().flatten().tolist()


def test_neighbours_of_a_whole_space_are_the_spaces_own():
    space = TabularSpace(NB201.codes())
    for code in ("000000", "333132", "444444"):
        rows = [NB201.row(near) for near in NB201.neighbours(code)]
        assert space.neighbours(NB201.row(code)).tolist() == sorted(rows)


def test_neighbours_can_be_given():
    matrix = torch.tensor([[3, 1], [-1, -1], [0, -1], [2, 0]])
    lists = [torch.tensor(row) for row in ([3, 1], [], [0], [2, 0])]
    for neighbours in (matrix, lists):
        table = TabularBenchmark(CODES, VAL, neighbours=neighbours)
        for space in (table, table.space()):
            found = [space.neighbours(i).tolist() for i in range(4)]
            assert found == [[3, 1], [], [0], [2, 0]]


def test_an_oracle_counts_different_rows(table):
    oracle = table.oracle()
    assert [oracle.query(i) for i in (2, 0, 2, torch.tensor(2))] == [20, 10, 20, 20]
    assert oracle.n_queries == 2
    assert oracle.budget is None
    assert list(oracle.asked.items()) == [(2, 20.0), (0, 10.0)]
    oracle.asked.clear()
    assert oracle.n_queries == 2
    assert table.n_queries == 0  # each oracle counts for itself
    assert table.query(3) == table.query(3) == 30
    assert table.n_queries == 1


def test_an_oracle_refuses_the_row_after_its_budget(table):
    oracle = table.oracle(budget=2)
    oracle.query(0)
    oracle.query(1)
    assert oracle.query(0) == 10  # known, so free
    with pytest.raises(BudgetError, match="row 2 would be query 3; the budget is 2"):
        oracle.query(2)
    assert oracle.n_queries == oracle.budget == 2
    assert isinstance(BudgetError(), RuntimeError)
    oracle.budget = 100
    oracle._asked().clear()
    for ask in (oracle.query, oracle._ask):  # neither helps
        with pytest.raises(BudgetError):
            ask(2)
    with pytest.raises(ValueError, match="budget=0 must be 1 or more"):
        table.oracle(budget=0)


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 10))
def test_budget_is_the_number_of_different_rows(rows, budget):
    oracle = Oracle([float(row) for row in range(10)], budget)
    seen = set()
    for row in rows:
        if row in seen or len(seen) < budget:
            assert oracle.query(row) == row
            seen.add(row)
        else:
            with pytest.raises(BudgetError):
                oracle.query(row)
    assert oracle.n_queries == len(seen)


@pytest.mark.parametrize("i", [-1, 4])
def test_a_row_that_is_none(table, i):
    for ask in (table.query, table.oracle(1).query, table.neighbours):
        with pytest.raises(ValueError, match=rf"i={i} is no row; allowed are 0 to 3"):
            ask(i)
    assert table.n_queries == 0
    with pytest.raises(TypeError):
        table.query(1.5)


def honest(space, oracle):
    return max(range(len(space)), key=oracle.query)


def peeks_at_the_space(space, oracle):
    return int(space.val.argmax())


def peeks_at_the_best(space, oracle):
    return space.best


def peeks_at_the_oracle(space, oracle):
    return int(oracle.labels.argmax())


def peeks_everywhere(space, oracle):
    """Take any attribute that holds numbers by row."""
    for thing in (space, oracle):
        for name in dir(thing):
            value = getattr(thing, name, None)
            if isinstance(value, torch.Tensor) and value.shape == (len(space),):
                return int(value.argmax())
            if isinstance(value, list | tuple):
                value = dict(enumerate(value))
            labels = value.values() if isinstance(value, dict) else [None]
            if labels and all(isinstance(label, float) for label in labels):
                return max(value, key=value.get)
    raise AttributeError("nothing found")


def test_a_search_that_peeks_fails(table):
    assert honest(table.space(), table.oracle()) == table.best
    for search in (peeks_at_the_space, peeks_at_the_best, peeks_at_the_oracle):
        with pytest.raises(AttributeError):
            search(table.space(), table.oracle())
    with pytest.raises(BudgetError):
        honest(table.space(), table.oracle(3))
    plain = TabularBenchmark(CODES, VAL, neighbours=torch.full((4, 1), -1))
    with pytest.raises(AttributeError, match="nothing found"):
        peeks_everywhere(plain.space(), plain.oracle())
    assert peeks_everywhere(plain, plain.oracle()) == plain.best  # it does look
    with pytest.raises(TypeError):
        vars(plain.oracle())
    plain.query(0)
    assert peeks_everywhere(plain.space(), plain._own) == 0  # what was asked is known


@pytest.mark.parametrize(
    ("codes", "val", "options", "message"),
    [
        (torch.zeros(0, 2).long(), [], {}, r"shape \(0, 2\).*at least one row"),
        (torch.zeros(2, 0).long(), VAL, {}, r"shape \(2, 0\).*one digit"),
        (torch.tensor([1, 2]), VAL, {}, r"shape \(2,\)"),
        (CODES.float(), VAL, {}, "type torch.float32 must be whole"),
        (CODES[[0, 1, 0]], VAL, {}, "row 2 repeats row 0, code 0-0"),
        (CODES, VAL[:3], {}, r"val of shape \(3,\) must have one .* of 4 codes"),
        (CODES, [1, 2, float("nan"), 4], {}, "val: row 2 is nan; labels must be fin"),
        (CODES, VAL, {"test": [1, 2, 3, float("inf")]}, "test: row 3 is inf"),
        (CODES, VAL, {"test": [1]}, r"test of shape \(1,\)"),
        (CODES, VAL, {"groups": [1]}, r"groups of shape \(1,\)"),
        (CODES, VAL, {"neighbours": [torch.tensor([1])]}, "1 given for 4 codes"),
        (
            CODES,
            VAL,
            {"neighbours": torch.tensor([[1], [2], [4], [0]])},
            "neighbours hold 4; allowed are 0 to 3",
        ),
    ],
)
def test_a_table_that_cannot_be(codes, val, options, message):
    with pytest.raises(ValueError, match=message):
        TabularBenchmark(codes, val, **options)


def test_csv_keeps_leading_zeros(tmp_path):
    path = write(tmp_path, "code,n,v,t\n0012,7,1.5,2.5\n1012,8,3,4e0\n")
    table = TabularBenchmark.from_csv(path, code="code", val="v", test="t")
    assert table.codes.tolist() == [[0, 0, 1, 2], [1, 0, 1, 2]]
    assert table.val.tolist() == [1.5, 3]
    assert table.test.tolist() == [2.5, 4]
    same = TabularBenchmark.from_csv(str(path), code="code", val="t", test="t")
    assert same.val.tolist() == same.test.tolist() == [2.5, 4]
    alone = TabularBenchmark.from_csv(path, code="code", val="v")
    assert alone.test.tolist() == [1.5, 3]


@pytest.mark.parametrize(
    "code", ["3-10-2", "3 10 2", "3,10,2", "[3, 10, 2]", "3|10|2", "3/10/2", " 3;10;2"]
)
def test_csv_with_options_beyond_nine(tmp_path, code):
    path = write(tmp_path, f'\ufeffa,b\n"{code}",1\n\n"03-0-2",2\n')
    table = TabularBenchmark.from_csv(path, code="a", val="b")
    assert table.codes.tolist() == [[3, 10, 2], [3, 0, 2]]
    assert table.features().tolist() == [[1, 0, 1, 1], [1, 1, 0, 1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'c' for code; its columns: none"),
        ("c,v,t\n", "has no rows"),
        ("d,v,t\n01,1,2\n", "no column 'c' for code; its columns: 'd', 'v', 't'"),
        ("c,w,t\n01,1,2\n", "no column 'v' for val"),
        ("c,v\n01,1\n", "no column 't' for test"),
        ("c,v,v,t\n01,1,2,3\n", "several columns 'v'; val needs one"),
        ("c,v,t\n01,1,2\n02,1,2\n01,3,4\n", "row 2 repeats row 0, code 0-1"),
        ("c,v,t\n01,1,2\n02,nan,2\n", "row 1 of column 'v' holds 'nan'; .* finite"),
        ("c,v,t\n01,1,-inf\n", "row 0 of column 't' holds '-inf'; .* finite"),
        ("c,v,t\n01,1,2\n02,x,2\n", "row 1 of column 'v' holds 'x'; .* numbers"),
        ("c,v,t\n01,1,2\n02,,2\n", "row 1 of column 'v' holds ''; .* numbers"),
        ("c,v,t\n01,1,2\n02,1\n", "row 1 of column 't' holds ''; .* numbers"),
        ("c,v,t\n,1,2\n", "row 0 of column 'c' holds ''; a code is text"),
        ("c,v,t\n0a,1,2\n", "row 0 of column 'c' holds '0a'; a code is text"),
        ("c,v,t\n1.0,1,2\n", "holds '1.0'; a code is text"),
        (
            "c,v,t\n012,1,2\n12,1,2\n",
            "row 1 of column 'c' holds '12', a code of 2 digits; row 0 has 3",
        ),
    ],
)
def test_csv_says_what_is_wrong(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=message) as caught:
        TabularBenchmark.from_csv(path, code="c", val="v", test="t")
    assert str(caught.value).startswith(f"path={str(path)!r}")
    assert "\n" not in str(caught.value)


def test_csv_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(ValueError, match=r"path='.*no\.csv' cannot be read: .*No such"):
        TabularBenchmark.from_csv(tmp_path / "no.csv", code="c", val="v")
    (tmp_path / "bytes.csv").write_bytes(b"c,v\n\xff,1\n")
    with pytest.raises(ValueError, match="cannot be read: 'utf-8' codec"):
        TabularBenchmark.from_csv(tmp_path / "bytes.csv", code="c", val="v")


@pytest.fixture
def folder(tmp_path):
    """A folder as one copies it from the Hub, with codes as text and as lists."""
    place = tmp_path / "cells" / "data"
    place.mkdir(parents=True)
    features = Features(
        {
            "arch": Value("string"),
            "digits": Sequence(Value("int8")),
            "number": Value("int64"),
            "acc": Value("float32"),
            "final": Value("int64"),
            "gaps": Value("float64"),
        }
    )
    rows = {
        "arch": ["001", "011", "210"],
        "digits": [[0, 0, 1], [0, 1, 1], [2, 1, 0]],
        "number": [1, 11, 210],
        "acc": [0.5, 0.25, 0.75],
        "final": [1, 3, 2],
        "gaps": [0.5, None, 1.0],
    }
    whole = Dataset.from_dict(rows, features)
    whole.to_parquet(place / "train-00000-of-00001.parquet")
    whole.select([1]).to_parquet(place / "test-00000-of-00001.parquet")
    return tmp_path / "cells"


def test_a_folder_in_the_hubs_layout(folder):
    for name in (folder, str(folder), folder / "data" / "train-*.parquet"):
        for code in ("arch", "digits"):
            table = TabularBenchmark.from_hub(name, code=code, val="acc", test="final")
            assert table.codes.tolist() == [[0, 0, 1], [0, 1, 1], [2, 1, 0]]
            assert table.val.tolist() == [0.5, 0.25, 0.75]
            assert table.test.tolist() == [1, 3, 2]
    small = TabularBenchmark.from_hub(folder, split="test", code="arch", val="acc")
    assert small.codes.tolist() == [[0, 1, 1]]
    assert small.test.tolist() == [0.25]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"code": "cell"}, "no column 'cell' for code; its columns: 'arch', 'digits'"),
        ({"val": "loss"}, "no column 'loss' for val"),
        ({"code": "number"}, "row 0 of column 'number' holds 1; .*leading zeros"),
        ({"val": "gaps"}, "row 1 of column 'gaps' holds None; labels must be numbers"),
        ({"val": "arch", "code": "arch", "test": "digits"}, "holds .0, 0, 1.; labels"),
        ({"split": "dev"}, "split='dev' cannot be loaded"),
    ],
)
def test_hub_says_what_is_wrong(folder, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        TabularBenchmark.from_hub(folder, **({"code": "arch", "val": "acc"} | options))
    assert str(caught.value).startswith(f"name={str(folder)!r}")


def test_hub_that_cannot_be_reached(monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    monkeypatch.setattr(real, "_hub_answers", lambda name: False)
    with pytest.raises(ConnectionError, match="name='nobody/cells': the Hub cannot"):
        TabularBenchmark.from_hub("nobody/cells", code="arch", val="acc")


def test_hub_name_that_can_be_none(tmp_path):
    path = write(tmp_path, "c,v\n01,1\n")
    with pytest.raises(ValueError, match=r"name='.*table\.csv' is no folder and no"):
        TabularBenchmark.from_hub(path, code="c", val="v")
