"""What the command asks of a running server: ``pelton purge``, ``pelton maintenance``.

Owns the requests to the admin listener. Main thread.
"""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlencode

from pelton.config.address import TcpAddress, UnixAddress, parse_address
from pelton.exceptions import ConfigError, PeltonError

_SECONDS = 10


class _UnixConnection(http.client.HTTPConnection):
    """The same over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's file."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(self._path)


def purge(admin: str, path: str | None, tag: str | None) -> int:
    """Forget what fits; everything, where neither is given. Gives how many responses that were.

    Raises PeltonError when the server cannot be asked, or has no cache.
    """
    query = urlencode({name: value for name, value in (("target", path), ("tag", tag)) if value})
    return int(_post(admin, f"/cache/purge?{query}")["purged"])


def maintain(admin: str, *, begins: bool) -> None:
    """Begin or end maintenance. Raises PeltonError when the server cannot be asked."""
    _post(admin, f"/maintenance/{'on' if begins else 'off'}")


def _post(admin: str, target: str) -> dict[str, Any]:
    """What the server says to a request. Raises PeltonError."""
    address = parse_address(admin)
    connection: http.client.HTTPConnection
    match address:
        case UnixAddress():
            connection = _UnixConnection(str(address.path))
        case TcpAddress():
            connection = http.client.HTTPConnection(address.host, address.port, timeout=_SECONDS)
        case _:
            raise ConfigError(f"{admin} is no address that can be asked.", "Write host:port or unix:/path.")
    try:
        connection.request("POST", target, headers={"Content-Length": "0"})
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise PeltonError(f"No server answers on {admin}: {error}.", "It needs --admin-bind.") from None
    finally:
        connection.close()
    if response.status != 200:
        raise PeltonError(f"The server on {admin} says {response.status}: {text.strip()}")
    said: dict[str, Any] = json.loads(text)
    return said
