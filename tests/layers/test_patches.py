"""Embedding, merging and the pre-norm block against the same layers by hand."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lib.layers import ConvMerge, ConvPatchEmbed, Mlp, PreNormBlock


def by_patches(embed, x, k, s, p):
    """Multiply each patch, cut out of the padded picture, with the kernel."""
    x = F.pad(x, (p, p, p, p))
    rows = range(0, x.shape[2] - k + 1, s)
    columns = range(0, x.shape[3] - k + 1, s)
    flat = embed.conv.weight.flatten(1)  # (C, cin * k * k)
    tokens = [
        [x[:, :, i : i + k, j : j + k].flatten(1) @ flat.T for j in columns]
        for i in rows
    ]
    y = torch.stack([torch.stack(row, 1) for row in tokens], 1) + embed.conv.bias
    mean = y.mean(-1, keepdim=True)
    var = y.var(-1, keepdim=True, unbiased=False)
    return (y - mean) / (var + 1e-5).sqrt() * embed.norm.weight + embed.norm.bias


@pytest.mark.parametrize("size", [(16, 16), (11, 18)])
@pytest.mark.parametrize("patch", [(7, 4, 2), (2, 2, 0), (3, 2, 1)])
def test_embedding_is_a_product_with_patches(size, patch):
    embed = ConvPatchEmbed(3, 5, *patch)
    nn.init.normal_(embed.norm.weight)
    x = torch.randn(2, 3, *size)
    torch.testing.assert_close(
        embed(x), by_patches(embed, x, *patch), rtol=1e-4, atol=1e-5
    )


@given(H=st.integers(3, 40), W=st.integers(3, 40))
@settings(max_examples=20, deadline=None)
def test_size_after_embedding(H, W):
    y = ConvPatchEmbed(1, 2)(torch.zeros(1, 1, H, W))
    assert y.shape == (1, (H + 1) // 4, (W + 1) // 4, 2)
    assert y.is_contiguous()


def test_embedding_takes_both_layouts():
    embed = ConvPatchEmbed(3, 4)
    x = torch.randn(2, 3, 16, 16)
    last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(embed(x), embed(last))


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (1, 1)])
def test_merging_is_a_strided_convolution(size):
    merge = ConvMerge(3, 6)
    x = torch.randn(2, *size, 3)
    want = merge.conv(x.permute(0, 3, 1, 2).contiguous())
    want = F.layer_norm(want.permute(0, 2, 3, 1), (6,))
    y = merge(x)
    assert y.shape == (2, -(-size[0] // 2), -(-size[1] // 2), 6)
    torch.testing.assert_close(y, want, rtol=1e-4, atol=1e-5)


def test_mlp_uses_the_exact_gelu():
    mlp = Mlp(4, 6)
    x = torch.randn(3, 5, 4)
    hidden = x @ mlp.widen.weight.T + mlp.widen.bias
    hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2
    want = hidden @ mlp.narrow.weight.T + mlp.narrow.bias
    torch.testing.assert_close(mlp(x), want)


class Swap(nn.Module):
    """Some attention: mix rows."""

    def forward(self, x):
        return x.flip(1) * 2


@pytest.mark.parametrize("ratio", [4, 1.5])
def test_block_is_two_residual_branches(ratio):
    block = PreNormBlock(4, Swap(), ratio)
    assert block.mlp.widen.out_features == 4 * ratio
    for norm in (block.norm1, block.norm2):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    x = torch.randn(2, 3, 5, 4)
    middle = x + block.norm1(x).flip(1) * 2
    want = middle + block.mlp(block.norm2(middle))
    torch.testing.assert_close(block(x), want)


def test_drop_path_drops_each_branch_of_a_picture():
    block = PreNormBlock(4, Swap(), drop_path=0.5)
    x = torch.randn(64, 2, 2, 4)
    block.train()
    y = block(x)
    attended = x + 2 * block.attention(block.norm1(x))
    kinds = torch.stack(
        [
            (y - z).abs().amax(dim=(1, 2, 3)) < 1e-5
            for z in (
                x,  # neither branch
                attended,  # only attention
                x + 2 * block.mlp(block.norm2(x)),  # only the small network
                attended + 2 * block.mlp(block.norm2(attended)),  # both
            )
        ]
    )
    assert torch.equal(kinds.sum(0), torch.ones(64, dtype=torch.long))
    assert kinds.any(dim=1).all()
    block.eval()  # both branches again, at their own size
    middle = x + block.attention(block.norm1(x))
    torch.testing.assert_close(block(x), middle + block.mlp(block.norm2(middle)))
