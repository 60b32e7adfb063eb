"""An application whose requests are traced: routes, a failure, a stream, a span of its own."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Flask, Response
from opentelemetry import trace

app = Flask(__name__)


@app.get("/users/<int:number>")
def user(number: int) -> str:
    with trace.get_tracer("shop").start_as_current_span("look up"):
        return str(number)


@app.get("/fails")
def fails() -> str:
    raise ValueError("on purpose")


@app.get("/streams")
def streams() -> Response:
    def pieces() -> Iterator[str]:
        yield "a"
        yield format(trace.get_current_span().get_span_context().trace_id, "032x")

    return Response(pieces())


def raises(environ: object, start_response: object) -> list[bytes]:
    raise ValueError("no framework catches it")
