"""What one setting is: its text form, its checks, its place in help and documentation.

Owns the machinery; the settings themselves are in `pelton.config.settings`. Any thread.
"""

from __future__ import annotations

import enum
import math
import os
import re
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from pelton.config.bounds import Bounds, parse_bounds
from pelton.config.units import format_bytes, format_seconds, parse_bytes, parse_seconds
from pelton.exceptions import ConfigError

# Below this a timeout is not a limit but a fault: no network answers within it.
SHORTEST_TIMEOUT = 0.1

_METADATA_KEY = "pelton"
# What the native module can hold without thinking about overflow; nobody means more.
_LONGEST = 366 * 86400.0
_LARGEST = 2**63 - 1
_Default = TypeVar("_Default")


class Unit(enum.Enum):
    """What the value counts, and with it how it is written."""

    COUNT = "COUNT"
    # A number, a range of numbers, or as many as it takes (`pelton.config.bounds`).
    BOUNDS = "N|MIN:MAX|auto"
    BYTES = "SIZE"
    SECONDS = "TIME"
    TEXT = "TEXT"
    PATH = "PATH"
    ADDRESS = "ADDRESS"
    # On or off; on the command line it is on by being there.
    FLAG = "FLAG"


class Part(enum.Enum):
    """Which part of pelton a setting applies to."""

    FRONT = "front"
    WORKER = "worker"
    SUPERVISOR = "supervisor"


class Group(enum.Enum):
    """The headings under which settings are listed."""

    SERVING = "Serving"
    PROCESSES = "Worker processes"
    REQUESTS = "Limits of a request"
    HTTP2 = "HTTP/2"
    RESPONSES = "Responses"
    FILES = "Files"
    COMPRESSION = "Compression"
    LOAD = "Load"
    EDGE = "Cache and limits of rate"
    SITE = "Access, error pages and fields"
    TIMEOUTS = "Timeouts"
    ENCRYPTION = "Encryption"
    HEALTH = "Health"
    LOGS = "Logs"
    PROCESS = "Process"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One row of the table. ``name`` is the attribute of `Settings`, ``flags`` the command's options.

    ``minimum`` is the smallest allowed number; ``zero`` says what 0 means where that is not just the number.
    ``words`` are texts that stand for a number, which may be below the minimum. ``first``: whether ``--help``
    shows it without ``--help-all``. ``more``: what the reference says beyond ``help`` and ``reason``.
    ``while_running``: how it can be changed without a restart and without its source, None where it cannot.
    ``reloadable``: whether SIGHUP reads it again (with worker processes).
    ``default_text`` stands for a default that differs from machine to machine. ``bare``: the words that its
    value is made of (with commas), where the option may also stand alone and means the first of them then.
    """

    name: str
    default: Any
    unit: Unit
    group: Group
    part: Part
    flags: tuple[str, ...]
    help: str
    reason: str
    minimum: float
    zero: str | None
    choices: tuple[str, ...] | None
    words: tuple[tuple[str, int], ...]
    first: bool = False
    more: str = ""
    while_running: str | None = None
    reloadable: bool = False
    default_text: str | None = None
    bare: tuple[str, ...] = ()

    @property
    def takes(self) -> str:
        """What would be right, for the end of a sentence: ``a whole number from 1 on``."""
        words = "".join(f", or {word}" for word, _ in self.words)
        zero = f" (0: {self.zero})" if self.zero is not None else ""
        match self.unit:
            case Unit.FLAG:
                return "on or off"
            case Unit.COUNT:
                return f"a whole number from {self._show_minimum()} on{words}{zero}"
            case Unit.BOUNDS:
                return f"a whole number from {self._show_minimum()} on, a range such as 4:64, or auto{zero}"
            case Unit.BYTES:
                return f"a size such as 64KiB, 1.5MiB or 2GiB{words}{zero}"
            case Unit.SECONDS:
                return f"a time such as 30s, 500ms or 2min{words}{zero}"
            case Unit.ADDRESS if not self.repeatable:
                return "an address"
            case Unit.ADDRESS:
                return "host:port, :port, port, [::1]:port, unix:/path or fd://3 (https:// in front)"
            case Unit.PATH:
                return "a path"
            case _:
                return f"one of {', '.join(self.choices)}" if self.choices else "a text"

    @property
    def repeatable(self) -> bool:
        """Whether the value is a tuple and the option may be given more than once."""
        return isinstance(self.default, tuple)

    def parse(self, text: str) -> Any:
        """The value (one element, if repeatable) that ``text`` means; raises ConfigError."""
        for word, meaning in self.words:
            if text == word:
                return meaning
        match self.unit:
            case Unit.BYTES:
                return self._checked(parse_bytes(text), text)
            case Unit.SECONDS:
                return self._checked(self._whole_if_needed(parse_seconds(text)), text)
            case Unit.COUNT:
                if not re.fullmatch(r"\s*-?[0-9]+\s*", text):
                    words = [word for word, _ in self.words]
                    raise ConfigError(f'"{text}" is not a whole number{", nor ".join(["", *words])}.')
                return self._checked(int(text), text)
            case Unit.BOUNDS:
                return self._bounds(parse_bounds(text), text)
            case Unit.FLAG:
                if text not in ("on", "off"):
                    raise ConfigError(f'"{text}" is neither on nor off.')
                return text == "on"
            case _:
                if self.choices is not None and text not in self.choices:
                    raise ConfigError(f'"{text}" is not one of {", ".join(self.choices)}.')
                return text

    def accept(self, value: object) -> Any:
        """The checked value for ``value`` as Python code gives it: a number, or a text with a unit.

        Raises ConfigError that names the setting.
        """
        try:
            if self.repeatable:
                values = (value,) if isinstance(value, str) else value
                if not isinstance(values, (list, tuple)) or not all(isinstance(one, str) for one in values):
                    raise ConfigError(f"{value!r} is not a text or a list of texts.")
                return tuple(self.parse(one) for one in values)
            if isinstance(value, os.PathLike) and self.unit is Unit.PATH:
                value = os.fspath(value)
            if isinstance(value, str):
                return self.parse(value)
            if value is None and self.default is None:
                return None
            if self.unit is Unit.BOUNDS and isinstance(value, Bounds):
                return self._bounds(value, str(value))
            if self.unit is Unit.FLAG:
                if not isinstance(value, bool):
                    raise ConfigError(f"{value!r} is neither True nor False.")
                return value
            if any(value == meaning for _, meaning in self.words):
                return value
            return self._number(value)
        except ConfigError as error:
            raise ConfigError(f"{self.name}: {error.what}", *error.lines) from None

    def show(self, value: Any) -> str:
        """``value`` as a person writes it."""
        if value == 0 and self.zero is not None:
            return f"0 = {self.zero}"
        for word, meaning in self.words:
            if value == meaning:
                return word
        match self.unit:
            case Unit.FLAG:
                return "on" if value else "off"
            case Unit.BYTES:
                return format_bytes(value)
            case Unit.SECONDS:
                return format_seconds(value)
            case _ if self.repeatable:
                return " ".join(value) or "off"
            case _:
                return "off" if value in (None, "") else str(value)

    def _bounds(self, value: int | Bounds, written: str) -> int | Bounds:
        for one in (value.least, value.most) if isinstance(value, Bounds) else (value,):
            if one is not None:
                self._checked(one, written)
        return value

    def _number(self, value: object) -> int | float:
        numeric = self.unit in (Unit.BYTES, Unit.SECONDS, Unit.COUNT, Unit.BOUNDS)
        # bool is an int to Python, but threads=True is a mistake.
        if not numeric or isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError(f"{value!r} is not {'a number' if numeric else 'a text'}.")
        if not math.isfinite(value):
            raise ConfigError(f"{value!r} is not a finite number.")
        if self.unit is Unit.SECONDS:
            return self._checked(self._whole_if_needed(float(value)), value)
        if value != int(value):
            raise ConfigError(f"{value!r} is not a whole number.")
        return self._checked(int(value), value)

    def _whole_if_needed(self, seconds: float) -> int | float:
        if not isinstance(self.default, int):
            return seconds
        if seconds != int(seconds):
            raise ConfigError(f"{format_seconds(seconds)} is not a whole number of seconds.")
        return int(seconds)

    def _checked(self, value: int | float, written: object) -> int | float:
        if value < self.minimum:
            raise ConfigError(f"{written} is too small; the smallest value is {self._show_minimum()}.")
        if value > (_LONGEST if self.unit is Unit.SECONDS else _LARGEST):
            raise ConfigError(f"{written} is too large.")
        return value

    def _show_minimum(self) -> str:
        return format_seconds(self.minimum) if self.unit is Unit.SECONDS else str(int(self.minimum))


def setting(
    default: _Default,
    unit: Unit,
    group: Group,
    part: Part,
    flags: str,
    *,
    help: str,  # noqa: A002  (the word that the command line's reader knows)
    reason: str,
    minimum: float = 0,
    zero: str | None = None,
    choices: tuple[str, ...] | None = None,
    words: tuple[tuple[str, int], ...] = (),
    first: bool = False,
    more: str = "",
    while_running: str | None = None,
    reloadable: bool = False,
    default_text: str | None = None,
    bare: tuple[str, ...] = (),
) -> _Default:
    """A field of `Settings` that carries its row of the table; ``flags`` are separated by spaces."""
    row = {
        "default": default,
        "unit": unit,
        "group": group,
        "part": part,
        "flags": tuple(flags.split()),
        "help": help,
        "reason": reason,
        "minimum": minimum,
        "zero": zero,
        "choices": choices,
        "words": words,
        "first": first,
        "more": more,
        "while_running": while_running,
        "reloadable": reloadable,
        "default_text": default_text,
        "bare": bare,
    }
    made: _Default = field(default=default, metadata={_METADATA_KEY: row})
    return made


def table_of(settings_class: type) -> tuple[Setting, ...]:
    """The rows of a dataclass whose fields were made with `setting`, in their order."""
    return tuple(
        Setting(name=one.name, **one.metadata[_METADATA_KEY])
        for one in fields(settings_class)
        if _METADATA_KEY in one.metadata
    )
