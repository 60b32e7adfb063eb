"""What one option of gunicorn is, and what becomes of its value.

Owns the machinery; the rows are in `pelton.compat.gunicorn.rows_*`. Any thread.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pelton.config.settings import TABLE
from pelton.exceptions import ConfigError

ROWS = {row.name: row for row in TABLE}
# As `Settings` calls what concerns the process itself; applied when the process is set up.
PROCESS_SETTINGS = frozenset(
    ("daemon", "pid_file", "user", "group", "umask", "chdir", "environment", "python_path", "process_name")
)


class Fate(enum.Enum):
    """What pelton does with an option."""

    MAPPED = "mapped"
    HOOK = "called"
    NEEDLESS = "accepted, not needed"
    MISSING = "accepted, no effect"
    REFUSED = "refused"


class Takes(enum.Enum):
    """What follows its flag."""

    VALUE = "a value"
    VALUES = "a value, repeatable"
    SWITCH = "nothing"
    OPTIONAL = "perhaps a value"


@dataclass
class Translation:
    """What a value comes to: pelton's settings, and what a person should know."""

    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


# The value, and all of gunicorn's options that were given, by name.
Convert = Callable[[Any, Mapping[str, Any]], Translation]


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option. ``flags`` is empty where only the config file has it.

    ``harmless`` is the value that asks for nothing (mostly gunicorn's default): with it, an option that is
    refused or has no effect passes in silence. ``about``: what becomes of it and why, one or two sentences.
    ``target``: how the docs name what it is mapped to.
    """

    name: str
    flags: tuple[str, ...] = ()
    takes: Takes = Takes.VALUE
    fate: Fate
    about: str
    target: str = ""
    harmless: tuple[Any, ...] = ()
    convert: Convert | None = None
    arity: tuple[int, ...] = ()

    def translate(self, value: Any, given: Mapping[str, Any]) -> Translation:
        """What ``value`` comes to. Raises ConfigError, which does not say where the value is written."""
        if self.fate is Fate.HOOK or value is None or value in self.harmless:
            return Translation()
        if self.convert is not None:
            return self.convert(value, given)
        if self.fate is Fate.REFUSED:
            raise ConfigError(f"{self.name} is refused: {self.about}")
        return Translation(notes=[f"{self.name}: {self.about}"])


def exists(setting: str) -> bool:
    """Whether this pelton has a setting of that name."""
    return setting in ROWS or setting in PROCESS_SETTINGS


def count(value: Any) -> int:
    """A whole number, not negative, as gunicorn reads it. Raises ConfigError."""
    try:
        if isinstance(value, bool):
            raise ValueError
        if isinstance(value, str):
            text = value.strip().lower()
            octal = len(text) > 1 and text.startswith("0") and text.isdigit()
            number = int(text, 8 if octal else 0)
        else:
            number = int(value)
            if number != value:
                raise ValueError
    except (TypeError, ValueError):
        raise ConfigError(f"{value!r} is not a whole number.") from None
    if number < 0:
        raise ConfigError(f"{value!r} is negative.")
    return number


def switch(value: Any) -> bool:
    """On or off, as gunicorn reads it. Raises ConfigError."""
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if isinstance(value, bool) or value is None:
        return bool(value)
    raise ConfigError(f"{value!r} is neither True nor False.")


def text(value: Any) -> str:
    """A text. Raises ConfigError."""
    if not isinstance(value, str):
        raise ConfigError(f"{value!r} is not a text.")
    return value.strip()


def texts(value: Any) -> tuple[str, ...]:
    """One text, several separated by commas, or a list of them. Raises ConfigError."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or not all(isinstance(one, str) for one in parts):
        raise ConfigError(f"{value!r} is not a text or a list of texts.")
    return tuple(one.strip() for one in parts if one.strip())


def to(setting: str, read: Callable[[Any], Any]) -> Convert:
    """The value as it is, under another name. None means: not set."""

    def convert(value: Any, given: Mapping[str, Any]) -> Translation:
        if value is None:
            return Translation()
        if not exists(setting):
            if not value:
                return Translation()
            return Translation(notes=[f"this version of pelton has no setting {setting} yet."])
        return Translation({setting: read(value)})

    return convert


def silent(value: Any, given: Mapping[str, Any]) -> Translation:
    """Nothing follows from it."""
    return Translation()
