"""Hold N idle keep-alive connections beside a measurement, each after one answered request.

Its own process (`python -m benchmarks.idle PORT COUNT`), so that its descriptors, memory and CPU time are
nobody else's. It prints one line of JSON when it is done opening, and one per line that it is sent; it ends
when its input ends.

Facts about servers that decide the shape of this file: some accept and never answer, some close at once or
after 2 s, some stop accepting at a limit (then the kernel still completes handshakes until the backlog is
full). So there is a bound for the whole opening and one for going on without any progress, and the
connections are looked at again before each report.
"""

import contextlib
import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from benchmarks import measure, peers

# As many at a time as the load has connections: a crowd, not a SYN flood.
IN_FLIGHT = 64
OPENING_SECONDS = 15.0
# Longer than gunicorn's keep-alive of 2 s: a server that frees places that slowly still makes progress.
STALL_SECONDS = 3.0
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@dataclass(frozen=True)
class Idle:
    """What became of the connections: answered once, refused or reset before, still open now, and what ended
    the opening early."""

    wanted: int
    answered: int
    failed: int
    held: int
    stopped: str


class _Holder:
    def __init__(self, port: int, count: int) -> None:
        self._address = ("127.0.0.1", port)
        self._wanted = count
        self._answered = 0
        self._failed = 0
        self._stopped = ""
        self._held: set[socket.socket] = set()

    def open_all(self) -> None:
        received: dict[socket.socket, bytes] = {}
        end = time.monotonic() + OPENING_SECONDS
        progress = time.monotonic()
        opened = 0
        with selectors.DefaultSelector() as selector:
            while opened < self._wanted or received:
                while opened < self._wanted and len(received) < IN_FLIGHT:
                    opened += 1
                    connection = socket.socket()
                    connection.setblocking(False)
                    connection.connect_ex(self._address)
                    received[connection] = b""
                    selector.register(connection, selectors.EVENT_WRITE)
                for key, _events in selector.select(0.2):
                    connection = key.fileobj  # type: ignore[assignment]
                    if self._advance(selector, connection, received):
                        progress = time.monotonic()
                now = time.monotonic()
                if now > end:
                    self._stopped = f"{OPENING_SECONDS:.0f} s were over"
                elif now - progress > STALL_SECONDS:
                    self._stopped = f"no answer for {STALL_SECONDS:.0f} s"
                if self._stopped:
                    break
        for connection in received:
            connection.close()

    def _advance(
        self,
        selector: selectors.BaseSelector,
        connection: socket.socket,
        received: dict[socket.socket, bytes],
    ) -> bool:
        """One step of one connection: connected → request sent → answered (held) or failed. True when it got
        answered."""
        try:
            if selector.get_key(connection).events == selectors.EVENT_WRITE:
                connection.send(REQUEST)
                selector.modify(connection, selectors.EVENT_READ)
                return False
            piece = connection.recv(4096)
        except OSError:
            piece = b""
        response = received[connection] = received[connection] + piece
        answered = _complete(response)
        if piece and not answered:
            return False
        selector.unregister(connection)
        del received[connection]
        if answered:
            self._answered += 1
        else:
            self._failed += 1
        # Told to close, a client closes: gunicorn's sync worker would wait two seconds for each that does
        # not.
        if answered and not _announces_close(response):
            self._held.add(connection)
        else:
            connection.close()
        return answered

    def report(self) -> Idle:
        """Look which connections the server has closed meanwhile, and drop them."""
        for connection in list(self._held):
            with contextlib.suppress(BlockingIOError):
                try:
                    gone = not connection.recv(1)
                except ConnectionError:
                    gone = True
                if gone:
                    connection.close()
                    self._held.discard(connection)
        return Idle(self._wanted, self._answered, self._failed, len(self._held), self._stopped)


def _complete(response: bytes) -> bool:
    """A whole 200 answer; all applications here send a Content-Length."""
    head, end, body = response.partition(b"\r\n\r\n")
    if not end or b" 200" not in head.split(b"\r\n", 1)[0]:
        return False
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
    return False


def _announces_close(response: bytes) -> bool:
    head = response.partition(b"\r\n\r\n")[0].lower()
    if head.startswith(b"http/1.0"):
        return b"\r\nconnection: keep-alive" not in head
    return b"\r\nconnection: close" in head


class Crowd:
    """The other end: the measuring process' handle to the holder."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def wait_opened(self) -> Idle:
        return self._read()

    def look(self) -> Idle:
        assert self._process.stdin is not None
        self._process.stdin.write("look\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Idle:
        # Bounded by the holder's own bounds: it never waits for a server outside of open_all.
        assert self._process.stdout is not None
        return Idle(**json.loads(self._process.stdout.readline()))


@contextlib.contextmanager
def crowd(port: int, count: int) -> Iterator[Crowd]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.idle", str(port), str(count)],
        cwd=peers.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Crowd(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(5.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def main() -> None:
    port, count = int(sys.argv[1]), int(sys.argv[2])
    measure.raise_file_limit()
    holder = _Holder(port, count)
    holder.open_all()
    print(json.dumps(asdict(holder.report())), flush=True)
    for _line in sys.stdin:
        print(json.dumps(asdict(holder.report())), flush=True)


if __name__ == "__main__":
    main()
