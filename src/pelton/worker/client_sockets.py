"""The clients' sockets that the application has taken, or may take, in one worker.

Owns how many there are, and their end. A request that is offered its client's socket reserves a place, and
gives it back when it is over: a socket that was taken belongs to its request's thread, which does nothing
else as long as the application talks to the client (a WebSocket). So places are threads.

Used by the native worker, on the threads of the requests. `shut_down` is for whoever ends the worker.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import socket
import time
import weakref
from collections.abc import Iterable
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIEnvironment

from pelton import _engine
from pelton.process.native_threads import NativeRLock
from pelton.worker.wsgi.client_socket import ClientSocket, client_socket, waits_in_system
from pelton.worker.wsgi.observer import printable

LOGGER = logging.getLogger("pelton.request")

# How long the client of a finished WebSocket has to close its side. To close ours with its last words unread
# would be a reset, which may overtake what was sent before it.
_LINGER: Final = 2.0
# Between two looks at such a client where waiting must not stop the whole process.
_GLANCE: Final = 0.05
# Descriptors of a worker beside the sockets.
_OTHERS: Final = 512
# Seconds between two lines that tell of refused ones.
_QUIET: Final = 10.0

_BUSY: Final = b"Too many WebSockets are open. Try again later.\n"


class ClientSockets:
    """At most ``limit`` at a time. ``name``: how the log calls this process."""

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        self._lock = NativeRLock()
        self._places = 0
        self._taken: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        # Of sockets whose requests are over and whose clients have not closed their side yet.
        self._lingering: set[int] = set()
        self._is_ending = False
        self._refused = 0
        self._logged_at = float("-inf")

    def offer(
        self, environ: dict[str, Any], descriptor: int, offer: _engine.SocketOffer
    ) -> ClientSocket | None:
        """Put the socket ``descriptor`` of a request's client into its environ.

        None where there is no place for it; the descriptor is closed then. Otherwise `end` has to follow.
        """
        with self._lock:
            is_full = self._places >= self._limit or self._is_ending
            self._places += not is_full
        if is_full:
            socket.close(descriptor)
            return None
        try:
            made = client_socket(descriptor, offer, self, environ["pelton.client_gone"])
        except BaseException:
            self._free()
            raise
        # Under the name that Werkzeug gives it, which flask-sock and python-engineio know.
        environ["werkzeug.socket"] = made
        for name in getattr(made, "also_known_as", ()):
            environ[name] = made
        environ["pelton.client_gone"] = made.client_gone
        # Another thread or greenlet serves in this one's place, also where there is only one.
        environ["wsgi.multithread"] = True
        return made

    def refuse(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The response to a request for which there is no place; a WSGI application."""
        self._tell(environ)
        start_response(
            "503 Service Unavailable",
            [
                ("Content-Type", "text/plain; charset=utf-8"),
                ("Content-Length", str(len(_BUSY))),
                ("Retry-After", "10"),
            ],
        )
        return [_BUSY]

    def end(self, made: ClientSocket) -> None:
        """The request is over. A socket that was taken and is still open is ended with it, as by Werkzeug."""
        try:
            # With a descriptor of our own: the application's other threads may close theirs meanwhile.
            if made.give_back() and (descriptor := made.duplicate()) is not None:
                self._finish(descriptor)
        finally:
            self._free()

    def add(self, taken: socket.socket) -> None:
        """The application has taken this socket."""
        with self._lock:
            self._taken.add(taken)
            is_ending = self._is_ending
        if is_ending:
            _shut(taken)

    def shut_down(self) -> None:
        """Have the readers of all sockets that were taken, and of those to come, see their end."""
        with self._lock:
            self._is_ending = True
            taken = list(self._taken)
            for descriptor in self._lingering:
                _engine.SocketOffer.shut_reading(descriptor)
        for one in taken:
            _shut(one)

    @property
    def places(self) -> int:
        """How many are taken or offered now."""
        with self._lock:
            return self._places

    def _free(self) -> None:
        with self._lock:
            self._places -= 1

    def _finish(self, descriptor: int) -> None:
        with self._lock:
            self._lingering.add(descriptor)
            linger = 0.0 if self._is_ending else _LINGER
        try:
            _finish(descriptor, linger)
        finally:
            with self._lock:
                self._lingering.remove(descriptor)
            os.close(descriptor)

    def _tell(self, environ: WSGIEnvironment) -> None:
        now = time.monotonic()
        with self._lock:
            self._refused += 1
            if self._is_ending or now < self._logged_at + _QUIET:
                return
            refused, self._refused, self._logged_at = self._refused, 0, now
        LOGGER.warning(
            "%s has %d WebSockets, as many as it may (--websocket-threads): %d more got 503, the last at %s.",
            self._name,
            self._limit,
            refused,
            printable(str(environ.get("PATH_INFO", "")))[:200],
        )


def make_room(sockets: int) -> None:
    """Raise this process's limit of open files, if need be and as far as it may be, for so many sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = sockets + _OTHERS if hard == resource.RLIM_INFINITY else min(sockets + _OTHERS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _shut(taken: socket.socket) -> None:
    if isinstance(taken, ClientSocket):
        taken.shut_reading()
        return
    # A copy that the application has made. Not by its own method: gevent's raises in whoever reads.
    with contextlib.suppress(OSError):
        if (descriptor := taken.fileno()) >= 0:
            _engine.SocketOffer.shut_reading(descriptor)


def _finish(descriptor: int, linger: float) -> None:
    if waits_in_system():
        _engine.SocketOffer.finish(descriptor, linger)
        return
    _engine.SocketOffer.shut_writing(descriptor)
    deadline = time.monotonic() + linger
    while not _engine.SocketOffer.is_closed(descriptor) and time.monotonic() < deadline:
        time.sleep(_GLANCE)
    _engine.SocketOffer.finish(descriptor, 0.0)
