"""The arms of chapter 2's experiment are comparable, and its code runs."""

import torch

from lib.claims import cswin as claim
from lib.papers.cswin.reach import expected_accuracy, reach_by_masks, shares

DEEP = ("cross_shaped", "shifted", "window", "axial", "full")
SIDE = (claim.GRID, claim.GRID)


def size(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_arms_of_equal_depth_have_equal_parameters() -> None:
    assert len({size(claim.TileAnswers(**claim.ARMS[arm])) for arm in DEEP}) == 1
    shallow = ("cross_shaped_1", "axial_1")
    assert len({size(claim.TileAnswers(**claim.ARMS[arm])) for arm in shallow}) == 1
    nets = [claim.picture_network(arm, 10) for arm in claim.PICTURE_ARMS]
    assert len(set(map(size, nets))) == 1


def test_a_window_has_more_keys_than_a_stripe() -> None:
    (window,), (stripe,) = (
        claim.ARMS[arm]["stripes"] for arm in ("shifted", "cross_shaped")
    )
    assert window**2 > stripe * claim.GRID


def test_what_reach_promises_for_the_arms() -> None:
    """The numbers that the chapter compares the measured ones with."""

    def promised(kind: str, depth: int, width: int) -> float:
        reach = reach_by_masks(kind, SIDE, depth, width)
        return round(expected_accuracy(shares(reach)[-1]), 3)

    assert promised("cross_shaped", 2, 1) == promised("axial", 2, 1) == 1
    assert promised("shifted", 2, 4) == 0.481
    assert promised("window", 2, 4) == 0.333
    assert promised("cross_shaped", 1, 1) == 0.37
    assert promised("axial", 1, 1) == 0.312


def test_one_seed_of_the_world(monkeypatch) -> None:
    monkeypatch.setattr(claim, "TRAIN", 64)
    monkeypatch.setattr(claim, "TEST", 32)
    monkeypatch.setitem(claim.STEPS, "tell", 2)
    first, again = (claim.run(0)["arms"] for _ in range(2))
    assert first == again
    assert set(first) == set(claim.ARMS)
    for found in first.values():
        assert set(found) == {"tell", "far"}
        assert all(0 <= share <= 1 for share in found.values())


def test_pictures_are_learned_by_every_arm(monkeypatch) -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(64) % 2
    noise = torch.rand(64, 3, 32, 32, generator=generator)
    x = 0.2 * noise + 0.6 * y[:, None, None, None]
    monkeypatch.setattr(claim, "pictures", lambda data: ((x, y), (x, y)))
    monkeypatch.setitem(claim.STEPS, "cifar10", 12)
    arms = claim.run(0, "bright or dark")["arms"]
    assert set(arms) == set(claim.PICTURE_ARMS)
    assert max(found["cifar10"] for found in arms.values()) > 0.9
