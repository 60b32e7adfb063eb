"""How the commands ask a running server.

Owns finding it, and the errors that a person reads. Main thread of a command.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from typing import Any

from pelton.config.address import TcpAddress, UnixAddress, parse_address
from pelton.exceptions import ConfigError, PeltonError
from pelton.observe.runtime import running_servers

ADMIN_VARIABLE = "PELTON_ADMIN"
TOKEN_VARIABLE = "PELTON_ADMIN_TOKEN"
NO_ADMIN = "Is it one of its --admin-bind addresses?"
_LONGEST_REASON = 300


class _UnixConnection(http.client.HTTPConnection):
    """The same over a unix socket."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's file."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def find_server(admin: str | None = None, pid: int | None = None) -> str:
    """The address to ask: that which was named, or the only server of this user. Raises PeltonError."""
    named = admin or os.environ.get(ADMIN_VARIABLE)
    if named:
        return named
    servers = running_servers()
    if pid is not None:
        servers = [one for one in servers if one.pid == pid]
    if not servers:
        which = "" if pid is None else f" with the pid {pid}"
        raise PeltonError(
            f"No running server of this user{which} was found.",
            "Name one: --admin unix:/path, or --admin host:port.",
        )
    if len(servers) > 1:
        pids = ", ".join(str(one.pid) for one in servers)
        raise PeltonError(f"{len(servers)} servers run: {pids}.", "Choose one with --pid.")
    return servers[0].address


def ask(admin: str, path: str, *, method: str = "GET", seconds: float = 30.0) -> bytes:
    """The body of the response. Raises PeltonError for any status but 200."""
    address = parse_address(admin)
    connection: http.client.HTTPConnection
    match address:
        case UnixAddress():
            connection = _UnixConnection(str(address.path), seconds)
        case TcpAddress():
            connection = http.client.HTTPConnection(address.host, address.port, timeout=seconds)
        case _:
            raise ConfigError(f"{admin} is no address that can be asked.", "Write host:port or unix:/path.")
    fields = {"Content-Length": "0"} if method == "POST" else {}
    if token := os.environ.get(TOKEN_VARIABLE):
        fields["Authorization"] = f"Bearer {token}"
    try:
        connection.request(method, path, headers=fields)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise PeltonError(f"No server answers on {admin}: {error}.", "It needs --admin-bind.") from None
    finally:
        connection.close()
    if response.status != 200:
        raise PeltonError(f"The server on {admin} says {response.status}{_reason(response, body)}")
    return body


def _reason(response: http.client.HTTPResponse, body: bytes) -> str:
    """What an admin listener explains in a line; of another server's page, only that it is none."""
    text = body.decode(errors="replace").strip()
    if response.headers.get_content_type() != "text/plain" or len(text) > _LONGEST_REASON or "\n" in text:
        return f". {NO_ADMIN}"
    return f": {text}" if text else "."


def ask_json(admin: str, path: str, *, method: str = "GET", seconds: float = 30.0, expects: str = "") -> Any:
    """The same, read as JSON; ``expects``: a name that is in it. Raises PeltonError where it is not."""
    body = ask(admin, path, method=method, seconds=seconds)
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict) or (expects and expects not in found):
        raise PeltonError(f"What the server on {admin} says is not pelton's. {NO_ADMIN}")
    return found
