"""RetinaNet on Mobile-Former: its size, its training command, and what is shipped."""

import hashlib
import json

import pytest
import torch

from lib.assets import paper_path
from lib.layers.detection import RetinaNet
from lib.metrics import count_macs
from lib.papers.mobile_former import mobile_former, weights
from lib.papers.mobile_former.queries_training import query_scenes

SHORT = dict(steps=3, batch=4, scenes=8, held_out=4)
FOLDER = paper_path("mobile_former", "weights")


def size(module):
    return sum(p.numel() for p in module.parameters())


# At the size of the paper.


@pytest.fixture(scope="module")
def large():
    return RetinaNet(mobile_former("294M", num_classes=0), (48, 128, 192), 80).eval()


def test_size_at_the_size_of_the_paper(large):
    conv = 256 * 256 * 9 + 256
    backbone = 11_422_648 - 4_730_728 - 111_552  # without head and last bridge
    pyramid = 256 * (48 + 128 + 192) + 3 * 256 + 3 * conv  # laterals, 3x3 after sums
    pyramid += 192 * 256 * 9 + 256 + conv  # P6 and P7
    classes = 4 * conv + (256 * 9 + 1) * 9 * 80
    places = 4 * conv + (256 * 9 + 1) * 9 * 4
    assert size(large.backbone) == backbone
    assert size(large.fpn) == pyramid
    assert size(large) == backbone + pyramid + classes + places


def test_shapes_at_the_size_of_the_paper(large):
    with torch.no_grad():
        outputs = large(torch.randn(1, 3, 256, 320))
    places = [32 * 40, 16 * 20, 8 * 10, 4 * 5, 2 * 3]
    assert [x.shape for x in outputs.logits] == [(1, 9 * n, 80) for n in places]
    assert [x.shape for x in outputs.deltas] == [(1, 9 * n, 4) for n in places]
    # Anchors of 32 to 512 pixels, times up to 2^(2/3).
    for i, anchors in enumerate(outputs.anchors):
        side = (anchors[:9, 2:] - anchors[:9, :2]).prod(1).sqrt()
        torch.testing.assert_close(side.min(), torch.tensor(32.0 * 2**i))
    assert len(torch.cat(outputs.anchors)) == 9 * sum(places)


def test_heads_cost_most_at_the_size_of_the_paper(large):
    # The towers and the pyramid's 3x3 convolutions, place by place.
    x = torch.zeros(1, 3, 128, 128)
    p3, p4, p5, p6, p7 = (n * n for n in (16, 8, 4, 2, 1))
    conv = 256 * 256 * 9
    heads = (8 * conv + 256 * 9 * 9 * 84) * (p3 + p4 + p5 + p6 + p7)
    pyramid = conv * (p3 + p4 + p5 + p7) + 192 * 256 * 9 * p6
    pyramid += 256 * (48 * p3 + 128 * p4 + 192 * p5)
    backbone = count_macs(large.backbone, x, include_norm=False)
    assert count_macs(large, x, include_norm=False) == heads + pyramid + backbone
    assert heads > 10 * backbone


# At the size of the book.


def test_the_rival_has_at_least_the_multiply_adds():
    x = torch.zeros(1, 3, 64, 64)
    ours, rival = (weights.build_retinanet(arm) for arm in weights.ARMS)
    for whole in (True, False):
        cost = [count_macs(n if whole else n.backbone, x) for n in (ours, rival)]
        assert cost[0] <= cost[1] < 1.02 * cost[0]
    assert rival.backbone.switches.tokens == 0


@pytest.mark.parametrize("arm", list(weights.ARMS))
def test_training(arm, tmp_path):
    net, log = weights.train_retinanet(arm=arm, folder=tmp_path, **SHORT)
    again, same = weights.train_retinanet(arm=arm, **SHORT)
    assert not net.training
    x = query_scenes(2, 7)[0] / 255
    for ours, theirs in zip(net(x).logits, again(x).logits, strict=True):
        assert torch.equal(ours, theirs)
    assert log["loss"] == same["loss"]
    assert len(log["loss"]) == 1
    assert log["rate"] == weights.RATES[arm]
    assert 0 <= log["held_out"]["AP"] <= log["held_out"]["AP50"] <= 1
    written = json.loads((tmp_path / "retinanet.json").read_text())
    assert written["loss"] == log["loss"]
    data = (tmp_path / "retinanet.safetensors").read_bytes()
    assert written["sha256"] == hashlib.sha256(data).hexdigest()


def test_another_seed_trains_other_weights():
    nets = [weights.train_retinanet(seed, **SHORT)[0] for seed in (0, 1)]
    first, second = (torch.cat([p.flatten() for p in n.parameters()]) for n in nets)
    assert not torch.allclose(first, second)


def test_entries_join_the_log(tmp_path, monkeypatch):
    path = tmp_path / "retinanet.json"
    weights.extend_log(path, {"seed": 0, "sweep": 1})
    monkeypatch.setattr(weights, "train_retinanet", fake)
    entry = weights.sweep_rates(tmp_path, (0.1, 0.2), steps=7)
    assert entry["AP"] == {arm: {"0.1": 100.1, "0.2": 100.2} for arm in weights.ARMS}
    entry = weights.compare_backbones(tmp_path, (1, 2), steps=9)
    assert entry["seeds"] == [1, 2]
    assert entry["arms"]["mobile_wide"]["AP50"] == [1, 2]
    assert entry["arms"]["mobile_former"]["multiply_adds"] == 9
    log = json.loads(path.read_text())
    assert list(log) == ["seed", "sweep", "baseline"]
    assert log["sweep"]["steps"] == 7


def fake(seed, *, arm, steps, rate=0, split="test"):
    assert arm in weights.ARMS
    assert split == ("train" if rate else "test")
    held_out = dict(AP=seed + rate, AP50=seed, AP75=seed)
    cost = dict(multiply_adds=steps, multiply_adds_backbone=steps)
    return None, {"held_out": held_out, "rate": rate} | cost


def test_unknown_names():
    with pytest.raises(ValueError, match="arm='mobile'; allowed are mobile_former, mo"):
        weights.build_retinanet("mobile")
    with pytest.raises(ValueError, match="name='yolo'; allowed are 'retinanet', 'que"):
        weights.load_detector("yolo")


def test_command_line(tmp_path, monkeypatch, capsys):
    def train(folder):
        (folder / "weights").write_text("new")
        return {"AP": 0.5}

    monkeypatch.setitem(weights.COMMANDS, "retinanet", train)
    weights.main(["retinanet", "--folder", str(tmp_path / "new")])
    assert (tmp_path / "new" / "weights").read_text() == "new"
    assert json.loads(capsys.readouterr().out) == {"AP": 0.5}
    with pytest.raises(SystemExit):
        weights.main(["yolo"])
    assert "invalid choice: 'yolo'" in capsys.readouterr().err


def test_query_detector_is_imported_when_it_is_asked_for():
    assert callable(weights._later("train_queries"))
    assert callable(weights._later("load_queries"))


# What is shipped.


@pytest.fixture(scope="module")
def log():
    return json.loads((FOLDER / "retinanet.json").read_text())


@pytest.fixture(scope="module")
def shipped():
    return weights.load_detector("retinanet")


def test_shipped_weights_are_those_of_the_log(log, shipped):
    data = (FOLDER / "retinanet.safetensors").read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (
        log["bytes"],
        log["sha256"],
    )
    assert size(shipped) == log["parameters"]
    assert count_macs(shipped, torch.zeros(1, 3, 64, 64)) == log["multiply_adds"]
    assert not shipped.training


def test_detectors_are_small():
    total = sum(path.stat().st_size for path in FOLDER.glob("*.safetensors"))
    assert 0 < total <= 4_000_000


def test_log_is_whole(log):
    assert log["arm"] == "mobile_former"
    assert log["rate"] == weights.RATES["mobile_former"]
    assert len(log["loss"]) == -(-log["steps"] // 50)
    assert sum(log["loss"][-1]) < 0.25 * sum(log["loss"][0])
    assert log["seconds"] < 600
    assert log["held_out"]["scenes"] == weights.TEST
    assert log["held_out"]["split"] == "test"
    for found in log["sweep"]["AP"].values():
        assert tuple(map(float, found)) == weights.SWEPT
    for found in log["baseline"]["arms"].values():
        assert len(found["AP"]) == len(log["baseline"]["seeds"])
    ours, rival = (log["baseline"]["arms"][arm] for arm in weights.ARMS)
    assert rival["multiply_adds"] >= ours["multiply_adds"]


def test_shipped_weights_reach_the_logged_precision(log, shipped):
    # Other machines sum in another order: a box more or less may pass a threshold.
    few = log["few"]
    scenes = query_scenes(few["scenes"], 0, "test")
    found = weights.judge(shipped, *scenes)
    for key in ("AP", "AP50", "AP75"):
        assert found[key] == pytest.approx(few[key], abs=0.01)
        assert few[key] == pytest.approx(log["held_out"][key], abs=0.1)
    # The pictures are what it looks at.
    blank = weights.judge(shipped, torch.zeros_like(scenes[0]), *scenes[1:])
    assert blank["AP50"] < 0.05
