"""Take a picture of every page, wide and narrow, light and dark.

Run it from the repository's root after `make book`:

    python -m tests.site.screenshots [part of a page's name ...]

The pictures go to `_build/screenshots`.
"""

import sys
from pathlib import Path

from tests.site.browser import (
    chromium,
    open_browser,
    page_names,
    serve,
    site_prefix,
)


def main(words: list[str], html: Path = Path("_build/html")) -> None:
    """Write one PNG for each page, width and colour scheme."""
    executable = chromium()
    if executable is None:
        raise SystemExit("No Chromium found; install the package chromium.")
    target = html.parent / "screenshots"
    target.mkdir(parents=True, exist_ok=True)
    names = [n for n in page_names(html) if not words or any(w in n for w in words)]
    with serve(html, site_prefix(html)) as address, open_browser(executable) as context:
        page = context.new_page()
        for mode in ("light", "dark"):
            page.goto(address + names[0])
            page.evaluate(
                "m => { localStorage.mode = m; localStorage.theme = m }", mode
            )
            for width in (1280, 390):
                page.set_viewport_size({"width": width, "height": 900})
                for name in names:
                    page.goto(address + name, wait_until="networkidle")
                    stem = name.removesuffix(".html").replace("/", "-")
                    path = target / f"{stem}-{width}-{mode}.png"
                    page.screenshot(path=path, full_page=True)
                    print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
