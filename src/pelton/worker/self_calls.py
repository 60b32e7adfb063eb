"""Requests of the application to its own server, seen from the worker that makes them: who waits for whom.

Owns the search for the caller and the wording of the report. The caller is the request on whose thread the
client's end of the connection lies: a socket in one of its frames, from the innermost outwards. That a
request waits, and that its client is this process, the front has found out before.

The report is made on the thread that was made for the called request, before that runs: until then the caller
waits and can be looked at. Runs no code of the application.
"""

from __future__ import annotations

import _socket
import inspect
import logging
import socket
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import FrameType
from typing import Final

from pelton.config.address import TcpAddress, UnixAddress
from pelton.diagnostics.reading import attribute
from pelton.diagnostics.report_log import ReportLog
from pelton.diagnostics.stacks import stack_of
from pelton.net.listeners import Listener
from pelton.process.native_threads import NativeRLock
from pelton.worker.runners.threads import ThreadsRunner
from pelton.worker.wsgi.observer import printable

LOGGER = logging.getLogger("pelton.request")

# Between two reports about the same caller.
_QUIET_SECONDS: Final = 60.0
# Callers of whom that is remembered; paths are the client's choice.
_MOST_PATHS: Final = 1000
_MOST_PATH: Final = 200
_MOST_FRAMES: Final = 200
_MOST_VARIABLES: Final = 200
# Requests that are named, each with its stack, where it could be any of them.
_MOST_NAMED: Final = 5
# Under which http.client, urllib3, httpcore and the like keep the socket.
_ATTRIBUTES: Final = ("_sock", "sock", "_socket", "socket")
_SERVE: Final = ThreadsRunner._serve.__code__

# Method and path.
Request = tuple[str, str]


class OwnAddresses:
    """Where this server listens, so that a socket can be distinguished from one to somebody else."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        addresses = [one.address for one in listeners]
        self._ports = {one.port for one in addresses if isinstance(one, TcpAddress)}
        self._paths = {str(one.path) for one in addresses if isinstance(one, UnixAddress)}

    def is_call(self, found: socket.socket, port: int) -> bool:
        """Whether it is connected to this server, from ``port`` (0: by a unix socket)."""
        # The methods of the class in C: subclasses, such as that of TLS, may have others.
        try:
            peer = _socket.socket.getpeername(found)
            if isinstance(peer, tuple):
                own = _socket.socket.getsockname(found)
                return bool(own[1] == port and (peer[1] in self._ports or not self._ports))
        except OSError:
            return False
        return port == 0 and peer in self._paths


def caller(port: int, addresses: OwnAddresses, threads: Collection[int]) -> int | None:
    """Which of these threads (idents) waits with a connection to this server that comes from ``port``."""
    frames = sys._current_frames()
    for ident in threads:
        for frame in _outwards(frames.get(ident)):
            if any(addresses.is_call(one, port) for one in _sockets(frame)):
                return ident
    return None


def serving_threads() -> set[int]:
    """The threads of this process (idents) in which requests run, whatever they are called."""
    return {
        ident
        for ident, frame in sys._current_frames().items()
        if any(one.f_code is _SERVE for one in _outwards(frame, sys.maxsize))
    }


def _outwards(frame: FrameType | None, most: int = _MOST_FRAMES) -> Iterator[FrameType]:
    count = 0
    while frame is not None and count < most:
        yield frame
        frame = frame.f_back
        count += 1


def _sockets(frame: FrameType) -> Iterator[socket.socket]:
    # Those of a module are its globals: nobody's own.
    if not frame.f_code.co_flags & inspect.CO_OPTIMIZED:
        return
    for value in list(frame.f_locals.values())[:_MOST_VARIABLES]:
        for found in (value, *(attribute(value, name) for name in _ATTRIBUTES)):
            if issubclass(type(found), socket.socket):
                yield found


class SelfCallLog:
    """Reports calls of the application to its own server.

    ``name``: how the log calls this process. ``permits``: how many requests it runs at the same time.
    """

    def __init__(self, listeners: Sequence[Listener], *, name: str, permits: int) -> None:
        self._addresses = OwnAddresses(listeners)
        self._name = name
        self._permits = permits
        self._log = ReportLog(LOGGER, level=logging.WARNING)
        self._lock = NativeRLock()
        self._reported: dict[str, float] = {}

    def called_itself(
        self, called: Request, port: int, is_lent: bool, running: Mapping[int, Request]
    ) -> None:
        """``called`` waits, and its client is this process, by ``port`` (0: by a unix socket).

        ``running``: what the serving threads (idents) run. ``is_lent``: a permit was lent to it. Writes one
        report a minute about each caller.
        """
        thread = caller(port, self._addresses, running)
        who = _named(running[thread]) if thread is not None else ""
        if self._is_due(who):
            self._log.write(self._message(_named(called), who, thread, is_lent, running))

    def _is_due(self, who: str) -> bool:
        now = time.monotonic()
        with self._lock:
            if now - self._reported.get(who, -_QUIET_SECONDS) < _QUIET_SECONDS:
                return False
            if len(self._reported) >= _MOST_PATHS:
                self._reported.clear()
            self._reported[who] = now
            return True

    def _message(
        self, called: str, who: str, thread: int | None, is_lent: bool, running: Mapping[int, Request]
    ) -> str:
        if thread is None:
            # In a thread or a process that the request has started, or in a client written in C.
            several = sorted({_named(one) for one in running.values()})[:_MOST_NAMED]
            who = f"The application (perhaps {' or '.join(several)})" if several else "The application"
        outcome = (
            "A thread more was lent to it, or both would have waited for each other."
            if is_lent
            else "They wait for each other until --queue-timeout, as --self-call is warn."
        )
        threads = "its only thread" if self._permits == 1 else f"all of its {self._permits} threads"
        at_once = "one such request" if self._permits == 1 else f"{self._permits} such requests at once"
        takes = "takes" if self._permits == 1 else "take"
        lines = [
            f"{who} in {self._name} calls this server itself: it waits for {called}, which waits for a "
            f"thread. {outcome} It is a trap: {at_once} {takes} {threads}, and none is left for what they "
            "wait for. Call the function instead of the URL, or make the call outside of the request. More "
            "--threads only make it rarer."
        ]
        if thread is None:
            lines.append("Which thread calls could not be found: its socket is in none of the Python stacks.")
        shown = list(running) if thread is None else [thread]
        lines += [f"{_named(running[one])} is here:\n{stack_of(one)}" for one in shown[:_MOST_NAMED]]
        lines.append(f"{called} has no stack: it had not begun.")
        return "\n".join(lines)


def _named(request: Request) -> str:
    method, path = request
    path = path if len(path) <= _MOST_PATH else f"{path[:_MOST_PATH]}…"
    return f"{printable(method)} {printable(path)}"
