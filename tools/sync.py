"""`make sync`: write the package's sources into the notebooks' component cells.

A cell with the metadata `"component": "lib.layers.conv:ConvBNAct"` gets the source of
that object, docstrings reduced to their first line; the first cell of each notebook is
written too. `--check` changes nothing and names what differs.
"""

import argparse
import ast
import difflib
import inspect
import io
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # started as a script: let `tools` be found
    sys.path.insert(0, str(ROOT))

from tools.bootstrap import first_cell  # noqa: E402
from tools.notebooks import (  # noqa: E402
    Notebook,
    all_notebooks,
    bootstrap_first,
    docstrings,
    generated,
    read,
    shown,
    write,
)


def component_source(component: str, root: Path = ROOT) -> str:
    """Return an object's source as its cell shows it.

    The object is a class, a function or an assigned name at the top of its module.
    Every docstring is reduced to its first line; nothing else is changed.

    Raises:
        ValueError: The component is not `module:Object`, or there is no such module
            or object; the message says which objects there are.
    """
    module, colon, name = component.partition(":")
    if not colon or not name or not module.startswith("lib."):
        allowed = "'lib.module:Object'"
        raise ValueError(f"component is '{component}'; allowed is {allowed}")
    stem = root.joinpath("src", *module.split("."))
    path = next(
        (p for p in (stem.with_suffix(".py"), stem / "__init__.py") if p.is_file()),
        None,
    )
    if path is None:
        raise ValueError(f"component '{component}': there is no module {module}")
    source = path.read_text(encoding="utf-8")
    defined = {name: node for node in ast.parse(source).body for name in _names(node)}
    if name not in defined:
        close = difflib.get_close_matches(name, defined, n=1)
        guess = f"did you mean '{close[0]}'? " if close else ""
        listed = ", ".join(defined) or "nothing"
        message = f"{module} does not define '{name}'; {guess}it defines: {listed}"
        raise ValueError(f"component '{component}': {message}")
    return _one_line_docstrings(_segment(source, defined[name]))


def _names(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    yield from (target.id for target in targets if isinstance(target, ast.Name))


def _segment(source: str, node: ast.stmt) -> str:
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    return "\n".join(source.splitlines()[first - 1 : node.end_lineno])


def _one_line_docstrings(source: str) -> str:
    lines = source.splitlines()
    found = sorted(docstrings(ast.parse(source)), key=lambda node: -node.lineno)
    for node in found:  # from the end, so that line numbers stay right
        assert isinstance(node.value, ast.Constant)
        text = inspect.cleandoc(str(node.value.value)).splitlines()[0]
        quoted = f'{" " * node.col_offset}"""{text}"""'
        lines[node.lineno - 1 : node.end_lineno] = [quoted]
    return "\n".join(lines)


def differs(cell: str, component: str, root: Path = ROOT) -> str:
    """Return how a component cell differs from the package, or an empty string.

    Syntax trees and comments are compared; how the lines are broken is not.
    """
    try:
        wanted = component_source(component, root)
    except ValueError as error:
        return str(error)
    try:
        tree = ast.dump(ast.parse(cell))
    except SyntaxError as error:
        return f"the cell of {component} is not Python: {error.msg}"
    if tree != ast.dump(ast.parse(wanted)):
        return f"the cell differs from {component}; run `make sync`"
    if _comments(cell) != _comments(wanted):
        return f"the comments differ from {component}; run `make sync`"
    return ""


def _comments(source: str) -> list[str]:
    read_line = io.StringIO(source).readline
    found = tokenize.generate_tokens(read_line)
    return [token.string for token in found if token.type == tokenize.COMMENT]


def sync(book: Notebook) -> list[str]:
    """Write the component cells and the first cell; return what was done.

    A cell that says the same already is left as it is, outputs and all.

    Raises:
        ValueError: A component does not exist; the message names it.
    """
    done = []
    nb = book.nb
    if bootstrap_first(book):
        cell = first_cell(book.root)
        if nb.cells and generated(nb.cells[0]):
            cell.execution_count = nb.cells[0].execution_count
            nb.cells[0] = cell
        else:
            nb.cells.insert(0, cell)
        done.append("the first cell")
    for _, cell in book.code:
        component = cell.metadata.get("component")
        if component and differs(cell.source, component, book.root):
            cell.source = component_source(component, book.root)
            done.append(component)
    if done:
        write(nb, book.path)
    return done


def check(book: Notebook) -> list[str]:
    """Return what `sync` would write, as sentences."""
    problems = bootstrap_first(book)
    for where, cell in book.code:
        component = cell.metadata.get("component")
        problem = component and differs(cell.source, component, book.root)
        if problem:
            problems.append(f"{where}: {problem}")
    return problems


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Write, or check, the notebooks named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument("notebook", nargs="*", type=Path)
    options = parser.parse_args(arguments)
    failed = False
    for path in options.notebook or all_notebooks(root):
        try:
            book = read(path, root)
            found = check(book) if options.check else sync(book)
        except ValueError as error:
            print(f"{shown(path, root)}: {error}", file=sys.stderr)
            failed = True
            continue
        for line in found:
            verb = "" if options.check else "wrote "
            stream = sys.stderr if options.check else sys.stdout
            print(f"{book.name}: {verb}{line}", file=stream)
        failed |= options.check and bool(found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
