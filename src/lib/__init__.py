"""The code of *Papers, Built*: everything that the chapters build and reuse.

`import lib` loads nothing heavy; `lib.layers`, `lib.papers`, ... are imported when
they are first named.
"""

import importlib
from types import ModuleType

__version__ = "0.1.0"

_ROOMS = (
    "assets",
    "claims",
    "data",
    "exercises",
    "figures",
    "layers",
    "metrics",
    "papers",
    "training",
)


def __getattr__(name: str) -> ModuleType:
    """Import a room of the package on first use, so that `lib.metrics` just works."""
    if name in _ROOMS:
        return importlib.import_module(f"lib.{name}")
    raise AttributeError(f"module 'lib' has no attribute {name!r}; rooms: {_ROOMS}")


def __dir__() -> list[str]:
    return [*globals(), *_ROOMS]
