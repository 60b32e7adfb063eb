"""Counts messages by level, for a statsd: gunicorn.log.error and so on.

Owns a copy of the socket, which forked processes share; each message of note is a datagram, sent on the
thread that logs and never waited for. Must not change what is logged, nor who sees it.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import Self

from pelton.config.settings import Settings
from pelton.logs.statsd import OFF, prefix_of
from pelton.process.native_threads import NativeRLock, write

# What pelton logs on; filters belong to one logger, not to those below it.
_LOGGERS = ("pelton", "pelton.request")


class LevelCounts(logging.Filter):
    """Lets every record pass. Use as a context manager, or call `end`."""

    def __init__(self, settings: Settings, descriptor: int) -> None:
        """``descriptor`` stays the caller's; with `OFF` nothing is counted."""
        super().__init__()
        self._descriptor = os.dup(descriptor) if descriptor != OFF else OFF
        # Or the number could mean another file by the time it is written to.
        self._lock = NativeRLock()
        self._prefix = prefix_of(settings.statsd_prefix)
        self._suffix = f"|#{settings.statsd_tags}" if settings.statsd_tags else ""
        if self._descriptor != OFF:
            for name in _LOGGERS:
                logging.getLogger(name).addFilter(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def end(self) -> None:
        """Count no more; may be called again."""
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self)
        with self._lock:
            descriptor, self._descriptor = self._descriptor, OFF
            if descriptor != OFF:
                os.close(descriptor)

    def filter(self, record: logging.LogRecord) -> bool:
        """Count it."""
        level = _level(record)
        if level is not None:
            line = f"{self._prefix}gunicorn.log.{level}:1|c{self._suffix}"
            # Nobody may be listening, or have room.
            with self._lock, suppress(OSError):
                if self._descriptor != OFF:
                    write(self._descriptor, line.encode())
        return True


def _level(record: logging.LogRecord) -> str | None:
    """By gunicorn's names; None for what is worth no alarm."""
    if record.levelno >= logging.CRITICAL:
        return "critical"
    if record.levelno >= logging.ERROR:
        return "exception" if record.exc_info else "error"
    return "warning" if record.levelno >= logging.WARNING else None
