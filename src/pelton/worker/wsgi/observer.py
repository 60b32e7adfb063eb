"""Tells the log what an application did wrong.

Owns the wording; the client's response (500, or a connection cut short) is decided by the native module,
which calls this with the request's environ, on the request's thread. The logger is "pelton.request".
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from traceback import walk_tb
from typing import Any, Protocol

from pelton._engine import IncompleteBodyError
from pelton.exceptions import ClientDisconnected, RequestTimeout

LOGGER = logging.getLogger("pelton.request")


class SelfCallReporter(Protocol):
    """Whom to tell of calls of the application to its own server."""

    def called_itself(
        self, called: tuple[str, str], port: int, is_lent: bool, running: Mapping[int, tuple[str, str]]
    ) -> None:
        """See `pelton.worker.self_calls`."""


class LogObserver:
    """Writes one record for each fault, with the request's method and path."""

    def __init__(self, self_calls: SelfCallReporter | None = None) -> None:
        self._self_calls = self_calls

    def failed(self, environ: Mapping[str, Any], error: BaseException) -> None:
        """The application raised: a record with the traceback; only a line if it is an exception of ours."""
        if isinstance(error, RequestTimeout):
            # Its traceback tells no more than the stack that was reported when the time was over. But the
            # thread may have come on since.
            LOGGER.error("%s: was ended by RequestTimeout%s.", _request_line(environ), _where(error))
        elif isinstance(error, ClientDisconnected):
            # As it should be, and as often as clients go.
            LOGGER.debug("%s: its client has gone.", _request_line(environ))
        elif isinstance(error, IncompleteBodyError):
            # The client or its network has gone.
            LOGGER.info("%s: was not read to its end: %s.", _request_line(environ), error)
        else:
            LOGGER.error("%s: the application failed.", _request_line(environ), exc_info=error)

    def misused(self, environ: Mapping[str, Any], message: str) -> None:
        """The application broke a rule of WSGI; ``message`` says which."""
        LOGGER.warning("%s: %s", _request_line(environ), message)

    def called_itself(
        self, called: tuple[str, str], port: int, is_lent: bool, running: Mapping[int, tuple[str, str]]
    ) -> None:
        """A request waits for which another one of this worker waits; called on its own, extra thread."""
        if self._self_calls is not None:
            self._self_calls.called_itself(called, port, is_lent, running)


def printable(text: str) -> str:
    """``text`` in one line of the log: what a client chose must not look like a line of ours."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _where(error: BaseException) -> str:
    where = ""
    for frame, line in walk_tb(error.__traceback__):
        where = f" in {frame.f_code.co_name} ({frame.f_code.co_filename}, line {line})"
    return where


def _request_line(environ: Mapping[str, Any]) -> str:
    # Without the query, which may hold secrets. Escaped, for a client chooses the path and must not write
    # log lines.
    method = str(environ.get("REQUEST_METHOD", "?"))
    raw = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
    try:
        path = raw.encode("latin-1").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        # Not a WSGI text any more: the application has changed its environ.
        path = raw
    return f"{method} {printable(path)}"
