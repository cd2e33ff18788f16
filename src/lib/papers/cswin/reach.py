"""Which tokens can influence which, after one block, two, and more.

A token reaches what it sees, and what those tokens saw in the blocks before. Computed
twice: from who sees whom, by products of boolean matrices, and from the gradients of a
network with random weights.
"""

from functools import cache

import torch
from torch import Tensor

from lib.papers.cswin.attentions import bands, check_switches
from lib.papers.cswin.model import CSWin

Size = tuple[int, int]

GRIDS: tuple[tuple[int, int], ...] = ((56, 1), (28, 2), (14, 7))
"""Side of the map and width of the stripes in the first three stages at 224 pixels."""

COMPARED: dict[str, int | None] = {
    "cross_shaped": None,
    "shifted": 7,
    "sequential": None,
}
"""Attentions of the table: windows of 7 tokens, or stripes as wide as the grid's."""


def places(side: Size) -> tuple[Tensor, Tensor]:
    """Return the row and the column of each token in reading order, (N,) each."""
    rows, columns = torch.meshgrid(*map(torch.arange, side), indexing="ij")
    return rows.flatten(), columns.flatten()


def same(of: Tensor, size: int, shift: int = 0) -> Tensor:
    """Say which tokens lie in the same band, (N, N), from their row or column (N,)."""
    band = bands(int(of.max()) + 1, size, shift)[of]
    return band[:, None] == band


def around(side: Size, before: int, after: int) -> Tensor:
    """Say which tokens lie at most so far before or after another on both axes."""
    near = [
        (x - x[:, None] >= -before) & (x - x[:, None] <= after) for x in places(side)
    ]
    return near[0] & near[1]


def sees(
    kind: str,
    side: Size,
    stripe: int | None,
    index: int = 0,
    *,
    position: str = "none",
) -> Tensor:
    """Say which tokens influence which in one block.

    Args:
        kind: attention, see `build_attention`, also for `stripe` and `index`.
        side: height H and width W of the map.
        stripe: width of a stripe or side of a window, None for the whole map.
        index: number of the block.
        position: position encoding; LePE on the whole map and CPE let tokens see
            their neighbours.

    Returns:
        Booleans (N, N), N = H * W in reading order: entry [q, k] says whether the
        token q sees the token k.

    Raises:
        ValueError: for a kind or a position that is not known, or a stripe below 1.
    """
    check_switches(kind, position, stripe)
    i, j = places(side)
    if kind == "full" or stripe is None or stripe >= max(side):
        found = torch.ones(len(i), len(i), dtype=torch.bool)
    elif kind == "cross_shaped":  # zeros on both sides fill the last stripes
        rows, columns = (-(-n % stripe // 2) for n in side)
        found = same(i, stripe, rows) | same(j, stripe, columns)
    elif kind == "criss_cross":
        found = same(i, 1) | same(j, 1)
    elif kind == "sliding":
        found = around(side, stripe // 2, (stripe - 1) // 2)
    elif kind in ("window", "shifted"):
        moved = stripe // 2 if kind == "shifted" and index % 2 else 0
        rows, columns = (moved if stripe < n else 0 for n in side)
        found = same(i, stripe, rows) & same(j, stripe, columns)
    else:  # "axial", "sequential"
        found = same(i if index % 2 else j, 1 if kind == "axial" else stripe)
    if position == "lepe" and kind in ("criss_cross", "sliding"):
        found |= around(side, 1, 1)
    if position == "cpe_every" or (position == "cpe" and index == 0):
        found = then(around(side, 1, 1), found)
    return found


def then(first: Tensor, second: Tensor) -> Tensor:
    """Return who reaches whom if the blocks of `second` follow those of `first`."""
    # The tokens of a window see the same: one row for all of them saves time.
    rows, row = torch.unique(second, dim=0, return_inverse=True)
    paths = rows.float() @ first.float()  # how many, exact below 2^24
    return (paths > 0)[row]


def reach_by_masks(
    kind: str,
    side: Size,
    depth: int,
    stripe: int | None = 1,
    *,
    position: str = "none",
) -> Tensor:
    """Return which tokens each token can be influenced by, block after block.

    Args:
        kind: attention, see `sees`.
        side: height H and width W of the map.
        depth: number of blocks, at least 1.
        stripe: see `sees`.
        position: see `sees`.

    Returns:
        Booleans (depth, N, N), N = H * W: entry [b, q, k] says whether the token k can
        influence the token q after b + 1 blocks.

    Raises:
        ValueError: for a depth below 1.
    """
    if depth < 1:
        raise ValueError(f"depth={depth}; allowed are 1 and more")
    found = [sees(kind, side, stripe, 0, position=position)]
    for index in range(1, depth):
        block = sees(kind, side, stripe, index, position=position)
        found.append(then(found[-1], block))
    return torch.stack(found)


def reach_by_autograd(
    kind: str,
    side: Size,
    depth: int,
    stripe: int | None = 1,
    *,
    position: str = "none",
    together: int = 64,
) -> Tensor:
    """Return the same from a network: which inputs have a gradient that is not zero.

    The network has one stage, random weights and a token for each pixel. One output
    token is asked for each picture of a batch of equal pictures.

    Args:
        kind: attention, see `sees`.
        side: height H and width W of the map.
        depth: number of blocks, at least 1.
        stripe: see `sees`.
        position: see `sees`.
        together: number of output tokens in a batch.

    Returns:
        Booleans (depth, N, N), see `reach_by_masks`.
    """
    generator = torch.Generator().manual_seed(0)
    dim, n, found = 8, side[0] * side[1], []
    for blocks in range(1, depth + 1):
        net = CSWin(
            dim,
            (blocks,),
            (stripe or max(side),),
            (4,),
            num_classes=0,
            in_channels=dim,
            resolution=side,
            patch=(1, 1, 0),
            attention=kind,
            position=position,
        ).double()
        for parameter in net.parameters():  # far from zero, so that no gradient is lost
            parameter.data.normal_(std=0.5, generator=generator)
        picture = torch.randn(1, dim, *side, dtype=torch.double, generator=generator)
        asked = torch.randn(dim, dtype=torch.double, generator=generator)
        rows = []
        for tokens in torch.arange(n).split(together):
            x = picture.repeat(len(tokens), 1, 1, 1).requires_grad_()
            y = net(x).flatten(2)  # (tokens, dim, N)
            one_each = y[torch.arange(len(tokens)), :, tokens]  # (tokens, dim)
            (gradient,) = torch.autograd.grad((one_each @ asked).sum(), x)
            rows.append((gradient != 0).any(dim=1).flatten(1))  # (tokens, N)
        found.append(torch.cat(rows))
    return torch.stack(found)


def shares(reach: Tensor) -> list[float]:
    """Return the share of the map that the mean token reaches, block by block.

    Args:
        reach: booleans (depth, N, N), see `reach_by_masks`.
    """
    return reach.float().mean(dim=(1, 2), dtype=torch.double).tolist()


def share_by_distance(reach: Tensor, side: Size) -> Tensor:
    """Return how many of the pairs at each distance are in reach.

    Args:
        reach: booleans (N, N) of one depth.
        side: height and width of the map, N = H * W.

    Returns:
        Shares (max(H, W),), one for each Chebyshev distance from 0.
    """
    i, j = places(side)
    away = torch.maximum((i - i[:, None]).abs(), (j - j[:, None]).abs()).flatten()
    return torch.bincount(away, reach.flatten().double()) / torch.bincount(away)


@cache
def receptive_field(
    kind: str, side: int, stripe: int, most: int = 8
) -> tuple[float, ...]:
    """Return the share of a square map in reach after block 1, 2, and so on.

    Args:
        kind: attention, see `sees`.
        side: side of the map in tokens.
        stripe: width of a stripe or side of a window.
        most: number of blocks after which to end even if something is left.

    Returns:
        Shares in (0, 1], up to the first block that reaches everything.
    """
    found = sees(kind, (side, side), stripe)
    row = shares(found[None])
    while row[-1] < 1 and len(row) < most:
        found = then(found, sees(kind, (side, side), stripe, len(row)))
        row += shares(found[None])
    return tuple(row)


def receptive_fields() -> dict[int, dict[str, tuple[float, ...]]]:
    """Compute the table of receptive fields: side -> attention -> shares by block."""
    return {
        side: {
            kind: receptive_field(kind, side, window or stripe)
            for kind, window in COMPARED.items()
        }
        for side, stripe in GRIDS
    }


def expected_accuracy(share: float, classes: int = 4) -> float:
    """Predict the accuracy on "tell everyone the cue" from the share c in reach.

    Who can be reached answers rightly, everyone else guesses: c + (1 - c) / classes.

    Args:
        share: share of pairs of tokens in reach, in [0, 1]; tensors are welcome.
        classes: number of answers.
    """
    return share + (1 - share) / classes
