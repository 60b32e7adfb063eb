"""The clients of the soak: each does one thing over and over, on a connection that it keeps or breaks.

A response that is not what its request must have is an error; so is a connection that ends where none should.
A client whose connection was closed between two requests opens another, as every client does.
"""

import hashlib
import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable

from benchmarks.peers import HOST
from benchmarks.soak.app import PIECE, body_of

TIMEOUT_SECONDS = 30.0
UPLOADS = (b"u" * 100, b"v" * 40_000, b"w" * 300_000, b"x" * 2_000_000)


class Clients:
    """Threads that ask until `stop`; counts what they did, and keeps the first errors."""

    def __init__(self, port: int, count: int) -> None:
        self._port = port
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.done: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        chance = random.Random(number)
        kinds = [(name, weight) for name, (weight, _) in KINDS.items()]
        names, weights = zip(*kinds, strict=True)
        connection: http.client.HTTPConnection | None = None
        while not self._over.is_set():
            name = chance.choices(names, weights)[0]
            if connection is None:
                connection = http.client.HTTPConnection(HOST, self._port, timeout=TIMEOUT_SECONDS)
            try:
                keeps = KINDS[name][1](connection, chance)
            except (OSError, http.client.HTTPException, AssertionError) as error:
                keeps = False
                self._count(self.errors, f"{name}: {error!r}"[:160])
            self._count(self.done, name)
            if not keeps or chance.random() < 0.05:
                connection.close()
                connection = None
            time.sleep(chance.random() * 0.02)
        if connection is not None:
            connection.close()

    def _count(self, counter: Counter[str], name: str) -> None:
        with self._lock:
            counter[name] += 1


def _ask(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None) -> bytes:
    _refresh(connection)
    connection.request(method, path, body=body)
    response = connection.getresponse()
    content = response.read()
    assert response.status == 200, f"{path} was answered {response.status}"
    return content


def _refresh(connection: http.client.HTTPConnection) -> None:
    """Looks before it sends, as careful clients do: a connection that was closed meanwhile is opened anew."""
    sock: socket.socket | None = connection.sock
    if sock is None:
        return
    sock.setblocking(False)
    try:
        ended = sock.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        ended = False
    except OSError:
        ended = True
    sock.settimeout(TIMEOUT_SECONDS)
    if ended:
        connection.close()


def _named(kind: str) -> Callable[[http.client.HTTPConnection, random.Random], bool]:
    def ask(connection: http.client.HTTPConnection, chance: random.Random) -> bool:
        name = str(chance.getrandbits(64))
        got = _ask(connection, "GET", f"/{kind}/{name}")
        assert got == body_of(name), f"the response to another request: {got[:80]!r}"
        return True

    return ask


def _upload(connection: http.client.HTTPConnection, chance: random.Random) -> bool:
    body = chance.choice(UPLOADS)
    got = _ask(connection, "POST", "/upload", body)
    assert got == hashlib.sha256(body).hexdigest().encode(), "another body arrived"
    return True


def _stream(connection: http.client.HTTPConnection, chance: random.Random) -> bool:
    count = chance.randrange(1, 200)
    got = _ask(connection, "GET", f"/stream/{count}")
    assert got == PIECE * count, f"{len(got)} bytes instead of {count * len(PIECE)}"
    return True


def _aborted_upload(connection: http.client.HTTPConnection, chance: random.Random) -> bool:
    with socket.create_connection((connection.host, connection.port), TIMEOUT_SECONDS) as sock:
        head = b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n"
        sock.sendall(head[: chance.randrange(1, len(head) + 1)] + b"y" * chance.choice((0, 70_000)))
        _end(sock, chance)
    return True


def _aborted_download(connection: http.client.HTTPConnection, chance: random.Random) -> bool:
    with socket.create_connection((connection.host, connection.port), TIMEOUT_SECONDS) as sock:
        sock.sendall(b"GET /stream/300 HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.recv(chance.choice((1, 1000, 100_000)))
        _end(sock, chance)
    return True


def _end(sock: socket.socket, chance: random.Random) -> None:
    if chance.random() < 0.5:
        # A reset instead of an end.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _silent(connection: http.client.HTTPConnection, chance: random.Random) -> bool:
    with socket.create_connection((connection.host, connection.port), TIMEOUT_SECONDS):
        time.sleep(chance.random() * 0.1)
    return True


# How often, and what.
KINDS: dict[str, tuple[int, Callable[[http.client.HTTPConnection, random.Random], bool]]] = {
    "plain": (60, _named("x")),
    "nap": (10, _named("nap")),
    "upload": (10, _upload),
    "stream": (8, _stream),
    "aborted upload": (4, _aborted_upload),
    "aborted download": (4, _aborted_download),
    "silent": (2, _silent),
    "fork": (2, _named("child")),
}
