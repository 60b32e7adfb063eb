"""What encryption costs, beside nginx: requests, handshakes, idle connections, others beside handshakes.

    python -m benchmarks.tls [--scenes hello,handshakes,beside,idle] [--seconds 4] [--connections 10000]

Both have one worker, and answer a few bytes: pelton by an application, nginx by ``return 200``. So what
pelton may cost is what encryption costs nginx, added to what pelton costs without (the line "allowed", 1.15
times that). Needs wrk, h2load, openssl and nginx; nothing leaves this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import measure, peers
from benchmarks.attacks import client_context, started

SERVERS = ("pelton", "nginx")
KEYS = {
    "P-256": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "RSA 2048": ["-newkey", "rsa:2048"],
}
# How often the client asks beside handshakes, and how many of those there are.
PACE = 0.004
HANDSHAKES_PER_SECOND = 500
GENERATORS = 2
ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

NGINX = """daemon off; master_process off; pid {folder}/pid; error_log /dev/null; worker_rlimit_nofile 60000;
events {{ worker_connections 30000; }}
http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
keepalive_requests 1000000000; keepalive_timeout 300; default_type text/plain;
server {{ listen {plain}; listen {secure} ssl http2;
ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;
location / {{ return 200 "Hello, World!\\n"; }} }} }}
"""


@dataclass(frozen=True)
class Running:
    """A server: its first process and its two ports."""

    pid: int
    plain: int
    secure: int


def make_certificate(folder: Path, kind: str) -> tuple[str, str]:
    certificate, key = folder / "a.pem", folder / "a.key"
    command = ["openssl", "req", "-x509", *KEYS[kind], "-nodes", "-subj", "/CN=localhost", "-days", "2"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return str(certificate), str(key)


def command_of(name: str, folder: Path, kind: str, plain: str, secure: str) -> list[str]:
    certificate, key = make_certificate(folder, kind)
    if name == "nginx":
        config = folder / "nginx.conf"
        config.write_text(
            NGINX.format(folder=folder, plain=plain, secure=secure, certificate=certificate, key=key)
        )
        return [shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(config)]
    program = [sys.executable, "-m", "pelton", "benchmarks.apps.bare:app", "--threads", "8"]
    program += ["--bind", f"http://{plain}", "--bind", f"https://{secure}", "--keep-alive", "300"]
    # The rates of one address are meant for strangers.
    program += ["--max-handshake-rate", "0", "--max-connections", "30000"]
    return [*program, "--certfile", certificate, "--keyfile", key]


@contextlib.contextmanager
def running(name: str, kind: str = "P-256") -> Iterator[Running]:
    plain, secure = peers.free_port(), peers.free_port()
    with tempfile.TemporaryDirectory(prefix="tls-") as folder:
        addresses = (f"{peers.HOST}:{plain}", f"{peers.HOST}:{secure}")
        with started(command_of(name, Path(folder), kind, *addresses), secure) as pid:
            yield Running(pid, plain, secure)


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def wrk(scheme: str, port: int, seconds: float) -> int:
    """How many requests were answered on 32 connections of HTTP/1.1."""
    text = output("wrk", "-t1", "-c32", f"-d{seconds:g}s", f"{scheme}://{peers.HOST}:{port}/")
    found = re.search(r"(\d+) requests in", text)
    assert found is not None, text
    return int(found[1])


def h2load(port: int, seconds: float) -> int:
    """The same on 8 connections of HTTP/2 with 8 streams each."""
    text = output("h2load", "-t1", "-c8", "-m8", f"-D{seconds:g}", f"https://{peers.HOST}:{port}/")
    found = re.search(r"(\d+) succeeded", text)
    assert found is not None, text
    return int(found[1])


def hello(seconds: float) -> None:
    """Processor time per request."""
    print("| request | server | requests/s | CPU µs |\n| --- | --- | --- | --- |")
    costs: dict[tuple[str, str], list[float]] = {}
    for _round in range(3):
        for name in SERVERS:
            with running(name) as server:
                loads = {
                    "plain": partial(wrk, "http", server.plain),
                    "HTTPS, HTTP/1.1": partial(wrk, "https", server.secure),
                    "HTTPS, HTTP/2": partial(h2load, server.secure),
                }
                for what, load in loads.items():
                    load(1)
                    before = measure.cpu_seconds(server.pid)
                    count = load(seconds)
                    cost = (measure.cpu_seconds(server.pid) - before) / count * 1e6
                    costs.setdefault((what, name), []).append(cost)
                    print(f"| {what} | {name} | {count / seconds:.0f} | {cost:.2f} |", flush=True)
    best = {key: sorted(found)[len(found) // 2] for key, found in costs.items()}
    for what in ("HTTPS, HTTP/1.1", "HTTPS, HTTP/2"):
        allowed = 1.15 * (best[what, "nginx"] + best["plain", "pelton"] - best["plain", "nginx"])
        print(f"{what}: medians: pelton {best[what, 'pelton']:.2f} µs, allowed {allowed:.2f} µs, {best=}")


def handshakes(seconds: float) -> None:
    """New and resumed ones, one after the other from one client, with one request each."""
    print("| handshake | server | per second | CPU µs |\n| --- | --- | --- | --- |")
    for kind in KEYS:
        for version in ("-tls1_2", "-tls1_3"):
            for how in ("-new", "-reuse"):
                for name in SERVERS:
                    with running(name, kind) as server:
                        command = ["openssl", "s_time", "-connect", f"{peers.HOST}:{server.secure}", how]
                        command += ["-time", f"{seconds:.0f}", version, "-www", "/"]
                        before = measure.cpu_seconds(server.pid)
                        text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
                        spent = measure.cpu_seconds(server.pid) - before
                    found = re.findall(r"(\d+) connections in (\d+) real seconds", text)
                    if not found:
                        print(f"| {kind} {version} {how} | {name} | failed: {text[-100:]!r} | |")
                        continue
                    count, real = int(found[-1][0]), int(found[-1][1])
                    what = f"{kind} {version[1:]} {how[1:]}"
                    print(f"| {what} | {name} | {count / real:.0f} | {spent / count * 1e6:.0f} |", flush=True)


def generate(port: int, rate: float, seconds: float) -> None:
    """Handshakes at a rate, in a process of its own (``--generate``)."""
    context = client_context("http/1.1")
    begun = time.monotonic()
    made = 0
    while (now := time.monotonic()) < begun + seconds:
        due = int((now - begun) * rate)
        if made >= due:
            time.sleep(0.0005)
            continue
        made += 1
        with contextlib.suppress(OSError):
            plain = socket.create_connection((peers.HOST, port), timeout=2)
            context.wrap_socket(plain, server_hostname="localhost").close()
    print(made)


def times_of(port: int, seconds: float) -> list[float]:
    """How long a client waits for a plain hello, in milliseconds, sorted."""
    found = []
    with socket.create_connection((peers.HOST, port), timeout=5) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        until = time.monotonic() + seconds
        while (begun := time.monotonic()) < until:
            client.sendall(ASK)
            assert client.recv(65536)
            found.append((time.monotonic() - begun) * 1000)
            time.sleep(PACE)
    return sorted(found)


@contextlib.contextmanager
def generating(port: int, seconds: float) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.tls", "--generate", str(port)]
    command += [str(HANDSHAKES_PER_SECOND / GENERATORS), str(seconds)]
    generators = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(GENERATORS)]
    try:
        yield
    finally:
        made = sum(int(one.communicate()[0]) for one in generators)
        if made < 0.95 * HANDSHAKES_PER_SECOND * seconds:
            print(f"only {made / seconds:.0f} handshakes per second could be made")


def beside(seconds: float) -> None:
    """A client's plain hello beside handshakes of the same server, and beside those of another one.

    The latter is what the machine's processors cost anybody, since the handshakes' clients are here, too.
    """
    print("| server | handshakes | p50 ms | p99 ms |\n| --- | --- | --- | --- |")
    for _round in range(3):
        for name in SERVERS:
            with running(name) as server, running("nginx") as other:
                times_of(server.plain, 0.5)
                for what, port in (("none", 0), ("elsewhere", other.secure), ("its own", server.secure)):
                    load = generating(port, seconds + 1) if port else contextlib.nullcontext()
                    with load:
                        time.sleep(1)
                        found = times_of(server.plain, seconds)
                    p50, p99 = (found[int(len(found) * share)] for share in (0.5, 0.99))
                    print(f"| {name} | {what} | {p50:.2f} | {p99:.2f} |", flush=True)


def idle(count: int) -> None:
    """Memory of connections that have asked once and wait."""
    print("| server | connections | KiB each |\n| --- | --- | --- |")
    measure.raise_file_limit()
    for name in SERVERS:
        with running(name) as server:
            held, before = opened(server.secure, 200), measure.pss_bytes(server.pid)
            held += opened(server.secure, count)
            time.sleep(1)
            each = (measure.pss_bytes(server.pid) - before) / count / 1024
            alive = sum(is_alive(one) for one in held)
            print(f"| {name} | {alive - 200} | {each:.1f} |", flush=True)
            for one in held:
                one.close()


def opened(port: int, count: int) -> list[socket.socket]:
    """Connections after a handshake and a response; of the session the client forgets everything."""
    context = client_context("http/1.1")
    found: list[socket.socket] = []

    def open_some(count: int) -> None:
        for _ in range(count):
            plain = socket.create_connection((peers.HOST, port), timeout=10)
            secure = context.wrap_socket(plain, server_hostname="localhost")
            secure.sendall(ASK)
            secure.recv(65536)
            found.append(socket.socket(fileno=secure.detach()))

    threads = [threading.Thread(target=open_some, args=(count // 4,)) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return found


def is_alive(one: socket.socket) -> bool:
    one.setblocking(False)
    try:
        return one.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", default="hello,handshakes,beside,idle")
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--generate", nargs=3, type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.generate:
        port, rate, seconds = options.generate
        return generate(int(port), rate, seconds)
    scenes = {
        "hello": lambda: hello(options.seconds),
        "handshakes": lambda: handshakes(options.seconds),
        "beside": lambda: beside(options.seconds),
        "idle": lambda: idle(options.connections),
    }
    for name in options.scenes.split(","):
        print(f"\n{name}, load average {os.getloadavg()[0]:.2f}\n")
        scenes[name]()
    return None


if __name__ == "__main__":
    main()
