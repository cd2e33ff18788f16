"""Mobile-Former-294M against a plain reference of the same equations, in one run.

The reference is the same network, unfused and in the contiguous layout, with every
attention and every dynamic ReLU written out as in the paper: products, a softmax, and
the larger of two scaled maps. Outputs must agree before anything is timed.
Printed are ratios of CPU time, reference over ours: above 1 ours is faster.
"""

import copy
import statistics
import time
from collections.abc import Callable
from types import MethodType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.layers import (
    DynamicReLU,
    FormerToMobile,
    MobileToFormer,
    PostNormBlock,
    fuse,
)
from lib.papers.mobile_former import mobile_former

RUNS = 13


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Attend as the equations say, head by head in one batch: (B, N, C) each."""
    q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def plain_to_former(self: MobileToFormer, x: Tensor, tokens: Tensor) -> Tensor:
    pixels = x.flatten(2).transpose(1, 2)
    found = attention(self.query(tokens), pixels, pixels, self.heads)
    if self.gate is not None:
        found = found * 2 * F.relu6(self.gate(tokens) + 3) / 6
    return self.norm(tokens + self.out(found))


def plain_to_mobile(self: FormerToMobile, x: Tensor, tokens: Tensor) -> Tensor:
    pixels = x.flatten(2).transpose(1, 2)
    mix = attention(pixels, self.key(tokens), self.value(tokens), self.heads)
    return x + mix.transpose(1, 2).reshape(x.shape)


def plain_former(self: PostNormBlock, tokens: Tensor) -> Tensor:
    mixed = attention(self.query(tokens), tokens, tokens, self.heads)
    tokens = self.norm1(tokens + self.out(mixed))
    return self.norm2(tokens + self.ffn(tokens))


def plain_dynamic_relu(self: DynamicReLU, x: Tensor, context: Tensor) -> Tensor:
    a1, a2 = (a[:, :, None, None] for a in self.coefficients(context))
    return torch.maximum(a1 * x, a2 * x)


PLAIN = {
    MobileToFormer: plain_to_former,
    FormerToMobile: plain_to_mobile,
    PostNormBlock: plain_former,
    DynamicReLU: plain_dynamic_relu,
}


def reference(model: nn.Module) -> nn.Module:
    """Return a copy of the network that computes everything the plain way."""
    plain = copy.deepcopy(model)
    for module in plain.modules():
        if type(module) in PLAIN:
            module.forward = MethodType(PLAIN[type(module)], module)
    return plain


def ratio(slow: Callable[[], object], fast: Callable[[], object]) -> str:
    """Time both in turns; return the median of the ratios and their quartiles."""
    ratios = []
    for _ in range(RUNS):
        times = []
        for run in (slow, fast):
            start = time.process_time()
            run()
            times.append(time.process_time() - start)
        ratios.append(times[0] / times[1])
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.2f} (quartiles {low:.2f} to {high:.2f}, {RUNS} runs)"


def main() -> None:
    """Check equality, then print the ratios."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    ours = mobile_former("294M").eval()
    for module in ours.modules():  # away from the start, where slopes are a ReLU's
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.05)
    plain = reference(ours)
    x = torch.randn(4, 3, 224, 224)
    last = x.contiguous(memory_format=torch.channels_last)
    fused = fuse(copy.deepcopy(ours)).to(memory_format=torch.channels_last)
    ours.to(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(ours(last), plain(x), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(fused(last), plain(x), rtol=1e-4, atol=1e-4)

    def infer(model: nn.Module, picture: Tensor) -> Callable[[], object]:
        def run() -> object:
            with torch.inference_mode():
                return model(picture)

        return run

    def train(model: nn.Module, picture: Tensor) -> Callable[[], object]:
        def run() -> None:
            model.zero_grad()
            model.train()(picture).square().mean().backward()

        return run

    layout = "channels last"
    plainly = infer(plain, x)
    print(f"forward, {layout}:            {ratio(plainly, infer(ours, last))}")
    print(f"forward, {layout} and fused:  {ratio(plainly, infer(fused, last))}")
    both = ratio(train(plain, x), train(ours, last))
    print(f"forward and backward, {layout}: {both}")


if __name__ == "__main__":
    main()
