"""The two networks that WeakNAS found, against their published sizes."""

import pytest
import torch
from torch import nn

from lib.metrics import count_macs
from lib.papers.weaknas.ofa import (
    FOUND,
    STAGES,
    OFABlock,
    OFAMobileNet,
    RoundedExcite,
    multiple_of_8,
)

PARAMETERS = {"800": 8_577_088, "1000": 8_813_720}
MACS = {
    ("800", 236): 593_163_960,
    ("800", 224): 511_983_056,
    ("1000", 236): 560_829_800,
    ("1000", 224): 483_261_424,
}
PUBLISHED = {"800": 593, "1000": 560}  # MFLOPs, cut off to whole ones


def meta(*choices, **options):
    """Build a network that has shapes and no numbers."""
    with torch.device("meta"):
        return OFAMobileNet(*choices, **options)


@pytest.mark.parametrize("name", FOUND)
def test_parameters(name):
    net = meta(*FOUND[name])
    assert sum(p.numel() for p in net.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize(("name", "side"), MACS)
def test_macs(name, side):
    net, picture = meta(*FOUND[name]), torch.zeros(1, 3, side, side, device="meta")
    macs = count_macs(net, picture, include_norm=False)
    assert macs == MACS[name, side]
    if side == 236:
        assert macs // 10**6 == PUBLISHED[name]


def test_macs_by_hand():
    """Count the products from the widths alone."""
    for name, side in MACS:
        kernels, expands, depths = FOUND[name]
        side = -(-side // 2)
        total = side**2 * 24 * 27 + side**2 * 24 * (9 + 24)  # stem and first block
        last = 24
        for i, (base, stride, _, excite) in enumerate(STAGES):
            width = {24: 32, 40: 48, 80: 96, 112: 136, 160: 192}[base]
            for j in range(depths[i]):
                hidden = last * expands[4 * i + j]
                total += side**2 * last * hidden
                side = -(-side // stride) if j == 0 else side
                total += side**2 * hidden * (kernels[4 * i + j] ** 2 + width)
                if excite:
                    total += 2 * hidden * multiple_of_8(hidden // 4)
                last = width
        total += side**2 * 192 * 1152 + 1152 * 1536 + 1536 * 1000
        assert total in MACS.values()
        assert total == MACS[name, {8: 236, 7: 224}[side]]


def test_choices_beyond_the_depth_are_ignored():
    kernels, expands, depths = (list(part) for part in FOUND["800"])
    net = meta(kernels, expands, depths)
    kernels[2:4], expands[2:4] = [7, 7], [6, 6]  # the first stage has two blocks
    other = meta(kernels, expands, depths)
    shapes = [[p.shape for p in n.parameters()] for n in (net, other)]
    assert shapes[0] == shapes[1]


def test_forward_of_a_small_one():
    net = OFAMobileNet([3] * 20, [3] * 20, [2] * 5, width=0.5, num_classes=7).eval()
    assert net(torch.randn(2, 3, 64, 64)).shape == (2, 7)
    assert len(net.blocks) == 1 + 2 * 5
    added = [block.add_input for block in net.blocks]
    assert added == [True] + 5 * [False, True]


def test_block_is_the_sum_of_its_layers():
    block = OFABlock(16, 16, kernel=5, expand=4, excite=True).eval()
    x = torch.randn(2, 16, 9, 9)
    y = nn.functional.relu(block.widen.bn(block.widen.conv(x)))
    y = nn.functional.relu(block.depthwise.bn(block.depthwise.conv(y)))
    scale = block.excite.scale(y.mean((2, 3)))
    y = y * scale[:, :, None, None]
    y = block.narrow.bn(block.narrow.conv(y))
    torch.testing.assert_close(block(x), x + y)


@pytest.mark.parametrize(
    ("width", "rounded"), [(19.2, 24), (28.8, 32), (134.4, 136), (3, 8), (16, 16)]
)
def test_widths_are_multiples_of_8(width, rounded):
    assert multiple_of_8(width) == rounded
    assert RoundedExcite(72).scale[0].out_features == 24


def test_wrong_choices_are_named():
    kernels, expands, depths = FOUND["800"]
    with pytest.raises(ValueError, match="kernels="):
        meta([4, *kernels[1:]], expands, depths)
    with pytest.raises(ValueError, match="depths="):
        meta(kernels, expands, [2, 4])
