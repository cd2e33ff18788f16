"""What a block costs, in closed form (section 3.2 of the paper, equation 3).

All functions count multiply-adds for one map of H x W tokens of width C. Where stripes
or windows do not fill the map, the zeros that fill it up are counted as well, because
they are computed.
"""

from collections.abc import Sequence


def filled(n: int, size: int) -> int:
    """Round a side up to a multiple of a size."""
    return -(-n // size) * size


def projections(H: int, W: int, C: int) -> int:
    """Cost of queries, keys, values and the output: 4 HWC²."""
    return 4 * H * W * C * C


def mlp(H: int, W: int, C: int, ratio: float = 4) -> int:
    """Cost of the small network: 2 ratio HWC²."""
    return 2 * H * W * C * int(ratio * C)


def full_products(H: int, W: int, C: int) -> int:
    """Cost of both products of full attention: 2 (HW)² C, square in the tokens."""
    return 2 * (H * W) ** 2 * C


def window_products(H: int, W: int, C: int, side: int) -> int:
    """Cost of both products in windows of side M: 2 M² HWC."""
    return 2 * side**2 * filled(H, side) * filled(W, side) * C


def stripe_products(H: int, W: int, C: int, stripe: int, vertical: float = 0.5) -> int:
    """Cost of both products in stripes: sw (H + W) HWC with equal halves.

    A token meets sw * H keys in its vertical stripe and sw * W in its horizontal one;
    each meeting costs two multiply-adds for every channel of the half.

    Args:
        H: height of the map.
        W: width of the map.
        C: width of a token.
        stripe: width sw of a stripe.
        vertical: share of the channels, hence of the heads, in vertical stripes.
    """
    channels = round(vertical * C)
    down = H * filled(W, stripe) * stripe * H * channels
    across = filled(H, stripe) * W * stripe * W * (C - channels)
    return 2 * (down + across)


def lepe(H: int, W: int, C: int, stripe: int) -> int:
    """Cost of LePE: nine taps a token and channel; three if a stripe is one wide."""
    taps = 3 if stripe == 1 else 9
    return taps * C * (H * filled(W, stripe) + filled(H, stripe) * W) // 2


def omega(H: int, W: int, C: int, stripe: int) -> int:
    """Cost of cross-shaped attention, equation 3: HWC (4C + sw H + sw W)."""
    return projections(H, W, C) + stripe_products(H, W, C, stripe)


def equivalent_window(H: int, W: int, stripe: int) -> float:
    """Return the side M of windows as dear as stripes: M² = sw (H + W) / 2."""
    return (stripe * (H + W) / 2) ** 0.5


def network_products(
    dim: int,
    depths: Sequence[int],
    stripes: Sequence[int | None],
    sides: Sequence[int],
) -> list[int]:
    """Cost of both products of attention in every stage of a network.

    Args:
        dim: width of the first stage; each stage doubles it.
        depths: number of blocks a stage.
        stripes: width of the stripes a stage; None, or what covers the map, is full.
        sides: side of the map a stage.
    """
    costs = []
    for i, (depth, stripe, side) in enumerate(zip(depths, stripes, sides, strict=True)):
        C = dim * 2**i
        if stripe is None or stripe >= side:
            costs.append(depth * full_products(side, side, C))
        else:
            costs.append(depth * stripe_products(side, side, C, stripe))
    return costs
