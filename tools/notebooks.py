"""What the tools share about notebooks, and the rules that each notebook must keep.

A rule is a function that takes a `Notebook` and returns its problems as sentences;
`RULES` lists them all. `tests/notebooks` holds every chapter against every rule and
shows each rule failing on a notebook made to break it.
"""

import ast
import difflib
import hashlib
import json
import os
import re
import shutil
import statistics
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import psutil
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]

# What `python -m pytest` gets to run notebooks: strict comparison, the package from a
# wheel, an empty working folder, memory read (see tools/nbval_plugin.py).
NBVAL_ARGS = [
    *("-p", "tools.nbval_plugin", "--nbval", "--nbval-current-env"),
    *("--nbval-cell-timeout", "300"),
    *("--nbval-sanitize-with", "tests/sanitize.cfg"),
]

MEMORY_MIB = 1536  # a free Binder has 2 GiB
FILE_BYTES = 1_500_000
OUTPUT_CHARACTERS = 8_000  # printed text a cell
IGNORED_SHARE = 0.25
MEDIAN_LINES, LONG_LINES, LONG_SHARE = 8, 20, 0.1
COMPONENT_LINES = 40
ALT_CHARACTERS = 20
WORDS = (3_000, 5_000)

HEADINGS = {
    "built": ["Before you start", "The ledger", "Limits", "Summary"],
    "complete": ["The claim", "Real data", "Exercises"],
}
IGNORED = {"nbval-ignore-output", "nbval-skip"}
EXERCISE_TAGS = {"solution", "test-visible", "test-hidden"}
TAGS = {
    *EXERCISE_TAGS,
    *("nbval-ignore-output", "raises-exception", "full-width", "margin"),
    *("remove-cell", "remove-input", "remove-output"),
    *("hide-cell", "hide-input", "hide-output"),
}
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
TIMED = {
    "execution",
    "ExecuteTime",
    "execution_state",
    "papermill",
    "widgets",
    "vscode",
}


@dataclass(frozen=True)
class Notebook:
    """A notebook with its place in the book."""

    path: Path
    nb: NotebookNode
    root: Path = ROOT

    @property
    def name(self) -> str:
        """Return the path below the top folder, as messages show it."""
        return shown(self.path, self.root)

    @property
    def slug(self) -> str:
        """Return the paper's slug, from the folder: `01_mobile_former`."""
        return re.sub(r"^\d+_", "", self.path.parent.name)

    @property
    def main(self) -> bool:
        """Return whether this is the chapter itself, not a second notebook."""
        return self.path.stem == self.slug

    @property
    def state(self) -> str:
        """Return the chapter's state in paper.yml, `planned` where there is none."""
        paper = self.root / "src" / "lib" / "assets" / self.slug / "paper.yml"
        if not paper.is_file():
            return "planned"
        return yaml.safe_load(paper.read_text(encoding="utf-8"))["state"]

    @property
    def code(self) -> list[tuple[str, NotebookNode]]:
        """Return the code cells with the words that messages name them by."""
        cells = [cell for cell in self.nb.cells if cell.cell_type == "code"]
        return [(f"code cell {i}", cell) for i, cell in enumerate(cells, 1)]

    @property
    def text(self) -> str:
        """Return all Markdown of the notebook."""
        cells = [cell for cell in self.nb.cells if cell.cell_type == "markdown"]
        return "\n\n".join(cell.source for cell in cells)


def shown(path: Path, root: Path = ROOT) -> str:
    """Return a path as messages show it: below the top folder where it lies there."""
    path = path.resolve()
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def read(path: Path, root: Path = ROOT) -> Notebook:
    """Read a notebook.

    Raises:
        ValueError: The file is missing or is no notebook; the message names it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return Notebook(path.resolve(), nbformat.v4.reads_json(text), root)
    except FileNotFoundError:
        raise ValueError(f"there is no notebook {shown(path, root)}") from None
    except (json.JSONDecodeError, KeyError, AttributeError) as error:
        message = f"{shown(path, root)} is no notebook ({type(error).__name__})"
        raise ValueError(message) from error


def chapters(root: Path = ROOT) -> dict[str, Path]:
    """Return the chapters' folders by slug, in the book's order."""
    folders = sorted(path for path in root.glob("chapters/*") if path.is_dir())
    return {re.sub(r"^\d+_", "", folder.name): folder for folder in folders}


def find_chapter(name: str, root: Path = ROOT) -> Path:
    """Return the folder of a chapter by its slug.

    Raises:
        ValueError: There is no such chapter; the message lists them.
    """
    known = chapters(root)
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1)
    guess = f"did you mean '{close[0]}'? " if close else ""
    listed = ", ".join(known) or "none yet"
    raise ValueError(f"no chapter named '{name}'; {guess}chapters: {listed}")


def all_notebooks(root: Path = ROOT) -> list[Path]:
    """Return the notebooks of all chapters, in the book's order."""
    return sorted(root.glob("chapters/*/*.ipynb"))


def write(nb: NotebookNode, path: Path) -> bool:
    """Write a notebook in one normal form; return whether the file changed.

    The cells' ids follow from their sources, so the same cells give the same bytes.
    The text goes into a file beside the notebook, which is then renamed.
    """
    seen: dict[str, int] = {}
    for cell in nb.cells:
        key = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()
        seen[key] = seen.get(key, 0) + 1
        cell.id = key[:8] + (f"-{seen[key]}" if seen[key] > 1 else "")
        for stale in TIMED:
            cell.metadata.pop(stale, None)
    for stale in TIMED:
        nb.metadata.pop(stale, None)
    nb.metadata.update(nbformat.from_dict(KERNEL))
    nb.nbformat, nb.nbformat_minor = 4, 5
    nbformat.validate(nb)
    text = nbformat.writes(nb).rstrip("\n") + "\n"
    return replace_text(path, text)


def replace_text(path: Path, text: str) -> bool:
    """Write a text file all at once; return whether it changed."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8")
        if path.exists():
            shutil.copymode(path, aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return True


@dataclass(frozen=True)
class Cost:
    """What a process has used so far."""

    cpu_seconds: float
    peak_memory_mib: float


def cost(pid: int) -> Cost:
    """Return the CPU seconds and the highest memory of a running process.

    Outside Linux the memory is the present one: the system keeps no other.
    """
    process = psutil.Process(pid)
    times = process.cpu_times()
    cpu = times.user + times.system
    cpu += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    status = Path("/proc", str(pid), "status")
    peak = process.memory_info().rss / 2**20
    if status.is_file():
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        peak = int(found[1]) / 1024 if found else peak
    return Cost(cpu, peak)


def kernel_pid(manager: Any) -> int:
    """Return the process of a kernel that runs on this machine."""
    return manager.provisioner.pid


def kernel_environment() -> dict[str, str]:
    """Return the variables under which every notebook runs: one thread, no network."""
    environment = dict(os.environ) | {
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PAPERS_BUILT_QUIET": "1",  # no live controls and bars: the site has no kernel
    }
    environment.pop("MPLBACKEND", None)  # the kernel sets its own
    return environment


def clean_outputs(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Return the outputs that are stored and compared.

    Progress bars and live widgets leave nothing: a widget's committed output is the
    picture or HTML beside it, if there is one.
    """
    kept = []
    for output in outputs:
        if output.output_type == "stream" and is_progress(output):
            continue
        data = output.get("data", {})
        if WIDGET_VIEW in data:
            if not any(key.startswith(("image/", "text/html")) for key in data):
                continue
            data = {key: data[key] for key in data if key != WIDGET_VIEW}
            output = nbformat.from_dict({**output, "data": data})
        kept.append(output)
    return kept


def is_progress(output: NotebookNode) -> bool:
    """Return whether a stream holds nothing but progress bars."""
    parts = [part.strip() for part in re.split(r"[\r\n]", output.text)]
    bar = re.compile(r"\d+%\|.*\||\d+(\.\d+)?\w*it \[|\[\d+:\d\d")
    return output.name == "stderr" and all(bar.search(p) for p in parts if p)


def tags(cell: NotebookNode) -> set[str]:
    """Return a cell's tags."""
    return set(cell.metadata.get("tags", []))


def generated(cell: NotebookNode) -> bool:
    """Return whether `make sync` wrote the whole cell: the first one."""
    return cell.metadata.get("generated") == "bootstrap"


def parse(cell: NotebookNode) -> ast.Module:
    """Return the syntax tree of a code cell, IPython's magics included."""
    return ast.parse(TransformerManager().transform_cell(cell.source))


# The rules ---------------------------------------------------------------------------


def valid_format(book: Notebook) -> list[str]:
    """Hold the format to nbformat 4.5, with the fixed kernel and an id a cell."""
    nb = book.nb
    problems = []
    if (nb.nbformat, nb.nbformat_minor) != (4, 5):
        problems.append(f"the format is {nb.nbformat}.{nb.nbformat_minor}, not 4.5")
    ids = [cell.get("id") for cell in nb.cells]
    if len(set(ids)) < len(ids):
        problems.append("two cells have the same id")
    else:  # the validator would give out other ids
        try:
            nbformat.validate(nb)
        except nbformat.ValidationError as error:
            problems.append(f"the notebook is not valid: {str(error).splitlines()[0]}")
    if any(nb.metadata.get(key) != value for key, value in KERNEL.items()):
        problems.append("the stored kernel is not python3; run tools/execute.py")
    return problems


def counts(book: Notebook) -> list[str]:
    """Hold the execution counts to 1..n: all cells ran, in order, from the start."""
    wrong = [
        f"{where} has the execution count {cell.execution_count}, not {i}"
        for i, (where, cell) in enumerate(book.code, 1)
        if cell.execution_count != i
    ]
    return wrong[:1]  # the rest follow from the first


def outputs_stored(book: Notebook) -> list[str]:
    """Find compared cells that would show something and store no output."""
    return [
        f"{where} shows something, and no output is stored"
        for where, cell in book.code
        if not cell.outputs and not tags(cell) & IGNORED and _shows(parse(cell))
    ]


def _shows(tree: ast.Module) -> bool:
    shown_calls = {"print", "display", "show"}
    for node in tree.body:
        value = node.value if isinstance(node, ast.Expr) else None
        if isinstance(value, ast.Call) and _called(value) in shown_calls:
            return True
    last = tree.body[-1] if tree.body else None
    silent = (ast.Call, ast.Constant, ast.Await, ast.Yield)  # calls may return None
    return isinstance(last, ast.Expr) and not isinstance(last.value, silent)


def _called(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def no_stderr(book: Notebook) -> list[str]:
    """Find stored warnings and other text on stderr."""
    return [
        f"{where} stores stderr: {output.text.strip().splitlines()[-1:]}"
        for where, cell in book.code
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr"
    ]


def no_errors(book: Notebook) -> list[str]:
    """Find stored errors without their tags, and tags without their error."""
    problems = []
    for where, cell in book.code:
        errors = [o.ename for o in cell.outputs if o.output_type == "error"]
        meant = "raises-exception" in tags(cell)
        if errors and not meant:
            problems.append(f"{where} stores {errors[0]} without raises-exception")
        if meant and not errors:
            problems.append(f"{where} is tagged raises-exception and stores no error")
        if meant and not tags(cell) & IGNORED:
            problems.append(f"{where} raises and is not tagged nbval-ignore-output")
    return problems


def known_tags(book: Notebook) -> list[str]:
    """Find misspelt tags, and nbval's comments, which the other rules do not count."""
    problems = []
    for i, cell in enumerate(book.nb.cells, 1):
        for tag in sorted(tags(cell) - TAGS):
            problems.append(f"cell {i} has the tag '{tag}', which means nothing here")
        if cell.cell_type == "code" and re.search(r"#\s*(NBVAL|PYTEST)_", cell.source):
            problems.append(f"cell {i} steers nbval by a comment; use a tag")
    return problems


def few_ignored(book: Notebook) -> list[str]:
    """Hold the cells whose output is not compared to a quarter of the code cells."""
    ignored = [where for where, cell in book.code if tags(cell) & IGNORED]
    if len(ignored) <= IGNORED_SHARE * len(book.code):
        return []
    share = f"{len(ignored)} of {len(book.code)} code cells"
    return [f"{share} are not compared; at most {IGNORED_SHARE:.0%} may be"]


def trained_checked(book: Notebook) -> list[str]:
    """Find printed numbers that are not compared and that no later cell checks."""
    problems = []
    for i, (where, cell) in enumerate(book.code):
        prints = any(
            output.output_type in {"stream", "execute_result"}
            and not {"image/png", "text/html"} & set(output.get("data", {}))
            for output in cell.outputs
        )
        if not prints or not tags(cell) & IGNORED or "raises-exception" in tags(cell):
            continue
        if not any(_checks(later) for _, later in book.code[i + 1 :]):
            what = "no later visible cell asserts a tolerance and prints a word"
            problems.append(f"{where} prints numbers that are not compared, and {what}")
    return problems


def _checks(cell: NotebookNode) -> bool:
    hidden = {"remove-cell", "remove-input", "hide-cell", "hide-input"}
    if tags(cell) & (IGNORED | hidden) or not cell.outputs:
        return False
    return any(
        isinstance(node, ast.Assert)
        or (isinstance(node, ast.Call) and _called(node).startswith("assert_"))
        for node in ast.walk(parse(cell))
    )


def small_file(book: Notebook) -> list[str]:
    """Hold the file to 1.5 MB."""
    size = len(nbformat.writes(book.nb).encode())
    if size <= FILE_BYTES:
        return []
    return [f"the file has {size:,} bytes; at most {FILE_BYTES:,} are allowed"]


def short_outputs(book: Notebook) -> list[str]:
    """Hold the printed text of a cell to what a reader reads."""
    problems = []
    for where, cell in book.code:
        size = sum(
            len(o.get("text", "")) + len(o.get("data", {}).get("text/plain", ""))
            for o in cell.outputs
        )
        if size > OUTPUT_CHARACTERS:
            limit = f"at most {OUTPUT_CHARACTERS:,} are allowed"
            problems.append(f"{where} prints {size:,} characters; {limit}")
    return problems


def short_cells(book: Notebook) -> list[str]:
    """Hold the lengths of code cells: half to 8 lines, nine in ten to 20.

    Component cells do not count; they may have 40 lines without docstrings.
    """
    problems = []
    lengths = []
    for where, cell in book.code:
        if generated(cell):
            continue
        if "component" in cell.metadata:
            lines = _lines(cell.source) - _docstring_lines(parse(cell))
            if lines > COMPONENT_LINES:
                limit = f"at most {COMPONENT_LINES} are allowed"
                problems.append(f"{where}, a component, has {lines} lines; {limit}")
        else:
            lengths.append(_lines(cell.source))
    if lengths and statistics.median(lengths) > MEDIAN_LINES:
        median = statistics.median(lengths)
        problems.append(f"the median code cell has {median:g} lines, above 8")
    long = sum(length > LONG_LINES for length in lengths)
    if long > LONG_SHARE * len(lengths):
        share = f"{long} of {len(lengths)} code cells"
        problems.append(f"{share} are longer than {LONG_LINES} lines, above 10%")
    return problems


def _lines(source: str) -> int:
    return sum(bool(line.strip()) for line in source.splitlines())


def docstrings(tree: ast.AST) -> Iterator[ast.Expr]:
    """Yield the docstring nodes of the classes and functions in a tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first


def _docstring_lines(tree: ast.AST) -> int:
    return sum((node.end_lineno or 0) - node.lineno + 1 for node in docstrings(tree))


def text_first(book: Notebook) -> list[str]:
    """Find code cells without a text cell right before them.

    The generated first cell and the parts of an exercise follow other cells.
    """
    problems = []
    before = ""
    numbers = iter(book.code)
    for cell in book.nb.cells:
        if cell.cell_type == "code":
            where, _ = next(numbers)
            exempt = generated(cell) or tags(cell) & {*EXERCISE_TAGS, "remove-cell"}
            if before != "markdown" and not exempt:
                problems.append(f"{where} has no text cell before it")
        before = cell.cell_type
    return problems


def alt_texts(book: Notebook) -> list[str]:
    """Find stored pictures without an alternative text that says something."""
    problems = []
    for where, cell in book.code:
        kinds = [key for output in cell.outputs for key in output.get("data", {})]
        mystnb = cell.metadata.get("mystnb", {})
        alt = mystnb.get("image", {}).get("alt", "").strip()
        if any(kind.startswith("image/") for kind in kinds) and not _says(alt):
            problems.append(f"{where} shows a picture, and its alt text is '{alt}'")
        for output in cell.outputs:
            html = output.get("data", {}).get("text/html", "")
            for image in re.findall(r"<img\b[^>]*>", html):
                found = re.search(r"\balt=(\"[^\"]*\"|'[^']*')", image)
                if not _says(found[1][1:-1] if found else ""):
                    start = image[:40]
                    problems.append(f"{where} has HTML with no alt text: {start}")
    return problems


def _says(alt: str) -> bool:
    return len(alt) >= ALT_CHARACTERS


def headings(book: Notebook) -> list[str]:
    """Hold the title to the first text cell and the sections to the chapter's state."""
    texts = [cell.source for cell in book.nb.cells if cell.cell_type == "markdown"]
    found = [match for text in texts for match in _headings(text)]
    titles = [title for level, title in found if level == 1]
    problems = []
    if len(titles) != 1 or not re.search(r"^# ", texts[0], re.MULTILINE):
        problems.append(f"the first text cell must hold the one title; found {titles}")
    if not book.main or book.state not in HEADINGS:
        return problems
    wanted = HEADINGS["built"] + (
        HEADINGS["complete"] if book.state == "complete" else []
    )
    sections = [title for level, title in found if level == 2]
    for title in wanted:
        if title not in sections:
            problems.append(f"there is no section '## {title}' (state: {book.state})")
    opening = re.split(r"^## ", book.text, maxsplit=1, flags=re.MULTILINE)[0]
    if len(words(opening)) < 40:
        problems.append("the opening before the first section has under 40 words")
    return problems


def _headings(text: str) -> list[tuple[int, str]]:
    text = re.sub(r"^(```|:::).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^(#+) +(.+?) *$", text, re.MULTILINE)
    return [(len(marks), title) for marks, title in found]


def words(text: str) -> list[str]:
    """Return the words a reader reads in Markdown: no code, maths or addresses."""
    text = re.sub(r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$\n]+\$", " ", text, flags=re.S)
    text = re.sub(r"<[^>]+>|\]\([^)]*\)|\{[\w:,-]+\}|^:\w+:.*$", " ", text, flags=re.M)
    return re.findall(r"[^\W\d_][\w’'-]*", text)


def word_count(book: Notebook) -> list[str]:
    """Hold a chapter to 3,000 to 5,000 words; other notebooks have no lower bound."""
    if book.state not in HEADINGS:
        return []
    count = len(words(book.text))
    low, high = (WORDS[0] if book.main else 0), WORDS[1]
    if low <= count <= high:
        return []
    return [f"the text has {count:,} words; {low:,} to {high:,} are asked for"]


def no_traces(book: Notebook) -> list[str]:
    """Find time stamps, widget state and what editors leave behind."""
    problems = [
        f"the notebook's metadata hold '{key}'"
        for key in sorted(TIMED & set(book.nb.metadata))
    ]
    for where, cell in book.code:
        for key in sorted(TIMED & set(cell.metadata)):
            problems.append(f"{where} has the metadata '{key}'")
        if any(WIDGET_VIEW in output.get("data", {}) for output in cell.outputs):
            problems.append(f"{where} stores a live widget")
    return problems


def in_toc(book: Notebook) -> list[str]:
    """Find a notebook that the table of contents does not name."""
    toc = yaml.safe_load((book.root / "_toc.yml").read_text(encoding="utf-8"))
    name = str(Path(book.name).with_suffix(""))
    if name in {str(Path(entry).with_suffix("")) for entry in _files(toc)}:
        return []
    return [f"_toc.yml does not name {name}"]


def _files(node: Any) -> Iterator[str]:
    for item in node if isinstance(node, list) else [node]:
        if isinstance(item, dict):
            yield from (item[key] for key in ("file", "root") if key in item)
            for value in item.values():
                if isinstance(value, list | dict):
                    yield from _files(value)


@cache
def allowed_imports(root: Path = ROOT) -> frozenset[str]:
    """Return what may be imported: the package, its dependencies, Python's own."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    named = {"pillow": "PIL", "scikit-learn": "sklearn", "pyyaml": "yaml"}
    needed = [
        re.split(r"[^\w.-]", item)[0] for item in project["project"]["dependencies"]
    ]
    ours = {named.get(item.lower(), item.replace("-", "_")) for item in needed}
    return frozenset({"lib", "IPython", *ours, *sys.stdlib_module_names})


def imports(book: Notebook) -> list[str]:
    """Find imports that a reader's `pip install` of the package would not bring."""
    problems = []
    for where, cell in book.code:
        for node in ast.walk(parse(cell)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or "."]
            for name in names:
                if name.split(".")[0] not in allowed_imports(ROOT):
                    problems.append(f"{where} imports {name}, which the book does not")
    return problems


def no_own_paths(book: Notebook) -> list[str]:
    """Find paths of the machine that a notebook was written or run on."""
    own = re.compile(
        r"(?<![\w.:/-])/(?:home|Users|root|tmp|work|mnt|opt|var|private)/[\w.-]+"
        r"|\b[A-Z]:\\\w+|file://"
    )
    problems = []
    for i, cell in enumerate(book.nb.cells, 1):
        texts = [cell.source]
        for output in cell.get("outputs", []):
            texts += [output.get("text", ""), *output.get("traceback", [])]
            data = output.get("data", {})
            # In HTML only what is read: pictures are coded text of any letters.
            html = re.sub(r"data:[^\"')]+", "", data.get("text/html", ""))
            texts += [data.get("text/plain", ""), html]
        found = own.search("\n".join(texts))
        if found:
            problems.append(f"cell {i} names a path of one machine: {found[0]}")
    return problems


def bootstrap_first(book: Notebook) -> list[str]:
    """Hold the first cell to the one that `make sync` writes."""
    from tools.bootstrap import first_cell

    wanted = first_cell(book.root)
    first = book.nb.cells[0] if book.nb.cells else None
    if first is not None and generated(first):
        same = first.source == wanted.source and tags(first) == tags(wanted)
        return [] if same else ["the first cell is out of date; run `make sync`"]
    return ["the generated first cell is missing; run `make sync`"]


def components(book: Notebook) -> list[str]:
    """Hold component cells to the package, and later cells to a reader's edit.

    A later import of the component's name would put the package's own in its place.
    """
    from tools.sync import differs

    problems = []
    edited: dict[str, str] = {}
    for where, cell in book.code:
        for node in ast.walk(parse(cell)):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    name = alias.asname or alias.name
                    if name in edited:
                        what = f"imports {name} over the component of {edited[name]}"
                        problems.append(f"{where} {what}")
        component = cell.metadata.get("component")
        if component:
            problem = differs(cell.source, component, book.root)
            if problem:
                problems.append(f"{where}: {problem}")
            edited[component.split(":")[-1]] = where
    return problems


RULES: list[Callable[[Notebook], list[str]]] = [
    *(valid_format, counts, outputs_stored, no_stderr, no_errors, known_tags),
    *(few_ignored, trained_checked, small_file, short_outputs, short_cells),
    *(text_first, alt_texts, headings, word_count, no_traces, in_toc, imports),
    *(no_own_paths, bootstrap_first, components),
]
