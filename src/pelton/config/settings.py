"""The table of settings: each one written once, with its default and the reason for it.

Owns the whole of names, defaults and explanations, whose rows are in `pelton.config.table`. The command's
options, the dataclass and the checks follow from it; so does what the front is given, which reads its
attributes by the names used here. Must not know who uses a setting.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pelton.config.bounds import Bounds
from pelton.config.rates import parse_rate
from pelton.config.setting import Group, Setting, table_of
from pelton.config.table.edge import Edge
from pelton.config.table.encryption import Encryption
from pelton.config.table.files import Files
from pelton.config.table.http2 import Http2
from pelton.config.table.load import Load
from pelton.config.table.observing import Observing
from pelton.config.table.process import Process
from pelton.config.table.processes import Processes
from pelton.config.table.requests import Requests
from pelton.config.table.serving import Serving
from pelton.config.table.site import Site
from pelton.config.table.timeouts import Timeouts
from pelton.edge.settings import EdgeRules, check_edge
from pelton.exceptions import ConfigError
from pelton.static.compression import Compression, compression_of
from pelton.static.settings import StaticFiles, check_static

__all__ = ["TABLE", "Settings", "check_one_process", "settings_from"]


# The native scheduler has seats for somewhat more threads than this beside the planned ones (SPARE_THREADS).
MOST_WEBSOCKETS = 4000
# RFC 9113, section 6.9.1.
MOST_WINDOW = 2**31 - 1


# The link between the front and a worker has no more places for requests than this (MAX_PERMITS).
MOST_AT_ONCE = 4096


# The fields of a dataclass come in the order of its bases from the last to the first; help shows them so.
@dataclass(frozen=True, kw_only=True)
class Settings(
    Process, Observing, Encryption, Timeouts, Site, Edge, Load, Files, Http2, Requests, Processes, Serving
):
    """All settings of one start. Made by `settings_from`, which checks; the plain constructor does not."""

    # No setting but what ``access_log`` becomes once it is opened (`pelton.logs.access`): the front
    # writes to a descriptor and never opens a file of the user. -1: off.
    access_log_descriptor: int = -1
    # The same for ``statsd`` (`pelton.logs.statsd`): a connected socket.
    statsd_descriptor: int = -1
    # The same for ``static`` and the like (`pelton.static.settings`), None where no files are sent.
    static_files: StaticFiles | None = None
    # For ``sendfile_root``, likewise.
    named_files: StaticFiles | None = None
    # For ``allow``, ``error_page`` and the like (`pelton.edge.settings`).
    edge_rules: EdgeRules | None = None
    # And for ``compress`` (`pelton.static.compression`).
    compression: Compression | None = None
    # Nor this: what bounds the threads, where ``threads`` is no exact number (`pelton.sizing.limits`).
    threads_bound: str = ""
    # No setting either: the functions of gunicorn's config file (`pelton.compat.gunicorn.Hooks`), or None.
    hooks: Any = None
    # Nor this: how to read every source again (`pelton.supervisor.rereading`), None where nobody can.
    read_again: Callable[[], Settings] | None = field(default=None, compare=False, repr=False)
    # No setting either, but where idle connections wait while a reloader starts the next child
    # (`pelton.reloader.waiting_room`): both ends of a socket. -1: nowhere, they are closed.
    waiting_in: int = -1
    waiting_out: int = -1
    # Nor this: how many processors the workers together can use (`pelton.sizing.limits.usable_processors`).
    processors: float = 1.0


TABLE: tuple[Setting, ...] = table_of(Settings)
_BY_NAME = {row.name: row for row in TABLE}


def settings_from(values: Mapping[str, Any]) -> Settings:
    """Checked settings from ``values`` (names as in the table); what is missing has its default.

    Numbers may be given as texts with a unit. Raises ConfigError that names the setting and what is wrong.
    """
    accepted = {}
    for name, value in values.items():
        row = _BY_NAME.get(name)
        if row is None:
            close = difflib.get_close_matches(name, _BY_NAME, n=1)
            raise ConfigError(
                f'There is no setting "{name}".',
                f"Did you mean {close[0]}?" if close else f"There are: {', '.join(_BY_NAME)}.",
            )
        accepted[name] = row.accept(value)
    path = accepted.get("health_path")
    if path is not None:
        accepted["health_path"] = _checked_health_path(path)
    if accepted.get("websocket_threads", 0) > MOST_WEBSOCKETS:
        raise ConfigError(f"websocket_threads: {MOST_WEBSOCKETS} is the most that one worker can have.")
    for name in ("http2_stream_window", "http2_connection_window"):
        if accepted.get(name, 0) > MOST_WINDOW:
            raise ConfigError(f"{name}: {MOST_WINDOW} is the most that HTTP/2 has.")
    for name in ("threads", "worker_connections"):
        given = accepted.get(name)
        bounds = given if isinstance(given, Bounds) else Bounds(given, given)
        if max(bounds.least or 0, bounds.most or 0) > MOST_AT_ONCE:
            raise ConfigError(f"{name}: {MOST_AT_ONCE} is the most that one worker can run at once.")
    for prefix in accepted.get("stream_path", ()):
        if not prefix.startswith("/") or "?" in prefix or "#" in prefix:
            raise ConfigError(f'stream_path: "{prefix}" is not a path; write for example /upload.')
    for text in accepted.get("rate_limit", ()):
        try:
            parse_rate(text)
        except ConfigError as error:
            raise ConfigError(f"rate_limit: {error.what}", *error.lines) from None
    made = Settings(**accepted)
    check_static(made)
    compression_of(made)
    check_edge(made)
    return made


def check_one_process(settings: Settings, sources: Mapping[str, str] | None = None) -> None:
    """Raise ConfigError for settings that mean nothing without worker processes.

    ``sources``: where each setting comes from, for the message.
    """
    if settings.workers != 0:
        raise ConfigError(
            "workers: pelton.run and pelton.start serve in this one process.",
            "Worker processes come with the command: pelton module:app --workers 4",
        )
    for row in TABLE:
        if row.group is Group.PROCESSES and getattr(settings, row.name) != row.default:
            came = [f"It comes from: {sources[row.name]}."] if sources else []
            raise ConfigError(f"{row.name} means nothing in one process.", "It needs --workers.", *came)


def _checked_health_path(path: str) -> str:
    if not path.startswith("/") or any(c in path for c in "?#% ") or not path.isprintable():
        raise ConfigError(f'health_path: "{path}" is not a path; write for example /-/health.')
    return path.rstrip("/")
