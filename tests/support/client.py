"""The one HTTP client of the suites: a socket, and a reader that accepts nothing but correct answers.

It sends exactly the bytes it is given, in as many pieces as the test wants, and it never repairs, follows or
retries anything. `Client.response` reads one response and checks what holds for all of them: the form of each
line, the fields that must be there, and one way (not two) to tell where the body ends. What a response means
for a test is the test's business.
"""

from __future__ import annotations

import _socket
import functools
import json
import re
import socket
import ssl
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from support.waiting import DEADLINE

Fields = Iterable[tuple[str, str]]

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)")
# RFC 9110 section 5.6.2 (token) and 5.5 (no control characters, no white space around the value).
_FIELD = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?"
    rb"((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)"
)
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}")
_DIGITS = re.compile(r"[0-9]+")
_DATE = re.compile(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT")


class WrongResponseError(AssertionError):
    """The server sent something that is no correct HTTP."""


class CutOffError(AssertionError):
    """The connection ended before the response did. ``received``: what had come of the body."""

    def __init__(self, message: str, received: bytes = b"") -> None:
        super().__init__(message)
        self.received = received


@dataclass
class Head:
    """Status line and fields of a response, and how its body ends."""

    status: int
    reason: str
    fields: list[tuple[str, str]]
    framing: Literal["none", "length", "chunked", "close"]
    length: int = 0

    def all(self, name: str) -> list[str]:
        """The values of every field with this name, in order."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """The value of a field that may be there once."""
        values = self.all(name)
        if len(values) > 1:
            raise WrongResponseError(f"{name} is repeated: {values}")
        return values[0] if values else None

    @property
    def keeps_connection(self) -> bool:
        """Whether another request may follow."""
        return "close" not in (self.get("Connection") or "").lower()


@dataclass
class Response(Head):
    """A whole response."""

    body: bytes = b""
    # The data of each chunk, if it came in chunks.
    chunks: list[bytes] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode()

    def json(self) -> Any:
        """What the body means as JSON."""
        return json.loads(self.body)


def request(
    method: str = "GET",
    target: str = "/",
    fields: Fields = (),
    body: bytes | None = None,
    *,
    version: str = "1.1",
    host: str | None = "test.example",
) -> bytes:
    """A request as bytes; Content-Length is added for a ``body``, Host unless it is None."""
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    lines.extend(f"{name}: {value}" for name, value in fields)
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def chunked(pieces: Iterable[bytes], trailer: Fields = ()) -> bytes:
    """``pieces`` as a chunked body; an empty one would end it, so there must be none."""
    coded = []
    for piece in pieces:
        if not piece:
            raise ValueError("an empty chunk is the end of the body")
        coded.append(b"%x\r\n%b\r\n" % (len(piece), piece))
    end = "".join(f"{name}: {value}\r\n" for name, value in trailer)
    return b"".join([*coded, b"0\r\n", end.encode("latin-1"), b"\r\n"])


@functools.cache
def socket_class() -> type[socket.socket]:
    """A class that tells a reset from an end, as the system's does and eventlet's does not."""
    # Any of these is a class of eventlet's, which has no types.
    green: Any = socket.socket
    if issubclass(green, _socket.socket) or not hasattr(green, "_recv_loop"):
        return socket.socket

    class Honest(green):  # type: ignore[misc]
        def _recv_loop(self, receive: Callable[..., Any], nothing: Any, *arguments: Any) -> Any:
            met: list[ConnectionResetError] = []

            def noted(*others: Any) -> Any:
                try:
                    return receive(*others)
                except ConnectionResetError as error:
                    met.append(error)
                    raise

            got = super()._recv_loop(noted, nothing, *arguments)
            if met:
                raise met[0]
            return got

    return Honest


class Client:
    """One connection. A context manager; closing twice does no harm.

    ``address`` as pelton shows it: ``http://127.0.0.1:8000``, ``http://[::1]:8000`` or ``unix:/path``.
    ``receive_buffer``: how much the kernel may hold for a reader that is to look slow. With ``tls`` it is
    encrypted.
    """

    def __init__(
        self, address: str, *, receive_buffer: int | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        if address.startswith("unix:"):
            self.socket = socket_class()(socket.AF_UNIX, socket.SOCK_STREAM)
            target: Any = address.removeprefix("unix:")
        else:
            parts = urlsplit(address)
            family = socket.AF_INET6 if ":" in (parts.hostname or "") else socket.AF_INET
            self.socket = socket_class()(family, socket.SOCK_STREAM)
            # Each send of a test is to arrive on its own.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            target = (parts.hostname, parts.port)
        try:
            if receive_buffer is not None:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.socket.settimeout(DEADLINE)
            self.socket.connect(target)
            if tls is not None:
                self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        except BaseException:
            self.socket.close()
            raise
        self._buffer = bytearray()
        self._ended = False
        # Of the response whose body is being read.
        self._head: Head | None = None
        self._left = 0

    # Sending

    def send(self, data: bytes) -> Self:
        """Send all of ``data``."""
        self.socket.sendall(data)
        return self

    def send_bytewise(self, data: bytes) -> Self:
        """Send each byte on its own, until the server does not want any more."""
        try:
            for number in range(len(data)):
                self.socket.sendall(data[number : number + 1])
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self

    def finish_sending(self) -> Self:
        """Close the sending direction only; answers can still be read."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    # Receiving

    def ask(self, data: bytes, *, method: str | None = None) -> Response:
        """Send a request and read its response."""
        return self.send(data).response(method or data.split(b" ", 1)[0].decode("latin-1"))

    def response(self, method: str = "GET") -> Response:
        """Read the final response to a request with this method, to its end. Interim ones are passed over."""
        head = self.head(method)
        if head.status < 200:
            raise WrongResponseError(f"an interim answer: {head.status}")
        pieces = []
        try:
            while piece := self.piece():
                pieces.append(piece)
        except CutOffError as error:
            error.received = b"".join(pieces) + error.received
            raise
        chunks = pieces if head.framing == "chunked" else []
        return Response(
            head.status, head.reason, head.fields, head.framing, head.length, b"".join(pieces), chunks
        )

    def head(self, method: str = "GET") -> Head:
        """Read a status line and its fields. A body, if there is one, is read with `piece`."""
        match = _STATUS_LINE.fullmatch(self._line("status line"))
        if match is None:
            raise WrongResponseError("malformed status line")
        status, reason = int(match[1]), match[2].decode("latin-1")
        fields: list[tuple[str, str]] = []
        while line := self._line("field"):
            part = _FIELD.fullmatch(line)
            if part is None:
                raise WrongResponseError(f"malformed field: {line!r}")
            fields.append((part[1].decode("latin-1"), part[2].decode("latin-1")))
        self._head = _checked(Head(status, reason, fields, "none"), method)
        self._left = self._head.length
        return self._head

    def piece(self) -> bytes:
        """The next part of the body as it comes: a whole chunk, or what is there; empty at the end."""
        head = self._head
        if head is None or head.framing == "none":
            return b""
        match head.framing:
            case "length":
                data = self._some(self._left)
                self._left -= len(data)
                if not data and self._left:
                    raise CutOffError(f"the body ends {self._left} bytes before its Content-Length")
            case "chunked":
                data = self._chunk()
            case "close":
                data = self._some(1 << 20)
        if not data:
            self._head = None
        return data

    def closed(self) -> bool:
        """Wait for the server to say something or to close; True if it closed in order without a word."""
        return not self._buffer and not self._fill()

    def wait_readable(self) -> Self:
        """Wait until at least one byte has come; nothing is taken, so to the server this is no reading."""
        if not self._buffer and not self.socket.recv(1, socket.MSG_PEEK):
            raise CutOffError("the connection has ended")
        return self

    # Ending

    def reset(self) -> None:
        """End the connection as a crashed client does (over TCP with a reset)."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """End the connection."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()

    # Bytes

    def _fill(self) -> bool:
        if not self._ended:
            data = self.socket.recv(1 << 18)
            self._ended = not data
            self._buffer += data
        return not self._ended

    def _line(self, what: str) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            if not self._fill():
                raise CutOffError(f"the connection ends before the end of a {what}: {bytes(self._buffer)!r}")
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise WrongResponseError(f"a {what} with a wrong line end: {line!r}")
        return line[:-2]

    def _some(self, most: int) -> bytes:
        if most == 0 or (not self._buffer and not self._fill()):
            return b""
        data = bytes(self._buffer[:most])
        del self._buffer[:most]
        return data

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            if not self._fill():
                raise CutOffError("the connection ends within a chunk", bytes(self._buffer))
        return self._some(count)

    def _chunk(self) -> bytes:
        line = self._line("chunk size")
        if not _CHUNK_SIZE.fullmatch(line):
            raise WrongResponseError(f"malformed chunk size: {line!r}")
        size = int(line, 16)
        data = self._exactly(size)
        if self._exactly(2) != b"\r\n":
            raise WrongResponseError("a chunk is longer than its size, or has a trailer")
        return data


def _checked(head: Head, method: str) -> Head:
    """``head`` with its framing, after checking what every response must fulfil."""
    length, coding = head.get("Content-Length"), head.get("Transfer-Encoding")
    if length is not None and coding is not None:
        raise WrongResponseError("both Content-Length and Transfer-Encoding")
    if length is not None and not _DIGITS.fullmatch(length):
        raise WrongResponseError(f"Content-Length: {length!r}")
    if coding is not None and coding != "chunked":
        raise WrongResponseError(f"Transfer-Encoding: {coding!r}")
    if head.status < 200:
        if head.fields and head.status != 103:
            raise WrongResponseError(f"an interim answer with fields: {head.fields}")
        return head
    for name in ("Date", "Server"):
        if not head.get(name):
            raise WrongResponseError(f"no {name}")
    if not _DATE.fullmatch(head.get("Date") or ""):
        raise WrongResponseError(f"Date: {head.get('Date')!r}")
    if head.status in (204, 304) or method == "HEAD":
        if head.status == 204 and (length or coding):
            raise WrongResponseError("204 with a body's length")
        if coding and method != "HEAD":
            raise WrongResponseError("304 with a coding")
    elif length is not None:
        head.framing, head.length = "length", int(length)
    elif coding is not None:
        head.framing = "chunked"
    else:
        head.framing = "close"
        if head.keeps_connection:
            raise WrongResponseError("nothing says where the body ends")
    return head
