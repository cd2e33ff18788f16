"""Our Mobile-Former is the authors': same weights, same picture, same numbers."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lib.assets import paper_path
from lib.metrics.golden import (
    ATOL,
    RTOL,
    golden_excess,
    golden_input,
    golden_value,
    golden_weights,
    read_golden,
)
from lib.papers.mobile_former import (
    load_official,
    mobile_former,
    official_outputs,
    translate,
)

FILES = {
    "294M": Path(__file__).parents[1] / "golden" / "mobile_former_294m.json",
    "26M": Path(__file__).parents[1] / "golden" / "mobile_former_26m.json",
}


@pytest.fixture(scope="module", params=FILES)
def golden(request):
    return request.param, read_golden(FILES[request.param])


@pytest.fixture(scope="module")
def model(golden):
    variant, recorded = golden
    return load_official(mobile_former(variant), golden_weights(recorded)).eval()


@pytest.fixture(scope="module")
def found(golden, model):
    return official_outputs(model, golden_input(golden[1]))


def test_shipped_file_is_the_linked_one(golden):
    variant, recorded = golden
    name = f"{variant.lower()}.json"
    assert read_golden(paper_path("mobile_former", "golden", name)) == recorded


def test_parameters(golden, model):
    assert sum(p.numel() for p in model.parameters()) == golden[1]["params"]


def test_every_official_key_is_used(golden, model):
    assert len(golden[1]["state"]) == len(model.state_dict())


def test_output_and_everything_recorded_inside(golden, found):
    _, recorded = golden
    for name, summary in (
        recorded["intermediate"] | {"output": recorded["output"]}
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


def test_forward_is_what_was_recorded(golden, model):
    _, recorded = golden
    with torch.no_grad():
        logits = model(golden_input(recorded))
    assert golden_excess(recorded["output"], logits) <= 1


def swap_gelu(model):
    for module in model.modules():
        if isinstance(module, nn.GELU):
            module.approximate = "tanh"


def drop_gate(model):
    for module in model.modules():
        if hasattr(module, "gate"):
            module.gate = None


def loosen_norms(model):
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-3


def two_former_heads(model):
    for block in model.blocks:
        if block.former is not None:
            block.former.heads = 2


def shuffle_less(model):
    for module in model.modules():
        if getattr(module, "shuffle", 1) > 1:
            module.shuffle = 1


@pytest.mark.parametrize(
    ("variant", "spoil"),
    [
        ("294M", swap_gelu),
        ("294M", drop_gate),
        ("294M", loosen_norms),
        ("294M", two_former_heads),
        ("26M", shuffle_less),
    ],
)
def test_comparison_sees_a_spoiled_network(variant, spoil):
    recorded = read_golden(FILES[variant])
    model = load_official(mobile_former(variant), golden_weights(recorded)).eval()
    spoil(model)
    with torch.no_grad():
        logits = model(golden_input(recorded))
    assert golden_excess(recorded["output"], logits) > 1


def test_excess_is_in_units_of_the_tolerance():
    y = torch.linspace(-2, 2, 100)
    f = y.double().numpy()
    summary = {
        "shape": [100],
        "mean": f.mean(),
        "std": f.std(),
        "min": f.min(),
        "max": f.max(),
        "first": f[:32].tolist(),
        "probe": {"index": [50], "value": [f[50]]},
    }
    assert golden_excess(summary, y) == 0
    off = y.clone()
    off[3] += 3 * (ATOL + RTOL * abs(off[3]))
    assert golden_excess(summary, off) == pytest.approx(3, rel=1e-2)
    with pytest.raises(ValueError, match=r"shape \[99\], not \[100\]"):
        golden_excess(summary, y[1:])


def test_rule_of_every_kind_of_tensor():
    assert golden_value("bn.num_batches_tracked", []).dtype == np.int64
    assert (golden_value("bn.running_var", [50]) >= 1).all()
    assert abs(golden_value("bn.running_mean", [500])).max() < 1
    assert golden_value("bn.weight", [500]).mean() == pytest.approx(1, abs=0.02)
    assert golden_value("fc.bias", [500]).std() == pytest.approx(0.1, abs=0.02)
    assert golden_value("conv.weight", [64, 25, 1, 1]).std() == pytest.approx(0.2, 0.1)
    assert golden_value("slope", [500]).std() == pytest.approx(0.1, abs=0.02)
    assert (golden_value("a", [3]) == golden_value("a", [3])).all()
    assert (golden_value("a", [3]) != golden_value("b", [3])).all()


def test_pictures_in_unit_range_by_rule():
    x = golden_input(
        {"input": {"shape": [1, 3, 4, 4], "rule": "RandomState(0).rand(*shape)"}}
    )
    assert 0 <= x.min() <= x.max() <= 1


# The loader.


@pytest.fixture(scope="module")
def official():
    return golden_weights(read_golden(FILES["26M"]))


def test_loads_checkpoint_dict_and_path(official, tmp_path):
    path = tmp_path / "released.pth"
    state = {f"module.{key}": value for key, value in official.items()}
    torch.save({"state_dict": state, "args": argparse.Namespace(lr=1e-3)}, path)
    from_path = load_official(mobile_former("26M"), path).state_dict()
    from_dict = load_official(
        mobile_former("26M"), {"state_dict": official}
    ).state_dict()
    for key, value in (
        load_official(mobile_former("26M"), official).state_dict().items()
    ):
        assert torch.equal(value, from_path[key])
        assert torch.equal(value, from_dict[key])


class Harm:
    def __reduce__(self):
        return (exec, ("raise RuntimeError('code was run')",))


def test_runs_no_code_from_a_file(tmp_path):
    torch.save({"state_dict": Harm()}, tmp_path / "harm.pth")
    with pytest.raises(Exception, match="Weights only load failed"):
        load_official(mobile_former("26M"), tmp_path / "harm.pth")


def test_names_what_does_not_fit(official):
    model = mobile_former("26M")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fewer = {k: v for k, v in official.items() if k != "features.3.hyper1.hyper.0.bias"}
    with pytest.raises(
        ValueError, match=r"1 missing: blocks\.3\.mobile\.act1\.slopes\.0\.bias"
    ):
        load_official(model, fewer)
    with pytest.raises(ValueError, match=r"1 unexpected: ema\.decay"):
        load_official(model, official | {"ema.decay": torch.ones(1)})
    with pytest.raises(ValueError, match=r"1 of another shape: stem\.0\.weight"):
        load_official(model, official | {"stem.0.weight": torch.ones(1)})
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), "a refused load must change nothing"


def test_other_variant_does_not_fit(official):
    with pytest.raises(ValueError, match="of another shape"):
        load_official(mobile_former("52M"), official)


def test_translation_is_one_to_one(official):
    assert len(set(translate(official))) == len(official)


def test_official_outputs_need_head_and_bridge():
    with pytest.raises(ValueError, match="no head or no bridge"):
        official_outputs(mobile_former("26M", num_classes=0), torch.zeros(1, 3, 32, 32))
