"""``wsgi.errors``: a text stream that ends in the log.

Owns the way from ``write`` to the logger "pelton.application". Flask's own log lines come through here
too, ready formatted; the log of the command therefore shows them as they are (`pelton.logs.setup`), and
who configures logging can send them elsewhere. Used from every request's thread.
"""

from __future__ import annotations

import io
import threading

from pelton.logs.formats import APPLICATION_LOGGER as LOGGER


class ErrorStream(io.TextIOBase):
    """Makes one log record of each complete line, or of all lines that one ``write`` completes.

    A traceback written at once stays one record. What has no line end yet waits for it, or for ``flush``,
    apart for each thread, so that two requests never share a line.
    """

    def __init__(self) -> None:
        self._unfinished = threading.local()

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, text: str, /) -> int:
        """Log the lines that ``text`` completes; returns its length."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        lines, end, rest = (self._take() + text).rpartition("\n")
        if end:
            _log(lines)
        self._unfinished.text = rest
        return len(text)

    def flush(self) -> None:
        """Log what this thread has written since its last line end."""
        text = self._take()
        if text:
            _log(text)

    def close(self) -> None:
        """Do nothing: an application may only write here, and all of them share the stream."""

    def _take(self) -> str:
        text: str = getattr(self._unfinished, "text", "")
        self._unfinished.text = ""
        return text


def _log(text: str) -> None:
    # Error, because the stream is for errors: its lines must not vanish with the usual level filters.
    LOGGER.error("%s", text)
