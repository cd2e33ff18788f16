"""Deterministic scene generators: `name(n, seed, **options) -> datasets.Dataset`.

A world draws everything itself, with exact labels, and gives the same column bytes
for the same seed. Its module's docstring is its data card.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset

    from lib.data.worlds.cells import cell_digits
    from lib.data.worlds.cues import cue_scenes
    from lib.data.worlds.domains import two_domain_shapes
    from lib.data.worlds.paper import paper_digits
    from lib.data.worlds.tiles import tile_scenes

__all__ = [
    "WORLDS",
    "card",
    "cell_digits",
    "cue_scenes",
    "make",
    "paper_digits",
    "tile_scenes",
    "two_domain_shapes",
]

WORLDS = {
    "cell_digits": "lib.data.worlds.cells",
    "cue_scenes": "lib.data.worlds.cues",
    "paper_digits": "lib.data.worlds.paper",
    "tile_scenes": "lib.data.worlds.tiles",
    "two_domain_shapes": "lib.data.worlds.domains",
}
"""The worlds by name, with the module that draws each."""


def make(name: str, n: int, seed: int, **options: Any) -> Dataset:
    """Draw a world by its name.

    Args:
        name: one of `WORLDS`.
        n: number of rows.
        seed: 0 or more; the same seed gives the same column bytes.
        **options: those of the world.

    Raises:
        ValueError: unknown world, or an option that the world refuses.
    """
    return getattr(_module(name), name)(n, seed, **options)


def card(name: str) -> str:
    """Give the data card of a world: what is in it, from what, and what is not.

    Raises:
        ValueError: unknown world.
    """
    return (_module(name).__doc__ or "").strip()


def _module(name: str) -> Any:
    if name not in WORLDS:
        raise ValueError(f"name={name!r} is no world; allowed: {', '.join(WORLDS)}")
    return importlib.import_module(WORLDS[name])


def __getattr__(name: str) -> Any:
    """Import a world when it is first named."""
    if name in WORLDS:
        return getattr(_module(name), name)
    raise AttributeError(f"module 'lib.data.worlds' has no attribute {name!r}")
