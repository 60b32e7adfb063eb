"""Starting, asking and ending, with the native module and real requests."""

import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import pelton
from pelton.config import calls
from pelton.config.setting import Group
from pelton.config.settings import TABLE
from pelton.exceptions import ConfigError, StartError


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
    with pelton.start(hello, port=0, threads=2) as running:
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
    with pelton.start(held, port=0) as running:
        responses: list[bytes] = []
        client = threading.Thread(target=lambda: responses.append(get(running.port)))
        client.start()
        assert held.entered.wait(10)
        running.drain()
        assert not running.wait(0)
        held.release.set()
        assert running.wait(10)
        client.join(10)
        assert responses == [b"hello"]


def test_stuck_request_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    held = Held()
    running = pelton.start(held, port=0, graceful_timeout="50ms")
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert held.entered.wait(10)
        running.close()
    assert any("left behind" in one and "release.wait" in one for one in caplog.messages)
    held.release.set()


def test_run_in_a_thread() -> None:
    started: list[pelton.Running] = []
    ready = threading.Event()

    def on_start(running: pelton.Running) -> None:
        started.append(running)
        ready.set()

    thread = threading.Thread(target=pelton.run, args=(hello,), kwargs={"port": 0, "on_start": on_start})
    thread.start()
    assert ready.wait(10)
    assert get(started[0].port) == b"hello"
    started[0].close()
    thread.join(10)
    assert not thread.is_alive()


def test_unix_socket_file_goes_with_the_listener(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with pelton.start(hello, bind=f"unix:{path}") as running:
        assert running.addresses == [f"unix:{path}"]
        assert path.is_socket()
        with pytest.raises(LookupError):
            _ = running.port
    assert not path.exists()


def test_faults(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean threads"):
        pelton.start(hello, port=0, thread=3)
    with pytest.raises(ConfigError, match="no address"):
        pelton.start(hello, bind=[])
    with pytest.raises(StartError, match="spool directory"):
        pelton.start(hello, port=0, spool_directory=tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="this one process"):
        pelton.start(hello, port=0, workers=2)
    not_callable: Any = "app:app"
    with pytest.raises(TypeError, match="not callable"):
        pelton.start(not_callable)
    with pelton.start(hello, port=0) as running, pytest.raises(StartError, match="already in use"):
        pelton.start(hello, port=running.port)


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"daemon": True}, "service manager"),
        ({"pid_file": "x.pid"}, "getpid"),
        ({"user": "nobody"}, "as that user"),
        ({"group": "nogroup"}, "as that group"),
        ({"umask": "007"}, "os.umask"),
        ({"chdir": "/"}, "os.chdir"),
        ({"environment": ["A=b"]}, "os.environ"),
        ({"python_path": ["/x"]}, "sys.path"),
        ({"process_name": "x"}, "setproctitle"),
    ],
)
def test_what_the_program_does_for_itself(settings: dict[str, Any], advice: str) -> None:
    for call in (pelton.start, pelton.run):
        with pytest.raises(ConfigError, match=f"(?s)means nothing in a call.*{advice}"):
            call(hello, port=0, **settings)


def test_every_setting_of_the_process_has_an_advice() -> None:
    assert {row.name for row in TABLE if row.group is Group.PROCESS} == calls._INSTEAD.keys()


@pytest.mark.parametrize(
    "settings",
    [{"log_level": "debug"}, {"log_format": "json"}, {"error_log": "x"}, {"log_syslog": "localhost:514"}],
)
def test_an_embedded_server_does_not_configure_the_log(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="the log is your program's"):
        pelton.start(hello, port=0, **settings)


def test_a_program_of_its_own_gets_the_log_that_it_asks_for(tmp_path: Path) -> None:
    path = tmp_path / "log"
    program = (
        "import pelton, sys\n"
        "pelton.run(lambda e, s: [], port=0, log_format='json', error_log=sys.argv[1],\n"
        "             on_start=lambda running: running.close())\n"
    )
    subprocess.run([sys.executable, "-c", program, path], check=True, timeout=60)
    assert "listens on" in json.loads(path.read_text().splitlines()[0])["body"]
    # Where logging is configured already, what cannot be done is said.
    program = "import logging\nlogging.basicConfig()\n" + program.replace(", error_log=sys.argv[1]", "")
    said = subprocess.run(
        [sys.executable, "-c", program], check=True, timeout=60, capture_output=True, text=True
    )
    assert "log_format has no effect: logging was configured before." in said.stderr
