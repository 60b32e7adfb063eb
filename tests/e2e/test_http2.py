"""HTTP/2 over real sockets: what works, what it may cost, and what becomes of those who want more."""

from __future__ import annotations

import signal
import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import httpx
import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from support.apps import echo, hello, routes
from support.client import request
from support.http2 import Http2Client
from support.kinds import IS_ONE_OF_MANY
from support.live import APPS, Live
from support.serving import Serve, Server
from support.waiting import DEADLINE

pytestmark = pytest.mark.skipif(IS_ONE_OF_MANY, reason="the front speaks it, whatever the worker kind")

CALM = int(ErrorCodes.ENHANCE_YOUR_CALM)
PIECE = bytes(range(256)) * 256


def environ_of(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Upper", "Case"), ("Connection", "close")])
    lines = (f"{key}={value}" for key, value in environ.items() if isinstance(value, str))
    return ["\n".join(lines).encode()]


def large(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return (PIECE for _ in range(100))


def hinting(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload"), ("Connection", "close")])
    return hello(environ, start_response)


APP = routes({"/": hello, "/hints": hinting, "/echo": echo, "/environ": environ_of, "/large": large})


def served(serve: Serve, **settings: Any) -> Server:
    return serve(APP, scheme="h2c://", **settings)


def connected(server: Server, settings: dict[SettingCodes, int] | None = None) -> Http2Client:
    return Http2Client(port_of(server), settings)


def port_of(server: Server) -> int:
    return int(str(server.address).rpartition(":")[2])


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def test_both_versions_on_one_port(serve: Serve) -> None:
    server = served(serve)
    assert server.ask(request()).status == 200
    with httpx.Client(http1=False, http2=True, base_url=f"http://127.0.0.1:{port_of(server)}") as client:
        response = client.get("/environ?a=b", headers={"Cookie": "a=1; b=2", "X-Some": "thing"})
        environ = dict(line.split("=", 1) for line in response.text.splitlines())
        assert (response.http_version, response.status_code) == ("HTTP/2", 200)
        assert environ["SERVER_PROTOCOL"] == "HTTP/2.0"
        assert environ["HTTP_HOST"] == f"127.0.0.1:{port_of(server)}"
        assert environ["HTTP_COOKIE"] == "a=1; b=2"
        assert (environ["QUERY_STRING"], environ["HTTP_X_SOME"]) == ("a=b", "thing")
        assert response.headers["x-upper"] == "Case"
        assert "connection" not in response.headers
        body = PIECE * 40
        assert client.post("/echo", content=body).content == body
        # Without a Content-Length.
        assert client.post("/echo", content=iter([b"a" * 70_000, b"b"])).content == b"a" * 70_000 + b"b"
        head = client.head("/")
        assert (head.status_code, head.content) == (200, b"")
        assert len(client.get("/large").content) == 100 * len(PIECE)
    server.wait_for_counter("http2_connections", 1)
    server.wait_until_idle()


def test_the_first_bytes_may_come_one_by_one(serve: Serve) -> None:
    server = served(serve)
    with server.connect() as plain:
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
        for byte in preface:
            plain.send(bytes([byte]))
        assert plain.socket.recv(9)[3] == 4
    with server.connect() as plain:
        for byte in request():
            plain.send(bytes([byte]))
        assert plain.response("GET").status == 200


def test_what_is_neither_version_gets_no_response(serve: Serve) -> None:
    server = served(serve)
    assert server.connect().send(b"INVALID CONNECTION PREFACE\r\n\r\n").closed()
    # What is one of HTTP/1 and wrong gets its response.
    assert server.connect().send(b"GET  / HTTP/1.1\r\n\r\n").response("GET").status == 400
    server.wait_for_counter("http2_faults", 1)


def test_many_streams_at_once(serve: Serve) -> None:
    barrier = threading.Barrier(4)

    def together(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        barrier.wait(DEADLINE)
        return list(hello(environ, start_response))

    server = serve(together, scheme="h2c://", threads=4)
    with connected(server) as client:
        streams = [client.ask("/") for _ in range(40)]
        client.wait_for(*streams)
        assert {client.status[stream] for stream in streams} == {"200"}
    server.wait_until_idle()


def test_a_closed_window_holds_up_its_own_stream_only(serve: Serve) -> None:
    server = served(serve, threads=2)
    with connected(server, {SettingCodes.INITIAL_WINDOW_SIZE: 10_000}) as client:
        client.takes = False
        stalled = client.ask("/large")
        while len(client.body[stalled]) < 10_000:
            client.receive()
        others = [client.ask("/") for _ in range(10)]
        client.wait_for(*others)
        assert len(client.body[stalled]) == 10_000
        client.takes = True
        client.h2.increment_flow_control_window(2**30, stalled)
        client.h2.increment_flow_control_window(2**30)
        client.flush()
        client.wait_for(stalled)
        assert client.body[stalled] == PIECE * 100


def test_a_window_that_stays_closed_ends_its_stream(serve: Serve) -> None:
    """The response's memory is bounded as that of any slow reader, and so is its time."""
    server = served(serve, write_idle_seconds=0.5, response_file_bytes=0, response_buffer_bytes=65536)
    with connected(server, {SettingCodes.INITIAL_WINDOW_SIZE: 0}) as client:
        client.takes = False
        stalled = [client.ask("/large") for _ in range(3)]
        assert server.counter("response_bytes_held") < 3 * 2**20
        client.wait_for(*stalled)
        assert set(client.reset.values()) == {CALM}
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 65535})
        client.flush()
        quick = client.ask("/")
        client.wait_for(quick)
        assert client.status[quick] == "200"
    server.wait_for_counter("closed_write_timeout", 3)
    server.wait_until_idle()


def test_only_some_threads_wait_for_a_client_that_opens_no_window(serve: Serve) -> None:
    server = served(serve, http2_stalled=2, threads=8, response_file_bytes=0, response_buffer_bytes=65536)
    with connected(server, {SettingCodes.INITIAL_WINDOW_SIZE: 0}) as client:
        client.takes = False
        streams = [client.ask("/large") for _ in range(5)]
        while len(client.reset) < 3:
            assert client.receive()
        assert set(client.reset.values()) == {CALM}
        # The two that are left go on as soon as they may.
        client.takes = True
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 65535})
        client.flush()
        client.wait_for(*streams)
        assert [len(client.body[stream]) for stream in streams if stream in client.ended] == [6_553_600] * 2
    assert server.counter("http2_stalled") == 3
    server.wait_until_idle()


def test_who_has_ended_opens_no_window_any_more(serve: Serve) -> None:
    """Nothing can be written that would show that nobody reads: the end of what the client says is enough."""
    server = served(serve, response_file_bytes=0, response_buffer_bytes=65536, threads=2)
    with connected(server, {SettingCodes.INITIAL_WINDOW_SIZE: 0}) as client:
        stalled = [client.ask("/large") for _ in range(2)]
        while not all(stream in client.status for stream in stalled):
            client.receive()
        client.socket.shutdown(socket.SHUT_WR)
        client.wait_for_end()
        assert client.ended == set()
    server.wait_until_idle()
    assert server.ask(request()).status == 200


def test_a_dribbled_window_is_too_slow(serve: Serve) -> None:
    server = served(serve, write_idle_seconds=0.5, write_rate=100_000)
    with connected(server, {SettingCodes.INITIAL_WINDOW_SIZE: 1}) as client:
        client.takes = False
        stream = client.ask("/large")
        while stream not in client.reset and not client.goaway:
            if not client.receive():
                break
            if stream not in client.reset and not client.goaway:
                client.h2.increment_flow_control_window(1, stream)
                client.flush()
        assert client.reset.get(stream) == CALM or client.goaway[0][0] == CALM
        assert len(client.body[stream]) < 100_000


def test_refusals_are_those_of_http_1(serve: Serve) -> None:
    server = served(serve, max_head_bytes=4096, max_body_bytes=1000)
    with connected(server) as client:
        long = client.ask("/", fields=(("x-long", "v" * 4000), ("x-longer", "v" * 1000)))
        client.wait_for(long)
        assert client.status[long] == "431"
        large = client.ask("/echo", method="POST", fields=(("content-length", "1001"),), ends=False)
        client.wait_for(large)
        assert client.status[large] == "413"
        wrong = client.ask("/", fields=(("te", "gzip"),))
        client.wait_for(wrong)
        assert client.status[wrong] == "400"
        tunnel = client.ask("a.example:80", method="CONNECT")
        client.wait_for(tunnel)
        assert client.status[tunnel] == "501"
        fine = client.ask("/")
        client.wait_for(fine)
        assert client.status[fine] == "200"


def test_who_waits_for_leave_gets_it(serve: Serve) -> None:
    server = served(serve)
    with connected(server) as client:
        stream = client.ask("/echo", method="POST", fields=(("expect", "100-continue"),), ends=False)
        while not client.interim[stream]:
            client.receive()
        client.send(stream, b"body", ends=True)
        client.wait_for(stream)
        assert (client.interim[stream], client.text(stream)) == (["100"], "body")


def test_early_hints(serve: Serve) -> None:
    server = served(serve)
    with connected(server) as client:
        stream = client.ask("/hints")
        client.wait_for(stream)
        assert (client.interim[stream], client.status[stream]) == (["103"], "200")


def test_uploads_that_are_read_while_they_come(serve: Serve) -> None:
    server = served(serve, request_buffering="off")
    body = PIECE * 60
    with connected(server) as client:
        stream = client.ask("/echo", method="POST", ends=False)
        client.send(stream, body, ends=True)
        client.wait_for(stream)
        assert client.body[stream] == body
    server.wait_until_idle()


@pytest.mark.parametrize(
    "attack", ["rapid reset", "made you reset", "ping", "settings", "empty", "continuation"]
)
def test_attacks_have_an_end(serve: Serve, attack: str) -> None:
    """Each ends its own connection with ENHANCE_YOUR_CALM; the others are served."""
    server = served(serve)
    head = b"\x82\x86\x84\x41\x01a"
    with connected(server) as client, connected(server) as other:
        match attack:
            case "rapid reset":
                pairs = (
                    frame(1, 5, stream, head) + frame(3, 0, stream, b"\0\0\0\x08")
                    for stream in range(1, 8001, 2)
                )
                flood = b"".join(pairs)
            case "made you reset":
                pairs = (
                    frame(1, 5, stream, head) + frame(8, 0, stream, b"\x7f\xff\xff\xff")
                    for stream in range(1, 8001, 2)
                )
                flood = b"".join(pairs)
            case "ping":
                flood = frame(6, 0, 0, b"12345678") * 20_000
            case "settings":
                flood = frame(4, 0, 0) * 20_000
            case "empty":
                flood = frame(1, 4, 1, head.replace(b"\x82", b"\x83")) + frame(0, 0, 1) * 20_000
            case _:
                flood = frame(1, 0, 1, head) + frame(9, 0, 1) * 20_000
        sender = threading.Thread(target=client.send_raw, args=(flood,))
        sender.start()
        frames = client.frames_until_end()
        sender.join()
        # A client that still sends when the connection ends may get a reset of TCP before it has read why.
        ends = [int.from_bytes(one.payload[4:8], "big") for one in frames if one.kind == 7]
        assert ends in ([CALM], [])
        stream = other.ask("/")
        other.wait_for(stream)
        assert other.status[stream] == "200"
    server.wait_for_counter("http2_calmed", 1)
    server.wait_until_idle()


@pytest.mark.parametrize(
    "end", [frame(3, 0, 1, b"\0\0\0\x08"), frame(8, 0, 1, bytes(4))], ids=["reset", "fault"]
)
def test_what_is_reset_at_once_reaches_nobody(serve: Serve, end: bytes) -> None:
    asked = []

    def noting(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        asked.append(environ["PATH_INFO"])
        return hello(environ, start_response)

    server = serve(noting, scheme="h2c://", head_seconds=0.5)
    with connected(server) as client, connected(server) as late:
        client.send_raw(frame(1, 5, 1, b"\x82\x86\x84\x41\x01a") + end)
        client.h2.highest_outbound_stream_id = 1
        server.wait_for_counter("http2_streams_reset", 1)
        assert server.counter("http2_streams_passed_over") == 1
        # A head that began later is given up: by then the first one's clock would have ended, too.
        late.send_raw(frame(1, 0, 1, b"\x82"))
        server.wait_for_counter("heads_late", 1)
        stream = client.ask("/after")
        client.wait_for(stream)
        assert client.status[stream] == "200"
    assert asked == ["/after"]
    server.wait_until_idle()


def test_one_stream_too_many_is_refused(serve: Serve) -> None:
    gate = threading.Event()

    def waiting(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        gate.wait(DEADLINE)
        return list(hello(environ, start_response))

    server = serve(waiting, scheme="h2c://", http2_streams=2)
    with connected(server) as client:
        # As a client that has not seen the limit yet.
        client.h2.remote_settings.update({SettingCodes.MAX_CONCURRENT_STREAMS: 100})
        streams = [client.ask("/") for _ in range(3)]
        client.wait_for(streams[2])
        assert client.reset == {streams[2]: int(ErrorCodes.REFUSED_STREAM)}
        gate.set()
        client.wait_for(*streams)
        assert [client.status[stream] for stream in streams[:2]] == ["200", "200"]
    server.wait_for_counter("http2_streams_refused", 1)


def test_a_head_without_end_is_told_why(serve: Serve) -> None:
    server = served(serve, head_seconds=0.2)
    with connected(server) as client:
        client.send_raw(frame(1, 0, 1, b"\x82") + frame(9, 0, 1))
        frames = client.frames_until_end()
    assert [struct.unpack(">I", one.payload[4:8])[0] for one in frames if one.kind == 7] == [CALM]
    server.wait_for_counter("heads_late", 1)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_quick_end_says_goodbye(workers: str) -> None:
    with Live(APPS, "--bind", "h2c://127.0.0.1:0", "--workers", workers) as live:
        if workers == "2":
            live.ready_workers(2)
        with Http2Client(int(live.addresses[0].rpartition(":")[2])) as client:
            first = client.ask("/")
            client.wait_for(first)
            live.send_signal(signal.SIGINT)
            frames = client.frames_until_end()
        last, code = struct.unpack(">II", [one for one in frames if one.kind == 7][-1].payload[:8])
        assert (last, code) == (first, 0)


def test_the_end_of_the_server_lets_streams_finish() -> None:
    with Live(APPS, "--bind", "h2c://127.0.0.1:0", "--access-log", "-") as live:
        port = int(live.addresses[0].rpartition(":")[2])
        with Http2Client(port) as client:
            first = client.ask("/")
            client.wait_for(first)
            live.send_signal(signal.SIGTERM)
            frames = client.frames_until_end()
            # Announced first, so that nothing that is on its way is lost; then fixed.
            goaways = [struct.unpack(">II", one.payload[:8]) for one in frames if one.kind == 7]
            assert goaways == [(2**31 - 1, 0), (first, 0)]
        assert live.exit_code() == 0
        live.output.wait_for(r'"GET / HTTP/2\.0" 200')
