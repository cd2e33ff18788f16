"""Players: what their HTML holds, and how they behave in a browser."""

import base64
import io
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.figure import Figure
from PIL import Image
from playwright.sync_api import Page

from lib.figures import BarPlayer, GridPlayer, Player
from lib.figures.player import FRAME_LIMIT, frame_png

Open = Callable[..., Page]
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}


def shades(n: int = 4, **options) -> Player:
    frames = [np.full((8, 8), i / n) for i in range(n)]
    alts = [f"A grey square, number {i} of {n}" for i in range(n)]
    return Player(frames, **({"label": "Shade", "alts": alts} | options))


def grid(**options) -> GridPlayer:
    axes = {"Block": ["first", "last"], "Token": [1, 2, 3]}
    states = [(b, t) for b in axes["Block"] for t in axes["Token"]]
    return GridPlayer(
        **{
            "frames": {s: np.full((8, 8), i / 6) for i, s in enumerate(states)},
            "axes": axes,
            "alts": {s: f"A square for block {s[0]}, token {s[1]}" for s in states},
            "label": "Squares",
        }
        | options
    )


def bars(**options) -> BarPlayer:
    sizes = {"Size": [1, 2, 3], "Tokens": [1, 4]}
    return BarPlayer(
        **{
            "values": {
                (s, m): {"Mobile": 10.0 * s * s, "Former": 2.5 * m}
                for s in sizes["Size"]
                for m in sizes["Tokens"]
            },
            "axes": sizes,
            "label": "Cost by part",
            "unit": "MAdds (M)",
            "start": (1, 0),
        }
        | options
    )


def visible_alt(page: Page) -> str:
    (shown,) = [i for i in page.query_selector_all("img") if i.is_visible()]
    return shown.get_attribute("alt") or ""


# --- the HTML -----------------------------------------------------------------------


class Outline(HTMLParser):
    """Collect the tags and attributes of a page, and check that tags are closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("make", [shades, grid, bars])
def test_no_script_no_library_no_address(make: Callable) -> None:
    html = make(caption="A < B & C", name="fig-x")._repr_html_()
    outline = Outline(html)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in outline.tags}
    assert "http" not in html
    assert "A &lt; B &amp; C" in html
    tag, attributes = outline.tags[0]
    assert (tag, attributes["id"]) == ("figure", "fig-x")
    assert "$" not in html  # every colour of the style sheet was filled in


@pytest.mark.parametrize("make", [shades, grid])
def test_only_the_first_frame_shows_without_javascript(make: Callable) -> None:
    outline = Outline(make()._repr_html_())
    frames = [a for _, a in outline.tags if a.get("class") == "pb-frame"]
    assert ["hidden" in a for a in frames] == [False] + [True] * (len(frames) - 1)
    assert all(a["alt"] for tag, a in outline.tags if tag == "img")


def test_same_html_in_another_process() -> None:
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from tests.figures.test_player import bars, grid, shades\n"
        "for make in (bars, grid, shades): print(make()._repr_html_())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, encoding="utf-8"
    )
    here = [make()._repr_html_() for make in (bars, grid, shades)]
    assert run.stdout.splitlines() == here


def test_text_form_is_fixed() -> None:
    assert repr(shades()) == "Player: Shade, 4 states"
    assert repr(grid()) == "GridPlayer: Squares, 6 states"
    assert repr(bars()) == "BarPlayer: Cost by part, 6 states"


def test_grid_starts_where_it_is_told() -> None:
    outline = Outline(grid(start=(1, 2))._repr_html_())
    frames = [a for _, a in outline.tags if a.get("class") == "pb-frame"]
    assert ["hidden" in a for a in frames] == [True] * 5 + [False]


# --- frames -------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3))))
def test_small_arrays_become_small_stable_pngs(array: np.ndarray) -> None:
    data = frame_png(array)
    assert data == frame_png(array.copy())
    assert len(data) <= FRAME_LIMIT
    assert Image.open(io.BytesIO(data)).size == (array.shape[1], array.shape[0])


def test_few_colours_are_kept_exactly() -> None:
    array = np.random.default_rng(0).integers(0, 4, (30, 20)).astype(np.uint8) * 80
    back = Image.open(io.BytesIO(frame_png(array))).convert("L")
    assert np.array_equal(np.asarray(back), array)


def test_figures_fit_the_limit() -> None:
    figure = Figure(figsize=(5.4, 3))
    figure.subplots().plot(np.sin(np.arange(100)))
    assert len(frame_png(figure)) <= FRAME_LIMIT


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.zeros((4, 4, 4)), r"frame of shape \(4, 4, 4\) must be"),
        (np.zeros(4), r"frame of shape \(4,\) must be"),
        (np.full((4, 4), 2.0), "values from 2 to 2 must hold numbers from 0 to 1"),
        (np.full((4, 4), np.nan), "must hold numbers from 0 to 1"),
    ],
)
def test_a_wrong_frame_is_named(frame: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frame_png(frame)


def test_a_frame_too_large_is_named() -> None:
    noise = np.random.default_rng(0).random((250, 250, 3))
    with pytest.raises(ValueError, match=r"above limit=20480; draw it smaller"):
        frame_png(noise)


# --- wrong uses ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alts": ["short"] * 4}, r"alts\[0\]='short' must say"),
        ({"alts": ["A text that is long enough"]}, "alts must be a list"),
        ({"alts": "A text that is long enough"}, "alts must be a list"),
        ({"captions": ["one"]}, "captions must be a list"),
        ({"values": [1, 2]}, "values must hold one entry for each of the 4 frames"),
        ({"values": [1, 1, 2, 3]}, "all different"),
        ({"interval": 5}, "interval=5 must be at least 100"),
        ({"label": " "}, "label=' ' must name the widget"),
        ({"n": 1}, "frames must hold at least two pictures, got 1"),
    ],
)
def test_wrong_player(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shades(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": {}}, "frames must have a key for every combination"),
        ({"alts": {("first", 1): "A text"}}, "alts must have a key for every"),
        ({"captions": {("x", 9): "no"}}, "captions must have a key for every"),
        ({"start": (0, 3)}, r"start=\(0, 3\) must hold one index"),
        ({"start": (0,)}, r"start=\(0,\) must hold one index"),
    ],
)
def test_wrong_grid(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grid(**options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({(2, 1): {"Mobile": 1.0}}, r"values\[\(2, 1\)\] has the parts"),
        ({(2, 1): {"Mobile": -1.0, "Former": 1.0}}, "no negative or infinite"),
        ({(2, 1): {"Mobile": np.inf, "Former": 1.0}}, "no negative or infinite"),
        ({(9, 9): {"Mobile": 1.0, "Former": 1.0}}, "missing or unknown"),
        ({(2, 1): {"Mobile": 0.0, "Former": 0.0}}, "more than zero"),
    ],
)
def test_wrong_bars(change: dict, message: str) -> None:
    values = {
        (s, m): {"Mobile": 1.0, "Former": 1.0} for s in (1, 2, 3) for m in (1, 4)
    } | change
    with pytest.raises(ValueError, match=message):
        bars(values=values)


def test_wrong_notes() -> None:
    with pytest.raises(ValueError, match="notes must have a key for every combination"):
        bars(notes={(1, 1): "A sentence"})


# --- in a browser -------------------------------------------------------------------


def test_slider_by_keyboard(open_page: Open) -> None:
    page = open_page(shades()._repr_html_())
    slider = page.get_by_role("slider", name="Shade")
    assert "number 0" in visible_alt(page)
    slider.focus()
    for key, number in (("ArrowRight", 1), ("End", 3), ("ArrowLeft", 2), ("Home", 0)):
        page.keyboard.press(key)
        assert f"number {number}" in visible_alt(page)
        assert page.locator("output").inner_text() == f"{number + 1} of 4"
        assert slider.get_attribute("aria-valuetext") == f"{number + 1} of 4"


def test_step_buttons_stop_at_both_ends(open_page: Open) -> None:
    page = open_page(shades()._repr_html_(), width=390, has_touch=True)
    forward = page.get_by_role("button", name="Next: Shade")
    for number in (1, 2, 3, 3):
        forward.tap()
        assert f"number {number}" in visible_alt(page)
    page.get_by_role("button", name="Previous: Shade").tap()
    assert "number 2" in visible_alt(page)


def test_play_stops_at_the_end_and_begins_again(open_page: Open) -> None:
    page = open_page(shades(interval=800)._repr_html_())
    button = page.locator(".pb-play")
    button.click()
    assert button.inner_text() == "Pause"
    page.wait_for_function("document.querySelector('.pb-play').textContent=='Play'")
    assert "number 3" in visible_alt(page)
    page.wait_for_timeout(900)
    assert "number 3" in visible_alt(page)
    button.focus()
    page.keyboard.press("Enter")
    assert "number 0" in visible_alt(page)
    page.keyboard.press("Enter")  # pause
    stopped = visible_alt(page)
    page.wait_for_timeout(900)
    assert visible_alt(page) == stopped


def test_no_play_button_for_reduced_motion(open_page: Open) -> None:
    page = open_page(shades()._repr_html_(), reduced_motion="reduce")
    assert not page.locator(".pb-play").is_visible()
    assert page.get_by_role("button", name="Next: Shade").is_visible()


def test_first_frame_alone_without_javascript_and_in_print(open_page: Open) -> None:
    page = open_page(shades()._repr_html_(), java_script_enabled=False)
    assert "number 0" in visible_alt(page)
    page.emulate_media(media="print")
    assert "number 0" in visible_alt(page)
    assert not page.locator("input").is_visible()


def test_two_sliders_choose_from_the_grid(open_page: Open) -> None:
    page = open_page(grid()._repr_html_())
    page.get_by_role("slider", name="Token").press("ArrowRight")
    assert "block first, token 2" in visible_alt(page)
    page.get_by_role("slider", name="Block").press("End")
    assert "block last, token 2" in visible_alt(page)


def test_two_players_on_a_page_do_not_disturb_each_other(open_page: Open) -> None:
    page = open_page(shades()._repr_html_() + shades()._repr_html_())
    page.get_by_role("slider").nth(1).press("End")
    shown = [
        image.get_attribute("alt")
        for image in page.query_selector_all("img")
        if image.is_visible()
    ]
    assert shown == ["A grey square, number 0 of 4", "A grey square, number 3 of 4"]


def table(page: Page) -> list[str]:
    return [row.inner_text() for row in page.query_selector_all("tbody tr, tfoot tr")]


def test_bars_follow_the_sliders(open_page: Open) -> None:
    page = open_page(bars()._repr_html_())
    start = table(page)
    assert start == [
        "Mobile\t40.0\t94 %\t×1.00",
        "Former\t2.5\t6 %\t×1.00",
        "Total\t42.5\t100 %\t×1.00",
    ]
    page.get_by_role("slider", name="Size").press("End")
    assert table(page) == [
        "Mobile\t90.0\t97 %\t×2.25",
        "Former\t2.5\t3 %\t×1.00",
        "Total\t92.5\t100 %\t×2.18",
    ]
    widths = page.eval_on_selector_all(
        ".pb-bar", "bars => bars.map(b => [...b.children].map(e => e.offsetWidth))"
    )
    before, now = (np.array(w) for w in widths)
    assert now.sum() / before.sum() == pytest.approx(92.5 / 42.5, rel=0.02)
    assert now[0] / now.sum() == pytest.approx(90 / 92.5, rel=0.02)
    page.get_by_role("slider", name="Size").press("ArrowLeft")
    assert table(page) == start


def test_bars_say_what_a_state_means(open_page: Open) -> None:
    notes = {(s, m): f"Size {s} & {m} tokens" for s in (1, 2, 3) for m in (1, 4)}
    page = open_page(bars(notes=notes)._repr_html_())
    note = page.locator(".pb-note")
    assert note.inner_text() == "Size 2 & 1 tokens"
    page.get_by_role("slider", name="Tokens").press("End")
    assert note.inner_text() == "Size 2 & 4 tokens"
    assert open_page(bars()._repr_html_()).locator(".pb-note").count() == 0


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_accessible_and_nothing_sticks_out(
    open_page: Open, width: int, mode: str
) -> None:
    body = "".join(
        widget._repr_html_()
        for widget in (
            shades(label="A rather long label for a slider on a small screen"),
            grid(caption="A grid", name="fig-grid"),
            bars(caption="Bars"),
        )
    )
    page = open_page(body, width=width, mode=mode)
    results = Axe().run(page, options=RULES)
    assert results.violations_count == 0, results.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_axe_would_have_caught_a_nameless_slider(open_page: Open) -> None:
    page = open_page(re.sub(r"<span>Shade</span>", "", shades()._repr_html_()))
    found = {v["id"] for v in Axe().run(page, options=RULES).response["violations"]}
    assert "label" in found


def test_frames_reach_the_page_as_they_were_encoded() -> None:
    html = shades()._repr_html_()
    first = re.findall(r"base64,([^\"]+)", html)[1]
    assert base64.b64decode(first) == frame_png(np.full((8, 8), 1 / 4))
