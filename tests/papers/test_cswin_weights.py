"""RetinaNet on CSWin: its cost, its training command, and what is shipped."""

import hashlib
import json

import pytest
import torch

from lib.assets import paper_path
from lib.metrics import average_precision, count_macs
from lib.papers.cswin import weights
from lib.papers.mobile_former.queries_training import query_scenes
from lib.papers.mobile_former.weights import TEST
from lib.papers.mobile_former.weights import build_retinanet as first_chapter

SHORT = dict(steps=3, batch=4, scenes=8, held_out=4)
FOLDER = paper_path("cswin", "weights")


def test_it_costs_what_the_first_chapters_detector_costs():
    x = torch.zeros(1, 3, 64, 64)
    ours, theirs = weights.build_retinanet(), first_chapter()
    for part in (lambda net: net, lambda net: net.backbone):
        cost = [count_macs(part(net), x) for net in (ours, theirs)]
        assert abs(cost[0] / cost[1] - 1) < 0.06
    sizes = [[tuple(a.shape) for a in net(x).logits] for net in (ours, theirs)]
    assert sizes[0] == sizes[1] == [(1, 9 * n * n, 11) for n in (16, 8, 4)]


def test_training_is_repeatable_and_written(tmp_path):
    net, log = weights.train_retinanet(folder=tmp_path, **SHORT)
    again, same = weights.train_retinanet(**SHORT)
    assert not net.training
    x = query_scenes(2, 7)[0] / 255
    for ours, theirs in zip(net(x).logits, again(x).logits, strict=True):
        assert torch.equal(ours, theirs)
    assert log["loss"] == same["loss"]
    assert 0 <= log["held_out"]["AP"] <= log["held_out"]["AP50"] <= 1
    written = json.loads((tmp_path / "retinanet.json").read_text())
    data = (tmp_path / "retinanet.safetensors").read_bytes()
    assert written["loss"] == log["loss"]
    assert written["sha256"] == hashlib.sha256(data).hexdigest()


def test_the_sweep_tries_rates_on_training_digits(tmp_path, monkeypatch):
    asked = []

    def fake(seed, *, rate, steps, split):
        asked.append((seed, rate, steps, split))
        return None, {"held_out": {"AP": rate + seed}}

    monkeypatch.setattr(weights, "train_retinanet", fake)
    entry = weights.sweep_rates(tmp_path, (0.1, 0.2), steps=7)
    assert asked == [(100, 0.1, 7, "train"), (100, 0.2, 7, "train")]
    assert entry["AP"] == {"0.1": 100.1, "0.2": 100.2}
    written = json.loads((tmp_path / "retinanet.json").read_text())
    assert written == {"sweep": entry}


def test_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(weights.COMMANDS, "retinanet", lambda folder: {"AP": 0.5})
    weights.main(["retinanet", "--folder", str(tmp_path / "new")])
    assert json.loads(capsys.readouterr().out) == {"AP": 0.5}
    with pytest.raises(SystemExit):
        weights.main(["yolo"])
    assert "invalid choice: 'yolo'" in capsys.readouterr().err


# What is shipped.


@pytest.fixture(scope="module")
def log():
    return json.loads((FOLDER / "retinanet.json").read_text())


def test_shipped_weights_are_those_of_the_log(log):
    data = (FOLDER / "retinanet.safetensors").read_bytes()
    assert len(data) == log["bytes"] <= 1_500_000
    assert hashlib.sha256(data).hexdigest() == log["sha256"]
    net = weights.load_retinanet()
    assert sum(p.numel() for p in net.parameters()) == log["parameters"]
    assert count_macs(net, torch.zeros(1, 3, 64, 64)) == log["multiply_adds"]
    assert not net.training


def test_log_is_whole(log):
    assert log["rate"] == weights.RATE
    assert max(log["sweep"]["AP"], key=log["sweep"]["AP"].get) == f"{weights.RATE:g}"
    assert tuple(map(float, log["sweep"]["AP"])) == weights.SWEPT
    assert len(log["loss"]) == -(-log["steps"] // 50)
    assert log["held_out"]["scenes"] == TEST
    assert log["held_out"]["split"] == "test"


def test_the_setting_is_the_first_chapters(log):
    path = paper_path("mobile_former", "weights", "retinanet.json")
    theirs = json.loads(path.read_text())
    for key in ("seed", "scenes", "steps", "batch", "rate"):
        assert log[key] == theirs[key]


def test_shipped_weights_reach_the_logged_precision(log):
    # Other machines sum in another order: a box more or less may pass a threshold.
    net = weights.load_retinanet()
    images, boxes, labels = query_scenes(log["few"]["scenes"], 0, "test")
    found = net.detect(images / 255)
    truth = [dict(boxes=b, labels=c) for b, c in zip(boxes, labels, strict=True)]
    score = average_precision(found, truth)
    for key in ("AP", "AP50"):
        assert score[key] == pytest.approx(log["few"][key], abs=0.02)
