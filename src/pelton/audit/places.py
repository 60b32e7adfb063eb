"""Where an application can keep something between two requests, by name.

Owns the names: globals of modules, attributes of classes, default values, attributes and enclosing variables
of functions, what is put into a Flask application. A large application has a hundred thousand of them, and a
picture is taken after each request: so what cannot have changed is not looked at again. Main thread.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from pelton.audit.fingerprint import PLAIN, bound_for, fingerprint, is_flask, size_of
from pelton.audit.modules import CACHE, is_own, own_modules, unwrapped

Getter = Callable[[], Any]
Picture = dict[str, Hashable]

_NO_STATE: Final = (ModuleType, FunctionType, BuiltinFunctionType, MethodType, type, property, CACHE)
# Of all names together; a look at so many takes a quarter of a second.
_MOST_VALUES: Final = 200_000
_METHODS: Final = (MethodType, staticmethod, classmethod)


class _Namespace:
    """The names of one module or class. They are sorted again only where one has another value."""

    def __init__(self, name: str, holder: Mapping[str, Any]) -> None:
        self._name = name
        self._holder = holder
        self._names: list[str] = []
        # Kept, so that no new object gets the address of one of them.
        self._values: list[Any] = []
        # Values that cannot change without another one in their place; and how to read those that can.
        self.plain: Picture = {}
        self.held: dict[str, Getter] = {}
        self.of_functions: dict[str, Getter] = {}
        self.functions: dict[str, FunctionType] = {}
        self.classes: list[type] = []
        self.caches: dict[str, Any] = {}

    def refresh(self) -> None:
        """Look at the values that are there now."""
        names, values = list(self._holder), list(self._holder.values())
        if names == self._names and all(map(operator.is_, values, self._values)):
            return
        self._names, self._values = names, values
        self.plain, self.held, self.caches = {}, {}, {}
        self.of_functions, self.functions, self.classes = {}, {}, []
        for name, value in zip(names, values, strict=False):
            if not name.startswith("__"):
                self._sort(name, value)

    def _sort(self, name: str, value: Any) -> None:
        place, kind = f"{self._name}.{name}", type(value)
        if issubclass(kind, PLAIN):
            self.plain[place] = fingerprint(value)
        elif not issubclass(kind, _NO_STATE):
            self.held[place] = partial(_entry, self._holder, name)
        elif issubclass(kind, type) and value.__module__ == self._name:
            self.classes.append(value)
        function = unwrapped(getattr(value, "__func__", value) if kind in _METHODS else value)
        if type(function) is FunctionType and is_own(function.__code__.co_filename):
            called = f"{function.__module__}.{function.__qualname__}"
            self.functions[called] = function
            self.of_functions.update(_of_function(called, function))
            if kind is CACHE:
                self.caches[called] = value


class Places:
    """All places of an application."""

    def __init__(self, application: Any) -> None:
        self._application = application
        # By the identity of the module or class, which is kept with it.
        self._namespaces: dict[int, tuple[object, _Namespace]] = {}
        self._views = _Namespace("", _views(application))
        # What each Flask has.
        self._of_flask: frozenset[str] = frozenset()
        # Modules that came later: their import made their names, and no request's code.
        self._arrived: tuple[str, ...] = ()
        self._refresh()
        self._most = bound_for([size_of(getter()) for _, getter in self._held()], _MOST_VALUES)

    def picture(self) -> Picture:
        """The state now."""
        self._refresh()
        found: Picture = {}
        for _, namespace in self._namespaces.values():
            found.update(namespace.plain)
        for name, getter in self._held():
            found[name] = fingerprint(getter(), self._most)
        return found

    def has_arrived(self, name: str) -> bool:
        """Whether a name is of a module that was imported after the application."""
        return name.startswith(self._arrived)

    def getter(self, name: str) -> Getter:
        """How to read what is under a name."""
        for owner, namespace in self._namespaces.values():
            if name in namespace.plain:
                return partial(_entry, vars(owner), name.rpartition(".")[2])
        return dict(self._held()).get(name, _nothing)

    def named(self) -> Iterator[tuple[str, Any]]:
        """Each global and attribute of a class whose value can change, and that value."""
        for _, namespace in self._namespaces.values():
            for name, getter in namespace.held.items():
                yield name, getter()

    def caches(self) -> dict[str, Any]:
        """The `functools.lru_cache`s of the application."""
        return {name: one for _, found in self._namespaces.values() for name, one in found.caches.items()}

    def views(self) -> dict[str, FunctionType]:
        """Flask's views, by their names as functions."""
        return self._views.functions

    def _functions(self) -> dict[str, FunctionType]:
        """The application's functions by name: those of modules and classes, and the views of Flask."""
        found = dict(self._views.functions)
        for _, namespace in self._namespaces.values():
            found |= namespace.functions
        return found

    def _refresh(self) -> None:
        kept: dict[int, tuple[object, _Namespace]] = {}
        for module in own_modules():
            if self._namespaces and id(module) not in self._namespaces:
                self._arrived += (f"{module.__name__}.",)
            self._keep(kept, module, module.__name__)
        self._namespaces = kept
        self._views.refresh()

    def _keep(self, kept: dict[int, tuple[object, _Namespace]], owner: Any, name: str) -> None:
        known = self._namespaces.get(id(owner))
        namespace = known[1] if known is not None else _Namespace(name, vars(owner))
        kept[id(owner)] = (owner, namespace)
        namespace.refresh()
        for kind in namespace.classes:
            if id(kind) not in kept:
                self._keep(kept, kind, f"{name}.{kind.__name__}")

    def _held(self) -> Iterator[tuple[str, Getter]]:
        seen = set()
        for _, namespace in self._namespaces.values():
            for name, getter in namespace.held.items():
                if is_flask(type(value := getter())):
                    seen.add(id(value))
                    yield from self._of_application(name, value)
                else:
                    yield name, getter
            yield from namespace.of_functions.items()
        yield from self._views.of_functions.items()
        for name, function in self._functions().items():
            for attribute in list(vars(function)):
                if not attribute.startswith("__"):
                    yield f"{name}.{attribute}", partial(_entry, vars(function), attribute)
        if is_flask(type(self._application)) and id(self._application) not in seen:
            yield from self._of_application("app", self._application)

    def _of_application(self, name: str, application: Any) -> Iterator[tuple[str, Getter]]:
        # What every Flask has is Flask's business, but for what applications are to put there.
        flask = sys.modules["flask"].Flask
        if not self._of_flask:
            self._of_flask = frozenset(vars(flask("plain")).keys() - {"config", "extensions"})
        for attribute, value in list(vars(application).items()):
            is_theirs = attribute in self._of_flask or hasattr(flask, attribute)
            if not is_theirs and type(value) is not FunctionType:
                yield f"{name}.{attribute}", partial(_entry, vars(application), attribute)


def _views(application: Any) -> Mapping[str, Any]:
    found = getattr(application, "view_functions", None)
    return found if isinstance(found, dict) else {}


def _of_function(name: str, function: FunctionType) -> Iterator[tuple[str, Getter]]:
    code = function.__code__
    parameters = code.co_varnames[: code.co_argcount]
    for parameter, value in zip(reversed(parameters), reversed(function.__defaults__ or ()), strict=False):
        if not issubclass(type(value), PLAIN):
            yield f"{name}({parameter}=)", partial(_itself, value)
    for variable, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        yield f"{name}: {variable}", partial(_enclosed, cell)


def _itself(value: Any) -> Any:
    return value


def _enclosed(cell: Any) -> Any:
    try:
        value = cell.cell_contents
    except ValueError:
        return None
    # What a factory has defined or imported is no state.
    return None if issubclass(type(value), (FunctionType, type, ModuleType)) else value


def _entry(holder: Mapping[str, Any], name: str) -> Any:
    """What a namespace holds under a name now; None where it is gone."""
    return holder.get(name)


def _nothing() -> None:
    """Of a name that is gone."""
