"""Bare WSGI: the least that a server can be asked to do for each row."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from benchmarks.apps.work import HELLO, MEBIBYTE, count_bytes, nap, spin

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def _response(environ: "WSGIEnvironment") -> bytes:
    path = environ["PATH_INFO"]
    if path == "/sleep":
        nap()
        return HELLO
    if path == "/cpu":
        return b"%d\n" % spin()
    if path == "/large":
        return MEBIBYTE
    if path == "/upload":
        return b"%d\n" % count_bytes(environ["wsgi.input"], int(environ.get("CONTENT_LENGTH") or 0))
    return b""


def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    # The hello path comes first and alone: in its row the application should cost next to nothing.
    if environ["PATH_INFO"] == "/":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "14")])
        return (HELLO,)
    body = _response(environ)
    status = "200 OK" if body else "404 Not Found"
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return (body,)
