"""Starting, asking and ending, with the native module and real requests."""

import http.client
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import penstock
from penstock.config.errors import ConfigError, StartError


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


def get(port: int) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/")
    body = connection.getresponse().read()
    connection.close()
    return body


class Held:
    """An application whose requests wait until `release`."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.entered.set()
        assert self.release.wait(30)
        return hello(environ, start_response)


def test_start_and_close() -> None:
    with penstock.start(hello, port=0, threads=2) as running:
        assert running.addresses == [f"http://127.0.0.1:{running.port}"]
        assert get(running.port) == b"hello"
        assert all(isinstance(one, int) for one in running.counters().values())
        assert not running.wait(0)
    assert running.wait(0)
    assert not running.failed
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", running.port), timeout=10)
    running.close()
    running.stop()


def test_drain_lets_the_running_request_finish() -> None:
    held = Held()
    with penstock.start(held, port=0) as running:
        answers: list[bytes] = []
        client = threading.Thread(target=lambda: answers.append(get(running.port)))
        client.start()
        assert held.entered.wait(10)
        running.drain()
        assert not running.wait(0)
        held.release.set()
        assert running.wait(10)
        client.join(10)
        assert answers == [b"hello"]


def test_stuck_request_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    held = Held()
    running = penstock.start(held, port=0, graceful_timeout="50ms")
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert held.entered.wait(10)
        running.close()
    assert any("left behind" in one and "release.wait" in one for one in caplog.messages)
    held.release.set()


def test_run_in_a_thread() -> None:
    started: list[penstock.Running] = []
    ready = threading.Event()

    def on_start(running: penstock.Running) -> None:
        started.append(running)
        ready.set()

    thread = threading.Thread(target=penstock.run, args=(hello,), kwargs={"port": 0, "on_start": on_start})
    thread.start()
    assert ready.wait(10)
    assert get(started[0].port) == b"hello"
    started[0].close()
    thread.join(10)
    assert not thread.is_alive()


def test_unix_socket_file_goes_with_the_listener(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with penstock.start(hello, bind=f"unix:{path}") as running:
        assert running.addresses == [f"unix:{path}"]
        assert path.is_socket()
        with pytest.raises(LookupError):
            _ = running.port
    assert not path.exists()


def test_faults(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean threads"):
        penstock.start(hello, port=0, thread=3)
    with pytest.raises(ConfigError, match="no address"):
        penstock.start(hello, bind=[])
    with pytest.raises(StartError, match="spool directory"):
        penstock.start(hello, port=0, spool_directory=tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="this one process"):
        penstock.start(hello, port=0, workers=2)
    not_callable: Any = "app:app"
    with pytest.raises(TypeError, match="not callable"):
        penstock.start(not_callable)
    with penstock.start(hello, port=0) as running, pytest.raises(StartError, match="already in use"):
        penstock.start(hello, port=running.port)
