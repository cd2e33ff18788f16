"""What the book's site adds to Sphinx.

The palette's style sheet, the cards of the front page, the pages of the package, the
mark on component cells, the JupyterHub entry of the launch menu, a page for lost
readers, and the removal of what the theme loads without need.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import pkgutil
import re
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.ext.autodoc import DataDocumenter
from sphinx.util.docutils import SphinxDirective
from sphinx.util.inspect import object_description

from lib.assets import load_paper, paper_path, papers
from lib.figures.palette import css_variables

STATES = {
    "planned": "Planned",
    "built": "Built, ledger checked",
    "complete": "Complete",
}
# MathJax files that this site's one configuration (TeX in, HTML out) can ask for.
MATHJAX_KEPT = ("tex-chtml.js", "output/chtml", "input/tex", "a11y", "sre", "ui")


def site_address(repository: str) -> str:
    """Return the address of the Pages site of `https://github.com/OWNER/NAME`."""
    owner, name = urlsplit(repository).path.strip("/").split("/")[:2]
    return f"https://{owner.lower()}.github.io/{name}/"


def set_addresses(app: Sphinx, config: Config) -> None:
    """Derive the site's address and write the palette's style sheet."""
    repository = config.html_theme_options["repository_url"]
    address = config.html_baseurl or site_address(repository)
    config.html_baseurl = config.ogp_site_url = address
    config.ogp_image = f"{address}_static/og.png"
    generated = Path(app.srcdir, "_build", "generated")
    generated.mkdir(parents=True, exist_ok=True)
    (generated / "palette.css").write_text(css_variables(), encoding="utf-8")
    config.html_static_path.append(str(generated))


def site_state(app: Sphinx) -> str:
    """Hash what the pages are made with, so that a change writes all of them again."""
    digest = hashlib.sha256(css_variables().encode())
    for path in sorted(Path(app.confdir or ".", "book").glob("_*/**/*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(path.read_bytes())
    return digest.hexdigest()


def notebook_path(slug: str) -> str:
    """Return a chapter's notebook relative to the root, without its suffix."""
    return f"chapters/{papers().index(slug) + 1:02d}_{slug}/{slug}"


def first_figure(notebook: Path) -> tuple[bytes, str] | None:
    """Return the first stored PNG of a notebook and its alt text, if there is one."""
    if not notebook.is_file():
        return None
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            picture = output.get("data", {}).get("image/png")
            if picture:
                image = cell.get("metadata", {}).get("mystnb", {}).get("image", {})
                return base64.b64decode("".join(picture)), image.get("alt", "")
    return None


class Cards(SphinxDirective):
    """The ten papers as cards, written from their `paper.yml`."""

    def run(self) -> list[nodes.Node]:
        """Return one list of cards as raw HTML."""
        items = [self.card(number, slug) for number, slug in enumerate(papers(), 1)]
        html = '<ol class="pb-cards">\n' + "\n".join(items) + "\n</ol>"
        return [nodes.raw("", html, format="html")]

    def card(self, number: int, slug: str) -> str:
        """Return the HTML of one card."""
        paper = load_paper(slug)
        self.env.note_dependency(str(paper_path(slug, "paper.yml")))
        chapter = notebook_path(slug)
        title = escape(paper.short)
        if chapter in self.env.found_docs:
            title = f'<a href="../{chapter}.html">{title}</a>'
        minutes = paper.budgets.minutes_to_read if paper.budgets else None
        facts = [escape(paper.venue), STATES[paper.state]]
        facts += (
            [f"{minutes:g} minutes"] if minutes and paper.state != "planned" else []
        )
        return (
            f'<li class="pb-sheet pb-{paper.state}">'
            f'<div class="pb-sheet-picture">{self.picture(slug, chapter)}</div>'
            '<div class="pb-sheet-text">'
            f'<span class="pb-sheet-number">{number:02d}</span>'
            f'<p class="pb-sheet-title">{title}</p>'
            f'<p class="pb-sheet-sentence">{escape(paper.sentence)}</p>'
            f'<p class="pb-sheet-facts">'
            + "".join(f"<span>{fact}</span>" for fact in facts)
            + "</p></div></li>"
        )

    def picture(self, slug: str, chapter: str) -> str:
        """Return the chapter's first figure, or the drawing kept for the paper."""
        notebook = Path(self.env.srcdir, f"{chapter}.ipynb")
        found = first_figure(notebook) if chapter in self.env.found_docs else None
        if found is None:
            return f'<img src="../_static/cards/{slug}.svg" alt="">'
        self.env.note_dependency(str(notebook))
        png, alt = found
        target = Path(self.env.app.outdir, "_static", "cards", f"{slug}.png")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(png)
        return (
            f'<img src="../_static/cards/{slug}.png" alt="{escape(alt)}" '
            'class="pb-figure">'
        )


def write_rooms(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace each `{room}` fence by one `automodule` a module of that package."""

    def pages(match: re.Match[str]) -> str:
        room = importlib.import_module(match[1])
        inner = pkgutil.walk_packages(getattr(room, "__path__", []), f"{match[1]}.")
        names = [
            name for _, name, _ in inner if not name.split(".")[-1].startswith("_")
        ]
        parts = [automodule(match[1])]
        parts += [f"## `{name}`\n\n{automodule(name)}" for name in sorted(names)]
        return "\n\n".join(parts)

    source[0] = re.sub(r"```\{room\} ([\w.]+)\n```", pages, source[0])


def automodule(name: str) -> str:
    """Return the directive that documents what a module itself defines."""
    options = ["   :members:", "   :ignore-module-all:"]
    return "\n".join(["```{eval-rst}", f".. automodule:: {name}", *options, "```"])


class ShortDataDocumenter(DataDocumenter):
    """Gives a constant's value only where it can be read: short, without addresses."""

    def should_suppress_value_header(self) -> bool:
        """Say whether the value is left out."""
        value = object_description(self.object)
        hidden = len(value) > 120 or " at 0x" in value
        return hidden or super().should_suppress_value_header()


def keep_marks(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Escape what docutils reads as mark-up: shapes (B, *size) and bars |x - y|."""
    for i, line in enumerate(lines):
        if "`" not in line:
            if line.count("*") == 1:
                line = line.replace("*", r"\*")
            lines[i] = re.sub(r"\|(\S|\S[^|]*\S)\|", r"\\|\1\\|", line)


def mark_components(app: Sphinx, doctree: nodes.document) -> None:
    """Put the name of the library object above each cell that holds its source."""
    for cell in doctree.findall(nodes.container):
        name = cell.get("cell_metadata", {}).get("component")
        if not name:
            continue
        cell["classes"].append("pb-component")
        module, _, member = name.partition(":")
        label = (
            '<p class="pb-component-label"><span>Component</span> '
            f"<code>{escape(module)}.{escape(member)}</code></p>"
        )
        cell.insert(0, nodes.raw("", label, format="html"))


def drop_scripts(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Drop the unused Thebe loader and scripts that the theme stack adds twice."""
    seen: set[tuple[str, str]] = set()
    kept = []
    for script in context.get("script_files", []):
        name, body = str(script.filename or ""), script.attributes.get("body", "")
        if "thebe" in name or "THEBE" in body or (name, body) in seen:
            continue
        seen.add((name, body))
        kept.append(script)
    context["script_files"] = kept
    context["css_files"] = [
        sheet for sheet in context["css_files"] if "thebe" not in str(sheet.filename)
    ]


def name_parts(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Name the folding buttons of the contents; drop roles that axe rejects."""
    contents = context["generate_toctree_html"]

    def named(*args: Any, **options: Any) -> str:
        html = str(contents(*args, **options))
        return html.replace("<summary>", '<summary aria-label="Pages of this part">')

    context["generate_toctree_html"] = named
    for role in (' role="doc-biblioentry"', ' role="list"'):
        context["body"] = context.get("body", "").replace(role, "")


def offer_hub(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Add JupyterHub to the launch menu: a page that asks for the hub's address."""
    for group in context.get("header_buttons", []):
        buttons = group.get("buttons", [])
        if any(button.get("text") == "Binder" for button in buttons):
            page = context["pathto"]("book/instructors/hub")
            button = {
                "type": "link",
                "text": "JupyterHub",
                "tooltip": "Open on your course's JupyterHub",
                "icon": "_static/images/logo_jupyterhub.svg",
                "url": f"{page}?notebook={quote(pagename)}.ipynb",
            }
            buttons.append(button)


def help_hub_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Give the page that makes hub links its script and the repository's address."""
    if pagename == "book/instructors/hub":
        repository = escape(app.config.html_theme_options["repository_url"])
        context["metatags"] += f'<meta name="pb-repository" content="{repository}">'
        app.add_js_file("hub.js")


def add_lost_page(app: Sphinx) -> list[tuple[str, dict[str, Any], str]]:
    """Return the page that a web server shows for an unknown address."""
    body = Path(app.srcdir, "book", "_ext", "404.html").read_text(encoding="utf-8")
    return [("404", {"title": "No such page", "body": body}, "page.html")]


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Make the lost page work at any depth, thin out MathJax, tag the first page."""
    if exception is not None or app.builder.name != "html":
        return
    out = Path(app.outdir)
    lost = out / "404.html"
    if lost.is_file():
        base = urlsplit(app.config.html_baseurl).path
        lost.write_text(absolute_links(lost.read_text("utf-8"), base), "utf-8")
    mathjax = out / "_static" / "mathjax"
    for path in sorted(mathjax.rglob("*")):
        inside = path.relative_to(mathjax).as_posix()
        if path.is_file() and not inside.startswith(MATHJAX_KEPT):
            path.unlink()
    front = app.config.root_doc + ".html"
    head = re.findall(
        r'<meta (?:property|name)="(?:og:|twitter:|description)[^>]*>',
        (out / front).read_text("utf-8"),
    )
    (out / "index.html").write_text(
        f'<!DOCTYPE html>\n<html lang="en-GB"><head><meta charset="utf-8">\n'
        f"<title>{escape(app.config.project)}</title>\n{chr(10).join(head)}\n"
        f'<link rel="canonical" href="{app.config.html_baseurl}{front}">\n'
        f'<meta http-equiv="refresh" content="0; url={front}"></head>\n'
        f'<body><p><a href="{front}">{escape(app.config.project)}</a></p></body>'
        "</html>\n",
        "utf-8",
    )


def repeat_warnings(app: Sphinx, exception: Exception | None) -> None:
    """Forget a build that warned: the next one would take its pages over in silence."""
    if exception is not None or app._warncount:
        Path(app.doctreedir, "environment.pickle").unlink(missing_ok=True)


def absolute_links(html: str, base: str) -> str:
    """Return a page of the root folder with its own addresses made absolute.

    A server shows it in place of any page, however deep, so relative addresses would
    point nowhere.
    """
    html = re.sub(
        r'\b(href|src|action)="(?!#|/|[a-z]+:)([^"]*)"', rf'\1="{base}\2"', html
    )
    return html.replace('data-content_root="./"', f'data-content_root="{base}"')


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.add_config_value("bookext_state", site_state(app), "html", str)
    app.add_directive("cards", Cards)
    app.add_autodocumenter(ShortDataDocumenter, override=True)
    app.connect("config-inited", set_addresses, priority=100)
    app.connect("source-read", write_rooms)
    app.connect("autodoc-process-docstring", keep_marks)
    app.connect("doctree-read", mark_components)
    app.connect("html-page-context", drop_scripts, priority=900)
    app.connect("html-page-context", name_parts, priority=920)
    app.connect("html-page-context", offer_hub, priority=950)
    app.connect("html-page-context", help_hub_page, priority=100)
    app.connect("html-collect-pages", add_lost_page)
    app.connect("build-finished", finish, priority=900)
    app.connect("build-finished", repeat_warnings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
