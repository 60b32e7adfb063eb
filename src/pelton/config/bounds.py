"""A number that is not one number: how many at least, how many at most.

Owns the value of settings such as ``--threads auto`` and ``--threads 4:64``, and its text. An exact number is
a plain int, no `Bounds`. Must not know what a machine allows: that is `pelton.sizing.limits`. Any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pelton.exceptions import ConfigError

_AUTO: Final = "auto"


@dataclass(frozen=True, slots=True)
class Bounds:
    """``least`` and ``most``; None: as the machine allows."""

    least: int | None = None
    most: int | None = None

    def __str__(self) -> str:
        if self == AUTOMATIC:
            return _AUTO
        return f"{'' if self.least is None else self.least}:{'' if self.most is None else self.most}"


AUTOMATIC: Final = Bounds()


def parse_bounds(text: str) -> int | Bounds:
    """``auto``, ``8``, ``4:64``, ``4:`` or ``:64``. Raises ConfigError when the text is none of these."""
    text = text.strip()
    if text == _AUTO:
        return AUTOMATIC
    least, colon, most = text.partition(":")
    if not colon:
        return _number(text, text)
    if not least and not most:
        raise ConfigError(f'"{text}" has neither a least nor a most; write for example 4:64.')
    found = Bounds(_number(least, text) if least else None, _number(most, text) if most else None)
    if found.least is not None and found.most is not None:
        if found.least > found.most:
            raise ConfigError(f'"{text}": the least is more than the most.')
        if found.least == found.most:
            return found.most
    return found


def _number(text: str, whole: str) -> int:
    if text.startswith("-") and text[1:].isdigit():
        raise ConfigError(f'"{whole}" is negative; say a number such as 8, a range such as 4:64, or auto.')
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f'"{whole}" is not a whole number, nor a range such as 4:64, nor auto.')
    return int(text)
