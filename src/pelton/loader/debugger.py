"""Refuses applications that bring Werkzeug's debugger with them.

Owns the search for it. The debugger lets whoever meets an error run code on this machine, protected by a
number that is printed into the log; it is for development, where `pelton.development` puts it around an
application itself and does not come by here. Imports nothing: without Werkzeug there is nothing to find.
"""

from __future__ import annotations

import functools
import sys
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from types import FunctionType, MethodType, ModuleType
from typing import Any, Final

from pelton.exceptions import ConfigError

# Whatever is among this many objects, the nearest first, is found. Middleware holds what it wraps in an
# attribute, a closure, a `functools.partial` or a table of mounts.
_MOST: Final = 2_000
_LEAVES: Final = (str, bytes, int, float, type, type(None), ModuleType)


def refuse_debugger(application: Any) -> None:
    """Raise ConfigError if the debugger is anywhere around or inside ``application``."""
    debugged = getattr(sys.modules.get("werkzeug.debug"), "DebuggedApplication", None)
    if debugged is None:
        return
    if _is_inside(debugged, application):
        raise ConfigError(
            "The application is wrapped in Werkzeug's debugger (DebuggedApplication), which lets visitors "
            "run code on this machine.",
            "Remove it here; a server for production does not start with it.",
            "For development: app.run(use_debugger=True) with `pelton run`, or `flask serve --debugger`.",
        )


def _is_inside(debugged: type, application: Any) -> bool:
    seen: set[int] = set()
    layers = deque([application])
    while layers and len(seen) < _MOST:
        layer = layers.popleft()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        # Not isinstance, which asks a proxy what it stands for.
        if issubclass(type(layer), debugged):
            return True
        layers.extend(one for one in _held_by(layer) if not issubclass(type(one), _LEAVES))
    return False


def _held_by(layer: Any) -> Iterable[Any]:
    """What a call of it may lead to. Runs no code of the application: no properties, no ``__getattr__``."""
    kind = type(layer)
    if issubclass(kind, dict):
        return list(dict.values(layer))
    if issubclass(kind, (list, tuple)):
        return [*layer]
    if issubclass(kind, functools.partial):
        return (layer.func, *layer.args, *layer.keywords.values())
    if kind is MethodType:
        return (layer.__self__, layer.__func__)
    if kind is FunctionType:
        return _held_by_function(layer)
    try:
        attributes = object.__getattribute__(layer, "__dict__")
    except Exception:
        # It has none, or it is a proxy with nothing behind it yet.
        return ()
    return attributes.values() if isinstance(attributes, dict) else ()


def _held_by_function(function: FunctionType) -> Iterable[Any]:
    for cell in function.__closure__ or ():
        # Empty as long as the variable has no value.
        with suppress(ValueError):
            yield cell.cell_contents
    for name in function.__code__.co_names:
        yield function.__globals__.get(name)
    # functools.wraps puts the function that is wrapped there, and attributes of its own.
    yield from vars(function).values()
    yield from function.__defaults__ or ()
