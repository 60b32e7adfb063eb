"""``pelton purge``: a running server forgets kept responses.

Owns the request to the admin listener. Main thread.
"""

from __future__ import annotations

import http.client
import json
import socket
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
    address = parse_address(admin)
    connection: http.client.HTTPConnection
    match address:
        case UnixAddress():
            connection = _UnixConnection(str(address.path))
        case TcpAddress():
            connection = http.client.HTTPConnection(address.host, address.port, timeout=_SECONDS)
        case _:
            raise ConfigError(f"{admin} is no address that can be asked.", "Write host:port or unix:/path.")
    query = urlencode({name: value for name, value in (("target", path), ("tag", tag)) if value})
    try:
        connection.request("POST", f"/cache/purge?{query}", headers={"Content-Length": "0"})
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise PeltonError(f"No server answers on {admin}: {error}.", "It needs --admin-bind.") from None
    finally:
        connection.close()
    if response.status != 200:
        raise PeltonError(f"The server on {admin} says {response.status}: {text.strip()}")
    return int(json.loads(text)["purged"])
