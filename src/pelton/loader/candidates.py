"""What an application looks like from outside.

Owns the guesses: they decide what is found without ``:APP`` and what errors suggest, never what is allowed
where a name was given. Must not call anything, nor look up attributes on instances: proxies such as Flask's
``request`` raise outside of a request.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

USUAL_NAMES = ("app", "application")
FACTORY_NAMES = ("create_app", "make_app")
# What to do with an application of tornado's.
NO_TORNADO = (
    "Serve it with tornado's own server (its listen()), beside pelton behind the same proxy.",
    "The worker kind tornado is for WSGI applications that use tornado's clients and callbacks.",
)


def is_asgi(thing: object) -> bool:
    """Whether it is an application of the other, asynchronous kind."""
    function = _called_function(thing)
    if function is None:
        return False
    names = list(inspect.signature(function).parameters)
    return inspect.iscoroutinefunction(function) or names[-3:] == ["scope", "receive", "send"]


def is_tornado(thing: object) -> bool:
    """Whether it is an application of tornado's own kind; tornado itself is not imported for that."""
    classes = type(thing).__mro__
    return any((one.__module__, one.__name__) == ("tornado.web", "Application") for one in classes)


def is_application(thing: object) -> bool:
    """Whether it is a Flask object, or is called with two arguments that are named as in PEP 3333."""
    if not isinstance(thing, type) and inspect.isfunction(getattr(type(thing), "wsgi_app", None)):
        return True
    function = _called_function(thing)
    if function is None:
        return False
    names = [name for name in inspect.signature(function).parameters if name != "self"]
    return len(names) == 2 and (names[0].startswith("env") or names[1].startswith("start"))


def is_factory(thing: object) -> bool:
    """Whether it is a function that is no application and can be called without arguments."""
    if not isinstance(thing, FunctionType) or is_application(thing):
        return False
    return can_call(thing, (), {})


def can_call(thing: Callable[..., Any], positional: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Whether the signature takes these arguments; true where there is no signature to ask."""
    try:
        inspect.signature(thing).bind(*positional, **named)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def applications_in(module: ModuleType) -> list[str]:
    """The applications in a module, by name, in their order; imported functions and classes do not count."""
    return [name for name, thing in _own(module) if is_application(thing)]


def factories_in(module: ModuleType) -> list[str]:
    """The names of the module's factories."""
    return [name for name, thing in _own(module) if name in FACTORY_NAMES and isinstance(thing, FunctionType)]


def public_names(module: ModuleType) -> list[str]:
    """The names in a module that somebody may have meant."""
    return [name for name in vars(module) if not name.startswith("_")]


def _own(module: ModuleType) -> list[tuple[str, object]]:
    return [
        (name, thing)
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and not (
            isinstance(thing, (type, FunctionType))
            and thing.__module__ != module.__name__
            and name not in (*USUAL_NAMES, *FACTORY_NAMES)
        )
    ]


def _called_function(thing: object) -> FunctionType | None:
    """The Python function that runs when ``thing`` is called, if it is one."""
    if isinstance(thing, FunctionType):
        return thing
    if isinstance(thing, type):
        made = inspect.getattr_static(thing, "__init__", None)
        return made if isinstance(made, FunctionType) else None
    called = inspect.getattr_static(type(thing), "__call__", None)
    return called if isinstance(called, FunctionType) else None
