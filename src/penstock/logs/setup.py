"""Configures the logger "penstock" for people who have not configured it themselves.

Owns one handler on that logger, and never touches the root logger: the rest of logging is the application's.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TextIO

from penstock.wsgi.error_stream import LOGGER as APPLICATION_LOGGER

_COLOURS = {
    logging.DEBUG: "2",
    logging.INFO: "32",
    logging.WARNING: "33",
    logging.ERROR: "31",
    logging.CRITICAL: "1;31",
}


def set_up_logging(level: str) -> None:
    """Show messages of at least ``level`` (as in the settings) on the standard error output.

    Does nothing when records of "penstock" already reach a handler, its own or the root logger's.
    """
    logger = logging.getLogger("penstock")
    if logger.hasHandlers():
        return
    handler = _StandardErrorHandler()
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    # An application that configures the root logger later would show every line a second time.
    logger.propagate = False


class _StandardErrorHandler(logging.Handler):
    """Looks up ``sys.stderr`` for each record, for tests and shells replace it during the run."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            stream = sys.stderr
            stream.write(_format(record, colour=wants_colour(stream)) + "\n")
            stream.flush()
        except Exception:
            self.handleError(record)


def wants_colour(stream: TextIO) -> bool:
    """Whether a person looks at ``stream`` in a terminal and has not asked for plain text (NO_COLOR)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


_PLAIN = logging.Formatter("%(message)s")
_LINE = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
_LINE.default_msec_format = "%s.%03d"


def _format(record: logging.LogRecord, *, colour: bool) -> str:
    if record.name == APPLICATION_LOGGER.name:
        # What the application wrote has its own form, and often its own time and level.
        return _PLAIN.format(record)
    text = _LINE.format(record)
    code = _COLOURS.get(record.levelno)
    if colour and code is not None:
        return text.replace(record.levelname, f"\x1b[{code}m{record.levelname}\x1b[0m", 1)
    return text
