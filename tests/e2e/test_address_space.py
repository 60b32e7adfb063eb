"""An address space with an end (`ulimit -v`): what finds no memory costs one connection, not the server."""

from __future__ import annotations

import re
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import StartLive
from support.client import Client, request
from support.live import APPS, Live

# What the server may take beyond what it has when it is ready.
LEFT = 24 << 20
CLIENTS = 900


def _half_head(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Large: " + b"x" * 60_000)


def _half_body(client: Client) -> None:
    client.send(request("POST", "/", [("Content-Length", "3000000")]) + b"y" * 60_000)


def _small_window(client: Client) -> None:
    client.send(request(target="/large"))


@pytest.mark.parametrize("load", [_half_head, _half_body, _small_window])
def test_the_server_outlives_what_it_has_no_memory_for(
    live: StartLive, tmp_path: Path, load: Callable[[Client], None]
) -> None:
    server = live(APPS, "--workers", "0", "--threads", "4", "--response-buffer", "1M")
    assert server.ask(request()).status == 200
    limit = _address_space(server) + LEFT
    resource.prlimit(server.pid, resource.RLIMIT_AS, (limit, limit))
    clients: list[Client] = []
    for _ in range(CLIENTS):
        client = server.connect(receive_buffer=4096)
        clients.append(client)
        try:
            load(client)
        except OSError:
            # Its connection was closed: that is how it is told.
            continue
    for client in clients:
        client.close()
    assert server.ask(request()).status == 200
    assert server.process.poll() is None


LINES = """
def app(environ, start_response):
    line = environ["wsgi.input"].readline() if environ["PATH_INFO"] == "/line" else b""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % len(line)]
"""


def test_a_line_that_is_too_long_for_memory_is_an_error_of_its_request(
    live: StartLive, tmp_path: Path
) -> None:
    (tmp_path / "lines.py").write_text(LINES)
    server = live("lines:app", "--workers", "0", "--max-body", "1GiB", directory=tmp_path)
    assert server.ask(request()).status == 200
    limit = _address_space(server) + LEFT
    resource.prlimit(server.pid, resource.RLIMIT_AS, (limit, limit))
    large = server.ask(request("POST", "/line", body=b"x" * (3 * LEFT)))
    assert large.status == 500
    server.log.wait_for("MemoryError")
    assert server.ask(request("POST", "/line", body=b"x" * 10)).body == b"10"


def _address_space(server: Live) -> int:
    found = re.search(r"^VmSize:\s+(\d+) kB", Path(f"/proc/{server.pid}/status").read_text(), re.M)
    assert found is not None
    return int(found[1]) << 10
