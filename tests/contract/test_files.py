"""``wsgi.file_wrapper``: what it sends is what reading the file would have given."""

from __future__ import annotations

import gzip
import io
import os
import socket
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import flask
import pytest

from conftest import Start
from support.apps import PLAIN, pattern, routes
from support.client import CutOffError, request
from support.waiting import Tally, eventually

SIZE = 5 * 2**20
DATA = pattern(SIZE)
GET = request()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.write_bytes(DATA)
    return made


def sending(
    opened: Callable[[], Any], *, length: int | None = None, status: str = "200 OK", block: int = 8192
) -> WSGIApplication:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        fields = [] if length is None else [("Content-Length", str(length))]
        start_response(status, [*PLAIN, *fields])
        result: Iterable[bytes] = environ["wsgi.file_wrapper"](opened(), block)
        return result

    return app


def opened_at(path: Path, offset: int, buffering: int = -1) -> Callable[[], Any]:
    def opened() -> Any:
        file = path.open("rb", buffering)
        file.seek(offset)
        return file

    return opened


def test_a_whole_file(start: Start, path: Path) -> None:
    client = start(sending(lambda: path.open("rb"))).connect()
    for _ in range(3):
        got = client.ask(GET)
        assert (got.framing, got.length) == ("length", SIZE)
        assert got.body == DATA


@pytest.mark.parametrize("buffering", [0, -1])
@pytest.mark.parametrize("offset", [1, 8192, SIZE - 1, SIZE, SIZE + 10])
def test_a_file_from_its_position(start: Start, path: Path, offset: int, buffering: int) -> None:
    client = start(sending(opened_at(path, offset, buffering))).connect()
    assert client.ask(GET).body == DATA[offset:]
    assert client.ask(GET).body == DATA[offset:]


def test_a_file_after_something_was_read_of_it(start: Start, path: Path) -> None:
    def opened() -> Any:
        file = path.open("rb")
        assert file.read(10) == DATA[:10]
        return file

    assert start(sending(opened)).ask(GET).body == DATA[10:]


@pytest.mark.parametrize(("offset", "length"), [(0, 0), (0, 1), (100, 70_000), (3_000_000, 2_000_000)])
def test_a_range_by_content_length(start: Start, path: Path, offset: int, length: int) -> None:
    app = sending(opened_at(path, offset), length=length, status="206 Partial Content")
    client = start(app).connect()
    for _ in range(2):
        got = client.ask(GET)
        assert (got.status, got.framing) == (206, "length")
        assert got.body == DATA[offset : offset + length]


def test_a_file_shorter_than_announced_cuts_the_connection(start: Start, path: Path) -> None:
    server = start(sending(opened_at(path, 10), length=SIZE))
    with pytest.raises(CutOffError) as cut:
        server.ask(GET)
    assert DATA[10:].startswith(cut.value.received)
    server.wait_for_counter("responses_broken", 1)


def test_a_file_in_http_1_0(start: Start, path: Path) -> None:
    client = start(sending(lambda: path.open("rb"))).connect()
    got = client.ask(request(version="1.0", fields=[("Connection", "keep-alive")]))
    assert (got.framing, got.body == DATA, got.get("Connection")) == ("length", True, "keep-alive")
    assert client.ask(request(version="1.0")).body == DATA


def test_head_of_a_file(start: Start, path: Path) -> None:
    client = start(sending(lambda: path.open("rb"))).connect()
    for _ in range(2):
        got = client.ask(request("HEAD"))
        assert (got.body, got.get("Content-Length")) == (b"", str(SIZE))
    assert client.ask(GET).body == DATA


def test_an_empty_file(start: Start, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    client = start(sending(lambda: empty.open("rb"))).connect()
    for _ in range(2):
        assert client.ask(GET).body == b""


class Trickle:
    """An object with ``read`` and nothing else; gives less than it is asked for."""

    def __init__(self) -> None:
        self._left = [b"a", b"bc", b"d" * 100]

    def read(self, size: int) -> bytes:
        return self._left.pop(0) if self._left else b""


def test_what_is_no_file_is_iterated(start: Start, path: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.gz"
    with gzip.open(packed, "wb") as file:
        file.write(DATA)
    temporary = tempfile.NamedTemporaryFile()  # noqa: SIM115  (closed at the end)
    temporary.write(DATA[:100_000])
    temporary.seek(7)
    with temporary:
        table = {
            "/bytes": sending(lambda: io.BytesIO(DATA)),
            "/gzip": sending(lambda: gzip.GzipFile(packed)),
            "/trickle": sending(Trickle),
            "/temporary": sending(lambda: temporary),
            "/large-blocks": sending(lambda: io.BytesIO(DATA), block=1_000_000),
        }
        client = start(routes(table)).connect()
        assert client.ask(request(target="/bytes")).body == DATA
        # The descriptor of a gzip file is that of the packed one.
        assert client.ask(request(target="/gzip")).body == DATA
        assert client.ask(request(target="/trickle")).body == b"abc" + b"d" * 100
        assert client.ask(request(target="/temporary")).body == DATA[7:100_000]
        assert client.ask(request(target="/large-blocks")).body == DATA


def test_the_file_is_closed_once(start: Start, path: Path) -> None:
    closes = Tally()

    class Counting(io.FileIO):
        def close(self) -> None:
            if not self.closed:
                closes.add()
            super().close()

    class CountingBytes(io.BytesIO):
        def close(self) -> None:
            closes.add()
            super().close()

    server = start(
        routes({"/file": sending(lambda: Counting(path))}, default=sending(lambda: CountingBytes(DATA)))
    )
    with server.connect() as client:
        assert client.ask(request(target="/file")).body == DATA
        closes.wait_for(1)
        assert client.ask(GET).body == DATA
        closes.wait_for(2)
        assert client.ask(request("HEAD")).status == 200
        closes.wait_for(3)
    server.wait_until_idle()
    assert closes.count == 3


def test_a_slow_reader_of_a_file_holds_no_thread(start: Start, path: Path) -> None:
    server = start(routes({"/file": sending(lambda: path.open("rb"))}), threads=1)
    slow = server.connect(receive_buffer=4096).send(request(target="/file")).wait_readable()
    other = server.connect()
    for _ in range(10):
        assert other.ask(GET).body == b"hello"
    assert slow.response().body == DATA


def test_a_subclass_or_wrapped_file_wrapper_is_iterated(start: Start, path: Path) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", list(PLAIN))
        file = path.open("rb")
        wrapper: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        try:
            return [b"".join(wrapper)]
        finally:
            file.close()

    assert start(app).ask(GET).body == DATA


# What is no regular file


def written_later(name: str, directory: Path) -> tuple[int, int]:
    """A descriptor to read from, and one whose data come out of it."""
    match name:
        case "pipe":
            return os.pipe()
        case "pipe that does not block":
            reader, writer = os.pipe()
            os.set_blocking(reader, False)
            return reader, writer
        case "fifo":
            os.mkfifo(directory / "fifo")
            reader = os.open(directory / "fifo", os.O_RDONLY | os.O_NONBLOCK)
            writer = os.open(directory / "fifo", os.O_WRONLY)
            os.set_blocking(reader, True)
            return reader, writer
        case "socket":
            ours, theirs = socket.socketpair()
            # gevent's do not block, whoever asks.
            os.set_blocking(ours.fileno(), True)
            return ours.detach(), theirs.detach()
        case "terminal":
            writer, reader = os.openpty()
            return reader, writer
    raise AssertionError(name)


def close_now(descriptor: int) -> None:
    # Not os.close, which gevent puts off.
    io.FileIO(descriptor).close()


NOT_REGULAR = ["pipe", "pipe that does not block", "fifo", "socket", "terminal"]


@pytest.mark.parametrize("buffering", [0, -1])
@pytest.mark.parametrize("name", NOT_REGULAR)
def test_what_has_nothing_yet_holds_up_nobody_else(
    start: Start, tmp_path: Path, name: str, buffering: int
) -> None:
    reader, writer = written_later(name, tmp_path)
    opened = [os.fdopen(reader, "rb", buffering)]
    server = start(routes({"/late": sending(opened.pop)}), threads=2)
    waiting = server.connect().send(request(target="/late"))
    # It has been called, and somebody else is answered all the same.
    eventually(lambda: not opened, "the view has been called")
    other = server.connect()
    for _ in range(3):
        assert other.ask(GET).body == b"hello"
    os.write(writer, b"first line\n")
    assert other.ask(GET).body == b"hello"
    # A terminal's own way to say that this was all: once for the line, then for each read that waits.
    os.write(writer, b"last\x04\x04\x04" if name == "terminal" else b"last")
    if name != "terminal":
        close_now(writer)
    assert waiting.response().body == b"first line\nlast"
    if name == "terminal":
        close_now(writer)


def test_a_pipe_that_the_view_itself_has_filled_and_closed(start: Start) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", list(PLAIN))
        reader, writer = os.pipe()
        os.write(writer, DATA[:50_000])
        # gevent closes it when its loop comes round, which must not wait for this response.
        os.close(writer)
        result: Iterable[bytes] = environ["wsgi.file_wrapper"](os.fdopen(reader, "rb"))
        return result

    client = start(app).connect()
    for _ in range(2):
        assert client.ask(GET).body == DATA[:50_000]


# What an application says that leaves ranges to the server.
RANGED = [*PLAIN, ("Accept-Ranges", "bytes"), ("ETag", '"one"'), ("Cache-Control", "max-age=5")]


def ranged(path: Path, offset: int = 0, fields: Iterable[tuple[str, str]] = RANGED) -> WSGIApplication:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", list(fields))
        result: Iterable[bytes] = environ["wsgi.file_wrapper"](opened_at(path, offset)())
        return result

    return app


def test_ranges_where_the_application_leaves_them_to_the_server(start: Start, path: Path) -> None:
    client = start(ranged(path, 100)).connect()
    whole = DATA[100:]

    def ask(*fields: tuple[str, str], method: str = "GET") -> tuple[int, str | None, bytes]:
        got = client.ask(request(method, "/", fields))
        assert got.get("Cache-Control") == (None if got.status in (412, 416) else "max-age=5")
        assert got.get("Content-Type") == (None if got.status in (304, 412, 416) else "text/plain")
        return got.status, got.get("Content-Range"), got.body

    size = len(whole)
    for value, expected in {
        "bytes=0-0": (206, f"bytes 0-0/{size}", whole[:1]),
        "bytes=1000000-": (206, f"bytes 1000000-{size - 1}/{size}", whole[1_000_000:]),
        "bytes=-5": (206, f"bytes {size - 5}-{size - 1}/{size}", whole[-5:]),
        f"bytes={size}-": (416, f"bytes */{size}", b""),
        # RFC 9110 section 14.2 allows to ignore what is not understood, and any other range.
        "bytes=5-1": (200, None, whole),
        "lines=1-2": (200, None, whole),
        "bytes=0-1,1000-1001": (200, None, whole),
        # What lies together is one.
        "bytes=0-9,10-19": (206, f"bytes 0-19/{size}", whole[:20]),
    }.items():
        assert ask(("Range", value)) == expected, value
    few = ("Range", "bytes=0-3")
    assert ask(few, ("If-Range", '"one"'))[0] == 206
    assert ask(few, ("If-Range", '"two"')) == (200, None, whole)
    assert ask(few, ("If-None-Match", '"one"')) == (304, None, b"")
    assert ask(few, ("If-Match", '"two"')) == (412, None, b"")
    assert ask(few, method="HEAD") == (200, None, b"")
    assert ask(method="GET") == (200, None, whole)


@pytest.mark.parametrize(
    "fields",
    [
        PLAIN,
        [*PLAIN, ("Accept-Ranges", "none")],
        [*RANGED, ("Content-Range", f"bytes 0-{SIZE - 1}/{SIZE}")],
        [*RANGED, ("Content-Length", "7")],
    ],
)
def test_what_does_not_leave_them_stays_as_it_is(
    start: Start, path: Path, fields: list[tuple[str, str]]
) -> None:
    client = start(ranged(path, 0, fields)).connect()
    several = [("Range", "bytes=2-3"), ("If-None-Match", '"one"')]
    got = client.ask(request("GET", "/", several))
    expected = DATA[:7] if ("Content-Length", "7") in fields else DATA
    assert (got.status, got.body) == (200, expected)


def test_what_flask_cuts_is_not_cut_again(start: Start, path: Path) -> None:
    app = flask.Flask("site")

    @app.get("/cut")
    def cut() -> Any:
        return flask.send_file(path)

    @app.get("/whole")
    def whole() -> Any:
        response = flask.send_file(path, conditional=False)
        response.headers["Accept-Ranges"] = "bytes"
        return response

    client = start(app).connect()
    for target in ("/cut", "/whole"):
        plain = client.ask(request("GET", target))
        assert (plain.status, plain.body) == (200, DATA)
        etag = str(plain.get("ETag"))
        for fields, status, body in [
            ([("Range", "bytes=10-19")], 206, DATA[10:20]),
            ([("Range", "bytes=10-19"), ("If-Range", etag)], 206, DATA[10:20]),
            ([("Range", "bytes=10-19"), ("If-Range", '"other"')], 200, DATA),
            ([("If-None-Match", etag)], 304, b""),
            ([("Range", f"bytes={SIZE}-")], 416, None),
        ]:
            got = client.ask(request("GET", target, fields))
            assert got.status == status, (target, fields)
            assert body is None or got.body == body
