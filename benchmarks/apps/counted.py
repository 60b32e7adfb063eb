"""The hellos with prometheus_client around them, as gunicorn's users have it.

A count and a histogram for each request, in files that all workers share (PROMETHEUS_MULTIPROC_DIR).
"""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter, Histogram

from benchmarks.apps import bare, flask_app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_REQUESTS = Counter("http_requests_total", "Requests.", ("method", "status"))
_SECONDS = Histogram("http_request_duration_seconds", "Their time.", ("method", "path"))


def _counted(application: "WSGIApplication") -> "WSGIApplication":
    def counting(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        began, method = time.perf_counter(), environ["REQUEST_METHOD"]

        def start(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Any:
            _REQUESTS.labels(method, status[:3]).inc()
            return start_response(status, fields, exc_info)

        response = application(environ, start)
        _SECONDS.labels(method, environ["PATH_INFO"]).observe(time.perf_counter() - began)
        return response

    return counting


hello = _counted(bare.app)
flask = _counted(flask_app.app)
