"""Headless Chromium and a local server for the site's tests and pictures."""

from __future__ import annotations

import functools
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str | None:
    """Return the path of an installed Chromium, if there is one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, names)), None
    )


class _Handler(SimpleHTTPRequestHandler):
    """Serves the site below a prefix and its 404 page elsewhere, as Pages does."""

    prefix = "/"

    def translate_path(self, path: str) -> str:
        inside = path.startswith(self.prefix)
        return super().translate_path(
            "/" + path[len(self.prefix) :] if inside else "/-"
        )

    def send_error(
        self, code: int, message: str | None = None, explain: str | None = None
    ) -> None:
        lost = Path(self.directory, "404.html")
        if code != 404 or not lost.is_file():
            return super().send_error(code, message, explain)
        body = lost.read_bytes()
        self.send_response(404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serve(folder: Path, prefix: str = "/") -> Iterator[str]:
    """Serve a folder on a free local port; yields its address."""
    handler = type("Handler", (_Handler,), {"prefix": prefix})
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{prefix}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def site_prefix(html: Path) -> str:
    """Return the path below which Pages serves the site, such as `/papers-built/`."""
    front = (html / "index.html").read_text("utf-8")
    address = re.search(r'rel="canonical" href="([^"]+)"', front)
    if address is None:
        raise ValueError(f"{html / 'index.html'} names no canonical address")
    return urlsplit(address[1]).path.removesuffix("book/index.html")


@contextmanager
def open_browser(executable: str) -> Iterator[BrowserContext]:
    """Start Chromium with an empty profile; closes it at the end."""
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as play:
        context = play.chromium.launch_persistent_context(
            profile, executable_path=executable, headless=True, args=FLAGS
        )
        try:
            yield context
        finally:
            context.close()


def page_names(html: Path) -> list[str]:
    """Return the pages of a site, except those that only forward."""
    pages = (path for path in html.rglob("*.html") if "_static" not in path.parts)
    return sorted(
        path.relative_to(html).as_posix()
        for path in pages
        if 'http-equiv="refresh"' not in path.read_text("utf-8")[:4000]
    )
