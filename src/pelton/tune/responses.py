"""Reads responses of HTTP/1.1 from bytes, as far as a load generator needs it: status, and where each ends.

Sans-I/O: bytes in, statuses out. Trusts its server, which is pelton.
"""

from __future__ import annotations

from typing import Final

_END: Final = b"\r\n\r\n"
_UNTIL_CLOSE: Final = -1


class ResponseReader:
    """Of one connection. ``begin`` before each request that is sent."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._is_head = False
        self._status = 0
        # None: the head has not come yet. Chunks are counted by what is left of the present one.
        self._left: int | None = None
        self._is_chunked = False
        self.closes = False

    def begin(self, method: str) -> None:
        """A request is sent, and nothing has come of its response."""
        self._is_head, self._status, self._left = method == "HEAD", 0, None
        self._is_chunked = self.closes = False
        self._data.clear()

    def feed(self, data: bytes) -> int | None:
        """The status once the response is complete."""
        self._data += data
        while self._left is None:
            end = self._data.find(_END)
            if end < 0:
                return None
            self._read_head(bytes(self._data[:end]))
            del self._data[: end + len(_END)]
            if 100 <= self._status < 200:
                # An interim response; the final one follows.
                self._left = None
        return self._status if self._is_complete() else None

    def end(self) -> int | None:
        """The connection is closed: complete only where that is the end of the response."""
        return self._status if self._left == _UNTIL_CLOSE else None

    def _read_head(self, head: bytes) -> None:
        line, *fields = head.split(b"\r\n")
        self._status = int(line[9:12])
        self._left, self._is_chunked = _UNTIL_CLOSE, False
        for field in fields:
            name, _, value = field.partition(b":")
            match name.strip().lower():
                case b"content-length":
                    self._left = int(value)
                case b"transfer-encoding":
                    self._left, self._is_chunked = 0, True
                case b"connection":
                    self.closes = value.strip().lower() == b"close"
        if self._is_head or self._status in (204, 304):
            self._left, self._is_chunked = 0, False

    def _is_complete(self) -> bool:
        if self._is_chunked:
            return self._skip_chunks()
        if self._left == _UNTIL_CLOSE:
            self._data.clear()
            return False
        assert self._left is not None
        taken = min(self._left, len(self._data))
        del self._data[:taken]
        self._left -= taken
        return self._left == 0

    def _skip_chunks(self) -> bool:
        while True:
            line = self._data.find(b"\r\n")
            if line < 0:
                return False
            size = int(bytes(self._data[:line]).partition(b";")[0], 16)
            # The chunk's data and the line end behind it; behind the last one, an empty line (no trailers).
            whole = line + 2 + size + 2
            if len(self._data) < whole:
                return False
            del self._data[:whole]
            if size == 0:
                return True
