"""Several applications in one server: where each of them is, and which one a request is for.

Owns the text form ``MODULE[:APP]=PLACE`` and the choice by host and path (PEP 3333: what leads to the
application moves from PATH_INFO to SCRIPT_NAME). Must not know settings, sockets or the front. `Mounted` runs
wherever applications run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from pelton.config.path_rules import HOST, host_of
from pelton.exceptions import ConfigError
from pelton.loader.target import Target, parse_target

_FORMS: Final = (
    "Write MODULE[:APP]=PLACE with a path, a host or both: shop=/shop or admin:app=admin.example.com."
)
_PLACE: Final = re.compile(rf"{HOST}?(?P<path>/[^?#\s]*)?")
_NOT_FOUND: Final = b"No application is mounted here.\n"


class Place(NamedTuple):
    """Requests for this host (any, where it is empty) and this path with all below.

    ``host`` is in lower case, and may have a port or begin with ``*.``. ``path`` is empty for all of a host.
    """

    host: str
    path: str

    @property
    def text(self) -> str:
        """As it is written."""
        return f"{self.host}{self.path}" or "/"


@dataclass(frozen=True)
class Mount:
    """An application and where it is."""

    place: Place
    target: Target


@dataclass(frozen=True)
class Mounts:
    """What is loaded in the place of one application: the most particular place first."""

    all: tuple[Mount, ...]


def parse_targets(words: Sequence[str]) -> Target | Mounts:
    """One application, or several that have places. A word without a place is for everything that is left.

    Raises ConfigError.
    """
    mounts = [_mount(word) for word in words]
    if len(mounts) == 1 and mounts[0].place == Place("", ""):
        return mounts[0].target
    places: dict[Place, str] = {}
    for word, mount in zip(words, mounts, strict=True):
        other = places.setdefault(mount.place, word)
        if other != word or sum(one.place == mount.place for one in mounts) > 1:
            raise ConfigError(f'"{other}" and "{word}" are both for {mount.place.text}.', _FORMS)
    return Mounts(tuple(sorted(mounts, key=lambda mount: _rank(mount.place))))


def check_mount(text: str) -> None:
    """Raises ConfigError where a text is no application with a place."""
    if not is_mount(text):
        raise ConfigError(f'mount: "{text}" has no place.', _FORMS)
    _mount(text)


def is_mount(word: str) -> bool:
    """Whether a word names a place, too."""
    return _split(word) is not None


def _split(word: str) -> tuple[str, Place] | None:
    # The arguments of a factory may have the sign, too, but end with a bracket, which no place does.
    target, sign, text = word.strip().rpartition("=")
    found = _PLACE.fullmatch(text) if sign and text and not text.endswith(")") else None
    if found is None:
        return None
    path = (found["path"] or "").rstrip("/")
    return target, Place(host_of(found["host"]), path)


def _mount(word: str) -> Mount:
    target, place = _split(word) or (word, Place("", ""))
    if ")" not in target and "=" in target:
        raise ConfigError(f'"{word}" names no place.', _FORMS)
    return Mount(place, parse_target(target))


def _rank(place: Place) -> tuple[int, int, int]:
    # A named host before a pattern before any, and there the longest path.
    named = 2 if not place.host else 1 if place.host.startswith("*.") else 0
    return named, -len(place.host), -len(place.path)


class Mounted:
    """A WSGI application that gives each request to the one whose place fits best."""

    def __init__(self, applications: Sequence[tuple[Place, WSGIApplication]]) -> None:
        self.mounted: Final = tuple(applications)
        # Paths as PATH_INFO has them: bytes as Latin-1.
        self._all = [
            (_Host.of(place.host), place.path.encode().decode("latin-1"), application)
            for place, application in applications
        ]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """See the class."""
        path: str = environ.get("PATH_INFO", "")
        host: tuple[str, str] | None = None
        for wanted, prefix, application in self._all:
            if path != prefix and prefix and not path.startswith(f"{prefix}/"):
                continue
            if wanted is not None:
                if host is None:
                    host = _name_and_port(environ.get("HTTP_HOST", "").lower())
                if not wanted.is_meant(*host):
                    continue
            if prefix:
                environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + prefix
                environ["PATH_INFO"] = path[len(prefix) :]
            return application(environ, start_response)
        fields = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(_NOT_FOUND)))]
        start_response("404 Not Found", fields)
        return [_NOT_FOUND]


class _Host(NamedTuple):
    """The host of a place, taken apart once. ``ending``: what names end with for ``*.example.com``."""

    name: str
    ending: str
    port: str

    @classmethod
    def of(cls, host: str) -> _Host | None:
        """None for any host."""
        if not host:
            return None
        name, port = _name_and_port(host)
        return cls(name, name[1:] if name.startswith("*.") else "", port)

    def is_meant(self, name: str, port: str) -> bool:
        """Whether a request for this host is for the place."""
        if self.port and self.port != port:
            return False
        if self.ending:
            return name.endswith(self.ending) and len(name) > len(self.ending)
        return name == self.name


def _name_and_port(host: str) -> tuple[str, str]:
    # The front compares hosts of its rules in the same way (`crates/front/src/edge/hosts.rs`).
    name, colon, port = host.rpartition(":")
    if not colon or (port and not port.isdigit()):
        name, port = host, ""
    return name.rstrip("."), port


def mounted(loaded: Iterable[tuple[Mount, Any]]) -> Mounted:
    """Puts loaded applications together."""
    return Mounted([(mount.place, application) for mount, application in loaded])
