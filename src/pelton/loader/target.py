"""Reads ``MODULE[:APP]``. Pure: imports and evaluates nothing."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

from pelton.exceptions import ConfigError

_FORMS = 'Write MODULE or path/to/file.py, then :APP, :object.attribute or :create_app("argument").'


@dataclass(frozen=True)
class Call:
    """The arguments of a factory, all literals."""

    positional: tuple[Any, ...] = ()
    named: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """Where the application is.

    ``module`` is a dotted name, or a path if ``is_path``. ``attribute`` is empty where pelton has to look
    itself; ``call`` is None where the attribute is the application and no factory.
    """

    module: str
    is_path: bool = False
    attribute: tuple[str, ...] = ()
    call: Call | None = None

    def with_attribute(self, expression: str) -> str:
        """What to type for another object of the same module."""
        typed = f"{self.module}:{expression}"
        return f"'{typed}'" if any(c in typed for c in ' ()"') else typed


def parse_target(text: str) -> Target:
    """Raises ConfigError when the text cannot name anything."""
    module, colon, expression = text.strip().partition(":")
    if not module:
        raise ConfigError(f'"{text}" names no module.', _FORMS)
    is_path = "/" in module or module.endswith(".py")
    if not is_path and not all(module.split(".")):
        raise ConfigError(f'"{module}" is not the name of a module.', _FORMS)
    if not colon:
        return Target(module, is_path)
    if not expression:
        raise ConfigError(f'"{text}" names nothing after the colon.', _FORMS)
    attribute, call = _parse_expression(expression, text)
    return Target(module, is_path, attribute, call)


def _parse_expression(expression: str, text: str) -> tuple[tuple[str, ...], Call | None]:
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise ConfigError(f'"{expression}" in "{text}" is neither a name nor a call.', _FORMS) from None
    call = None
    if isinstance(tree, ast.Call):
        call, tree = _literal_call(tree, expression), tree.func
    names: list[str] = []
    while isinstance(tree, ast.Attribute):
        names.append(tree.attr)
        tree = tree.value
    if not isinstance(tree, ast.Name):
        raise ConfigError(f'"{expression}" in "{text}" is neither a name nor a call.', _FORMS)
    return (tree.id, *reversed(names)), call


def _literal_call(tree: ast.Call, expression: str) -> Call:
    # Literals only: what is typed is data, and a name in it would silently mean something of the module.
    try:
        positional = tuple(ast.literal_eval(one) for one in tree.args)
        named = {one.arg: ast.literal_eval(one.value) for one in tree.keywords if one.arg is not None}
        if len(named) != len(tree.keywords):
            raise ValueError
    except ValueError:
        raise ConfigError(
            f'The arguments in "{expression}" are not all literals.',
            'Texts, numbers, True, None, lists and dicts are possible: create_app("test", debug=True).',
        ) from None
    return Call(positional, named)
