"""Widgets on maps of tokens: the sets that a token reaches, and a map that is cut up.

Both are plain HTML with inline handlers, as all players; see `lib.figures.player`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.figures.palette import SERIES, text_on
from lib.figures.player import Widget

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

ASKING = SERIES[1]
"""Colour of the token that asks."""
_SEEN = np.array([[0x14, 0x26, 0x3F], [0x1D, 0x5C, 0x99], [0x42, 0x99, 0xD1],
                  [0x8F, 0xC0, 0xDE], [0xCF, 0xE3, 0xEF]])  # fmt: skip
_UNSEEN = "#f1eee5"
_DEEPEST = 9  # one digit says after which block a token is reached

# `full(m)` unpacks, for the token that asks, the block after which each token is seen.
_SHOW_REACH = (
    "const d=JSON.parse(this.dataset.reach),"
    "[b,m,r,c]=[...this.querySelectorAll('input')].map(e=>+e.value),"
    "q=r*d.w+c,n=d.h*d.w,"
    "full=m=>{let t='';for(let j=q*d.h;j<(q+1)*d.h;j++)"
    "t+=d.rows[parseInt(d.maps[m].substr(d.k*j,d.k),36)];return t},"
    "on=x=>x>0&&x<=b+1,count=t=>[...t].filter(x=>on(+x)).length,map=full(m);"
    "this.querySelectorAll('.pb-tokens i').forEach((e,j)=>{const x=+map[j],"
    "[f,t]=j===q?d.asks:on(x)?d.seen[x-1]:d.not;e.style.background=f;e.style.color=t;"
    "e.textContent=j===q?'?':on(x)?x:''});"
    "this.querySelectorAll('tbody tr').forEach((e,j)=>{const s=count(full(j)),"
    "w=100*s/n;e.className=j===m?'pb-on':'';"
    "e.lastChild.textContent=w.toFixed(0)+' %';"
    "e.querySelector('.pb-share span').style.width=w+'%'});"
    "const k=count(map),say=d.say[b?1:0].replace('{how}',d.names[m])"
    ".replace('{b}',b+1).replace('{k}',k).replace('{p}',(100*k/n).toFixed(0))"
    ".replace('{r}',r+1).replace('{c}',c+1);"
    "this.querySelector('.pb-note').textContent=say;"
    "this.querySelector('.pb-tokens').setAttribute('aria-label',say);"
)
_TELL = "dispatchEvent(new Event('input',{bubbles:true}))"
_PICK_TOKEN = (
    "const k=[...this.children].indexOf(event.target.closest('i')),"
    "[r,c]=[...this.closest('figure').querySelectorAll('input')].slice(-2),"
    f"w=+c.max+1;if(k>=0){{r.value=Math.floor(k/w);c.value=k%w;r.{_TELL}}}"
)
_PICK_METHOD = (
    "const r=this.closest('figure').querySelectorAll('input')[1];"
    f"r.value=[...this.rows].indexOf(event.target.closest('tr'));r.{_TELL}"
)

_SHOW_TILES = (
    "const d=JSON.parse(this.dataset.tiles),s=d.states[i],o=d.owner[Math.floor(i/4)],"
    "dress=(e,t)=>{const [f,x]=d.colours[o[t]];e.style.background=f;e.style.color=x};"
    "this.querySelectorAll('.pb-stage i').forEach((e,t)=>{dress(e,t);"
    "[e.style.left,e.style.top]=s.at[t].map(v=>v+'%')});"
    "this.querySelectorAll('.pb-order i').forEach((e,k)=>{dress(e,s.order[k]);"
    "e.textContent=s.order[k]});"
    "this.querySelectorAll('.pb-shape code').forEach((e,k)=>{e.textContent=s.code[k]});"
    "this.querySelector('.pb-note').textContent=s.note;"
)


def _pair(colour: str) -> list[str]:
    """Return a ground and what is written on it."""
    return [colour, text_on(colour)]


def _dressed(colours: Sequence[str]) -> str:
    return f"background:{colours[0]};color:{colours[1]}"


def _attribute(name: str, data: Any) -> str:
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return f' data-{name}="{escape(text)}"'


def percent(seen: int, n: int) -> int:
    """Return a share, rounded as JavaScript does it: halves go up."""
    return (200 * seen + n) // (2 * n)


def seen_colours(n: int) -> list[str]:
    """Return n colours from dark (reached first) to light (reached last)."""
    at = np.arange(n) * min(1, (len(_SEEN) - 1) / max(n - 1, 1))
    channels = [np.interp(at, range(len(_SEEN)), c).round() for c in _SEEN.T]
    return [
        "#{:02x}{:02x}{:02x}".format(*map(int, c)) for c in zip(*channels, strict=True)
    ]


def checked_reach(
    reach: Mapping[str, ArrayLike], side: tuple[int, int]
) -> dict[str, NDArray]:
    """Return the reach of each method as booleans (blocks, N, N).

    Args:
        reach: method -> (blocks, N, N), entry [b, q, k] says whether token k can
            influence token q after b + 1 blocks; N = H * W, row by row.
        side: H and W.

    Raises:
        ValueError: no method, shapes that do not match, a token that does not reach
            itself, or a set that shrinks.
    """
    n = side[0] * side[1]
    if not reach:
        raise ValueError("reach={} must hold at least one method")
    found = {name: np.asarray(sets, dtype=bool) for name, sets in reach.items()}
    for name, sets in found.items():
        if sets.ndim != 3 or sets.shape[1:] != (n, n) or len(sets) == 0:
            raise ValueError(
                f"reach[{name!r}] of shape {sets.shape} must be (blocks, {n}, {n}) for "
                f"a map of {side[0]} x {side[1]} tokens"
            )
        if not sets[:, range(n), range(n)].all() or (sets[:-1] & ~sets[1:]).any():
            raise ValueError(
                f"reach[{name!r}] must hold each token itself and lose no token from "
                "one block to the next"
            )
    return found


class ReachPlayer(Widget):
    """A map on which the set that one token sees grows with the number of blocks.

    A click on a token, or two sliders, choose the token that asks; a click on a name,
    or a slider, chooses the method. Each cell carries the number of the block after
    which it is seen. A table compares all methods for the same token and depth.

    Args:
        reach: method -> booleans (blocks, N, N), see `checked_reach`; at least two
            methods and the same 2 to 9 blocks for all.
        side: H and W of the map in tokens, at least two each.
        start: where the sliders stand at first: blocks, method, row, column, from 0.
        label: what the widget shows.
        caption: the caption of the whole figure.
        name: the figure's anchor in the page.

    Raises:
        ValueError: sets that are wrong (see `checked_reach`), too few or too many
            methods or blocks, or a start outside.
    """

    _update = _SHOW_REACH
    _styles = ("player.css", "tokens.css")

    def __init__(
        self,
        reach: Mapping[str, ArrayLike],
        side: tuple[int, int],
        *,
        start: Sequence[int] | None = None,
        label: str = "Which tokens can influence one token",
        caption: str | None = None,
        name: str | None = None,
    ) -> None:
        found = checked_reach(reach, side)
        self.side = H, W = side
        depths = {len(sets) for sets in found.values()}
        if len(depths) > 1 or max(depths) > _DEEPEST:
            raise ValueError(
                f"reach has {sorted(depths)} blocks; all methods must have the same "
                f"number, 2 to {_DEEPEST}"
            )
        super().__init__(
            {
                "Blocks": range(1, depths.pop() + 1),
                "Attention": list(found),
                "Row": range(1, H + 1),
                "Column": range(1, W + 1),
            },
            start=start or (0, 0, H // 3, W // 3),
            label=label,
            caption=caption,
            name=name,
        )
        # The number of the block after which k is seen by q; 0: not in so many blocks.
        self.first = {
            name: np.where(sets.any(0), sets.argmax(0) + 1, 0)
            for name, sets in found.items()
        }
        self._grounds = [_pair(c) for c in seen_colours(len(self.axes["Blocks"]))]

    def sentence(self, blocks: int, method: int, row: int, column: int) -> str:
        """Say in words what the sliders at these indices show."""
        seen = self._seen(blocks, method, row, column)
        return self._sentences()[min(blocks, 1)].format(
            how=self._names()[method], b=blocks + 1, k=seen,
            p=percent(seen, math.prod(self.side)), r=row + 1, c=column + 1,
        )  # fmt: skip

    def _names(self) -> list[str]:
        return [name[:1].upper() + name[1:] for name in self.axes["Attention"]]

    def _sentences(self) -> list[str]:
        n = math.prod(self.side)
        return [
            f"{{how}}: after {{b}} {blocks}, {{k}} of the {n} tokens ({{p}} %) can "
            "influence the one in row {r}, column {c}."
            for blocks in ("block", "blocks")
        ]

    def _seen(self, blocks: int, method: int, row: int, column: int) -> int:
        first = list(self.first.values())[method][row * self.side[1] + column]
        return int(((first > 0) & (first <= blocks + 1)).sum())

    def _data(self) -> str:
        # Many rows of many maps are alike: each is written once and named by number.
        rows: dict[str, int] = {}
        codes: list[list[int]] = []
        for first in self.first.values():
            lines = [
                "".join(map(str, line)) for line in first.reshape(-1, self.side[1])
            ]
            codes.append([rows.setdefault(line, len(rows)) for line in lines])
        digits = len(np.base_repr(len(rows), 36))
        packed = [
            "".join(np.base_repr(code, 36).lower().zfill(digits) for code in some)
            for some in codes
        ]
        data = {
            "h": self.side[0], "w": self.side[1], "k": digits, "rows": list(rows),
            "maps": packed, "seen": self._grounds, "asks": _pair(ASKING),
            "not": _pair(_UNSEEN), "names": self._names(),
            "say": self._sentences(),
        }  # fmt: skip
        return _attribute("reach", data)

    def _body(self) -> str:
        blocks, method, row, column = self.start
        asks = row * self.side[1] + column
        first = list(self.first.values())[method][asks]
        cells = []
        for k, block in enumerate(first):
            ground, text = _pair(_UNSEEN), ""
            if k == asks:
                ground, text = _pair(ASKING), "?"
            elif 0 < block <= blocks + 1:
                ground, text = self._grounds[block - 1], str(block)
            cells.append(f'<i style="{_dressed(ground)}">{text}</i>')
        say = escape(self.sentence(*self.start))
        return (
            '<div class="pb-split"><div>'
            f'<div class="pb-tokens" role="img" aria-label="{say}" '
            f'style="grid-template-columns:repeat({self.side[1]},1fr)" '
            f'onclick="{_PICK_TOKEN}">{"".join(cells)}</div></div>'
            f"<div>{self._table()}</div></div>"
            f'<p class="pb-note" aria-live="polite">{say}</p>'
            '<p class="pb-small">“?” asks; a number says after which block a token can '
            "influence it. Click a token or a name to choose it.</p>"
        )

    def _table(self) -> str:
        blocks, chosen, row, column = self.start
        rows = []
        for method, words in enumerate(self.axes["Attention"]):
            seen = self._seen(blocks, method, row, column)
            share = 100 * seen / math.prod(self.side)
            on = ' class="pb-on"' if method == chosen else ""
            rows.append(
                f'<tr{on}><th scope="row">{escape(words)}</th><td><span '
                f'class="pb-share"><span style="width:{share:.4g}%"></span></span></td>'
                f"<td>{percent(seen, math.prod(self.side))} %</td></tr>"
            )
        return (
            '<table class="pb-reached"><thead><tr><th scope="col">Attention</th>'
            '<th scope="col" colspan="2">share of the map</th></tr></thead>'
            f'<tbody onclick="{_PICK_METHOD}">{"".join(rows)}</tbody></table>'
        )


class TilePlayer(Widget):
    """A map of numbered tokens that is cut into tiles, one step after the other.

    The steps are those of `lib.layers.stripe_partition`: name the axes, exchange two,
    join them. Each shows the shape, the order in which the tokens are read, and whether
    this is the order in memory.

    Args:
        side: H and W of the map in tokens.
        tiles: what they are called -> height and width of a tile; they must fill the
            map, with two to seven tiles.
        label: what the widget shows.
        caption: the caption of the whole figure.
        name: the figure's anchor in the page.
        start: where the sliders stand at first: tiles, step, from 0.

    Raises:
        ValueError: tiles that do not fill the map, or are too few or too many.
    """

    _update = _SHOW_TILES
    _styles = ("player.css", "tokens.css")
    _gap = 0.45  # between tiles, in tokens

    def __init__(
        self,
        side: tuple[int, int],
        tiles: Mapping[str, tuple[int, int]],
        *,
        label: str = "How a map is cut into tiles",
        caption: str | None = None,
        name: str | None = None,
        start: Sequence[int] | None = None,
    ) -> None:
        steps = ["map", "unflatten", "transpose", "flatten"]
        super().__init__(
            {"Tiles": list(tiles), "Step": steps},
            label=label, caption=caption, name=name, start=start,
        )  # fmt: skip
        self.side = H, W = side
        for words, (h, w) in tiles.items():
            fits = h > 0 and w > 0 and H % h == 0 and W % w == 0
            if not fits or not 2 <= H * W // (h * w) <= len(SERIES):
                raise ValueError(
                    f"tiles[{words!r}]={h, w} must divide the map's sides {side} and "
                    f"give 2 to {len(SERIES)} tiles"
                )
        self.owner: list[list[int]] = []
        self.states: list[dict[str, Any]] = []
        layouts: list[NDArray] = []
        for h, w in tiles.values():
            token = np.arange(H * W).reshape(H, W)
            named = token.reshape(H // h, h, W // w, w)
            tiled = named.swapaxes(1, 2)  # (H / h, W / w, h, w)
            flat = tiled.reshape(-1, h * w)
            owner = np.empty(H * W, dtype=int)
            owner[flat] = np.arange(len(flat))[:, None]
            self.owner.append(owner.tolist())
            layouts += self._places(h, w, flat)
            codes, notes = self._words(h, w, flat)
            orders = [grid.ravel().tolist() for grid in (token, named, tiled, flat)]
            self.states += [
                {"order": order, "code": code, "note": note}
                for order, code, note in zip(orders, codes, notes, strict=True)
            ]
        # One stage for all: each arrangement stands in its middle.
        self.stage = np.max([place.max(0) + 1 for place in layouts], axis=0)
        for state, place in zip(self.states, layouts, strict=True):
            middle = (self.stage - place.max(0) - 1) / 2
            state["at"] = (100 * (place + middle) / self.stage).round(2).tolist()

    def _places(self, h: int, w: int, flat: NDArray) -> list[NDArray]:
        """Return where each token stands at each step, (N, 2) of x and y in tokens."""
        H, W = self.side
        y, x = np.divmod(np.arange(H * W), W)
        plain = np.stack([x, y], axis=1).astype(float)
        apart = plain + self._gap * np.stack([x // w, y // h], axis=1)
        tile = np.empty(H * W, dtype=int)
        rank = np.empty(H * W, dtype=int)
        tile[flat] = np.arange(len(flat))[:, None]
        rank[flat] = np.arange(h * w)
        line = np.stack([tile * (w + self._gap) + rank % w, rank // w], axis=1)
        rows = np.stack([rank.astype(float), tile * 1.2], axis=1)
        return [plain, apart, line, rows]

    def _words(
        self, h: int, w: int, flat: NDArray
    ) -> tuple[list[tuple[str, str]], list[str]]:
        """Return code and shape, and a sentence, for each step."""
        H, W = self.side
        n = len(flat)
        codes = [
            ("x", f"(B, H, W, C) = (B, {H}, {W}, C)"),
            (
                f".unflatten(2, (-1, {w})).unflatten(1, (-1, {h}))",
                f"(B, H/h, h, W/w, w, C) = (B, {H // h}, {h}, {W // w}, {w}, C)",
            ),
            (
                ".transpose(2, 3)",
                f"(B, H/h, W/w, h, w, C) = (B, {H // h}, {W // w}, {h}, {w}, C)",
            ),
            (
                ".flatten(3, 4).flatten(0, 2)",
                f"(B · H/h · W/w, h · w, C) = (B · {n}, {h * w}, C)",
            ),
        ]
        same = bool((flat.ravel() == np.arange(H * W)).all())
        notes = [
            "Each number is a token, a vector of C channels, numbered as in memory. "
            f"Each colour is one of {n} tiles of {h} × {w}.",
            "Rows and columns are split into tiles. Nothing moves: each axis has only "
            "become two.",
            (
                "Two axes change places, but one has length 1: the order stays."
                if same
                else "Two axes change places: now a tile is read to its end before the "
                "next begins."
            ),
            f"Each tile has become a row of {h * w} tokens, a sequence of its own. "
            + (
                "The order is still that of memory: nothing was copied."
                if same
                else "The order is no longer that of memory: the tokens were copied."
            ),
        ]
        return codes, notes

    def _colours(self) -> list[list[str]]:
        return [_pair(colour) for colour in SERIES]

    def _data(self) -> str:
        data = {"colours": self._colours(), "owner": self.owner, "states": self.states}
        return _attribute("tiles", data)

    def _body(self) -> str:
        state = self.states[self._start_index()]
        owner = self.owner[self.start[0]]
        ground = [_dressed(self._colours()[tile]) for tile in owner]
        wide, tall = self.stage
        cells = "".join(
            f'<i style="left:{x:g}%;top:{y:g}%;width:{100 / wide:.3f}%;'
            f'height:{100 / tall:.3f}%;{ground[k]}">{k}</i>'
            for k, (x, y) in enumerate(state["at"])
        )
        order = "".join(f'<i style="{ground[k]}">{k}</i>' for k in state["order"])
        code, shape = map(escape, state["code"])
        return (
            f'<p class="pb-shape"><code>{code}</code><br><code>{shape}</code></p>'
            f'<div class="pb-stage" style="aspect-ratio:{wide:g}/{tall:g}" role="img" '
            'aria-label="The tokens of the map as the step arranges them, coloured by '
            f'tile.">{cells}</div>'
            '<p class="pb-small">Read in this order:</p>'
            f'<div class="pb-order">{order}</div>'
            '<p class="pb-note pb-tall" aria-live="polite">'
            f"{escape(state['note'])}</p>"
        )
