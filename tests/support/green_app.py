"""The application of the tests about greenlets. Imports nothing of the suites: it stands alone in a foreign
process, and says which modules were there before it."""

# ruff: noqa: E402
from __future__ import annotations

import sys

# What has to be patched before it is imported, because it keeps what it finds.
LOADED_BEFORE = sorted({"requests", "urllib3", "flask"} & set(sys.modules))
_GEVENT = sys.modules.get("gevent.monkey")
_EVENTLET = sys.modules.get("eventlet.patcher")
PATCHED_BEFORE = [
    *(["gevent"] if _GEVENT and _GEVENT.is_module_patched("ssl") else []),
    *(["eventlet"] if _EVENTLET and _EVENTLET.is_monkey_patched("socket") else []),
]

import ctypes
import functools
import io
import json
import logging
import os
import select
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import requests

from pelton.process import native_threads

# The thread that imports the application; of greenlets it has to be that of their hub.
HOME = native_threads.get_ident()
_INSIDE = {"now": 0, "most": 0}


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Each request by the first part of its path."""
    name, _, rest = environ["PATH_INFO"].removeprefix("/").partition("/")
    if name == "writers":
        return writers(start_response)
    body = ROUTES[name](environ, rest)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body] if isinstance(body, bytes) else body


def about(environ: WSGIEnvironment, rest: str) -> bytes:
    """How this process has come about."""
    current = threading.current_thread()
    found = {
        "loaded_before": LOADED_BEFORE,
        "patched_before": PATCHED_BEFORE,
        "ssl": ssl.SSLContext.__module__.partition(".")[0],
        "at_home": native_threads.get_ident() == HOME,
        "thread": current.name,
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "greenlets": _greenlets(),
        "multithread": environ["wsgi.multithread"],
    }
    return json.dumps(found).encode()


def _greenlets() -> int:
    import gc

    import greenlet

    return sum(isinstance(one, greenlet.greenlet) and not one.dead for one in gc.get_objects())


def sleep(environ: WSGIEnvironment, rest: str) -> bytes:
    """Sleeps, and says how many did at the same time at most."""
    _INSIDE["now"] += 1
    _INSIDE["most"] = max(_INSIDE.values())
    try:
        time.sleep(float(rest))
    finally:
        _INSIDE["now"] -= 1
    return str(_INSIDE["most"]).encode()


def gather(environ: WSGIEnvironment, rest: str) -> bytes:
    """Waits until so many requests are here."""
    _INSIDE["now"] += 1
    while _INSIDE["now"] < int(rest):
        time.sleep(0.01)
    return b"together"


def hold(environ: WSGIEnvironment, rest: str) -> bytes:
    """Waits at a pipe."""
    print(f"{rest} is held by {os.getpid()}", file=environ["wsgi.errors"], flush=True)
    path = Path(os.environ["PELTON_TEST_GATES"], rest)
    with io.FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK)) as pipe:
        select.select([pipe], [], [])
    return b"went through"


def block(environ: WSGIEnvironment, rest: str) -> bytes:
    """Blocks the whole thread, where nothing that is patched can help."""
    ctypes.CDLL(None).usleep(int(float(rest) * 1e6))
    return b"blocked"


def jam(environ: WSGIEnvironment, rest: str) -> bytes:
    """Keeps the hub, or under threads the interpreter, until the pipe is opened."""
    path = Path(os.environ["PELTON_TEST_GATES"], rest)
    # Calls by way of PyDLL do not give up the interpreter's lock; this one also says that it has begun.
    shell = f"echo {rest} jams {os.getpid()} >&2; read line < '{path}'"
    ctypes.PyDLL(None).system(shell.encode())
    return b"went through"


def nested(environ: WSGIEnvironment, rest: str) -> bytes:
    """Asks another server."""
    return requests.get(f"http://127.0.0.1:{rest}/", timeout=20).content


def length(environ: WSGIEnvironment, rest: str) -> bytes:
    """Reads the body in small pieces."""
    count = 0
    while piece := environ["wsgi.input"].read(10_000):
        count += len(piece)
    return str(count).encode()


def stream(environ: WSGIEnvironment, rest: str) -> Iterator[bytes]:
    """A long response in pieces."""
    for _ in range(int(rest)):
        yield b"x" * 100_000


def from_pool(environ: WSGIEnvironment, rest: str) -> bytes:
    """Reads the body on a real thread."""
    import gevent

    return bytes(gevent.get_hub().threadpool.apply(environ["wsgi.input"].read))


def writers(start_response: StartResponse) -> Iterable[bytes]:
    """Three greenlets write one response together."""
    write = start_response("200 OK", [("Content-Type", "text/plain")])

    def fill() -> None:
        for _ in range(20):
            write(b"x" * 100_000)

    threads = [threading.Thread(target=fill) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return []


def swallow(environ: WSGIEnvironment, rest: str) -> bytes:
    """Lets nothing end it, but gives way."""
    while True:
        try:
            time.sleep(30)
        except BaseException:
            logging.getLogger("app").error("swallowed")


def impatient(environ: WSGIEnvironment, rest: str) -> bytes:
    """Bounds its own reading, as gevent's users do."""
    import gevent

    try:
        with gevent.Timeout(float(rest)):
            return bytes(environ["wsgi.input"].read())
    except gevent.Timeout:
        return b"too slow"


def finish(environ: WSGIEnvironment, rest: str) -> Iterator[bytes]:
    """Endless, until its client has gone; tells how it ends."""
    try:
        yield b"first"
        while True:
            time.sleep(1000)
            yield b"next"
    except BaseException as error:
        logging.getLogger("pelton.application").error("ended by %s", type(error).__name__)
        raise


def chatter(environ: WSGIEnvironment, rest: str) -> bytes:
    """Logs from real threads and from greenlets at the same time."""
    logger = logging.getLogger("pelton.application")

    def talk(who: str) -> None:
        for number in range(int(rest)):
            logger.error("%s says %d", who, number)
            if who.startswith("greenlet") and number % 7 == 0:
                time.sleep(0)

    real = [
        native_threads.NativeThread(functools.partial(talk, f"real {number}"), name=f"real-{number}")
        for number in range(3)
    ]
    green = [threading.Thread(target=talk, args=(f"greenlet {number}",)) for number in range(3)]
    for thread in real:
        thread.start()
    for greenlet in green:
        greenlet.start()
    for thread in real:
        thread.join()
    for greenlet in green:
        greenlet.join()
    return b"done"


ROUTES: dict[str, Any] = {
    one.__name__: one
    for one in (
        about, from_pool, sleep, gather, hold, block, jam, nested, length, stream, swallow, impatient, finish,
        chatter,
    )
}  # fmt: skip
ROUTES[""] = lambda environ, rest: b"hello"
