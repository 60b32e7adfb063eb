"""Where values come from: files, the environment, the command line; and which of them counts.

Owns the order (default < file < environment < command line), the names by which a setting can be given, and
that each value remembers its source. Must not know gunicorn, nor who asks: the caller passes one `Layer` for
each place it has looked at, the weakest first. Main thread.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pelton.config.address import parse_bind
from pelton.config.setting import Setting, Unit
from pelton.config.settings import TABLE, Settings, settings_from
from pelton.exceptions import ConfigError

DEFAULT: Final = "default"
PREFIX: Final = "PELTON_"
# The variable for the file itself, which no row of the table is.
CONFIG_VARIABLE: Final = f"{PREFIX}CONFIG"
# What platforms set to the number of processes that suit the size somebody pays for.
WORKERS_VARIABLE: Final = "WEB_CONCURRENCY"
# What they set to the port that the world reaches; there one listens on every address.
PORT_VARIABLE: Final = "PORT"
# The variable for a file with more variables (`--env-file`).
ENV_FILE_VARIABLE: Final = f"{PREFIX}ENV_FILE"

_OWN_FILE = "pelton.toml"
_PROJECT_FILE = "pyproject.toml"
# Not settings: the way from a predecessor to its successor, and what the tests use.
_OTHER_VARIABLES = re.compile(rf"{PREFIX}(SUCCESSION|STARTED_IN|CONFIG|ENV_FILE|TEST_\w+)")
# Kubernetes puts such variables into every pod beside a service named "pelton".
_OF_KUBERNETES = re.compile(rf"{PREFIX}(\w+_)?(SERVICE_(HOST|PORT)\w*|PORT(_\d+_\w+)?)")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True)
class Given:
    """A value as it was written, and where: ``pelton.toml, key threads``."""

    value: Any
    source: str


Layer = Mapping[str, Given]


@dataclass(frozen=True)
class Resolved:
    """Checked settings; ``sources`` has one text for every row of the table."""

    settings: Settings
    sources: Mapping[str, str]

    def given(self, name: str) -> bool:
        """Whether anybody has set it."""
        return self.sources[name] != DEFAULT


@dataclass
class Read:
    """A layer from one place, and what a person should know about it."""

    layer: dict[str, Given] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    # What was said and has no effect.
    warnings: list[str] = field(default_factory=list)


def resolve(layers: Iterable[Layer]) -> Resolved:
    """One value for each setting, from the last layer that has it.

    Every value is checked, also one that a later layer replaces. Raises ConfigError that names the source.
    """
    values: dict[str, Any] = {}
    sources = dict.fromkeys(BY_NAME, DEFAULT)
    for layer in layers:
        for name, given in layer.items():
            values[name] = _checked(BY_NAME[name], given)
            sources[name] = given.source
    return Resolved(settings_from(values), sources)


def find_file(directory: Path) -> tuple[Path | None, list[str]]:
    """The file to read where none is named, and remarks about those that are not read."""
    own, project = directory / _OWN_FILE, directory / _PROJECT_FILE
    notes = []
    has_section = project.is_file() and _section(project) is not None
    if own.is_file() and has_section:
        notes.append(f"[tool.pelton] in {_PROJECT_FILE} is not read, because there is a {_OWN_FILE}.")
    if own.is_file():
        return own, notes
    return (project if has_section else None), notes


def from_toml(file: Path, shown: str) -> Read:
    """The keys of a TOML file: of ``[tool.pelton]`` in pyproject.toml, of the whole file otherwise.

    ``shown``: how messages name the file. Raises ConfigError.
    """
    section = _section(file, shown)
    where = f"{shown} [tool.pelton]" if file.name == _PROJECT_FILE else shown
    read = Read()
    for key, value in (section or {}).items():
        source = f"{where}, key {key}"
        name = name_of(key)
        if name is None:
            raise _unknown(key, source)
        if name in read.layer:
            raise ConfigError(f"{source}: {name} is given twice.", f"Also as {read.layer[name].source}.")
        read.layer[name] = Given(value, source)
    return read


def from_environment(environ: Mapping[str, str]) -> Read:
    """The variables ``PELTON_…``. An empty one counts as not set; several values are separated by commas.

    An unknown one is only remarked upon: who runs the process does not choose all of its variables.
    """
    read = Read()
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or _OTHER_VARIABLES.fullmatch(variable):
            continue
        name = name_of(variable.removeprefix(PREFIX).lower())
        text = environ[variable]
        source = f"environment variable {variable}"
        if name is None:
            if not _OF_KUBERNETES.fullmatch(variable):
                error = _unknown(variable.removeprefix(PREFIX).lower(), source, shown=_variable)
                read.warnings.append(" ".join([error.what, *error.lines]))
        elif text.strip():
            if name in read.layer:
                raise ConfigError(f"{source}: {name} is given twice.", f"Also as {read.layer[name].source}.")
            read.layer[name] = Given(_split(BY_NAME[name], text), source)
    return read


def from_platform(environ: Mapping[str, str]) -> Read:
    """WEB_CONCURRENCY, the number of workers, and PORT, as far as they are set. Raises ConfigError."""
    read = Read()
    if workers := environ.get(WORKERS_VARIABLE, "").strip():
        read.layer["workers"] = Given(workers, f"environment variable {WORKERS_VARIABLE}")
    if port := environ.get(PORT_VARIABLE, "").strip():
        source = f"environment variable {PORT_VARIABLE}"
        if not (port.isascii() and port.isdigit() and int(port) < 65536):
            raise ConfigError(f'{source}: "{port}" is not a port.', "Unset it, or say --bind.")
        read.layer["bind"] = Given([f"0.0.0.0:{port}"], source)
    return read


def from_command_line(values: Mapping[str, Any]) -> Layer:
    """What options were given, by the name of their setting."""
    return {name: Given(value, f"option {BY_NAME[name].flags[0]}") for name, value in values.items()}


def name_of(key: str) -> str | None:
    """The setting that ``key`` names: by its own name or as its option, with dashes or underscores."""
    return _NAMES.get(key.replace("-", "_"))


def closest(key: str, names: Sequence[str]) -> str | None:
    """What somebody who wrote ``key`` probably meant."""
    found = difflib.get_close_matches(key, names, n=1)
    return found[0] if found else None


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _unknown(key: str, source: str, shown: Any = str) -> ConfigError:
    close = closest(key.replace("-", "_"), list(_NAMES))
    # The name of the setting, also where its option was nearly hit: there is one spelling to learn.
    hint = f"Did you mean {shown(_NAMES[close])}?" if close else "`pelton config` lists all settings."
    return ConfigError(f"{source}: there is no such setting.", hint)


def _checked(row: Setting, given: Given) -> Any:
    try:
        value = getattr(settings_from({row.name: _as_written(row, given.value)}), row.name)
        if row.unit is Unit.ADDRESS and row.repeatable:
            # Those to listen on; where messages are sent has a form of its own.
            for text in value:
                parse_bind(text)
    except ConfigError as error:
        what = error.what.removeprefix(f"{row.name}: ")
        raise ConfigError(
            f"{given.source}: {what}", *(error.lines or (f"{row.name} takes {row.takes}.",))
        ) from None
    return value


def _as_written(row: Setting, value: Any) -> Any:
    if row.unit is Unit.FLAG and isinstance(value, str):
        word = value.strip().lower()
        return True if word in _TRUE else False if word in _FALSE else value
    return value


def _split(row: Setting, text: str) -> Any:
    return [one.strip() for one in text.split(",") if one.strip()] if row.repeatable else text.strip()


def _section(file: Path, shown: str | None = None) -> dict[str, Any] | None:
    """The table of ours in a TOML file; None where a pyproject.toml has none."""
    shown = shown or file.name
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{shown} cannot be read: {error.strerror or error}.") from None
    except ValueError as error:
        # The parser's own message has the line.
        raise ConfigError(f"{shown} is no TOML: {error}.") from None
    if file.name != _PROJECT_FILE:
        return content
    tools = content.get("tool")
    section = tools.get("pelton") if isinstance(tools, dict) else None
    if section is not None and not isinstance(section, dict):
        raise ConfigError(f"{shown}: tool.pelton is no table.", "Write [tool.pelton] and its keys below.")
    return section


def _all_names() -> dict[str, str]:
    names = {}
    for row in TABLE:
        for flag in row.flags:
            if flag.startswith("--"):
                names[flag.removeprefix("--").replace("-", "_")] = row.name
    # Last, for a setting's own name counts before another one's option.
    return names | {row.name: row.name for row in TABLE}


BY_NAME: Final[dict[str, Setting]] = {row.name: row for row in TABLE}
_NAMES: Final = _all_names()
