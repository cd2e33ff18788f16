"""What is finished is kept: kills, full disks, failures, changed code, other data."""

import json
import math
import os
import signal
import time

import pytest

from lib.claims import runner
from lib.claims.__main__ import command, main


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0-7", list(range(8))), ("3", [3]), ("0-2,5", [0, 1, 2, 5]), ("2, 1-2", [1, 2])],
)
def test_parse_seeds(text, seeds):
    assert runner.parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["7-3", "a", "", "1,,2", "-1", "1.5", "0-", "1-2-3"])
def test_bad_seeds(text):
    with pytest.raises(
        ValueError, match=r"^SEEDS '.*' cannot be read at '.*'; allowed"
    ):
        runner.parse_seeds(text)


def test_measure_writes_seeds_and_claims(made_up, capsys):
    content = runner.measure(made_up.exp, [0, 1, 2])
    assert made_up.stored() == ["0.json", "1.json", "2.json"]
    on_disk = json.loads((made_up.exp.folder / "claims.json").read_text())
    assert on_disk == content
    found = content["data"]["world"]
    assert found["label"] == "world"
    assert found["seeds"]["1"]["arms"]["bridge"]["accuracy"] == 0.91
    assert set(found["versions"]) >= {"python", "torch", "numpy"}
    assert found["minutes"] >= 0
    assert found["peak_memory_mib"] > 1
    claim = found["claims"]["beats-wide"]
    assert claim["n"] == 3
    assert claim["verdict"] == "supported"
    assert math.isclose(claim["difference"]["mean"], 0.06)
    half = 4.302653 * 0.01 / math.sqrt(3)  # Student's t with 2 degrees of freedom
    assert math.isclose(claim["difference"]["low"], 0.06 - half, rel_tol=1e-4)
    assert str(made_up.exp.folder) not in json.dumps(content), "no paths"
    (said,) = runner.sentences(made_up.exp, content)
    start = "beats-wide: On world, the accuracy is 0.910 for bridge and 0.850 for wide,"
    assert said.startswith(start)


def test_finished_seeds_are_not_measured_again(made_up, capsys):
    runner.measure(made_up.exp, [0, 1])
    before = (made_up.exp.folder / "claims.json").read_bytes()
    runner.measure(made_up.exp, [0, 1])
    assert (made_up.exp.folder / "claims.json").read_bytes() == before
    runner.measure(made_up.exp, [0, 1, 2])
    assert sorted(made_up.ran()) == [0, 1, 2]
    assert "1 seed to measure, 2 of those asked for finished before" in (
        capsys.readouterr().out
    )


def test_killed_run_goes_on(made_up):
    made_up.hook(
        """
        (HERE / f"pid{seed}").write_text(str(os.getpid()))
        while seed == 2 and not (HERE / "go").exists():
            time.sleep(0.05)
        """
    )
    run = made_up.start([0, 1, 2, 3])
    wait_for(made_up.log.with_name("pid2").exists)
    worker = int(made_up.log.with_name("pid2").read_text())
    run.send_signal(signal.SIGKILL)
    run.wait()
    wait_for(lambda: not alive(worker))  # no worker is left behind
    run.communicate()
    assert made_up.stored() == ["0.json", "1.json"]
    assert not (made_up.exp.folder / "claims.json").exists()

    leftover = made_up.exp.seed_file("world", 0).with_name(".2.json.1.part")
    leftover.write_text("{")
    made_up.log.with_name("go").touch()
    run = made_up.start([0, 1, 2, 3])
    out, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    assert "2 seeds to measure, 2 of those asked for finished before" in out
    assert made_up.ran() == [0, 1, 2, 2, 3]
    assert made_up.stored() == ["0.json", "1.json", "2.json", "3.json"]


def test_interrupted_run_says_what_is_kept(made_up):
    made_up.hook(
        """
        (HERE / f"pid{seed}").write_text(str(os.getpid()))
        time.sleep(60 * (seed == 1))
        """
    )
    run = made_up.start([0, 1])
    wait_for(made_up.log.with_name("pid1").exists)
    wait_for(lambda: made_up.stored() == ["0.json"])
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=120)
    assert run.returncode == 130
    assert "Interrupted. Finished seeds are kept (world 0)" in err
    assert "Traceback" not in err


def test_full_disk(made_up, capsys):
    made_up.hook(
        """
        import errno
        def full(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if seed == 1:
            os.fsync = full
        """
    )
    assert command(made_up.exp, [0, 1, 2], "world", 1, False) == 1
    said = capsys.readouterr().err
    assert "seeds/world/1.json cannot be written: No space left on device." in said
    assert "Finished seeds are kept (world 0)" in said
    assert "Traceback" not in said
    assert made_up.stored() == ["0.json"]


def test_failing_seed_keeps_the_others(made_up, capsys):
    made_up.hook("assert seed != 1, 'it broke'")
    assert command(made_up.exp, [0, 1], "world", 1, False) == 1
    said = capsys.readouterr().err
    assert "Seed 1 failed: AssertionError: it broke" in said
    assert f"{made_up.name}.py" in said, "the traceback shows where"
    assert made_up.stored() == ["0.json"]


def test_killed_worker(made_up, capsys):
    made_up.hook("if seed == 1: os.kill(os.getpid(), 9)")
    assert command(made_up.exp, [0, 1], "world", 1, False) == 1
    assert (
        "was ended from outside, perhaps for lack of memory" in capsys.readouterr().err
    )
    assert made_up.stored() == ["0.json"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("return 3", "run should return"),
        ("return {'arms': {'bridge': {'accuracy': float('nan')}}}", "must be finite"),
        (
            "return {'arms': {'bridge': {'accuracy': 1}}}",
            "claim 'beats-wide' needs accuracy of wide",
        ),
    ],
)
def test_result_of_a_wrong_form_is_not_stored(made_up, code, said):
    made_up.hook(code)
    with pytest.raises(runner.SeedError, match=said):
        runner.measure(made_up.exp, [0])
    assert made_up.stored() == []


def test_changed_code_needs_renewal(made_up, capsys):
    runner.measure(made_up.exp, [0, 1])
    old = runner.aggregate(made_up.exp)["data"]["world"]["code_hash"]
    made_up.hook("renamed = seed; del renamed")
    assert command(made_up.exp, [0, 1, 2], "world", 1, False) == 2
    assert "2 seeds of 'world' came from other code than today's; RENEW=1" in (
        capsys.readouterr().err
    )
    assert command(made_up.exp, [], "world", 1, True) == 0
    assert "Seed 0 of world agrees; the hash of 2 seeds is renewed." in (
        capsys.readouterr().out
    )
    new = json.loads((made_up.exp.folder / "claims.json").read_text())
    assert new["data"]["world"]["code_hash"] != old
    assert command(made_up.exp, [], "world", 1, True) == 0
    assert "nothing to renew" in capsys.readouterr().out
    assert made_up.ran() == [0, 1, 0] or made_up.ran() == [1, 0, 0]


def test_renewal_names_the_number_that_differs(made_up, capsys):
    runner.measure(made_up.exp, [0, 1])
    made_up.hook(
        "return {'arms': {'bridge': {'accuracy': 0.5}, 'wide': {'accuracy': 0.85}}}"
    )
    assert command(made_up.exp, [], "world", 1, True) == 1
    assert "accuracy of bridge: recorded 0.9, now 0.5" in capsys.readouterr().out
    stored = json.loads(made_up.exp.seed_file("world", 0).read_text())
    assert stored["arms"]["bridge"]["accuracy"] == 0.9


def test_nothing_to_renew(made_up, capsys):
    assert command(made_up.exp, [], "world", 1, True) == 2
    assert "no seed of made-up is finished on 'world'" in capsys.readouterr().err


DESCRIBE = '''

def describe(data):
    """Say which data these are."""
    if data == "empty/":
        raise ValueError("DATA 'empty/' holds no pictures")
    size = (HERE / "size").read_text()
    label = "imagenet" if "imagenet" in data else "world"
    digest = f"abcdef0123{size}"
    return {"label": label, "rows": int(size), "hash": digest, "path": data}
'''


def test_other_data_are_kept_apart(made_up, capsys):
    made_up.write(made_up.file.read_text() + DESCRIBE)
    size = made_up.log.with_name("size")
    size.write_text("10")
    runner.measure(made_up.exp, [0, 1])
    capsys.readouterr()
    size.write_text("20")
    content = runner.measure(made_up.exp, [0, 1])
    said = capsys.readouterr().out
    assert "These are not the data recorded as 'world' (10 rows" in said
    assert "kept apart as 'world-abcdef01'" in said
    assert set(content["data"]) == {"world", "world-abcdef01"}
    assert content["data"]["world-abcdef01"]["rows"] == 20
    assert content["data"]["world-abcdef01"]["claims"]["beats-wide"]["n"] == 2
    assert "path" not in json.dumps(content)
    size.write_text("10")
    assert runner.measure(made_up.exp, [0, 1]) == content


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("wrold", "DATA 'wrold' is unknown; allowed are cifar10, world, a Hub id"),
        ("empty/", "DATA 'empty/' holds no pictures"),
        (
            "a/imagenet",
            "'imagenet', which no claim of paper.yml lists; allowed are cif",
        ),
    ],
)
def test_unknown_data(made_up, capsys, data, said):
    made_up.write(made_up.file.read_text() + DESCRIBE)
    made_up.log.with_name("size").write_text("10")
    assert command(made_up.exp, [0], data, 1, False) == 2
    assert said in capsys.readouterr().err


def test_data_of_an_experiment_that_takes_only_labels(made_up, capsys):
    assert command(made_up.exp, [0], "owner/name", 1, False) == 2
    assert "takes only cifar10, world" in capsys.readouterr().err


def test_damaged_seed_file(made_up):
    runner.measure(made_up.exp, [0])
    for text in ("{", "3", "[]", "{}"):
        made_up.exp.seed_file("world", 0).write_text(text)
        with pytest.raises(ValueError, match=r"seeds/world/0\.json is damaged; delete"):
            runner.measure(made_up.exp, [0])


def test_mixed_code_is_not_combined(made_up):
    runner.measure(made_up.exp, [0, 1])
    file = made_up.exp.seed_file("world", 1)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"code_hash": "0"}))
    with pytest.raises(ValueError, match="seed 1 has another code_hash"):
        runner.collect(made_up.exp)


def test_unfinished_claim_has_no_verdict(made_up):
    content = runner.measure(made_up.exp, [0])
    assert content["data"]["world"]["claims"] == {}
    (said,) = runner.sentences(made_up.exp, content)
    assert said == "beats-wide: On world, this has not been measured yet."


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mobile_forma"], "did you mean 'mobile_former'?"),
        (["poison_ink"], "NAME 'poison_ink' has no experiment yet; allowed are"),
        (["poison_ink", "--seeds", "7-3"], "SEEDS '7-3' cannot be read at '7-3'"),
        (["poison_ink", "--jobs", "0"], "jobs: 0 given; allowed is 1 or more"),
    ],
)
def test_wrong_arguments(capsys, arguments, said):
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1
