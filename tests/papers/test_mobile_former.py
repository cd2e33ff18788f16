"""The whole network: sizes, order, switches, any picture, both memory layouts."""

import pytest
import torch
from torch import nn

from lib.layers import (
    ConvBNAct,
    DynamicReLU,
    FormerToMobile,
    MobileToFormer,
    PostNormBlock,
    SpatialDynamicReLU,
    SqueezeExcite,
    fuse,
)
from lib.metrics import count_macs
from lib.papers.mobile_former import (
    NANO,
    VARIANTS,
    LiteBottleneck,
    MobileBlock,
    MobileDownBlock,
    MobileFormer,
    MobileFormerBlock,
    Switches,
    build_block,
    mobile_former,
    widen,
)
from lib.papers.mobile_former.model import ACTS, BRIDGES

SIZES = {
    "26M": 3_232_788,
    "52M": 3_469_092,
    "96M": 4_585_252,
    "151M": 7_595_828,
    "214M": 9_425_920,
    "294M": 11_422_648,
    "508M": 13_976_976,
}


def size(model):
    return sum(p.numel() for p in model.parameters())


def nano(**switches):
    return MobileFormer(**NANO | {"num_classes": 5} | switches)


def count(model, kind):
    return sum(isinstance(m, kind) for m in model.modules())


def test_sizes_cover_all_variants():
    assert list(SIZES) == list(VARIANTS)


@pytest.mark.parametrize("variant", SIZES)
def test_parameters(variant):
    assert size(mobile_former(variant)) == SIZES[variant]


def test_unknown_names():
    with pytest.raises(ValueError, match=r"variant='300M'; allowed are 26M, .*508M"):
        mobile_former("300M")
    with pytest.raises(ValueError, match=r"bridge='one way'; allowed are .*'both'"):
        nano(bridge="one way")
    with pytest.raises(ValueError, match=r"act='gelu'; allowed are .*'relu6'"):
        nano(act="gelu")
    with pytest.raises(ValueError, match="tokens=-1"):
        nano(tokens=-1)
    with pytest.raises(ValueError, match="act='dynamic' needs tokens"):
        nano(tokens=0)
    with pytest.raises(ValueError, match=r"act='spatial' .* bridge='to_mobile'"):
        nano(act="spatial", bridge="to_mobile")
    with pytest.raises(ValueError, match="width=0"):
        nano(width=0)
    with pytest.raises(ValueError, match="num_classes=-1"):
        nano(num_classes=-1)
    with pytest.raises(ValueError, match="kind='MF-up'"):
        build_block(("MF-up", 16, 8), 8, Switches(tokens=1, dim=8))


# The order inside a block.


def block():
    return build_block(("MF", 16, 8), 8, Switches(tokens=3, dim=32))


def reaches(output, parameter):
    (gradient,) = torch.autograd.grad(output, parameter, allow_unused=True)
    return gradient is not None and bool(gradient.abs().sum() > 0)


def test_who_depends_on_whom():
    b = block()
    for parameter in b.parameters():
        nn.init.normal_(parameter, std=0.3)
    x, tokens = torch.randn(2, 8, 5, 5), torch.randn(2, 3, 32)

    def run():
        y, z = b(x, tokens)
        # A bare sum of normalised tokens would have no gradient.
        return y.square().sum(), (z * torch.linspace(-1, 1, z.numel()).view_as(z)).sum()

    assert reaches(run()[1], b.to_former.query.weight)
    assert reaches(run()[1], b.former.query.weight)
    assert not reaches(run()[1], b.mobile.widen.conv.weight), "the look sees the input"
    assert not reaches(run()[1], b.to_mobile.key.weight)
    for part in (b.to_former.query, b.former.query, b.mobile.act1.slopes[0]):
        assert reaches(run()[0], part.weight)
    assert reaches(run()[0], b.to_mobile.value.weight)
    b.to_mobile = None  # what still reaches the map went through dynamic ReLU
    assert reaches(run()[0], b.former.query.weight)


def test_block_is_its_parts_in_order():
    b = block().eval()
    x, tokens = torch.randn(2, 8, 5, 5), torch.randn(2, 3, 32)
    z = b.former(b.to_former(x, tokens))
    y = b.to_mobile(b.mobile(x, z[:, 0]), z)
    got_y, got_z = b(x, tokens)
    assert torch.equal(got_y, y)
    assert torch.equal(got_z, z)


def test_only_the_first_token_steers():
    b = block().eval()
    b.former = b.to_mobile = b.to_former = None
    nn.init.normal_(b.mobile.act1.slopes[2].weight)
    x, tokens = torch.randn(2, 8, 5, 5), torch.randn(2, 3, 32)
    y, _ = b(x, tokens)
    other = tokens.clone()
    other[:, 1:] += 1
    assert torch.equal(b(x, other)[0], y)
    other[:, 0] = torch.randn(2, 32) * 10
    nn.init.normal_(b.mobile.act1.slopes[0].weight)
    assert not torch.equal(b(x, other)[0], b(x, tokens)[0])


# Mobile's blocks.


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("out", [8, 12])
def test_lite_bottleneck(stride, out):
    lite = LiteBottleneck(8, 16, out, stride=stride).eval()
    x = torch.randn(2, 8, 7, 6)
    y = lite.narrow(torch.nn.functional.relu6(lite.widen(x)))
    if stride == 1 and out == 8:
        y = y + x
    torch.testing.assert_close(lite(x), y)
    assert lite.widen.conv.groups == 8


@pytest.mark.parametrize("out", [8, 12])
def test_mobile_block(out):
    mobile = MobileBlock(8, 16, out).eval()
    x = torch.randn(2, 8, 5, 5)
    y = torch.nn.functional.relu6(mobile.widen(x))
    y = mobile.narrow(torch.nn.functional.relu6(mobile.depthwise(y)))
    torch.testing.assert_close(mobile(x), x + y if out == 8 else y)


def test_mobile_down_block():
    down = MobileDownBlock(8, (16, 24), 12).eval()
    x = torch.randn(2, 8, 7, 6)
    assert down(x).shape == (2, 12, 4, 3)
    torch.testing.assert_close(down(x), down.refine(down.down(x)))
    assert not down.down.add_input
    assert down.refine.add_input


def test_skip_is_left_out_where_the_width_changes():
    model = mobile_former("294M")
    skips = [b.mobile.add_input for b in model.blocks if hasattr(b.mobile, "add_input")]
    # lite, MF 24, MF 48, MF 96, MF 96->128, MF 128, MF 192, MF 192
    assert skips == [True, True, True, True, False, True, True, True]


# Pictures of any size.


@pytest.mark.parametrize("shape", [(96, 96), (100, 68), (224, 224)])
@pytest.mark.parametrize("variant", ["26M", "294M"])
def test_features_at_any_size(variant, shape):
    model = mobile_former(variant).eval()
    with torch.no_grad():
        maps = model.features(torch.randn(1, 3, *shape))
        assert model(torch.randn(1, 3, *shape)).shape == (1, 1000)
    widths = {"26M": [12, 24, 64, 96], "294M": [24, 48, 128, 192]}[variant]
    assert [m.shape[1] for m in maps] == widths
    for stride, m in zip((4, 8, 16, 32), maps, strict=True):
        assert m.shape[2:] == tuple(-(-n // stride) for n in shape)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("shape", [(32, 32), (50, 34)])
def test_channels_last(act, shape):
    model = nano(act=act).eval()
    x = torch.randn(2, 3, *shape)
    with torch.no_grad():
        y = model(x)
        model = model.to(memory_format=torch.channels_last)
        z = model(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(z, y, rtol=1e-4, atol=1e-5)


def test_channels_last_grouped():
    model = mobile_former("26M").eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        y = model(x)
        model = model.to(memory_format=torch.channels_last)
        z = model(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(z, y, rtol=1e-4, atol=1e-5)


def test_pictures_of_a_batch_do_not_mix():
    model = nano().eval()
    x = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(x)[1:2], model(x[1:2]), rtol=1e-4, atol=1e-5)


# Switches.


SWITCHES = [
    (bridge, act, tokens)
    for bridge in BRIDGES
    for act in ACTS
    for tokens in (0, 1, 4)
    if (tokens or act == "relu6")
    and (act != "spatial" or bridge in ("both", "to_former"))
]


@pytest.mark.parametrize(("bridge", "act", "tokens"), SWITCHES)
def test_all_switches_learn(bridge, act, tokens):
    model = nano(bridge=bridge, act=act, tokens=tokens)
    model(torch.randn(4, 3, 32, 32)).square().sum().backward()
    unused = {n for n, p in model.named_parameters() if p.grad is None and p.numel()}
    assert not unused, unused
    bridges = (count(model, MobileToFormer), count(model, FormerToMobile))
    assert bridges == (
        5 if tokens and bridge in ("both", "to_former") else 0,
        4 if tokens and bridge in ("both", "to_mobile") else 0,
    )
    assert count(model, PostNormBlock) == (4 if tokens else 0)
    assert count(model, DynamicReLU) == (8 if act == "dynamic" else 0)
    assert count(model, SpatialDynamicReLU) == (8 if act == "spatial" else 0)


@pytest.mark.parametrize("num_classes", [0, 7])
def test_head(num_classes):
    model = nano(num_classes=num_classes).eval()
    x = torch.randn(2, 3, 32, 32)
    if num_classes:
        assert model(x).shape == (2, num_classes)
    else:
        assert model(x).shape == (2, 24, 4, 4)
        assert torch.equal(model(x), model.features(x)[-1])
        assert model.look is model.head is None


def test_nano_maps():
    maps = nano().features(torch.randn(2, 3, 32, 32))
    assert [tuple(m.shape) for m in maps] == [(2, 12, 8, 8), (2, 24, 4, 4)]


def test_squeeze_excite():
    model = nano(tokens=0, act="relu6", squeeze_excite=True)
    assert count(model, SqueezeExcite) == 2 + 4  # one a block, two where it is halved
    assert size(model) > size(nano(tokens=0, act="relu6"))


def test_gate_and_projections():
    with_gate, without = (
        size(mobile_former("294M")),
        size(mobile_former("294M", gate=False)),
    )
    widths = [16, 24, 24, 48, 48, 96, 96, 128, 128, 192, 192, 192]
    assert with_gate - without == sum(192 * c + c for c in widths)
    standard = size(mobile_former("294M", project_kv=True))
    assert standard - with_gate == 11 * 2 * (192 * 192 + 192)


def test_wider():
    assert widen(8, NANO["blocks"], 1.0) == (8, NANO["blocks"])
    assert widen(8, NANO["blocks"], 1.5) == (
        12,
        [
            ("lite", 24, 12),
            ("MF-down", (48, 72), 18),
            ("MF", 72, 18),
            ("MF-down", (108, 144), 36),
            ("MF", 144, 36),
        ],
    )
    stem, rows = widen(8, VARIANTS["26M"]["blocks"], 1.3, groups=4)
    assert all(n % 4 == 0 for n in [stem, *(row[2] for row in rows)])
    x = torch.zeros(1, 3, 32, 32)
    plain = {"tokens": 0, "act": "relu6"}
    macs = [count_macs(nano(width=w, **plain), x) for w in (0.5, 1, 1.25, 1.5, 2)]
    assert macs == sorted(macs)
    assert nano(width=1.5)(torch.randn(2, 3, 32, 32)).shape == (2, 5)
    wide = mobile_former("26M", width=1.3).eval()
    assert wide(torch.randn(1, 3, 64, 64)).shape == (1, 1000)


# Start, training, inference.


def test_starting_values():
    torch.manual_seed(0)
    model = mobile_former("294M")
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            k, out = module.kernel_size[0], module.out_channels
            expected = (2 / (k * k * out)) ** 0.5
            if module.weight.numel() > 1000:
                assert module.weight.std().item() == pytest.approx(expected, rel=0.1), (
                    name
                )
        elif isinstance(module, nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.01, rel=0.1), name
            assert (module.bias == 0).all()
        elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d | nn.LayerNorm):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
    assert model.tokens.std().item() == pytest.approx(1, rel=0.1)


def test_gate_and_slopes_start_neutral():
    model = mobile_former("52M").eval()
    seen = []
    for module in model.modules():
        if isinstance(module, DynamicReLU):
            module.register_forward_hook(
                lambda m, inputs, output: seen.append(m.coefficients(inputs[1]))
            )
    gates = []
    for module in model.modules():
        if isinstance(module, MobileToFormer):
            module.gate.register_forward_hook(
                lambda m, inputs, output: gates.append(
                    2 * nn.functional.hardsigmoid(output)
                )
            )
    with torch.no_grad():
        model(torch.randn(1, 3, 64, 64))
    assert len(seen) == 16
    assert len(gates) == 9
    for a1, a2 in seen:
        assert (a1 - 1).abs().max() < 0.02
        assert a2.abs().max() < 0.02
    for gate in gates:
        assert (gate - 1).abs().max() < 0.25
        assert gate.mean().item() == pytest.approx(1, abs=0.03)


def test_training_step_lowers_the_loss():
    model = nano(drop_path=0.1, dropout=0.1)
    x, y = torch.randn(16, 3, 32, 32), torch.arange(16) % 5
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        loss = nn.functional.cross_entropy(model(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_fused_is_equal():
    model = mobile_former("26M").eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = model(x)
        torch.testing.assert_close(fuse(model)(x), before, rtol=1e-4, atol=1e-5)
    assert count(model, nn.BatchNorm2d) == 0
    assert count(model, ConvBNAct) > 0


# Looking inside.


def test_trace():
    model = nano().eval()
    x = torch.randn(2, 3, 32, 32)
    steps = model.trace(x)
    assert len(steps) == 5
    assert steps[0].to_former is steps[0].to_mobile is None
    inside = [(16, 8), (8, 8), (8, 4), (4, 4)]  # maps before and after
    for step, (before, after) in zip(steps[1:], inside, strict=True):
        assert step.tokens.shape == (2, 4, 48)
        assert step.to_former.shape == (2, 2, 4, before, before)
        assert step.to_mobile.shape == (2, 2, 4, after, after)
        ones = torch.ones(())
        torch.testing.assert_close(step.to_former.sum((-2, -1)), ones.expand(2, 2, 4))
        torch.testing.assert_close(
            step.to_mobile.sum(2), ones.expand(2, 2, after, after)
        )
        assert not step.tokens.requires_grad
    torch.testing.assert_close(steps[-1].image, model.features(x)[-1])
    assert not any(m._forward_hooks for m in model.modules())


def test_trace_attention_is_what_the_block_used():
    model = nano().eval()
    x = torch.randn(1, 3, 32, 32)
    before, here = model.trace(x)[2:4]
    b = model.blocks[3]
    weights = here.to_former[0].flatten(2)  # (h, M, N)
    pixels = before.image[0].flatten(1)  # (C, N)
    found = torch.cat(
        [weights[h] @ part.T for h, part in enumerate(pixels.chunk(2))], dim=1
    )
    look = b.to_former
    gate = 2 * nn.functional.hardsigmoid(look.gate(before.tokens[0]))
    tokens = look.norm(before.tokens[0] + look.out(found * gate))
    torch.testing.assert_close(
        b.former(tokens[None]), here.tokens, rtol=1e-4, atol=1e-5
    )


def test_trace_without_tokens():
    steps = nano(tokens=0, act="relu6").eval().trace(torch.randn(1, 3, 32, 32))
    assert all(s.to_former is s.to_mobile is None for s in steps)
    assert steps[-1].tokens.shape == (1, 0, 48)


def test_block_without_bridges_is_mobile():
    mobile = MobileBlock(8, 16, 8).eval()
    x, tokens = torch.randn(1, 8, 4, 4), torch.randn(1, 2, 6)
    y, z = MobileFormerBlock(mobile)(x, tokens)
    assert torch.equal(y, mobile(x))
    assert z is tokens
