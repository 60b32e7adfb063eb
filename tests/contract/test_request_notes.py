"""What the front notes of requests and tells: Server-Timing, ids, traces, whom a line names."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from support.apps import answer, held, hello, report, streaming
from support.client import request
from support.serving import Serve, Server
from support.waiting import Gate, eventually

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TIMING = re.compile(r"queue;dur=(\d+\.\d\d), app;dur=(\d+\.\d\d)")


def lines_of(path: Path, count: int) -> list[dict[str, Any]]:
    eventually(lambda: path.read_bytes().count(b"\n") >= count, f"{count} lines")
    return [json.loads(line) for line in path.read_text().splitlines()]


def wait_for_line(path: Path) -> None:
    eventually(lambda: path.read_text() != "", "a line")


def environ_of(server: Server, data: bytes) -> dict[str, Any]:
    environ = server.ask(data).json()["environ"]
    assert isinstance(environ, dict)
    return environ


@pytest.mark.parametrize("app", [hello, streaming(b"a", b"b")])
@pytest.mark.parametrize("has_log", [False, True])
def test_server_timing(serve: Serve, tmp_path: Path, app: Any, has_log: bool) -> None:
    more = {"access_log": str(tmp_path / "log")} if has_log else {}
    server = serve(app, server_timing=True, **more)
    client = server.connect()
    for _ in range(2):
        (told,) = client.ask(request()).all("Server-Timing")
        assert TIMING.fullmatch(told)


def test_the_time_in_the_application_is_not_that_in_the_queue(serve: Serve) -> None:
    gate = Gate()
    server = serve(held(gate), server_timing=True, threads=1)
    first, second = server.connect(), server.connect()
    first.send(request())
    gate.wait_for(1)
    second.send(request())
    server.wait_for_counter("requests_dispatched", 2)
    # Long enough for the coarse clock.
    since = time.monotonic()
    eventually(lambda: time.monotonic() > since + 0.1, "time passes")
    gate.open()
    times = []
    for client in (first, second):
        told = TIMING.fullmatch(client.response().all("Server-Timing")[0])
        assert told is not None
        times.append((float(told[1]), float(told[2])))
    (_, running), (waiting, _) = times
    assert running >= 50
    assert waiting >= 50


def test_server_timing_of_the_application_stays_and_others_have_none(serve: Serve) -> None:
    own = answer(fields=[("Server-Timing", "db;dur=5")])
    assert serve(own, server_timing=True).ask(request()).all("Server-Timing") == ["db;dur=5"]
    assert serve(hello).ask(request()).all("Server-Timing") == []
    refused = serve(hello, server_timing=True).ask(b"GET / HTTP/1.1\r\n\r\n")
    assert (refused.status, refused.all("Server-Timing")) == (400, [])


@pytest.mark.parametrize(
    ("settings", "is_theirs"),
    [
        ({}, False),
        ({"trust_request_id": True}, True),
        ({"trusted_proxies": "127.0.0.1"}, True),
        ({"trusted_proxies": "10.0.0.0/8"}, False),
    ],
)
def test_an_id_is_in_the_environ_and_comes_from_whom_is_believed(
    serve: Serve, settings: dict[str, Any], is_theirs: bool
) -> None:
    server = serve(report, request_id=True, **settings)
    for method, body in (("GET", None), ("POST", b"x"), ("POST", b"x" * 100_000)):
        environ = environ_of(server, request(method, fields=[("X-Request-ID", "theirs-1")], body=body))
        found = environ["pelton.request_id"]
        assert environ["HTTP_X_REQUEST_ID"] == found
        assert (found == "theirs-1") == is_theirs
        assert is_theirs or re.fullmatch("[0-9a-f]{32}", found)


def test_without_need_there_is_no_id(serve: Serve) -> None:
    environ = environ_of(serve(report), request(fields=[("X-Request-ID", "a")]))
    assert environ["HTTP_X_REQUEST_ID"] == "a"
    assert "pelton.request_id" not in environ


def test_an_id_of_the_log_is_the_one_of_the_environ(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "log"
    server = serve(report, access_log=str(path), access_log_format="json")
    environ = environ_of(server, request(fields=[("Traceparent", TRACE), ("Tracestate", "a=b")]))
    assert (environ["HTTP_TRACEPARENT"], environ["HTTP_TRACESTATE"]) == (TRACE, "a=b")
    (line,) = lines_of(path, 1)
    assert line["pelton.request_id"] == environ["pelton.request_id"]
    assert (line["trace_id"], line["span_id"], line["trace_flags"]) == (
        *TRACE.split("-")[1:3],
        "01",
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["timestamp"])


@pytest.mark.parametrize("trusted", ["127.0.0.1", ""])
def test_lines_name_the_client_that_the_application_sees(serve: Serve, tmp_path: Path, trusted: str) -> None:
    fields = [("X-Forwarded-For", "203.0.113.9")]
    client = "203.0.113.9" if trusted else "127.0.0.1"
    for form in ("json", "combined"):
        path = tmp_path / form
        server = serve(report, access_log=str(path), access_log_format=form, trusted_proxies=trusted)
        assert environ_of(server, request(fields=fields))["REMOTE_ADDR"] == client
        if form == "json":
            (line,) = lines_of(path, 1)
            assert line["client.address"] == client
            assert line.get("network.peer.address") == ("127.0.0.1" if trusted else None)
        else:
            wait_for_line(path)
            assert path.read_text().startswith(f"{client} - - [")


@pytest.mark.parametrize("is_logged", [False, True])
def test_health_checks_have_lines_where_that_is_wanted(serve: Serve, tmp_path: Path, is_logged: bool) -> None:
    path = tmp_path / "log"
    server = serve(
        hello,
        health_path="/-/health",
        access_log_health=is_logged,
        access_log=str(path),
        access_log_format="json",
    )
    answer = server.ask(request(target="/-/health/livez"))
    server.ask(request(target="/other"))
    lines = lines_of(path, 1 + is_logged)
    paths = [line["url.path"] for line in lines]
    assert paths == ["/-/health/livez", "/other"] if is_logged else ["/other"]
    if is_logged:
        assert lines[0]["http.response.status_code"] == 200
        assert lines[0]["http.response.body.size"] == len(answer.body)


def test_responses_of_the_front_count_their_bytes(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "log"
    server = serve(hello, access_log=str(path), access_log_format="json")
    answer = server.ask(b"GET / HTTP/1.1\r\n\r\n")
    (line,) = lines_of(path, 1)
    assert (line["http.response.status_code"], line["http.response.body.size"]) == (400, len(answer.body))
    assert answer.body
