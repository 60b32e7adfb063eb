"""``pelton migrate``: the same service, in pelton's words.

Owns the text. What gunicorn's options mean is in the rows, what uWSGI's mean in `uwsgi`, and nginx's in
`compat.nginx`. Main thread; a config file of gunicorn is executed.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pelton.compat import uwsgi
from pelton.compat.gunicorn.loading import DEFAULT, Loaded, from_words, load_config_file
from pelton.compat.gunicorn.options.option import ROWS
from pelton.compat.nginx import parsing, translation
from pelton.config.setting import Unit
from pelton.config.settings import TABLE
from pelton.exceptions import ConfigError

_PLACEHOLDER = "MODULE:APP"
# Flags of settings that this version may lack.
_PROCESS_FLAGS = {
    "daemon": "--daemon",
    "pid_file": "--pid",
    "user": "--user",
    "group": "--group",
    "umask": "--umask",
    "chdir": "--chdir",
    "environment": "--env",
    "python_path": "--pythonpath",
    "process_name": "--name",
}


def migrate(argument: str) -> str:
    """The pelton equivalent of a config file or a command line, with remarks.

    ``argument``: the path of a gunicorn config file, of an ini file with a section ``[uwsgi]``, of a
    configuration of nginx (``.conf``, or in a folder such as sites-enabled), or a whole command line
    that begins with gunicorn or uwsgi. Raises ConfigError.
    """
    words = _split(argument)
    program = Path(words[0]).name if words else ""
    if len(words) > 1 and program.startswith("uwsgi"):
        return _from_uwsgi(uwsgi.read_words(words[1:]))
    if len(words) > 1 and program.startswith("gunicorn"):
        return _from_gunicorn(from_words(words[1:], "gunicorn", complete=True), _PLACEHOLDER)
    if argument.endswith(".conf") or Path(argument).parent.name.startswith("sites-"):
        return _from_nginx(argument)
    if argument.endswith((".ini", ".uwsgi")):
        return _from_uwsgi(uwsgi.read_ini(argument))
    if argument.endswith(".py") or argument.startswith(("python:", "file:")) or Path(argument).is_file():
        return _from_gunicorn(load_config_file(argument), _PLACEHOLDER)
    raise ConfigError(
        f'"{argument}" is neither a config file nor a command line.',
        'Write gunicorn.conf.py, uwsgi.ini, "gunicorn …" or "uwsgi …", the latter two in quotes.',
    )


def _split(argument: str) -> list[str]:
    try:
        return shlex.split(argument)
    except ValueError:
        return []


def _from_gunicorn(loaded: Loaded, placeholder: str) -> str:
    settings: list[tuple[str, Any]] = [(name, value) for name, (value, _) in loaded.values.items()]
    settings += [(name, value) for name, (value, _) in loaded.extras.items() if name not in loaded.values]
    words: list[str] = []
    table: list[str] = []
    for name, value in settings:
        words += _words(name, value)
        table.append(f"{name} = {_toml(name, value)}")
    notes = list(loaded.notes)
    if loaded.hooks.functions:
        names = ", ".join(loaded.hooks.functions)
        notes.append(
            f"The hooks {names} stay functions: leave them in a file and give it with --config; pelton "
            "calls them (docs/gunicorn.md)."
        )
    if any(source == DEFAULT for _, source in loaded.values.values()):
        notes.append("Where nothing is said, one worker and one thread are written, as gunicorn has them.")
    return _report(loaded.target or placeholder, words, table, notes)


def _from_uwsgi(pairs: Sequence[tuple[str, str]]) -> str:
    found = uwsgi.translate(pairs)
    lazy = any(flag == "lazy" for flag, _ in found.options)
    options = [(flag, value) for flag, value in found.options if flag != "lazy"]
    by_flag = {flag: row for row in ROWS.values() for flag in row.flags}
    words: list[str] = []
    table: dict[str, Any] = {}
    for flag, value in options:
        words += [flag, value]
        row = by_flag.get(flag)
        name = row.name if row is not None else _named(flag)
        if row is not None and row.repeatable:
            table[name] = (*table.get(name, ()), value)
        else:
            table[name] = value
    if not lazy:
        words.append("--preload")
        table["preload"] = True
        found.notes.append("Without lazy-apps uWSGI loads the application before it forks: --preload.")
    lines = [f"{name} = {_toml(name, value)}" for name, value in table.items()]
    return _report(found.target or _PLACEHOLDER, words, lines, found.notes)


def _from_nginx(path: str) -> str:
    found = translation.translate(parsing.read(path))
    flags = {row.name: row for row in TABLE}
    words: list[str] = []
    table: list[str] = []
    for name, value in found.settings.items():
        row = flags.get(name)
        flag = row.flags[0] if row is not None else _PROCESS_FLAGS.get(name, f"--{name.replace('_', '-')}")
        values = value if isinstance(value, tuple) else (value,)
        words += [word for one in values for word in ((flag,) if one is True else (flag, str(one)))]
        table.append(
            f"{name} = {value if isinstance(value, int) and value is not True else _toml(name, value)}"
        )
    return _report(_PLACEHOLDER, words, table, found.remarks)


def _named(flag: str) -> str:
    names = {flag: name for name, flag in _PROCESS_FLAGS.items()}
    return names.get(flag, flag.lstrip("-").replace("-", "_"))


def _words(name: str, value: Any) -> list[str]:
    row = ROWS.get(name)
    flag = row.flags[0] if row is not None else _PROCESS_FLAGS.get(name, f"--{name.replace('_', '-')}")
    if value is True:
        return [flag]
    if value is False or value is None:
        return []
    values = value if isinstance(value, tuple) else (value,)
    return [word for one in values for word in (flag, _shown(name, one))]


def _shown(name: str, value: Any) -> str:
    row = ROWS.get(name)
    if row is None or isinstance(value, str) or value == 0:
        return str(value)
    return row.show(value)


def _toml(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(_quoted(str(one)) for one in value)}]"
    row = ROWS.get(name)
    if isinstance(value, str):
        is_number = row is not None and row.unit in (Unit.COUNT, Unit.BOUNDS) and value.isdigit()
        return value if is_number else _quoted(value)
    shown = _shown(name, value)
    return shown if shown.isdigit() else _quoted(shown)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _report(target: str, words: Sequence[str], table: Sequence[str], notes: Sequence[str]) -> str:
    lines = ["# As a command:", f"pelton {shlex.join([target, *words])}", ""]
    lines += ["# Or as pelton.toml, with the command: pelton " + shlex.quote(target), *table]
    if notes:
        lines += ["", "# Remarks:"]
        for note in notes:
            lines += textwrap.wrap(
                note, 108, initial_indent="# - ", subsequent_indent="#   ", break_long_words=False
            )
    return "\n".join(lines) + "\n"
