"""Takes the application out of its imported module: by name, by calling a factory, or by looking for it."""

from __future__ import annotations

import difflib
import inspect
from types import FunctionType, ModuleType
from typing import Any

from pelton.exceptions import ApplicationError
from pelton.loader import candidates
from pelton.loader.modules import suggested_modules
from pelton.loader.target import Call, Target
from pelton.loader.tracebacks import users_traceback


def find_application(module: ModuleType, target: Target) -> Any:
    """The application of a target without ``:APP``. Raises ApplicationError."""
    for name in candidates.USUAL_NAMES:
        thing = vars(module).get(name)
        if thing is not None and callable(thing) and not candidates.is_factory(thing):
            return _checked(thing, name, target)
    names = candidates.applications_in(module)
    # One object may have two names.
    different = {id(vars(module)[name]): name for name in reversed(names)}
    if len(different) == 1:
        return vars(module)[names[0]]
    if names:
        raise ApplicationError(
            f'There is more than one application in "{target.module}": {", ".join(names)}.',
            *_commands(target, names),
        )
    factories = candidates.factories_in(module)
    for name in factories:
        if candidates.can_call(vars(module)[name], (), {}):
            return _made(vars(module)[name], Call(), name, target)
    if factories:
        raise _wrong_arguments(vars(module)[factories[0]], factories[0], target)
    raise ApplicationError(
        f'There is no application in "{target.module}" ({module.__file__ or "no file"}).',
        "Looked for app, application, one WSGI application under another name, create_app() and make_app().",
        *_instead(module, target),
    )


def _instead(module: ModuleType, target: Target) -> list[str]:
    inside = suggested_modules(module)
    if inside:
        # As Django's projects are: mysite, and the application in mysite.wsgi.
        return [f"Did you mean: pelton {one}" for one in inside]
    names = candidates.public_names(module)
    if not names:
        return ["There are: no names at all."]
    return [
        f"There are: {', '.join(names)}.",
        f"If it is one of these, name it: pelton {target.with_attribute('NAME')}",
    ]


def named_application(module: ModuleType, target: Target) -> Any:
    """The application of a target with ``:APP``. Raises ApplicationError."""
    thing: Any = module
    for depth, name in enumerate(target.attribute):
        try:
            thing = getattr(thing, name)
        except AttributeError:
            raise _no_attribute(module, thing, depth, target) from None
    expression = ".".join(target.attribute)
    if target.call is not None:
        return _made(thing, target.call, expression, target)
    return _checked(thing, expression, target)


def _checked(thing: Any, expression: str, target: Target) -> Any:
    if not callable(thing):
        raise ApplicationError(
            f'"{expression}" in "{target.module}" is no application: {_described(thing)} cannot be called.'
        )
    if candidates.is_asgi(thing):
        raise ApplicationError(
            f'"{expression}" in "{target.module}" is an ASGI application; pelton serves WSGI.',
            "Flask, Django (get_wsgi_application), Bottle and Pyramid make WSGI applications.",
        )
    if candidates.is_tornado(thing):
        raise ApplicationError(
            f'"{expression}" in "{target.module}" is a tornado.web.Application; pelton serves WSGI.',
            *candidates.NO_TORNADO,
        )
    if isinstance(thing, FunctionType) and not candidates.can_call(thing, (None, None), {}):
        if candidates.is_factory(thing):
            raise ApplicationError(
                f'"{expression}" in "{target.module}" is a function that makes an application.',
                f"Call it: pelton {target.with_attribute(expression + '()')}",
            )
        raise ApplicationError(
            f'"{expression}{inspect.signature(thing)}" in "{target.module}" is no application: '
            "it cannot be called with environ and start_response."
        )
    return thing


def _made(factory: Any, call: Call, expression: str, target: Target) -> Any:
    if not callable(factory):
        raise ApplicationError(
            f'"{expression}" in "{target.module}" cannot be called: it is {_described(factory)}.',
            f"Without the parentheses: pelton {target.with_attribute(expression)}",
        )
    # Asked from the signature: a TypeError out of the call could as well come from inside the factory.
    if not candidates.can_call(factory, call.positional, call.named):
        raise _wrong_arguments(factory, expression, target)
    try:
        made = factory(*call.positional, **call.named)
    except Exception as error:
        raise ApplicationError(
            f'"{expression}" in "{target.module}" failed: {type(error).__name__}: {error}'.rstrip(": "),
            traceback=users_traceback(error),
        ) from error
    if not callable(made):
        raise ApplicationError(
            f'"{expression}" in "{target.module}" made no application but {_described(made)}.',
            *(["It has no return statement, or not on every way."] if made is None else []),
        )
    return _checked(made, f"{expression}()", target)


def _wrong_arguments(factory: Any, expression: str, target: Target) -> ApplicationError:
    return ApplicationError(
        f'"{expression}{inspect.signature(factory)}" in "{target.module}" needs other arguments.',
        f"Write them as literals: pelton {target.with_attribute(expression + '(…)')}",
    )


def _no_attribute(module: ModuleType, owner: Any, depth: int, target: Target) -> ApplicationError:
    name = target.attribute[depth]
    if depth:
        before = ".".join(target.attribute[:depth])
        return ApplicationError(
            f'"{before}" in "{target.module}" ({_described(owner)}) has no attribute "{name}".',
            *_close(name, [one for one in dir(owner) if not one.startswith("_")], target, f"{before}."),
        )
    factories = [
        f"{one}()" if candidates.can_call(vars(module)[one], (), {}) else f"{one}(…)"
        for one in candidates.factories_in(module)
    ]
    found = [*candidates.applications_in(module), *factories]
    names = candidates.public_names(module)
    return ApplicationError(
        f'There is no "{name}" in "{target.module}" ({module.__file__ or "no file"}).',
        *(
            _commands(target, found)
            or _close(name, names, target, "")
            or [f"There are: {', '.join(names) or 'no names at all'}."]
        ),
    )


def _commands(target: Target, expressions: list[str]) -> list[str]:
    return [f"There is: pelton {target.with_attribute(one)}" for one in expressions]


def _close(name: str, names: list[str], target: Target, before: str) -> list[str]:
    close = difflib.get_close_matches(name, names, n=3)
    return [f"Did you mean: pelton {target.with_attribute(before + one)}" for one in close]


def _described(thing: Any) -> str:
    kind = type(thing).__name__
    return "None" if thing is None else f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"
