"""The application of the command's tests, loaded by the command itself in its own process.

The test steers it by pipes with a name (FIFOs) in the directory that the variable PELTON_TEST_GATES names:
``/hold/NAME`` says "NAME is held" in the log and waits until the test opens the pipe NAME for writing.
"""

from __future__ import annotations

import io
import os
import select
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

_TOGETHER = threading.Barrier(4)


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path.startswith("/hold/"):
        hold(path.removeprefix("/hold/"), environ)
    elif path == "/together":
        # Only four requests that run at the same time come through.
        _TOGETHER.wait(20)
    elif path == "/restless":
        print("it is restless", file=environ["wsgi.errors"])
        while True:
            # Gives up the interpreter's lock and asks for it again, a thousand times a second.
            time.sleep(0.001)
    elif path == "/large":
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return (b"x" * 20_000 for _ in range(50))
    elif path == "/fail":
        raise RuntimeError("intended failure")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [threading.current_thread().name.encode()]


def hold(name: str, environ: WSGIEnvironment) -> None:
    print(f"{name} is held", file=environ["wsgi.errors"])
    _wait_for_writer(Path(os.environ["PELTON_TEST_GATES"], name))


def _wait_for_writer(path: Path) -> None:
    # Opening it in the usual way would stop the thread; of greenlets, all that run on it.
    with io.FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK)) as pipe:
        # Readable at the end: when somebody has opened it for writing and closed it.
        select.select([pipe], [], [])
