"""Reads gunicorn's configuration: a config file, a command line, GUNICORN_CMD_ARGS.

Owns which of gunicorn's options were given, and where; what becomes of each is in the rows. A config file is
Python and is executed, in the process that starts pelton. Main thread.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pelton.compat.gunicorn.hooks import Hooks
from pelton.compat.gunicorn.options import BY_FLAG, BY_NAME, Fate, Option, Takes
from pelton.compat.gunicorn.options.option import PROCESS_SETTINGS, ROWS
from pelton.exceptions import ConfigError
from pelton.loader.tracebacks import users_traceback

DEFAULT = "gunicorn's default"
# gunicorn's name for the value, the value, and where it is written.
Given = dict[str, tuple[Any, str]]


@dataclass
class Loaded:
    """What a source says.

    ``values``: pelton's settings by name, checked, each with where it comes from. ``extras``: those that
    concern the process (chdir, user, …) or that this version has no row for, in the same form; the former are
    in ``values``, too, where there is a row. ``notes``: what a person should know, one line each.
    ``target``: the application, where the source names one. ``options``: what was given, in gunicorn's words.
    """

    values: dict[str, tuple[Any, str]] = field(default_factory=dict)
    extras: dict[str, tuple[Any, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    hooks: Hooks = field(default_factory=Hooks)
    target: str | None = None
    options: Given = field(default_factory=dict)

    def overridden_by(self, other: Loaded) -> Loaded:
        """Both, where ``other`` counts more."""
        return replace(
            other,
            values={**self.values, **other.values},
            extras={**self.extras, **other.extras},
            notes=[*self.notes, *(one for one in other.notes if one not in self.notes)],
            hooks=self.hooks.overridden_by(other.hooks),
            target=other.target or self.target,
            options={**self.options, **other.options},
        )


def load_config_file(path: str) -> Loaded:
    """Execute a config file: a path (``file:`` may precede it), or ``python:`` and the name of a module.

    Raises ConfigError that names the file and, where there is one, the line.
    """
    directory = str(Path.cwd())
    if directory not in sys.path:
        # As gunicorn does; config files import things of the project.
        sys.path.insert(0, directory)
    if path.startswith("python:"):
        where, names, lines = _module(path.removeprefix("python:"))
    else:
        where = path.removeprefix("file:")
        names, lines = _executed(where)
    _refuse_patched(where)
    given: Given = {}
    notes: list[str] = []
    for name, value in names.items():
        if name.startswith("_"):
            continue
        known = BY_NAME.get(name.lower())
        source = f"{where}:{lines[name]}" if name in lines else where
        if known is not None:
            given[known.name] = (value, source)
        elif name not in ROWS and not inspect.ismodule(value) and not callable(value) and name in lines:
            close = difflib.get_close_matches(name.lower(), BY_NAME, n=1, cutoff=0.9)
            if close:
                notes.append(f"{source}: {name} is no option of gunicorn; did you mean {close[0]}?")
    loaded = translate(given, complete=True)
    loaded.notes[:0] = notes
    for name, value in names.items():
        # A file may say more about pelton than gunicorn has words for.
        if name in ROWS and name not in BY_NAME and not callable(value):
            source = f"{where}:{lines[name]}" if name in lines else where
            loaded.values[name] = (_accepted(name, value, source), source)
    return loaded


def from_arguments(argv: Sequence[str], beside: Mapping[str, Any] | None = None) -> tuple[Loaded, list[str]]:
    """Take gunicorn's own flags out of a command line; the rest, which is pelton's, is returned in order.

    Flags that both have (``--bind``, ``--workers``, …) mean the same and stay in the rest, as do ``-c`` and
    ``--config``. ``beside``: what such flags and the weaker sources say, in gunicorn's words, where it
    changes what another option means (timeout is another thing to sync workers). Raises ConfigError.
    """
    given, rest = _parsed(argv, "the command line", leave=_own_flags())
    return translate(given, beside=beside), rest


def from_environment(environ: Mapping[str, str]) -> Loaded:
    """What GUNICORN_CMD_ARGS says; a config file that it names counts less than its other flags.

    Raises ConfigError.
    """
    text = environ.get("GUNICORN_CMD_ARGS", "")
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"GUNICORN_CMD_ARGS: {error}.", f"It is: {text}") from None
    return from_words(words, "GUNICORN_CMD_ARGS")


def from_words(words: Sequence[str], source: str, *, complete: bool = False) -> Loaded:
    """A command line of gunicorn without its first word; a config file that it names counts less.

    ``complete``: as for `translate`. Raises ConfigError.
    """
    given, rest = _parsed(words, source, leave=frozenset())
    if rest and rest[0].startswith("-"):
        raise _unknown_flag(rest[0], source)
    config = given.pop("config", None)
    loaded = translate(given, complete=complete and config is None)
    if rest:
        loaded.target = rest[0]
    return load_config_file(config[0]).overridden_by(loaded) if config else loaded


def translate(given: Given, *, complete: bool = False, beside: Mapping[str, Any] | None = None) -> Loaded:
    """What gunicorn's options come to.

    ``complete``: what is not given has gunicorn's default, where that differs in what it means for the
    application (one worker, one thread, PORT). ``beside``: options that are said elsewhere, and are only
    looked at. Raises ConfigError that says where the option is written.
    """
    if complete and "forwarded_allow_ips" not in given and os.environ.get("FORWARDED_ALLOW_IPS"):
        given = {**given, "forwarded_allow_ips": (os.environ["FORWARDED_ALLOW_IPS"], "FORWARDED_ALLOW_IPS")}
    loaded = Loaded(options=dict(given))
    values = {name: value for name, (value, _) in given.items()}
    functions = {}
    # What is a function of the others comes last, for it counts more than they do.
    for name, (value, source) in sorted(given.items(), key=lambda one: one[0] == "ssl_context"):
        option = BY_NAME[name]
        try:
            if option.fate is Fate.HOOK:
                if value is not None:
                    functions[name] = _function(option, value)
                continue
            if option.arity and value is not None:
                value = _function(option, value)
            found = option.translate(value, {**(beside or {}), **values})
        except ConfigError as error:
            raise ConfigError(f"{source}: {_naming(name, error.what)}", *error.lines) from None
        for setting, one in found.values.items():
            _put(loaded, setting, one, source)
        loaded.notes += [f"{source}: {_naming(name, note)}" for note in found.notes]
    if complete:
        _add_defaults(loaded, values)
    loaded.hooks = Hooks(functions, values)
    target = values.get("wsgi_app")
    if values.get("paste"):
        from pelton.compat.gunicorn.paste import target_of

        target = target_of(str(values["paste"]), values.get("raw_paste_global_conf") or ())
    loaded.target = target
    return loaded


def _naming(name: str, what: str) -> str:
    return what if what.startswith(name) else f"{name}: {what}"


def _put(loaded: Loaded, setting: str, value: Any, source: str) -> None:
    if setting in ROWS:
        if isinstance(value, tuple) and not ROWS[setting].repeatable:
            value = ",".join(value)
        loaded.values[setting] = (_accepted(setting, value, source), source)
    if setting in PROCESS_SETTINGS or setting not in ROWS:
        loaded.extras[setting] = (value, source)


def _accepted(setting: str, value: Any, source: str) -> Any:
    try:
        return ROWS[setting].accept(value)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error.what}", *error.lines) from None


def _add_defaults(loaded: Loaded, values: Mapping[str, Any]) -> None:
    if "workers" not in values:
        number = os.environ.get("WEB_CONCURRENCY", "")
        found = (int(number), "WEB_CONCURRENCY") if number.isdigit() and int(number) else (1, DEFAULT)
        loaded.values["workers"] = found
    if "threads" not in loaded.values:
        loaded.values["threads"] = (1, DEFAULT)
    if "bind" not in loaded.values and (port := os.environ.get("PORT", "")).isdigit():
        loaded.values["bind"] = ((f"0.0.0.0:{port}",), "PORT")


def _function(option: Option, value: Any) -> Any:
    if isinstance(value, str):
        module, _, name = value.strip().rpartition(".")
        try:
            value = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError):
            raise ConfigError(f'"{value}" names no function.') from None
    if not callable(value):
        raise ConfigError(f"{value!r} is not a function.")
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return value
    for arity in option.arity:
        try:
            signature.bind(*[None] * arity)
        except TypeError:
            continue
        if arity == option.arity[0]:
            return value
        return lambda *arguments: value(*arguments[:arity])
    count = option.arity[0]
    raise ConfigError(f"it has to take {count} argument{'' if count == 1 else 's'}, not {signature}.")


def _executed(where: str) -> tuple[dict[str, Any], dict[str, int]]:
    path = Path(where)
    try:
        source = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f'The config file "{where}" cannot be read: {why}.') from None
    try:
        tree = ast.parse(source, where)
    except SyntaxError as error:
        raise ConfigError(f"{where}:{error.lineno}: this is not valid Python: {error.msg}.") from None
    names: dict[str, Any] = {"__builtins__": __builtins__, "__name__": "__config__", "__file__": where}
    try:
        exec(compile(tree, str(path), "exec"), names)
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] == "gunicorn":
            raise ConfigError(
                f"{where}: it imports {error.name}, and gunicorn is not installed any more.",
                "Leave the import out if only the options are wanted, or keep gunicorn installed.",
            ) from None
        raise ConfigError(f"{where}: {_described(error)}") from None
    except Exception as error:
        raise ConfigError(f"{where}: {_described(error)}") from None
    return names, _lines_of(tree)


def _described(error: Exception) -> str:
    return f"it failed:\n{users_traceback(error).rstrip()}"


def _module(name: str) -> tuple[str, dict[str, Any], dict[str, int]]:
    try:
        module = importlib.import_module(name)
    except Exception as error:
        raise ConfigError(f"The config module {name} failed:\n{users_traceback(error).rstrip()}") from None
    where = getattr(module, "__file__", None)
    lines: dict[str, int] = {}
    if where is not None and where.endswith(".py"):
        lines = _lines_of(ast.parse(Path(where).read_text()))
    return where or name, vars(module), lines


def _lines_of(tree: ast.Module) -> dict[str, int]:
    """Where each name got its value last, as far as that can be seen."""
    lines: dict[str, int] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets):
                names = [one.id for one in targets if isinstance(one, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.AugAssign(target=ast.Name(id=name)):
                names = [name]
            case ast.FunctionDef(name=name):
                names = [name]
            case _:
                continue
        for one in names:
            lines[one] = max(node.lineno, lines.get(one, 0))
    return lines


def _refuse_patched(where: str) -> None:
    # The supervisor forks, polls and waits for signals with what the standard library really is.
    gevent = sys.modules.get("gevent.monkey")
    eventlet = sys.modules.get("eventlet.patcher")
    if (gevent is not None and getattr(gevent, "saved", None)) or (
        eventlet is not None and getattr(eventlet, "already_patched", None)
    ):
        raise ConfigError(
            f"{where}: it patches the standard library (monkey patching), in the supervisor.",
            'Leave that out: with worker_class = "gevent" (or eventlet) each worker is patched by itself, '
            "before anything of the application is imported.",
        )


def _own_flags() -> frozenset[str]:
    own = frozenset(flag for row in ROWS.values() for flag in row.flags)
    return own | {"-c", "--config"}


def _parsed(argv: Sequence[str], source: str, *, leave: frozenset[str]) -> tuple[Given, list[str]]:
    given: Given = {}
    rest: list[str] = []
    with_value = {flag for row in ROWS.values() if row.unit.name != "FLAG" for flag in row.flags} | {
        "-c",
        "--config",
    }
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--":
            rest += [word, *words]
            break
        flag, value = _split(word)
        if flag in leave:
            rest.append(word)
            if flag in with_value and value is None and words:
                rest.append(words.pop(0))
            continue
        option = BY_FLAG.get(flag)
        if option is None:
            rest.append(word)
            continue
        where = f"{source}: {flag}"
        if option.takes is Takes.SWITCH:
            if value is not None:
                raise ConfigError(f"{where} takes no value.")
            # The one switch that turns something off.
            given[option.name] = (flag != "--no-sendfile", where)
            continue
        if value is None and option.takes is Takes.OPTIONAL:
            value = words.pop(0) if words and words[0] in ("off", "auto", "v1", "v2") else "auto"
        if value is None:
            if not words:
                raise ConfigError(f"{where} needs a value.")
            value = words.pop(0)
        if option.takes is Takes.VALUES and option.name in given:
            given[option.name] = ([*given[option.name][0], value], where)
        else:
            given[option.name] = ([value] if option.takes is Takes.VALUES else value, where)
    return given, rest


def _split(word: str) -> tuple[str, str | None]:
    if word.startswith("--"):
        flag, equals, value = word.partition("=")
        return flag, value if equals else None
    if word.startswith("-") and len(word) > 2:
        return word[:2], word[2:].removeprefix("=")
    return word, None


def _unknown_flag(word: str, source: str) -> ConfigError:
    close = difflib.get_close_matches(_split(word)[0], BY_FLAG, n=1)
    return ConfigError(
        f"{source}: gunicorn has no option {_split(word)[0]}.",
        *([f"Did you mean {close[0]}?"] if close else []),
    )
