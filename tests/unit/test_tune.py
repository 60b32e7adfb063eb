"""`pelton tune` without servers: what is sent, how responses are read, the models, the report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pelton.exceptions import ConfigError
from pelton.requests.reading import Form, form_of, read
from pelton.requests.request import Request
from pelton.tune.alone import Route, routes_of
from pelton.tune.counts import Row, Writer
from pelton.tune.counts import read as read_counts
from pelton.tune.load import load_of
from pelton.tune.model import (
    INTERPRETER,
    PERMITS,
    PROCESSORS,
    Demands,
    Law,
    Shape,
    fit,
    held_out,
    left_out,
    mean_error,
    predict,
)
from pelton.tune.report import report
from pelton.tune.responses import ResponseReader
from pelton.tune.rising import Step, is_saturated, knee
from pelton.tune.server import Setting
from pelton.tune.subject import Subject
from pelton.tune.text import text_of
from pelton.tune.tuning import Result
from pelton.tune.verdict import analysed, best_of, bounds, findings, projections

SIZE = {"name": "size", "in": "query", "required": True, "schema": {"type": "integer"}}
SPECIFICATION: dict[str, Any] = {
    "openapi": "3.1.0",
    "servers": [{"url": "https://shop.example/v1/"}],
    "components": {
        "schemas": {
            "Item": {
                "type": "object",
                "required": ["name", "parts"],
                "properties": {
                    "name": {"type": "string", "examples": ["tea"]},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}},
                    "left": {"type": "string"},
                },
            },
            "Part": {"type": "object", "properties": {"of": {"$ref": "#/components/schemas/Part"}}},
        },
        "parameters": {
            "size": {"name": "size", "in": "query", "required": True, "schema": {"type": "integer"}}
        },
    },
    "paths": {
        "/items/{name}": {
            "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}],
            "get": {
                "parameters": [
                    {"$ref": "#/components/parameters/size"},
                    {"name": "sort", "in": "query", "example": "by name"},
                    {"name": "page", "in": "query", "schema": {"type": "integer"}},
                ]
            },
            "delete": {"parameters": [{"name": "name", "in": "path", "schema": {"enum": ["a/b"]}}]},
        },
        "/items": {
            "post": {
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}}
                }
            }
        },
    },
}


def test_an_openapi_document_is_a_request_for_each_operation(tmp_path: Path) -> None:
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(SPECIFICATION))
    get, delete, post = read(file)
    assert get == Request("GET", "/v1/items/a?size=1&sort=by+name")
    assert delete == Request("DELETE", "/v1/items/a%2Fb")
    assert (post.method, post.path, post.content_type) == ("POST", "/v1/items", "application/json")
    body = json.loads(post.body)
    assert (body["name"], set(body)) == ("tea", {"name", "parts"})
    # In YAML it is the same.
    yaml = pytest.importorskip("yaml")
    file.write_text(yaml.safe_dump(SPECIFICATION, sort_keys=False))
    assert read(file, Form.OPENAPI) == [get, delete, post]


@pytest.mark.parametrize(
    "text",
    [
        '{"openapi": "2.0"}',
        '{"openapi": "3.0.0"}',
        '{"openapi": "3.0.0", "paths": {"/": {"$ref": "#/paths/~1"}}}',
        '{"openapi": "3.0.0", "paths": {"/": {"$ref": "other.json"}}}',
        '{"openapi": "3.0.0", "paths": []}',
        "{",
    ],
)
def test_what_is_no_openapi_document_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "openapi.json"
    file.write_text(text)
    with pytest.raises(ConfigError):
        read(file, Form.OPENAPI)


def test_logs_are_read_in_both_forms(tmp_path: Path) -> None:
    file = tmp_path / "log"
    told = {
        "http.request.method": "GET",
        "url.path": "/b",
        "url.query": "x=1",
        "http.response.status_code": 200,
    }
    file.write_text(
        '::1 - - [30/Nov/2026:12:00:00 +0000] "GET /a?y=é HTTP/1.1" 200 5 "-" "curl"\n'
        f"{json.dumps(told)}\n"
        '1.2.3.4 - - [30/Nov/2026:12:00:01 +0000] "POST /c HTTP/2.0" 200 5 "-" "curl"\n'
        '1.2.3.4 - - [30/Nov/2026:12:00:01 +0000] "-" 408 0\n'
        "something else\n"
    )
    assert read(file, Form.LOG) == [
        Request("GET", "/a?y=%C3%A9"),
        Request("GET", "/b?x=1"),
        Request("POST", "/c"),
    ]


def test_of_a_har_file_only_the_application_s_own_host_counts(tmp_path: Path) -> None:
    urls = ["http://here/a", "http://fonts.example/b", "http://here/c?d=e"]
    file = tmp_path / "har"
    sent = {"mimeType": "text/plain", "text": "x"}
    entries: list[dict[str, Any]] = [{"request": {"method": "GET", "url": url}} for url in urls]
    entries.append({"request": {"method": "POST", "url": "http://here/f", "postData": sent}})
    file.write_text(json.dumps({"log": {"entries": entries}}))
    assert read(file, Form.HAR) == [
        Request("GET", "/a"),
        Request("GET", "/c?d=e"),
        Request("POST", "/f", "x", "text/plain"),
    ]


def test_the_form_of_a_file_is_found_out() -> None:
    assert form_of('{"openapi": "3.0.0"}') is Form.OPENAPI
    assert form_of("openapi: 3.0.0\n") is Form.OPENAPI
    assert form_of('{"log": {}}') is Form.HAR
    assert form_of("GET /\n") is Form.LINES
    assert form_of('{"http.request.method": "GET", "url.path": "/"}\n') is Form.LINES


def test_what_changes_something_is_not_sent_unless_asked() -> None:
    asked = [Request("GET", "/a"), Request("POST", "/b", "c=d"), Request("GET", "/a"), Request("HEAD", "/e")]
    load = load_of(asked, unsafe=False)
    assert load.requests == (asked[0], asked[3])
    assert load.weights == pytest.approx((2 / 3, 1 / 3))
    assert load.skipped == {"unsafe method": 1}
    order = load.order()
    assert order.count(0) == pytest.approx(2 * order.count(1), rel=0.01)
    assert len(load_of(asked, unsafe=True).requests) == 3
    with pytest.raises(ConfigError, match="Nothing is left"):
        load_of(asked[1:2], unsafe=False)


def test_requests_are_written_whole() -> None:
    load = load_of([Request("POST", "/b", "c=é")], unsafe=True, headers=["Cookie: s=1"])
    [one] = load.encoded()
    head, _, body = one["data"].partition("\r\n\r\n")
    assert head.splitlines()[0] == "POST /b HTTP/1.1"
    assert {"Cookie: s=1", "X-Pelton-Tune: 0", "Content-Length: 4"} <= set(head.splitlines())
    assert body.encode("latin-1").decode() == "c=é"
    with pytest.raises(ConfigError, match="no header field"):
        load_of([Request("GET", "/")], unsafe=False, headers=["a: b\r\nc: d"])


RESPONSES = [
    ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, False),
    ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n", 200, True),
    ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", 304, False),
    ("GET", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, False),
    (
        "GET",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x\r\n0123456789\r\n0\r\n\r\n",
        200,
        False,
    ),
]


@pytest.mark.parametrize(("method", "data", "status", "closes"), RESPONSES)
def test_responses_are_read_whole_and_byte_by_byte(
    method: str, data: bytes, status: int, closes: bool
) -> None:
    reader = ResponseReader()
    for _ in range(2):
        reader.begin(method)
        assert (reader.feed(data), reader.closes) == (status, closes)
    reader.begin(method)
    seen = [reader.feed(data[at : at + 1]) for at in range(len(data))]
    assert (seen[:-1], seen[-1]) == ([None] * (len(data) - 1), status)


def test_a_response_may_end_with_its_connection() -> None:
    reader = ResponseReader()
    reader.begin("GET")
    assert reader.end() is None
    assert reader.feed(b"HTTP/1.1 200 OK\r\n\r\nabc") is None
    assert reader.end() == 200


def test_counts_of_all_processes_are_added(tmp_path: Path) -> None:
    writer = Writer(tmp_path, 2)
    writer.add(1, Row(count=1, computing_ns=5, duration_ns=9))
    writer.add(1, Row(traced=1, most_bytes=100, kept_bytes=-3))
    writer.add(7, Row(count=1))
    (own,) = tmp_path.glob("*.counts")
    (tmp_path / "1.counts").write_bytes(own.read_bytes())
    (tmp_path / "2.counts").write_bytes(b"not yet")
    found = read_counts(tmp_path, 2)
    assert found.requests == 4
    assert found.rows == (Row(), Row(2, 10, 18, 2, 100, -6))
    assert found.since(found).rows[1].count == 0


def test_the_subject_counts_each_call_once_and_sees_memory(tmp_path: Path) -> None:
    kept: list[bytes] = []

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        if environ["PATH_INFO"] == "/fails":
            raise ValueError("the application's")
        if environ["PATH_INFO"] == "/leaks":
            kept.append(bytes(100_000))
            return [b"x"]
        assert "HTTP_X_PELTON_TUNE" not in environ

        def stream() -> Iterator[bytes]:
            yield bytes(10)

        return stream()

    subject = Subject(application, tmp_path, 2)

    def call(path: str, said: str) -> None:
        environ = {"PATH_INFO": path, "REQUEST_METHOD": "GET", "HTTP_X_PELTON_TUNE": said}
        response: Any = subject(environ, lambda *_: None)
        list(response)
        if hasattr(response, "close"):
            response.close()

    call("/", "0")
    with pytest.raises(ValueError, match="the application"):
        call("/fails", "0")
    for _ in range(4):
        call("/leaks", "1 memory")
    found = read_counts(tmp_path, 2).rows
    assert (found[0].count, found[0].traced) == (2, 0)
    assert (found[1].count, found[1].traced) == (0, 4)
    assert found[1].most_bytes >= 100_000
    # The last one's is known when another begins.
    assert found[1].kept_bytes == pytest.approx(300_000, rel=0.1)


def step(concurrency: int, per_second: float, **more: Any) -> Step:
    costs = {"interpreter": 0.002, "front": 0.0001, "generator": 0.0001, "generator_share": 0.1}
    return Step(
        concurrency=concurrency,
        per_second=per_second,
        p50=concurrency / per_second,
        p99=2 * concurrency / per_second,
        failed=0,
        statuses={"200": 10},
        memory_bytes=2**20,
        **{**costs, **more},
    )


def test_the_network_is_exact_where_that_is_known() -> None:
    demands = Demands(interpreter=0.002, front=0.0, generator=0.0, waiting=0.008)
    shape = Shape(processors=4, workers=1, permits=64)
    alone = predict(demands, shape, 1)
    assert alone.per_second == pytest.approx(100)
    # One interpreter serves 500 per second, however many ask.
    crowd = predict(demands, shape, 64)
    assert crowd.per_second == pytest.approx(500, rel=0.001)
    assert crowd.limit == INTERPRETER
    # Two clients of one exponential server with a delay: the textbook's recursion by hand.
    there = 0.002 * (1 + 100 * 0.002)
    assert predict(demands, shape, 2).per_second == pytest.approx(2 / (0.008 + there))
    # More workers than processors bring nothing.
    full = predict(demands, Shape(processors=2, workers=8, permits=64), 512)
    assert full.per_second == pytest.approx(1000, rel=0.001)
    assert full.limit == PROCESSORS
    # Two threads are busy waiting: who is beyond them waits for a thread.
    few = predict(demands, Shape(processors=4, workers=1, permits=2), 64)
    assert (few.per_second, few.limit) == (predict(demands, shape, 2).per_second, PERMITS)


def test_what_is_held_out_says_how_wrong_the_model_is() -> None:
    demands = Demands(0.002, 0.0, 0.0, 0.008)
    shape = Shape(4, 1, 64)
    true = [step(n, predict(demands, shape, n).per_second) for n in (1, 4, 16)]
    assert mean_error(held_out(true, demands, shape)) == pytest.approx(0)
    wrong = [replace(one, per_second=one.per_second / 2) for one in true]
    assert mean_error(held_out(wrong, demands, shape)) == pytest.approx(1)
    assert mean_error([]) is None


@pytest.mark.parametrize(("sigma", "kappa"), [(0.05, 0.001), (0.2, 0.0), (0.0, 0.002), (0.0, 0.0)])
def test_the_law_is_found_again(sigma: float, kappa: float) -> None:
    law = Law(100, sigma, kappa)
    points = [(n, law.at(n)) for n in (1, 2, 4, 8, 16, 32)]
    found = fit(points)
    assert found is not None
    assert (found.rate, found.sigma, found.kappa) == pytest.approx((100, sigma, kappa), abs=1e-6)
    assert mean_error(left_out(points)) == pytest.approx(0, abs=1e-6)
    if kappa:
        assert found.peak == pytest.approx(((1 - sigma) / kappa) ** 0.5)
    assert fit(points[:2]) is None
    # Faster than linear: no part may be negative.
    above = fit([(1, 100), (2, 250), (4, 600), (8, 1500)])
    assert above is not None
    assert (above.sigma, above.kappa) == (0, 0)


def test_saturation_and_knee() -> None:
    rising = [step(1, 100), step(2, 200), step(4, 390)]
    assert not is_saturated(rising)
    over = [*rising, step(8, 395), step(16, 396)]
    assert is_saturated(over)
    assert knee(over).concurrency == 4


def result(measured: list[tuple[Setting, tuple[Step, ...]]], routes: list[Route]) -> Result:
    load = load_of([Request("GET", "/<a>")], unsafe=False)
    demands, series = analysed(measured, 0.008, 2.0)
    best = best_of(series)
    return Result(
        target="shop:app",
        source="<log>",
        load=load,
        machine=2.0,
        routes=routes,
        demands=demands,
        series=series,
        best=best,
        bounds=bounds(demands, best, 2.0),
        projections=projections(demands, best, [2.0, 16.0]),
        findings=list(findings(routes, demands, series, best)),
    )


def of_model(workers: int, levels: tuple[int, ...], part: float = 1.0) -> tuple[Step, ...]:
    demands = Demands(0.002, 0.0001, 0.0001, 0.008)
    return tuple(step(n, part * predict(demands, Shape(2, workers, 32), n).per_second) for n in levels)


ROUTE = Route("GET /<a>", "shop.py:3", 1.0, 9, 0.0015, 0.008, 2**20, 5000.0, {"200": 8, "500": 1})


def test_bounds_projections_and_findings_follow() -> None:
    levels = (1, 2, 4, 8, 16, 32, 64)
    found = result([(Setting(32, 1), of_model(1, levels)), (Setting(32, 2), of_model(2, levels))], [ROUTE])
    assert found.error == pytest.approx(0, abs=1e-6)
    assert found.best.setting == Setting(32, 2)
    values = {one["setting"]: one["value"] for one in found.bounds}
    assert (values["workers"], values["threads"]) == ("2", "2:32")
    # Eight times the processors, and nothing else is scarce.
    two, sixteen = found.projections
    assert sixteen["per_second"] == pytest.approx(8 * two["per_second"], rel=0.02)
    kinds = {one.kind: one for one in found.findings}
    assert set(kinds) == {"status", "memory-kept", "saturation"}
    assert kinds["memory-kept"].where == "shop.py:3"
    # Half of what the costs allow: they wait for each other.
    slow = result([(Setting(32, 1), of_model(1, levels, 0.5))], [])
    assert {one.kind for one in slow.findings} == {"saturation", "contention", "model"}


class _Page(HTMLParser):
    """Tags, and what they name."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action")]


def test_the_report_is_one_file_with_plots_and_without_a_network() -> None:
    found = result([(Setting(32, 1), of_model(1, (1, 2, 4, 8, 16)))], [ROUTE])
    text = report(found)
    page = _Page()
    page.feed(text)
    assert page.tags.count("svg") == 3
    assert (page.links, page.tags.count("script"), page.tags.count("a")) == ([], 0, 0)
    assert "&lt;log&gt;" in text
    assert "<log>" not in text
    assert "nan" not in re.sub(r"<[^>]*>", "", text)
    assert "queue-length" in "\n".join(text_of(found))
    assert json.loads(json.dumps(found.as_json()))["bounds"] == found.bounds


def test_requests_of_one_route_are_one_row() -> None:
    load = load_of([Request("GET", "/a/1"), Request("GET", "/a/2"), Request("GET", "/b")], unsafe=False)
    places = {0: {"route": "/a/<n>", "where": "x.py:1"}, 1: {"route": "/a/<n>", "where": "x.py:1"}}
    rows = (Row(2, 4_000_000, 10_000_000), Row(1, 4_000_000, 5_000_000), Row())
    traced = (Row(traced=2, most_bytes=10, kept_bytes=4), Row(traced=2, most_bytes=30), Row())
    first, second = routes_of(load, places, rows, traced, [{"200": 2}, {"200": 1}, {}])
    assert (first.name, first.where) == ("GET /a/<n>", "x.py:1")
    assert (first.share, first.computing, first.waiting) == pytest.approx((2 / 3, 0.003, 0.002))
    assert (first.most_bytes, first.kept_bytes, first.statuses) == (30, 1.0, {"200": 3})
    assert (second.name, second.computing, second.requests) == ("GET /b", 0.0, 0)
