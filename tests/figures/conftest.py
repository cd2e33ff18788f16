"""A headless Chromium for the widgets' tests, and a page to put them on."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from lib.figures.palette import css_variables

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None and not os.environ.get("CI"):
        pytest.skip("No Chromium is installed, so the widgets were not tried in one.")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """A function that opens HTML; a console error or a request fails the test."""
    pages: list[Page] = []
    trouble: list[str] = []

    def open_html(body: str, width: int = 1280, mode: str = "light", **options) -> Page:
        page = browser.new_page(viewport={"width": width, "height": 900}, **options)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on(
            "console",
            lambda message: (
                trouble.append(message.text) if message.type == "error" else None
            ),
        )
        page.route("http*://**/*", lambda route: trouble.append(route.request.url))
        page.set_content(
            f'<!doctype html><html lang="en" data-theme="{mode}"><head><title>Page'
            '</title><meta name="viewport" content="width=device-width"><style>'
            f"{css_variables()} body {{background: var(--pb-paper);"
            "color: var(--pb-ink); font: 17px/1.6 sans-serif}</style></head><body>"
            f"<main><h1>Page</h1>{body}</main></body></html>"
        )
        pages.append(page)
        return page

    yield open_html
    for page in pages:
        page.close()
    assert trouble == []
