"""Whether a file's text defines a WSGI application, for suggestions: nothing is imported.

Owns the guess. It may miss one that is made in an unusual way, and must not name what cannot be served:
people type what is suggested. Pure.
"""

from __future__ import annotations

import ast
from typing import Final

_NAMES: Final = ("app", "application")
_FACTORIES: Final = ("create_app", "make_app")
# What makes an application, by the last part of its name: Flask, Django, Bottle, Pyramid, Falcon, web.py.
_MAKERS: Final = (
    "Flask",
    "get_wsgi_application",
    "Bottle",
    "default_app",
    "make_wsgi_app",
    "wsgifunc",
    "SharedDataMiddleware",
    "DispatcherMiddleware",
    *_FACTORIES,
)


def defines_application(source: str) -> bool:
    """Whether it does, at the top of the module."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # Cut off in the middle, or no Python.
        return False
    return any(_defines_one(statement) for statement in tree.body)


def _defines_one(statement: ast.stmt) -> bool:
    match statement:
        case ast.FunctionDef(name=name, args=arguments):
            if name in _FACTORIES:
                return True
            names = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
            return len(names) == 2 and names[0].startswith("env") and names[1].startswith("start")
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
            return any(isinstance(one, ast.Call) and _name_of(one.func) in _MAKERS for one in ast.walk(value))
    return False


def _name_of(called: ast.expr) -> str:
    match called:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""
