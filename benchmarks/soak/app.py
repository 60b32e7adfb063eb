"""The application of the soak: what a response must be follows from its request, so a wrong one is seen."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from wsgiref.types import StartResponse, WSGIEnvironment

PLAIN = [("Content-Type", "text/plain")]
PIECE = bytes(range(256)) * 64


def body_of(name: str) -> bytes:
    """The response to ``/x/NAME``."""
    return hashlib.sha256(name.encode()).hexdigest().encode()


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    kind, _, rest = environ["PATH_INFO"].removeprefix("/").partition("/")
    if kind == "upload":
        return _upload(environ, start_response)
    if kind == "stream":
        return _stream(start_response, int(rest))
    if kind == "nap":
        time.sleep(0.02)
    elif kind == "child":
        # A program, as most forks are, and a child of the process that ends by itself.
        subprocess.run([sys.executable, "-S", "-c", "pass"], check=True, close_fds=True)
        if (pid := os.fork()) == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    start_response("200 OK", list(PLAIN))
    return [body_of(rest)]


def _upload(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    seen = hashlib.sha256()
    while piece := environ["wsgi.input"].read(65536):
        seen.update(piece)
    start_response("200 OK", list(PLAIN))
    return [seen.hexdigest().encode()]


def _stream(start_response: StartResponse, count: int) -> Iterator[bytes]:
    start_response("200 OK", [*PLAIN, ("Content-Length", str(count * len(PIECE)))])
    for _ in range(count):
        yield PIECE
