"""The bridges and the Former block against PyTorch's own attention and loops."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lib.layers import (
    FormerToMobile,
    MobileToFormer,
    PostNormBlock,
    merge_heads,
    split_heads,
)


@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4))
def test_heads_there_and_back(batch, number, heads, each):
    x = torch.randn(batch, number, heads * each)
    split = split_heads(x, heads)
    assert split.shape == (batch, heads, number, each)
    assert torch.equal(split[:, -1], x[..., -each:])
    assert torch.equal(merge_heads(split), x)


@pytest.mark.parametrize("heads", [0, 5])
def test_heads_refuse(heads):
    with pytest.raises(ValueError, match=f"heads={heads} must divide the width, 12"):
        split_heads(torch.zeros(1, 2, 12), heads)


def torch_attention(dim, heads):
    """Return PyTorch's attention with projections that do nothing."""
    attention = nn.MultiheadAttention(dim, heads, batch_first=True)
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.eye(dim).repeat(3, 1))
        attention.in_proj_bias.zero_()
        attention.out_proj.weight.copy_(torch.eye(dim))
        attention.out_proj.bias.zero_()
    return attention


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_look_is_torchs_attention(heads):
    look = MobileToFormer(8, 12, heads=heads, gate=False)
    x, tokens = torch.randn(2, 8, 5, 3), torch.randn(2, 4, 12)
    pixels = x.flatten(2).mT
    found, weights = torch_attention(8, heads)(
        look.query(tokens), pixels, pixels, average_attn_weights=False
    )
    expected = look.norm(tokens + look.out(found))
    torch.testing.assert_close(look(x, tokens), expected)
    ours = look.logits(x, tokens).flatten(-2).softmax(-1)
    torch.testing.assert_close(ours, weights)


def test_look_is_the_loop():
    look = MobileToFormer(4, 6)
    x, tokens = torch.randn(1, 4, 2, 3), torch.randn(1, 2, 6)
    q = look.query(tokens)[0]
    gate = 2 * ((look.gate(tokens)[0] + 3).clamp(0, 6) / 6)
    for m in range(2):
        found = torch.zeros(4)
        for h in (0, 1):
            part = slice(2 * h, 2 * h + 2)
            scores = [
                x[0, part, i, j] @ q[m, part] / 2**0.5 for i in (0, 1) for j in range(3)
            ]
            weights = torch.stack(scores).softmax(0)
            for n, weight in enumerate(weights):
                found[part] += weight * x[0, part, n // 3, n % 3]
        z = look.norm(tokens[0, m] + look.out(found * gate[m]))
        torch.testing.assert_close(look(x, tokens)[0, m], z)


def test_gate_with_zero_weights_changes_nothing():
    look = MobileToFormer(8, 12)
    for parameter in look.gate.parameters():
        nn.init.zeros_(parameter)
    x, tokens = torch.randn(2, 8, 4, 4), torch.randn(2, 3, 12)
    gated = look(x, tokens)
    look.gate = None
    torch.testing.assert_close(gated, look(x, tokens))


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_write_is_torchs_attention(heads):
    write = FormerToMobile(12, 8, heads=heads)
    x, tokens = torch.randn(2, 8, 5, 3), torch.randn(2, 4, 12)
    mix, weights = torch_attention(8, heads)(
        x.flatten(2).mT,
        write.key(tokens),
        write.value(tokens),
        average_attn_weights=False,
    )
    torch.testing.assert_close(write(x, tokens), x + mix.mT.reshape(x.shape))
    ours = write.logits(x, tokens).softmax(2).flatten(-2).mT
    torch.testing.assert_close(ours, weights)


def test_one_token_writes_the_same_vector_everywhere():
    write = FormerToMobile(12, 8)
    x, tokens = torch.randn(2, 8, 5, 3), torch.randn(2, 1, 12)
    written = write(x, tokens) - x
    expected = write.value(tokens[:, 0])[:, :, None, None].expand_as(x)
    torch.testing.assert_close(written, expected)


@given(seed=st.integers(0, 5))
def test_order_of_pixels_does_not_matter_to_the_tokens(seed):
    torch.manual_seed(seed)
    look = MobileToFormer(8, 12)
    x, tokens = torch.randn(1, 8, 4, 4), torch.randn(1, 3, 12)
    mixed = x.flatten(2)[..., torch.randperm(16)].reshape(x.shape)
    torch.testing.assert_close(
        look(mixed, tokens), look(x, tokens), rtol=1e-4, atol=1e-5
    )


def test_block_is_torchs_encoder_layer():
    ours = PostNormBlock(16, heads=4, project_kv=True).eval()
    theirs = nn.TransformerEncoderLayer(
        16, 4, dim_feedforward=32, dropout=0, activation="gelu", batch_first=True
    ).eval()
    parts = [ours.query, ours.key, ours.value]
    theirs.self_attn.load_state_dict(
        {
            "in_proj_weight": torch.cat([p.weight for p in parts]),
            "in_proj_bias": torch.cat([p.bias for p in parts]),
            "out_proj.weight": ours.out.weight,
            "out_proj.bias": ours.out.bias,
        }
    )
    for mine, other in [
        (ours.ffn[0], theirs.linear1),
        (ours.ffn[2], theirs.linear2),
        (ours.norm1, theirs.norm1),
        (ours.norm2, theirs.norm2),
    ]:
        other.load_state_dict(mine.state_dict())
    tokens = torch.randn(3, 6, 16)
    torch.testing.assert_close(ours(tokens), theirs(tokens), rtol=1e-4, atol=1e-5)


def test_light_block_is_the_standard_one_with_identity_projections():
    light, full = PostNormBlock(16), PostNormBlock(16, project_kv=True)
    full.load_state_dict(light.state_dict(), strict=False)
    for part in (full.key, full.value):
        nn.init.eye_(part.weight)
        nn.init.zeros_(part.bias)
    tokens = torch.randn(2, 6, 16)
    torch.testing.assert_close(light(tokens), full(tokens))


def test_size_of_the_projections():
    size = [
        sum(p.numel() for p in PostNormBlock(192, project_kv=k).parameters())
        for k in (False, True)
    ]
    assert size[1] - size[0] == 2 * (192 * 192 + 192)


@pytest.mark.parametrize("layer", [MobileToFormer(8, 12), FormerToMobile(12, 8)])
def test_channels_last(layer):
    x, tokens = torch.randn(2, 8, 5, 3), torch.randn(2, 4, 12)
    y = layer(x.to(memory_format=torch.channels_last), tokens)
    torch.testing.assert_close(y, layer(x, tokens))


def test_drop_path_of_the_branches():
    torch.manual_seed(0)
    write = FormerToMobile(12, 8, drop_path=0.5)
    x, tokens = torch.randn(32, 8, 2, 2), torch.randn(32, 4, 12)
    kept = (write(x, tokens) != x).flatten(1).any(1)
    assert 0 < kept.sum() < 32
