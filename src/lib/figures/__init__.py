"""House style, plots and widgets that work without a kernel.

The names below are light: matplotlib, Pillow and ipywidgets are imported when a figure
is drawn. Plots live in `lib.figures.plots`, a chapter's own in a module of its name.
"""

from lib.figures.live import live
from lib.figures.palette import PALETTE, SERIES, css_variables
from lib.figures.player import BarPlayer, GridPlayer, Player
from lib.figures.show import show
from lib.figures.style import use_house_style

__all__ = [
    "PALETTE",
    "SERIES",
    "BarPlayer",
    "GridPlayer",
    "Player",
    "css_variables",
    "live",
    "show",
    "use_house_style",
]
