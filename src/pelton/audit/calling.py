"""Calls the application as a server would, without one. Any thread."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from pelton.requests.request import Request

Application = Callable[..., Any]


@dataclass(frozen=True)
class Outcome:
    """What came of a request; two are the same response when they are equal."""

    status: str
    length: int
    digest: bytes

    def __str__(self) -> str:
        return f"{self.status} ({self.length} bytes)"


def call(application: Application, request: Request) -> Outcome:
    """One request, until its response is closed. What the application raises becomes the status."""
    head: list[str] = []
    body = bytearray()

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        head[:] = [status]
        return body.extend

    try:
        response = application(environ_of(request), start_response)
        try:
            for piece in response:
                body.extend(piece)
        finally:
            close = getattr(response, "close", None)
            if close is not None:
                close()
    except Exception as error:
        head[:] = [f"raised {type(error).__name__}"]
    return Outcome(head[0] if head else "no status", len(body), hashlib.sha256(body).digest())


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
    return environ
