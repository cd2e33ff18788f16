"""CSWin-T against a plain reference of the same equations, in one run.

The reference shares the weights. It keeps pictures in PyTorch's usual layout, channels
before pixels, cuts queries, keys and values into stripes, writes the softmax out, and
convolves every stripe by itself for LePE. Outputs and gradients must agree before
anything is timed. Printed are ratios of CPU time, reference over ours: above 1 ours is
faster. The attention of a stage is timed between its two projections.
"""

import copy
import statistics
import time
from collections.abc import Callable
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

RUNS = 13
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


def plain_branch(branch: StripeAttention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend in the stripes of one direction: (B, C / 2, H, W) each."""
    H, W = q.shape[2:]
    h = branch.stripe if branch.orientation == "horizontal" else H
    w = branch.stripe if branch.orientation == "vertical" else W
    q, k, v = (cut(t, h, w) for t in (q, k, v))  # (stripes, C / 2, h, w) each
    near = branch.lepe.conv(v)
    q, k, v = (t.reshape(len(t), branch.heads, -1, h * w) for t in (q, k, v))
    scores = torch.einsum("sndq,sndk->snqk", q * q.shape[2] ** -0.5, k)
    mixed = torch.einsum("snqk,sndk->sndq", scores.softmax(dim=-1), v)
    return paste(mixed.reshape(near.shape) + near, H, W)


def plain_attend(self: CrossShapedAttention, qkv: Tensor) -> Tensor:
    """Halve the channels, attend in both directions, concatenate."""
    n = len(self.branches)
    parts = qkv.permute(0, 3, 1, 2).contiguous().chunk(3 * n, dim=1)
    halves = [plain_branch(b, *parts[i::n]) for i, b in enumerate(self.branches)]
    return torch.cat(halves, dim=1).permute(0, 2, 3, 1).contiguous()


def plain_convolution(self: ConvMerge | ConvPatchEmbed, x: Tensor) -> Tensor:
    """Convolve a picture in the usual layout, then normalise contiguous tokens."""
    if isinstance(self, ConvMerge):
        x = x.permute(0, 3, 1, 2).contiguous()
    return self.norm(self.conv(x).permute(0, 2, 3, 1).contiguous())


PLAIN = {
    CrossShapedAttention: ("attend", plain_attend),
    ConvMerge: ("forward", plain_convolution),
    ConvPatchEmbed: ("forward", plain_convolution),
}


def reference(model: nn.Module) -> nn.Module:
    """Return a copy of the network that computes everything the plain way."""
    plain = copy.deepcopy(model)
    for module in plain.modules():
        if type(module) in PLAIN:
            name, method = PLAIN[type(module)]
            setattr(module, name, MethodType(method, module))
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
        plain = reference(ours)
        x = torch.randn(4, side, side, dim)
        agree(plain, ours, x)
        qkv = ours.qkv(x).detach()
        op = ratio(infer(plain.attend, qkv), infer(ours.attend, qkv), repeat=10)
        print(f"attention of stage {stage}, forward:  {op}")
    ours = cswin("T", drop_path=0.0)
    plain = reference(ours)
    x = torch.randn(2, 3, 224, 224)
    agree(plain, ours, x)
    both = ratio(train(plain, x), train(ours, x))
    x = torch.randn(4, 3, 224, 224)
    print(f"CSWin-T, forward:               {ratio(infer(plain, x), infer(ours, x))}")
    print(f"CSWin-T, forward and backward:  {both}")


if __name__ == "__main__":
    main()
