"""What the settings about compression mean to the front.

Owns their text forms only; what is compressed when is the front's (`crates/front/src/compression`). Pure; any
thread.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pelton.exceptions import ConfigError

if TYPE_CHECKING:
    from pelton.config.settings import Settings

# The preferred one first: what it costs for what it saves (docs/compression.md).
CODINGS: Final = ("zstd", "br", "gzip")
_TYPE: Final = re.compile(r"[a-z0-9.+-]+/(?:[a-z0-9.+-]+|\*)")


@dataclass(frozen=True)
class Compression:
    """What the front reads, by the names that it knows."""

    codings: tuple[str, ...]
    types: tuple[str, ...]
    least: int
    with_cookies: bool
    padding: int
    most: int


def compression_of(settings: Settings) -> Compression:
    """What it says. Raises ConfigError for texts that mean nothing."""
    types = tuple(one.strip().lower() for one in settings.compress_type)
    for one in types:
        if _TYPE.fullmatch(one) is None:
            raise ConfigError(f'compress_type: "{one}" is no media type.', "Write for example image/bmp.")
    return Compression(
        codings=_codings(settings.compress),
        types=types,
        least=settings.compress_min_bytes,
        with_cookies=settings.compress_cookies,
        padding=settings.compress_padding_bytes,
        most=settings.compress_at_once,
    )


def _codings(text: str) -> tuple[str, ...]:
    if text in ("off", ""):
        return ()
    names = CODINGS if text == "on" else tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in CODINGS:
            raise ConfigError(
                f'compress: "{name}" is no coding.', f"Write on, off, or some of {','.join(CODINGS)}."
            )
    return tuple(dict.fromkeys(names))
