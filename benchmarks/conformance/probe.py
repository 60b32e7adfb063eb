"""Sends bytes to a server and says what came of it, without any expectation."""

import json
import re
import socket
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers import HOST

# Nothing at all is said: the server waits. Something was said: what follows follows at once.
SILENCE_SECONDS = 1.5
QUIET_SECONDS = 0.4
LONGEST = 1 << 20

_STATUS_LINE = re.compile(rb"HTTP/[0-9.]+ ([0-9]{3})[^\r\n]*\r?\n")


@dataclass
class Response:
    status: int
    fields: dict[str, str]
    body: bytes
    # Whether the body had the length that it should have.
    whole: bool

    @property
    def seen(self) -> dict[str, Any]:
        """What the application says it was given; empty if it was not asked."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


@dataclass
class Outcome:
    """What came back on one connection."""

    responses: list[Response] = field(default_factory=list)
    interim: list[int] = field(default_factory=list)
    closed: bool = False
    # Bytes that are no response.
    rubbish: bytes = b""
    raw: bytes = b""

    @property
    def statuses(self) -> list[int]:
        return [response.status for response in self.responses]

    def seen(self) -> dict[str, Any]:
        """What the application was given first."""
        return next((response.seen for response in self.responses if response.seen), {})


def probe(port: int, wire: bytes, *, head_request: bool = False, finish: bool = False) -> Outcome:
    """Send ``wire``; with ``finish``, say that nothing follows."""
    outcome = Outcome()
    with socket.create_connection((HOST, port), timeout=SILENCE_SECONDS) as connection:
        try:
            connection.sendall(wire)
            if finish:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            # It has closed already; what it said first can still be read.
            pass
        deadline = time.monotonic() + SILENCE_SECONDS
        while len(outcome.raw) < LONGEST and (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            try:
                data = connection.recv(1 << 16)
            except TimeoutError:
                break
            except OSError:
                outcome.closed = True
                break
            if not data:
                outcome.closed = True
                break
            outcome.raw += data
            deadline = time.monotonic() + QUIET_SECONDS
    take_apart(outcome, head_request)
    return outcome


def take_apart(outcome: Outcome, head_request: bool) -> None:
    """Finds the responses in what came."""
    rest = outcome.raw
    while rest:
        line = _STATUS_LINE.match(rest)
        end = re.search(rb"\r?\n\r?\n", rest)
        if line is None or end is None:
            outcome.rubbish = rest
            return
        status = int(line[1])
        fields = {}
        for one in rest[line.end() : end.start()].split(b"\n"):
            name, _, value = one.strip().partition(b":")
            fields[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
        rest = rest[end.end() :]
        if status < 200:
            outcome.interim.append(status)
            continue
        bodiless = status in (204, 304) or head_request
        body, rest, whole = (b"", rest, True) if bodiless else body_of(fields, rest)
        outcome.responses.append(Response(status, fields, body, whole))


def body_of(fields: dict[str, str], rest: bytes) -> tuple[bytes, bytes, bool]:
    """The body, what follows it, and whether it is whole."""
    if "chunked" in fields.get("transfer-encoding", ""):
        body = b""
        while match := re.match(rb"([0-9a-fA-F]+)[^\r\n]*\r\n", rest):
            size = int(match[1], 16)
            rest = rest[match.end() :]
            if size == 0:
                return body, rest[2:], True
            body += rest[:size]
            rest = rest[size + 2 :]
        return body, b"", False
    length = fields.get("content-length", "")
    if length.isdigit():
        return rest[: int(length)], rest[int(length) :], len(rest) >= int(length)
    return rest, b"", True
