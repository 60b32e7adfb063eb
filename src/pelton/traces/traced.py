"""A span around each call of the application, until the response is closed.

Owns its beginning (when the front got the request, or a trusted proxy did), its events, and its end. The
sampler decides by the parent; of a request that is not sampled nothing is kept, and its calls elsewhere say
so. Runs on the request's thread or greenlet.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.propagate import extract
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from pelton.observe.exemplars import ALL as EXEMPLARS
from pelton.observe.routes import route_of
from pelton.traces.attributes import request_attributes, span_name
from pelton.version import VERSION

RECEIVED: Final = "pelton.received"
_SCOPE: Final = "pelton"
_LONGEST_WAIT_NS: Final = 3_600 * 10**9

Environ = dict[str, Any]


class _Fields(Getter[Mapping[str, Any]]):
    """Header fields of an environ."""

    def get(self, carrier: Mapping[str, Any], key: str) -> list[str] | None:
        """That field."""
        value = carrier.get("HTTP_" + key.upper().replace("-", "_"))
        return None if value is None else [value]

    def keys(self, carrier: Mapping[str, Any]) -> list[str]:
        """All fields."""
        return [key[5:].lower().replace("_", "-") for key in carrier if key.startswith("HTTP_")]


_FIELDS: Final = _Fields()


class Traced:
    """The application, with a span around each call."""

    def __init__(self, application: Any, provider: trace.TracerProvider) -> None:
        self._application = application
        self._tracer = provider.get_tracer(_SCOPE, VERSION)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """One request."""
        exchange = _Exchange(self._tracer, environ)

        def start(status: str, *others: Any, **named: Any) -> Any:
            exchange.responded(status)
            return start_response(status, *others, **named)

        with exchange:
            response: Iterable[bytes] = self._application(environ, start)
        # What these are has been made by now; the server is given them as they are, for it knows them.
        if isinstance(response, (list, tuple)) or type(response) is environ.get("wsgi.file_wrapper"):
            exchange.end()
            return response
        return _Response(response, exchange)


class _Exchange:
    """One request's span. Entered, it is the present one, and what is raised is noted."""

    def __init__(self, tracer: Tracer, environ: Environ) -> None:
        self._environ = environ
        self._called_ns = time.time_ns()
        waited_ns = _waited_ns(environ.pop(RECEIVED, None))
        parent = extract(environ, getter=_FIELDS)
        method = environ["REQUEST_METHOD"]
        began_ns = self._began_ns = self._called_ns - waited_ns
        self._span = tracer.start_span(
            span_name(method, None),
            context=parent,
            kind=SpanKind.SERVER,
            attributes=request_attributes(environ),
            start_time=began_ns,
        )
        self._context: Context = trace.set_span_in_context(self._span, parent)
        self._has_ended = False
        if self._span.is_recording():
            self._span.add_event("pelton.received", timestamp=began_ns)
            waited = {"pelton.queue_time": waited_ns / 1e9}
            self._span.add_event("pelton.application.start", waited, timestamp=self._called_ns)

    @property
    def span(self) -> Span:
        """Its span."""
        return self._span

    def __enter__(self) -> None:
        self._token = context.attach(self._context)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        context.detach(self._token)
        if error is not None:
            self.failed(error)

    def responded(self, status: str) -> None:
        """The head of the response; of several the last one counts."""
        span = self._span
        if not span.is_recording():
            return
        code = int(status[:3]) if status[:3].isdigit() else 0
        if code:
            span.set_attribute("http.response.status_code", code)
        if route := route_of(self._environ):
            span.set_attribute("http.route", route)
            span.update_name(span_name(self._environ["REQUEST_METHOD"], route))
        if code >= 500:
            span.set_attribute("error.type", str(code))
            span.set_status(Status(StatusCode.ERROR))

    def failed(self, error: BaseException) -> None:
        """The application has raised; its response ends here."""
        if self._span.is_recording() and not isinstance(error, GeneratorExit):
            self._span.record_exception(error)
            self._span.set_attribute("error.type", _name_of(type(error)))
            self._span.set_status(Status(StatusCode.ERROR, str(error)))
        self.end()

    def end(self) -> None:
        """Once."""
        if self._has_ended:
            return
        self._has_ended = True
        if self._span.is_recording():
            now_ns = time.time_ns()
            spent = {"pelton.application_time": max(0, now_ns - self._called_ns) / 1e9}
            self._span.add_event("pelton.application.end", spent, timestamp=now_ns)
            trace_id = trace.format_trace_id(self._span.get_span_context().trace_id)
            EXEMPLARS.add(max(0, now_ns - self._began_ns) / 1e9, trace_id, now_ns / 1e9)
        self._span.end()


class _Response:
    """A response that is made while it is sent."""

    def __init__(self, response: Iterable[bytes], exchange: _Exchange) -> None:
        self._response, self._exchange = response, exchange
        self._pieces: Iterator[bytes] | None = None

    def __iter__(self) -> _Response:
        return self

    def __next__(self) -> bytes:
        ended = False
        with self._exchange:
            if self._pieces is None:
                self._pieces = iter(self._response)
            try:
                return next(self._pieces)
            except StopIteration:
                ended = True
        assert ended
        raise StopIteration

    def close(self) -> None:
        """As the server calls it, at the end in any case."""
        try:
            if (close := getattr(self._response, "close", None)) is not None:
                with self._exchange:
                    close()
        finally:
            self._exchange.end()


def _waited_ns(received: Any) -> int:
    """Since the front got it; ``received`` is in microseconds of the clock that processes share."""
    if received is None:
        return 0
    waited = time.monotonic_ns() - int(received) * 1000
    return waited if 0 <= waited <= _LONGEST_WAIT_NS else 0


def _name_of(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
