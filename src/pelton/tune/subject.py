"""The application of ``pelton tune`` as its server loads it: the user's, with a clock around each call.

Owns counting (into `pelton.tune.counts`) and, of requests that are looked at alone, the route, the line of
its view, and memory. Which application and where to count is said by environment variables. Imported by
the workers of a server that `pelton.tune.server` has started; runs on their threads.

``X-Pelton-Tune`` of a request is its row, and ``memory`` behind it asks for memory to be traced.
"""

from __future__ import annotations

import gc
import inspect
import json
import os
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from pelton.exceptions import ApplicationError
from pelton.loader import load_application, parse_target
from pelton.observe.routes import route_of
from pelton.tune.counts import Row, Writer

# Not PELTON_…, for those are settings.
TARGET_VARIABLE: Final = "_PELTON_TUNE_TARGET"
FOLDER_VARIABLE: Final = "_PELTON_TUNE_FOLDER"
ROWS_VARIABLE: Final = "_PELTON_TUNE_ROWS"
FIELD: Final = "X-Pelton-Tune"
ROUTES_FILE: Final = "routes.jsonl"
# Why there is no application.
FAILURE_FILE: Final = "failure.json"
_VARIABLE: Final = "HTTP_X_PELTON_TUNE"


class Subject:
    """The application, and who counts its requests."""

    def __init__(self, application: Any, folder: Path, rows: int) -> None:
        self._application = application
        self._folder = folder
        self._rows = rows
        self._writer: Writer | None = None
        self._pid = 0
        # The last request that was traced, and what was in use when it began.
        self._traced: tuple[int, int] | None = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """One request."""
        said = environ.pop(_VARIABLE, "")
        at, _, memory = said.partition(" ")
        if not at:
            response: Iterable[bytes] = self._application(environ, start_response)
            return response
        if memory:
            traced = _TracedCall(self, int(at), self._begin_tracing(int(at)))
            call: _Call = traced
            start = self._with_route(traced, environ, start_response)
        else:
            call, start = _Call(self, int(at)), start_response
        try:
            response = self._application(environ, start)
        except BaseException:
            call.end()
            raise
        # What these are has been made by now; the server is given them as they are, for it knows them.
        if isinstance(response, (list, tuple)) or type(response) is environ.get("wsgi.file_wrapper"):
            call.end()
            return response
        return _Response(response, call)

    def add(self, at: int, row: Row) -> None:
        """What a request has cost."""
        if self._writer is None or self._pid != os.getpid():
            self._pid, self._writer = os.getpid(), Writer(self._folder, self._rows)
        self._writer.add(at, row)

    def _begin_tracing(self, at: int) -> int:
        """Bytes in use. What is more than when the last one began, that one has left behind."""
        if not tracemalloc.is_tracing():
            tracemalloc.start(1)
        gc.collect()
        now = tracemalloc.get_traced_memory()[0]
        if self._traced is not None:
            before, used = self._traced
            self.add(before, Row(kept_bytes=now - used))
        self._traced = (at, now)
        tracemalloc.reset_peak()
        return now

    def tell_route(self, at: int, route: dict[str, str]) -> None:
        """For whoever tunes."""
        with (self._folder / ROUTES_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"at": at, **route}) + "\n")

    def _with_route(self, call: _TracedCall, environ: dict[str, Any], start_response: Any) -> Any:
        """``start_response`` that notes the route; Flask forgets it at the end of a request."""

        def start(*arguments: Any, **named: Any) -> Any:
            call.route = _route_of(self._application, environ)
            return start_response(*arguments, **named)

        return start


class _Call:
    """The clocks of one request."""

    def __init__(self, subject: Subject, at: int) -> None:
        self._subject, self._at = subject, at
        self._ended = False
        self._began, self._computed = time.monotonic_ns(), time.thread_time_ns()

    def end(self) -> None:
        """Once, whatever comes first: the end of the response, or its close."""
        if not self._ended:
            self._ended = True
            self._subject.add(self._at, self._row())

    def _row(self) -> Row:
        return Row(1, time.thread_time_ns() - self._computed, time.monotonic_ns() - self._began)


class _TracedCall(_Call):
    """One that is looked at for memory. Tracing costs much, so it does not count as a request."""

    def __init__(self, subject: Subject, at: int, used: int) -> None:
        super().__init__(subject, at)
        self._used = used
        self.route: dict[str, str] = {}

    def end(self) -> None:
        """With its route."""
        super().end()
        if self.route:
            self._subject.tell_route(self._at, self.route)
            self.route = {}

    def _row(self) -> Row:
        return Row(traced=1, most_bytes=max(0, tracemalloc.get_traced_memory()[1] - self._used))


class _Response:
    """A response that is made while it is sent."""

    def __init__(self, response: Iterable[bytes], call: _Call) -> None:
        self._response, self._call = response, call

    def __iter__(self) -> Iterator[bytes]:
        yield from self._response

    def close(self) -> None:
        """As the server calls it, at the end in any case."""
        try:
            if (close := getattr(self._response, "close", None)) is not None:
                close()
        finally:
            self._call.end()


def _route_of(application: Any, environ: dict[str, Any]) -> dict[str, str]:
    """The pattern that has matched, and where its view is; empty where nobody says it."""
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
    views = getattr(application, "view_functions", {})
    view = views.get(getattr(rule, "endpoint", None)) if isinstance(views, dict) else None
    where = ""
    if view is not None:
        code = getattr(inspect.unwrap(view), "__code__", None)
        where = f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""
    return {"route": route_of(environ) or "", "where": where}


def make() -> Subject:
    """What the server loads."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    try:
        application = load_application(parse_target(os.environ[TARGET_VARIABLE]), Path.cwd())
    except ApplicationError as error:
        # Whoever tunes says it as other commands do, and not by the log of this server.
        failure = {"what": error.what, "lines": error.lines, "traceback": error.traceback}
        (folder / FAILURE_FILE).write_text(json.dumps(failure), encoding="utf-8")
        raise
    return Subject(application, folder, int(os.environ[ROWS_VARIABLE]))
