"""The access log: its forms, what hostile clients cannot do to it, lines for what never reached Python."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from conftest import StartLive
from support.client import Client, CutOffError, WrongResponseError, request
from support.live import PROCESS_APP
from support.waiting import DEADLINE, eventually


def lines_of(path: Path, count: int) -> list[dict[str, Any]]:
    """The lines, once there are ``count``."""
    eventually(lambda: path.read_bytes().count(b"\n") >= count, f"{count} lines")
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("workers", ["0", "1"], ids=["one process", "a worker"])
def test_json_lines(live: StartLive, tmp_path: Path, workers: str) -> None:
    path = tmp_path / "log"
    server = live(PROCESS_APP, "--workers", workers, "--access-log", path, "--access-log-format", "json")
    fields = [("User-Agent", 'a"b'), ("Traceparent", "00-ab-cd-01"), ("X-Request-ID", "theirs")]
    response = server.ask(request(target="/path%20x?a=b", fields=fields))
    (line,) = lines_of(path, 1)
    assert line["http.request.method"] == "GET"
    assert (line["url.path"], line["url.query"]) == ("/path%20x", "a=b")
    assert line["user_agent.original"] == 'a"b'
    assert line["traceparent"] == "00-ab-cd-01"
    assert re.fullmatch("[0-9a-f]{32}", line["pelton.request_id"])
    assert line["http.response.status_code"] == 200
    assert line["http.response.body.size"] == len(response.body)
    assert line["pelton.outcome"] == "complete"
    assert str(line["process.pid"]) == response.text
    assert line["pelton.worker"] == 1
    assert 0 < line["pelton.first_byte_time"] <= line["http.server.request.duration"]
    assert line["pelton.application_time"] + line["pelton.queue_time"] > 0


def test_atoms(live: StartLive, tmp_path: Path) -> None:
    path = tmp_path / "log"
    form = (
        "%(h)s|%(l)s|%(u)s|%(r)s|%(m)s|%(U)s|%(q)s|%(H)s|%(s)s|%(B)s|%(b)s|%(f)s|%(a)s|%(T)s|%(M)s|%(D)s|%(L)s|"
        "%(p)s|%({X-A}i)s|%({content-type}o)s|%({REQUEST_METHOD}e)s|%({HTTP_X_A}e)s|%({X-None}i)s|%(t)s|100%%"
    )
    server = live(PROCESS_APP, "--workers", "1", "--access-log", path, "--access-log-format", form)
    fields = [
        ("Authorization", "Basic YWxpY2U6c2VjcmV0"),
        ("Referer", "r"),
        ("User-Agent", "u"),
        ("x-a", "1\\2"),
    ]
    pid = server.ask(request(target="/p?q", fields=fields)).text
    eventually(lambda: path.read_text() != "", "a line")
    values = path.read_text().rstrip("\n").split("|")
    assert values[:13] == [
        *("127.0.0.1", "-", "alice", "GET /p?q HTTP/1.1", "GET", "/p", "q", "HTTP/1.1", "200"),
        *(str(len(pid)), str(len(pid)), "r", "u"),
    ]
    assert values[13] == "0"
    assert int(values[14]) <= int(values[15])
    assert float(values[16]) == int(values[15]) / 1_000_000
    assert values[17:23] == [f"<{pid}>", "1\\x5c2", "text/plain", "GET", "1\\x5c2", "-"]
    assert re.fullmatch(r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\]", values[23])
    assert values[24] == "100%"


def test_an_id_of_the_request(live: StartLive, tmp_path: Path) -> None:
    path = tmp_path / "log"
    options = ("--access-log", path, "--access-log-format", "json")
    for more, is_theirs in (((), False), (("--trust-request-id",), True)):
        server = live(PROCESS_APP, "--workers", "1", *options, *more)
        seen = [
            server.ask(request(*asked, fields=[("X-Request-ID", given)], body=body)).json()["environ"]
            for asked, given, body in (
                (("GET", "/told"), "theirs-1", None),
                (("POST", "/told"), "theirs-1", b"x" * 100_000),
                # What is no id is not taken over in any case.
                (("GET", "/told"), "a b", None),
            )
        ]
        ids = [environ["HTTP_X_REQUEST_ID"] for environ in seen]
        assert ids == [line["pelton.request_id"] for line in lines_of(path, 3)]
        made = [bool(re.fullmatch("[0-9a-f]{32}", one)) for one in ids]
        assert made == [not is_theirs, not is_theirs, True]
        assert len(set(ids)) == (2 if is_theirs else 3)
        server.send_signal(signal.SIGTERM)
        assert server.exit_code() == 0
        path.write_text("")


def test_what_never_reached_python_or_never_finished(live: StartLive, tmp_path: Path) -> None:
    path = tmp_path / "log"
    server = live(
        *(PROCESS_APP, "--workers", "1", "--threads", "1", "--access-log", path),
        *("--access-log-format", "json", "--head-timeout", "500ms", "--request-timeout", "700ms"),
    )
    with server.connect() as client:
        client.send(b"GET /\x01 HTTP/1.1\r\n\r\n")
        assert client.response().status == 400
    (line,) = lines_of(path, 1)
    assert line["pelton.outcome"] == "refused"
    assert line["http.response.status_code"] == 400
    assert line["pelton.request_line"] == "GET /\x01 HTTP/1.1"
    with server.connect() as client:
        client.send(b"GET / HTT")
        assert client.response().status == 408
    assert lines_of(path, 2)[1]["pelton.outcome"] == "head too late"
    assert server.ask(request(target="/kill")).status == 502
    line = lines_of(path, 3)[2]
    assert (line["pelton.outcome"], line["http.response.status_code"]) == ("worker lost", 502)
    assert line["process.pid"] > 0
    with server.connect() as client:
        client.send(request("POST", "/", fields=[("Content-Length", "9"), ("Expect", "100-continue")]))
        # The leave to send it: by then the head is known.
        client.wait_readable()
        client.reset()
    line = lines_of(path, 4)[3]
    assert line["pelton.outcome"] in ("client gone", "connection broken")
    assert "http.response.status_code" not in line


def test_what_was_cut_off_is_told_with_what_was_taken(live: StartLive, tmp_path: Path) -> None:
    path = tmp_path / "log"
    server = live(
        *(PROCESS_APP, "--workers", "1", "--write-timeout", "1s"),
        *("--access-log", path, "--access-log-format", "json"),
    )
    with server.connect(receive_buffer=4096) as client:
        client.send(request(target="/large/30000000"))
        client.head()
        taken = len(client.piece())
        (line,) = lines_of(path, 1)
    assert line["pelton.outcome"] == "write timeout"
    # What lies in this end's buffer has been taken, too.
    assert taken <= line["http.response.body.size"] < taken + 200_000


def test_a_full_disk_is_called_by_its_name(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1", "--access-log", "/dev/full")
    assert server.ask(request()).status == 200
    server.log.wait_for("1 lines? of the access log .* lost: No space left on device")
    assert not server.log.all("not .* fast enough")


def hostile(draw: random.Random) -> bytes:
    """Bytes that may stand in a field, and want to end it."""
    parts = [
        b'"',
        b"\\",
        b"\xff",
        b"\xe2\x80\xa8",
        b"\xc2\x85",
        b"\x80",
        b"'",
        b'","x":"',
        b"%(h)s",
        b"%",
        b"a b",
        b"\t",
    ]
    return b"".join(draw.choice(parts) for _ in range(draw.randrange(1, 8))).strip(b" \t")


def test_hostile_bytes_forge_no_line(live: StartLive, tmp_path: Path) -> None:
    count = int(os.environ.get("PELTON_HOSTILE_LINES", "2000"))
    draw = random.Random(11)
    path = tmp_path / "log"
    server = live(PROCESS_APP, "--access-log", path, "--access-log-format", "json")
    sent = done = 0
    while sent < count:
        with server.connect() as client:
            for _ in range(min(500, count - sent)):
                sent += 1
                target = b"/" + hostile(draw).replace(b" ", b"%20").replace(b"\t", b"")
                if draw.randrange(8) == 0:
                    target += draw.choice([b"\x00", b"\x1b[2J", b"\r", b" GET / HTTP/1.1"])
                data = b"GET " + target + b" HTTP/1.1\r\nHost: h\r\nUser-Agent: " + hostile(draw)
                data += b"\r\nReferer: " + hostile(draw) + b"\r\nX-Request-ID: " + hostile(draw) + b"\r\n\r\n"
                try:
                    response = client.ask(data)
                except (CutOffError, WrongResponseError, OSError):
                    break
                done += 1
                if not response.keeps_connection:
                    break
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    data = path.read_bytes()
    assert all(byte == 0x0A or 0x20 <= byte < 0x7F for byte in data)
    lines = data.decode().splitlines()
    assert done <= len(lines) <= sent
    assert all(json.loads(line)["severity_text"] == "INFO" for line in lines)


@pytest.mark.parametrize(
    ("form", "what"), [("%(zz)s", "no atom"), ("%(h", "without an atom"), ("x", "says nothing")]
)
def test_a_form_that_means_nothing(live: StartLive, form: str, what: str) -> None:
    server = live(PROCESS_APP, "--access-log", "-", "--access-log-format", form)
    assert server.exit_code() == 2
    assert what in server.log.text


@pytest.mark.parametrize("workers", ["0", "1"], ids=["one process", "a worker"])
@pytest.mark.parametrize("form", ["combined", "json"])
def test_a_syslog_gets_a_datagram_for_each_line(
    live: StartLive, tmp_path: Path, workers: str, form: str
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(tmp_path / "syslog"))
        syslog.settimeout(DEADLINE)
        server = live(
            *(PROCESS_APP, "--workers", workers, "--access-log", "syslog", "--access-log-format", form),
            *("--log-syslog", f"unix:{tmp_path}/syslog", "--bind", f"unix:{tmp_path}/socket"),
        )
        # Messages go there, too.
        while "listens on" not in syslog.recv(9000).decode():
            pass
        with Client(f"unix:{tmp_path}/socket") as client:
            for _ in range(2):
                assert client.ask(request(target="/a")).status == 200
        lines: list[str] = []
        while len(lines) < 2:
            text = syslog.recv(9000).decode()
            if text.startswith("<30>pelton: "):
                lines.append(text.removeprefix("<30>pelton: "))
        if form == "json":
            assert {json.loads(line)["url.path"] for line in lines} == {"/a"}
        else:
            assert all('"GET /a HTTP/1.1" 200' in line and "\n" not in line for line in lines)
        server.send_signal(signal.SIGTERM)
        assert server.exit_code() == 0


def test_a_syslog_that_is_not_named(live: StartLive) -> None:
    server = live(PROCESS_APP, "--access-log", "syslog")
    assert server.exit_code() == 2
    assert "--log-syslog" in server.log.text
