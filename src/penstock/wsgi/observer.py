"""Tells the log what an application did wrong.

Owns the wording; the client's answer (500, or a connection cut short) is decided by the native module,
which calls this with the request's environ, on the request's thread. The logger is "penstock.request".
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

LOGGER = logging.getLogger("penstock.request")


class LogObserver:
    """Writes one record for each fault, with the request's method and path."""

    def failed(self, environ: Mapping[str, Any], error: BaseException) -> None:
        """The application raised: a record with the traceback."""
        LOGGER.error("%s: the application failed.", _request_line(environ), exc_info=error)

    def misused(self, environ: Mapping[str, Any], message: str) -> None:
        """The application broke a rule of WSGI; ``message`` says which."""
        LOGGER.warning("%s: %s", _request_line(environ), message)


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
    return f"{method} {_printable(path)}"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
