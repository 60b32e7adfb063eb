"""Opens the socket by which metrics go to a statsd, and checks what stands in them.

What is sent, and when, is the front's, which looks up no name: that happens here, once, before anything is
served. A statsd that cannot be found is no reason not to serve. Runs on the thread that starts.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from pelton.config.settings import Settings
from pelton.exceptions import ConfigError
from pelton.logs.outputs import connect_datagrams

LOGGER = logging.getLogger("pelton")

OFF = -1
_PORT = 8125
_ADDRESS = re.compile(
    r"unix:(?://)?(?P<path>/.+)|(?:udp://)?(?:\[(?P<ip>[0-9a-fA-F:.]+)\]|(?P<host>[^\s:/\[\]]+))(?::(?P<port>\d+))?"
)
# What would end a name, a value or a line.
_NOT_IN_NAMES = re.compile(r"[^!-~]|[:|@#,]")
_NOT_IN_TAGS = re.compile(r"[^!-~]|[|#]")


def open_statsd_of(settings: Settings) -> int:
    """A socket, connected, that the caller closes; `OFF` where none is wanted, or none can be had, which is
    logged. Raises ConfigError for what means nothing.
    """
    if settings.statsd is None:
        return OFF
    address = statsd_address(settings.statsd)
    prefix_of(settings.statsd_prefix)
    check_tags(settings.statsd_tags)
    try:
        return connect_datagrams(address).detach()
    except (OSError, UnicodeError) as error:
        what = getattr(error, "strerror", None) or error
        LOGGER.warning("No metrics are sent: the statsd at %s cannot be reached: %s.", settings.statsd, what)
        return OFF


def front_statsd(settings: Settings, descriptor: int) -> dict[str, Any]:
    """What the front has to know of it, by the names that it reads."""
    return {"statsd_descriptor": descriptor, "statsd_prefix": prefix_of(settings.statsd_prefix)}


def statsd_address(target: str) -> str | tuple[str, int]:
    """What ``unix:/path``, ``host`` or ``host:port`` (UDP) means. Raises ConfigError."""
    found = _ADDRESS.fullmatch(target.strip())
    port = int(found["port"] or _PORT) if found is not None else 0
    if found is None or not 0 < port < 65536:
        raise ConfigError(
            f'statsd: "{target}" is no address of a statsd.', "Write host:8125 or unix:/run/statsd.socket."
        )
    return str(found["path"]) if found["path"] else (found["ip"] or found["host"], port)


def prefix_of(text: str) -> str:
    """What stands before each name: ``text``, with one dot at its end. Raises ConfigError."""
    if _NOT_IN_NAMES.search(text):
        raise ConfigError(f'statsd_prefix: "{text}" cannot be a part of a name.', "Write for example shop.")
    return f"{text.rstrip('.')}." if text.strip(".") else ""


def check_tags(text: str) -> None:
    """Raise ConfigError for tags that would not be read as such."""
    if _NOT_IN_TAGS.search(text):
        raise ConfigError(
            f'statsd_tags: "{text}" are no tags.', "Write for example env:production,service:shop."
        )
