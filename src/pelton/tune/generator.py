"""Sends a load and measures what comes back: a process of its own, so that its cost is known and apart.

Owns the loop: so many connections, each with one request at a time, the next as soon as the response is there
(a closed loop). A job comes as JSON by the standard input, what was seen goes as JSON to the standard output.
One thread.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Final

from pelton.tune.responses import ResponseReader

# A response that takes longer is a fault, and its connection is given up.
_LONGEST: Final = 30.0
# How much longer it may go on where hardly anything has ended.
_STRETCH: Final = 3.0
_MOST_TIMES: Final = 200_000


@dataclass
class _Seen:
    """Of one request."""

    times: list[float] = field(default_factory=list)
    count: int = 0
    statuses: dict[str, int] = field(default_factory=dict)

    def add(self, seconds: float, status: int) -> None:
        """One response."""
        self.count += 1
        key = str(status) if status else "none"
        self.statuses[key] = self.statuses.get(key, 0) + 1
        if len(self.times) < _MOST_TIMES:
            self.times.append(seconds)

    def as_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"count": self.count, "statuses": self.statuses, **times_as_json(self.times)}


def times_as_json(times: list[float]) -> dict[str, float]:
    """Mean and quantiles of measured seconds; zeros without any."""
    ordered = sorted(times)
    if not ordered:
        return {"mean_seconds": 0.0, "p50_seconds": 0.0, "p99_seconds": 0.0}
    return {
        "mean_seconds": sum(ordered) / len(ordered),
        "p50_seconds": ordered[len(ordered) // 2],
        "p99_seconds": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
    }


class _Connection:
    """One that sends a request at a time."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._reader = ResponseReader()
        self._unsent = b""
        self._at = 0
        self._socket: socket.socket | None = None
        self.began = 0.0

    def start(self) -> None:
        """Send the next request, over a new connection where there is none."""
        generator = self._generator
        self._at = generator.next_request()
        method, data = generator.requests[self._at]
        if self._socket is None:
            self._socket = socket.create_connection(generator.address, timeout=_LONGEST)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setblocking(False)
            generator.selector.register(self._socket, selectors.EVENT_READ, self)
        self._reader.begin(method)
        self._unsent = data
        self.began = time.monotonic()
        self._send()

    def proceed(self, events: int) -> None:
        """What the selector has seen."""
        if events & selectors.EVENT_WRITE:
            self._send()
        if events & selectors.EVENT_READ:
            self._receive()

    def give_up(self, *, counted: bool) -> None:
        """Close it; the request under way has failed."""
        if self._socket is not None:
            self._generator.selector.unregister(self._socket)
            self._socket.close()
            self._socket = None
        if counted:
            self._generator.done(self, self._at, 0)

    def _send(self) -> None:
        assert self._socket is not None
        was_waiting = bool(self._unsent)
        try:
            sent = self._socket.send(self._unsent)
            self._unsent = self._unsent[sent:]
        except BlockingIOError:
            pass
        except OSError:
            self.give_up(counted=True)
            return
        if self._unsent or (was_waiting and self._generator.wants_write(self._socket)):
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
            self._generator.selector.modify(self._socket, events, self)

    def _receive(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        status = self._reader.feed(data) if data else self._reader.end()
        if not data or (status is not None and self._reader.closes):
            self.give_up(counted=False)
        if status is not None or not data:
            self._generator.done(self, self._at, status or 0)


class Generator:
    """The load of one step."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.address: tuple[str, int] = (job["host"], job["port"])
        self.requests = [(one["method"], one["data"].encode("latin-1")) for one in job["requests"]]
        self.selector = selectors.DefaultSelector()
        self._order: list[int] = job["order"]
        self._next: int = job.get("skip", 0)
        self._connections = [_Connection(self) for _ in range(job["connections"])]
        self._seconds: float = job["seconds"]
        self._warm: float = job["warm_seconds"]
        self._most: int | None = job.get("most_requests")
        self._seen = [_Seen() for _ in self.requests]
        self._all = _Seen()
        self._total = self._failed = 0
        self._counts = self._ends = False

    def next_request(self) -> int:
        """Which one is sent now, in the order of the load."""
        self._next += 1
        return self._order[(self._next - 1) % len(self._order)]

    def wants_write(self, of: socket.socket) -> bool:
        """Whether its selector looks for room."""
        return bool(self.selector.get_key(of).events & selectors.EVENT_WRITE)

    def done(self, connection: _Connection, at: int, status: int) -> None:
        """A response has come, or none (0) will; the next request goes out."""
        self._total += 1
        self._failed += status == 0
        if self._counts:
            seconds = time.monotonic() - connection.began
            self._seen[at].add(seconds, status)
            self._all.add(seconds, status)
        connection.began = 0.0
        if not self._ends and (self._most is None or self._total < self._most):
            connection.start()

    def run(self) -> dict[str, Any]:
        """Until the time is over; then what is under way is waited for."""
        began = time.monotonic()
        computed = time.process_time()
        for connection in self._connections:
            connection.start()
        self._turn(began + self._warm, lambda: False)
        self._counts = True
        counted_from = time.monotonic()
        enough = 2 * len(self._connections)
        self._turn(counted_from + self._seconds, lambda: False)
        self._turn(counted_from + _STRETCH * self._seconds, lambda: self._all.count >= enough)
        self._counts, self._ends = False, True
        seconds = time.monotonic() - counted_from
        cpu, wall = time.process_time() - computed, time.monotonic() - began
        total = self._total
        self._turn(time.monotonic() + 5.0, self._is_idle)
        for connection in self._connections:
            connection.give_up(counted=False)
        return {
            "seconds": seconds,
            "per_second": self._all.count / seconds,
            "cpu_seconds": cpu,
            "wall_seconds": wall,
            "total": total,
            "failed": self._failed,
            **self._all.as_json(),
            "requests": [one.as_json() for one in self._seen],
        }

    def _is_idle(self) -> bool:
        return not any(one.began for one in self._connections)

    def _turn(self, until: float, is_enough: Any) -> None:
        while (left := until - time.monotonic()) > 0 and not is_enough():
            if self._most is not None and self._is_idle():
                return
            for key, events in self.selector.select(min(left, 0.5)):
                key.data.proceed(events)
            now = time.monotonic()
            for connection in self._connections:
                if connection.began and now - connection.began > _LONGEST:
                    connection.give_up(counted=True)


if __name__ == "__main__":
    json.dump(Generator(json.load(sys.stdin)).run(), sys.stdout)
