"""What requests change of modules, classes and functions, and on which line.

Owns the picture of an application's state: each name with a bounded fingerprint of its value. A request is
sent several times: what changes with each is shared state; what changes only with the first is made once. The
line is found by sending it again under a trace that compares after each line. Main thread.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import partial
from types import BuiltinFunctionType, FrameType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from pelton.audit.calling import Application, call
from pelton.audit.finding import Finding, Kind
from pelton.audit.modules import (
    CACHE,
    LOCKS,
    entry,
    functions,
    is_held,
    is_own,
    named,
    own_modules,
    shown,
    unwrapped,
)
from pelton.requests.request import Request

# How often each request is sent: the first makes what is made once.
_TIMES: Final = 3
# Of each container and in which depth; a change beyond is not seen.
_MOST_ITEMS: Final = 300
_DEPTH: Final = 4
_PLAIN: Final = (str, bytes, int, float, complex, bool, type(None))
# Their attributes are looked at, and what Flask itself changes of them is not.
_FLASK: Final = ("flask.app", "flask.sansio.app")

Getter = Callable[[], Any]


def fingerprint(value: Any, depth: int = _DEPTH) -> Hashable:
    """What is equal while the value is; of what is not understood only which object it is."""
    kind = type(value)
    # By the type, not by isinstance: a proxy of Flask's asks what it stands for.
    if issubclass(kind, _PLAIN):
        return (kind.__name__, value)
    if depth == 0:
        return (kind.__name__, id(value))
    if issubclass(kind, dict):
        # A copy first: a thread of the application may change it meanwhile.
        items = list(itertools.islice(value.copy().items(), _MOST_ITEMS))
        pairs = tuple((fingerprint(key, depth - 1), fingerprint(held, depth - 1)) for key, held in items)
        return (kind.__name__, id(value), len(value), pairs)
    if issubclass(kind, (list, tuple, deque, set, frozenset)):
        held = list(itertools.islice(list(value), _MOST_ITEMS))
        inner = tuple(fingerprint(one, depth - 1) for one in held)
        is_named = () if issubclass(kind, (tuple, frozenset)) else (id(value),)
        return (kind.__name__, *is_named, len(value), inner)
    if issubclass(kind, bytearray):
        return (kind.__name__, id(value), bytes(value[:4096]), len(value))
    if kind is itertools.count:
        return repr(value)
    if _is_of_the_application(kind) and not issubclass(kind, (threading.local, *LOCKS)):
        attributes = dict(getattr(value, "__dict__", {})).items()
        return (
            kind.__name__,
            id(value),
            tuple((name, fingerprint(one, depth - 1)) for name, one in attributes),
        )
    return (kind.__name__, id(value))


def _is_of_the_application(kind: type) -> bool:
    module = sys.modules.get(kind.__module__)
    return module is not None and is_own(getattr(module, "__file__", None))


def places(application: Any) -> dict[str, Getter]:
    """Where an application can keep something, by name."""
    modules = own_modules()
    found: dict[str, Getter] = {}
    for name, value, getter in named(modules):
        if type(value).__module__ in _FLASK:
            found.update(_of_flask(name, value))
        elif not isinstance(
            value, (ModuleType, FunctionType, BuiltinFunctionType, MethodType, type, property)
        ):
            found[name] = getter
    for name, function in functions(application, modules).items():
        found.update(_of_function(name, function))
    if type(application).__module__ in _FLASK and not any(".config" in name for name in found):
        found.update(_of_flask("app", application))
    return found


def _of_flask(name: str, application: Any) -> Iterator[tuple[str, Getter]]:
    # What every Flask has is Flask's business, but for what applications are told to put there.
    flask = sys.modules["flask"].Flask
    plain = vars(flask("plain")).keys() - {"config", "extensions"}
    for attribute in list(vars(application)):
        is_theirs = attribute in plain or hasattr(flask, attribute)
        if not is_theirs and not isinstance(vars(application)[attribute], FunctionType):
            yield f"{name}.{attribute}", partial(entry, vars(application), attribute)


def _of_function(name: str, function: FunctionType) -> Iterator[tuple[str, Getter]]:
    code = function.__code__
    parameters = code.co_varnames[: code.co_argcount]
    for parameter, value in zip(reversed(parameters), reversed(function.__defaults__ or ()), strict=False):
        if not isinstance(value, _PLAIN):
            yield f"{name}({parameter}=)", partial(_itself, value)
    for attribute in list(vars(function)):
        if not attribute.startswith("__"):
            yield f"{name}.{attribute}", partial(entry, vars(function), attribute)
    for variable, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        if not isinstance(_held(cell), (FunctionType, type, ModuleType)):
            yield f"{name}: {variable}", partial(_held, cell)


def _itself(value: Any) -> Any:
    return value


def _held(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def picture(application: Any) -> dict[str, Hashable]:
    """The state now."""
    return {name: fingerprint(getter()) for name, getter in places(application).items()}


def caches(modules: list[ModuleType]) -> dict[str, int]:
    """How much each `functools.lru_cache` of the application holds."""
    found = {}
    for name, value, _ in named(modules):
        if type(value) is CACHE:
            code = getattr(unwrapped(value), "__code__", None)
            if code is not None and is_own(code.co_filename):
                found[name] = value.cache_info().currsize
    return found


def look_for_state(application: Application, requests: list[Request]) -> Iterator[Finding]:
    """Send each request, and say what they have changed; each name once."""
    changes: dict[str, _Changes] = {}
    for request in requests:
        kept = caches(own_modules())
        before = picture(application)
        for _ in range(_TIMES):
            call(application, request)
            after = picture(application)
            for name in after:
                if name not in before or before[name] != after[name]:
                    changes.setdefault(name, _Changes(request)).count += 1
            before = after
        for name, size in caches(own_modules()).items():
            if size > kept.get(name, 0) and name not in changes:
                changes[name] = _Changes(request, is_cache=True)
    for name, found in changes.items():
        yield _finding(application, name, found)


@dataclass
class _Changes:
    """How often a name has got another value, and the request that did it first."""

    request: Request
    count: int = 0
    is_cache: bool = False


def _finding(application: Application, name: str, changes: _Changes) -> Finding:
    request = str(changes.request)
    if changes.is_cache:
        return Finding(Kind.OWN_CACHE, name, "", request, "Each worker process keeps results of its own.")
    if changes.count == 1:
        reason = "The first request makes it; two at once may both do."
        return Finding(Kind.LAZY_STATE, name, _where_bound(name), request, reason)
    where, is_locked = _where_changed(application, changes.request, name)
    if "(" in name:
        reason = "A default value is made once, and every call changes the same one."
        return Finding(Kind.MUTABLE_DEFAULT, name, where, request, reason)
    if is_locked:
        reason = "Requests change it, under a lock; but each worker process has one of its own."
        return Finding(Kind.STATE_PER_WORKER, name, where, request, reason)
    reason = "Requests change it: threads do so at once, and each worker process has one of its own."
    return Finding(Kind.SHARED_STATE, name, where, request, reason)


def _where_bound(name: str) -> str:
    module = sys.modules.get(name.rpartition(".")[0])
    file = getattr(module, "__file__", None)
    return shown(file) if file else ""


def _where_changed(application: Application, request: Request, name: str) -> tuple[str, bool]:
    """The line after which the value is another one, and whether a lock of the application was held there."""
    getter = places(application).get(name)
    if getter is None:
        return "", False
    locks = [value for _, value, _ in named(own_modules()) if isinstance(value, LOCKS) and not is_held(value)]
    tracer = _Tracer(getter, locks)
    sys.settrace(tracer.enter)
    try:
        call(application, request)
    finally:
        sys.settrace(None)
    return tracer.where, tracer.is_locked


class _Tracer:
    """Compares one value after each line of the application's."""

    def __init__(self, getter: Getter, locks: list[Any]) -> None:
        self._getter = getter
        self._locks = locks
        self._before = fingerprint(getter())
        # The lines that ran last, by frame: a change is seen when the next line begins.
        self._last: dict[FrameType, tuple[str, bool]] = {}
        self.where = ""
        self.is_locked = False

    def enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        """A function begins; those of libraries are not looked into."""
        if self.where or not is_own(frame.f_code.co_filename):
            return None
        return self._step

    def _step(self, frame: FrameType, event: str, argument: Any) -> Any:
        if self.where:
            return None
        now = fingerprint(self._getter())
        last = self._last.get(frame)
        if now != self._before and last is not None:
            self.where, self.is_locked = last
            return None
        self._before = now
        place = f"{shown(frame.f_code.co_filename)}:{frame.f_lineno}"
        self._last[frame] = (place, any(is_held(lock) for lock in self._locks))
        return self._step
