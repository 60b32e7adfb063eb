"""The application of the faults: plain WSGI, and each path does one thing to its worker."""

import ctypes
import os
import signal
import time
from collections.abc import Iterable, Iterator
from wsgiref.types import StartResponse, WSGIEnvironment

BIG = 30_000_000


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    what, _, rest = environ["PATH_INFO"].removeprefix("/").partition("/")
    match what:
        case "nap":
            time.sleep(float(rest))
        case "kill":
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            time.sleep(0.3)
            ctypes.string_at(0)
        case "exit":
            time.sleep(0.3)
            os._exit(3)
        case "lock":
            # Keeps the interpreter's lock, as native code does that never comes back.
            ctypes.PyDLL(None).sleep(1000)
        case "fork":
            # The child comes back, too.
            os.fork()
        case "late-error":
            return _late_error(start_response)
        case "big":
            start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(BIG))])
            return [b"x" * BIG]
    body = f"{what}/{rest}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def _late_error(start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"the beginning"
    raise RuntimeError("the application fails after the beginning")
