"""The command, as a process: its lines, its signals, its exit codes, and what it leaves behind (nothing)."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import pelton
from conftest import StartLive
from support.client import Client, CutOffError, request
from support.live import APPS, EXAMPLES, Live
from support.waiting import eventually

HELLO = EXAMPLES / "hello.py"


class Gates:
    """Opens the pipes at which requests of `support.live_app` wait."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.environment = {"PELTON_TEST_GATES": str(directory)}

    def add(self, name: str) -> bytes:
        """A new gate; gives the request that waits there."""
        os.mkfifo(self._directory / name)
        return request(target=f"/hold/{name}")

    def open(self, name: str) -> None:
        """Let the one that waits there go."""
        (self._directory / name).write_bytes(b"")


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path)


def refuses(address: str) -> bool:
    try:
        with Client(address) as client:
            # Accepted just before the listener closed: wait for its end, then look again.
            client.closed()
            return False
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    except (ConnectionResetError, TimeoutError):
        return False


# Start


def test_the_start_line(live: StartLive) -> None:
    server = live(HELLO, "--threads", "3")
    line = server.log.wait_for("listens on")
    match = re.search(
        r"^\S+ \S+ INFO pelton (\S+) listens on http://127\.0\.0\.1:([0-9]+) "
        r"\(worker kind: threads, 3 threads, pid ([0-9]+)\); Ctrl-C stops it\.$",
        line.string,
    )
    assert match is not None, line.string
    assert (match[1], int(match[3])) == (pelton.__version__, server.process.pid)
    assert int(match[2]) > 0


def test_the_example(live: StartLive) -> None:
    server = live(HELLO)
    with server.connect() as client:
        page = client.ask(request())
        assert (page.status, page.get("Content-Type")) == (200, "text/html; charset=utf-8")
        assert "pelton" in page.text
        assert client.ask(request(target="/json")).json()["message"] == "Hello, World!"
        assert client.ask(request(target="/quick")).text.startswith("pelton-")
        body = b"0123456789" * 300_000
        uploaded = client.ask(request("POST", "/upload", body=body)).json()
        assert uploaded == {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        told = client.ask(request(target="/whoami?a=b")).json()
        assert told["pid"] == server.process.pid
        assert told["environ"]["QUERY_STRING"] == "'a=b'"
        assert told["environ"]["SERVER_SOFTWARE"] == f"'pelton/{pelton.__version__}'"
        assert client.ask(request(target="/error")).status == 500
        assert client.ask(request(target="/nowhere")).status == 404
        assert client.ask(request(target="/cpu?n=10")).json()["rounds"] == 10
    server.log.wait_for("This failure is intended")


def test_the_example_streams(live: StartLive) -> None:
    client = live(HELLO).connect().send(request(target="/stream?n=2"))
    assert client.head().framing == "chunked"
    assert client.piece().startswith(b"line 1 of 2")
    assert client.piece().startswith(b"line 2 of 2")
    assert client.piece() == b""


def test_slow_requests_of_the_example_run_together(live: StartLive) -> None:
    server = live(HELLO, "--threads", "4")
    clients = [server.connect().send(request(target="/slow?s=1")) for _ in range(4)]
    with server.connect() as late:
        late.send(request(target="/quick"))
        # Each has a thread of its own, so they overlap; a fifth would have to wait.
        responses = [client.response().json() for client in clients]
        assert len({one["thread"] for one in responses}) == 4
        assert late.response().status == 200


def test_requests_that_need_each_other(live: StartLive) -> None:
    server = live(APPS, "--threads", "4")
    clients = [server.connect().send(request(target="/together")) for _ in range(4)]
    assert len({client.response().text for client in clients}) == 4


def test_several_addresses(live: StartLive) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/s"
        server = live(HELLO, "--bind", "127.0.0.1:0", "--bind", f"unix:{path}")
        first, second = server.addresses
        assert second == f"unix:{path}"
        for address in (first, second):
            with Client(address) as client:
                assert client.ask(request(target="/json")).status == 200
        server.send_signal(signal.SIGTERM)
        assert server.exit_code() == 0
        assert not Path(path).exists()


def test_the_module_is_found_in_the_current_directory(live: StartLive, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "def make(name):\n"
        "    def app(environ, start_response):\n"
        "        start_response('200 OK', [])\n"
        "        return [name.encode()]\n"
        "    return app\n"
    )
    server = live("shop:make('green')", directory=tmp_path)
    assert server.ask(request()).text == "green"


# End


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_running_requests_finish(live: StartLive, gates: Gates, number: signal.Signals) -> None:
    wire = gates.add("one")
    server = live(APPS, environment=gates.environment)
    address = server.addresses[0]
    idle = server.connect()
    assert idle.ask(request()).status == 200
    client = server.connect().send(wire)
    server.log.wait_for("one is held")
    server.send_signal(number)
    server.log.wait_for(f"{number.name}: no new connections")
    assert idle.closed()
    eventually(lambda: refuses(address), "new connections are refused")
    assert server.process.poll() is None
    gates.open("one")
    response = client.response()
    assert (response.status, response.keeps_connection) == (200, False)
    assert client.closed()
    server.log.wait_for("All requests have finished")
    assert server.exit_code() == 0


def test_requests_that_still_wait_are_answered_before_the_end(live: StartLive, gates: Gates) -> None:
    wire = gates.add("one")
    server = live(APPS, "--threads", "1", environment=gates.environment)
    running = server.connect().send(wire)
    server.log.wait_for("one is held")
    waiting = [server.connect().send(request()) for _ in range(3)]
    # Known to be received: the front has answered a later request of its own accord.
    with server.connect() as refused:
        assert refused.ask(b"x\r\n\r\n", method="GET").status == 400
    server.send_signal(signal.SIGTERM)
    server.log.wait_for("no new connections")
    gates.open("one")
    assert running.response().status == 200
    for client in waiting:
        assert client.response().status == 200
    assert server.exit_code() == 0


def test_a_stuck_request_is_cut_off_and_reported(live: StartLive, gates: Gates) -> None:
    wire = gates.add("one")
    server = live(APPS, "--graceful-timeout", "300ms", environment=gates.environment)
    client = server.connect().send(wire)
    server.log.wait_for("one is held")
    server.send_signal(signal.SIGTERM)
    with pytest.raises((CutOffError, ConnectionResetError)):
        client.response()
    assert server.exit_code() == 0
    assert "the requests that still run are cut off" in server.log.text
    assert re.search(r"pelton-[0-9]+ is still in the application's code", server.log.text)
    assert "in hold" in server.log.text


def test_a_request_that_never_rests_does_not_spoil_the_end(live: StartLive) -> None:
    # Its thread asks for the interpreter's lock while the interpreter would finalize.
    server = live(APPS, "--graceful-timeout", "100ms")
    client = server.connect().send(request(target="/restless"))
    server.log.wait_for("it is restless")
    server.send_signal(signal.SIGTERM)
    with pytest.raises((CutOffError, ConnectionResetError)):
        client.response()
    assert server.exit_code() == 0


def test_a_second_interrupt_ends_at_once(live: StartLive, gates: Gates) -> None:
    wire = gates.add("one")
    server = live(APPS, "--graceful-timeout", "1h", environment=gates.environment)
    client = server.connect().send(wire)
    server.log.wait_for("one is held")
    server.send_signal(signal.SIGINT)
    server.log.wait_for("no new connections")
    server.send_signal(signal.SIGINT)
    with pytest.raises((CutOffError, ConnectionResetError)):
        client.response()
    assert server.exit_code() == 0
    assert "stops at once" in server.log.text


def test_an_end_without_work_is_quick_and_quiet(live: StartLive) -> None:
    server = live(APPS)
    assert server.ask(request()).status == 200
    server.send_signal(signal.SIGINT)
    assert server.exit_code() == 0
    assert "Traceback" not in server.log.text
    assert "WARNING" not in server.log.text
    assert "ERROR" not in server.log.text


def test_a_killed_one_leaves_a_socket_that_the_next_one_takes(live: StartLive) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "s")
        first: Live = live(APPS, "--bind", f"unix:{path}")
        assert first.ask(request()).status == 200
        first.send_signal(signal.SIGKILL)
        first.exit_code()
        assert path.is_socket()
        second: Live = live(APPS, "--bind", f"unix:{path}")
        assert second.ask(request()).status == 200
        second.send_signal(signal.SIGTERM)
        assert second.exit_code() == 0
        assert not path.exists()


# Errors


def test_an_address_in_use(live: StartLive) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = live(APPS, "--bind", f"127.0.0.1:{port}")
        assert server.exit_code() == 1
    assert f"Cannot listen on 127.0.0.1:{port}: the address is already in use." in server.log.text
    assert "Traceback" not in server.log.text


def test_an_address_in_use_by_a_unix_socket(live: StartLive) -> None:
    with tempfile.TemporaryDirectory() as directory:
        first: Live = live(APPS, "--bind", f"unix:{directory}/s")
        assert first.ask(request()).status == 200
        second: Live = live(APPS, "--bind", f"unix:{directory}/s")
        assert second.exit_code() == 1
        assert "already in use" in second.log.text
        assert first.ask(request()).status == 200


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["no_such_module"], 3, "no_such_module"),
        ([f"{APPS}:no_such_app"], 3, "no_such_app"),
        ([APPS, "--threads", "0"], 2, "0 is too small"),
        ([APPS, "--bind", "127.0.0.1:99999"], 2, "99999"),
        ([APPS, "--no-such-option"], 2, "--no-such-option"),
        ([APPS, "--spool-directory", "/no/such/directory"], 1, "/no/such/directory"),
    ],
)
def test_what_cannot_be_started(
    live: StartLive, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    server = live(*arguments, directory=tmp_path)
    assert server.exit_code() == code
    assert message in server.log.text
    assert "Traceback" not in server.log.text
    assert server.output.text == ""


def test_a_module_that_fails_shows_its_own_traceback(live: StartLive, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def f():\n    raise RuntimeError('at import')\n\nf()\n")
    server = live("broken", directory=tmp_path)
    assert server.exit_code() == 3
    assert "RuntimeError: at import" in server.log.text
    assert "broken.py" in server.log.text
    assert "app_loader" not in server.log.text


def test_the_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pelton", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert done.stdout == f"pelton {pelton.__version__}\n"


# Logs

_LINE = (
    r"127\.0\.0\.1 - - \[[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2} \+0000\] "
    r'"%s" %s "%s" "%s"$'
)


def test_the_access_log(live: StartLive) -> None:
    server = live(APPS, "--access-log", "-")
    with server.connect() as client:
        response = client.ask(
            request(target="/a?b=%20", fields=[("User-Agent", 'x"y'), ("Referer", "http://r/")])
        )
        client.ask(request("HEAD", "/b"))
        client.ask(request(target="/fail"))
        client.ask(b"GET /\x01 HTTP/1.1\r\n\r\n")
    size = len(response.body)
    server.output.wait_for("^" + _LINE % (r"GET /a\?b=%20 HTTP/1\.1", f"200 {size}", "http://r/", r"x\\x22y"))
    server.output.wait_for("^" + _LINE % ("HEAD /b HTTP/1.1", "200 0", "-", "-"))
    server.output.wait_for("^" + _LINE % ("GET /fail HTTP/1.1", "500 21", "-", "-"))
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    # What was no request has no line, or at least none that it could forge.
    assert len(server.output.text.splitlines()) in (3, 4)
    assert "intended failure" in server.log.text


def test_an_access_log_in_a_file_is_appended_to(live: StartLive, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("before\n")
    server = live(APPS, "--access-log", path)
    assert server.ask(request(target="/x")).status == 200
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    first, second = path.read_text().splitlines()
    assert first == "before"
    assert '"GET /x HTTP/1.1" 200' in second
    assert server.output.text == ""


def test_the_log_level(live: StartLive) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "s")
        server = live(APPS, "--log-level", "error", "--bind", f"unix:{path}")
        eventually(path.is_socket, "it listens")

        def responses() -> bool:
            try:
                with Client(f"unix:{path}") as client:
                    return client.ask(request(target="/fail")).status == 500
            except ConnectionRefusedError:
                return False

        eventually(responses, "it answers")
        server.log.wait_for("intended failure")
        server.send_signal(signal.SIGTERM)
        assert server.exit_code() == 0
        assert "listens on" not in server.log.text
