"""Any sequence of what an application can do with WSGI, legal or not, drawn by hypothesis.

Whatever it does: the client gets one well-formed response or a cut that it can tell, `close` is called once,
the next request is answered, and nothing is left behind in the server. A model, written from PEP 3333 and not
from the server's code, says what the response must be.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, Literal
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.client import Client, CutOffError, request
from support.serving import Serve, Server
from support.waiting import Tally


class IntendedError(Exception):
    """What the application of a script raises by intention."""


@dataclass(frozen=True)
class Start:
    """Call `start_response`."""

    status: str = "200 OK"
    length: int | None = None
    exc_info: bool = False


@dataclass(frozen=True)
class Malformed:
    """Call `start_response` with something that is not allowed, and do not mind its refusal."""

    arguments: tuple[Any, ...]
    exc_info: bool = False


@dataclass(frozen=True)
class Write:
    """Call what `start_response` returned, if it was called."""

    data: bytes


@dataclass(frozen=True)
class Yield:
    """Give a piece; in the call itself this means nothing."""

    data: bytes


@dataclass(frozen=True)
class Raise:
    """Fail."""


Action = Start | Malformed | Write | Yield | Raise


@dataclass(frozen=True)
class Script:
    """What one request is and what the application does with it."""

    method: Literal["GET", "HEAD", "POST"] = "GET"
    version: Literal["1.0", "1.1"] = "1.1"
    # Done in the call.
    call: tuple[Action, ...] = ()
    # Done by the iterable, at its Nth step. None: the call returns None, which is no iterable.
    steps: tuple[Action, ...] | None = ()
    # Whether the iterable is a list, which cannot do anything but give pieces.
    as_list: bool = False
    close_raises: bool = False


@dataclass
class Play:
    """Runs scripts, as an application."""

    script: Script = Script()
    closes: Tally = field(default_factory=Tally)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        if environ["PATH_INFO"] != "/script":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"next"]
        actor = Actor(start_response)
        for action in self.script.call:
            actor.do(action)
        if self.script.steps is None:
            return None
        if self.script.as_list:
            return [action.data for action in self.script.steps if isinstance(action, Yield)]
        return Body(actor, self.script, self.closes)


class Actor:
    def __init__(self, start_response: StartResponse) -> None:
        self.start_response: Any = start_response
        self.write: Any = None

    def do(self, action: Action) -> bytes | None:
        match action:
            case Start(status, length, exc_info):
                fields = [] if length is None else [("Content-Length", str(length))]
                if not exc_info:
                    self.write = self.start_response(status, fields)
                    return None
                try:
                    raise IntendedError
                except IntendedError:
                    self.write = self.start_response(status, fields, sys.exc_info())
            case Malformed(arguments, exc_info):
                with suppress(Exception):
                    try:
                        raise IntendedError
                    except IntendedError:
                        self.start_response(*arguments, *([sys.exc_info()] if exc_info else []))
            case Write(data):
                if self.write is not None:
                    self.write(data)
            case Raise():
                raise IntendedError
            case Yield(data):
                return data
        return None


class Body:
    def __init__(self, actor: Actor, script: Script, closes: Tally) -> None:
        self.actor = actor
        self.steps = iter(script.steps or ())
        self.script = script
        self.closes = closes

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        for action in self.steps:
            piece = self.actor.do(action)
            if piece is not None:
                return piece
        raise StopIteration

    def close(self) -> None:
        self.closes.add()
        if self.script.close_raises:
            raise IntendedError


class RefusedError(Exception):
    """The model's server refuses what the application does."""


@dataclass
class Model:
    """What PEP 3333 says must come of a script."""

    script: Script
    head: Start | None = None
    head_sent: bool = False
    has_write: bool = False
    sent: bytes = b""
    # The response has all that it can have: whether the rest of the script still runs is the server's choice.
    complete: bool = False
    failed: bool = False
    failed_when_complete: bool = False

    @property
    def bodyless(self) -> bool:
        assert self.head is not None
        return self.script.method == "HEAD" or self.head.status[:3] in ("204", "304")

    def play(self) -> None:
        try:
            for action in self.script.call:
                self.do(action, in_call=True)
            if self.script.steps is None:
                raise RefusedError
            for action in self.script.steps:
                if not self.script.as_list or isinstance(action, Yield):
                    self.do(action, in_call=False)
            if self.head is None:
                raise RefusedError
            self.end()
        except (RefusedError, IntendedError):
            self.failed = True
            self.failed_when_complete = self.complete

    def do(self, action: Action, *, in_call: bool) -> None:
        match action:
            case Start() if self.head is None or (action.exc_info and not self.head_sent):
                self.head = action
                self.has_write = True
            case Start() if action.exc_info:
                raise IntendedError
            case Start():
                raise RefusedError
            case Malformed(arguments, exc_info):
                # Who replaces a head by a refused one has none; what is not even a head replaces nothing.
                is_head = len(arguments) == 2 and isinstance(arguments[1], list)
                if exc_info and is_head and not self.head_sent:
                    self.head = None
            case Write(data):
                if self.has_write:
                    self.send(data, even_if_empty=True)
            case Yield(data) if not in_call:
                self.send(data, even_if_empty=False)
            case Raise():
                raise IntendedError

    def send(self, data: bytes, *, even_if_empty: bool) -> None:
        if not data and not even_if_empty:
            return
        if self.head is None:
            raise RefusedError
        self.head_sent = True
        self.sent += data
        if self.bodyless or (self.head.length is not None and len(self.sent) >= self.head.length):
            self.complete = True

    def end(self) -> None:
        assert self.head is not None
        if not self.bodyless and self.head.length is not None and len(self.sent) < self.head.length:
            self.head_sent = True
            raise RefusedError

    @property
    def body(self) -> bytes:
        assert self.head is not None
        if self.bodyless:
            return b""
        return self.sent if self.head.length is None else self.sent[: self.head.length]


STATUSES = ("200 OK", "404 Not Found", "204 No Content", "304 Not Modified", "299 ")
DATA = (b"", b"a", b"bc", b"d" * 5, b"e" * 20_000, b"f" * 300_000)
LENGTHS = (None, 0, 1, 3, 5, 20_000)
MALFORMED: tuple[tuple[Any, ...], ...] = (
    ("200", []),
    ("abc", []),
    (200, []),
    ("200 OK\r\nX: y", []),
    ("200 OK", [("X", "a\r\nY: b")]),
    ("200 OK", [("X y", "a")]),
    ("200 OK", [("Content-Length", "-1")]),
    ("200 OK", [("Content-Length", "1"), ("Content-Length", "2")]),
    ("200 OK", [("X", 1)]),
    ("200 OK", "X: y"),
    ("200 OK", None),
    (),
)

starts = st.builds(Start, st.sampled_from(STATUSES), st.sampled_from(LENGTHS), st.booleans())
pieces = st.sampled_from(DATA)
actions = st.one_of(
    starts,
    st.builds(Write, pieces),
    st.builds(Yield, pieces),
    st.builds(Malformed, st.sampled_from(MALFORMED), st.booleans()),
    st.just(Raise()),
)
# Most applications begin with start_response, and a script that does not is over soon.
usual_calls = st.tuples(starts, st.lists(actions, max_size=3)).map(lambda both: (both[0], *both[1]))
scripts = st.builds(
    Script,
    method=st.sampled_from(("GET", "GET", "HEAD", "POST")),
    version=st.sampled_from(("1.1", "1.1", "1.0")),
    call=st.one_of(usual_calls, usual_calls, st.lists(actions, max_size=3).map(tuple)),
    steps=st.one_of(st.none(), *[st.lists(actions, max_size=4).map(tuple)] * 4),
    as_list=st.booleans(),
    close_raises=st.sampled_from((False, False, True)),
)


@pytest.fixture(scope="module")
def played() -> Iterator[tuple[Server, Play]]:
    """One server for all scripts, with two threads."""
    play = Play()
    log = logging.getLogger("pelton.request")
    level = log.level
    # Thousands of intended failures say nothing.
    log.setLevel(logging.CRITICAL + 1)
    try:
        with ExitStack() as stack:
            yield Serve(stack)(play, threads=2), play
    finally:
        log.setLevel(level)


def received(client: Client, script: Script) -> tuple[int | None, bytes, bool, bool]:
    """Status, body, whether the response was whole, and whether the connection is kept."""
    status, body, keeps = None, b"", False
    try:
        head = client.head(script.method)
        status, keeps = head.status, head.keeps_connection
        while piece := client.piece():
            body += piece
    except CutOffError as cut:
        return status, body + cut.received, False, False
    except ConnectionResetError:
        return status, body, False, False
    return status, body, True, keeps


def check(model: Model, status: int | None, body: bytes, whole: bool) -> None:
    wanted = None if model.head is None else int(model.head.status[:3])
    may_be_whole = not model.failed or model.failed_when_complete
    may_be_broken = model.failed
    if whole and status == wanted and wanted is not None and may_be_whole:
        assert body == model.body
        return
    assert may_be_broken, f"{status} {body[:50]!r}, whole: {whole}"
    if not model.head_sent:
        expected = b"" if model.script.method == "HEAD" else b"Internal Server Error"
        assert (status, body, whole) == (500, expected, True)
        return
    # What had come is what was sent, and the client knows that it is not all.
    assert status in (None, wanted)
    assert model.body.startswith(body)
    assert not whole or model.bodyless, "a cut that the client cannot tell"


@settings(max_examples=500, deadline=None)
@given(script=scripts)
@example(Script(call=(Start(), Write(b"")), steps=(Raise(),)))
@example(Script(call=(Start(length=5), Write(b"a")), steps=None))
@example(Script(version="1.0", call=(Start(), Write(b"a")), steps=(Raise(),)))
@example(Script(call=(Start(length=3),), steps=(Yield(b"a"), Yield(b"bc"), Raise())))
@example(Script(call=(Start(length=5),), steps=(Yield(b"a"),), close_raises=True))
@example(Script(method="HEAD", call=(Start(length=5),), steps=(Raise(),)))
@example(Script(call=(Start("204 No Content"),), steps=(Yield(b"a"), Raise())))
@example(Script(call=(Start(), Start(exc_info=True), Write(b"a"), Start(exc_info=True))))
def test_sequences(played: tuple[Server, Play], script: Script) -> None:
    server, play = played
    play.script, before = script, play.closes.count
    model = Model(script)
    model.play()
    fields = [("Connection", "keep-alive")] if script.version == "1.0" else []
    body = b"unread" if script.method == "POST" else None
    with Client(server.address) as client:
        client.send(request(script.method, "/script", fields, body, version=script.version))
        status, got, whole, keeps = received(client, script)
        check(model, status, got, whole)
        if not whole or not keeps:
            with suppress(ConnectionResetError):
                assert client.closed()
        elif not (model.failed and model.head_sent):
            # Where the application fails behind a whole response, the server may end the connection or not.
            assert client.ask(request(target="/next")).body == b"next"
    returned = script.steps is not None and not script.as_list and reached_the_end_of_the_call(script)
    if returned:
        play.closes.wait_for(before + 1)
    server.wait_until_idle()
    assert play.closes.count == before + returned


def reached_the_end_of_the_call(script: Script) -> bool:
    """Whether the call returned, so that there was something to close."""
    model = Model(script)
    try:
        for action in script.call:
            model.do(action, in_call=True)
    except (RefusedError, IntendedError):
        return False
    return True


def test_the_model_refuses_what_it_should() -> None:
    """A model that allows everything would find nothing."""
    failing: Iterable[Script] = (
        Script(),
        Script(call=(Yield(b"a"),)),
        Script(call=(Start(), Start())),
        Script(call=(Start(length=5),), steps=(Yield(b"a"),)),
        Script(call=(Start(), Raise())),
    )
    for script in failing:
        model = Model(script)
        model.play()
        assert model.failed, script
