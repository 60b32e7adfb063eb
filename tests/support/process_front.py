"""A front in a process of its own, and its only worker in the test's: what a worker process is to a front.

So the tests whose applications are functions of their own meet the link between processes, too: memory
files, pieces copied through rings, descriptors sent along. Offers what tests use of `pelton.Running`.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import pickle
import socket
import subprocess
import sys
import threading
from pathlib import Path
from wsgiref.types import WSGIApplication

from pelton import _engine
from pelton.config.settings import Settings
from pelton.config.worker_kinds import kind_of
from pelton.logs.access import OFF
from pelton.net.opened import Opened, open_all
from pelton.sizing.limits import bounded
from pelton.worker.worker import build_runner
from support.front_server import MOST_BYTES, Order
from support.waiting import DEADLINE

# Whoever holds up the end of a server is seen by its threads that stay.
_LAST_MOMENT = 1.0


class ProcessFront:
    """A server whose worker is this process. Started when it is made."""

    def __init__(self, app: WSGIApplication, settings: Settings) -> None:
        settings = bounded(settings)
        opened = open_all(settings)
        permits = kind_of(settings).permits(settings)
        memory, bodies = _engine.link_memory(permits), _engine.body_memory()
        doorbell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        front_end, worker_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.settimeout(DEADLINE)
        # Held while one question is answered.
        self._lock = threading.Lock()
        self._listeners = opened.listeners
        self._has_ended = False
        with front_end, worker_end, theirs:
            log = [] if opened.access_log == OFF else [opened.access_log]
            statsd = [] if opened.statsd == OFF else [opened.statsd]
            order = Order(
                settings, bool(log), bool(statsd), len(opened.admin_listeners), permits, os.getpid()
            )
            socket.send_fds(
                _front_server(),
                [pickle.dumps(order)],
                [
                    *(*log, *statsd, *(one.socket.fileno() for one in opened.all_listeners)),
                    *(bodies, doorbell, memory, front_end.fileno(), theirs.fileno()),
                ],
            )
            link = _engine.Link.joined(permits, memory, bodies, doorbell, worker_end.fileno())
        for one in (memory, bodies, doorbell):
            os.close(one)
        self._runner = build_runner(app, link, opened.listeners, settings)
        self._runner.start()
        self._opened: Opened = opened
        self._counters: dict[str, int] = {}
        self._receive()
        for listener in opened.all_listeners:
            listener.hand_over()

    @property
    def addresses(self) -> list[str]:
        """As of `pelton.Running`."""
        return [str(listener) for listener in self._listeners]

    def counters(self) -> dict[str, int]:
        """As of `pelton.Running`; after the end the last ones."""
        with self._lock:
            if not self._has_ended:
                self._line.send(b"counters")
                self._receive()
            return self._counters

    def stop(self) -> None:
        """As of `pelton.Running`."""
        with self._lock:
            if not self._has_ended:
                self._has_ended = True
                self._line.send(b"stop")
                self._receive()
                self._line.close()
        self._runner.stop()
        self._runner.join(_LAST_MOMENT)
        self._opened.close()

    def wait(self, timeout: float) -> bool:
        """Whether it has ended."""
        return self._has_ended

    def _receive(self) -> None:
        data = self._line.recv(MOST_BYTES)
        assert data, "the front process has ended"
        self._counters = json.loads(data)
        assert "error" not in self._counters, self._counters


@functools.cache
def _front_server() -> socket.socket:
    """Where to send orders."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_BYTES)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "support.front_server", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )

    def end() -> None:
        ours.close()
        process.wait(DEADLINE)

    atexit.register(end)
    return ours
