"""What can be read from the code: views that assign globals, defaults that are changed. Pure."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Final

from pelton.audit.finding import Finding, Kind

_ROUTES: Final = frozenset(
    {"route", "get", "post", "put", "patch", "delete", "before_request", "after_request"}
)
CHANGING: Final = frozenset(
    {
        "append",
        "add",
        "update",
        "extend",
        "insert",
        "setdefault",
        "pop",
        "popitem",
        "remove",
        "discard",
        "clear",
    }
    | {"appendleft", "sort", "reverse"}
)
_MAKERS: Final = frozenset(
    {"list", "dict", "set", "defaultdict", "deque", "Counter", "OrderedDict", "bytearray"}
)
_READ: Final = "the source"
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def look_at_source(text: str, file: str, module: str, views: Iterable[str]) -> Iterator[Finding]:
    """The findings in one module; ``views`` are the names of functions that requests call."""
    known = set(views)
    whole = ast.parse(text)
    functions = [one for one in ast.walk(whole) if isinstance(one, _Function)]
    # A function within another one is made anew with each call, and its default values with it.
    inner = {one for outer in functions for one in ast.walk(outer) if one is not outer}
    for function in functions:
        is_view = function.name in known or _has_route(function)
        if is_view:
            yield from _globals(function, file, module)
        if is_view or function not in inner:
            yield from _defaults(function, file, module)


def _has_route(function: _Function) -> bool:
    decorators = [one.func if isinstance(one, ast.Call) else one for one in function.decorator_list]
    return any(isinstance(one, ast.Attribute) and one.attr in _ROUTES for one in decorators)


def _globals(function: _Function, file: str, module: str) -> Iterator[Finding]:
    declared = {name for one in ast.walk(function) if isinstance(one, ast.Global) for name in one.names}
    made_once = _made_once(function)
    for one in ast.walk(function):
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store | ast.Del) and one.id in declared:
            declared.discard(one.id)
            kind, reason = Kind.GLOBAL_STATEMENT, f"The view {function.name} assigns a global of the module."
            if id(one) in made_once:
                kind, reason = Kind.LAZY_STATE, "The first request makes it; two at once may both do."
            yield Finding(kind, f"{module}.{one.id}", f"{file}:{one.lineno}", _READ, reason)


def _made_once(function: _Function) -> set[int]:
    """The names that are assigned only where they have nothing yet: `if engine is None: engine = …`."""
    found = set()
    for one in ast.walk(function):
        match one:
            case ast.If(
                test=ast.Compare(left=ast.Name(id=name), ops=[ast.Is()], comparators=[ast.Constant(None)])
                | ast.UnaryOp(op=ast.Not(), operand=ast.Name(id=name))
            ):
                inner = (deep for statement in one.body for deep in ast.walk(statement))
                found |= {id(deep) for deep in inner if isinstance(deep, ast.Name) and deep.id == name}
    return found


def _defaults(function: _Function, file: str, module: str) -> Iterator[Finding]:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = [
        *zip(reversed(positional), reversed(arguments.defaults), strict=False),
        *(
            (one, value)
            for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
            if value
        ),
    ]
    for argument, default in pairs:
        if _is_mutable(default) and (line := _changed(function, argument.arg)):
            reason = "A default value is made once, and every call changes the same one."
            name = f"{module}.{function.name}({argument.arg}=)"
            yield Finding(Kind.MUTABLE_DEFAULT, name, f"{file}:{line}", _READ, reason)


def _is_mutable(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        name = value.func.id if isinstance(value.func, ast.Name) else getattr(value.func, "attr", "")
        return name in _MAKERS
    return isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)


def _changed(function: _Function, name: str) -> int:
    """The first line that changes the value which a name has from the start; 0 where there is none."""
    lines = []
    for one in ast.walk(function):
        match one:
            case ast.Name(id=found, ctx=ast.Store()) if found == name:
                # It is something else from there on, perhaps; better no finding than a false one.
                return 0
            case ast.Call(func=ast.Attribute(value=ast.Name(id=found), attr=attr)) if found == name:
                if attr in CHANGING:
                    lines.append(one.lineno)
            case ast.Subscript(value=ast.Name(id=found), ctx=ast.Store() | ast.Del()) if found == name:
                lines.append(one.lineno)
    return min(lines, default=0)
