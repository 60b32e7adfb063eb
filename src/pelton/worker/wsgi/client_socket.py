"""``environ["werkzeug.socket"]``: the client's own socket, for applications that go on as something else.

Owns the socket objects that applications see. Each is a `socket.socket` around a duplicate of the front's
descriptor. Nothing is decided by its being there: the first call that reads, writes, copies or shows the
descriptor *takes* the socket, or finds that the front has been quicker. Until then it must not change
anything about the connection, which may go on as HTTP: two descriptors of one socket share its blocking mode,
so a time-out that is set early is only noted down.

Must not know WebSockets. Methods may be called by any thread of the application. `socket.socket` is looked up
when it is needed, as a worker kind may have put another class there; or it has named one (`build_on`).
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import functools
import os
import socket
from collections.abc import Callable
from typing import Any, Final, Protocol

from pelton import _engine
from pelton.process.native_threads import NativeRLock
from pelton.system import keep_alive_options

# They need the socket for themselves. What only tells something, or sets an option, does not.
_TAKING: Final = (
    *("recv", "recvfrom", "recvmsg", "recv_into", "recvfrom_into", "recvmsg_into"),
    *("send", "sendall", "sendto", "sendmsg", "sendfile"),
    *("makefile", "fileno", "shutdown"),
)

# After a minute of silence, then every 20 s; given up after the sixth without an answer.
_KEEP_ALIVE: Final = keep_alive_options(60, 20, 6)


class Offer(Protocol):
    """The part of `_engine.SocketOffer` that is used here."""

    def take(self) -> None:
        """Make the socket the application's; raises ConnectionError where that is too late."""


class Home(Protocol):
    """Who keeps an account of the sockets that were taken."""

    def add(self, taken: socket.socket) -> None:
        """Such a socket, or a copy of one."""


# The class that a worker kind has for these sockets; without one it is `socket.socket`.
_named: list[type[socket.socket]] = []


def build_on(base: type[socket.socket]) -> None:
    """Have clients' sockets be of this class from now on, and copies of them."""
    _named[:] = [base]


def _base() -> Any:
    return _named[0] if _named else socket.socket


def client_socket(descriptor: int, offer: Offer, home: Home, is_gone: Callable[[], bool]) -> ClientSocket:
    """The socket object around ``descriptor``, which belongs to it from now on.

    ``is_gone`` says whether the client has gone as long as the socket is not taken. Raises OSError, with the
    descriptor closed.
    """
    made: ClientSocket = _class_over(_base())(descriptor, offer, home, is_gone)
    return made


class ClientSocket:
    """What is special about such a socket; the rest is the class behind it in the order of bases."""

    def __init__(self, descriptor: int, offer: Offer, home: Home, is_gone: Callable[[], bool]) -> None:
        self._offer = offer
        self._home = home
        self._is_gone_before = is_gone
        # Held while the descriptor is used by its number, so that it does not come to mean another file. A
        # native one: the end of the server comes on a thread that has no hub.
        self._change = NativeRLock()
        self._is_taken = False
        self._is_over = False
        try:
            super().__init__(fileno=descriptor)  # type: ignore[call-arg]
        except BaseException:
            os.close(descriptor)
            raise
        self._noted_timeout: float | None = self._plain("gettimeout")()

    @property
    def is_taken(self) -> bool:
        """Whether the application has used it."""
        return self._is_taken

    def client_gone(self) -> bool:
        """Whether the client has gone or sends nothing more; what ``environ["pelton.client_gone"]`` is."""
        if not self.is_taken:
            return self._is_gone_before()
        with self._change:
            descriptor = self.descriptor()
            return descriptor < 0 or _engine.SocketOffer.is_closed(descriptor)

    def shut_reading(self) -> None:
        """Have whoever reads from it see the end, if it is open. From any thread."""
        # Not by the object's own method, which gevent's does not allow to other threads.
        with self._change:
            if (descriptor := self.descriptor()) >= 0:
                _engine.SocketOffer.shut_reading(descriptor)

    def duplicate(self) -> int | None:
        """Another descriptor for the same connection, the caller's to close; None if it is closed."""
        with self._change:
            descriptor = self.descriptor()
            return os.dup(descriptor) if descriptor >= 0 else None

    def descriptor(self) -> int:
        """Its number, without taking it; -1 once it is closed."""
        try:
            number: int = self._plain("fileno")()
        except OSError:
            # gevent's way to say that it is closed.
            return -1
        return number

    def give_back(self) -> bool:
        """The request is over: whether the socket was taken. If not, it is closed and cannot be any more."""
        with self._change:
            if not self._is_taken:
                self._is_over = True
        if not self._is_taken:
            self.close()
        return self._is_taken

    def take(self) -> None:
        """Make it the application's. Raises ConnectionError where that is too late."""
        with self._change:
            if self._is_taken:
                return
            if self._is_over:
                raise ConnectionError("the request is over, and so is its socket")
            if self.descriptor() < 0:
                # Nobody would have it then.
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            self._offer.take()
            # The front, which never waits, has had it until now: so this has to be set, whatever it is.
            self._plain("settimeout")(self._noted_timeout)
            self._stay_awake()
            self._is_taken = True
        self._home.add(self)  # type: ignore[arg-type]

    # As of any socket

    def gettimeout(self) -> float | None:
        """Seconds, or None."""
        timeout: float | None = self._plain("gettimeout")() if self._is_taken else self._noted_timeout
        return timeout

    def settimeout(self, value: float | None, /) -> None:
        """Seconds, or None for as long as it takes."""
        with self._change:
            if self._is_taken:
                self._plain("settimeout")(value)
                return
            if value is not None and not value >= 0:
                raise ValueError("Timeout value out of range")
            self._noted_timeout = None if value is None else float(value)

    def setblocking(self, flag: bool, /) -> None:
        """Whether calls wait."""
        self.settimeout(None if flag else 0.0)

    def getblocking(self) -> bool:
        """Whether calls wait."""
        return self.gettimeout() != 0.0

    def dup(self) -> socket.socket:
        """Another object for the same connection."""
        self.take()
        descriptor = self.duplicate()
        if descriptor is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        copy: socket.socket = _base()(fileno=descriptor)
        copy.settimeout(self.gettimeout())
        self._home.add(copy)
        return copy

    def close(self) -> None:
        """Close this descriptor. If the socket was not taken the client gets a response all the same."""
        with self._change:
            self._plain("close")()

    def detach(self) -> int:
        """Give the descriptor away: from now on it is the caller's to close."""
        self.take()
        with self._change:
            number: int = self._plain("detach")()
        return number

    def __repr__(self) -> str:
        state = "taken" if self._is_taken else "over" if self._is_over else "offered"
        return f"<client socket, {state}, fd={self.descriptor()}>"

    def __del__(self) -> None:
        # Without a warning: the server made it, and no rule says who closes it.
        with contextlib.suppress(Exception):
            self.close()

    def _stay_awake(self) -> None:
        # A client that vanishes without a word (a laptop that is shut) would keep its thread for ever, as
        # WebSockets have no time-out of their own. The kernel asks from time to time; it costs no thread.
        if self._plain("getsockopt")(socket.SOL_SOCKET, socket.SO_KEEPALIVE):
            # The application has done it, in its own way.
            return
        with contextlib.suppress(OSError):
            set_option = self._plain("setsockopt")
            set_option(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEP_ALIVE:
                set_option(socket.IPPROTO_TCP, option, value)

    def _plain(self, name: str) -> Any:
        # gevent's class has some of its methods only by __getattr__, of which super() knows nothing.
        parent: Any = super()
        return getattr(parent, name, None) or parent.__getattr__(name)


def waits_in_system() -> bool:
    """Whether calls wait in the system; not so where a worker kind has its own `socket.socket`."""
    return issubclass(socket.socket, _socket.socket)


@functools.cache
def _class_over(base: type[socket.socket]) -> Callable[..., Any]:
    return type("ClientSocket", (ClientSocket, base), {name: _taking(name) for name in _TAKING})


def _taking(name: str) -> Callable[..., Any]:
    def method(self: ClientSocket, *arguments: Any, **others: Any) -> Any:
        if not self.is_taken:
            self.take()
        return self._plain(name)(*arguments, **others)

    method.__name__ = name
    return method
