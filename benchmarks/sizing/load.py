"""Clients on one thread: a burst, a closed loop, an open loop. Each request's latency is kept."""

import random
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

HOST = "127.0.0.1"
# Nobody waits longer for one response.
LONGEST = 60.0


@dataclass
class Outcome:
    """What came of a load: the latencies of each path, and how long all of it took."""

    seconds: float = 0.0
    latencies: dict[str, list[float]] = field(default_factory=dict)
    failed: int = 0

    @property
    def served(self) -> int:
        """Responses of any path."""
        return sum(map(len, self.latencies.values()))

    def quantile(self, path: str, share: float) -> float:
        """Seconds, of one path; infinite without responses."""
        found = sorted(self.latencies.get(path, []))
        return found[min(len(found) - 1, int(len(found) * share))] if found else float("inf")


class _Clients:
    """Connections that are kept; ``then`` is called with each that has got its response."""

    def __init__(self, port: int, outcome: Outcome, then: Callable[["_Client"], None]) -> None:
        self.port = port
        self.outcome = outcome
        self.then = then
        self.selector = selectors.DefaultSelector()
        self.busy = 0

    def add(self) -> "_Client":
        return _Client(self)

    def turn(self, timeout: float) -> None:
        for key, _ in self.selector.select(max(0.0, timeout)):
            key.data.read()

    def close(self) -> None:
        for key in list(self.selector.get_map().values()):
            key.data.socket.close()
        self.selector.close()


class _Client:
    def __init__(self, clients: _Clients) -> None:
        self.clients = clients
        self.path = ""
        self.begun = 0.0
        self.got = b""
        self.connect()

    def connect(self) -> None:
        self.socket = socket.create_connection((HOST, self.clients.port), timeout=LONGEST)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.clients.selector.register(self.socket, selectors.EVENT_READ, self)

    def ask(self, path: str) -> None:
        self.path, self.begun, self.got = path, time.monotonic(), b""
        self.clients.busy += 1
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())

    def read(self) -> None:
        try:
            piece = self.socket.recv(65536)
        except OSError:
            piece = b""
        self.got += piece
        if piece and not self._is_whole():
            return
        outcome = self.clients.outcome
        if self.path:
            self.clients.busy -= 1
            if self.got.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")):
                latency = time.monotonic() - self.begun
                outcome.latencies.setdefault(self.path, []).append(latency)
            else:
                outcome.failed += 1
        closes = not piece or b"connection: close" in self.got.lower() or self.got.startswith(b"HTTP/1.0")
        if closes:
            self.clients.selector.unregister(self.socket)
            self.socket.close()
            self.connect()
        if self.path:
            self.path = ""
            self.clients.then(self)

    def _is_whole(self) -> bool:
        head, end, body = self.got.partition(b"\r\n\r\n")
        if not end:
            return False
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return len(body) >= int(line[15:])
        # Until the end of the connection, or of the chunks.
        return body.endswith(b"0\r\n\r\n")


def burst(port: int, path: str, count: int) -> Outcome:
    """So many at once; the time until the last has its response."""
    outcome = Outcome()
    clients = _Clients(port, outcome, lambda _: None)
    every = [clients.add() for _ in range(count)]
    begun = time.monotonic()
    for one in every:
        one.ask(path)
    while clients.busy and time.monotonic() < begun + LONGEST:
        clients.turn(0.1)
    outcome.seconds = time.monotonic() - begun
    clients.close()
    return outcome


def closed(port: int, path_of: Callable[[float], str], count: int, seconds: float) -> Outcome:
    """So many clients, each of which asks again at once. ``path_of``: by the seconds since the start."""
    outcome = Outcome()
    begun = time.monotonic()

    def again(one: _Client) -> None:
        if time.monotonic() < begun + seconds:
            one.ask(path_of(time.monotonic() - begun))

    clients = _Clients(port, outcome, again)
    for _ in range(count):
        again(clients.add())
    while clients.busy and time.monotonic() < begun + seconds + LONGEST:
        clients.turn(0.1)
        if time.monotonic() >= begun + seconds and not outcome.seconds:
            outcome.seconds = seconds
            break
    clients.close()
    return outcome


def opened(port: int, path_of: Callable[[int], str], rate: float, seconds: float) -> Outcome:
    """Requests that come whether or not earlier ones have been answered. ``path_of``: by their numbers."""
    outcome = Outcome(seconds=seconds)
    free: list[_Client] = []
    clients = _Clients(port, outcome, free.append)
    chance = random.Random(1)
    begun = due = time.monotonic()
    number = 0
    while due < begun + seconds:
        now = time.monotonic()
        if now < due:
            clients.turn(due - now)
            continue
        one = free.pop() if free else clients.add()
        one.ask(path_of(number))
        # From when it should have been sent.
        one.begun = due
        number += 1
        due += chance.expovariate(rate)
    end = time.monotonic() + LONGEST
    while clients.busy and time.monotonic() < end:
        clients.turn(0.1)
    clients.close()
    return outcome
