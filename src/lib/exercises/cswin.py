"""Checks of the exercises of chapter 2, and the leaderboard of the open one."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.data import to_tensors
from lib.data.worlds import tile_scenes
from lib.exercises.checks import (
    Wrong,
    answered,
    check,
    compare,
    count_parameters,
    seeded,
)
from lib.layers import (
    ConvPatchEmbed,
    CrossShapedAttention,
    PreNormBlock,
    merge_heads,
    split_heads,
    stripe_merge,
    stripe_partition,
)
from lib.metrics import Interval, count_macs, paired_difference, t_interval, verdict
from lib.training import batches, progress

Mistakes = list[tuple[Any, str]]

# Exercise 1 --------------------------------------------------------------------------


def random_tilings(
    generator: torch.Generator, n: int
) -> Iterator[tuple[Tensor, int, int]]:
    """Draw maps (B, H, W, C) of random sizes, with sides (h, w) of tiles that fit."""
    for _ in range(n):
        size = torch.randint(1, 5, (6,), generator=generator).tolist()
        pictures, rows, columns, h, w, channels = size
        shape = (pictures, rows * h, columns * w, channels)
        yield torch.randn(shape, generator=generator), h, w


@check(points=2)
def check_tiles(partition: Callable[..., Any], merge: Callable[..., Any]) -> None:
    """Check how a map is cut into tiles and put together again.

    Args:
        partition: called as `partition(x, h, w)` with x (B, H, W, C); gives the
            tokens (B * H/h * W/w, h * w, C).
        merge: called as `merge(t, h, w, H, W)`, its inverse.
    """
    with seeded(0) as generator:
        # First a size at which every mistake shows, then sizes that one forgets.
        typical = torch.randn(2, 6, 12, 3, generator=generator)
        maps = [(typical, 3, 2), *random_tilings(generator, 20)]
    for x, h, w in maps:
        height, width = x.shape[1:3]
        where = f"for tiles of {h} x {w} tokens on a map of {height} x {width}"
        tiles = stripe_partition(x, h, w)
        got = answered(partition(x, h, w), "the first function")
        wrong = f"the tiles are wrong {where}"
        compare(got, tiles, _wrong_tiles(x, h, w), wrong)
        got = answered(merge(tiles, h, w, height, width), "the second function")
        wrong = f"the map is wrong {where}"
        compare(got, x, _wrong_maps(tiles, x, h, w), wrong)


def _wrong_tiles(x: Tensor, h: int, w: int) -> Mistakes:
    channels = x.shape[-1]
    cut = x.unflatten(2, (-1, w)).unflatten(1, (-1, h))  # (B, H/h, h, W/w, w, C)

    def flat(*axes: int) -> Tensor:
        return cut.permute(*axes, 5).reshape(-1, h * w, channels)

    mistakes: Mistakes = [
        (
            flat(0, 1, 2, 3, 4),
            "reshaping alone cuts the rows into runs: split both sides of the map, "
            "then bring the two axes inside a tile next to each other",
        ),
        (
            flat(0, 3, 1, 2, 4),
            "number the tiles in reading order: along a row of tiles first",
        ),
        (flat(0, 1, 3, 4, 2), "inside a tile, too, tokens stand in reading order"),
        (
            flat(1, 3, 0, 2, 4),
            "all tiles of the first picture come before those of the second",
        ),
    ]
    if x.shape[1] % w == 0 and x.shape[2] % h == 0:
        swapped = stripe_partition(x, w, h)
        mistakes.append((swapped, "h is the height of a tile and w its width"))
    return mistakes


def _wrong_maps(tiles: Tensor, x: Tensor, h: int, w: int) -> Mistakes:
    pictures, height, width, channels = x.shape
    rows, columns = height // h, width // w

    def laid(sizes: tuple[int, ...], *axes: int) -> Tensor:
        return tiles.reshape(*sizes, channels).permute(*axes, 5).reshape(x.shape)

    return [
        (
            tiles.reshape(x.shape),
            "reshaping alone lays the tokens of a tile out along a row of the map",
        ),
        (
            laid((pictures, columns, rows, h, w), 0, 2, 3, 1, 4),
            "the tiles are numbered in reading order: along a row of tiles first",
        ),
        (
            laid((pictures, rows, columns, w, h), 0, 1, 4, 2, 3),
            "inside a tile, too, tokens stand in reading order",
        ),
        (
            laid((rows, columns, pictures, h, w), 2, 0, 3, 1, 4),
            "all tiles of the first picture come before those of the second",
        ),
        (
            laid((pictures, rows, columns, h, w), 0, 2, 1, 3, 4),
            "the axes to exchange are the tile's place in its row of tiles and the row "
            "inside the tile: a row of the map runs through all tiles side by side",
        ),
        (
            laid((pictures, columns, rows, h, w), 0, 1, 3, 2, 4),
            "there are H / h rows of W / w tiles each, not the other way round",
        ),
        (x.transpose(1, 2), "the map is (B, H, W, C), its height before its width"),
    ]


# Exercise 2 --------------------------------------------------------------------------

TOLERANCE = 1e-5
"""How far one way to compute an attention may lie from another, in float32."""


def attend_in_tiles(
    q: Tensor, k: Tensor, v: Tensor, heads: int, h: int, w: int
) -> Tensor:
    """Attend inside tiles that fill the map, without a position encoding.

    Args:
        q: queries (B, H, W, C).
        k: keys, as the queries.
        v: values, as the queries.
        heads: number of heads; must divide C.
        h: height of a tile; H for vertical stripes.
        w: width of a tile; W for horizontal stripes.

    Returns:
        What each token gathered (B, H, W, C).
    """
    height, width = q.shape[1:3]
    q, k, v = (split_heads(stripe_partition(t, h, w), heads) for t in (q, k, v))
    y = merge_heads(F.scaled_dot_product_attention(q, k, v))  # (n, h * w, C)
    return stripe_merge(y, h, w, height, width)


@check(points=3)
def check_masked(mask: Callable[..., Any], attention: Callable[..., Any]) -> None:
    """Check the mask of stripes, and full attention under it.

    Args:
        mask: called as `mask(H, W, stripe, orientation)`; gives (H * W, H * W), True
            where a query (row) may see a key (column).
        attention: called as `attention(q, k, v, heads, mask)` with maps
            (B, H, W, C); gives such a map.
    """
    height, width, stripe = 4, 6, 2
    with seeded(0) as generator:
        q, k, v = torch.randn(3, 2, height, width, 12, generator=generator)
    allowed = _stripe_masks(height, width, stripe)
    for orientation, right in allowed.items():
        got = answered(mask(height, width, stripe, orientation), "the first function")
        _compare_mask(got, height, width, stripe, orientation)
        h, w = (height, stripe) if orientation == "vertical" else (stripe, width)
        wanted = attend_in_tiles(q, k, v, 3, h, w)
        got = answered(attention(q, k, v, 3, right), "the second function")
        wrong = f"masked attention is not attention in {orientation} stripes"
        compare(got, wanted, _wrong_attentions(q, k, v, 3, right), wrong)
        distance = (got - wanted).abs().max()
        if distance > TOLERANCE:
            raise Wrong(
                f"almost: the largest difference is {distance:.0e}, and {TOLERANCE:.0e}"
                " is allowed; masked keys need the score minus infinity"
            )


def _stripe_masks(height: int, width: int, stripe: int) -> dict[str, Tensor]:
    """Return for both directions which token (row) may see which (column)."""
    token = torch.arange(height * width)
    number = {"vertical": token % width, "horizontal": token // width}
    return {
        orientation: line[:, None] // stripe == line // stripe
        for orientation, line in number.items()
    }


def _compare_mask(
    got: Any, height: int, width: int, stripe: int, orientation: str
) -> None:
    masks = _stripe_masks(height, width, stripe)
    right = masks.pop(orientation)
    (other,) = masks.values()
    token = torch.arange(height * width)
    vertical = orientation == "vertical"
    line = token % width if vertical else token // width
    side = width if vertical else height
    turned = token // height if vertical else token % height

    def same(number: Tensor) -> Tensor:
        return number[:, None] == number

    mistakes = [
        (other, "a vertical stripe is as high as the map, a horizontal one as wide"),
        (~right, "True stands where a query may see a key, not where it may not"),
        (same(line), f"a stripe of width {stripe} is {stripe} tokens wide, not one"),
        (
            same(line // (side // stripe)),
            "`stripe` is the width of a stripe, not the number of stripes",
        ),
        (same(line % stripe), "divide and round down; the remainder is another thing"),
        (
            (line[:, None] - line).abs() < stripe,
            "stripes stand still: they are not bands that move with the query",
        ),
        (
            same(turned // stripe),
            "in reading order token i lies in row i // W and column i % W",
        ),
    ]
    if isinstance(got, Tensor) and got.dtype != torch.bool:
        raise Wrong(f"the mask holds True and False (torch.bool), not {got.dtype}")
    compare(got, right, mistakes, f"the mask of {orientation} stripes is wrong")


def _wrong_attentions(
    q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor
) -> Mistakes:
    size, dim = q.shape, q.shape[-1]
    q, k, v = (t.flatten(1, 2) for t in (q, k, v))  # (B, N, C) each
    queries, keys, values = (split_heads(t, heads) for t in (q, k, v))
    scores = queries @ keys.mT  # (B, heads, N, N)
    scale = (dim // heads) ** -0.5
    hidden = scores.masked_fill(~mask, -torch.inf)
    weights = (scale * hidden).softmax(-1)

    def gathered(shares: Tensor) -> Tensor:
        return merge_heads(shares @ values).view(size)

    single = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    q, k, v = (t.unflatten(-1, (-1, heads)).movedim(-1, 1) for t in (q, k, v))
    interleaved = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    own = "a head owns C / K channels that stand next to each other"
    zeroed = (scale * scores).softmax(-1) * mask
    return [
        (
            gathered((scale * scores).softmax(-1)),
            "the mask has no effect: this is full attention",
        ),
        (
            gathered((scale * scores * mask).softmax(-1)),
            "a score of 0 is not a score of minus infinity: it takes a share",
        ),
        (
            gathered(zeroed),
            "mask before the softmax: afterwards the weights no longer sum to 1",
        ),
        (gathered(hidden.softmax(-1)), "the scores are divided by the root of C / K"),
        (
            gathered((dim**-0.5 * hidden).softmax(-1)),
            "a head has C / K channels: divide by the root of that, not of C",
        ),
        (
            gathered((scale * hidden).softmax(-2)),
            "the softmax runs over the keys, not over the queries",
        ),
        (single.view(size), "every head has weights of its own: split the channels"),
        (interleaved.movedim(1, -1).reshape(size), own),
        (merge_heads(interleaved).view(size), own),
        (
            (weights @ values).reshape(size),
            "bring the tokens before the heads, then lay the heads side by side",
        ),
    ]


# Exercise 3 --------------------------------------------------------------------------


class SplitAttention(nn.Module):
    """Cross-shaped attention with any number of heads for each direction, no LePE.

    Args:
        dim: width C.
        stripe: width of a stripe.
        vertical: heads that look along vertical stripes.
        horizontal: heads that look along horizontal ones.

    Shape: (B, H, W, C) -> (B, H, W, C); stripes must fill the map.
    """

    def __init__(self, dim: int, stripe: int, vertical: int, horizontal: int) -> None:
        super().__init__()
        self.stripe, self.heads = stripe, (vertical, horizontal)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Let each direction attend with its share of the channels."""
        tiles = ((x.shape[1], self.stripe), (self.stripe, x.shape[2]))
        head = x.shape[-1] // sum(self.heads)  # channels of a head
        widths = [heads * head for heads in self.heads]
        parts = [t.split(widths, dim=-1) for t in self.qkv(x).chunk(3, dim=-1)]
        seen = [
            attend_in_tiles(q, k, v, heads, h, w)
            for q, k, v, heads, (h, w) in zip(*parts, self.heads, tiles, strict=True)
            if heads
        ]
        return self.proj(torch.cat(seen, dim=-1))


@check(points=2)
def check_split_macs(answer: Callable[..., Any]) -> None:
    """Check the closed form for the multiply-adds of an uneven split of the heads.

    Args:
        answer: called as `answer(height, width, dim, stripe, a, b)` with `a` vertical
            and `b` horizontal heads.
    """
    for height, width, dim, stripe, a, b in ((12, 8, 24, 4, 3, 1), (6, 9, 20, 3, 1, 4)):
        with seeded(0):
            layer = SplitAttention(dim, stripe, a, b)
        inputs = torch.zeros(1, height, width, dim)
        right = count_macs(layer, inputs, include_norm=False)
        got = answered(answer(height, width, dim, stripe, a, b), "the function")
        where = f"with {a}:{b} heads on {height} x {width} it is {right:,}, not {got}"
        mistakes = _wrong_macs(right, height, width, dim, stripe, a, b)
        compare(_whole(got), right, mistakes, f"count product by product; {where}")


def _whole(number: Any) -> Any:
    """Return the whole number that a division has left as a float, if it is one."""
    whole = isinstance(number, float) and abs(number - round(number)) < 1e-3
    return round(number) if whole else number


def _wrong_macs(
    right: int, height: int, width: int, dim: int, stripe: int, a: int, b: int
) -> Mistakes:
    tokens, heads = height * width, a + b
    layer = tokens * dim * dim  # one linear layer
    attention = right - 4 * layer

    def products(vertical: float, horizontal: float) -> float:
        keys = stripe * (vertical * height + horizontal * width)
        return 2 * tokens * keys * dim

    return [
        (2 * right, "count multiply–adds, not floating-point operations: halve it"),
        (
            right - attention // 2,
            "attention is two products, the scores and the weighted mean",
        ),
        (
            4 * layer + _whole(products(b / heads, a / heads)),
            "a head that looks along a vertical stripe sees stripe * H keys",
        ),
        (
            4 * layer + _whole(products(0.5, 0.5)),
            "this is the even split: a of all heads look along vertical stripes",
        ),
        (
            4 * layer + _whole(products(1, 1)),
            "a branch has only the channels of its own heads",
        ),
        (
            4 * layer + _whole(products(a, b)),
            "heads cost nothing extra: each has only C / (a + b) channels",
        ),
        (
            4 * layer + attention // stripe,
            "a stripe is `stripe` tokens wide: that many more keys",
        ),
        (attention, "the four linear layers are missing: query, key, value, output"),
        (right - layer, "a linear layer is missing: there is one after the heads, too"),
        (right - 3 * layer, "queries, keys and values need a linear layer each"),
        (right + 8 * layer, "the MLP is another part of the block: leave it out"),
        (right + 9 * tokens * dim, "LePE, nine taps a token and channel, is left out"),
        *(
            (right + times * dim * one, "biases are sums, no products: leave them out")
            for times in (4, 3, 1)
            for one in (tokens, 1)
        ),
    ]


# Exercise 4 --------------------------------------------------------------------------


def convolve_in_tiles(conv: nn.Conv2d, v: Tensor, h: int, w: int) -> Tensor:
    """Apply LePE as the official code does: cut into tiles, pad each, convolve.

    Args:
        conv: depthwise 3x3 convolution of C channels, padded by one.
        v: values (B, H, W, C).
        h: height of a tile; must divide H.
        w: width of a tile; must divide W.

    Returns:
        Map (B, H, W, C).
    """
    height, width = v.shape[1:3]
    tiles = stripe_partition(v, h, w).unflatten(1, (h, w))  # (n, h, w, C)
    z = conv(tiles.movedim(-1, 1)).movedim(1, -1)  # zeros around every tile
    return stripe_merge(z.flatten(1, 2), h, w, height, width)


@check(points=3)
def check_taps(live: Callable[..., Any], line: Callable[..., Any]) -> None:
    """Check which taps of LePE are alive, and the convolution that does as well.

    Args:
        live: called as `live(conv, h, w, H, W)`; gives (3, 3), True for a tap that
            receives a gradient in some tile of h x w tokens.
        line: called as `line(conv, orientation)`; gives an `nn.Conv1d` that takes
            stripes of width 1 as sequences (n, C, length).
    """
    with seeded(0) as generator:
        conv = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        v = torch.randn(2, 6, 5, 4, generator=generator)
    for h, w in ((6, 1), (1, 5), (1, 1), (2, 1), (3, 5)):
        right = torch.tensor([[False, True, False]] * 3) | (w > 1)
        right &= torch.tensor([[False], [True], [False]]) | (h > 1)
        with seeded(0):
            got = answered(live(conv, h, w, 6, 5), "the first function")
        _compare_taps(got, right, f"in tiles of {h} x {w} tokens")
    for orientation, (h, w) in {"vertical": (6, 1), "horizontal": (1, 5)}.items():
        with seeded(0):
            layer = answered(line(conv, orientation), "the second function")
        _check_line(layer)
        with torch.no_grad():
            wanted = stripe_partition(convolve_in_tiles(conv, v, h, w), h, w).mT
            stripes = stripe_partition(v, h, w).mT  # (n, C, length)
            got = layer(stripes)
            mistakes = _wrong_lines(stripes, conv, orientation)
        wrong = f"the sequences differ from {orientation} stripes of width 1"
        compare(got, wanted, mistakes, wrong)


def _compare_taps(got: Any, right: Tensor, where: str) -> None:
    if isinstance(got, Tensor) and got.shape[-2:] == (3, 3) and got.dim() > 2:
        size = tuple(got.shape)
        raise Wrong(f"one table (3, 3) for all channels together, not {size}")
    if isinstance(got, Tensor) and got.dtype != torch.bool:
        raise Wrong(f"say where the gradient is not zero: torch.bool, not {got.dtype}")
    mistakes = [
        (
            torch.ones(3, 3, dtype=torch.bool),
            f"{where} not every tap meets a token: convolve each tile by itself, "
            "with `convolve_in_tiles`",
        ),
        (~right, "True stands for the taps that are alive, not for the dead ones"),
        (right.mT, "rows of the kernel belong to h, columns to w: this is turned"),
    ]
    compare(got, right, mistakes, f"{where} other taps receive a gradient")


def _check_line(layer: Any) -> None:
    if not isinstance(layer, nn.Conv1d):
        raise Wrong(f"an nn.Conv1d is wanted, not {type(layer).__name__}")
    if layer.groups != layer.in_channels:
        raise Wrong("every channel is convolved by itself: groups=C")
    if layer.kernel_size != (3,):
        raise Wrong(f"three taps are alive, not {layer.kernel_size[0]}")


def _wrong_lines(stripes: Tensor, conv: nn.Conv2d, orientation: str) -> Mistakes:
    bias = conv.bias
    # Columns are what dies in vertical stripes: turn the kernel for horizontal ones.
    kernel = conv.weight if orientation == "vertical" else conv.weight.mT
    alive = kernel[..., 1]  # (C, 1, 3)

    def run(taps: Tensor, shift: Tensor | None = bias) -> Tensor:
        return F.conv1d(stripes, taps, shift, padding=1, groups=len(taps))

    return [
        (
            run(kernel[..., 1, :]),
            "these are the taps of the other direction: one of them is alive here",
        ),
        (run(alive, None), "the bias is missing: it acts on every token"),
        (
            run(kernel.sum(-1)),
            "do not add the dead taps to the live ones: they only ever meet zeros",
        ),
        (
            run(kernel.mean(-1)),
            "do not average the dead taps with the live ones: they only meet zeros",
        ),
        (run(kernel[..., 0]), "these taps stand at the edge of the kernel: all dead"),
        (run(kernel[..., 2]), "these taps stand at the edge of the kernel: all dead"),
        (
            run(alive.flip(-1)),
            "the taps stand in the same order in both: do not turn them round",
        ),
    ]


# Exercise 5 --------------------------------------------------------------------------


def attend_at_borders(
    q: Tensor, k: Tensor, v: Tensor, heads: int, stripe: int
) -> Tensor:
    """Attend in vertical stripes of which the first and the last may be narrower.

    This is what padding has to give if padded keys do not count: each stripe is cut
    out and attends by itself.

    Args:
        q: queries (B, H, W, C).
        k: keys, as the queries.
        v: values, as the queries.
        heads: number of heads; must divide C.
        stripe: width of a stripe.

    Returns:
        Map (B, H, W, C).
    """
    height, width = q.shape[1:3]
    first = stripe - (-width % stripe) // 2  # where the first stripe ends
    seen = []
    for end in range(first, width + stripe, stripe):
        a, b, c = (t[:, :, max(end - stripe, 0) : end] for t in (q, k, v))
        seen.append(attend_in_tiles(a, b, c, heads, height, a.shape[2]))
    return torch.cat(seen, dim=2)


@check(points=3)
def check_padding(answer: Callable[..., Any]) -> None:
    """Check attention in vertical stripes that do not fill the map.

    Args:
        answer: called as `answer(q, k, v, heads, stripe, fill)` with maps
            (B, H, W, C); `fill` is what the padding holds.
    """
    stripe = 4
    with seeded(0) as generator:
        maps = torch.randn(3, 2, 3, 9, 8, generator=generator)
    for width, fill in ((9, 3.0), (9, 0.0), (7, 3.0), (8, 3.0)):
        q, k, v = maps[..., :width, :]
        got = answered(answer(q, k, v, 2, stripe, fill), "the function")
        extra = -width % stripe
        if extra and got.shape[2:3] == (width + extra,):
            raise Wrong("cut off what was added: the map must be as wide as it was")
        if got.shape[2:3] == (0,):
            raise Wrong(
                "where nothing is padded the map comes back empty: a slice that ends "
                "at -0 ends at the start"
            )
        where = f"with W = {width}, stripe = {stripe} and fill = {fill:g}"
        compare(
            got,
            attend_at_borders(q, k, v, 2, stripe),
            _wrong_paddings([q, k, v], stripe, fill) if extra else [],
            f"the result is wrong {where}",
        )


def _wrong_paddings(maps: list[Tensor], stripe: int, fill: float) -> Mistakes:
    width = maps[0].shape[2]
    extra = -width % stripe
    left = extra // 2
    sides = "pad both sides; where the number is odd, the right side by one more"

    def columns(first: int, y: Tensor) -> Tensor:
        return y[:, :, first : first + width]

    mistakes: Mistakes = [
        (
            columns(left, _padded(maps, stripe, left, fill, "count")),
            "padded keys take part: it is the keys that a mask has to hide",
        ),
        (
            columns(left, _padded(maps, stripe, left, 0.0, "count")),
            "what the padding holds no longer shows, and padded keys still take a "
            "share: a score of 0 is not a score of minus infinity",
        ),
        (
            columns(left, _padded(maps, stripe, left, fill, "struck out")),
            "mask before the softmax: afterwards the weights no longer sum to 1",
        ),
    ]
    hidden = {
        before: _padded(maps, stripe, before, 0.0, "hidden")
        for before in {0, left, extra - left, extra}
    }
    mistakes += [(columns(before, y), sides) for before, y in hidden.items()]
    counted = product({0, extra - left, extra}, (fill, 0.0))
    mistakes += [
        (
            columns(before, _padded(maps, stripe, before, held, "count")),
            "padded keys take part: hide them by a mask; and pad both sides, where the "
            "number is odd the right side by one more",
        )
        for before, held in counted
    ]
    # The padded columns themselves hold what a query without a meaning gathers.
    crop = "crop as you padded: the first column of the map stands behind padding"
    return [*mistakes, (columns(0, _padded(maps, stripe, left, fill, "hidden")), crop)]


def _padded(
    maps: list[Tensor], stripe: int, left: int, fill: float, keys: str
) -> Tensor:
    """Attend in two heads on a padded map, and do not crop it.

    Padded keys count, are hidden, or have their weights struck out after the softmax.
    """
    height, width, dim = maps[0].shape[1:]
    extra = -width % stripe
    sides = (0, 0, left, extra - left)
    padded = [F.pad(t, sides, value=fill) for t in maps]
    q, k, v = (split_heads(stripe_partition(t, height, stripe), 2) for t in padded)
    real = F.pad(torch.ones_like(maps[0][..., :1]), sides)
    real = stripe_partition(real, height, stripe).mT.unsqueeze(1)  # (n, 1, 1, N)
    scores = (dim // 2) ** -0.5 * q @ k.mT  # (n, 2, N, N)
    if keys == "hidden":
        scores = scores.masked_fill(real == 0, -torch.inf)
    weights = scores.softmax(-1)
    if keys == "struck out":
        weights = weights * real
    y = merge_heads(weights @ v)
    return stripe_merge(y, height, stripe, height, width + extra)


# Exercise 6 --------------------------------------------------------------------------

Build = Callable[[], nn.Module]

GRID, DIM, HEADS = 20, 32, 4
"""Tiles along a side, width of a token, and heads of the cross to beat."""

MACS = GRID**2 * DIM * (4 * DIM + 2 * GRID + 9)
"""Multiply-adds allowed: equation 3 at stripe width 1, and nine taps of LePE."""

PARAMETERS = 4 * DIM**2 + 4 * DIM + 10 * DIM
"""Parameters allowed: four linear layers with biases, and LePE."""

REACH = (2 * GRID - 1) / GRID**2
"""Share of the tiles that lie in the cue's row or column."""

BOUND = REACH + (1 - REACH) / 4
"""What one cross can tell at best: its reach, and one guess in four elsewhere."""

STEPS, BATCH, RATE = 300, 16, 8e-3
TRAIN, TEST = 1000, 500
"""Training of every entry: minibatches, scenes in each, peak rate; scenes in all."""

SEEDS = (200, 201, 202, 203, 204)
"""Seeds of the public leaderboard; a course takes others and keeps them."""


class OneBlock(nn.Module):
    """One transformer block between tiles and answers; all talk is its attention's.

    Args:
        attention: module (B, 20, 20, 32) -> (B, 20, 20, 32).

    Shape: pictures (B, 3, 40, 40) -> answers (B, 4, 400).
    """

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.embed = ConvPatchEmbed(3, DIM, k=2, s=2, p=0)  # patches do not overlap
        self.block = PreNormBlock(DIM, attention, mlp_ratio=2)
        self.norm = nn.LayerNorm(DIM)
        self.answer = nn.Linear(DIM, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return the answers of all tiles."""
        x = self.block(self.embed(x))  # (B, 20, 20, 32)
        return self.answer(self.norm(x)).flatten(1, 2).mT


def cross_entry() -> nn.Module:
    """Build the attention to beat: cross-shaped, with stripes of width 1."""
    return CrossShapedAttention(DIM, HEADS, 1)


def price(attention: nn.Module) -> tuple[int, int]:
    """Return the multiply-adds and the parameters of an attention."""
    x = torch.zeros(1, GRID, GRID, DIM)
    macs = count_macs(attention, x, include_norm=False)
    return macs, count_parameters(attention)


@check(points=5)
def check_entry(answer: Build, seed: int = 100) -> None:
    """Check that an attention keeps to the budget, train it, and see what it tells.

    Args:
        answer: builds a new attention (B, 20, 20, 32) -> the same at each call.
        seed: draws scenes, weights and batches.
    """
    with seeded(seed) as generator:
        attention, other = answered(answer(), "the function"), answer()
        x = torch.randn(4, GRID, GRID, DIM, generator=generator)
    if not isinstance(attention, nn.Module):
        raise Wrong(f"return an nn.Module, not {type(attention).__name__}")
    if attention is other:
        raise Wrong("build a new attention at each call: every seed starts afresh")
    got = answered(attention(x), "forward")
    if got.shape != x.shape:
        size = tuple(got.shape)
        raise Wrong(f"a map (B, 20, 20, 32) goes in and out; for four: {size}")
    if not got.requires_grad:
        raise Wrong("no parameter receives a gradient: nothing can be learned")
    over = _over_budget(attention)
    if over:
        raise Wrong(over)
    attention.eval()
    with torch.no_grad():
        alone = torch.cat([attention(part) for part in x.split(1)])
        together = attention(x)
    mixing = "in eval mode a map must not depend on the other pictures of the batch"
    compare(alone, together, [], mixing)
    _judge(measure(answer, seed).interval)


def _over_budget(attention: nn.Module) -> str:
    """Return what an attention spends too much of, empty if it keeps to the budget."""
    macs, parameters = price(attention)
    if macs > MACS:
        return f"{macs:,} multiply–adds are {macs - MACS:,} too many"
    if parameters > PARAMETERS:
        return f"{parameters:,} parameters are {parameters - PARAMETERS:,} too many"
    return ""


def _judge(share: Interval) -> None:
    told = (
        f"{share.mean:.3f} [{share.low:.3f}, {share.high:.3f}] of the tiles are right"
    )
    if share.high < BOUND:
        raise Wrong(f"{told}: less than the {BOUND:.3f} that a cross could tell")
    if share.low <= BOUND:
        raise Wrong(
            f"{told}: not above the {BOUND:.3f} that a cross could tell; who tells a "
            "tile that shares neither row nor column with the cue?"
        )


@dataclass(frozen=True)
class Score:
    """How well an attention tells the cue.

    Attributes:
        macs: multiply-adds of the attention, one picture.
        parameters: its parameters.
        shares: for each scene, or for each seed, the share of right tiles.
    """

    macs: int
    parameters: int
    shares: tuple[float, ...]

    @property
    def interval(self) -> Interval:
        """Return the mean share with its 95 % interval."""
        return t_interval(self.shares)

    def __str__(self) -> str:
        """Return the price, mean and interval as one line."""
        i = self.interval
        told = f"{i.mean:.3f} [{i.low:.3f}, {i.high:.3f}]"
        return f"{self.macs:,} MAdds, {self.parameters:,} parameters: {told}"


def measure(
    build: Build,
    seed: int,
    *,
    steps: int | None = None,
    train: int = TRAIN,
    test: int = TEST,
) -> Score:
    """Train one block with an attention on "tell", and test it on new scenes.

    Args:
        build: makes a new attention (B, 20, 20, 32) -> (B, 20, 20, 32).
        seed: draws scenes, weights and batches; nothing outside is changed.
        steps: minibatches; by default `STEPS`.
        train: number of training scenes.
        test: number of test scenes, at least two.

    Returns:
        Price, and the share of right tiles in every test scene: the interval is one
        over scenes, for the network of this seed.

    Raises:
        ValueError: for an attention over the budget.
    """
    steps = STEPS if steps is None else steps
    with seeded(seed) as generator:
        attention = build()
        over = _over_budget(attention)
        if over:
            raise ValueError(f"build: {over}")
        x, y = _scenes(train, seed, "train")
        size = min(BATCH, train)
        data = batches(x, y, batch_size=size, generator=generator, steps=steps)
        net = _fit(OneBlock(attention), data, steps)
    x, y = _scenes(test, seed, "test")
    with torch.no_grad():
        guess = torch.cat([net(part).argmax(dim=1) for part in x.split(100)])
    right = (guess == y).float().mean(dim=1)
    return Score(*price(attention), tuple(right.tolist()))


def _fit(net: nn.Module, data: Iterable[tuple[Tensor, ...]], steps: int) -> nn.Module:
    """Train with AdamW and one cycle of the rate, as the arms of the claim."""
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for x, y in data:
        loss = F.cross_entropy(net(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.eval()


def _scenes(n: int, seed: int, split: str) -> tuple[Tensor, Tensor]:
    scenes = tile_scenes(n, seed, split=split, task="tell", grid=GRID)
    return to_tensors(scenes, label="target_map")


def leaderboard(
    entries: Mapping[str, Build], seeds: Sequence[int] = SEEDS, **options: Any
) -> list[str]:
    """Measure entries and the cross on the same seeds, best first.

    Args:
        entries: name -> function that builds an attention.
        seeds: as for `measure`; two or more, for the intervals are over seeds.
        options: further arguments of `measure`, the same for all.

    Returns:
        One line an entry: its price and share of right tiles and, from the interval of
        the paired difference, whether it beats the cross. Of equal shares the cheaper
        entry stands first.

    Raises:
        ValueError: for fewer than two seeds, or an attention over the budget.
    """
    if len(seeds) < 2:
        raise ValueError(f"seeds={seeds} must be two or more: one has no interval")

    def over_seeds(build: Build) -> Score:
        scores = [measure(build, seed, **options) for seed in progress(seeds, "seeds")]
        means = tuple(score.interval.mean for score in scores)
        return Score(scores[0].macs, scores[0].parameters, means)

    cross = over_seeds(cross_entry)
    lines = [(-cross.interval.mean, cross.macs, f"cross, {cross}")]
    for name, build in entries.items():
        score = over_seeds(build)
        ahead = paired_difference(score.shares, cross.shares)
        gain = f"{ahead.mean:+.3f} [{ahead.low:+.3f}, {ahead.high:+.3f}]"
        line = f"{name}, {score}; ahead by {gain}: {verdict(ahead)}"
        lines.append((-score.interval.mean, score.macs, line))
    return [line for *_, line in sorted(lines)]
