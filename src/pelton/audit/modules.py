"""Which code is the application's own, and how its places are written. Any thread.

What is installed (site-packages, the standard library, pelton) is not looked into: its state is its authors'
business. But the package that is audited is the application's own, wherever it lies.
"""

from __future__ import annotations

import functools
import sys
import sysconfig
import threading
from pathlib import Path
from types import FrameType, FunctionType, ModuleType
from typing import Any, Final

_FOREIGN: Final = tuple(
    {
        str(Path(sysconfig.get_path(name)).resolve()) + "/"
        for name in ("stdlib", "platstdlib", "purelib", "platlib")
    }
)
# Debian's, a user's own and those of another environment are not in the paths of this interpreter.
_FOREIGN_FOLDERS: Final = ("/site-packages/", "/dist-packages/")
_OURS: Final = str(Path(__file__).parents[1].resolve()) + "/"
LOCKS: Final = (type(threading.Lock()), type(threading.RLock()))
CACHE: Final = type(functools.lru_cache(len))
_WRAPPERS: Final = (FunctionType, CACHE)
_MOST_WRAPPERS: Final = 20
# A trace asks for each function that is called, so what is known is kept: the files of a large application.
_MOST_FILES: Final = 50_000
# The folders and files of the package that is audited. One process audits one application.
_AUDITED: Final[list[str]] = []


def take_as_own(module: ModuleType | None) -> None:
    """The package that this module belongs to is the application's, even where it is installed."""
    if module is None:
        return
    names = module.__name__.split(".")
    for depth in range(1, len(names) + 1):
        # A namespace package has no file, and belongs to several distributions.
        file = getattr(sys.modules.get(".".join(names[:depth])), "__file__", None)
        if file:
            place = Path(file).resolve()
            _AUDITED.append(f"{place.parent}/" if place.stem == "__init__" else str(place))
            is_own.cache_clear()
            return


@functools.lru_cache(_MOST_FILES)
def is_own(file: str | None) -> bool:
    """Whether a file of Python's is the application's: neither installed, nor the library, nor pelton."""
    if not file or file.startswith("<"):
        return False
    place = str(Path(file).resolve())
    if place.startswith(tuple(_AUDITED)):
        return True
    is_installed = any(folder in place for folder in _FOREIGN_FOLDERS)
    return not is_installed and not place.startswith((*_FOREIGN, _OURS))


def own_modules() -> list[ModuleType]:
    """The modules of the application, in the order of their import."""
    # `__main__` is the command that looks.
    return [
        module
        for name, module in list(sys.modules.items())
        if name != "__main__" and is_own(getattr(module, "__file__", None))
    ]


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


def place_of(function: Any) -> str:
    """Where a function of the application's begins; empty for those of others."""
    code = getattr(unwrapped(getattr(function, "__func__", function)), "__code__", None)
    if code is None or not is_own(code.co_filename):
        return ""
    return f"{shown(code.co_filename)}:{code.co_firstlineno}"


def shown(file: str) -> str:
    """A file's name as a person here would write it."""
    try:
        return str(Path(file).resolve().relative_to(Path.cwd()))
    except ValueError:
        return file


def is_held(lock: Any) -> bool:
    """Whether a lock is taken; of an RLock, before Python 3.14, whether this thread has it."""
    return bool(lock.locked() if hasattr(lock, "locked") else lock._is_owned())
