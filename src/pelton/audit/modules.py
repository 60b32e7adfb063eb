"""Which code is the application's own, and what it holds by name. Any thread."""

from __future__ import annotations

import functools
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import FrameType, FunctionType, ModuleType
from typing import Any, Final

_FOREIGN: Final = tuple(
    {
        str(Path(sysconfig.get_path(name)).resolve()) + "/"
        for name in ("stdlib", "platstdlib", "purelib", "platlib")
    }
)
LOCKS: Final = (type(threading.Lock()), type(threading.RLock()))
CACHE: Final = type(functools.lru_cache(len))
_WRAPPERS: Final = (FunctionType, CACHE)
_MOST_WRAPPERS: Final = 20
_OURS: Final = str(Path(__file__).parents[1].resolve()) + "/"


def is_own(file: str | None) -> bool:
    """Whether a file of Python's is the application's: neither installed, nor the library, nor pelton."""
    if not file or file.startswith("<"):
        return False
    place = str(Path(file).resolve())
    return not place.startswith((*_FOREIGN, _OURS))


def own_modules() -> list[ModuleType]:
    """The modules of the application, in the order of their import."""
    # `__main__` is the command that looks.
    return [
        module
        for name, module in list(sys.modules.items())
        if name != "__main__" and is_own(getattr(module, "__file__", None))
    ]


def functions(application: Any, modules: list[ModuleType]) -> dict[str, FunctionType]:
    """The application's functions by name: those of modules and classes, and the views of Flask."""
    found: dict[str, FunctionType] = {}

    def add(function: Any) -> None:
        function = unwrapped(function)
        if isinstance(function, FunctionType) and is_own(function.__code__.co_filename):
            found.setdefault(f"{function.__module__}.{function.__qualname__}", function)

    for module in modules:
        for value in list(vars(module).values()):
            add(value)
            if isinstance(value, type) and value.__module__ == module.__name__:
                for one in list(vars(value).values()):
                    add(getattr(one, "__func__", one))
    for view in dict(getattr(application, "view_functions", None) or {}).values():
        add(view)
    return found


def unwrapped(function: Any) -> Any:
    """What decorators have put something around.

    Only functions and caches are asked: a proxy of Flask's would ask for the request that it stands for.
    """
    seen = 0
    while type(function) in _WRAPPERS and "__wrapped__" in function.__dict__ and seen < _MOST_WRAPPERS:
        function = function.__dict__["__wrapped__"]
        seen += 1
    return function


def where(frame: FrameType | None) -> str:
    """The place in the application's own code that has called, as file:line; empty where there is none."""
    while frame is not None:
        if is_own(frame.f_code.co_filename):
            return f"{shown(frame.f_code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def shown(file: str) -> str:
    """A file's name as a person here would write it."""
    try:
        return str(Path(file).resolve().relative_to(Path.cwd()))
    except ValueError:
        return file


def named(modules: list[ModuleType]) -> Iterator[tuple[str, Any, Callable[[], Any]]]:
    """Each global of the modules and attribute of their classes: name, value, and how to read it again."""
    for module in modules:
        for name, value in list(vars(module).items()):
            if name.startswith("__"):
                continue
            yield f"{module.__name__}.{name}", value, partial(entry, vars(module), name)
            if isinstance(value, type) and value.__module__ == module.__name__:
                for attribute, held in list(vars(value).items()):
                    if not attribute.startswith("__"):
                        place = f"{module.__name__}.{name}.{attribute}"
                        yield place, held, partial(entry, vars(value), attribute)


def entry(holder: Mapping[str, Any], name: str) -> Any:
    """What a namespace holds under a name now; None where it is gone."""
    return holder.get(name)


def is_held(lock: Any) -> bool:
    """Whether a lock is taken; of an RLock, before Python 3.14, whether this thread has it."""
    return bool(lock.locked() if hasattr(lock, "locked") else lock._is_owned())
