"""How rules about paths are written: ``POST /export=4,queue=20,timeout=60s`` and ``GET /status``. Pure.

Also what stands before a path for the requests of one host: ``admin.example.com/export``.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from pelton.config.units import parse_seconds
from pelton.exceptions import ConfigError

# A method, or the name of a field (RFC 9110 section 5.6.2).
TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# A host, all below one, or an address of IPv6; each with a port or without.
_NAME = r"(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\]"
HOST: Final = rf"(?P<host>(?:{_NAME})(?::[0-9]+)?)"
_RULE = rf"(?:(?P<method>{TOKEN}) +)?{HOST}?(?P<path>/[^=?#]*)"
_PATH = re.compile(_RULE)
_LIMIT = re.compile(_RULE + r" *= *(?P<count>[1-9][0-9]{0,8})(?P<rest>(?: *,[^,]+)*)")
_NUMBER = re.compile("0|[1-9][0-9]{0,8}")


class PathRule(NamedTuple):
    """Requests with this method and of this host (any, where they are empty) for this path and all below."""

    method: str
    path: str
    host: str = ""


class PathLimit(NamedTuple):
    """At most ``most`` of them at once; ``queue_length`` wait, for ``queue_seconds``."""

    method: str
    path: str
    most: int
    queue_length: int
    queue_seconds: float
    host: str = ""


def host_of(text: str | None) -> str:
    """As rules compare it."""
    return (text or "").lower().rstrip(".")


def parse_path_rule(text: str) -> PathRule:
    """The requests that a text means. Raises ConfigError."""
    found = _PATH.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f'"{text}" is no path.', "Write for example /status or GET /status.")
    return PathRule((found["method"] or "").upper(), found["path"].rstrip(), host_of(found["host"]))


def parse_path_limit(text: str, queue_length: int, queue_seconds: float) -> PathLimit:
    """The limit that a text means, with these bounds of its queue where it names none. Raises ConfigError."""
    found = _LIMIT.fullmatch(text.strip())
    if found is None:
        raise ConfigError(
            f'"{text}" is no limit of a path.',
            "Write for example /export=4 or POST /export=4,queue=20,timeout=60s.",
        )
    for part in filter(None, found["rest"].split(",")):
        name, _, value = (one.strip() for one in part.partition("="))
        if name == "queue" and _NUMBER.fullmatch(value):
            queue_length = int(value)
        elif name == "timeout" and (seconds := parse_seconds(value)) > 0:
            queue_seconds = seconds
        else:
            raise ConfigError(
                f'"{part.strip()}" is not a part of a limit of a path.',
                "There are queue=NUMBER and timeout=SECONDS.",
            )
    method, path = (found["method"] or "").upper(), found["path"].rstrip()
    return PathLimit(method, path, int(found["count"]), queue_length, queue_seconds, host_of(found["host"]))
