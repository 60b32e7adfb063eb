"""The client's socket for applications under eventlet, which WebSockets need: eventlet's own, made complete.

Owns what eventlet's class lacks to be what `pelton.worker.wsgi.client_socket` builds on, and the name under
which code for eventlet's own server looks for the socket. Only for sockets of clients: the application's
others are what eventlet gives it. Imported by the runner, where eventlet is.
"""

from __future__ import annotations

import socket
from typing import Any, Final, Self

from eventlet import hubs
from eventlet.greenio import GreenSocket
from eventlet.patcher import original

_PlainSocket: Final = original("socket").socket


class EventletClientSocket(GreenSocket):  # type: ignore[misc]  # (eventlet has no types)
    """A green socket whose methods are all of its class.

    eventlet puts some of the inner socket's into each object, where they hide those of a class derived from
    it; and those that it does not know at all would not wait with the hub.
    """

    # Flask-SocketIO's and eventlet's own WebSockets ask this entry of the environ for `get_socket`.
    also_known_as = ("eventlet.input",)

    def __init__(self, *arguments: Any, **others: Any) -> None:
        super().__init__(*arguments, **others)
        for name in _INNER:
            self.__dict__.pop(name, None)
        self.__dict__.pop("close", None)

    def get_socket(self) -> Self:
        """Itself."""
        return self

    def close(self) -> None:
        """As of any socket. Who waits for it sees the end, where eventlet would leave him waiting."""
        if (number := self.fd.fileno()) >= 0 and not self.fd._io_refs:
            hubs.notify_opened(number)
        self.fd.close()

    def settimeout(self, value: float | None, /) -> None:
        """Seconds, or None; without `setblocking`, which a derived class may build on this."""
        if value is None:
            self.act_non_blocking, self._timeout = False, None
        else:
            super().settimeout(value)

    def recvmsg(self, size: int, *others: int) -> Any:
        """As of any socket."""
        return self._recv_loop(self.fd.recvmsg, (b"", [], 0, None), size, *others)

    def recvmsg_into(self, buffers: Any, *others: int) -> Any:
        """As of any socket."""
        return self._recv_loop(self.fd.recvmsg_into, (0, [], 0, None), buffers, *others)

    def sendmsg(self, buffers: Any, *others: Any) -> int:
        """As of any socket."""
        sent: int = self._send_loop(self.fd.sendmsg, buffers, *others)
        return sent

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """As of any socket; with `send`, since the system's way would wait for the client."""
        sent: int = _PlainSocket._sendfile_use_send(self, file, offset, count)
        return sent

    def _recv_loop(self, receive: Any, nothing: Any, *arguments: Any) -> Any:
        try:
            return super()._recv_loop(receive, nothing, *arguments)
        except EOFError:
            # It was closed meanwhile.
            return nothing


def _inner(name: str) -> Any:
    def method(self: EventletClientSocket, *arguments: Any) -> Any:
        return getattr(self.fd, name)(*arguments)

    method.__name__ = name
    return method


_INNER: Final = (
    *("bind", "detach", "fileno", "listen", "shutdown"),
    *("getpeername", "getsockname", "getsockopt", "setsockopt"),
)
for _name in _INNER:
    setattr(EventletClientSocket, _name, _inner(_name))
assert issubclass(EventletClientSocket, socket.socket), "eventlet has not patched"
