import os
import subprocess
import sys
import types
from itertools import product
from pathlib import Path

import pytest

from lib.data import nats_bench
from lib.data.nats_bench import (
    COLUMNS,
    OPS,
    ArchiveError,
    arch_code,
    main,
    read_rows,
    same_text,
    write_csv,
)
from lib.data.spaces import NB201
from lib.data.tabular import TabularBenchmark

CODES = ["310004", "000000", "130000", "012341", "444444"]


def arch(code):
    a, b, c, d, e, f = (OPS[int(digit)] for digit in code)
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"


class Archive:
    """Answers as the package's object does, with numbers made of the question."""

    def __init__(self, codes=CODES, without=()):
        self.codes, self.without, self.arch2infos_dict = codes, without, {}

    def __len__(self):
        return len(self.codes)

    def arch(self, index):
        return arch(self.codes[index])

    def get_more_info(self, index, dataset, iepoch=None, hp="12", is_random=True):
        assert iepoch is None
        assert is_random is False
        assert isinstance(index, int)
        if (index, dataset) in self.without:
            raise KeyError(dataset)
        self.arch2infos_dict[index] = "a large file"
        base = 10 * index + {"12": 0.12344, "200": 0.6789}[hp]
        # The package gives CIFAR-10 no validation and its half no other test.
        given = {
            "cifar10": {"test-accuracy": base + 1},
            "cifar10-valid": {"valid-accuracy": base + 2, "test-accuracy": -1},
            "cifar100": {"valid-accuracy": base + 3, "test-accuracy": base + 4},
            "ImageNet16-120": {"valid-accuracy": base + 5, "test-accuracy": base + 6},
        }
        return {"train-accuracy": -2, "valtest-accuracy": -3} | given[dataset]


@pytest.fixture
def package(monkeypatch):
    """A stand-in for the package that a reader would have installed."""
    calls = []

    def create(*arguments, **options):
        calls.append((arguments, options))
        return Archive()

    stand_in = types.ModuleType("nats_bench")
    stand_in.create = create
    monkeypatch.setitem(sys.modules, "nats_bench", stand_in)
    stand_in.calls = calls
    return stand_in


def test_codes_are_read_from_the_archives_text():
    for code in CODES:
        assert arch_code(arch(code)) == code
    official = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0"
    assert arch_code(official + "|nor_conv_1x1~1|none~2|") == "334120"
    for wrong in ("", "|none~0|", arch("000000").replace("~2", "~1"), "|x~0|"):
        with pytest.raises(ArchiveError, match="is no cell of NAS-Bench-201"):
            arch_code(wrong)
    with pytest.raises(ArchiveError, match="is no cell"):
        arch_code(arch("000000").replace("none~2", "dil_conv~2"))


def test_groups_are_the_6466_of_the_paper():
    texts = {code: same_text(code) for code in product("01234", repeat=6)}
    assert len(set(texts.values())) == 6466
    # Cells of one group compute the same.
    first: dict[str, str] = {}
    for code, text in texts.items():
        form = NB201.canonical("".join(code))
        assert first.setdefault(text, form) == form


def test_rows_hold_what_the_columns_say():
    archive = Archive()
    rows = read_rows(archive)
    assert [row["code"] for row in rows] == sorted(CODES)
    assert all(tuple(row) == COLUMNS for row in rows)
    row = next(row for row in rows if row["code"] == "000000")
    assert row == {
        "code": "000000",
        "group": 1,
        "c10_test": 11.6789,
        "c100_test": 14.6789,
        "in16_test": 16.6789,
        "c10_val12": 12.1234,
        "c100_val12": 13.1234,
        "in16_val12": 15.1234,
    }
    groups = {row["code"]: row["group"] for row in rows}
    assert groups == {
        "310004": 0,
        "000000": 1,
        "130000": 1,
        "012341": 2,
        "444444": 3,
    }
    assert archive.arch2infos_dict == {}


def test_an_archive_with_gaps():
    with pytest.raises(ArchiveError, match="cell 2 has no test-accuracy on cifar100"):
        read_rows(Archive(without=[(2, "cifar100")]))
    with pytest.raises(ArchiveError, match="2 cells with 1 different codes"):
        read_rows(Archive(["000000", "000000"]))
    with pytest.raises(ArchiveError, match="0 cells"):
        read_rows(Archive([]))


@pytest.mark.parametrize("folder", [True, False])
def test_the_command_writes_what_from_csv_reads(tmp_path, package, capsys, folder):
    source, out = tmp_path / "archive", tmp_path / "nb201.csv"
    source.mkdir() if folder else source.touch()
    out.write_text("old")
    assert main([str(source), str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: 5 cells\n"
    options = {"fast_mode": folder, "verbose": False}
    assert package.calls == [((str(source), "tss"), options)]
    assert out.read_text().splitlines()[:2] == [
        "code,group,c10_test,c100_test,in16_test,c10_val12,c100_val12,in16_val12",
        "000000,1,11.6789,14.6789,16.6789,12.1234,13.1234,15.1234",
    ]
    table = TabularBenchmark.from_csv(
        out, code="code", val="c10_val12", test="c10_test"
    )
    assert len(table) == 5
    assert table.codes[table.best].tolist() == [4] * 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "nb201.csv"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    out = tmp_path / "nb201.csv"
    out.write_text("old")
    rows = read_rows(Archive())

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="No space"):
        write_csv(rows, out)
    assert [path.name for path in tmp_path.iterdir()] == ["nb201.csv"]
    assert out.read_text() == "old"


def test_one_sentence_for_each_fault(tmp_path, package, capsys):
    there, out = str(tmp_path), str(tmp_path / "nb201.csv")

    def said(*arguments):
        assert main(arguments) == 1
        text = capsys.readouterr().err
        assert text.count("\n") == 1
        return text

    assert "is no file or folder" in said(str(tmp_path / "no"), out)
    assert "OUT=" in said(there, str(tmp_path / "no" / "nb201.csv"))
    package.create = lambda *_, **__: Archive(without=[(0, "cifar10")])
    assert "cell 0 has no test-accuracy on cifar10" in said(there, out)

    def broken(*_, **__):
        raise AssertionError("Can not find key[meta_archs]")

    package.create = broken
    assert "cannot be read: Can not find key" in said(there, out)
    assert not Path(out).exists()


def test_a_missing_package_is_one_sentence(tmp_path):
    command = [sys.executable, "-c", "import sys; sys.modules['nats_bench'] = None\n"]
    command[2] += "from lib.data.nats_bench import main; sys.exit(main())"
    done = subprocess.run(
        [*command, str(tmp_path), "x.csv"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1
    assert done.stderr.startswith("This command needs the package nats_bench")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_module_beside_the_reader_is_found(tmp_path):
    """The command is named like the package; neither may hide the other."""
    (tmp_path / "nats_bench.py").write_text(
        "def create(*_, **__):\n    raise ValueError('the stand-in was asked')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "lib.data.nats_bench", str(tmp_path), "x.csv"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert "the stand-in was asked" in done.stderr
    assert done.returncode == 1


def test_columns_are_the_documented_ones():
    assert ",".join(COLUMNS) == (
        "code,group,c10_test,c100_test,in16_test,c10_val12,c100_val12,in16_val12"
    )
    assert nats_bench.VAL12["c10"] == "cifar10-valid"
