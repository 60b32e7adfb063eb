"""Requests that wait for a second: asleep, or for a response of another server over HTTP."""

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ANSWER = b"waited\n"
# A server that answers after a second; set by the benchmark.
OTHER = os.environ.get("BENCH_OTHER", "")


def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/sleep":
        time.sleep(1)
    elif path == "/nested":
        requests.get(OTHER, timeout=30)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(ANSWER)))])
    return (ANSWER,)
