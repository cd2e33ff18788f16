"""The whole network: sizes, switches, any picture, starting values, memory."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from lib.layers import CrossShapedAttention, PreNormBlock
from lib.papers.cswin import STRIPES, VARIANTS, CSWin, cswin, model
from lib.papers.cswin.model import map_sizes

SIZES = {"T": 22_320_552, "S": 34_643_304, "B": 77_382_184, "L": 173_262_664}
BODIES = {"T": 21_808_448, "S": 34_131_200, "B": 76_614_528, "L": 172_111_680}

NANO = dict(dim=8, depths=(1, 2, 1), stripes=(1, 2, 2), heads=(2, 4, 4))


def shapes(variant, *args, **options):
    """Build a network that has shapes and no numbers."""
    with torch.device("meta"):
        return cswin(variant, *args, **options)


def size(net):
    return sum(p.numel() for p in net.parameters())


def nano(**options):
    return CSWin(**NANO | {"patch": (3, 2, 1), "num_classes": 5} | options)


def blocks(net):
    return [b for stage in net.stages for b in stage if isinstance(b, PreNormBlock)]


def kinds(net):
    """Name the directions of every block's branches, stage by stage."""
    return [
        ["+".join(branch.orientation for branch in b.attention.branches) for b in stage]
        for stage in net.stages
    ]


# Published networks.


def test_sizes_cover_all_variants():
    assert list(SIZES) == list(VARIANTS) == list(BODIES)


@pytest.mark.parametrize("variant", SIZES)
def test_parameters(variant):
    assert size(shapes(variant)) == SIZES[variant]
    assert size(shapes(variant, 384)) == SIZES[variant]
    assert size(shapes(variant, segmentation=True)) == BODIES[variant]


@pytest.mark.parametrize("variant", SIZES)
def test_body_and_classifier_differ_in_norms_and_head(variant):
    net, body = shapes(variant), shapes(variant, segmentation=True)
    assert net.head is not None
    assert body.head is None
    norms = size(body.norms) - size(net.norms)
    assert size(net) - size(net.head) + norms == size(body)


@pytest.mark.parametrize(("side", "widths"), STRIPES.items())
def test_directions(side, widths):
    net = shapes("T", side)
    both = "vertical+horizontal"
    assert kinds(net) == [[both], [both] * 2, [both] * 21, ["full"]]
    for stage, stripe in zip(net.stages[:3], widths[:3], strict=True):
        assert {b.attention.branches[0].stripe for b in stage} == {stripe}


def test_stripe_that_covers_the_map_is_full_attention():
    assert kinds(shapes("T", stripes=(1, 2, 14, 7)))[2] == ["full"] * 21
    covered = kinds(nano(resolution=8, stripes=(4, 2, 1)))
    assert covered == [["full"], ["full"] * 2, ["full"]]
    assert kinds(nano(resolution=(8, 12), stripes=(4, 2, 1)))[0] != ["full"]
    body = shapes("T", segmentation=True, stripes=(1, 2, 14, 7))
    assert kinds(body)[2] == ["vertical+horizontal"] * 21
    assert kinds(body)[3] == ["full"]


def test_full_last_is_a_switch_and_needs_several_stages():
    assert kinds(nano())[-1] == ["full"]
    assert kinds(nano(full_last=False))[-1] == ["vertical+horizontal"]
    one = CSWin(8, (2,), (1,), (2,), patch=(2, 2, 0), num_classes=0)
    assert kinds(one) == [["vertical+horizontal"] * 2]


def test_heads():
    def heads(net):
        return [sum(br.heads for br in s[0].attention.branches) for s in net.stages]

    assert heads(shapes("B")) == [4, 8, 16, 32]
    assert heads(shapes("L")) == [6, 12, 24, 24]
    assert heads(shapes("L", segmentation=True)) == [6, 12, 24, 48]
    assert heads(shapes("L", heads=(6, 12, 24, 48))) == [6, 12, 24, 48]


@pytest.mark.parametrize(
    ("variant", "rate", "body"),
    [("T", 0.2, 0.3), ("S", 0.4, 0.4), ("B", 0.5, 0.6), ("L", 0.2, 0.6)],
)
def test_drop_path_rises_to_the_published_rate(variant, rate, body):
    for net, most in (
        (shapes(variant), rate),
        (shapes(variant, segmentation=True), body),
    ):
        rates = [b.drop_path.rate for b in blocks(net)]
        want = torch.linspace(0, most, len(rates))  # as the official code does it
        torch.testing.assert_close(torch.tensor(rates), want)


def test_unknown_names():
    with pytest.raises(ValueError, match=r"variant='X'; allowed are T, S, B, L"):
        cswin("X")
    with pytest.raises(ValueError, match="num_classes=-1"):
        nano(num_classes=-1)
    with pytest.raises(ValueError, match=r"depths=\(1, 2\), .* one entry a stage"):
        nano(depths=(1, 2))
    with pytest.raises(ValueError, match=r"depths=\(1, 0, 1\); allowed are 1 and"):
        nano(depths=(1, 0, 1))
    with pytest.raises(ValueError, match=r"stripe=0; allowed are 1"):
        nano(stripes=(0, 1, 1))
    with pytest.raises(ValueError, match="resolution=2; allowed are 3 and more"):
        nano(resolution=2, patch=(7, 4, 2))
    with pytest.raises(
        ValueError, match=r"attention='spiral'; allowed are cross_shaped"
    ):
        nano(attention="spiral", resolution=16)
    with pytest.raises(ValueError, match=r"position='gps'; allowed are none"):
        nano(position="gps")
    with pytest.raises(ValueError, match=r"resolution=None; attention='window'"):
        nano(attention="window")
    for position in ("ape", "ape_sincos", "rpe"):
        with pytest.raises(ValueError, match=f"resolution=None; .*'{position}' needs"):
            nano(position=position)


@pytest.mark.parametrize(("pixels", "side"), [(224, 7), (384, 12)])
@pytest.mark.parametrize("attention", ["window", "shifted"])
def test_windows_by_name_have_the_side_of_swin(attention, pixels, side):
    net = cswin("T", pixels, attention=attention)
    assert net.stages[0][0].attention.window == (side, side)
    net = cswin("T", pixels, attention=attention, stripes=(4,) * 4)
    assert net.stages[0][0].attention.window == (4, 4)


# Any picture.


def test_map_sizes_are_those_of_the_maps():
    for pixels in (20, 33, (17, 50)):
        h, w = (pixels, pixels) if isinstance(pixels, int) else pixels
        net = nano(resolution=pixels, patch=(7, 4, 2)).eval()
        maps = net.features(torch.randn(1, 3, h, w))
        want = map_sizes(pixels, (7, 4, 2), 3)
        assert [tuple(y.shape[2:]) for y in maps] == want
    assert map_sizes(224, (7, 4, 2), 4) == [(56, 56), (28, 28), (14, 14), (7, 7)]


@pytest.mark.parametrize("mask", [False, True])
def test_any_size_and_both_layouts(mask):
    net = nano(resolution=32, mask_padding=mask).eval()
    for h, w in ((32, 32), (33, 20), (5, 47), (1, 1)):
        x = torch.randn(2, 3, h, w)
        assert net(x).shape == (2, 5)
        last = x.contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(net(x), net(last), rtol=1e-4, atol=1e-5)
        for i, y in enumerate(net.features(x)):
            assert y.shape == (2, 8 * 2**i, *(-(-n // 2 ** (i + 1)) for n in (h, w)))


def test_mask_padding_matters_where_stripes_do_not_fill_the_map():
    torch.manual_seed(0)
    net = nano(num_classes=0).eval()
    masked = nano(num_classes=0, mask_padding=True).eval()
    masked.load_state_dict(net.state_dict())
    even, odd = torch.randn(1, 3, 16, 16), torch.randn(1, 3, 10, 10)
    torch.testing.assert_close(net(even), masked(even))
    assert (net(odd) - masked(odd)).abs().max() > 1e-4


def test_a_picture_is_not_changed_by_the_others_of_its_batch():
    net = nano(mask_padding=True).eval()
    x = torch.randn(3, 3, 13, 9)
    torch.testing.assert_close(net(x)[1:2], net(x[1:2]), rtol=1e-4, atol=1e-5)


# Parts in order, by hand.


def test_features_and_logits_by_hand():
    net = nano().eval()
    x = torch.randn(2, 3, 16, 12)
    y, maps = net.embed(x), []
    for i, stage in enumerate(net.stages):
        y = net.merges[i - 1](y) if i else y
        for block in stage:
            y = y + block.attention(F.layer_norm(y, (8 * 2**i,)))
            y = y + block.mlp(F.layer_norm(y, (8 * 2**i,)))
        maps.append(y)
    for found, want in zip(net.features(x), maps, strict=True):
        want = F.layer_norm(want, want.shape[-1:]).permute(0, 3, 1, 2)
        torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-5)
    pooled = F.layer_norm(maps[-1], (32,)).flatten(1, 2).mean(1)
    torch.testing.assert_close(net(x), net.head(pooled), rtol=1e-4, atol=1e-5)


def test_network_without_head_returns_its_last_map():
    net = nano(num_classes=0).eval()
    x = torch.randn(2, 3, 16, 16)
    y = net(x)
    assert y.shape == (2, 32, 2, 2)
    torch.testing.assert_close(y, net.features(x)[-1])
    assert [norm.weight is not None for norm in net.norms] == [True] * 3
    assert [norm.weight is not None for norm in nano().norms] == [False, False, True]


def test_every_parameter_gets_a_gradient():
    for net in (nano(), nano(num_classes=0)):
        maps = net.features(torch.randn(2, 3, 16, 16))
        loss = sum(y.square().mul(torch.randn_like(y)).sum() for y in maps)
        if net.head is not None:
            loss = loss + net(torch.randn(2, 3, 16, 16)).sum()
        loss.backward()
        assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_starting_values():
    net = CSWin(32, (1, 1), (1, 1), (2, 2), num_classes=10)
    for module in net.modules():
        if isinstance(module, nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.15)
            assert not module.bias.any()
        elif isinstance(module, nn.LayerNorm) and module.weight is not None:
            assert (module.weight == 1).all()
            assert not module.bias.any()
            assert module.eps == 1e-5
        elif isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            assert module.weight.abs().max() <= fan_in**-0.5  # PyTorch's own start
            assert module.weight.std().item() == pytest.approx(
                (3 * fan_in) ** -0.5, rel=0.2
            )


# Memory.


def test_checkpointing_changes_nothing_but_memory(monkeypatch):
    calls = []

    def counted(block, x, **options):
        calls.append(block)
        return checkpoint(block, x, **options)

    monkeypatch.setattr(model, "checkpoint", counted)
    plain, spare = nano().train(), nano(checkpointing=True).train()
    spare.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 16, 16)
    for net in (plain, spare):
        net(x).square().sum().backward()
    assert calls == blocks(spare)
    for p, q in zip(plain.parameters(), spare.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)
    calls.clear()
    spare.eval()(x)
    with torch.no_grad():
        spare.train()(x)
    assert not calls


def test_checkpointing_repeats_the_same_drops():
    net = nano(checkpointing=True, drop_path=0.5).train()
    plain = nano(drop_path=0.5).train()
    plain.load_state_dict(net.state_dict())
    x = torch.randn(4, 3, 16, 16)
    for m in (net, plain):
        torch.manual_seed(1)
        m(x).square().sum().backward()
    for p, q in zip(net.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)


# Switches of attention and position.


@pytest.mark.parametrize("position", ["none", "ape", "cpe", "cpe_every", "rpe", "lepe"])
def test_positions(position):
    net = nano(position=position, resolution=16).eval()
    assert net(torch.randn(1, 3, 16, 16)).shape == (1, 5)
    assert net(torch.randn(1, 3, 11, 18)).shape == (1, 5)
    extra = {"none": 0, "ape": 1, "cpe": 3, "cpe_every": 4, "rpe": 0, "lepe": 0}
    steps = [step for stage in net.stages for step in stage]
    assert len(steps) - len(blocks(net)) == extra[position]
    lepes = (
        [branch.lepe for b in blocks(net) for branch in b.attention.branches]
        if position not in ("rpe",)
        else []
    )
    assert all((lepe is not None) == (position == "lepe") for lepe in lepes)


@pytest.mark.parametrize(
    "attention", ["full", "window", "shifted", "axial", "sequential", "criss_cross"]
)
def test_rivals_on_the_same_body(attention):
    net, ours = nano(attention=attention, resolution=16), nano(resolution=16)
    assert size(net) == size(ours)
    assert net(torch.randn(2, 3, 16, 16)).shape == (2, 5)
    assert not any(isinstance(m, CrossShapedAttention) for m in net.modules())
    assert any(isinstance(m, CrossShapedAttention) for m in ours.modules())


def test_cross_shaped_sees_more_in_one_block_than_along_one_direction():
    x = torch.randn(1, 3, 12, 12, requires_grad=True)
    seen = {}
    for attention in ("cross_shaped", "axial"):
        net = CSWin(
            8,
            (1,),
            (1,),
            (2,),
            patch=(1, 1, 0),
            attention=attention,
            position="none",
            resolution=12,
            num_classes=0,
        )
        some = net(x)[0, :, 4, 7] @ torch.randn(8)  # their sum is a constant
        (grad,) = torch.autograd.grad(some, x)
        seen[attention] = int((grad.abs().sum(1) > 0).sum())
    assert seen == {"cross_shaped": 23, "axial": 12}
