"""Sliders that work without a kernel, a library or a network: plain HTML.

A widget is one `<figure>` with labelled range inputs and inline handlers. Everything
that it can show is in the page already, so it works on the published site, in Jupyter
and in Colab; in print and without JavaScript its first state stands.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from itertools import product
from string import Template
from typing import TYPE_CHECKING, Any

from lib.figures.palette import PALETTE, part_colours
from lib.figures.show import checked_alt

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from PIL import Image

    Frame = Figure | Image.Image | np.ndarray

FRAME_LIMIT = 20 * 1024  # bytes of one frame's PNG
FRAME_DPI = 120

# Handlers stand in attributes between double quotes: single quotes only, and `this` is
# the figure (an input event rises to it) or the button.
_READ = (
    "let i=0;for(const r of this.querySelectorAll('input')){i=i*(+r.max+1)+ +r.value;"
    "const t=JSON.parse(r.dataset.values)[r.value];r.setAttribute('aria-valuetext',t);"
    "r.closest('.pb-row').querySelector('output').value=t}"
)
_SHOW_FRAME = "this.querySelectorAll('.pb-frame').forEach((e,k)=>{e.hidden=k!==i});"
_SHOW_BARS = (
    "const d=JSON.parse(this.dataset.bars),v=d.values[i],s=d.values[d.start],"
    "sum=a=>a.reduce((x,y)=>x+y,0),n=sum(v),o=sum(s),"
    "put=(e,x,y)=>{const c=e.querySelectorAll('td');"
    "c[0].textContent=x.toFixed(d.places);c[1].textContent=(100*x/n).toFixed(0)+' %';"
    "c[2].textContent='\\u00d7'+(y?x/y:1).toFixed(2)};"
    "this.querySelectorAll('tbody tr').forEach((e,k)=>put(e,v[k],s[k]));"
    "put(this.querySelector('tfoot tr'),n,o);"
    "this.querySelectorAll('.pb-bar').forEach((b,j)=>b.querySelectorAll('span')"
    ".forEach((e,k)=>{e.style.width=100*(j?v:s)[k]/Math.max(n,o)+'%'}));"
)
_SHOW_NOTE = "this.querySelector('.pb-note').textContent=d.notes[i];"
_STEP = (
    "const r=this.closest('.pb-row').querySelector('input');r.{step}();"
    "r.dispatchEvent(new Event('input',{{bubbles:true}}))"
)
_PLAY = (
    "const b=this,f=b.closest('figure'),r=f.querySelector('input'),"
    "tell=()=>r.dispatchEvent(new Event('input',{{bubbles:true}})),"
    "stop=()=>{{clearInterval(f.timer);f.timer=0;b.textContent='Play'}};"
    "if(f.timer)stop();else{{if(r.value===r.max){{r.value=0;tell()}}"
    "b.textContent='Pause';f.timer=setInterval(()=>{{r.stepUp();tell();"
    "if(r.value===r.max||!f.isConnected)stop()}},{interval})}}"
)


@functools.cache
def _style_sheet(name: str) -> str:
    """Return a style sheet of this folder in one line, with the palette's colours."""
    text = resources.files("lib.figures").joinpath(name).read_text("utf-8")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*([{};])\s*", r"\1", " ".join(text.split()))
    return Template(text).substitute(PALETTE["light"])


def _picture(frame: Any) -> tuple[Image.Image, bool]:
    """Return a frame as an RGB picture, and whether its pixels should stay sharp."""
    import numpy as np
    from PIL import Image

    from lib.figures.style import figure_image

    if hasattr(frame, "savefig"):
        return figure_image(frame, dpi=FRAME_DPI), False
    if isinstance(frame, Image.Image):
        return frame.convert("RGB"), frame.width <= 256
    array = np.asarray(frame)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        raise ValueError(
            f"frame of shape {array.shape} must be (H, W) or (H, W, 3), a matplotlib "
            "figure or a Pillow picture"
        )
    if array.dtype != np.uint8:
        if not (array.min() >= 0 and array.max() <= 1):  # NaN fails as well
            raise ValueError(
                f"frame with values from {array.min():.3g} to {array.max():.3g} must "
                "hold numbers from 0 to 1, or uint8"
            )
        array = np.round(array * 255).astype(np.uint8)
    return Image.fromarray(array).convert("RGB"), array.shape[1] <= 256


def frame_png(frame: Frame, limit: int = FRAME_LIMIT) -> bytes:
    """Return a frame as a PNG of few colours, the same bytes at each run.

    Args:
        frame: a matplotlib figure, a Pillow picture, or an array (H, W) or (H, W, 3) of
            uint8 or of numbers from 0 to 1.
        limit: the most bytes allowed; colours are given up until it is met.

    Raises:
        ValueError: the frame is none of these, or is too large even with 16 colours.
    """
    return _encode(_picture(frame)[0], limit)


def _encode(picture: Image.Image, limit: int) -> bytes:
    from lib.figures.style import few_colours, png_bytes

    for colours in (128, 64, 32, 16):
        data = png_bytes(few_colours(picture, colours))
        if len(data) <= limit:
            return data
    raise ValueError(
        f"frame of {picture.width} x {picture.height} pixels takes {len(data)} bytes, "
        f"above limit={limit}; draw it smaller or plainer"
    )


def _image_tag(frame: Frame, alt: str, limit: int) -> str:
    import base64

    picture, sharp = _picture(frame)
    data = base64.b64encode(_encode(picture, limit)).decode("ascii")
    kind = ' class="pb-pixels"' if sharp else ""
    return (
        f'<img{kind} src="data:image/png;base64,{data}" alt="{escape(alt)}" '
        f'width="{picture.width}" height="{picture.height}">'
    )


def _row(label: str, values: Sequence[str], start: int, extra: str = "") -> str:
    """Return one slider with its buttons and the value that it stands at."""
    data = escape(json.dumps(list(values), ensure_ascii=False))
    name, value = escape(label), escape(values[start])

    def step(method: str, word: str, sign: str) -> str:
        return (
            f'<button type="button" aria-label="{word}: {name}" '
            f'onclick="{_STEP.format(step=method)}">{sign}</button>'
        )

    return (
        f'<div class="pb-row"><label><span>{name}</span>'
        f'<input type="range" min="0" max="{len(values) - 1}" step="1" value="{start}" '
        f'autocomplete="off" data-values="{data}" aria-valuetext="{value}"></label>'
        f'<output aria-label="{name}, value">{value}</output><div class="pb-buttons">'
        f"{step('stepDown', 'Previous', '‹')}{step('stepUp', 'Next', '›')}{extra}"
        "</div></div>"
    )


class Widget:
    """What the widgets share: sliders, a caption, and the HTML around them.

    A widget of its own kind derives from it and says in `_body` what stands above the
    sliders, in `_data` what attributes the figure carries, and in `_update` what to do
    when a slider moves: JavaScript without double quotes, in which `this` is the figure
    and `i` the number of the state, the last axis running fastest.
    """

    _update = _SHOW_FRAME
    _styles: tuple[str, ...] = ("player.css",)

    def __init__(
        self,
        axes: Mapping[str, Sequence[Any]],
        *,
        label: str,
        caption: str | None = None,
        name: str | None = None,
        start: Sequence[int] | None = None,
    ) -> None:
        if not label.strip():
            raise ValueError(f"label={label!r} must name the widget")
        self.axes = {axis: [str(v) for v in values] for axis, values in axes.items()}
        for axis, values in self.axes.items():
            if len(values) < 2 or len(set(values)) < len(values):
                raise ValueError(
                    f"axis {axis!r} has the values {values}; it must have at "
                    "least two, all different"
                )
        self.start = tuple(start) if start is not None else (0,) * len(self.axes)
        sizes = [len(values) for values in self.axes.values()]
        if len(self.start) != len(sizes) or not all(
            0 <= i < n for i, n in zip(self.start, sizes, strict=False)
        ):
            raise ValueError(
                f"start={self.start} must hold one index for each axis, below {sizes}"
            )
        self.label, self.caption, self.name = label, caption, name

    def __len__(self) -> int:
        """The number of states that the sliders can reach."""
        return math.prod(len(values) for values in self.axes.values())

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.label}, {len(self)} states"

    def _start_index(self) -> int:
        index = 0
        for start, values in zip(self.start, self.axes.values(), strict=True):
            index = index * len(values) + start
        return index

    def _body(self) -> str:
        raise NotImplementedError

    def _data(self) -> str:
        return ""

    def _buttons(self) -> str:
        return ""

    def _repr_html_(self) -> str:
        rows = "".join(
            _row(axis, values, start, self._buttons())
            for start, (axis, values) in zip(self.start, self.axes.items(), strict=True)
        )
        anchor = f' id="{escape(self.name)}"' if self.name else ""
        caption = (
            f"<figcaption>{escape(self.caption)}</figcaption>" if self.caption else ""
        )
        return (
            f'<figure class="pb-player"{anchor} aria-label="{escape(self.label)}"'
            f'{self._data()} oninput="{_READ}{self._update}">'
            f"<style>{''.join(map(_style_sheet, self._styles))}</style>"
            f'<div class="pb-card">{self._body()}</div>'
            f'<div class="pb-controls">{rows}</div>{caption}</figure>'
        )


class _Frames(Widget):
    """A widget that shows one of several pictures."""

    def __init__(
        self,
        frames: Sequence[Frame],
        axes: Mapping[str, Sequence[Any]],
        *,
        alts: Sequence[str],
        captions: Sequence[str] | None,
        frame_limit: int,
        **about: Any,
    ) -> None:
        super().__init__(axes, **about)
        notes = captions if captions is not None else [""] * len(frames)
        for argument, given in (("alts", alts), ("captions", notes)):
            if isinstance(given, str) or len(given) != len(frames):
                raise ValueError(
                    f"{argument} must be a list with one text for each of the "
                    f"{len(frames)} frames, got {len(given)}"
                )
        alts = [checked_alt(alt, f"alts[{i}]") for i, alt in enumerate(alts)]
        self._frames = [
            _image_tag(frame, alt, frame_limit)
            + (f'<p class="pb-note">{escape(note)}</p>' if note else "")
            for frame, alt, note in zip(frames, alts, notes, strict=True)
        ]

    def _body(self) -> str:
        start = self._start_index()
        return "".join(
            f'<div class="pb-frame"{"" if i == start else " hidden"}>{frame}</div>'
            for i, frame in enumerate(self._frames)
        )


class Player(_Frames):
    """Pictures in a row: a slider, two step buttons and a play button.

    Playing stops at the last frame; readers who ask for reduced motion get no play
    button. Evaluate it as a cell's last expression, or pass it to `display`.

    Args:
        frames: two or more figures, Pillow pictures or arrays; see `frame_png`.
        label: what the slider moves through, such as "Step".
        alts: one alternative text a frame, at least 20 characters each.
        values: what stands beside the slider at each frame; "1 of n" when left out.
        captions: one sentence a frame, shown below it.
        caption: the caption of the whole figure.
        name: the figure's anchor in the page.
        interval: milliseconds between two frames when playing.
        frame_limit: the most bytes that one frame's PNG may take.

    Raises:
        ValueError: too few frames, a text missing or short, a frame too large.
    """

    def __init__(
        self,
        frames: Sequence[Frame],
        *,
        label: str,
        alts: Sequence[str],
        values: Sequence[Any] | None = None,
        captions: Sequence[str] | None = None,
        caption: str | None = None,
        name: str | None = None,
        interval: int = 800,
        frame_limit: int = FRAME_LIMIT,
    ) -> None:
        n = len(frames)
        if n < 2:
            raise ValueError(f"frames must hold at least two pictures, got {n}")
        if values is None:
            values = [f"{i} of {n}" for i in range(1, n + 1)]
        if len(values) != n:
            raise ValueError(
                f"values must hold one entry for each of the {n} frames, "
                f"got {len(values)}"
            )
        if interval < 100:
            raise ValueError(f"interval={interval} must be at least 100 milliseconds")
        self.interval = interval
        super().__init__(
            frames,
            {label: values},
            alts=alts,
            captions=captions,
            frame_limit=frame_limit,
            label=label,
            caption=caption,
            name=name,
        )

    def _buttons(self) -> str:
        play = _PLAY.format(interval=self.interval)
        return f'<button type="button" class="pb-play" onclick="{play}">Play</button>'


class GridPlayer(_Frames):
    """Pictures on a grid: one slider an axis, each state its own frame.

    Args:
        frames: one picture for each combination of the axes' values, keyed by the tuple
            of these values in the order of `axes`.
        axes: for each slider its name and its values, at least two.
        label: what the widget shows.
        alts: alternative texts with the keys of `frames`, at least 20 characters each.
        captions: sentences with the keys of `frames`, shown below the picture.
        caption: the caption of the whole figure.
        name: the figure's anchor in the page.
        start: where the sliders stand at first, one index an axis.
        frame_limit: the most bytes that one frame's PNG may take.

    Raises:
        ValueError: a frame or a text is missing, too short or too large.
    """

    def __init__(
        self,
        frames: Mapping[tuple[Any, ...], Frame],
        *,
        axes: Mapping[str, Sequence[Any]],
        label: str,
        alts: Mapping[tuple[Any, ...], str],
        captions: Mapping[tuple[Any, ...], str] | None = None,
        caption: str | None = None,
        name: str | None = None,
        start: Sequence[int] | None = None,
        frame_limit: int = FRAME_LIMIT,
    ) -> None:
        states = list(product(*axes.values()))
        for argument, given in (
            ("frames", frames),
            ("alts", alts),
            ("captions", captions if captions is not None else frames),
        ):
            if set(given) != set(states):
                odd = sorted(set(states) ^ set(given), key=repr)
                raise ValueError(
                    f"{argument} must have a key for every combination of the axes and "
                    f"no other; missing or unknown: {odd[:3]}"
                )
        super().__init__(
            [frames[state] for state in states],
            axes,
            alts=[alts[state] for state in states],
            captions=[captions[state] for state in states] if captions else None,
            frame_limit=frame_limit,
            label=label,
            caption=caption,
            name=name,
            start=start,
        )


class BarPlayer(Widget):
    """A total made of parts, recomputed by sliders: two stacked bars and a table.

    The upper bar is the state at the start, the lower one where the sliders stand, both
    on one scale. The numbers are text, so they can be read, copied and heard.

    Args:
        values: for each combination of the axes' values (a tuple) the parts' amounts,
            none negative, the same parts in each.
        axes: for each slider its name and its values, at least two.
        label: what the widget shows.
        unit: the unit of the amounts, the table's heading.
        caption: the caption of the whole figure.
        name: the figure's anchor in the page.
        start: where the sliders stand at first, one index an axis.
        places: decimals of the amounts.
        colours: part -> colour; without it the series colours in order.
        notes: a sentence for each combination, shown below the table.

    Raises:
        ValueError: a combination or a part is missing, or an amount is negative; more
            parts than colours.
    """

    _update = _SHOW_BARS

    def __init__(
        self,
        values: Mapping[tuple[Any, ...], Mapping[str, float]],
        *,
        axes: Mapping[str, Sequence[Any]],
        label: str,
        unit: str,
        caption: str | None = None,
        name: str | None = None,
        start: Sequence[int] | None = None,
        places: int = 1,
        colours: Mapping[str, str] | None = None,
        notes: Mapping[tuple[Any, ...], str] | None = None,
    ) -> None:
        super().__init__(axes, label=label, caption=caption, name=name, start=start)
        states = list(product(*axes.values()))
        for argument, given in (("values", values), ("notes", notes)):
            if given is not None and set(given) != set(states):
                odd = sorted(set(states) ^ set(given), key=repr)
                raise ValueError(
                    f"{argument} must have a key for every combination of the axes and "
                    f"no other; missing or unknown: {odd[:3]}"
                )
        self.notes = [notes[state] for state in states] if notes else []
        if self.notes:
            self._update = _SHOW_BARS + _SHOW_NOTE
        self.parts = list(values[states[0]])
        for state in states:
            amounts = values[state]
            if set(amounts) != set(self.parts):
                raise ValueError(
                    f"values[{state}] has the parts {list(amounts)}; they must be "
                    f"{self.parts} in every state"
                )
            if not all(a >= 0 and math.isfinite(a) for a in amounts.values()):
                raise ValueError(
                    f"values[{state}]={dict(amounts)} must hold no negative or "
                    "infinite amount"
                )
        self.unit, self.places = unit, places
        self.colours = part_colours(self.parts, colours)
        self.amounts = [
            [round(float(values[state][part]), places) for part in self.parts]
            for state in states
        ]
        if not all(sum(row) > 0 for row in self.amounts):
            raise ValueError("values must add up to more than zero in every state")

    def _data(self) -> str:
        data = {
            "places": self.places,
            "start": self._start_index(),
            "values": self.amounts,
        }
        if self.notes:
            data["notes"] = self.notes
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        return f' data-bars="{escape(text)}"'

    def _body(self) -> str:
        now = self.amounts[self._start_index()]
        total = sum(now)
        spans = "".join(
            f'<span style="width:{100 * amount / total:.4f}%;background:{colour}">'
            "</span>"
            for amount, colour in zip(now, self.colours, strict=True)
        )

        def cells(amount: float) -> str:
            share = f"{100 * amount / total:.0f} %"
            return f"<td>{amount:.{self.places}f}</td><td>{share}</td><td>×1.00</td>"

        rows = "".join(
            f'<tr><th scope="row"><span class="pb-swatch" style="background:{colour}">'
            f"</span>{escape(part)}</th>{cells(amount)}</tr>"
            for part, amount, colour in zip(self.parts, now, self.colours, strict=True)
        )
        heads = "".join(
            f'<th scope="col">{escape(head)}</th>'
            for head in ("Part", self.unit, "share", "change")
        )
        return (
            '<div class="pb-stack" aria-hidden="true">'
            f'<span>Start</span><div class="pb-bar">{spans}</div>'
            f'<span>Now</span><div class="pb-bar">{spans}</div></div>'
            f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody>"
            f'<tfoot><tr><th scope="row">Total</th>{cells(total)}</tr></tfoot></table>'
            + (
                f'<p class="pb-note">{escape(self.notes[self._start_index()])}</p>'
                if self.notes
                else ""
            )
        )
