"""What must hold for a page: checks on its text, and checks in a browser.

Each check returns sentences about what is wrong; an empty list means nothing is.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    Route,
)

AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
# What a browser fetches by itself, and the attribute that says from where.
FETCHED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
}
FETCHED_RELATIONS = {"stylesheet", "icon", "preload", "modulepreload", "prefetch"}
OPEN_GRAPH = ["og:title", "og:type", "og:url", "og:image", "og:description"]


def _is_outside(address: str) -> bool:
    return bool(urlsplit(address).netloc)


def outside_addresses(html: str) -> list[str]:
    """Name every address of another host that the page would fetch."""
    soup = BeautifulSoup(html, "html.parser")
    found = [
        str(tag[attribute])
        for name, attribute in FETCHED.items()
        for tag in soup.find_all(name, attrs={attribute: True})
    ]
    found += [
        str(tag["href"])
        for tag in soup.find_all("link", href=True)
        if FETCHED_RELATIONS.intersection(tag.get("rel") or [])
    ]
    for tag in soup.find_all(srcset=True):
        found += [part.split()[0] for part in str(tag["srcset"]).split(",")]
    for tag in soup.find_all("style"):
        found += style_addresses(tag.get_text())
    return [f"fetches {address}" for address in found if _is_outside(address)]


def style_addresses(css: str) -> list[str]:
    """Return the addresses that a style sheet names."""
    return re.findall(r"""(?:url\(|@import)\s*["']?([^"')\s;]+)""", css)


def text_problems(html: str) -> list[str]:
    """Find pictures without a text and values that went wrong."""
    soup = BeautifulSoup(html, "html.parser")
    problems = []
    for image in soup.find_all("img"):
        meaningful = image.find_parent(["figure"]) or image.find_parent(
            class_="cell_output"
        )
        if image.get("alt") is None or (meaningful and not str(image["alt"]).strip()):
            problems.append(f"no alt text: {str(image)[:90]}")
    if " at 0x" in soup.get_text(" "):
        problems.append("the text holds the address of an object")
    for tag in soup.find_all(["script", "style", "code", "pre"]):
        tag.decompose()
    words = re.findall(r"\b(?:NaN|nan|undefined)\b", soup.get_text(" "))
    problems += [f"the text holds {word}" for word in words]
    return problems


def missing_tags(html: str) -> list[str]:
    """Name the Open Graph tags that the page lacks."""
    soup = BeautifulSoup(html, "html.parser")
    have = {str(t["property"]) for t in soup.find_all("meta", property=True)}
    return [f"no {name}" for name in OPEN_GRAPH if name not in have]


def dead_links(path: Path, root: Path) -> list[str]:
    """Name the page's links to files or anchors of the site that do not exist."""
    problems = []
    soup = BeautifulSoup(path.read_text("utf-8"), "html.parser")
    for tag in soup.find_all(["a", "link", "script", "img"]):
        address = str(tag.get("href") or tag.get("src") or "")
        parts = urlsplit(address)
        if not address or parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if target.is_dir():
            target /= "index.html"
        if not target.is_file():
            problems.append(f"link to {address}, which does not exist")
        elif (
            tag.name == "a"
            and parts.fragment
            and target.suffix == ".html"
            and not _has_anchor(target, parts.fragment)
        ):
            problems.append(f"link to {address}, which has no such anchor")
    return problems


_anchors: dict[tuple[Path, float], set[str]] = {}


def _has_anchor(path: Path, name: str) -> bool:
    key = (path, path.stat().st_mtime)
    if key not in _anchors:
        _anchors[key] = set(re.findall(r'\bid="([^"]+)"', path.read_text("utf-8")))
    return unquote(name) in _anchors[key]


# ---------------------------------------------------------------- in a browser

MATHS = """async () => {
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  await document.fonts.ready;
  const bad = [];
  for (const e of document.querySelectorAll('.math'))
    if (!e.querySelector('mjx-container')) bad.push(e.textContent.trim().slice(0, 60));
  for (const e of document.querySelectorAll('mjx-merror'))
    bad.push('error: ' + e.textContent.slice(0, 60));
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode, inside = node.parentElement;
    if (inside.closest('code, pre, script, style, mjx-container')) continue;
    if (/\\$\\$|\\\\\\(|\\\\\\[|\\\\(frac|operatorname|mathbb)\\b/.test(node.data))
      bad.push(node.data.trim().slice(0, 60));
  }
  return bad;
}"""

SIDEWAYS = """() => {
  const width = document.documentElement.clientWidth, bad = [];
  if (document.documentElement.scrollWidth <= width + 1) return bad;
  for (const e of document.querySelectorAll('main *'))
    if (e.getBoundingClientRect().right > width + 1 && bad.length < 4)
      bad.push(e.tagName.toLowerCase() + '.' + e.className);
  return ['wider than the screen: ' + bad.join(', ')];
}"""

# Everything a reader sees of a widget, without its controls.
STATE = """figure => {
  const seen = [];
  for (const e of figure.querySelectorAll('*')) {
    if (e.closest('style, label, output, button, .pb-controls')) continue;
    const box = e.getBoundingClientRect();
    if (box.width && box.height)
      seen.push([e.tagName, e.getAttribute('src'), Math.round(box.width),
                 e.childElementCount ? '' : e.textContent]);
  }
  return JSON.stringify(seen);
}"""


def widget_problems(page: Page) -> list[str]:
    """Move every slider by keyboard; what the widget shows must change."""
    problems = []
    for number, figure in enumerate(page.query_selector_all("figure.pb-player"), 1):
        sliders = figure.query_selector_all("input[type=range]")
        if not sliders:
            problems.append(f"widget {number} has no slider")
        for slider in sliders:
            before = figure.evaluate(STATE)
            at_end = slider.evaluate("e => e.value === e.max")
            slider.focus()
            page.keyboard.press("ArrowLeft" if at_end else "ArrowRight")
            if figure.evaluate(STATE) == before:
                label = slider.evaluate("e => e.labels?.[0]?.textContent ?? ''")
                problems.append(f"widget {number}: slider {label!r} changes nothing")
    return problems


def axe_problems(page: Page) -> list[str]:
    """Run axe with the rules of WCAG 2.1, levels A and AA."""
    options = {
        "runOnly": {"type": "tag", "values": AXE_TAGS},
        "resultTypes": ["violations"],
        "preload": False,  # or axe asks for style sheets at addresses of its own
    }
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"axe {rule['id']}: {json.dumps(node['target'])} {node['failureSummary'][:160]}"
        for rule in found
        for node in rule["nodes"][:3]
    ]


def watched_page(context: BrowserContext, address: str) -> tuple[Page, list[str]]:
    """Return a page that can reach `address` alone, and its list of faults."""
    page = context.new_page()
    faults: list[str] = []

    def local_only(route: Route) -> None:
        url = route.request.url
        if url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            faults.append(f"asks another host: {url}")
            route.abort()

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            faults.append(f"console: {message.text}")

    def on_response(response: Response) -> None:
        if response.status >= 400:
            faults.append(f"status {response.status}: {response.url}")

    def on_failure(request: Request) -> None:
        # Leaving a page cancels what it was still fetching (the icon is asked for
        # after the load event). That is no fault: an address that does not answer
        # fails with another reason, a missing file shows as a status of 400 or more.
        if request.failure != "net::ERR_ABORTED":
            faults.append(f"request failed ({request.failure}): {request.url}")

    page.route("**/*", local_only)
    page.on("console", on_console)
    page.on("response", on_response)
    page.on("pageerror", lambda error: faults.append(f"script error: {error}"))
    page.on("requestfailed", on_failure)
    return page, faults


def inspect(
    page: Page, faults: list[str], url: str, *, axe: bool = False, widgets: bool = False
) -> list[str]:
    """Open one address and return everything that is wrong with the page."""
    faults.clear()
    page.goto(url, wait_until="load")
    problems = [f"unrendered formula: {text}" for text in page.evaluate(MATHS)]
    problems += page.evaluate(SIDEWAYS)
    if axe:
        problems += axe_problems(page)
    if widgets:
        problems += widget_problems(page)
    return list(faults) + problems
