"""Access lines as Werkzeug's, through Python's logging.

Owns a pipe that the front writes to as to any access log, and the thread "pelton-access" that reads it. The
pipe is bounded; the thread only logs. The front writes what it has before it ends, and `close` reads all that
is there, so the last lines are not lost.

With worker processes the pipe is made by the supervisor, which must not have a thread, and read in the
front's process: `AccessLines` is made before the fork, `start` is called after it.
"""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import suppress
from datetime import datetime
from typing import Final

from pelton.development.messages import LOGGER, access_line, is_colourful
from pelton.process import native_threads
from pelton.process.readiness import wait_readable

# Peer and status have no space in them. Not json, which has a request id: the application would see that as a
# field that no client sent.
FORM: Final = "%(h)s %(s)s %(r)s"
# Room for a burst while the interpreter is busy elsewhere; the front holds another mebibyte.
_ROOM: Final = 1 << 20
_AT_ONCE: Final = 64 * 1024
# For the last lines; seconds.
_PATIENCE: Final = 5.0


class AccessLines:
    """Made and closed by whoever serves; `start` where the front is."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        with suppress(OSError):
            # The limit for all pipes of a user may be reached; the usual size will do.
            fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, _ROOM)
        # Made by `start`: a copy of the writing end in another process would keep the reader waiting.
        self._closing = self._close = -1
        self._thread: threading.Thread | None = None

    @property
    def path(self) -> str:
        """What the setting ``access_log`` is to be: opening it gives another end to write to."""
        return f"/dev/fd/{self._writer}"

    def start(self) -> None:
        """Begin to read, in a thread."""
        self._closing, self._close = os.pipe()
        self._thread = threading.Thread(target=self._read, name="pelton-access", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Log what is left and end; the front has ended before. May be called again."""
        if self._thread is not None:
            # At once, also under gevent: the thread waits for it.
            native_threads.close(self._close)
            self._thread.join(_PATIENCE)
            if self._thread.is_alive():
                # A handler of the program does not come back; its thread has the descriptors until the end.
                self._thread, self._reader = None, -1
                return
            os.close(self._closing)
            self._thread = None
        if self._reader >= 0:
            os.close(self._reader)
            os.close(self._writer)
            self._reader = self._writer = -1

    def _read(self) -> None:
        """Runs on "pelton-access"."""
        reader, closing = self._reader, self._closing
        colour = is_colourful()
        rest = b""
        is_open = True
        while True:
            if is_open:
                readable = wait_readable([reader, closing])
                # Looked at before the pipe is read: what was written before the end is in it by then.
                is_open = closing not in readable
            try:
                data = native_threads.read(reader, _AT_ONCE)
            except BlockingIOError:
                if not is_open:
                    return
                continue
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                _log(line, colour)


def _log(line: bytes, colour: bool) -> None:
    peer, _, others = line.decode("utf-8", "replace").partition(" ")
    status, _, request = others.partition(" ")
    # A handler of the user may raise, and the next line must still come.
    with suppress(Exception):
        LOGGER.info(
            "%s",
            access_line("" if peer == "-" else peer, status, request, colour=colour, now=datetime.now()),
        )
