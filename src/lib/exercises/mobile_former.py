"""Checks of the exercises of chapter 1, and the leaderboard of the open one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lib.claims import mobile_former as claims
from lib.exercises.checks import (
    Wrong,
    answered,
    check,
    compare,
    count_parameters,
    seeded,
)
from lib.layers import (
    DynamicReLU,
    FormerToMobile,
    MobileToFormer,
    PostNormBlock,
    token_shares,
)
from lib.layers.dynamic_relu import slope_net
from lib.metrics import Interval, count_macs, paired_difference, t_interval, verdict
from lib.papers.mobile_former import (
    VARIANTS,
    MobileBlock,
    MobileFormerBlock,
    mobile_former,
)
from lib.training import batches, progress, seed_everything

# Exercise 1 --------------------------------------------------------------------------


@check(points=1)
def check_macs(answer: Callable[..., Any]) -> None:
    """Check the closed form for the multiply-adds of Mobile->Former.

    Args:
        answer: called as `answer(height, width, channels, tokens, dim, heads, gate)`.
    """
    for heads, gate in ((3, False), (3, True), (4, True)):
        height, width, c, m, d = 7, 5, 24, 6, 16
        with seeded(0):
            layer = MobileToFormer(c, d, heads=heads, gate=gate)
        inputs = torch.zeros(1, c, height, width), torch.zeros(1, m, d)
        right = count_macs(layer, *inputs, include_norm=False)
        pixels, linear = height * width, m * d * c
        attention = 2 * m * pixels * c
        layers = (right - attention) // linear
        every = "every token asks: each term has the factor M"
        mistakes = [
            (2 * right, "count multiply–adds, not floating-point operations: halve it"),
            (
                right - attention // 2,
                "attention is two products, the scores and the weighted mean",
            ),
            (
                right + (heads - 1) * attention,
                "heads cost nothing extra: each has only C / h channels",
            ),
            (
                right - attention + attention // heads,
                "heads save nothing: there are h of them, with C / h channels each",
            ),
            (
                right + 2 * pixels * c * c,
                "keys and values are the raw pixels: nothing is projected there",
            ),
            (right - linear, "a linear layer is missing; with a gate there are three"),
            (right + linear, "one linear layer too many; without a gate there are two"),
            (attention, "the linear layers are missing: query, output and the gate"),
            (right // m, every),
            (right - attention + attention // m, every),
            (attention + layers * d * c, every),
            *(
                (right + scores, "leave the softmax out: it is not counted")
                for scores in (heads * m * pixels, m * pixels)
            ),
        ]
        got = answered(answer(height, width, c, m, d, heads, gate), "the function")
        sizes = f"a map of {height} x {width}, C={c}, M={m}, D={d}"
        where = f"for {sizes}, heads={heads} and gate={gate} it is {right:,}, not {got}"
        compare(got, right, mistakes, f"count layer by layer; {where}")


# Exercise 2 --------------------------------------------------------------------------


def _slopes(p: Tensor) -> tuple[Tensor, Tensor]:
    """Return both slopes from numbers in [0, 1], for maps: (B, 2C) -> (B, C, 1, 1)."""
    p1, p2 = p[:, :, None, None].chunk(2, dim=1)
    return 2 * p1, 2 * p2 - 1


def _rectify(x: Tensor, p: Tensor) -> Tensor:
    a1, a2 = _slopes(p)
    return torch.maximum(a1 * x, a2 * x)


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy parameters between modules that name them differently, by their shapes.

    Raises:
        Wrong: the modules do not have the same shapes of parameters.
    """
    wanted = {tuple(p.shape): p for p in source.parameters()}
    found = [tuple(p.shape) for p in target.parameters()]
    if not found:
        raise Wrong("the layer is still empty: it has no parameters")
    if sorted(found) != sorted(wanted):
        raise Wrong(
            "two linear layers with biases are wanted, d -> d/4 -> 2C: parameters of "
            f"shapes {sorted(wanted)}, not {sorted(found)}"
        )
    with torch.no_grad():
        for p in target.parameters():
            p.copy_(wanted[tuple(p.shape)])


def randomise(module: nn.Module, generator: torch.Generator, std: float) -> None:
    """Give every parameter of a module new values N(0, std)."""
    for p in module.parameters():
        nn.init.normal_(p, std=std, generator=generator)


@check(points=2)
def check_dynamic_relu(answer: Callable[..., nn.Module]) -> None:
    """Check a dynamic ReLU: its start, and its outputs with given weights.

    Args:
        answer: a module class, built as `answer(channels, dim)` and called as
            `layer(x, token)` with x (B, C, H, W) and token (B, D).
    """
    with seeded(0) as generator:
        layer = answered(answer(6, 32), "the layer")
        reference = DynamicReLU(6, 32)
        fresh = [p.detach().clone() for p in layer.parameters()]
        randomise(reference, generator, 0.8)
        copy_weights(reference, layer)
        x = torch.randn(4, 6, 5, 3, generator=generator)
        token = torch.randn(4, 32, generator=generator)
        with torch.no_grad():
            got = answered(layer(x, token), "forward")
            _compare_dynamic_relu(got, x, token, reference.slopes)
            for p, start in zip(layer.parameters(), fresh, strict=True):
                p.copy_(start)
            start = layer(x, token) - x.relu()
    if start.abs().max() > 0.01:
        raise Wrong(
            "a fresh layer is not yet a ReLU: draw the weights of both linear layers "
            "with deviation 0.01 and set their biases to zero"
        )


def _compare_dynamic_relu(
    got: Any, x: Tensor, token: Tensor, slopes: nn.Sequential
) -> None:
    first, _, second, squash = slopes
    with torch.no_grad():
        p = slopes(token)  # (B, 2C)
        a1, a2 = _slopes(p)
        soft = slopes[:-1](token).sigmoid()
        straight = squash(second(first(token)))
        pooled = slopes(token.mean(0, keepdim=True)).expand_as(p)
    mean = p.mean(0, keepdim=True).expand_as(p)
    dealt = torch.cat([p[:, ::2], p[:, 1::2]], dim=1)
    mistakes = [
        (
            _rectify(x, p.roll(x.shape[1], dims=1)),
            "the halves are swapped: the first C numbers give a1, the others a2",
        ),
        (
            torch.minimum(a1 * x, a2 * x),
            "take the larger of the two lines, not the smaller",
        ),
        (
            _rectify(x, soft),
            "squash with the hard sigmoid, ReLU6(x + 3) / 6, not the smooth one",
        ),
        (_rectify(x, straight), "a ReLU belongs between the two linear layers"),
        (
            torch.where(x > 0, a1 * x, a2 * x),
            "a1 on the right of zero and a2 on the left is not the maximum: where "
            "a2 > a1 the two change places",
        ),
        (
            torch.maximum(a1 / 2 * x, (a2 + 1) / 2 * x),
            "the slopes are a1 = 2p in [0, 2] and a2 = 2p - 1 in [-1, 1], not p",
        ),
        (
            _rectify(x, dealt),
            "the first C numbers give a1 and the last C give a2; yours take turns",
        ),
        *(
            (_rectify(x, shared), "every picture of the batch has slopes of its own")
            for shared in (mean, pooled, p[:1].expand_as(p))
        ),
    ]
    compare(got, _rectify(x, p), mistakes, "y = max(a1 * x, a2 * x) does not hold")


# Exercise 3 --------------------------------------------------------------------------


def parameters_added(variant: str) -> int:
    """Count what projected keys and values add to a published network, by building."""
    with torch.device("meta"):  # sizes alone, no numbers
        standard, light = (
            count_parameters(mobile_former(variant, project_kv=flag))
            for flag in (True, False)
        )
    return standard - light


@check(points=2)
def check_standard_former(
    former: Callable[..., nn.Module], predict: Callable[[str], Any]
) -> None:
    """Check a Former with projected keys and values, and the predicted parameters.

    Args:
        former: a subclass of `PostNormBlock`, built as `former(dim)`.
        predict: gives the number of parameters added to a variant such as "294M".
    """
    d = 32
    with seeded(0) as generator:
        block = answered(former(d), "the block")
        light, standard = PostNormBlock(d), PostNormBlock(d, project_kv=True)
        got = count_parameters(block) - count_parameters(light)
        mistakes = [
            (0, "key and value are still nn.Identity: nothing was added"),
            (d * d + d, "keys and values each get a projection of their own"),
            (2 * d * d, "the two linear layers have biases, as in standard attention"),
        ]
        added = f"a block with D = {d} gains {2 * (d * d + d):,} parameters, not {got}"
        compare(got, 2 * (d * d + d), mistakes, added)
        names = set(standard.state_dict())
        if set(block.state_dict()) != names:
            raise Wrong("call the layers `key` and `value` and keep all other names")
        randomise(standard, generator, 0.3)
        block.load_state_dict(standard.state_dict())
        tokens = torch.randn(2, 6, d, generator=generator)
        with torch.no_grad():
            right, got = standard(tokens), block(tokens)
            standard.key, standard.value = standard.value, standard.key
            swapped = standard(tokens)
            standard.key, standard.value = nn.Identity(), nn.Identity()
            unused = standard(tokens)
    mistakes = [
        (swapped, "`key` makes the values and `value` the keys"),
        (unused, "the new layers exist, and forward does not use them"),
    ]
    compare(answered(got, "forward"), right, mistakes, "the block's output is wrong")
    _compare_extra(answered(predict("294M"), "the prediction"))


def _compare_extra(got: Any) -> None:
    rows, d = VARIANTS["294M"]["blocks"], VARIANTS["294M"]["dim"]
    block = 2 * (d * d + d)
    right = parameters_added("294M")
    mistakes = [
        (block, "that is one block: the network has more"),
        (len(rows) * block, "the lite block has no Former: count the other rows"),
        (
            right * d // (d + 1),
            "a linear layer from D to D has D * D weights and D biases",
        ),
        (right // 2, "keys and values get a projection each"),
    ]
    wrong = f"the 294M network does not gain {got} parameters"
    compare(got, right, mistakes, f"{wrong}: count the MF rows, two layers each")


# Exercise 4 --------------------------------------------------------------------------


@check(points=3)
def check_spatial(
    shares: Callable[..., Any], spatial_dynamic_relu: Callable[..., Any]
) -> None:
    """Check the spatial dynamic ReLU and the weights that its pixels use.

    Args:
        shares: called as `shares(logits, size)` with logits (B, h, M, H, W); gives
            weights (B, M, *size).
        spatial_dynamic_relu: called as `f(x, tokens, weights, slopes)`, with `slopes`
            the network from a token to 2C numbers in [0, 1].
    """
    with seeded(0) as generator:
        logits = 3 * torch.randn(2, 2, 3, 8, 6, generator=generator)
        x = torch.randn(2, 5, 4, 3, generator=generator)
        tokens = torch.randn(2, 3, 32, generator=generator)
        slopes = slope_net(32, 5, 4)
        randomise(slopes, generator, 0.8)
    size = (4, 3)
    _compare_shares(answered(shares(logits, size), "the first function"), logits, size)
    weights = token_shares(logits, size)
    with torch.no_grad():
        got = spatial_dynamic_relu(x, tokens, weights, slopes)
        _compare_spatial(
            answered(got, "the second function"), x, tokens, weights, slopes
        )


def _compare_shares(got: Any, logits: Tensor, size: tuple[int, int]) -> None:
    def pool(maps: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(maps, size)

    mean = pool(logits.mean(1))  # (B, M, H, W)
    over_pixels = mean.flatten(2).softmax(-1).unflatten(-1, size)
    mistakes = [
        (over_pixels, "the softmax runs over the tokens of a pixel, not over pixels"),
        (
            pool(logits.softmax(2).mean(1)),
            "average the heads' logits first, then take the softmax",
        ),
        (
            pool(logits.mean(1).softmax(1)),
            "pool the logits first, then take the softmax",
        ),
        (mean, "the softmax over the tokens is missing"),
        (pool(logits.sum(1)).softmax(1), "the heads are averaged, not summed"),
    ]
    right = token_shares(logits, size)
    compare(got, right, mistakes, "the weights of the pixels are wrong")


def _compare_spatial(
    got: Any, x: Tensor, tokens: Tensor, weights: Tensor, slopes: nn.Module
) -> None:
    def mix(values: Tensor) -> Tensor:  # (B, M, K) -> (B, K, H, W)
        return torch.einsum("bmhw,bmk->bkhw", weights, values)

    def rectify(p: Tensor) -> Tensor:
        p1, p2 = p.chunk(2, dim=1)
        return torch.maximum(2 * p1 * x, (2 * p2 - 1) * x)

    proposals = slopes(tokens)  # (B, M, 2C)
    each = [_rectify(x, proposals[:, j]) for j in range(tokens.shape[1])]
    mixed_tokens = slopes(mix(tokens).movedim(1, -1)).movedim(-1, 1)
    p1, p2 = mix(proposals).chunk(2, dim=1)
    mixed_maps = (weights.unsqueeze(2) * torch.stack(each, 1)).sum(1)
    mistakes = [
        (each[0], "all tokens propose slopes, not token 0 alone"),
        (
            _rectify(x, proposals.mean(1)),
            "pixels differ: mix the proposals by the weights, not equally",
        ),
        (
            rectify(mixed_tokens),
            "mix what the tokens propose, not the tokens themselves",
        ),
        (mixed_maps, "mix the slopes and rectify once, not the rectified maps"),
        (
            torch.maximum(p1 * x, p2 * x),
            "the slopes are a1 = 2p and a2 = 2p - 1, not p",
        ),
    ]
    right = rectify(mix(proposals))
    compare(got, right, mistakes, "the rectified map is wrong")


# Exercise 5 --------------------------------------------------------------------------


def small_block(
    kind: Callable[..., MobileFormerBlock], generator: torch.Generator
) -> MobileFormerBlock:
    """Build a block of a given class, its slopes far enough from a ReLU to be seen."""
    block = kind(
        MobileBlock(8, 16, 8, act=lambda width: DynamicReLU(width, 32)),
        to_former=MobileToFormer(8, 32),
        former=PostNormBlock(32),
        to_mobile=FormerToMobile(32, 8),
        act="dynamic",
    ).eval()
    for module in block.modules():
        if isinstance(module, DynamicReLU):
            randomise(module, generator, 0.5)
    return block


@check(points=3)
def check_previous_token(answer: Callable[..., MobileFormerBlock]) -> None:
    """Check a block whose dynamic ReLU uses the token of the block before.

    Args:
        answer: a subclass of `MobileFormerBlock` with the same arguments.
    """
    with seeded(0) as generator:
        block = small_block(answer, generator)
        x = torch.randn(2, 8, 7, 5, generator=generator)
        old = torch.randn(2, 3, 32, generator=generator)
    look, think, write = block.to_former, block.former, block.to_mobile
    if look is None or think is None or write is None:
        raise Wrong("keep all four parts of the block; only the order changes")
    with torch.no_grad():
        seen = look(x, old)
        new = think(seen)

        def image(token: Tensor, written: Tensor = new) -> Tensor:
            return write(block.mobile(x, token), written)

        try:
            outputs = answered(block(x, old), "forward")
        except TypeError:
            if isinstance(block.context(x, old, new), Tensor):
                bare = "a bare tensor is taken apart into its pictures"
                raise Wrong(f"`context` returns a tuple, (token,): {bare}") from None
            raise
        if not isinstance(outputs, tuple) or len(outputs) != 2:
            raise Wrong("a block returns two things, the map and the tokens")
        stale = "hand on the new tokens: only the dynamic ReLU uses the old ones"
        compare(outputs[1], new, [(old, stale)], "the tokens that come out are wrong")
        first = "the first token sets the slopes, not "
        mistakes = [
            (
                image(new[:, 0]),
                "this is the chapter's order: the token after this block's Former",
            ),
            (
                image(seen[:, 0]),
                "this token has passed this block's bridge: take it as it came in",
            ),
            (
                image(old[:, 0], old),
                "write the new tokens to the map: only the dynamic ReLU uses the old",
            ),
            (image(old[:, 1]), first + "the second"),
            (image(old[:, -1]), first + "the last"),
            (image(old.mean(1)), first + "the mean of all"),
        ]
        compare(
            outputs[0], image(old[:, 0]), mistakes, "the map that comes out is wrong"
        )


# Exercise 6 --------------------------------------------------------------------------

Build = Callable[[], nn.Module]

BUDGET = 865_000
"""Multiply-adds allowed for a picture, counted without normalisation."""

ANSWERS, CELLS = 5, 16
"""Nothing or one of four marks, at each of the cells of the grid."""

SEEDS = (200, 201, 202, 203, 204)
"""Seeds of the public leaderboard; a course takes others and keeps them."""


def book_entry() -> nn.Module:
    """Build the chapter's Mobile-Former for three cues, the entry to beat."""
    return claims.CellAnswers("mobile_former", ANSWERS)


@check(points=5)
def check_entry(answer: Build) -> None:
    """Check that a network may enter the leaderboard; how good it is takes training.

    Args:
        answer: builds a new network (B, 3, 32, 32) -> (B, 5, 16) at each call.
    """
    with seeded(0) as generator:
        net, other = answered(answer(), "the function"), answer()
        x = torch.rand(4, 3, 32, 32, generator=generator)
    if not isinstance(net, nn.Module):
        raise Wrong(f"return an nn.Module, not {type(net).__name__}")
    if net is other:
        raise Wrong("build a new network at each call: every seed starts afresh")
    got = answered(net(x), "forward")
    shape = tuple(got.shape)
    if shape == (4, CELLS):
        raise Wrong("give five answers for each cell, (B, 5, 16), not one")
    if shape != (4, ANSWERS, CELLS):
        raise Wrong(f"the answers must be (B, 5, 16); for four pictures: {shape}")
    if not got.requires_grad:
        raise Wrong("no parameter receives a gradient: nothing can be learned")
    macs = count_macs(net, x[:1], include_norm=False)
    if macs > BUDGET:
        over = f"{macs:,} multiply–adds are {macs - BUDGET:,} too many"
        raise Wrong(f"{over}; count_macs(..., include_norm=False) counts them")
    net.eval()
    with torch.no_grad():
        together, alone = net(x), torch.cat([net(part) for part in x.split(1)])
    mixing = "in eval mode an answer must not depend on the other pictures of the batch"
    compare(alone, together, [], mixing)


@dataclass(frozen=True)
class Score:
    """How well a network does over seeds.

    Attributes:
        macs: multiply-adds for one picture, without normalisation.
        shares: for each seed the share of test scenes with all 16 cells right.
    """

    macs: int
    shares: tuple[float, ...]

    @property
    def interval(self) -> Interval:
        """Return the mean share with its 95 % interval over the seeds."""
        return t_interval(self.shares)

    def __str__(self) -> str:
        """Return multiply-adds, mean and interval as one line."""
        i = self.interval
        seeds = f"{i.n} seeds"
        return f"{self.macs:,} MAdds: {i.mean:.3f} [{i.low:.3f}, {i.high:.3f}], {seeds}"


def measure(
    build: Build,
    seeds: Sequence[int] = SEEDS,
    *,
    steps: int | None = None,
    rate: float | None = None,
    train: int = claims.TRAIN,
    test: int = claims.TEST,
) -> Score:
    """Train a network on three cues, once a seed, as the arms of the claim are trained.

    Args:
        build: makes a new network (B, 3, 32, 32) -> (B, 5, 16).
        seeds: draw training scenes, weights and batches; at least two.
        steps: minibatches of 64; by default as many as in the claim.
        rate: peak learning rate; by default Mobile-Former's.
        train: number of training scenes.
        test: number of test scenes, with digits that training does not show.

    Raises:
        ValueError: for fewer than two seeds, or a network over the budget.
    """
    if len(seeds) < 2:
        raise ValueError(f"seeds={seeds} must be two or more: one has no interval")
    macs = count_macs(build(), torch.zeros(1, 3, 32, 32), include_norm=False)
    if macs > BUDGET:
        raise ValueError(f"build: {macs:,} multiply-adds; allowed are {BUDGET:,}")
    steps = claims.STEPS["three_cues"] if steps is None else steps
    rate = claims.rate("three_cues", "mobile_former") if rate is None else rate
    x_test, y_test = claims.scenes(test, 0, "test")
    shares = []
    for seed in progress(seeds, "seeds"):
        x, y = claims.scenes(train, seed, "train")
        generator = seed_everything(seed)
        size = min(claims.BATCH, train)
        data = batches(x, y, batch_size=size, generator=generator, steps=steps)
        net = claims.fit(build(), data, steps, rate)
        right = (claims.answers(net, x_test) == y_test).all(dim=1)
        shares.append(right.float().mean().item())
    return Score(macs, tuple(shares))


def leaderboard(
    entries: Mapping[str, Build], seeds: Sequence[int] = SEEDS, **options: Any
) -> list[str]:
    """Measure entries and the book's Mobile-Former on the same seeds, best first.

    Args:
        entries: name -> function that builds a network.
        seeds: as for `measure`.
        options: further arguments of `measure`, the same for all.

    Returns:
        One line an entry: its score and, from the interval of the paired difference,
        whether it beats Mobile-Former.
    """
    book = measure(book_entry, seeds, **options)
    lines = [(book.interval.mean, f"Mobile-Former, {book}")]
    for name, build in entries.items():
        score = measure(build, seeds, **options)
        ahead = paired_difference(score.shares, book.shares)
        gain = f"{ahead.mean:+.3f} [{ahead.low:+.3f}, {ahead.high:+.3f}]"
        line = f"{name}, {score}; ahead by {gain}: {verdict(ahead)}"
        lines.append((score.interval.mean, line))
    return [line for _, line in sorted(lines, key=lambda entry: -entry[0])]
