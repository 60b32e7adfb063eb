"""What a client sees, in words: a response, a cut, a reset, or nothing."""

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable

from benchmarks.peers import HOST

PATIENCE = 8.0


def request(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


def connect(port: int, receive_buffer: int | None = None) -> socket.socket:
    made = socket.socket()
    if receive_buffer is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    made.settimeout(PATIENCE)
    made.connect((HOST, port))
    return made


def ask(port: int, path: str, patience: float = PATIENCE) -> str:
    """The status, or what came instead of a whole response; "wrong" for somebody else's."""
    try:
        with connect(port) as sock:
            sock.settimeout(patience)
            sock.sendall(request(path))
            return outcome(sock, path)
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return _named(error, patience)


def outcome(sock: socket.socket, path: str = "") -> str:
    """Reads one response to its end."""
    received = bytearray()
    try:
        while (found := _whole(bytes(received))) is None:
            piece = sock.recv(1 << 20)
            if not piece:
                return _cut(bytes(received))
            received += piece
    except OSError as error:
        return _named(error, sock.gettimeout() or 0, bool(received))
    status, body = found
    if status == "200" and path.count("/") == 2 and body != path.removeprefix("/").encode():
        return "wrong"
    return status


def _named(error: OSError, patience: float, has_begun: bool = False) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing for {patience:g} s"
    return "reset within the response" if has_begun else "reset"


def _cut(received: bytes) -> str:
    if not received:
        return "closed without a response"
    head = received.partition(b"\r\n\r\n")[0].lower()
    if b"content-length" in head or b"chunked" in head:
        return "cut, and the client can tell"
    return "ended as if it were whole"


def _whole(received: bytes) -> tuple[str, bytes] | None:
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return None
    status = head.split(b" ", 2)[1].decode()
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        return (status, body) if body.endswith(b"0\r\n\r\n") else None
    if b"content-length:" in lower:
        length = int(lower.partition(b"content-length:")[2].split(b"\r\n")[0])
        return (status, body[:length]) if len(body) >= length else None
    return None


def all_at_once(calls: Iterable[Callable[[], str]]) -> list[str]:
    """What each of them saw, in order."""
    calls = list(calls)
    results = [""] * len(calls)

    def run(number: int) -> None:
        results[number] = calls[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
        # In this order.
        time.sleep(0.01)
    for thread in threads:
        thread.join()
    return results


def told(seen: Iterable[str]) -> str:
    """``3 x 200, 1 x 502``."""
    return ", ".join(f"{count} x {what}" for what, count in sorted(Counter(seen).items()))


def close_all(sockets: Iterable[socket.socket]) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.close()
