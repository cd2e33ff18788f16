"""Our CSWin is the authors': same weights, same picture, same numbers; the loader."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lib.assets import paper_path
from lib.layers import Mlp, StripeAttention
from lib.metrics.golden import (
    golden_excess,
    golden_input,
    golden_weights,
    read_golden,
)
from lib.papers.cswin import CSWin, cswin, load_official, official_outputs, translate

FILE = Path(__file__).parents[1] / "golden" / "cswin_tiny_224.json"


@pytest.fixture(scope="module")
def golden():
    return read_golden(FILE)


@pytest.fixture(scope="module")
def weights(golden):
    return golden_weights(golden)


@pytest.fixture
def model(weights):
    return load_official(cswin("T"), weights).eval()


def test_shipped_file_is_the_linked_one(golden):
    assert read_golden(paper_path("cswin", "golden", "tiny_224.json")) == golden


def test_parameters_and_keys(golden, model):
    assert sum(p.numel() for p in model.parameters()) == golden["params"]
    assert len(golden["state"]) == len(model.state_dict())


def test_output_and_everything_recorded_inside(golden, model):
    found = official_outputs(model, golden_input(golden))
    for name, summary in (
        golden["intermediate"] | {"output": golden["output"]}
    ).items():
        values = found[name].double().contiguous().numpy()
        assert list(values.shape) == summary["shape"], name
        flat = values.reshape(-1)
        for got, want in [
            (flat.mean(), summary["mean"]),
            (flat.std(), summary["std"]),
            (flat.min(), summary["min"]),
            (flat.max(), summary["max"]),
            (flat[:32], summary["first"]),
            (flat[summary["probe"]["index"]], summary["probe"]["value"]),
        ]:
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5, err_msg=name)
        assert golden_excess(summary, found[name]) <= 1


def test_official_outputs_leave_no_hooks(model):
    official_outputs(model, torch.zeros(1, 3, 64, 64))
    assert not any(module._forward_hooks for module in model.modules())


def tanh_gelu(model):
    for module in model.modules():
        if isinstance(module, Mlp):
            module.forward = lambda x, m=module: m.narrow(
                F.gelu(m.widen(x), approximate="tanh")
            )


def loosen_norms(model):
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-3


def lepe_on_the_whole_map(model):
    for branch in model.modules():
        if isinstance(branch, StripeAttention):
            conv, branch.lepe, attend = branch.lepe.conv, None, branch.forward
            branch.forward = lambda q, k, v, conv=conv, attend=attend: (
                attend(q, k, v) + conv(v.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
            )


def horizontal_first(model):
    for stage in list(model.stages)[:3]:
        for block in stage:
            first, second = block.attention.branches
            first.orientation, second.orientation = "horizontal", "vertical"


def stripes_in_the_last_stage(model):
    for block in model.stages[3]:
        (branch,) = block.attention.branches
        branch.orientation, branch.stripe = "horizontal", 1


def pool_before_the_norm(model):
    model.norms[-1].forward = lambda x, norm=model.norms[-1]: F.layer_norm(
        x.mean(dim=(1, 2), keepdim=True), (512,), norm.weight, norm.bias
    )


@pytest.mark.parametrize(
    "spoil",
    [
        tanh_gelu,
        loosen_norms,
        lepe_on_the_whole_map,
        horizontal_first,
        stripes_in_the_last_stage,
        pool_before_the_norm,
    ],
)
def test_comparison_sees_a_spoiled_network(golden, model, spoil):
    spoil(model)
    with torch.no_grad():
        logits = model(golden_input(golden))
    assert golden_excess(golden["output"], logits) > 1


# The loader, on made-up checkpoints with the official names.


def official_state(dim, depths, *, classes=0):
    """Make weights with the names and shapes of the official modules.

    With classes those of the classifier, without those of the body for segmentation.
    """
    shapes = {}

    def affine(name, *shape):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[:1]

    affine("stage1_conv_embed.0", dim, 3, 7, 7)
    affine("stage1_conv_embed.2", dim)
    for i, depth in enumerate(depths, start=1):
        C = dim * 2 ** (i - 1)
        if i > 1:
            affine(f"merge{i - 1}.conv", C, C // 2, 3, 3)
            affine(f"merge{i - 1}.norm", C)
        for block in (f"stage{i}.{j}" for j in range(depth)):
            affine(f"{block}.qkv", 3 * C, C)
            affine(f"{block}.norm1", C)
            affine(f"{block}.proj", C, C)
            branches = 1 if i == len(depths) else 2
            for k in range(branches):
                affine(f"{block}.attns.{k}.get_v", C // branches, 1, 3, 3)
            affine(f"{block}.mlp.fc1", 4 * C, C)
            affine(f"{block}.mlp.fc2", C, 4 * C)
            affine(f"{block}.norm2", C)
        if not classes:
            affine(f"norm{i}", C)
    if classes:
        affine("norm", C)
        affine("head", classes, C)
    return {name: torch.randn(shape) for name, shape in shapes.items()}


DEPTHS = (1, 2, 1, 1)


def tiny(**options):
    return CSWin(8, DEPTHS, (1, 2, 2, 2), (2, 2, 4, 4), **{"num_classes": 5} | options)


@pytest.fixture
def classifier():
    return official_state(8, DEPTHS, classes=5)


@pytest.fixture
def body():
    return official_state(8, DEPTHS)


def test_made_up_names_are_the_official_ones(golden):
    made = official_state(64, (1, 2, 21, 1), classes=1000)
    want = {key: tuple(shape) for key, shape in golden["state"]}
    assert {key: tuple(value.shape) for key, value in made.items()} == want


def equal(model, state):
    """Say whether a model holds exactly these official weights."""
    ours = model.state_dict()
    pairs = translate(state).items()
    return all(torch.equal(ours[key], value) for key, value in pairs)


def test_loads_classifier_and_body(classifier, body):
    model = load_official(tiny(), classifier)
    assert equal(model, classifier)
    assert torch.equal(model.head.weight, classifier["head.weight"])
    assert torch.equal(model.norms[3].weight, classifier["norm.weight"])
    model = load_official(tiny(num_classes=0), body)
    assert equal(model, body)
    for i in range(4):
        assert torch.equal(model.norms[i].bias, body[f"norm{i + 1}.bias"])


def test_averaged_weights_come_first(classifier):
    raw = {key: torch.zeros_like(value) for key, value in classifier.items()}
    both = {"epoch": 3, "state_dict": raw, "state_dict_ema": classifier}
    assert equal(load_official(tiny(), both), classifier)
    assert equal(load_official(tiny(), {"state_dict": raw}), raw)
    assert equal(load_official(tiny(), {"model": raw}), raw)
    late = {"state_dict": raw, "state_dict_ema": None}
    assert equal(load_official(tiny(), late), raw)


@pytest.mark.parametrize("kind", [str, Path])
def test_reads_a_file(classifier, tmp_path, kind):
    path = tmp_path / "released.pth"
    state = {f"module.{key}": value for key, value in classifier.items()}
    torch.save({"state_dict_ema": state, "args": argparse.Namespace(lr=1e-3)}, path)
    assert equal(load_official(tiny(), kind(path)), classifier)


def test_takes_the_body_of_a_segmentation_network(body):
    whole = {f"backbone.{key}": value for key, value in body.items()}
    whole["decode_head.conv_seg.weight"] = torch.zeros(150, 512, 1, 1)
    whole["auxiliary_head.conv_seg.weight"] = torch.zeros(150, 256, 1, 1)
    checkpoint = {"meta": {"epoch": 1}, "state_dict": whole, "optimizer": {}}
    assert equal(load_official(tiny(num_classes=0), checkpoint), body)


def test_body_from_a_classifier_keeps_its_norms(classifier):
    model = tiny(num_classes=0)
    for norm in model.norms:
        nn.init.normal_(norm.weight)
    norms = [norm.weight.clone() for norm in model.norms]
    load_official(model, classifier)
    assert all(map(torch.equal, norms, (norm.weight for norm in model.norms)))
    trained = {
        key: value
        for key, value in classifier.items()
        if not key.startswith(("head.", "norm."))
    }
    assert equal(model, trained)


def test_features_do_not_depend_on_the_way_the_weights_came(classifier):
    x = torch.randn(1, 3, 64, 64)
    ours = load_official(tiny(), classifier).eval().features(x)
    body = load_official(tiny(num_classes=0), classifier).eval().features(x)
    for one, other in zip(ours[:3], body[:3], strict=True):
        torch.testing.assert_close(one, other)


class Harm:
    def __reduce__(self):
        return (exec, ("raise RuntimeError('code was run')",))


def test_runs_no_code_from_a_file(tmp_path):
    torch.save({"state_dict": Harm()}, tmp_path / "harm.pth")
    with pytest.raises(Exception, match="Weights only load failed"):
        load_official(tiny(), tmp_path / "harm.pth")


def test_names_what_does_not_fit(classifier, body):
    model = tiny()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fewer = {k: v for k, v in classifier.items() if k != "stage2.1.qkv.bias"}
    with pytest.raises(ValueError, match=r"1 missing: stages\.1\.1\.attention\.qkv\."):
        load_official(model, fewer)
    with pytest.raises(ValueError, match=r"1 unexpected: pos_embed"):
        load_official(model, classifier | {"pos_embed": torch.ones(1)})
    with pytest.raises(ValueError, match=r"1 of another shape: stage1_conv_embed\.0"):
        load_official(model, classifier | {"stage1_conv_embed.0.bias": torch.ones(1)})
    with pytest.raises(ValueError, match=r"missing: head\.weight, .*unexpected: norm1"):
        load_official(model, body)
    with pytest.raises(ValueError, match=r"holds epoch, lr; needed is a state dict"):
        load_official(model, {"epoch": 1, "lr": 0.1})
    other = official_state(8, DEPTHS, classes=7)
    with pytest.raises(ValueError, match=r"2 of another shape: head\.weight, head\.b"):
        load_official(model, other)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), "a refused load must change nothing"


def test_other_variant_does_not_fit(weights):
    with torch.device("meta"):
        small = cswin("S")
    with pytest.raises(ValueError, match=r"missing: stages\.0\.1\.norm1"):
        load_official(small, weights)


def test_translation_is_one_to_one(weights, body):
    assert len(set(translate(weights))) == len(weights)
    assert len(set(translate(body))) == len(body)
    assert translate({"unknown": torch.ones(1)}).keys() == {"unknown"}
