"""The site's checks, each shown to fail on a page that is wrong in one way."""

from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from tests.site import checks
from tests.site.browser import page_names, serve

GOOD = """<!DOCTYPE html><html lang="en"><head><title>Good</title>
<meta name="viewport" content="width=device-width"></head><body><main><h1>Good</h1>
<p>Text with an <a href="https://example.org/">ordinary link</a>.</p>
<figure class="pb-player" aria-label="Two words" oninput="
 this.querySelectorAll('.pb-frame').forEach((e, k) => {
  e.hidden = k != this.querySelector('input').value })">
<div class="pb-frame"><p>first</p></div><div class="pb-frame" hidden><p>second</p></div>
<div class="pb-controls"><label>Step <input type="range" min="0" max="1" value="0">
</label></div></figure></main></body></html>"""


def spoil(old: str, new: str) -> str:
    """Return the good page with one thing changed."""
    assert old in GOOD
    return GOOD.replace(old, new)


BAD = {
    "console": spoil("</main>", "</main><script>console.error('broken')</script>"),
    "script error": spoil("</main>", "</main><script>nothing.there</script>"),
    "asks another host": spoil(
        "</main>",
        '</main><script>fetch("https://example.org/x").catch(() => 0)</script>',
    ),
    "status 404": spoil("</main>", '<img src="none.png" alt="none"></main>'),
    "unrendered formula": spoil(
        "<p>Text", '<div class="math">\\[ x^2 \\]</div><p>Text'
    ),
    "unrendered formula: and $$": spoil("<p>Text", "<p>and $$ x^2 $$</p><p>Text"),
    "wider than the screen": spoil(
        "<p>Text", '<div style="width: 900px">wide</div><p>Text'
    ),
    "changes nothing": spoil(' oninput="', ' data-handler="'),
    "has no slider": spoil('type="range"', 'type="text"'),
    "axe image-alt": spoil(
        "</main>",
        '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="></main>',
    ),
    "axe color-contrast": spoil("<p>Text", '<p style="color: #ccc">Pale</p><p>Text'),
    "axe html-has-lang": spoil(' lang="en"', ""),
}


def problems_of(context: BrowserContext, folder: Path, html: str) -> list[str]:
    (folder / "page.html").write_text(html, encoding="utf-8")
    with serve(folder) as address:
        page, faults = checks.watched_page(context, address)
        page.set_viewport_size({"width": 390, "height": 800})
        url = address + "page.html"
        found = checks.inspect(page, faults, url, axe=True, widgets=True)
        page.close()
    return [fault for fault in found if "favicon" not in fault]


def test_a_good_page_passes(context: BrowserContext, tmp_path: Path) -> None:
    assert problems_of(context, tmp_path, GOOD) == []


@pytest.mark.parametrize("expected", BAD)
def test_a_bad_page_is_found_out(
    context: BrowserContext, tmp_path: Path, expected: str
) -> None:
    problems = problems_of(context, tmp_path, BAD[expected])
    assert any(expected in problem for problem in problems), problems


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://example.org/a.js"></script>',
        '<link rel="stylesheet" href="//example.org/a.css">',
        '<img src="http://example.org/a.png" alt="a">',
        '<img src="a.png" srcset="a.png 1x, https://example.org/b.png 2x" alt="a">',
        '<link rel="preload" as="font" href="https://example.org/a.woff2">',
        "<style>@font-face { src: url(https://example.org/a.woff2) }</style>",
        '<style>@import "https://example.org/a.css";</style>',
        '<iframe src="https://example.org/"></iframe>',
    ],
)
def test_an_outside_address_is_found(tag: str) -> None:
    assert len(checks.outside_addresses(tag)) == 1


def test_a_link_to_another_host_is_allowed() -> None:
    page = '<a href="https://example.org/">x</a><link rel="canonical" href="//e.org">'
    assert checks.outside_addresses(page) == []


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<img src="a.png">', "no alt text"),
        ('<figure><img src="a.png" alt=" "></figure>', "no alt text"),
        ("<p>accuracy: NaN</p>", "holds NaN"),
        ("<p>undefined seeds</p>", "holds undefined"),
        ("<dt><code>MLP = &lt;f at 0x7f&gt;</code></dt>", "address"),
    ],
)
def test_broken_text_is_found(html: str, expected: str) -> None:
    (problem,) = checks.text_problems(html)
    assert expected in problem


def test_broken_words_in_code_are_allowed() -> None:
    assert checks.text_problems('<pre>float("nan")</pre><code>NaN</code>') == []


def test_a_missing_tag_is_named() -> None:
    assert checks.missing_tags('<meta property="og:title" content="x">')[0] == (
        "no og:type"
    )


def test_dead_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    page.write_text(
        '<h1 id="here">x</h1><a href="#here">1</a><a href="b.html">2</a>'
        '<a href="#there">3</a><img src="none.png" alt=""><a href="mailto:x@y">4</a>'
    )
    assert [p.split(",")[0] for p in checks.dead_links(page, tmp_path)] == [
        "link to b.html",
        "link to #there",
        "link to none.png",
    ]


def test_pages_that_only_forward_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>a page</p>")
    (tmp_path / "index.html").write_text('<meta http-equiv="refresh" content="0">')
    assert page_names(tmp_path) == ["a.html"]
