"""The same script under Werkzeug's own server and under pelton: the table in docs/flask.md, line by line.

Where both mean the same, one test runs against each; where they differ, the test says what each does.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from support.certificates import connect, context_for, make_files
from support.client import Client, request
from support.development import SERVERS, SIMPLE_SCRIPT, Development
from support.gates import Gates
from support.waiting import DEADLINE, eventually

Start = Callable[..., Development]

# What only one of them has, or what each names after itself.
OWN_KEYS = {"SERVER_SOFTWARE", "REMOTE_PORT", "SERVER_PORT", "HTTP_HOST"}


@pytest.fixture
def run() -> Iterator[Start]:
    """Starts the script; the server's name, then arguments of run_simple."""
    with ExitStack() as stack:

        def start(
            server: str,
            *,
            does: str = "",
            environment: dict[str, str] | None = None,
            directory: Path | None = None,
            **arguments: Any,
        ) -> Development:
            return stack.enter_context(
                Development(
                    *SERVERS[server],
                    SIMPLE_SCRIPT,
                    arguments=arguments,
                    directory=directory,
                    environment={"SCRIPT_DOES": does, **(environment or {})},
                )
            )

        yield start


both = pytest.mark.parametrize("server", list(SERVERS))


# Concurrency

MODES: list[tuple[dict[str, Any], bool, bool]] = [
    ({}, False, False),
    ({"threaded": True}, True, False),
    ({"processes": 3}, False, True),
]


@both
@pytest.mark.parametrize(("arguments", "multithread", "multiprocess"), MODES)
def test_the_application_is_told_how_it_is_called(
    run: Start, server: str, arguments: dict[str, Any], multithread: bool, multiprocess: bool
) -> None:
    flags = run(server, **arguments).get("/").json()["flags"]
    assert (flags["wsgi.multithread"], flags["wsgi.multiprocess"]) == (multithread, multiprocess)
    assert flags["wsgi.run_once"] is False


@both
@pytest.mark.parametrize("arguments", [{"threaded": True}, {"processes": 3}])
def test_three_at_a_time(run: Start, server: str, arguments: dict[str, Any], tmp_path: Path) -> None:
    gates = Gates(tmp_path)
    script = run(server, environment=gates.environment, **arguments)
    responses = _hold(script, gates, 3)
    pids = {script.log.wait_for(rf"{name} is held by (\d+)")[1] for name in "abc"}
    assert len(pids) == (1 if "threaded" in arguments else 3)
    _release(gates, responses)


def test_pelton_has_threads_in_processes_where_werkzeug_refuses(run: Start, tmp_path: Path) -> None:
    werkzeug = run("werkzeug", threaded=True, processes=2)
    assert werkzeug.exit_code() == 1
    assert "Cannot have a multi-thread and multi-process server" in werkzeug.log.text
    gates = Gates(tmp_path)
    script = run(
        "pelton",
        threaded=True,
        processes=2,
        environment={**gates.environment, "PELTON_THREADS": "2"},
    )
    flags = script.get("/").json()["flags"]
    assert flags["wsgi.multithread"] is True
    assert flags["wsgi.multiprocess"] is True
    responses = _hold(script, gates, 4)
    pids = [script.log.wait_for(rf"{name} is held by (\d+)")[1] for name in "abcd"]
    assert sorted(pids.count(pid) for pid in set(pids)) == [2, 2]
    _release(gates, responses)


def test_without_threads_pelton_runs_one_at_a_time(run: Start, tmp_path: Path) -> None:
    gates = Gates(tmp_path)
    script = run("pelton", environment={**gates.environment, "PELTON_HEALTH_PATH": "/-/health"})
    first = _hold(script, gates, 1)
    script.log.wait_for("a is held by")
    second = _Answer(script, "/")
    with Client(script.url) as client:

        def inside() -> int:
            verdict = client.ask(request(target="/-/health/readyz")).json()
            return int(verdict["running"]["count"]) + int(verdict["queue"]["length"])

        eventually(lambda: inside() == 2, "the second request has come")
    assert second.answer is None
    _release(gates, first)
    assert second.result().status_code == 200


# What the application sees

REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("/a/b", {}),
    ("/caf%C3%A9/%2F?x=%C3%A9&y=1", {}),
    ("/a;b=c", {"headers": {"X-One": "1", "Accept": "text/html"}}),
    ("/post", {"data": b"some text", "headers": {"Content-Type": "text/plain"}}),
    ("/under", {"headers": {"X_Under_Score": "no", "X-Under-Score": "yes"}}),
]


@pytest.mark.parametrize(("path", "others"), REQUESTS)
def test_environ(run: Start, path: str, others: dict[str, Any]) -> None:
    seen = {}
    for server in SERVERS:
        script = run(server, threaded=True)
        method = "POST" if "data" in others else "GET"
        seen[server] = requests.request(method, script.url + path, timeout=DEADLINE, **others).json()
    theirs, ours = seen["werkzeug"]["environ"], seen["pelton"]["environ"]
    differ = {
        key: (theirs.get(key), ours.get(key))
        for key in {*theirs, *ours} - OWN_KEYS
        if theirs.get(key) != ours.get(key)
    }
    assert differ == {}
    assert seen["werkzeug"]["body"] == seen["pelton"]["body"]


def test_two_slashes_at_the_beginning(run: Start) -> None:
    seen = {}
    for server in SERVERS:
        script = run(server, threaded=True)
        with Client(script.url) as client:
            seen[server] = client.ask(request(target="//double")).json()["environ"]["PATH_INFO"]
    # Python's http.server, below Werkzeug, takes one away; a WSGI server passes on what was asked for.
    assert seen == {"werkzeug": "/double", "pelton": "//double"}


def test_a_chunked_body(run: Start) -> None:
    seen = {}
    for server in SERVERS:
        script = run(server, threaded=True)
        response = requests.post(script.url, data=iter([b"one", b"two"]), timeout=DEADLINE).json()
        seen[server] = response["body"]
        assert response["flags"]["wsgi.input_terminated"] is True
    assert seen == {"werkzeug": "onetwo", "pelton": "onetwo"}


# Errors


@both
@pytest.mark.parametrize("arguments", [{}, {"threaded": True}, {"processes": 2}])
def test_an_exception_is_500_and_a_traceback(run: Start, server: str, arguments: dict[str, Any]) -> None:
    script = run(server, **arguments)
    assert script.get("/raise").status_code == 500
    script.log.wait_for("RuntimeError: the view failed")
    assert script.get("/").status_code == 200
    assert "Traceback (most recent call last)" in script.log.text


@both
@pytest.mark.parametrize("arguments", [{"threaded": True}, {"processes": 2}])
def test_a_client_that_goes_away_is_no_traceback(run: Start, server: str, arguments: dict[str, Any]) -> None:
    script = run(server, **arguments)
    with Client(script.url) as client:
        client.send(request(target="/endless")).wait_readable()
        client.reset()
    script.log.wait_for("the answer is closed")
    assert script.get("/").status_code == 200
    script.stop()
    assert "Traceback" not in script.log.text


@both
def test_an_exception_that_is_let_through_with_threads(run: Start, server: str) -> None:
    script = run(server, passthrough_errors=True, threaded=True)
    with suppress(requests.ConnectionError):
        script.get("/raise")
    script.log.wait_for("RuntimeError: the view failed")
    if server == "pelton":
        assert script.exit_code() == 1
    else:
        assert script.get("/").status_code == 200


@both
def test_an_exception_that_is_let_through_ends_a_server_without_threads(run: Start, server: str) -> None:
    script = run(server, passthrough_errors=True)
    # Werkzeug never answers; with pelton the end may come before the response has left.
    with suppress(requests.ConnectionError):
        script.get("/raise")
    assert script.exit_code() == 1
    assert "RuntimeError: the view failed" in script.log.text
    assert "behind run_simple" not in script.output.text


@both
@pytest.mark.parametrize("evalex", [True, False])
def test_the_debugger(run: Start, server: str, evalex: bool) -> None:
    script = run(server, use_debugger=True, use_evalex=evalex, threaded=True)
    response = script.get("/raise")
    assert response.status_code == 500
    assert "<title>RuntimeError: the view failed" in response.text
    assert f"EVALEX = {str(evalex).lower()}" in response.text
    # It answers nobody who came by a name that it was not told.
    console = script.get("/console", headers={"Host": "evil.example"})
    assert console.status_code == (400 if evalex else 200)


# Start and end


@both
@pytest.mark.parametrize("arguments", [{}, {"threaded": True}, {"processes": 2}])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, -15)])
def test_the_end(
    run: Start, server: str, arguments: dict[str, Any], number: signal.Signals, code: int
) -> None:
    script = run(server, **arguments)
    script.get("/")
    assert script.stop(number) == code
    assert ("behind run_simple" in script.output.text) == (number == signal.SIGINT)
    assert "Traceback" not in script.log.text


@both
def test_a_handler_of_the_program_stays_in_force(run: Start, server: str) -> None:
    script = run(server, does="terminate", threaded=True)
    script.get("/")
    assert script.stop(signal.SIGTERM) == 7


@both
def test_on_another_thread(run: Start, server: str) -> None:
    script = run(server, does="thread", threaded=True)
    assert script.get("/").status_code == 200
    assert script.stop() == 5


@both
def test_a_port_that_is_taken(run: Start, server: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        script = run(server, port=port)
        assert script.exit_code() == 1
    if server == "werkzeug":
        assert f"Port {port} is in use" in script.log.text
    else:
        assert re.search(
            rf"Cannot listen on 127\.0\.0\.1:{port}: the address is already in use", script.log.text
        )
        assert f"It is held by pid {os.getpid()} (" in script.log.text
        assert f"app.run(port={port + 1})" in script.log.text
    assert "Traceback" not in script.log.text


@both
def test_a_port_that_is_no_number(run: Start, server: str) -> None:
    script = run(server, port="8000")
    assert script.exit_code() == 1
    assert "TypeError: port must be an integer" in script.log.text


@both
def test_a_socket_file(run: Start, server: str, tmp_path: Path) -> None:
    path = tmp_path / "s"
    script = run(server, hostname=f"unix://{path}", threaded=True)
    script.log.wait_for(r"Running on unix:")
    with Client(f"unix:{path}") as client:
        response = client.ask(request(target="/")).json()
    assert response["environ"]["PATH_INFO"] == "/"


@both
def test_static_files(run: Start, server: str, tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("content")
    script = run(server, static_files={"/static": str(tmp_path)})
    assert script.get("/static/page.txt").text == "content"
    assert script.get("/static/none.txt").json()["environ"]["PATH_INFO"] == "/static/none.txt"


@both
def test_tls(run: Start, server: str, tmp_path: Path) -> None:
    files = make_files(tmp_path)
    script = run(server, ssl_context=(str(files.certificate), str(files.key)))
    address = script.log.wait_for(r"Running on (https://127\.0\.0\.1:\d+)")[1]
    with connect(address, context_for(files)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        got = b""
        while piece := client.recv(65536):
            got += piece
    assert b" 200 OK\r\n" in got
    assert b'"wsgi.url_scheme": "https"' in got


# What is logged


@both
def test_access_lines(run: Start, server: str) -> None:
    script = run(server, threaded=True)
    for path in ("/", "/caf%C3%A9?q=1", "/raise"):
        script.get(path)
    script.stop()
    lines = script.log.all(r'^127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4} \d\d:\d\d:\d\d\] (".*)$')
    # Werkzeug colours them whatever they are written to.
    assert sorted(re.sub(r"\x1b\[\d+m", "", line[1]) for line in lines) == [
        '"GET / HTTP/1.1" 200 -',
        '"GET /café?q=1 HTTP/1.1" 200 -',
        '"GET /raise HTTP/1.1" 500 -',
    ]


@both
@pytest.mark.parametrize("arguments", [{"threaded": True}, {"processes": 2}])
def test_no_line_is_lost_at_the_end(run: Start, server: str, arguments: dict[str, Any]) -> None:
    script = run(server, **arguments)
    for number in range(30):
        script.get(f"/{number}")
    script.stop()
    assert len(script.log.all('"GET /')) == 30


@both
def test_the_level_of_the_logger_is_heeded(run: Start, server: str, tmp_path: Path) -> None:
    path = tmp_path / "s"
    script = run(server, does="quiet", hostname=f"unix://{path}", threaded=True)
    _until_it_listens(path)
    with Client(f"unix:{path}") as client:
        client.ask(request(target="/"))
    script.stop()
    assert "GET /" not in script.log.text
    assert "Running" not in script.log.text


@both
def test_the_programs_own_handlers_get_the_lines(run: Start, server: str, tmp_path: Path) -> None:
    path = tmp_path / "s"
    script = run(server, does="file", hostname=f"unix://{path}", directory=tmp_path, threaded=True)
    _until_it_listens(path)
    with Client(f"unix:{path}") as client:
        client.ask(request(target="/wanted"))
    script.stop()
    log = (tmp_path / "app.log").read_text()
    assert re.search(r'^werkzeug\|INFO\|.* "(\x1b\[\d+m)*GET /wanted HTTP/1.1', log, re.MULTILINE)
    assert script.log.text == ""


def test_a_request_handler_is_named_where_it_does_not_apply(run: Start) -> None:
    werkzeug, script = run("werkzeug", does="handler"), run("pelton", does="handler")
    for one in (werkzeug, script):
        assert one.get("/").status_code == 200
        one.stop()
    assert "GET /" not in werkzeug.log.text
    assert "pelton does not use log_request" in script.log.text
    assert 'logging.getLogger("werkzeug").setLevel' in script.log.text


# Helpers


class _Answer:
    """A request in a thread of its own."""

    def __init__(self, script: Development, path: str) -> None:
        self.answer: requests.Response | None = None
        url = script.url

        def ask() -> None:
            self.answer = requests.get(url + path, timeout=DEADLINE)

        self._thread = threading.Thread(target=ask, daemon=True)
        self._thread.start()

    def result(self) -> requests.Response:
        self._thread.join(DEADLINE)
        assert self.answer is not None, "there was no answer"
        return self.answer


def _hold(script: Development, gates: Gates, count: int) -> dict[str, _Answer]:
    names = "abcdefgh"[:count]
    for name in names:
        gates.add(name)
    return {name: _Answer(script, f"/hold/{name}") for name in names}


def _release(gates: Gates, responses: dict[str, _Answer]) -> None:
    for name, one in responses.items():
        gates.open(name)
        assert one.result().status_code == 200


def _until_it_listens(path: Path) -> None:
    def listens() -> bool:
        try:
            Client(f"unix:{path}").close()
        except OSError:
            return False
        return True

    eventually(listens, "it listens")
