"""WebSockets over HTTP/2 (RFC 8441): flask-sock and Flask-SocketIO, unchanged, several on one connection."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import requests
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from conftest import StartLive
from support.certificates import context_for, make_files
from support.http2 import Http2Client
from support.http2_websocket import ASKING, Http2WebSocket
from support.kinds import IS_ONE_OF_MANY
from support.live import Live
from support.processes import children_of
from support.waiting import DEADLINE, eventually

APP = "support.websocket_app:app"
CHAT = "support.websocket_app:chat"
HERE = str(Path(__file__).parents[1])
WAYS = pytest.mark.parametrize("workers", ["0", "2"], ids=["one-process", "two-workers"])

DATA, GOAWAY = 0, 7

pytestmark = pytest.mark.skipif(IS_ONE_OF_MANY, reason="each test names the kinds that it needs")


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as made:
        yield made


def start(live: StartLive, *arguments: str, application: str = APP, mode: str = "threading") -> Live:
    environment = {"PYTHONPATH": HERE, "PELTON_TEST_ASYNC_MODE": mode}
    arguments = ("--bind", "h2c://127.0.0.1:0", "--access-log", "-", *arguments)
    server: Live = live(application, *arguments, environment=environment)
    if "--workers" in arguments and (count := int(arguments[arguments.index("--workers") + 1])):
        server.ready_workers(count)
    return server


def connect(
    server: Live, stack: contextlib.ExitStack, settings: dict[SettingCodes, int] | None = None
) -> Http2Client:
    return stack.enter_context(Http2Client(int(server.addresses[0].rpartition(":")[2]), settings))


@WAYS
def test_echo(live: StartLive, workers: str, stack: contextlib.ExitStack) -> None:
    server = start(live, "--workers", workers, "--threads", "2")
    client = connect(server, stack)
    one = Http2WebSocket(client, "/echo", ("sec-websocket-key", "forged"))
    assert int(one.recv()) > 0
    assert client.h2.remote_settings.enable_connect_protocol == 1
    assert not {"connection", "upgrade", "sec-websocket-accept"} & client.fields[one.stream].keys()
    for data in ("hello", "ü" * 100, "x" * 2_000_000, b"\0\xff"):
        one.send(data)
        assert one.recv() == data
    # Many on one connection, and pages beside them.
    others = [Http2WebSocket(client, "/echo") for _ in range(20)]
    assert len({other.recv() for other in others}) == (2 if workers == "2" else 1)
    page = client.ask("/")
    client.wait_for(page)
    assert client.status[page] == "200"
    for number, other in enumerate(others):
        other.send(str(number))
    assert [other.recv() for other in others] == [str(number) for number in range(20)]
    one.send("bye")
    assert one.recv() == ""
    client.wait_for(one.stream)
    others[0].end()
    client.wait_for(others[0].stream)
    assert (client.reset, client.goaway) == ({}, [])
    server.output.wait_for(r'"GET /echo HTTP/2\.0" 200')
    assert server.log.all("ERROR|Traceback") == []


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("threads", "threading"),
        *(("gevent", mode) for mode in ("threading", "gevent")),
        *(("eventlet", mode) for mode in ("threading", "eventlet")),
    ],
)
def test_a_chat(live: StartLive, kind: str, mode: str, stack: contextlib.ExitStack) -> None:
    """The few packets of Socket.IO that it takes."""
    server = start(live, "-k", kind, "--workers", "1", application=CHAT, mode=mode)
    client = connect(server, stack)
    people = [Http2WebSocket(client, "/socket.io/?EIO=4&transport=websocket") for _ in range(3)]
    for person in people:
        assert str(person.recv()).startswith("0{")
        person.send("40")
        assert str(person.recv()).startswith("40")
        person.send('42["enter","kitchen"]')
        assert person.recv() == '42["entered","kitchen"]'
    people[0].send("42" + json.dumps(["say", {"room": "kitchen", "text": "tea?"}]))
    assert [person.recv() for person in people] == ['42["said","tea?"]'] * 3
    assert server.log.all("ERROR|Traceback") == []


def is_refused(client: Http2Client, path: str, status: str) -> bool:
    asked = Http2WebSocket(client, path)
    found = asked.status
    client.wait_for(asked.stream)
    return found == status


def test_refusals(live: StartLive, stack: contextlib.ExitStack) -> None:
    server = start(live, "--websocket-threads", "1")
    client = connect(server, stack)
    for path, status in (("/private", "401"), ("/nowhere", "404"), ("/", "400")):
        # The one before is heard of before its place is free again.
        eventually(partial(is_refused, client, path, status), path)
    for fields, status in (((), "501"), (((":protocol", "connect-udp"), *ASKING[1:]), "501")):
        stream = client.ask("/echo", method="CONNECT", fields=fields, ends=False)
        client.wait_for(stream)
        assert (client.status[stream], client.reset[stream]) == (status, ErrorCodes.NO_ERROR)
    stream = client.ask("/echo", fields=ASKING, ends=False)
    client.wait_for(stream)
    assert (client.status[stream], client.reset[stream]) == ("400", ErrorCodes.PROTOCOL_ERROR)
    opened = []

    def is_open() -> bool:
        opened.append(Http2WebSocket(client, "/echo"))
        return opened[-1].status == "200"

    eventually(is_open, "a place is free again")
    assert Http2WebSocket(client, "/echo").status == "503"
    assert client.goaway == []


def test_they_can_be_left_out(live: StartLive, stack: contextlib.ExitStack) -> None:
    client = connect(start(live, "--websocket-threads", "0"), stack)
    stream = client.ask("/echo", method="CONNECT", fields=ASKING, ends=False)
    client.wait_for(stream)
    assert client.status[stream] == "400"
    assert client.h2.remote_settings.enable_connect_protocol == 0


def test_a_client_that_does_not_read_holds_up_itself_only(
    live: StartLive, stack: contextlib.ExitStack
) -> None:
    server = start(live)
    client = connect(server, stack, {SettingCodes.INITIAL_WINDOW_SIZE: 20_000})
    client.takes = False
    stalled = Http2WebSocket(client, "/echo")
    pid = stalled.recv()
    stalled.send("x" * 30_000)
    while len(client.body[stalled.stream]) < 20_000 - 20:
        assert client.receive()
    other = Http2WebSocket(client, "/echo")
    assert other.recv() == pid
    client.h2.increment_flow_control_window(20_000, stalled.stream)
    client.flush()
    assert stalled.recv() == "x" * 30_000


def test_a_reset_is_the_end_for_the_view(live: StartLive, stack: contextlib.ExitStack) -> None:
    server = start(live)
    client = connect(server, stack)
    one = Http2WebSocket(client, "/tells")
    assert one.recv() == "open"
    client.h2.reset_stream(one.stream, ErrorCodes.CANCEL)
    client.flush()
    server.log.wait_for("the view got ConnectionClosed")
    page = client.ask("/")
    client.wait_for(page)
    assert client.status[page] == "200"


def test_a_fault_in_the_view_ends_the_stream(live: StartLive, stack: contextlib.ExitStack) -> None:
    server = start(live)
    client = connect(server, stack)
    one = Http2WebSocket(client, "/fails")
    assert [one.recv(), one.recv()] == ["soon", ""]
    client.wait_for(one.stream)
    server.log.wait_for("a fault in the view")


@WAYS
def test_stopping_says_goodbye_and_ends_them(
    live: StartLive, workers: str, stack: contextlib.ExitStack
) -> None:
    server = start(live, "--workers", workers)
    client = connect(server, stack)
    sockets = [Http2WebSocket(client, "/echo") for _ in range(4)]
    for one in sockets:
        one.recv()
    server.send_signal(signal.SIGTERM)
    frames = client.frames_until_end()
    # After its own state machine a GOAWAY is the end of everything, so the frames are looked at as they are.
    assert {one.stream for one in frames if one.kind == DATA and one.flags & 1} == {
        one.stream for one in sockets
    }
    assert {one.payload[4:8] for one in frames if one.kind == GOAWAY} == {bytes(4)}
    assert server.exit_code() == 0
    assert server.log.all("left behind|Traceback") == []


def test_reloading_ends_them_and_the_connection_goes_on(live: StartLive, stack: contextlib.ExitStack) -> None:
    server = start(live, "--workers", "2")
    client = connect(server, stack)
    one = Http2WebSocket(client, "/echo")
    old = one.recv()
    server.send_signal(signal.SIGHUP)
    assert one.recv() == ""
    other = Http2WebSocket(client, "/echo")
    assert other.recv() != old
    assert client.goaway == []


def test_the_death_of_a_worker_is_the_end_of_its_own(live: StartLive, stack: contextlib.ExitStack) -> None:
    server = start(live, "--workers", "2")
    client = connect(server, stack)
    sockets = [Http2WebSocket(client, "/echo") for _ in range(2)]
    victim, survivor = (int(one.recv()) for one in sockets)
    assert victim != survivor
    os.kill(victim, signal.SIGKILL)
    assert sockets[0].recv() == ""
    sockets[1].send("still here")
    assert sockets[1].recv() == "still here"
    assert survivor in children_of(server.process.pid)


def test_encrypted(live: StartLive, stack: contextlib.ExitStack, tmp_path: Path) -> None:
    files = make_files(tmp_path)
    server = live(APP, *files.arguments, environment={"PYTHONPATH": HERE})
    tls = context_for(files)
    client = stack.enter_context(Http2Client(int(server.addresses[0].rpartition(":")[2]), tls=tls))
    one = Http2WebSocket(client, "/echo")
    assert int(one.recv()) > 0
    one.send("x" * 300_000)
    assert one.recv() == "x" * 300_000
    response = requests.get(server.addresses[0], timeout=DEADLINE, verify=str(files.certificate))
    assert response.status_code == 200
