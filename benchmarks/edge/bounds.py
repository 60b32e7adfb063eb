"""What stays bounded: slow readers of a large file; 100,000 distinct keys of cache and limits."""

import contextlib
import os
import socket
import threading
import time
from pathlib import Path

from benchmarks.edge.servers import Site, pelton

LARGE = 1 << 30
READERS = 50
KEYS = 100_000
_MIB = 1 << 20


def slow_readers(directory: Path, seconds: float) -> str:
    """50 clients take 64 KiB/s each of 1 GiB; beside them one asks for a greeting, 200 times a second."""
    files = directory / "files"
    files.mkdir()
    with (files / "large.bin").open("wb") as file:
        for _ in range(LARGE // _MIB):
            file.write(os.urandom(4096) * (_MIB // 4096))
    lines = ["| | p50 ms | p99 ms | slowest ms | memory MiB |", "| --- | --- | --- | --- | --- |"]
    arguments = ("--static", f"/static={files}", "--threads", "8")
    with pelton(directory, *arguments) as site:
        _ask_often(site, 1)
        lines.append(_line("alone", _ask_often(site, seconds), site.memory()))
        with contextlib.ExitStack() as stack:
            stop = threading.Event()
            reader = threading.Thread(target=_read_slowly, args=(site, stop))
            reader.start()
            stack.callback(reader.join)
            stack.callback(stop.set)
            time.sleep(2)
            lines.append(_line(f"beside {READERS} slow readers", _ask_often(site, seconds), site.memory()))
    (files / "large.bin").unlink()
    return "\n".join(lines)


def _line(name: str, times: list[float], memory: int) -> str:
    times = sorted(times)
    p50, p99, last = (times[int((len(times) - 1) * part)] * 1000 for part in (0.5, 0.99, 1))
    return f"| {name} | {p50:.2f} | {p99:.2f} | {last:.2f} | {memory / _MIB:.1f} |"


def _ask_often(site: Site, seconds: float) -> list[float]:
    times = []
    with socket.create_connection(("127.0.0.1", site.port), 10) as client:
        end = time.monotonic() + seconds
        while (begun := time.monotonic()) < end:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            got = b""
            while not got.endswith(b"hello\n"):
                got += client.recv(65536)
            times.append(time.monotonic() - begun)
            time.sleep(max(0.0, begun + 0.005 - time.monotonic()))
    return times


def _read_slowly(site: Site, stop: threading.Event) -> None:
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", site.port), 10))
            for _ in range(READERS)
        ]
        for client in clients:
            client.sendall(b"GET /static/large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
            client.setblocking(False)
        while not stop.wait(0.25):
            for client in clients:
                with contextlib.suppress(BlockingIOError):
                    client.recv(16384)


def many_keys(directory: Path) -> str:
    """100,000 pages through a cache of 16 MiB, asked for by 100,000 clients with a limit of rate each."""
    lines = ["| | memory MiB | requests/s |", "| --- | --- | --- |"]
    arguments = ("--cache", "16MiB", "--rate-limit", "/=1000/m,by=X-Key", "--threads", "4")
    with pelton(directory, *arguments) as site:
        _ask_all(site, range(2000))
        lines.append(f"| after 2,000 keys | {site.memory() / _MIB:.1f} | |")
        begun = time.monotonic()
        _ask_all(site, range(2000, KEYS))
        rate = (KEYS - 2000) / (time.monotonic() - begun)
        lines.append(f"| after {KEYS:,} keys | {site.memory() / _MIB:.1f} | {rate:,.0f} |")
        begun = time.monotonic()
        _ask_all(site, range(KEYS))
        rate = KEYS / (time.monotonic() - begun)
        lines.append(f"| the same keys once more | {site.memory() / _MIB:.1f} | {rate:,.0f} |")
    return "\n".join(lines)


def _ask_all(site: Site, keys: range) -> None:
    """Pipelined in batches over one connection; each response is counted by its body's end."""
    with socket.create_connection(("127.0.0.1", site.port), 30) as client:
        for start in range(keys.start, keys.stop, 50):
            batch = range(start, min(start + 50, keys.stop))
            client.sendall(
                b"".join(
                    b"GET /page/%d HTTP/1.1\r\nHost: x\r\nX-Key: %d\r\n\r\n" % (key, key) for key in batch
                )
            )
            left, rest = len(batch), b""
            while left:
                piece = client.recv(1 << 20)
                if not piece:
                    raise RuntimeError("the server has closed")
                rest += piece
                while (found := rest.find(b"HTTP/1.1 ", 1)) > 0 or (left == 1 and rest.count(b"kept") == 85):
                    if not rest.startswith(b"HTTP/1.1 200"):
                        raise RuntimeError(rest[:200].decode(errors="replace"))
                    left -= 1
                    rest = rest[found:] if found > 0 else b""
                    if not left:
                        break
