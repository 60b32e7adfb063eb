"""What the settings about files mean to the front.

Owns the text forms: ``/static=folder``, ``*.js=1y,immutable``. Reads no file, but looks whether folders
exist. Pure otherwise; any thread.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pelton.config.units import parse_seconds
from pelton.exceptions import ConfigError
from pelton.static.media_types import media_types

if TYPE_CHECKING:
    from pelton.config.settings import Settings

# The word that stands for the application's own folders.
AUTO: Final = "auto"
# What holds where no pattern says otherwise: a browser keeps the file and asks whether it is still the same,
# which a 304 answers. It is what Flask says of its static files, too.
_DEFAULT_CACHE: Final = "no-cache"
_DIRECTIVE: Final = re.compile(
    r"(?:immutable|public|private|no-cache|no-store|no-transform|must-revalidate|must-understand"
    r"|proxy-revalidate|(?:max-age|s-maxage|stale-while-revalidate|stale-if-error)=[0-9]+)"
)
_LONG: Final = {"y": 365 * 86400, "w": 7 * 86400, "mo": 30 * 86400}


@dataclass(frozen=True)
class StaticFiles:
    """What the front reads, by the names that it knows."""

    mounts: tuple[tuple[str, bytes], ...]
    index: str
    fallback: str | None
    fall_through: bool
    cache_control: tuple[tuple[str, str], ...]
    media_types: dict[bytes, bytes]
    neighbours: bool
    open_files: int


def check_static(settings: Settings) -> None:
    """Raise ConfigError for texts that mean nothing; whether folders exist is checked at the start only."""
    mounts_of(settings.static, "static")
    mounts_of(settings.sendfile_root, "sendfile_root")
    cache_rules(settings.static_cache)
    for name in ("static_index", "static_fallback"):
        value = getattr(settings, name)
        if value and (value.startswith("/") or any(part.startswith(".") for part in value.split("/"))):
            raise ConfigError(f'{name}: "{value}" is no name below the folder; write for example index.html.')


def front_files(settings: Settings) -> StaticFiles:
    """The same for the front. Raises ConfigError for a folder that is not there."""
    return StaticFiles(
        mounts=_folders(settings.static, "static"),
        index=settings.static_index,
        fallback=settings.static_fallback or None,
        fall_through=settings.static_fall_through,
        cache_control=cache_rules(settings.static_cache),
        media_types=media_types(),
        neighbours=settings.static_precompressed,
        open_files=settings.static_open_files,
    )


def front_named_files(settings: Settings) -> StaticFiles:
    """The folders whose files the application may name. Raises ConfigError for one that is not there."""
    return StaticFiles(
        mounts=_folders(settings.sendfile_root, "sendfile_root"),
        index="",
        fallback=None,
        fall_through=False,
        cache_control=(),
        media_types=media_types(),
        neighbours=False,
        open_files=settings.static_open_files,
    )


def _folders(values: Sequence[str], name: str) -> tuple[tuple[str, bytes], ...]:
    mounts = mounts_of(values, name)
    for prefix, folder in mounts:
        if not Path(os.fsdecode(folder)).is_dir():
            raise ConfigError(f'{name}: there is no folder "{os.fsdecode(folder)}" for {prefix}.')
    return mounts


def mounts_of(values: Sequence[str], name: str) -> tuple[tuple[str, bytes], ...]:
    """Paths of requests and the folders for them; `AUTO` is left out. Raises ConfigError."""
    mounts: dict[str, bytes] = {}
    for value in values:
        if value == AUTO and name == "static":
            continue
        prefix, equals, folder = value.partition("=")
        if not equals or not prefix.startswith("/") or not folder or re.search(r"[?#%\s]", prefix):
            raise ConfigError(
                f'{name}: "{value}" is no path and folder.', "Write for example /static=static."
            )
        prefix = prefix.rstrip("/") or "/"
        if "//" in prefix or any(part in (".", "..") for part in prefix.split("/")):
            raise ConfigError(f'{name}: "{prefix}" is not the path of any request.')
        if prefix in mounts:
            raise ConfigError(f"{name}: {prefix} is given twice.")
        mounts[prefix] = os.fsencode(Path(folder).absolute())
    return tuple(mounts.items())


def cache_rules(values: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Patterns, and the ``Cache-Control`` for each; the first that fits counts. Raises ConfigError."""
    return (*((pattern, _cache_control(text)) for pattern, text in _rules(values)), ("*", _DEFAULT_CACHE))


def _rules(values: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each rule. What stands between commas may have been taken for values of its own (environment)."""
    rules: list[list[str]] = []
    for value in values:
        if rules and _DIRECTIVE.fullmatch(value.strip()):
            rules[-1][1] += f",{value}"
            continue
        pattern, equals, text = value.partition("=")
        if not pattern or not equals or not text:
            raise ConfigError(f'static_cache: "{value}" is no rule.', "Write for example *.js=1y,immutable.")
        rules.append([pattern.lstrip("/"), text])
    return ((pattern, text) for pattern, text in rules)


def _cache_control(text: str) -> str:
    """``1y,immutable`` as ``max-age=31536000, immutable``; empty for ``off``."""
    if text.strip() == "off":
        return ""
    directives = []
    for part in (part.strip() for part in text.split(",")):
        if _DIRECTIVE.fullmatch(part):
            directives.append(part)
            continue
        try:
            directives.append(f"max-age={_seconds(part)}")
        except ConfigError:
            raise ConfigError(
                f'static_cache: "{part}" is neither a time nor a word of Cache-Control.',
                "Write for example 1y,immutable or no-store or off.",
            ) from None
    return ", ".join(directives)


def _seconds(text: str) -> int:
    long = re.fullmatch(r"([0-9]+)(y|w|mo)", text)
    return int(long[1]) * _LONG[long[2]] if long else int(parse_seconds(text))
