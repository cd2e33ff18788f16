"""`make chapter NAME=...`: execute notebooks and store their outputs.

The same notebook gives the same bytes: no time stamps, no widget state, one thread,
no network. A notebook that raises, or that writes to stderr, stays as it was.
CPU seconds and peak memory are printed, and kept in `src/lib/assets/SLUG/budgets.json`.
"""

import argparse
import copy
import json
import math
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # started as a script: let `tools` be found
    sys.path.insert(0, str(ROOT))

from tools.notebooks import (  # noqa: E402
    Cost,
    Notebook,
    clean_outputs,
    cost,
    find_chapter,
    kernel_environment,
    kernel_pid,
    read,
    replace_text,
    shown,
    tags,
    write,
)

TIMEOUT = 600  # seconds a cell


def execute(nb: NotebookNode, folder: Path) -> tuple[NotebookNode, Cost]:
    """Return a copy of the notebook with new outputs, and what its kernel used.

    Raises:
        ValueError: A cell raised, did not raise as its tag says, wrote to stderr, or
            showed two figures; the message names the cell.
    """
    nb = copy.deepcopy(nb)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        nb,
        kernel_name="python3",
        timeout=TIMEOUT,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],  # no advice about local connections
        resources={"metadata": {"path": str(folder)}},
    )
    with client.setup_kernel(env=kernel_environment()):
        number = 0
        for i, cell in enumerate(nb.cells):
            if cell.cell_type != "code":
                continue
            number += 1
            try:
                client.execute_cell(cell, i)
            except CellExecutionError as error:
                raised = f"{error.ename}: {error.evalue}".strip().splitlines()[0]
                raise ValueError(f"{_where(number, cell)} raised {raised}") from error
            except CellTimeoutError as error:
                message = f"took more than {TIMEOUT} seconds"
                raise ValueError(f"{_where(number, cell)} {message}") from error
            except DeadKernelError as error:
                message = "ended the kernel; the memory may not have been enough"
                raise ValueError(f"{_where(number, cell)} {message}") from error
            _settle(cell, _where(number, cell))
        used = cost(kernel_pid(client.km))
    return nb, used


def _where(number: int, cell: NotebookNode) -> str:
    lines = cell.source.strip().splitlines() or [""]
    return f"code cell {number} (`{lines[0].strip()[:50]}`)"


def _settle(cell: NotebookNode, where: str) -> None:
    """Bring a cell's outputs into their stored form, or say why that cannot be."""
    cell.outputs = [nbformat.from_dict(o) for o in clean_outputs(cell.outputs)]
    raised = False
    figures = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stderr":
            last = output.text.strip().splitlines()[-1]
            raise ValueError(f"{where} wrote to stderr: {last}")
        if output.output_type == "error":
            raised = True  # the traceback names files of this machine
            output.traceback = [f"{output.ename}: {output.evalue}"]
        figure = output.get("metadata", {}).get("image/png", {})
        figure = figure.get("book", figure)
        if "alt" in figure:
            figures.append(figure)
    if "raises-exception" in tags(cell) and not raised:
        raise ValueError(f"{where} is tagged raises-exception and did not raise")
    if len(figures) > 1:
        raise ValueError(f"{where} shows {len(figures)} figures; show one a cell")
    _copy_figure(cell, figures[0] if figures else {})


def _copy_figure(cell: NotebookNode, figure: dict[str, str]) -> None:
    """Copy alt text, caption and name to where the site reads them, drop old ones."""
    mystnb = cell.metadata.pop("mystnb", {})
    mystnb.pop("figure", None)
    image = mystnb.pop("image", {})
    image.pop("alt", None)
    if figure:
        image["alt"] = figure["alt"]
        named = {key: figure[key] for key in ("name", "caption") if figure.get(key)}
        mystnb |= {"figure": named} if named else {}
    mystnb |= {"image": image} if image else {}
    if mystnb:
        cell.metadata["mystnb"] = nbformat.from_dict(mystnb)


def record_budget(book: Notebook, used: Cost) -> bool:
    """Keep what the run used beside the paper's data; return whether that changed.

    CPU seconds go to the nearest 5, memory up to the next 50 MiB. Numbers within a
    fifth of the stored ones are the same: a busy machine changes nothing.
    """
    assets = book.root / "src" / "lib" / "assets" / book.slug
    if not assets.is_dir():
        return False
    path = assets / "budgets.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    new = {
        "cpu_seconds": max(5, 5 * round(used.cpu_seconds / 5)),
        "peak_memory_mib": 50 * math.ceil(used.peak_memory_mib / 50),
        "notebook_kb": math.ceil(book.path.stat().st_size / 1000),
    }
    old = known.get(book.path.stem, {})
    # Rounding alone may move the seconds by 5 and the memory by 50.
    slack = {"cpu_seconds": 5, "peak_memory_mib": 50, "notebook_kb": 1}
    if old and all(
        abs(new[key] - old.get(key, 0)) <= max(0.2 * old.get(key, 0), slack[key])
        for key in new
    ):
        new = old
    folder = book.path.parent
    kept = {stem: known[stem] for stem in known if (folder / f"{stem}.ipynb").is_file()}
    text = json.dumps(kept | {book.path.stem: new}, indent=2, sort_keys=True) + "\n"
    return replace_text(path, text)


def run(path: Path, root: Path = ROOT) -> str:
    """Execute one notebook in its folder, store it, and return a line about it.

    Raises:
        ValueError: The file is no notebook, or a cell failed; nothing was written.
    """
    book = read(path, root)
    try:
        nb, used = execute(book.nb, book.path.parent)
    except ValueError as error:
        message = f"{book.name}: {error}\nThe notebook was left as it was."
        raise ValueError(message) from error
    what = "stored" if write(nb, book.path) else "unchanged"
    record_budget(book, used)
    size = book.path.stat().st_size / 1000
    spent = f"{used.cpu_seconds:.0f} CPU s, {used.peak_memory_mib:.0f} MiB at most"
    return f"{book.name}: {what}, {spent}, {size:.0f} KB"


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Execute the notebooks named, or a chapter's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", nargs="*", type=Path)
    parser.add_argument("--name", help="a chapter: all notebooks of its folder")
    options = parser.parse_args(arguments)
    paths = list(options.notebook)
    try:
        if options.name:
            folder = find_chapter(options.name, root)
            found = sorted(folder.glob("*.ipynb"))
            if not found:
                raise ValueError(f"{shown(folder, root)} has no notebook yet")
            paths += found
        if not paths:
            raise ValueError("name a notebook, or a chapter by --name")
        for path in paths:
            print(run(path, root), flush=True)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
