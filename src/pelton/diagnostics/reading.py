"""Looks values up in other threads' frames, without running any of the application's code.

Owns the rule that nothing here calls a ``__repr__``, a property, a ``__getattr__`` or an ``__eq__`` of
somebody else's class: such code could take the very lock that is being looked for. Called from any thread.
"""

from __future__ import annotations

import ast
import inspect
import re
import threading
from collections.abc import Callable
from types import FrameType, MemberDescriptorType
from typing import Any, Final, cast

LOCK: Final[type] = type(threading.Lock())
RLOCK: Final[type] = type(threading.RLock())

# Stands for "cannot be known", because None is a value like others.
MISSING: Final = object()


def value_of(expression: ast.expr, frame: FrameType) -> object:
    """What names, attributes and simple subscripts mean in ``frame`` now; MISSING for anything else."""
    match expression:
        case ast.Name(id=name):
            return _variable(name, frame)
        case ast.Attribute(value=inner, attr=name):
            owner = value_of(inner, frame)
            if owner is MISSING:
                return MISSING
            return attribute(owner, _mangled(name, frame))
        case ast.Subscript(value=inner, slice=index):
            return _item(value_of(inner, frame), value_of(index, frame))
        case ast.Constant(value=value):
            return value
    return MISSING


def attribute(owner: object, name: str) -> object:
    """The attribute as it is stored in the instance, its slots or its classes; or MISSING."""
    try:
        found = inspect.getattr_static(owner, name)
        if type(found) is MemberDescriptorType:
            return found.__get__(owner)
    except (AttributeError, TypeError):
        return MISSING
    return found


def of_thread(ident: int, name: str) -> object:
    """An attribute of the `threading.Thread` of this ident, as it is stored; or MISSING.

    Without the lock that `threading.enumerate` takes: it may be what everybody waits for. And as it is
    stored, because a subclass may have a property there.
    """
    thread = getattr(threading, "_active", {}).get(ident)
    return MISSING if thread is None else attribute(thread, name)


def described(value: object) -> str:
    """Locks as Python shows them, anything else by its class and address."""
    kind = type(value)
    if kind is LOCK or kind is RLOCK:
        return repr(value)
    # A metaclass may put code of its own behind these two names.
    names = [type.__dict__[one].__get__(kind) for one in ("__module__", "__qualname__")]
    shown = ".".join(one for one in names if type(one) is str and one != "builtins")
    return f"<{shown} object at {id(value):#x}>"


def is_lock(value: object) -> bool:
    """Whether it is one of the two locks that are made in C, where threads really wait."""
    return type(value) is LOCK or issubclass(type(value), RLOCK)


def is_taken(lock: object) -> bool:
    """Whether somebody holds this lock (`is_lock`) now."""
    return rlock_owner(lock) is not None if type(lock) is not LOCK else bool(LOCK.locked(lock))  # type: ignore[attr-defined]


def rlock_owner(lock: object) -> int | None:
    """The ident of the thread that holds a reentrant lock; None for other objects and when nobody does."""
    if not issubclass(type(lock), RLOCK):
        return None
    # The only place where Python tells it without asking the lock's own thread. Of the class, as a subclass
    # may have another.
    found = re.search(r"\bowner=(\d+)", _rlock_text(lock))
    return int(found[1]) or None if found else None


_rlock_text: Final = cast(Callable[[object], str], RLOCK.__repr__)


def _variable(name: str, frame: FrameType) -> object:
    name = _mangled(name, frame)
    variables: Any = frame.f_locals
    # In a function these are Python's own; a module or class body may run in a mapping with code of its own.
    if frame.f_code.co_flags & inspect.CO_OPTIMIZED or type(variables) is dict:
        try:
            return variables[name]
        except KeyError:
            pass
    return dict.get(frame.f_globals, name, MISSING)


def _item(owner: object, index: object) -> object:
    # Exact types only: others bring code of their own.
    try:
        if type(owner) is dict and type(index) in (str, int, bytes):
            return owner.get(index, MISSING)
        if type(owner) in (list, tuple) and type(index) is int:
            return owner[index]  # type: ignore[index]
    except IndexError:
        pass
    return MISSING


def _mangled(name: str, frame: FrameType) -> str:
    if not name.startswith("__") or name.endswith("__"):
        return name
    # "Class.method", or "outer.<locals>.Class.method.<locals>.inner": the innermost class is the one before
    # the last name that is not behind "<locals>".
    before = frame.f_code.co_qualname.split(".")
    for position in range(len(before) - 2, -1, -1):
        if "<locals>" not in before[position : position + 2]:
            return f"_{before[position].lstrip('_')}{name}"
    return name
