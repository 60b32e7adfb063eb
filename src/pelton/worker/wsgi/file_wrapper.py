"""``wsgi.file_wrapper``: a file as a response.

Owns only the Python protocol. The native module recognises exactly this class and, where the file has a
descriptor, sends it from its current position without reading it in Python; in every other case it
iterates. Runs on the request's thread.

What is no regular file (a pipe, a FIFO, a socket, a terminal) may have nothing to give yet. On a
thread ``read`` waits for it. On a greenlet that wait would stop the hub, and with it perhaps whoever writes
at the other end; so there the hub waits, and ``read`` takes only what has come.
"""

from __future__ import annotations

import io
import os
import stat
from typing import Any, Final, Self

from pelton.process.native_threads import is_patched
from pelton.process.readiness import wait_readable

# In place of a descriptor: `read` alone does what is right.
_NONE: Final = -1


class FileWrapper:
    """Iterates over ``filelike`` in blocks of ``blksize`` bytes and closes it in the end.

    Anything with ``read(size)`` will do; ``close`` is called if there is one.
    """

    __slots__ = ("_waited_for", "blksize", "filelike")

    def __init__(self, filelike: Any, blksize: int = 8192) -> None:
        self.filelike = filelike
        self.blksize = blksize
        self._waited_for: int | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if self._waited_for is None:
            self._waited_for = _waited_for(self.filelike)
        if self._waited_for == _NONE:
            block: bytes | None = self.filelike.read(self.blksize)
        else:
            block = _read_waiting(self.filelike, self._waited_for, self.blksize)
        if not block:
            raise StopIteration
        return block

    def close(self) -> None:
        """Close the file."""
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()


def _waited_for(filelike: Any) -> int:
    """The descriptor to wait for before each ``read``, or `_NONE`.

    Only for the file objects of `io`: what another class reads, and from where, nobody else knows.
    """
    raw = filelike.raw if type(filelike) in (io.BufferedReader, io.BufferedRandom) else filelike
    if not isinstance(raw, io.FileIO) or type(raw).readinto is not io.FileIO.readinto:
        return _NONE
    if raw is filelike and type(raw).read is not io.FileIO.read:
        return _NONE
    try:
        descriptor = raw.fileno()
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return _NONE
        # On a thread what is set to block may block.
        return _NONE if os.get_blocking(descriptor) and not is_patched() else descriptor
    except (OSError, ValueError):
        # `read` will say what is wrong.
        return _NONE


def _read_waiting(file: Any, descriptor: int, size: int) -> bytes | None:
    """As ``file.read(size)``, with what has come, and waiting where nothing has."""
    while True:
        blocks = os.get_blocking(descriptor)
        if blocks:
            # For this one call only, in which no greenlet can run: the descriptor is the application's, and
            # may be shared with other processes. To look first would not do, for there may be a buffer.
            os.set_blocking(descriptor, False)
        try:
            block: bytes | None = file.read(size)
        finally:
            if blocks:
                os.set_blocking(descriptor, True)
        if block is not None:
            return block
        wait_readable([descriptor])
