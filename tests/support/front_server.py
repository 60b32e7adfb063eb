"""The process that forks front processes for `support.process_front`: ``python -m support.front_server FD``.

Has no threads, so that it may fork; each child has a native front and talks over a socket of its own until
that is closed. See `Order` for what it is sent.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import socket
import sys
import threading
from dataclasses import dataclass, replace

from pelton import _engine
from pelton.config.settings import Settings
from pelton.logs.statsd import front_statsd
from pelton.static.settings import front_files

MOST_BYTES = 1 << 20
MOST_DESCRIPTORS = 32


@dataclass(frozen=True)
class Order:
    """What one front is made of.

    Beside it travel the descriptors: those of the access log and the statsd if there are any, listeners, the
    five of `_serve`.
    """

    settings: Settings
    has_access_log: bool
    has_statsd: bool
    admin_listeners: int
    permits: int
    pid: int


def main(control: socket.socket) -> None:
    """Until the other end is closed."""
    # Nobody waits for the children.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # A library for greenlets makes its sockets so that they do not block.
    control.setblocking(True)
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, MOST_BYTES, MOST_DESCRIPTORS)
        if not data:
            return
        if os.fork() == 0:
            control.close()
            try:
                _serve(pickle.loads(data), descriptors)
            finally:
                os._exit(0)
        for one in descriptors:
            os.close(one)


def _serve(order: Order, descriptors: list[int]) -> None:
    settings = order.settings
    if order.has_access_log:
        settings = replace(settings, access_log_descriptor=descriptors.pop(0))
    if order.has_statsd:
        settings = replace(settings, **front_statsd(settings, descriptors.pop(0)))
    settings = replace(settings, static_files=front_files(settings))
    *listeners, bodies, doorbell, memory, link, talk = descriptors
    with socket.socket(fileno=talk) as line:
        line.setblocking(True)
        first_admin = len(listeners) - order.admin_listeners
        described = [
            (one, "application" if place < first_admin else "admin", False)
            for place, one in enumerate(listeners)
        ]
        try:
            front = _engine.Front(
                settings,
                described,
                None,
                bodies=bodies,
                doorbell=doorbell,
            )
            front.start()
            front.add_worker(1, order.pid, order.permits, memory, link, 0)
        except (OSError, ValueError) as error:
            line.send(json.dumps({"error": str(error)}).encode())
            return
        for one in descriptors[:-1]:
            os.close(one)
        front.accept()
        threading.Thread(target=_print, args=(front,), daemon=True).start()
        while True:
            line.send(json.dumps(front.counters()).encode())
            if line.recv(100) != b"counters":
                break
        front.stop()
        front.join()
        # The test process may be gone.
        with contextlib.suppress(OSError):
            line.send(json.dumps(front.counters()).encode())


def _print(front: _engine.Front) -> None:
    while (notice := front.next_notice()) is not None:
        print("front process:", notice.level, notice.message, notice.event, file=sys.stderr, flush=True)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as given:
        main(given)
