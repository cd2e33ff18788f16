import errno
import math
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lib.training import load_checkpoint, save_checkpoint, write_atomically

RUN = Path(__file__).with_name("killed_run.py")
STEPS = 200


def same(a, b):
    """Compare nested states bit by bit, types included."""
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert a.numpy().tobytes() == b.numpy().tobytes()
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    else:
        assert a == b or (math.isnan(a) and math.isnan(b))


@pytest.fixture
def run():
    """Give the training as a function; it runs on one thread and in this process."""
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    yield runpy.run_path(str(RUN))["main"]
    torch.set_num_threads(threads)
    torch.set_rng_state(state)


def test_a_killed_run_continues_bit_by_bit(tmp_path, run):
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    with subprocess.Popen(
        [sys.executable, RUN, broken, str(STEPS)], stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if line == "7\n":  # wherever it is by the time the signal arrives
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert 7 <= load_checkpoint(broken)["step"] < STEPS
    run(broken, STEPS)
    run(whole, STEPS)
    ours, theirs = load_checkpoint(broken), load_checkpoint(whole)
    assert ours["step"] == STEPS
    same(ours, theirs)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.floats(width=32), max_size=3).map(torch.tensor),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.just((1, "1")), inner)
    ),
    max_leaves=8,
)


@given(value=plain)
@settings(deadline=None, max_examples=100)
def test_any_plain_value_comes_back_as_it_was(value, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "value.safetensors"
    save_checkpoint(path, value=value)
    same(load_checkpoint(path)["value"], value)


def test_names_that_clash_are_kept_apart(tmp_path):
    path = tmp_path / "run.safetensors"
    one, two, three = torch.ones(1), torch.ones(1) * 2, torch.ones(1) * 3
    value = {1: one, "1": two, "a.b": one, "a": {"b": three}}
    save_checkpoint(path, value=value)
    same(load_checkpoint(path)["value"], value)


def test_weights_can_be_read_by_any_safetensors_reader(tmp_path):
    path = tmp_path / "run.safetensors"
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    model[1].weight = nn.Parameter(model[0].weight.T)  # one memory, two names
    model.to(torch.bfloat16)
    save_checkpoint(path, model=model)
    tensors = safetensors.torch.load_file(path)
    assert torch.equal(tensors["model.0.weight"], model[0].weight)
    twin = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)).to(torch.bfloat16)
    load_checkpoint(path, model=twin)
    assert torch.equal(twin[1].weight, model[1].weight)


def test_channels_last_weights_come_back(tmp_path):
    path = tmp_path / "run.safetensors"
    model = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    before = model.weight.detach().clone()
    save_checkpoint(path, model=model)
    nn.init.zeros_(model.weight)
    load_checkpoint(path, model=model)
    assert torch.equal(model.weight, before)


def test_what_cannot_be_kept_is_named(tmp_path):
    path = tmp_path / "run.safetensors"
    save_checkpoint(path, step=1)
    with pytest.raises(ValueError, match=r"log\.path\.0 is a PosixPath; a checkpoint"):
        save_checkpoint(path, step=2, log={"path": [tmp_path]})
    assert load_checkpoint(path)["step"] == 1


def test_what_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "run.safetensors"
    with pytest.raises(ValueError, match=r"run\.safetensors': there is no such check"):
        load_checkpoint(path)
    path.write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"run\.safetensors' is no checkpoint: "):
        load_checkpoint(path)
    safetensors.torch.save_file({"weight": torch.ones(1)}, path)
    with pytest.raises(ValueError, match="holds weights alone, not a run"):
        load_checkpoint(path)
    save_checkpoint(path, step=3, model=nn.Linear(1, 1))
    with pytest.raises(ValueError, match="has no part 'ema', only 'step', 'model'"):
        load_checkpoint(path, ema=nn.Linear(1, 1))
    with pytest.raises(ValueError, match="step=0 can take up no state"):
        load_checkpoint(path, step=0)


@pytest.mark.parametrize("earlier", [True, False])
def test_a_full_disk_leaves_the_earlier_file(tmp_path, monkeypatch, earlier):
    path = tmp_path / "run.safetensors"
    if earlier:
        save_checkpoint(path, step=1)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    left = "the earlier file is unchanged" if earlier else "nothing was left"
    with pytest.raises(OSError, match=f"No space left on device; {left}") as caught:
        save_checkpoint(path, step=2)
    assert caught.value.errno == errno.ENOSPC
    assert [f.name for f in tmp_path.iterdir()] == [path.name] * earlier
    if earlier:
        assert load_checkpoint(path)["step"] == 1


LIMITED = """
import resource, signal, sys
from lib.training import write_atomically
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_atomically(sys.argv[1], bytes(5000))
"""


def test_a_write_that_the_system_breaks_off(tmp_path):
    """Here the kernel itself stops the write half-way, as on a full disk."""
    path = tmp_path / "file"
    write_atomically(path, b"before")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, path], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert f"cannot write {path}: File too large; the earlier file" in done.stderr
    assert path.read_bytes() == b"before"
    assert [f.name for f in tmp_path.iterdir()] == ["file"]


def test_an_interrupt_is_passed_on_and_cleans_up(tmp_path, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"x")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match="No such file or directory; nothing was left"):
        write_atomically(tmp_path / "nowhere" / "file", b"x")
