"""Spans by OpenTelemetry's protocol, as a receiver gets them from a worker and from one process."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import StartLive
from support.client import Client, request
from support.collector import Collector, attributes

APPLICATION = Path(__file__).parents[1] / "support" / "traced_app.py"
TRACE = "4bf92f3577b34da6a3ce929d0e0e47{:02x}"
PARENT = "00f067aa0ba902b7"
SERVER, ERROR = 2, 2


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as made:
        yield made


def ended(server: Any) -> None:
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0


@pytest.mark.parametrize(
    "kind",
    [("--workers", "0"), ("--workers", "1"), ("--workers", "1", "-k", "gevent")],
    ids=["one process", "a worker", "greenlets"],
)
def test_each_request_is_a_span(
    live: StartLive, collector: Collector, kind: tuple[str, ...], tmp_path: Path
) -> None:
    server = live(
        *(APPLICATION, *kind, "--traces", "--trusted-proxies", "127.0.0.1"),
        *("--admin-bind", f"unix:{tmp_path}/admin"),
        environment=collector.environment,
    )

    def ask(number: int, target: str, *fields: tuple[str, str], flags: str = "01") -> Any:
        parent = ("traceparent", f"00-{TRACE.format(number)}-{PARENT}-{flags}")
        return server.ask(request(target=target, fields=[parent, *fields]))

    before = time.time_ns()
    start = ("X-Request-Start", f"t={time.time() - 2:.3f}")
    assert ask(1, "/users/7?q=1&sig=abc", ("User-Agent", "curl")).body == b"7"
    assert ask(2, "/fails").status == 500
    streamed = ask(3, "/streams", start)
    assert ask(4, "/users/8", flags="00").status == 200
    assert server.ask(request("BREW", "/nothing")).status == 404
    # A bucket of the histogram names one of the traces.
    with Client(f"unix:{tmp_path}/admin") as client:
        accept = ("Accept", "application/openmetrics-text")
        text = client.ask(request(target="/metrics", fields=[accept])).body.decode()
    exemplars = re.findall(
        r'^pelton_http_request_duration_seconds_bucket\{.*# \{trace_id="(\w+)"\}', text, re.M
    )
    assert TRACE.format(3) in exemplars, text
    ended(server)

    spans = {(span.trace_id.hex(), span.name): span for _, span in collector.spans}
    assert {about["service.name"] for about, _ in collector.spans} == {"the shop"}
    assert all(fields["x-tenant"] == "shop" for fields in collector.fields)
    # One that its parent does not sample is not there.
    traces = {trace for trace, _ in spans if trace.startswith(TRACE[:30])}
    assert traces == {TRACE.format(number) for number in (1, 2, 3)}

    span = spans[TRACE.format(1), "GET /users/<int:number>"]
    assert (span.kind, span.parent_span_id.hex(), span.status.code) == (SERVER, PARENT, 0)
    found = attributes(span)
    assert found == {
        "http.request.method": "GET",
        "server.address": "test.example",
        "url.path": "/users/7",
        "url.query": "q=1&sig=REDACTED",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "client.address": "127.0.0.1",
        "user_agent.original": "curl",
        "http.response.status_code": 200,
        "http.route": "/users/<int:number>",
    }
    names = [event.name for event in span.events]
    assert names == ["pelton.received", "pelton.application.start", "pelton.application.end"]
    assert attributes(span.events[1])["pelton.queue_time"] >= 0
    assert attributes(span.events[2])["pelton.application_time"] >= 0
    assert (
        before - 10**9 < span.start_time_unix_nano <= span.events[1].time_unix_nano <= span.end_time_unix_nano
    )
    # What the application makes itself is below it.
    own = spans[TRACE.format(1), "look up"]
    assert own.parent_span_id == span.span_id

    failed = spans[TRACE.format(2), "GET /fails"]
    assert (failed.status.code, attributes(failed)["error.type"]) == (ERROR, "500")
    stream = spans[TRACE.format(3), "GET /streams"]
    assert streamed.body == b"a" + TRACE.format(3).encode()
    # A trusted proxy has said when it came.
    waited = attributes(stream.events[1])["pelton.queue_time"]
    assert waited >= 2
    assert stream.events[1].time_unix_nano - stream.start_time_unix_nano >= 2e9
    [other] = [span for (_, name), span in spans.items() if name == "HTTP"]
    assert attributes(other)["http.request.method"] == "_OTHER"
    assert attributes(other)["http.request.method_original"] == "BREW"
    assert other.parent_span_id == b""


def test_what_is_raised_is_told(live: StartLive, collector: Collector) -> None:
    # Each of two workers has its own; no request is without one.
    server = live(f"{APPLICATION}:raises", "--workers", "2", "--traces", environment=collector.environment)
    server.ready_workers(2)
    for _ in range(20):
        assert server.ask(request()).status == 500
    ended(server)
    assert len(collector.spans) == 20
    _, span = collector.spans[0]
    assert (span.name, span.status.code, attributes(span)["error.type"]) == ("GET", ERROR, "ValueError")
    [told] = [event for event in span.events if event.name == "exception"]
    assert attributes(told)["exception.message"] == "no framework catches it"


def test_without_a_collector_it_serves_and_ends(live: StartLive) -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_BSP_SCHEDULE_DELAY": "3600000"}
    server = live(APPLICATION, "--workers", "1", "--traces", environment=environment)
    assert server.ask(request(target="/users/1")).status == 200
    ended(server)


def test_it_can_be_switched_off_by_the_standard_s_variable(live: StartLive, collector: Collector) -> None:
    environment = {**collector.environment, "OTEL_SDK_DISABLED": "true"}
    server = live(APPLICATION, "--workers", "0", "--traces", environment=environment)
    assert server.ask(request(target="/users/1")).status == 200
    ended(server)
    assert collector.spans == []
