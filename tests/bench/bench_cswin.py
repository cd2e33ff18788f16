"""CSWin-T against two plain references of the same equations, in one run.

Both share the weights, cut queries, keys and values into stripes, write the softmax out
and convolve every stripe by itself for LePE. They differ in how the tokens lie:

- *pictures*: channels before pixels, as in the released code. Queries, keys and values
  each become pictures, then stripes, then heads; each step is a copy.
- *tokens*: channels last and two einsums. It moves little, and on short stripes, where
  a table of scores fits the cache, we are no faster than it. What
  `scaled_dot_product_attention` saves there is memory: it keeps no table.

Outputs and gradients must agree before anything is timed. Printed are ratios of CPU
time, reference over ours: above 1 ours is faster. The attention of a stage is timed
between its two projections; the whole network is compared with *pictures*.
"""

import copy
import statistics
import time
from collections.abc import Callable
from functools import partial
from types import MethodType

import torch
from torch import Tensor, nn

from lib.layers import (
    ConvMerge,
    ConvPatchEmbed,
    CrossShapedAttention,
    StripeAttention,
)
from lib.papers.cswin import cswin

RUNS = 15
# Stage by stage at 224: width, heads, side of the map, width of a stripe.
STAGES = [(64, 2, 56, 1), (128, 4, 28, 2), (256, 8, 14, 7), (512, 16, 7, None)]


def cut(x: Tensor, h: int, w: int) -> Tensor:
    """Cut pictures into stripes, (B, C, H, W) -> (stripes, C, h, w)."""
    B, C, H, W = x.shape
    x = x.reshape(B, C, H // h, h, W // w, w)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(-1, C, h, w)


def paste(x: Tensor, H: int, W: int) -> Tensor:
    """Put the stripes back, (stripes, C, h, w) -> (B, C, H, W)."""
    _, C, h, w = x.shape
    x = x.reshape(-1, H // h, W // w, C, h, w)
    return x.permute(0, 3, 1, 4, 2, 5).reshape(-1, C, H, W)


def tile(branch: StripeAttention, H: int, W: int) -> tuple[int, int]:
    """Return height and width of the stripes of a branch on a map."""
    h = branch.stripe if branch.orientation == "horizontal" else H
    w = branch.stripe if branch.orientation == "vertical" else W
    return h, w


def heads_of_pictures(stripes: Tensor, heads: int) -> Tensor:
    """Copy stripes (n, C, h, w) to tokens of each head (n, heads, h * w, d)."""
    return stripes.flatten(2).unflatten(1, (heads, -1)).transpose(2, 3).contiguous()


def branch_on_pictures(
    branch: StripeAttention, q: Tensor, k: Tensor, v: Tensor
) -> Tensor:
    """Attend in the stripes of one direction, (B, H, W, C / 2) each to the same."""
    H, W = q.shape[1:3]
    h, w = tile(branch, H, W)
    q, k, v = (cut(t.permute(0, 3, 1, 2).contiguous(), h, w) for t in (q, k, v))
    near = heads_of_pictures(branch.lepe.conv(v), branch.heads)
    q, k, v = (heads_of_pictures(t, branch.heads) for t in (q, k, v))
    scores = torch.einsum("snqd,snkd->snqk", q * q.shape[-1] ** -0.5, k)
    mixed = torch.einsum("snqk,snkd->snqd", scores.softmax(dim=-1), v) + near
    stripes = mixed.transpose(2, 3).reshape(len(mixed), -1, h, w)
    return paste(stripes, H, W).permute(0, 2, 3, 1)


def branch_on_tokens(
    branch: StripeAttention, q: Tensor, k: Tensor, v: Tensor
) -> Tensor:
    """Attend in the stripes of one direction, (B, H, W, C / 2) each to the same."""
    B, H, W, C = q.shape
    h, w = tile(branch, H, W)
    shape = (B, H // h, h, W // w, w, C)
    q, k, v = (
        t.reshape(shape).transpose(2, 3).reshape(-1, h * w, C) for t in (q, k, v)
    )
    near = branch.lepe.conv(v.transpose(1, 2).reshape(-1, C, h, w))
    q, k, v = (t.unflatten(2, (branch.heads, -1)) for t in (q, k, v))
    scores = torch.einsum("sqnd,sknd->snqk", q * q.shape[-1] ** -0.5, k)
    mixed = torch.einsum("snqk,sknd->sqnd", scores.softmax(dim=-1), v).flatten(2)
    y = mixed + near.flatten(2).transpose(1, 2)  # (stripes, h * w, C)
    return y.reshape(B, H // h, W // w, h, w, C).transpose(2, 3).reshape(B, H, W, C)


BRANCHES = {"pictures": branch_on_pictures, "tokens": branch_on_tokens}


def plain_attend(self: CrossShapedAttention, qkv: Tensor, layout: str) -> Tensor:
    """Halve the channels, attend in both directions, concatenate."""
    n = len(self.branches)
    parts = qkv.chunk(3 * n, dim=-1)
    attend = BRANCHES[layout]
    halves = [attend(b, *parts[i::n]) for i, b in enumerate(self.branches)]
    return torch.cat(halves, dim=-1)


def plain_convolution(self: ConvMerge | ConvPatchEmbed, x: Tensor) -> Tensor:
    """Convolve a picture in the usual layout, then normalise contiguous tokens."""
    if isinstance(self, ConvMerge):
        x = x.permute(0, 3, 1, 2).contiguous()
    return self.norm(self.conv(x).permute(0, 2, 3, 1).contiguous())


def reference(model: nn.Module, layout: str = "pictures") -> nn.Module:
    """Return a copy of the network that computes everything the plain way."""
    plain = copy.deepcopy(model)
    attend = partial(plain_attend, layout=layout)
    for module in plain.modules():
        if isinstance(module, CrossShapedAttention):
            module.attend = partial(attend, module)
        elif isinstance(module, ConvMerge | ConvPatchEmbed):
            module.forward = MethodType(plain_convolution, module)
    return plain


def agree(plain: nn.Module, ours: nn.Module, x: Tensor) -> None:
    """Refuse to go on unless outputs and gradients are equal within 1e-5.

    A gradient is a sum of many terms: it is compared on the scale of its largest entry.
    """
    weights, found = None, []
    for model in (plain, ours):
        leaf = x.clone().requires_grad_()
        y = model(leaf)
        weights = torch.randn_like(y) if weights is None else weights
        loss = (y * weights).sum()
        found.append((y, torch.autograd.grad(loss, [leaf, *model.parameters()])))
    (y, gradients), (z, others) = found
    torch.testing.assert_close(z, y, rtol=1e-5, atol=1e-5)
    for gradient, other in zip(gradients, others, strict=True):
        scale = gradient.abs().max()
        torch.testing.assert_close(other / scale, gradient / scale, rtol=0, atol=1e-5)


def ratio(
    slow: Callable[[], object], fast: Callable[[], object], repeat: int = 1
) -> str:
    """Time both in turns; return the median of the ratios and their quartiles."""
    seconds: list[list[float]] = [[], []]
    for _ in range(RUNS):
        for run, kept in zip((slow, fast), seconds, strict=True):
            start = time.process_time()
            for _ in range(repeat):
                run()
            kept.append((time.process_time() - start) / repeat)
    ratios = [a / b for a, b in zip(*seconds, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    took = " and ".join(f"{1e3 * statistics.median(s):.1f}" for s in seconds)
    return f"{middle:.2f} (quartiles {low:.2f} to {high:.2f}; {took} ms, {RUNS} runs)"


def infer(model: Callable[[Tensor], object], x: Tensor) -> Callable[[], object]:
    """Return a forward pass that keeps nothing for gradients."""

    def run() -> object:
        with torch.inference_mode():
            return model(x)

    return run


def train(model: nn.Module, x: Tensor) -> Callable[[], object]:
    """Return a forward and a backward pass."""

    def run() -> None:
        model.zero_grad()
        model(x).square().mean().backward()

    return run


def main() -> None:
    """Check equality, then print the ratios."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for stage, (dim, heads, side, stripe) in enumerate(STAGES, start=1):
        ours = CrossShapedAttention(dim, heads, stripe)
        x = torch.randn(4, side, side, dim)
        qkv = ours.qkv(x).detach()
        for layout in BRANCHES:
            plain = reference(ours, layout)
            agree(plain, ours, x)
            op = ratio(infer(plain.attend, qkv), infer(ours.attend, qkv), repeat=10)
            print(f"attention of stage {stage}, {layout + ':':10}{op}")
    ours = cswin("T", drop_path=0.0)
    plain = reference(ours)
    x = torch.randn(2, 3, 224, 224)
    agree(plain, ours, x)
    both = ratio(train(plain, x), train(ours, x))
    x = torch.randn(4, 3, 224, 224)
    print(f"CSWin-T, forward:              {ratio(infer(plain, x), infer(ours, x))}")
    print(f"CSWin-T, forward and backward: {both}")


if __name__ == "__main__":
    main()
