"""A hash of the code behind a measurement, which changes with the code alone.

Starting at one function, the hash follows every name to the definition in `lib` that it
stands for, through imports and re-exporting `__init__` files, and takes in the syntax
trees of what it reaches, without docstrings, comments and layout. An unrelated class in
the same file, a moved definition or a new re-export leaves the hash as it is.

What cannot be seen without running the code is met with caution: statements at the top
of a reached module that define nothing, and definitions under a decorator of ours (it
may register them), always count, and a name that cannot be traced brings in its whole
module. Modules named only by a string are not followed. Other packages count by the
names used from them, not by their code: their versions stand beside the hash.
"""

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def code_hash(module: str, name: str = "run") -> str:
    """Return the hash of the code that a function reaches.

    Args:
        module: the dotted module of the function, e.g. `lib.claims.mobile_former`;
            modules of its top-level package and of `lib` are followed.
        name: the function.

    Returns:
        16 hexadecimal digits.

    Raises:
        ValueError: if there is no such function.
    """
    reader = _Reader({"lib", module.partition(".")[0]})
    start = reader.module(module)
    if start is None or name not in start.bindings:
        raise ValueError(f"{module}: this module defines no function `{name}`")
    text = "\n".join(sorted(reader.reach(start, name)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass
class _Module:
    """The top level of one module, sorted by what its statements are for."""

    name: str
    package: bool
    bindings: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, set[str]] = field(default_factory=dict)
    always: list[ast.stmt] = field(default_factory=list)
    stars: set[str] = field(default_factory=set)


class _Reader:
    def __init__(self, packages: set[str]) -> None:
        self.packages = packages
        self.module = cache(self._module)

    def reach(self, start: _Module, name: str) -> set[str]:
        """Return the text of every statement that a definition reaches."""
        found: set[str] = set()
        seen: set[tuple[str, str]] = set()
        todo = [(start.name, name)]
        while todo:
            item = todo.pop()
            if item in seen:
                continue
            seen.add(item)
            module = self.module(item[0])
            if module is None:
                continue
            todo.append((module.name, ""))  # what counts in every reached module
            if item[1] == "*":
                todo += [(module.name, bound) for bound in module.bindings]
                continue
            if item[1] == "":
                todo += [(star, "*") for star in module.stars]
            for statement in module.bindings.get(item[1], module.always):
                found.add(_dump(statement))
                for local, dotted in _names(statement):
                    if local in module.bindings:
                        todo.append((module.name, local))
                    for target in module.imports.get(local, ()):
                        reached = self._resolve(target + dotted[len(local) :])
                        todo += reached
                        ends = sorted({end for _, end in reached}) or [target]
                        found.add(f"{local} = {', '.join(ends)}")
        return found

    def _resolve(self, dotted: str) -> list[tuple[str, str]]:
        """Return where a dotted name is defined, as (module, name); none outside."""
        parts = dotted.split(".")
        if parts[0] not in self.packages:
            return []
        depth = max(
            (n for n in range(1, len(parts) + 1) if self.module(".".join(parts[:n]))),
            default=0,
        )
        module = self.module(".".join(parts[:depth])) if depth else None
        if module is None:
            return []
        if depth == len(parts):
            return self._whole(module)
        name, rest = parts[depth], "".join(f".{part}" for part in parts[depth + 1 :])
        if name in module.bindings:
            return [(module.name, name)]
        if name in module.imports:
            targets = sorted(module.imports[name] - {dotted})
            return [item for target in targets for item in self._resolve(target + rest)]
        return self._whole(module)

    def _whole(self, module: _Module) -> list[tuple[str, str]]:
        items = [(module.name, "*")]
        if module.package:
            file = self._file(module.name)
            names = (
                sorted(path.stem for path in file.parent.glob("[!_]*.py"))
                if file
                else []
            )
            items += [(f"{module.name}.{name}", "*") for name in names]
        return items

    def _file(self, name: str) -> Path | None:
        top, *rest = name.split(".")
        spec = importlib.util.find_spec(top) if top in self.packages else None
        if spec is None or spec.origin is None:
            return None
        origin = Path(spec.origin)
        if not rest:
            return origin
        path = origin.parent.joinpath(*rest)
        options = (path / "__init__.py", path.with_name(path.name + ".py"))
        return next((option for option in options if option.is_file()), None)

    def _module(self, name: str) -> _Module | None:
        file = self._file(name)
        if file is None:
            return None
        tree = ast.parse(file.read_text(encoding="utf-8"))
        module = _Module(name, file.name == "__init__.py")
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                _note_imports(module, node)
        for statement in tree.body:
            self._sort(module, statement)
        return module

    def _sort(self, module: _Module, statement: ast.stmt) -> None:
        """File a top-level statement under the names it binds, or under `always`."""
        targets: list[ast.expr] = []
        if isinstance(statement, Definition):
            module.bindings.setdefault(statement.name, []).append(statement)
            if any(self._is_ours(module, d) for d in statement.decorator_list):
                module.always.append(statement)
            return
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
            targets = [statement.target]
        names = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
        if targets and not any(
            isinstance(t, ast.Subscript | ast.Attribute) for t in targets
        ):
            for name in names:
                module.bindings.setdefault(name, []).append(statement)
        elif not (_only_imports(statement) or _is_text(statement)):
            module.always.append(statement)

    def _is_ours(self, module: _Module, decorator: ast.expr) -> bool:
        return any(
            local in module.bindings
            or any(
                t.split(".")[0] in self.packages for t in module.imports.get(local, ())
            )
            for local, _ in _names(decorator)
        )


def _note_imports(module: _Module, node: ast.Import | ast.ImportFrom) -> None:
    if isinstance(node, ast.Import):
        for alias in node.names:
            local = alias.asname or alias.name.split(".")[0]
            target = alias.name if alias.asname else local
            module.imports.setdefault(local, set()).add(target)
        return
    source = node.module or ""
    if node.level:
        up = node.level - module.package
        base = module.name.rsplit(".", up)[0] if up else module.name
        source = f"{base}.{source}".rstrip(".")
    for alias in node.names:
        if alias.name == "*":
            module.stars.add(source)
        else:
            local = alias.asname or alias.name
            module.imports.setdefault(local, set()).add(f"{source}.{alias.name}")


def _only_imports(statement: ast.stmt) -> bool:
    """Whether a statement imports, or guards nothing but imports."""
    inner = statement.body if isinstance(statement, ast.If) else [statement]
    return all(isinstance(node, ast.Import | ast.ImportFrom) for node in inner)


def _is_text(node: object) -> bool:
    """Whether a node is a docstring, or another string that stands alone."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _names(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Give each name used, and with the attributes taken from it: `a`, `a.b.c`."""
    inner = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Name | ast.Attribute) or id(node) in inner:
            continue
        chain: list[str] = []
        root: ast.expr = node
        while isinstance(root, ast.Attribute):
            chain.append(root.attr)
            root = root.value
        if isinstance(root, ast.Name):
            yield root.id, ".".join([root.id, *reversed(chain)])


def _dump(node: object) -> str:
    """Write a syntax tree without text that stands alone, the same for each Python."""
    if isinstance(node, ast.Constant):
        return repr(node.value)
    if isinstance(node, list):
        return "[" + ", ".join(_dump(item) for item in node if not _is_text(item)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [
        f"{name}={_dump(value)}"
        for name, value in ast.iter_fields(node)
        if value is not None and value != [] and name not in ("ctx", "type_comment")
    ]
    return f"{type(node).__name__}({', '.join(fields)})"
