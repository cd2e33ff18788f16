"""Widgets on maps of tokens: what they hold, and how they behave in a browser."""

import json
import re
from collections.abc import Callable
from html import unescape
from itertools import product

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page

from lib.figures.palette import SERIES, contrast
from lib.figures.tokens import ReachPlayer, TilePlayer, checked_reach
from lib.layers import stripe_partition
from tests.figures.test_player import Outline
from tests.site.checks import widget_problems

Open = Callable[..., Page]
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
SIDE = (4, 6)
TILES = {"vertical stripes": (4, 2), "horizontal stripes": (2, 6), "windows": (2, 2)}


def neighbours(side: tuple[int, int], steps: list[tuple[int, int]], blocks: int):
    """Find by walking what each token sees when it looks along some steps."""
    H, W = side
    sees = np.zeros((blocks, H * W, H * W), dtype=bool)
    for q in range(H * W):
        seen = {divmod(q, W)}
        for b in range(blocks):
            seen |= {(i + di, j + dj) for i, j in seen for di, dj in steps}
            seen = {(i, j) for i, j in seen if 0 <= i < H and 0 <= j < W}
            for i, j in seen:
                sees[b, q, i * W + j] = True
    return sees


REACH = {
    "down & right": neighbours(SIDE, [(1, 0), (0, 1)], 3),
    "kings": neighbours(SIDE, list(product((-1, 0, 1), repeat=2)), 3),
}


def reach(**options) -> ReachPlayer:
    return ReachPlayer(**{"reach": REACH, "side": SIDE} | options)


def tiles(**options) -> TilePlayer:
    return TilePlayer(**{"side": SIDE, "tiles": TILES} | options)


def data(html: str, name: str) -> dict:
    return json.loads(unescape(re.findall(rf'data-{name}="([^"]+)"', html)[0]))


@pytest.mark.parametrize("make", [reach, tiles])
def test_no_script_no_library_no_address(make: Callable) -> None:
    html = make(caption="A < B & C", name="fig-x")._repr_html_()
    outline = Outline(re.sub("<br>", "", html))
    assert not {"script", "link", "iframe", "img"} & {tag for tag, _ in outline.tags}
    assert "http" not in html
    assert "$" not in html
    assert "A &lt; B &amp; C" in html
    tag, attributes = outline.tags[0]
    assert (tag, attributes["id"]) == ("figure", "fig-x")
    assert html == make(caption="A < B & C", name="fig-x")._repr_html_()


def test_text_form_is_fixed() -> None:
    assert repr(reach()) == (
        "ReachPlayer: Which tokens can influence one token, 144 states"
    )
    assert repr(tiles()) == "TilePlayer: How a map is cut into tiles, 12 states"


# --- reach --------------------------------------------------------------------------


def test_packed_sets_are_the_sets_given() -> None:
    packed = data(reach()._repr_html_(), "reach")
    size = packed["k"]
    for code, sets in zip(packed["maps"], REACH.values(), strict=True):
        parts = [code[i : i + size] for i in range(0, len(code), size)]
        digits = "".join(packed["rows"][int(part, 36)] for part in parts)
        first = np.array([int(d) for d in digits]).reshape(24, 24)
        for b in range(3):
            assert np.array_equal((first > 0) & (first <= b + 1), sets[b])


@settings(deadline=None, max_examples=20)
@given(
    st.integers(0, 3), st.integers(0, 5), st.integers(0, 2), st.integers(0, 1),
)  # fmt: skip
def test_the_sentence_counts_what_is_seen(row: int, column: int, b: int, m: int):
    widget = reach(start=(b, m, row, column))
    seen = int(list(REACH.values())[m][b, row * 6 + column].sum())
    text = widget.sentence(b, m, row, column)
    assert f"{seen} of the 24 tokens ({percent(seen / 24)} %)" in text
    assert text.startswith(("Down & right", "Kings")[m])
    assert f"after {b + 1} block{'s' if b else ''}, " in text
    assert text.endswith(f"row {row + 1}, column {column + 1}.")


def percent(share: float) -> int:
    return int(100 * share + 0.5)  # halves go up


def rgb(colour: str) -> str:
    red, green, blue = bytes.fromhex(colour[1:])
    return f"rgb({red}, {green}, {blue})"


def shown(page: Page) -> tuple[list[str], list[str], str]:
    cells = page.locator(".pb-tokens i").all_inner_texts()
    shares = page.locator(".pb-reached tbody td:last-child").all_inner_texts()
    return cells, shares, page.locator(".pb-note").inner_text()


def test_sliders_show_the_sets(open_page: Open) -> None:
    page = open_page(reach(start=(1, 1, 1, 1))._repr_html_())
    look = "all => all.map(e => [e.style.background, e.style.color])"
    for state in [(0, 0, 0, 0), (2, 1, 3, 5), (1, 0, 2, 1), (1, 1, 1, 1)]:
        for label, value in zip(
            ("Blocks", "Attention", "Row", "Column"), state, strict=True
        ):
            page.get_by_role("slider", name=label).fill(str(value))
        b, m, row, column = state
        sets = list(REACH.values())[m][:, row * 6 + column]
        expected = [
            str(1 + int(sets[:, k].argmax())) if sets[b, k] else "" for k in range(24)
        ]
        expected[row * 6 + column] = "?"
        cells, shares, note = shown(page)
        assert cells == expected
        assert shares == [
            f"{percent(s[b, row * 6 + column].mean())} %" for s in REACH.values()
        ]
        assert note == reach().sentence(*state)
        assert page.locator(".pb-tokens").get_attribute("aria-label") == note
        assert page.locator("tr.pb-on").inner_text().startswith(list(REACH)[m])
        same = reach(start=state)._repr_html_()  # what stands there without moving
        styles = re.findall(r'<i style="background:(.*?);color:(.*?)">', same)
        found = page.eval_on_selector_all(".pb-tokens i", look)
        assert [rgb(ground) for ground, _ in styles] == [g for g, _ in found]
        assert [rgb(ink) for _, ink in styles] == [ink for _, ink in found]


def test_a_click_chooses_token_and_method(open_page: Open) -> None:
    page = open_page(reach()._repr_html_(), width=390, has_touch=True)
    page.locator(".pb-tokens i").nth(3 * 6 + 4).tap()
    assert page.get_by_role("slider", name="Row").input_value() == "3"
    assert page.get_by_role("slider", name="Column").input_value() == "4"
    assert page.locator("output").all_inner_texts()[2:] == ["4", "5"]
    page.locator(".pb-reached tbody tr").nth(1).tap()
    assert page.get_by_role("slider", name="Attention").input_value() == "1"
    assert shown(page)[2].startswith("Kings: after 1 block, ")
    assert shown(page)[2].endswith("row 4, column 5.")
    assert page.locator("tr.pb-on").inner_text().startswith("kings")


def test_many_blocks_have_colours_of_their_own() -> None:
    nine = {k: neighbours((2, 9), [(0, 1)], 9) for k in "ab"}
    packed = data(ReachPlayer(nine, (2, 9))._repr_html_(), "reach")
    assert len({ground for ground, _ in packed["seen"]}) == 9
    for ground, ink in [*packed["seen"], packed["asks"]]:
        assert contrast(ground, ink) >= 4.5


def test_a_large_map_stays_small() -> None:
    side = (14, 14)
    same = [np.equal.outer(axis, axis) for axis in np.divmod(np.arange(196), 14)]
    cross = same[0] | same[1]
    sets = {f"m{i}": np.stack([cross, cross | True]) for i in range(6)}
    assert len(ReachPlayer(sets, side)._repr_html_()) < 100_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reach": {}}, "must hold at least one method"),
        ({"side": (4, 5)}, r"shape \(3, 24, 24\) must be \(blocks, 20, 20\)"),
        ({"reach": {"a": REACH["kings"][::-1]} | REACH}, "lose no token"),
        ({"reach": {"a": 0 * REACH["kings"]} | REACH}, "hold each token itself"),
        ({"reach": REACH | {"a": REACH["kings"][:2]}}, r"reach has \[2, 3\] blocks"),
        ({"reach": {"a": REACH["kings"]}}, "axis 'Attention' has the values"),
        ({"start": (0, 0, 4, 0)}, r"start=\(0, 0, 4, 0\) must hold one index"),
    ],
)
def test_wrong_reach(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reach(**change)


def test_one_block_is_enough_for_a_figure() -> None:
    found = checked_reach({"a": REACH["kings"][:1].astype(int)}, SIDE)
    assert found["a"].dtype == bool


# --- tiles --------------------------------------------------------------------------


@pytest.mark.parametrize("side", [SIDE, (2, 6), (6, 2)])
@pytest.mark.parametrize("name", TILES)
def test_rows_are_those_of_the_library(side: tuple[int, int], name: str) -> None:
    H, W = side
    h, w = {"vertical stripes": (H, 2), "horizontal stripes": (2, W)}.get(name, (2, 2))
    if (h, w) == side:
        return
    widget = TilePlayer(side, {name: (h, w), "single tokens": (1, W)}, start=(0, 3))
    flat = stripe_partition(torch.arange(H * W).reshape(1, H, W, 1), h, w)[..., 0]
    last = widget.states[3]
    assert last["order"] == flat.flatten().tolist()
    assert f"= (B · {len(flat)}, {h * w}, C)" in last["code"][1]
    for tile, row in enumerate(flat.tolist()):
        assert {widget.owner[0][token] for token in row} == {tile}
        heights = {last["at"][token][1] for token in row}
        assert len(heights) == 1  # a tile is a row
        across = [last["at"][token][0] for token in row]
        assert across == sorted(across)
    copied = flat.flatten().tolist() != list(range(H * W))
    assert ("were copied" in last["note"]) == copied


def test_shapes_are_those_of_torch() -> None:
    x = torch.zeros(5, *SIDE, 3)
    for k, (h, w) in enumerate(TILES.values()):
        y = x.unflatten(2, (-1, w)).unflatten(1, (-1, h))
        states = tiles().states[4 * k : 4 * k + 4]
        assert (
            states[1]["code"][0] == f".unflatten(2, (-1, {w})).unflatten(1, (-1, {h}))"
        )
        numbers = ", ".join(map(str, y.shape[1:-1]))
        assert states[1]["code"][1].endswith(f"= (B, {numbers}, C)")
        numbers = ", ".join(map(str, y.transpose(2, 3).shape[1:-1]))
        assert states[2]["code"][1].endswith(f"= (B, {numbers}, C)")


def test_tokens_stay_on_the_stage_and_apart() -> None:
    widget = tiles()
    size = 100 / widget.stage
    for state in widget.states:
        at = np.array(state["at"])
        assert sorted(state["order"]) == list(range(24))
        assert (at >= -0.01).all()
        assert (at + size <= 100.02).all()
        gaps = abs(at[:, None] - at[None]) / size  # in tokens
        assert (gaps.max(-1)[~np.eye(24, dtype=bool)] > 0.99).all()


def test_sliders_move_the_tokens(open_page: Open) -> None:
    page = open_page(tiles(start=(1, 1))._repr_html_(), reduced_motion="reduce")
    places = """stage => [...stage.children].map(e => {
        const a = e.getBoundingClientRect(), b = stage.getBoundingClientRect();
        return [100 * (a.x - b.x) / b.width, 100 * (a.y - b.y) / b.height]})"""
    ground = "all => all.map(e => e.style.background)"
    for kind, step in product(range(3), range(4)):
        page.get_by_role("slider", name="Tiles").fill(str(kind))
        page.get_by_role("slider", name="Step").fill(str(step))
        state = tiles().states[4 * kind + step]
        found = page.eval_on_selector(".pb-stage", places)
        assert np.allclose(found, state["at"], atol=0.1)
        order = page.locator(".pb-order i").all_inner_texts()
        assert order == [str(k) for k in state["order"]]
        assert page.locator("code").all_inner_texts() == list(state["code"])
        assert page.locator(".pb-note").inner_text() == state["note"]
        colours = page.eval_on_selector_all(".pb-stage i", ground)
        chips = page.eval_on_selector_all(".pb-order i", ground)
        owner = tiles().owner[kind]
        assert colours == [rgb(SERIES[tile]) for tile in owner]
        assert chips == [colours[k] for k in state["order"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tiles": TILES | {"odd": (3, 2)}}, r"tiles\['odd'\]=\(3, 2\) must divide"),
        ({"tiles": TILES | {"none": (0, 2)}}, r"tiles\['none'\]=\(0, 2\) must divide"),
        ({"tiles": TILES | {"all": SIDE}}, "give 2 to 7 tiles"),
        ({"tiles": TILES | {"each": (1, 1)}}, "give 2 to 7 tiles"),
        ({"tiles": {"windows": (2, 2)}}, "axis 'Tiles' has the values"),
    ],
)
def test_wrong_tiles(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiles(**change)


# --- both ---------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "mode"), [(1280, "light"), (390, "dark")])
def test_accessible_and_every_slider_does_something(
    open_page: Open, width: int, mode: str
) -> None:
    body = reach(caption="Reach")._repr_html_() + tiles(caption="Tiles")._repr_html_()
    page = open_page(body, width=width, mode=mode)
    results = Axe().run(page, options=RULES)
    assert results.violations_count == 0, results.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert widget_problems(page) == []


def test_the_start_stands_without_javascript(open_page: Open) -> None:
    body = reach(start=(1, 0, 0, 0))._repr_html_() + tiles()._repr_html_()
    page = open_page(body, java_script_enabled=False)
    assert page.locator(".pb-note").first.inner_text() == reach().sentence(1, 0, 0, 0)
    page.emulate_media(media="print")
    assert page.locator(".pb-stage i").count() == 24
    assert not page.locator("input").first.is_visible()
