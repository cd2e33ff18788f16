"""Controls that need a running kernel: the live twin of a kernel-free player."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any


def is_live() -> bool:
    """Say whether a reader may be sitting at a running kernel.

    False outside a Jupyter kernel, and wherever PAPERS_BUILT_QUIET is set: that is how
    notebooks are executed for the site, which has no kernel.
    """
    if os.environ.get("PAPERS_BUILT_QUIET"):
        return False
    from IPython.core.getipython import get_ipython

    return hasattr(get_ipython(), "kernel")


def _check(draw: Callable[..., Any], controls: dict[str, Any]) -> None:
    if not controls:
        raise ValueError("controls must name at least one argument of the function")
    parameters = inspect.signature(draw).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for name in controls:
        if name not in parameters:
            raise ValueError(
                f"control {name!r} is no argument of {draw.__name__}; "
                f"it takes {sorted(parameters)}"
            )


def live(draw: Callable[..., Any], **controls: Any) -> None:
    """Let a reader with a kernel move `draw`'s arguments; display nothing elsewhere.

    Args:
        draw: returns a matplotlib figure, or anything that a notebook displays.
        controls: one per argument of `draw`, as ipywidgets reads them: `(1, 12)` a
            slider, a list a menu, a bool a box, or any widget.

    Raises:
        ValueError: no control is given, or one is no argument of `draw`.
    """
    _check(draw, controls)
    if not is_live():
        return
    from IPython.display import Image, display
    from ipywidgets import interactive

    def redraw(**values: Any) -> Any:
        result = draw(**values)
        if not hasattr(result, "savefig"):
            return result
        # Shown here and closed, or the inline backend would show it a second time.
        from matplotlib import pyplot

        from lib.figures.style import CSS_WIDTH, figure_image, png_bytes

        display(Image(png_bytes(figure_image(result)), width=CSS_WIDTH))
        pyplot.close(result)
        return None

    panel = interactive(redraw, **controls)
    for control in panel.children:
        if hasattr(control, "continuous_update"):
            control.continuous_update = False  # draw once, when the slider is let go
    display(panel)
