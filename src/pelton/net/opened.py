"""What is opened before anything is started: listening sockets, the access log, the way to a statsd.

Owns the order, and that either all of it is open or nothing. The same for one process and for many. Main
thread, or whichever calls `pelton.start`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pelton.config.address import Scheme, parse_address, parse_bind
from pelton.config.settings import Settings
from pelton.exceptions import ConfigError, StartError
from pelton.logs.access import OFF, open_access_log_of
from pelton.logs.statsd import open_statsd_of
from pelton.net.listeners import Inherited, Listener, open_listeners
from pelton.static.settings import front_files


@dataclass(frozen=True)
class Opened:
    """``listeners`` serve the application, ``admin_listeners`` only health checks."""

    listeners: tuple[Listener, ...]
    admin_listeners: tuple[Listener, ...]
    access_log: int
    statsd: int = OFF

    @property
    def all_listeners(self) -> tuple[Listener, ...]:
        """In the order in which the front gets them."""
        return self.listeners + self.admin_listeners

    @property
    def descriptors(self) -> list[int]:
        """Those of all listeners."""
        return [one.socket.fileno() for one in self.all_listeners]

    @property
    def h2c(self) -> list[int]:
        """Which of all listeners may be spoken to in HTTP/2 at once."""
        return [place for place, one in enumerate(self.all_listeners) if one.speaks_http2]

    def close(self) -> None:
        """Close everything and remove socket files; may be called again, but not after `hand_over`."""
        for listener in self.all_listeners:
            listener.close()
        with contextlib.suppress(OSError):
            self.close_outputs()

    def close_outputs(self) -> None:
        """Close what a front has its own copies of: one kept here would keep a rotated file open."""
        for descriptor in (self.access_log, self.statsd):
            if descriptor != OFF:
                os.close(descriptor)


def open_all(settings: Settings, inherited: Sequence[Inherited] = ()) -> Opened:
    """Open what ``settings`` name; ``inherited``: listeners that a predecessor left. Raises PeltonError."""
    binds = [parse_bind(text) for text in settings.bind]
    admin = [parse_address(text) for text in settings.admin_bind]
    if not binds:
        raise ConfigError("There is no address to listen on.")
    _check_spool_directory(settings.spool_directory)
    with contextlib.ExitStack() as undo:
        access_log = open_access_log_of(settings)
        if access_log != OFF:
            undo.callback(os.close, access_log)
        # A folder that is not there is told of before anything is started.
        front_files(settings)
        statsd = open_statsd_of(settings)
        if statsd != OFF:
            undo.callback(os.close, statsd)
        listeners = []
        for bind in binds:
            for listener in open_listeners([bind.address], inherited):
                undo.callback(listener.close)
                listener.speaks_http2 = bind.scheme is Scheme.H2C
                listeners.append(listener)
        admin_listeners = open_listeners(admin, inherited)
        undo.pop_all()
    return Opened(tuple(listeners), tuple(admin_listeners), access_log, statsd)


def _check_spool_directory(directory: str) -> None:
    # Found now, and not by the first visitor with a large upload.
    if not Path(directory).is_dir():
        raise StartError(
            f'The spool directory "{directory}" does not exist.', "Set it with --spool-directory."
        )
    if not os.access(directory, os.W_OK | os.X_OK):
        raise StartError(
            f'The spool directory "{directory}" is not writable.', "Set it with --spool-directory."
        )
