"""The built site: its files, and every page in headless Chromium without a network."""

import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from playwright.sync_api import BrowserContext, Page

from lib.assets import papers
from lib.figures.palette import css_variables
from tests.site import checks
from tests.site.browser import (
    page_names,
    serve,
    site_prefix,
)
from tools.make_book import build

SCREENS = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]


@pytest.fixture(scope="module")
def html(root: Path) -> Path:
    """Build the site, unless it is up to date; warnings are errors."""
    assert build(root) == 0
    return root / "_build" / "html"


@pytest.fixture(scope="module")
def pages(html: Path) -> list[str]:
    return page_names(html)


@pytest.fixture(scope="module")
def address(html: Path) -> Iterator[str]:
    """Serve the site where Pages would: below its name, with its 404 page."""
    with serve(html, site_prefix(html)) as site:
        yield site


# ------------------------------------------------------------------- files


def test_every_page_is_in_the_table_of_contents(root: Path) -> None:
    toc = yaml.safe_load((root / "_toc.yml").read_text("utf-8"))
    listed = set(re.findall(r"'(?:file|root)': '([^']+)'", str(toc)))
    written = [*root.glob("book/**/*.md"), *root.glob("chapters/*/*.ipynb")]
    names = {p.relative_to(root).with_suffix("").as_posix() for p in written}
    names = {n for n in names if not n.endswith("README")}
    assert listed >= names


def test_no_page_fetches_from_another_host(html: Path, pages: list[str]) -> None:
    problems = {
        n: checks.outside_addresses((html / n).read_text("utf-8")) for n in pages
    }
    assert not {name: found for name, found in problems.items() if found}


def test_no_style_sheet_fetches_from_another_host(html: Path) -> None:
    for sheet in html.rglob("*.css"):
        for target in checks.style_addresses(sheet.read_text("utf-8")):
            assert target.startswith("data:") or "//" not in target, (sheet, target)


def test_pictures_have_a_text_and_no_value_is_broken(
    html: Path, pages: list[str]
) -> None:
    problems = {n: checks.text_problems((html / n).read_text("utf-8")) for n in pages}
    assert not {name: found for name, found in problems.items() if found}


def test_links_within_the_site_lead_somewhere(html: Path, pages: list[str]) -> None:
    problems = {n: checks.dead_links(html / n, html) for n in pages if n != "404.html"}
    assert not {name: found for name, found in problems.items() if found}


def test_pages_can_be_shared(html: Path, pages: list[str]) -> None:
    made = {"404.html", "search.html", "genindex.html", "py-modindex.html"}
    for name in ["index.html", *(n for n in pages if n not in made)]:
        assert not checks.missing_tags((html / name).read_text("utf-8")), name


def test_the_shared_picture_is_small_and_of_the_usual_shape(html: Path) -> None:
    png = (html / "_static" / "og.png").read_bytes()
    assert len(png) < 100_000
    assert struct.unpack(">II", png[16:24]) == (1200, 630)


def test_sitemap_and_search_know_every_written_page(
    html: Path, pages: list[str]
) -> None:
    written = [n for n in pages if n.startswith(("book/", "chapters/"))]
    sitemap = (html / "sitemap.xml").read_text("utf-8")
    index = (html / "searchindex.js").read_text("utf-8")
    names = json.loads(index.removeprefix("Search.setIndex(").removesuffix(")"))
    for name in written:
        assert f"/{name}</loc>" in sitemap
        assert name.removesuffix(".html") in names["docnames"]
    assert "404.html" not in sitemap


def test_the_colours_are_those_of_the_figures(html: Path) -> None:
    assert (html / "_static" / "palette.css").read_text("utf-8") == css_variables()


def test_the_front_page_shows_ten_papers(html: Path) -> None:
    front = (html / "book" / "index.html").read_text("utf-8")
    assert front.count('class="pb-sheet ') == len(papers()) == 10


def test_notebook_pages_can_be_launched(html: Path, pages: list[str]) -> None:
    for name in (n for n in pages if n.startswith("chapters/")):
        page = (html / name).read_text("utf-8")
        notebook = name.replace(".html", ".ipynb")
        assert "mybinder.org/v2/gh/" in page
        assert f"lab/tree/{notebook}" in page
        assert "colab.research.google.com/github/" in page
        assert f"hub.html?notebook={notebook}" in page
        assert (html / "_sources" / notebook).is_file()


def test_the_theme_is_thinned_out(html: Path, pages: list[str]) -> None:
    for name in pages:
        assert "THEBE" not in (html / name).read_text("utf-8"), name
    assert (html / "_static" / "scripts" / "fontawesome.js").stat().st_size < 1000


# ----------------------------------------------------------------- browser


def set_screen(page: Page, address: str, width: int, mode: str) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(address + "book/index.html")
    page.evaluate("m => { localStorage.mode = m; localStorage.theme = m }", mode)


@pytest.mark.parametrize(("width", "mode"), SCREENS)
def test_every_page_opens_clean(
    context: BrowserContext, address: str, pages: list[str], width: int, mode: str
) -> None:
    page, faults = checks.watched_page(context, address)
    set_screen(page, address, width, mode)
    wide = width > 1000
    problems = {}
    for name in pages:
        found = checks.inspect(page, faults, address + name, axe=wide, widgets=wide)
        assert page.evaluate("document.documentElement.dataset.theme") == mode
        if found:
            problems[name] = found
    page.close()
    assert not problems, json.dumps(problems, indent=1)


def test_search_finds_words_without_a_network(
    context: BrowserContext, address: str
) -> None:
    page, faults = checks.watched_page(context, address)
    page.goto(address + "search.html?q=attention")
    page.wait_for_selector("ul.search li a", timeout=20_000)
    assert not faults
    page.close()


def test_a_lost_reader_sees_a_whole_page(context: BrowserContext, address: str) -> None:
    page, faults = checks.watched_page(context, address)
    url = address + "chapters/99/no/such/page.html"
    response = page.goto(url)
    assert response is not None
    assert response.status == 404
    assert "not in the drawer" in page.inner_text("article h1")
    assert faults[0] == f"status 404: {url}"
    assert not [fault for fault in faults[1:] if "console: Failed" not in fault]
    page.click("text=The front page")
    assert page.inner_text("article h1").startswith("Papers, Built")
    page.close()


def test_menus_open_on_a_narrow_screen(context: BrowserContext, address: str) -> None:
    page, faults = checks.watched_page(context, address)
    set_screen(page, address, 390, "light")
    page.goto(address + "book/notation.html")
    page.click("button.primary-toggle")
    page.wait_for_selector("#pst-primary-sidebar-modal nav.bd-links", state="visible")
    page.keyboard.press("Escape")
    page.click("button.secondary-toggle")
    page.wait_for_selector("#pst-secondary-sidebar-modal nav", state="visible")
    assert not faults
    page.close()


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_no_text_shines_through_the_bar_at_the_top(
    context: BrowserContext, address: str, mode: str
) -> None:
    page, faults = checks.watched_page(context, address)
    set_screen(page, address, 1280, mode)
    page.goto(address + "book/notation.html")
    page.evaluate("window.scrollTo(0, 400)")
    bar, paper = (
        page.eval_on_selector(part, "e => getComputedStyle(e).backgroundColor")
        for part in (".bd-header-article", "body")
    )
    assert bar == paper != "rgba(0, 0, 0, 0)"
    assert not faults
    page.close()


def test_the_hub_page_makes_a_link_and_remembers_the_hub(
    context: BrowserContext, address: str, root: Path
) -> None:
    page, faults = checks.watched_page(context, address)
    url = address + "book/instructors/hub.html?notebook=chapters/01_a/b.ipynb"
    page.goto(url)
    page.fill("#pb-hub-address", "not an address")
    assert page.query_selector("#pb-hub-link a") is None
    page.fill("#pb-hub-address", "https://hub.example.org/hub/home")
    config = yaml.safe_load((root / "_config.yml").read_text("utf-8"))
    repository = config["repository"]["url"]
    link = page.get_attribute("#pb-hub-link a", "href")
    assert link is not None
    start = "https://hub.example.org/hub/user-redirect/git-pull?repo="
    assert link.startswith(start)
    query = dict(p.split("=") for p in urlsplit(link).query.split("&"))
    unquoted = {k: re.sub("%2F", "/", v).replace("%3A", ":") for k, v in query.items()}
    assert unquoted == {
        "repo": repository,
        "branch": "main",
        "urlpath": f"lab/tree/{repository.split('/')[-1]}/chapters/01_a/b.ipynb",
    }
    page.goto(url)
    assert page.input_value("#pb-hub-address") == "https://hub.example.org/hub/home"
    assert not faults
    page.close()
