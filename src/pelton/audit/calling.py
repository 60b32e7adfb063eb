"""Calls the application as a server would, without one. Any thread.

Owns that a call ends: a response that goes on for ever is closed, and on the main thread a call that hangs is
interrupted. Those are no faults of an application (events are sent so), but nothing can be compared.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from pelton.requests.request import Request

Application = Callable[..., Any]

MOST_SECONDS: Final = 10.0
# An application may have caught the first interruption.
_AGAIN_SECONDS: Final = 1.0


class _TooLong(BaseException):
    """Ends a call that hangs. No Exception, for those are caught by frameworks."""


@dataclass(frozen=True)
class Outcome:
    """What came of a request; two are the same response when they are equal."""

    status: str
    length: int
    digest: bytes
    has_ended: bool = True

    def __str__(self) -> str:
        return f"{self.status} ({self.length} bytes)"


def call(application: Application, request: Request) -> Outcome:
    """One request, until its response is closed. What the application raises becomes the status."""
    head: list[str] = []
    body = bytearray()
    has_ended = True

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        head[:] = [status]
        return body.extend

    try:
        with _bounded():
            response = application(environ_of(request), start_response)
            try:
                has_ended = _read(response, body)
            finally:
                close = getattr(response, "close", None)
                if close is not None:
                    close()
    except _TooLong:
        has_ended = False
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # SystemExit too: a view that calls sys.exit() ends its request, and not who looks at it.
        head[:] = [f"raised {type(error).__name__}"]
    status = head[0] if head else "no status"
    return Outcome(status, len(body), hashlib.sha256(body).digest(), has_ended)


def _read(response: Any, body: bytearray) -> bool:
    """Whether it has come to an end in time."""
    end = time.monotonic() + MOST_SECONDS
    for piece in response:
        body.extend(piece)
        if time.monotonic() > end:
            return False
    return True


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Interrupts what takes too long, on the main thread; on others nothing can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, interrupt)
    timer = signal.setitimer(signal.ITIMER_REAL, 1.5 * MOST_SECONDS, _AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        # Somebody else's alarm goes on.
        signal.setitimer(signal.ITIMER_REAL, *timer)


def environ_of(request: Request) -> dict[str, Any]:
    """As PEP 3333 has it."""
    path, _, query = request.path.partition("?")
    content = request.body.encode()
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(content),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if content:
        environ["CONTENT_TYPE"] = request.content_type
        environ["CONTENT_LENGTH"] = str(len(content))
    for name, value in request.fields:
        variable = name.upper().replace("-", "_")
        environ[variable if variable in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{variable}"] = value
    return environ
