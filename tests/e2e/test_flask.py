"""A real Flask application: what its users do, through a client that they use."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from flask import Flask, Response, request, send_file, session, stream_with_context
from flask.typing import ResponseReturnValue

from support.apps import pattern
from support.serving import Serve
from support.waiting import Gate


@pytest.fixture
def app(gate: Gate, tmp_path: Path) -> Flask:
    made = Flask(__name__)
    made.secret_key = "only a test"
    path = tmp_path / "document.bin"
    path.write_bytes(pattern(3_000_000))

    @made.post("/upload")
    def upload() -> ResponseReturnValue:
        file = request.files["file"]
        data = file.stream.read()
        return {
            "name": file.filename,
            "title": request.form["title"],
            "size": len(data),
            "digest": hashlib.sha256(data).hexdigest(),
        }

    @made.get("/count")
    def count() -> ResponseReturnValue:
        session["count"] = session.get("count", 0) + 1
        return {"count": session["count"]}

    @made.get("/stream")
    def stream() -> ResponseReturnValue:
        def lines() -> Iterator[str]:
            yield f"first for {request.args['name']}\n"
            gate.hold()
            yield f"second for {request.args['name']}\n"

        return Response(stream_with_context(lines()), mimetype="text/plain")

    @made.get("/file")
    def file() -> ResponseReturnValue:
        return send_file(path, conditional=True, etag=True)

    @made.post("/json")
    def as_json() -> ResponseReturnValue:
        return {"got": request.get_json()}

    @made.get("/fail")
    def fail() -> ResponseReturnValue:
        raise RuntimeError("intended failure")

    @made.errorhandler(404)
    def not_found(error: Exception) -> ResponseReturnValue:
        return "<h1>nothing here</h1>", 404

    return made


Ask = Callable[..., requests.Response]


@pytest.fixture
def site(serve: Serve, app: Flask) -> Iterator[tuple[str, requests.Session]]:
    server = serve(app)
    with requests.Session() as client:
        # Not by way of a proxy that the environment names.
        client.trust_env = False
        yield server.address, client


Site = tuple[str, requests.Session]


def test_a_form_with_a_file(site: Site) -> None:
    address, client = site
    data = pattern(2 * 2**20)
    for _ in range(2):
        answer = client.post(
            f"{address}/upload", data={"title": "Käse"}, files={"file": ("tür.bin", data)}, timeout=20
        )
        assert answer.json() == {
            "name": "tür.bin",
            "title": "Käse",
            "size": len(data),
            "digest": hashlib.sha256(data).hexdigest(),
        }


def test_a_chunked_upload(site: Site) -> None:
    address, client = site
    pieces = [b'{"a": ', b"[1, 2", b", 3]}"]
    answer = client.post(
        f"{address}/json", data=iter(pieces), headers={"Content-Type": "application/json"}, timeout=20
    )
    assert answer.json() == {"got": {"a": [1, 2, 3]}}


def test_a_session_in_a_cookie(site: Site) -> None:
    address, client = site
    assert [client.get(f"{address}/count", timeout=20).json()["count"] for _ in range(3)] == [1, 2, 3]
    client.cookies.clear()
    assert client.get(f"{address}/count", timeout=20).json()["count"] == 1


def test_a_stream_with_its_request(site: Site, gate: Gate) -> None:
    address, client = site
    with client.get(f"{address}/stream", params={"name": "me"}, stream=True, timeout=20) as answer:
        lines = answer.iter_lines(chunk_size=None)
        assert next(lines) == b"first for me"
        gate.wait_for()
        gate.open()
        assert list(lines) == [b"second for me"]


def test_a_file_and_parts_of_it(site: Site) -> None:
    address, client = site
    data = pattern(3_000_000)
    whole = client.get(f"{address}/file", timeout=20)
    assert whole.content == data
    assert whole.headers["Content-Length"] == "3000000"
    part = client.get(f"{address}/file", headers={"Range": "bytes=1000000-1999999"}, timeout=20)
    assert (part.status_code, part.content == data[1_000_000:2_000_000]) == (206, True)
    tag = {"If-None-Match": whole.headers["ETag"]}
    unchanged = client.get(f"{address}/file", headers=tag, timeout=20)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert client.head(f"{address}/file", timeout=20).headers["Content-Length"] == "3000000"
    assert client.get(f"{address}/count", timeout=20).json() == {"count": 1}


def test_error_pages(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    address, client = site
    missing = client.get(f"{address}/nowhere", timeout=20)
    assert (missing.status_code, missing.text) == (404, "<h1>nothing here</h1>")
    failed = client.get(f"{address}/fail", timeout=20)
    assert failed.status_code == 500
    assert "Internal Server Error" in failed.text
    assert "intended failure" in caplog.text
    assert client.get(f"{address}/count", timeout=20).status_code == 200


def test_many_visitors_have_their_own_sessions(site: Site) -> None:
    address, _ = site
    wrong: list[object] = []

    def visit() -> None:
        with requests.Session() as client:
            client.trust_env = False
            seen = [client.get(f"{address}/count", timeout=20).json()["count"] for _ in range(20)]
            if seen != list(range(1, 21)):
                wrong.append(seen)

    threads = [threading.Thread(target=visit) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert wrong == []
