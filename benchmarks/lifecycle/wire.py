"""One keep-alive connection of a client that repairs nothing: what happened to a request is told apart
exactly.

A request that was sent and got no single byte back is lost even if the server closed in good order: a client
cannot know whether it was carried out. A connection that the server closed while nothing was asked is no
loss, and a careful client looks before it sends (as urllib3 and every proxy do); `ended` is that look.
"""

import asyncio
import contextlib
import socket
from dataclasses import dataclass

from benchmarks.peers import HOST

_PIECE = 64 * 1024


class LostError(Exception):
    """The request was sent, and the connection ended before any byte of a response."""


class CutError(Exception):
    """The connection ended in the middle of a response."""


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes
    # 0 when the response does not say which process made it
    worker: int
    announces_close: bool


class Connection:
    """Use `open`; `close` may be called twice."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Raises OSError when the server takes no connection."""
        made = socket.socket()
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.get_running_loop().sock_connect(made, (HOST, port))
        except BaseException:
            made.close()
            raise
        return cls(made)

    def ended(self) -> bool:
        """Whether the server has closed, while nothing was asked."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        # An end of file, or bytes that nobody has asked for.
        return True

    async def ask(self, path: str) -> Response:
        """Send a GET and read its response. Raises LostError or CutError."""
        received = b""
        try:
            await self._loop.sock_sendall(
                self._socket, f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
            )
            while (response := _parse(received)) is None:
                piece = await self._loop.sock_recv(self._socket, _PIECE)
                if not piece:
                    raise ConnectionResetError
                received += piece
        except OSError as error:
            if received:
                raise CutError(repr(received[:200])) from error
            raise LostError from error
        return response

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()


def _parse(received: bytes) -> Response | None:
    """The response, once it is complete. All servers here answer a GET of this application with
    Content-Length."""
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return None
    lines = head.split(b"\r\n")
    fields = {}
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip()
    length = int(fields.get(b"content-length", b"0"))
    if len(body) < length:
        return None
    return Response(
        status=int(lines[0].split()[1]),
        body=body[:length],
        worker=int(fields.get(b"x-worker", b"0")),
        announces_close=b"close" in fields.get(b"connection", b"").lower(),
    )
