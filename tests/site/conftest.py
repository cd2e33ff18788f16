"""A headless Chromium for the tests of the site."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext

from tests.site.browser import chromium, open_browser


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    executable = chromium()
    if executable is None:
        if os.environ.get("CI"):
            pytest.fail("CI is set, but no Chromium is installed")
        pytest.skip("No Chromium is installed, so no page was opened in a browser.")
    with open_browser(executable) as browser:
        yield browser
