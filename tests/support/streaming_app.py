"""The application of the suites about bodies and answers that take their time, in one process or in workers.

It tells the test what happens by lines in a file, and waits at pipes with a name; both lie in the directory
that the field X-Scene of each request names. Imports nothing of the suites: it stands alone in a foreign
process.
"""

from __future__ import annotations

import hashlib
import io
import os
import queue
import select
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

import pelton

PIECE = 64 * 1024
PLAIN = [("Content-Type", "text/plain")]


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    name, _, rest = environ["PATH_INFO"].removeprefix("/").partition("/")
    route = ROUTES.get(name)
    if route is None:
        return answer(start_response, b"hello")
    return route(environ, start_response, rest)


def answer(start_response: StartResponse, body: bytes, status: str = "200 OK") -> Iterable[bytes]:
    start_response(status, [*PLAIN, ("Content-Length", str(len(body)))])
    return [body]


def note(environ: WSGIEnvironment, text: str) -> None:
    """Tell the test."""
    with Path(environ["HTTP_X_SCENE"], "notes").open("a") as file:
        file.write(f"{text}\n")


def wait_at(environ: WSGIEnvironment, name: str) -> None:
    """Wait until the test opens the pipe."""
    note(environ, f"at {name}")
    _wait_for_writer(Path(environ["HTTP_X_SCENE"], name))


def _wait_for_writer(path: Path) -> None:
    # Opening it in the usual way would stop the thread; of greenlets, all that run on it.
    with io.FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK)) as pipe:
        # Readable at the end: when somebody has opened it for writing and closed it.
        select.select([pipe], [], [])


@contextmanager
def noting(environ: WSGIEnvironment) -> Iterator[None]:
    """Notes how the code inside ends."""
    try:
        yield
    except BaseException as error:
        note(environ, f"{type(error).__name__}: {error}")
        raise
    else:
        note(environ, "done")


# Bodies


def digest(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """Length and digest of the body, and what was said of its length."""
    seen = hashlib.sha256()
    length = 0
    note(environ, "reads")
    with noting(environ):
        while piece := environ["wsgi.input"].read(int(rest or PIECE)):
            seen.update(piece)
            length += len(piece)
    announced = environ.get("CONTENT_LENGTH", "none")
    return answer(start_response, f"{length} {seen.hexdigest()} {announced}".encode())


def whole(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    note(environ, "reads")
    with noting(environ):
        body = environ["wsgi.input"].read()
    return answer(start_response, body)


def into(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    buffer = bytearray(int(rest))
    count = environ["wsgi.input"].readinto(buffer)
    return answer(start_response, bytes(buffer[:count]))


def echo(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterator[bytes]:
    """Gives back what comes, as it comes."""
    start_response("200 OK", PLAIN)
    with noting(environ):
        while piece := environ["wsgi.input"].read1(PIECE):
            yield piece


def lines(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterator[bytes]:
    """Gives back each line, in capitals."""
    start_response("200 OK", PLAIN)
    for line in environ["wsgi.input"]:
        yield line.upper()


def some(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """Reads so many bytes and no more."""
    return answer(start_response, environ["wsgi.input"].read(int(rest)) if rest else b"")


def refused(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """Does not look at the body."""
    return answer(start_response, b"who are you?", "401 Unauthorized")


def caught(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """Answers although the body does not come to its end."""
    note(environ, "reads")
    try:
        environ["wsgi.input"].read()
    except pelton.IncompleteBodyError as error:
        note(environ, f"caught {error}")
        for method in ("read", "read1", "readline"):
            try:
                getattr(environ["wsgi.input"], method)(1)
                note(environ, f"{method} gave something")
            except pelton.IncompleteBodyError:
                pass
        return answer(start_response, b"caught")
    return answer(start_response, b"whole")


def begun(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterator[bytes]:
    """Begins to answer, and reads then."""
    start_response("200 OK", PLAIN)
    yield b"begun "
    note(environ, "reads")
    with noting(environ):
        body = environ["wsgi.input"].read()
    yield f"{len(body)}".encode()


def hold(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """Waits at the gate, and reads then."""
    wait_at(environ, rest)
    with noting(environ):
        body = environ["wsgi.input"].read()
    return answer(start_response, f"{len(body)}".encode())


def from_threads(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """Another thread reads the rest of the body, for which this one does not wait."""

    def read() -> None:
        try:
            note(environ, f"the other got {len(environ['wsgi.input'].read())}")
        except (ValueError, OSError) as error:
            note(environ, f"the other met {type(error).__name__}")

    assert environ["wsgi.input"].read(5) == b"begin"
    threading.Thread(target=read).start()
    return answer(start_response, b"done")


# Answers


def asked(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """Asks whether anybody waits until nobody does."""
    client_gone: Callable[[], bool] = environ["pelton.client_gone"]
    note(environ, f"gone: {client_gone()}")
    while not client_gone():
        time.sleep(0.001)
    note(environ, "gone: True")
    return answer(start_response, b"still here")


_kept: list[Callable[[], bool]] = []


def keep(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """What those say that were kept from earlier requests, and this one's own."""
    said = [one() for one in _kept]
    mine: Callable[[], bool] = environ["pelton.client_gone"]
    _kept.append(mine)
    return answer(start_response, repr((said, mine())).encode())


def endless(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterator[bytes]:
    """A response without an end: one piece, then what ``rest`` says, for ever."""
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    yield b"data: first\n\n"
    note(environ, "begun")
    try:
        with noting(environ):
            yield from ENDLESS[rest]()
    finally:
        # Nothing may come in here, however long it takes.
        for _ in range(100):
            time.sleep(0.005)
        note(environ, "closed")


def empty_pieces() -> Iterator[bytes]:
    while True:
        time.sleep(0.005)
        yield b""


def pieces() -> Iterator[bytes]:
    while True:
        time.sleep(0.005)
        yield b"data: more\n\n"


def large_pieces() -> Iterator[bytes]:
    while True:
        yield b"x" * 1_000_000


def looping() -> Iterator[bytes]:
    for _ in iter(int, 1):
        time.sleep(0.001)
    yield b""


def at_a_queue() -> Iterator[bytes]:
    yield queue.Queue[bytes]().get()


def at_an_event() -> Iterator[bytes]:
    threading.Event().wait()
    yield b""


ENDLESS: dict[str, Callable[[], Iterator[bytes]]] = {
    "empty": empty_pieces,
    "pieces": pieces,
    "large": large_pieces,
    "looping": looping,
    "queue": at_a_queue,
    "event": at_an_event,
}


def events(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterator[bytes]:
    """Each event waits at a gate of its own."""
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    for number in range(int(rest)):
        wait_at(environ, f"event{number}")
        yield f"data: {number}\n\n".encode()


def late(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterator[bytes]:
    """Has not begun to answer when it comes to the gate; then answers in pieces."""
    start_response("200 OK", PLAIN)
    wait_at(environ, rest)
    for number in range(3):
        yield f"{number}".encode()


def known(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterator[bytes]:
    """A part of a response with a known length, then the gate, then the rest."""
    start_response("200 OK", [*PLAIN, ("Content-Length", "10")])
    yield b"01234"
    wait_at(environ, rest)
    yield b"56789"


def side_effect(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """Does something that matters to others, for a while, in which the client goes."""
    note(environ, "at work")
    client_gone = environ["pelton.client_gone"]
    with noting(environ):
        while not client_gone():
            time.sleep(0.001)
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            time.sleep(0.001)
    return answer(start_response, b"done")


Route = Callable[[WSGIEnvironment, StartResponse, str], Iterable[bytes]]

ROUTES: dict[str, Route] = {
    "digest": digest,
    "whole": whole,
    "into": into,
    "echo": echo,
    "lines": lines,
    "some": some,
    "refused": refused,
    "caught": caught,
    "begun": begun,
    "hold": hold,
    "from-threads": from_threads,
    "asked": asked,
    "keep": keep,
    "endless": endless,
    "events": events,
    "late": late,
    "known": known,
    "side-effect": side_effect,
}

# So that a test can see the process that it talks to.
PID = os.getpid()
