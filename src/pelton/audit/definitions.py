"""On which line of a module a name gets its value: at its import, or by a request. Reads files.

Names are those of `pelton.audit.places`: ``shop.carts``, ``shop.Store.items``, ``shop.app.config``.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pelton.audit.modules import shown
from pelton.audit.source import CHANGING

_MOST_FILES: Final = 200
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def line_of_binding(name: str) -> str:
    """Where the import makes it, as file:line; empty where its module has no source."""
    file, rest = _split(name)
    if not file:
        return ""
    words = rest.split(".")
    for length in range(len(words), 0, -1):
        line = _bound(_parsed(file).body, words[:length])
        if line:
            return f"{shown(file)}:{line}"
    return f"{shown(file)}:1"


def line_of_making(name: str) -> str:
    """Where a function gives it a value or changes it; else where the import makes it."""
    file, _ = _split(name)
    lines = _lines_of_making(name)
    return f"{shown(file)}:{lines[0][0]}" if lines else line_of_binding(name)


def is_made_under_lock(name: str) -> bool:
    """Whether every line that gives it a value, or changes it, stands in a `with` of a lock."""
    lines = _lines_of_making(name)
    return bool(lines) and all(is_locked for _, is_locked in lines)


def is_imported(name: str) -> bool:
    """Whether its module has it from another one, where it is known by its own name."""
    file, rest = _split(name)
    word = rest.partition(".")[0]
    if not file or not word:
        return False
    own = [one for one in _own_statements(_parsed(file).body) if not isinstance(one, _IMPORTS)]
    return not any(_bound([one], [word]) for one in own)


def _lines_of_making(name: str) -> list[tuple[int, bool]]:
    file, rest = _split(name)
    if not file:
        return []
    return [
        (line, is_locked)
        for function in ast.walk(_parsed(file))
        if isinstance(function, _Function)
        for line, changed, is_locked in _changes(function)
        if changed == rest or changed.startswith((f"{rest}.", f"{rest}["))
    ]


def _split(name: str) -> tuple[str, str]:
    """The file of the module in which a name is, and the rest of the name."""
    words = name.partition("(")[0].partition(":")[0].split(".")
    for length in range(len(words) - 1, 0, -1):
        file = getattr(sys.modules.get(".".join(words[:length])), "__file__", None)
        if file and file.endswith(".py"):
            return file, ".".join(words[length:])
    return "", ""


@functools.lru_cache(_MOST_FILES)
def _parsed(file: str) -> ast.Module:
    try:
        return ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ast.Module([], [])


def _bound(body: list[ast.stmt], words: list[str]) -> int:
    """The line on which a module's or class's own statements give a name its value; 0 if none does."""
    for statement in _own_statements(body):
        if isinstance(statement, (*_DEFINITIONS,)) and statement.name == words[0]:
            if len(words) == 1:
                return statement.lineno
            if line := _bound(statement.body, words[1:]):
                return line
        elif len(words) == 1 and words[0] in _targets(statement):
            return statement.lineno
    return 0


_IMPORTS: Final = (ast.Import, ast.ImportFrom)
_DEFINITIONS: Final = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _own_statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Those that run at the import, also within `if` and `try`."""
    for statement in body:
        yield statement
        if not isinstance(statement, _DEFINITIONS):
            for inner in ast.iter_child_nodes(statement):
                if isinstance(inner, ast.stmt):
                    yield from _own_statements([inner])
                elif isinstance(inner, ast.ExceptHandler):
                    yield from _own_statements(inner.body)


def _targets(statement: ast.stmt) -> set[str]:
    match statement:
        case ast.Assign(targets=targets):
            return {ast.unparse(name) for target in targets for name in _parts(target)}
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target) | ast.For(target=target):
            return {ast.unparse(name) for name in _parts(target)}
        case ast.With(items=items):
            return {ast.unparse(item.optional_vars) for item in items if item.optional_vars is not None}
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return {alias.asname or alias.name for alias in names}
    return set()


def _parts(target: ast.expr) -> Iterator[ast.expr]:
    if isinstance(target, ast.Tuple | ast.List):
        for one in target.elts:
            yield from _parts(one)
    else:
        yield target


def _changes(function: _Function) -> Iterator[tuple[int, str, bool]]:
    """The lines of a function that change something which is not its own, what, and whether under a lock."""
    declared = {name for one in ast.walk(function) if isinstance(one, ast.Global) for name in one.names}
    locked = {
        id(inner)
        for one in ast.walk(function)
        if isinstance(one, ast.With) and any("lock" in ast.unparse(item).lower() for item in one.items)
        for inner in ast.walk(one)
    }
    for one in ast.walk(function):
        match one:
            case ast.Name(id=name, ctx=ast.Store()) if name in declared:
                yield one.lineno, name, id(one) in locked
            case ast.Attribute(ctx=ast.Store()) | ast.Subscript(ctx=ast.Store()):
                yield one.lineno, ast.unparse(one), id(one) in locked
            case ast.Call(func=ast.Attribute(value=value, attr=attribute)) if attribute in CHANGING:
                yield one.lineno, ast.unparse(value), id(one) in locked
