"""Files that the application names and the front sends: X-Accel-Redirect, X-Sendfile, USE_X_SENDFILE."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

import flask
import pytest

from support.client import Response, request
from support.serving import Serve, Server

TEXT = b"".join(b"line %d\n" % number for number in range(2000))
Ask = Callable[..., Response]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = tmp_path / "files"
    (files / "sub").mkdir(parents=True)
    for name, content in (("a.txt", TEXT), ("sub/\u00fc b.bin", b"12345"), ("empty", b"")):
        (files / name).write_bytes(content)
        os.utime(files / name, (time.time() - 60,) * 2)
    (tmp_path / "secret.txt").write_bytes(b"SECRET")
    (files / "out").symlink_to("../secret.txt")
    return files


class Application:
    """Names what the query says, in the field of the path's name."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.fields: list[tuple[str, str]] = [("Content-Type", "text/x-own")]
        self.status = "200 OK"

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        name = environ["PATH_INFO"].strip("/")
        start_response(self.status, [*self.fields, (name, environ["QUERY_STRING"])])
        return self.pieces()

    def pieces(self) -> Iterator[bytes]:
        try:
            while True:
                yield b"nobody reads this"
        finally:
            self.closed.set()


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def server(serve: Serve, application: Application, folder: Path) -> Server:
    return serve(application, sendfile_root=(f"/protected={folder}",), threads=1)


@pytest.fixture
def ask(server: Server) -> Ask:
    def ask(target: str, *fields: tuple[str, str], method: str = "GET") -> Response:
        return server.ask(request(method, target, [*fields, ("Connection", "close")]))

    return ask


def test_the_file_is_sent_with_the_applications_fields_and_its_thread_is_free(
    ask: Ask, application: Application
) -> None:
    application.fields += [("Content-Disposition", "attachment"), ("Set-Cookie", "a=b")]
    response = ask("/X-Accel-Redirect?/protected/a.txt")
    assert (response.status, response.body) == (200, TEXT)
    assert response.get("content-type") == "text/x-own"
    assert response.get("content-disposition") == "attachment"
    assert response.get("set-cookie") == "a=b"
    assert response.get("accept-ranges") == "bytes"
    assert response.get("x-accel-redirect") is None
    assert application.closed.wait(10)


def test_names_of_either_kind_below_the_folder_only(ask: Ask, folder: Path) -> None:
    for target, body in (
        ("/X-Accel-Redirect?/protected/sub/%C3%BC%20b.bin", b"12345"),
        ("/X-Accel-Redirect?/protected/empty", b""),
        (f"/X-Sendfile?{folder}/a.txt", TEXT),
    ):
        response = ask(target)
        assert (response.status, response.body) == (200, body), target
    for target in (
        "/X-Accel-Redirect?/protected/../secret.txt",
        "/X-Accel-Redirect?/protected/%2e%2e/secret.txt",
        "/X-Accel-Redirect?/protected/out",
        "/X-Accel-Redirect?/protected/sub",
        "/X-Accel-Redirect?/protected/",
        "/X-Accel-Redirect?/protectedx/a.txt",
        "/X-Accel-Redirect?http://elsewhere/protected/a.txt",
        "/X-Accel-Redirect?",
        f"/X-Sendfile?{folder}/../secret.txt",
        f"/X-Sendfile?{folder}/out",
        f"/X-Sendfile?{folder.parent}/secret.txt",
        f"/X-Sendfile?{folder}",
        "/X-Sendfile?/etc/passwd",
        "/X-Sendfile?a.txt",
    ):
        response = ask(target)
        assert response.status == 404, target
        assert b"SECRET" not in response.body


def test_conditions_and_ranges_are_the_fronts(ask: Ask, application: Application) -> None:
    target = "/X-Accel-Redirect?/protected/a.txt"
    tag = ask(target).get("etag")
    assert tag is not None
    assert ask(target, ("If-None-Match", tag)).status == 304
    part = ask(target, ("Range", "bytes=5-9"))
    assert (part.status, part.body) == (206, TEXT[5:10])
    assert part.get("content-range") == f"bytes 5-9/{len(TEXT)}"
    assert ask(target, ("Range", "bytes=999999-")).status == 416
    head = ask(target, method="HEAD")
    assert (head.body, head.get("content-length")) == (b"", str(len(TEXT)))
    application.fields += [("ETag", '"own"'), ("Cache-Control", "max-age=9")]
    assert ask(target).get("etag") == '"own"'
    assert ask(target, ("Range", "bytes=5-9"), ("If-Range", '"own"')).status == 206
    assert ask(target, ("Range", "bytes=5-9"), ("If-Range", '"old"')).status == 200
    unchanged = ask(target, ("If-None-Match", '"own"'))
    assert (unchanged.status, unchanged.get("cache-control")) == (304, "max-age=9")
    assert ask(target, ("If-None-Match", tag)).status == 200
    # What only reads is answered by conditions, and a status that is none of success stays.
    assert ask(target, ("If-None-Match", '"own"'), method="POST").status == 200
    application.status = "403 Forbidden"
    refused = ask(target, ("Range", "bytes=0-1"))
    assert (refused.status, refused.body) == (403, TEXT)


def test_clients_cannot_ask_for_the_folder_themselves(ask: Ask) -> None:
    assert ask("/protected/a.txt").body != TEXT


@pytest.mark.parametrize("compress", ["off", "gzip"])
def test_flasks_send_file(serve: Serve, folder: Path, compress: str) -> None:
    app = flask.Flask(__name__)
    app.config["USE_X_SENDFILE"] = True

    @app.get("/<path:name>")
    def file(name: str) -> flask.Response:
        return flask.send_file(folder / name, max_age=60)

    server = serve(app, sendfile_root=(f"/protected={folder}",), compress=compress)

    def ask(*fields: tuple[str, str]) -> Response:
        return server.ask(request("GET", "/a.txt", [*fields, ("Connection", "close")]))

    response = ask()
    assert (response.status, response.body) == (200, TEXT)
    assert response.get("content-type") == "text/plain; charset=utf-8"
    assert response.get("cache-control") == "public, max-age=60"
    assert response.get("x-sendfile") is None
    part = ask(("Range", "bytes=-7"))
    assert (part.status, part.body) == (206, TEXT[-7:])
    assert ask(("If-None-Match", response.get("etag") or "")).status == 304
    assert ask(("If-Modified-Since", response.get("last-modified") or "")).status == 304
    assert ask(("Range", "bytes=999999-")).status == 416
    coded = ask(("Accept-Encoding", "gzip"))
    assert coded.get("content-encoding") == ("gzip" if compress == "gzip" else None)
    assert server.counter("files_sent") >= 3
