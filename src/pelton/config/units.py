"""Sizes and durations as people write them: ``1.5MiB``, ``500ms``.

Owns both directions, text to number and number to text, so that help texts and messages use what can be
typed. Pure functions: any thread.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from decimal import Decimal

from pelton.exceptions import ConfigError

# A single letter means the binary multiple, as in nginx and uWSGI: who writes "10M" for a body limit should
# not get less than there.
_BYTES = {
    "": 1,
    "b": 1,
    "k": 2**10,
    "kib": 2**10,
    "kb": 10**3,
    "m": 2**20,
    "mib": 2**20,
    "mb": 10**6,
    "g": 2**30,
    "gib": 2**30,
    "gb": 10**9,
    "t": 2**40,
    "tib": 2**40,
    "tb": 10**12,
}
_SECONDS = {
    "": Decimal(1),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
    "min": Decimal(60),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_AMOUNT = re.compile(
    r"\s*(?P<number>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*(?P<unit>[a-z]*)\s*", re.IGNORECASE | re.ASCII
)


def parse_bytes(text: str) -> int:
    """Bytes from ``65536``, ``64KiB``, ``1.5MiB``, ``10MB`` or ``1g``; case does not matter.

    Raises ConfigError when the text is no size, or a fraction of a byte.
    """
    number, unit = _split(text, _BYTES, "a size", "64KiB, 1.5MiB or a plain number of bytes")
    factor = _BYTES[unit]
    if factor == 1 and number % 1:
        raise ConfigError(f'"{text}" is not a whole number of bytes.')
    # A fraction of a larger unit is rounded down: nobody who writes 1.3MiB counts the last byte.
    return int(number * factor)


def parse_seconds(text: str) -> float:
    """Seconds from ``30``, ``30s``, ``500ms``, ``2min`` (or ``2m``), ``1h`` or ``1d``.

    Raises ConfigError when the text is no duration.
    """
    number, unit = _split(text, _SECONDS, "a duration", "30s, 500ms, 2min or a plain number of seconds")
    # As a float only in the end, or 700ms would be a little more.
    seconds = float(number * _SECONDS[unit])
    if not math.isfinite(seconds):
        raise ConfigError(f'"{text}" is too long.')
    return seconds


def format_bytes(size: int) -> str:
    """The shortest text that `parse_bytes` reads back as the same number: ``1GiB``, ``1.5MiB``, ``1000``."""
    for unit, factor in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        # Halves at most: a half is still read at a glance, more digits are not.
        whole, rest = divmod(size, factor)
        if whole and rest in (0, factor // 2):
            return f"{whole}.5{unit}" if rest else f"{whole}{unit}"
    return str(size)


def format_seconds(seconds: float) -> str:
    """A text that `parse_seconds` reads back: ``30s``, ``1.5s``, ``500ms``."""
    milliseconds = round(seconds * 1000, 6)
    if 0 < seconds < 1 and milliseconds == int(milliseconds):
        return f"{int(milliseconds)}ms"
    return f"{int(seconds)}s" if seconds == int(seconds) else f"{seconds!r}s"


def _split(text: str, units: Collection[str], kind: str, examples: str) -> tuple[Decimal, str]:
    match = _AMOUNT.fullmatch(text)
    if match is None or match["unit"].lower() not in units:
        raise ConfigError(f'"{text}" is not {kind}; write for example {examples}.')
    return Decimal(match["number"]), match["unit"].lower()
