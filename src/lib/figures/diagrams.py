"""The pieces of data-flow diagrams: boxes, arrows, numbers."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from lib.figures.palette import PALETTE
from lib.figures.plots import INK


def box(
    axis: Axes,
    x: float,
    y: float,
    w: float,
    h: float,
    title: str,
    note: str = "",
    colour: str = INK,
) -> None:
    """Draw a rounded box around (x, y) with a bold title and smaller lines below."""
    axis.add_patch(
        FancyBboxPatch(
            (x - w / 2, y - h / 2),
            w,
            h,
            boxstyle="round,pad=0,rounding_size=0.16",
            fc=PALETTE["light"]["surface"],
            ec=colour,
            lw=1.6,
            zorder=3,
        )
    )
    lines = note.count("\n") + 1 if note else 0
    top = y + 0.15 * lines
    axis.text(
        x, top, title, ha="center", va="center", weight="bold", color=colour, zorder=4
    )
    if note:
        axis.text(
            x, top - 0.22, note, ha="center", va="top", fontsize=9, zorder=4,
            linespacing=1.25,
        )  # fmt: skip


def arrow(
    axis: Axes, start: tuple[float, float], end: tuple[float, float], colour: str
) -> None:
    """Draw a straight arrow between two points."""
    axis.annotate(
        "",
        end,
        start,
        arrowprops={
            "arrowstyle": "-|>,head_width=0.28,head_length=0.5",
            "color": colour,
            "lw": 1.8,
            "shrinkA": 0,
            "shrinkB": 0,
        },
        zorder=2,
    )


def badge(axis: Axes, x: float, y: float, number: int, colour: str) -> None:
    """Draw a number in a disc, for the order of the steps."""
    axis.text(
        x, y, str(number), ha="center", va="center", color="white", weight="bold",
        fontsize=9, zorder=6,
        bbox={"boxstyle": "circle,pad=0.25", "fc": colour, "ec": "white", "lw": 1.2},
    )  # fmt: skip


def adder(axis: Axes, x: float, y: float, colour: str = INK) -> None:
    """Draw the circled plus where two paths are added."""
    axis.text(
        x, y, "+", ha="center", va="center", color=colour, weight="bold", zorder=6,
        bbox={
            "boxstyle": "circle,pad=0.15",
            "fc": PALETTE["light"]["surface"],
            "ec": colour,
            "lw": 1.6,
        },
    )  # fmt: skip


def lane(axis: Axes, x: float, y: float, w: float, h: float, colour: str) -> None:
    """Tint the ground around (x, y), so that what stands on it belongs together."""
    axis.add_patch(
        FancyBboxPatch(
            (x - w / 2, y - h / 2),
            w,
            h,
            boxstyle="round,pad=0,rounding_size=0.2",
            fc=colour,
            ec="none",
            alpha=0.08,
            zorder=0,
        )
    )
