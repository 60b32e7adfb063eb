"""``wsgi.file_wrapper``: a file as a response.

Owns only the Python protocol. The native module recognises exactly this class and, where the file has a
descriptor, sends it from its current position without reading it in Python; in every other case it
iterates. Runs on the request's thread.
"""

from __future__ import annotations

from typing import Any, Self


class FileWrapper:
    """Iterates over ``filelike`` in blocks of ``blksize`` bytes and closes it in the end.

    Anything with ``read(size)`` will do; ``close`` is called if there is one.
    """

    __slots__ = ("blksize", "filelike")

    def __init__(self, filelike: Any, blksize: int = 8192) -> None:
        self.filelike = filelike
        self.blksize = blksize

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        block: bytes = self.filelike.read(self.blksize)
        if not block:
            raise StopIteration
        return block

    def close(self) -> None:
        """Close the file."""
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()
