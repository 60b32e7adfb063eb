"""Files that the front sends without the application: over real sockets, with files on a real disk."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from conftest import Start, StartLive
from support.apps import PLAIN
from support.client import CutOffError, Response, request
from support.live import PROCESS_APP
from support.serving import Serve, Server
from support.waiting import eventually

TEXT = "".join(f"line {number}\n" for number in range(1000)).encode()
Ask = Callable[..., Response]


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    return [b"the application: " + environ["PATH_INFO"].encode("latin-1")]


def write(path: Path, content: bytes, age: float = 60) -> Path:
    """A file that was changed some time ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (time.time() - age,) * 2)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    write(site / "a.txt", TEXT)
    write(site / "sub/index.html", b"<p>index</p>")
    write(site / "sub/empty.css", b"")
    write(site / "a b/\u00fc.js", b"let x\n")
    write(site / ".env", b"SECRET")
    write(site / ".git/config", b"SECRET")
    write(site / ".well-known/security.txt", b"Contact: me\n")
    write(tmp_path / "secret.txt", b"SECRET")
    (site / "within").symlink_to("sub")
    (site / "out.txt").symlink_to("../secret.txt")
    (site / "up").symlink_to("..")
    os.mkfifo(site / "fifo")
    return site


@pytest.fixture
def ask(serve: Serve, folder: Path) -> Ask:
    server = serve(application, static=(f"/static={folder}",))
    return asking(server)


def asking(server: Server) -> Ask:
    client = server.connect()

    def ask(target: str, *fields: tuple[str, str], method: str = "GET") -> Response:
        return client.ask(request(method, target, fields))

    return ask


def settled(ask: Ask, target: str = "/static/a.txt") -> Response:
    """The response once the file counts as settled: two seconds after its inode was last touched."""
    eventually(lambda: ask(target).get("Last-Modified") is not None, "the file has settled")
    return ask(target)


def test_a_whole_file(start: Start, folder: Path) -> None:
    ask = asking(start(application, static=(f"/static={folder}",)))
    for _ in range(3):
        got = ask("/static/a.txt")
        assert (got.status, got.framing, got.body) == (200, "length", TEXT)
        assert got.get("Content-Type") == "text/plain; charset=utf-8"
        assert (got.get("Accept-Ranges"), got.get("Cache-Control")) == ("bytes", "no-cache")
        assert got.get("Vary") is None
    head = ask("/static/a.txt", method="HEAD")
    assert (head.status, head.get("Content-Length"), head.body) == (200, str(len(TEXT)), b"")
    assert ask("/static/sub/empty.css").body == b""
    assert ask("/static/a%20b/%C3%BC.js").body == b"let x\n"
    assert ask("/static/within/index.html").body == b"<p>index</p>"
    assert ask("/static/.well-known/security.txt").body == b"Contact: me\n"
    assert ask("/elsewhere").text == "the application: /elsewhere"
    assert ask("/staticfiles").text == "the application: /staticfiles"


def test_folders(ask: Ask) -> None:
    assert ask("/static/sub/").body == b"<p>index</p>"
    for target, location in [
        ("/static/sub", "./sub/"),
        ("/static/sub?a=b", "./sub/?a=b"),
        ("/%73tatic/within", "./within/"),
    ]:
        got = ask(target)
        assert (got.status, got.get("Location")) == (301, location)
    # Never listed.
    assert ask("/static/").status == ask("/static").status == ask("/static/a%20b/").status == 404


@pytest.mark.parametrize(
    "target",
    [
        "/static/../secret.txt",
        "/static/..%2fsecret.txt",
        "/static/%2e%2e/secret.txt",
        "/static/%2E%2E%2Fsecret.txt",
        "/static/sub/../../secret.txt",
        "/static/sub/%2e%2e/%2e%2e/secret.txt",
        "/static/.%2e/secret.txt",
        "/static/..%5csecret.txt",
        "/static/..\\secret.txt",
        "/static/%252e%252e/secret.txt",
        "/static/%c0%ae%c0%ae/secret.txt",
        "/static/%e0%80%ae%e0%80%ae/secret.txt",
        "/static/..%00/secret.txt",
        "/static//secret.txt",
        "/static//etc/passwd",
        "/static/%2fetc/passwd",
        "/static/out.txt",
        "/static/up/secret.txt",
        "/static/.env",
        "/static/%2eenv",
        "/static/.git/config",
        "/static/.well-known/../.env",
        "/static/a.txt/",
        "/static/a.txt/../../secret.txt",
        "/static/a.txt%00.html",
        "/static/fifo",
        "/static/missing",
        "/static/...",
        "/static/" + "x" * 300,
        "/static/" + "x/" * 2500,
    ],
)
def test_nothing_else_is_sent(ask: Ask, target: str) -> None:
    got = ask(target)
    assert b"SECRET" not in got.body
    # 400: the parser refuses an encoded NUL before anybody looks for a file.
    assert got.status == (400 if "%00" in target else 404), got


def test_devices_are_no_files(serve: Serve) -> None:
    ask = asking(serve(application, static=("/dev=/dev",)))
    assert ask("/dev/null").status == ask("/dev/zero").status == 404


def test_conditions(ask: Ask) -> None:
    whole = settled(ask)
    etag, modified = whole.get("ETag") or "", whole.get("Last-Modified") or ""
    assert (etag[0], etag[-1]) == ('"', '"')
    for fields, status in [
        ([("If-None-Match", etag)], 304),
        ([("If-None-Match", f'"x", W/{etag}')], 304),
        ([("If-None-Match", "*")], 304),
        ([("If-None-Match", '"x"')], 200),
        ([("If-Modified-Since", modified)], 304),
        ([("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")], 200),
        ([("If-None-Match", '"x"'), ("If-Modified-Since", modified)], 200),
        ([("If-Match", etag)], 200),
        ([("If-Match", '"x"')], 412),
        ([("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")], 412),
        ([("If-Unmodified-Since", modified)], 200),
    ]:
        for method in ("GET", "HEAD"):
            got = ask("/static/a.txt", *fields, method=method)
            assert got.status == status, fields
            assert got.body == (TEXT if (status, method) == (200, "GET") else b"")
            if status == 304:
                assert (got.get("ETag"), got.get("Cache-Control")) == (etag, "no-cache")
                assert got.get("Content-Type") is got.get("Content-Length") is None


def test_ranges(ask: Ask) -> None:
    size = len(TEXT)
    for value, first, last in [
        ("bytes=0-9", 0, 9),
        ("bytes=10-", 10, size - 1),
        ("bytes=-5", size - 5, size - 1),
        (f"bytes={size - 1}-{size + 10}", size - 1, size - 1),
        ("bytes=5-6,7-9", 5, 9),
    ]:
        got = ask("/static/a.txt", ("Range", value))
        assert (got.status, got.body) == (206, TEXT[first : last + 1]), value
        assert got.get("Content-Range") == f"bytes {first}-{last}/{size}"
        assert got.get("Content-Type") == "text/plain; charset=utf-8"
    for value in ("bytes=2-1", "lines=1-2", "bytes=", "bytes=a-b", "bytes=" + ",".join(["0-"] * 100)):
        assert ask("/static/a.txt", ("Range", value)).status == 200, value
    for value in (f"bytes={size}-", "bytes=-0"):
        got = ask("/static/a.txt", ("Range", value))
        assert (got.status, got.get("Content-Range"), got.body) == (416, f"bytes */{size}", b"")
    assert ask("/static/sub/empty.css", ("Range", "bytes=0-")).status == 416
    got = ask("/static/a.txt", ("Range", "bytes=0-9"), method="HEAD")
    assert (got.status, got.get("Content-Length"), got.body) == (200, str(size), b"")


def test_several_ranges(ask: Ask) -> None:
    size = len(TEXT)
    got = ask("/static/a.txt", ("Range", "bytes=0-1,1000-1009,-3"))
    media_type = got.get("Content-Type") or ""
    kind, _, boundary = media_type.partition("; boundary=")
    assert (got.status, kind, len(boundary), got.get("Content-Range")) == (
        206,
        "multipart/byteranges",
        32,
        None,
    )
    parts = got.body.split(f"--{boundary}".encode())
    assert (parts[0], parts[-1], len(parts)) == (b"", b"--\r\n", 5)
    for part, (first, last) in zip(parts[1:-1], [(0, 1), (1000, 1009), (size - 3, size - 1)], strict=True):
        head, _, data = part.partition(b"\r\n\r\n")
        assert data == TEXT[first : last + 1] + b"\r\n"
        assert f"Content-Range: bytes {first}-{last}/{size}".encode() in head
        assert b"Content-Type: text/plain; charset=utf-8" in head
    assert boundary not in (ask("/static/a.txt", ("Range", "bytes=0-1,1000-")).get("Content-Type") or "")


def test_if_range(ask: Ask) -> None:
    whole = settled(ask)
    etag, modified = whole.get("ETag") or "", whole.get("Last-Modified") or ""
    for value, status in [
        (etag, 206),
        (modified, 206),
        ('"x"', 200),
        (f"W/{etag}", 200),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 200),
        ("nonsense", 200),
    ]:
        assert ask("/static/a.txt", ("Range", "bytes=0-9"), ("If-Range", value)).status == status, value


def test_what_was_changed_just_now_is_not_vouched_for(ask: Ask, folder: Path) -> None:
    (folder / "new.txt").write_text("new")
    got = ask("/static/new.txt")
    assert ((got.get("ETag") or "")[:3], got.get("Last-Modified")) == ('W/"', None)


def test_only_reading(ask: Ask) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        got = ask("/static/a.txt", method=method)
        assert (got.status, got.get("Allow")) == (405, "GET, HEAD")


def test_a_request_with_a_body_does_not_become_two(serve: Serve, folder: Path) -> None:
    client = serve(application, static=(f"/static={folder}",)).connect()
    got = client.ask(request("GET", "/static/a.txt", body=b"GET /static/sub/ HTTP/1.1\r\n\r\n"))
    assert (got.status, got.body, got.keeps_connection) == (200, TEXT, False)
    assert client.closed()


def test_coded_neighbours(serve: Serve, folder: Path) -> None:
    coded = gzip.compress(TEXT)
    write(folder / "a.txt.gz", coded)
    write(folder / "a.txt.br", b"brotli")
    write(folder / "a.txt.zst", b"an old one", age=1000)
    ask = asking(serve(application, static=(f"/static={folder}",)))
    plain = ask("/static/a.txt")
    assert (plain.body, plain.get("Vary"), plain.get("Content-Encoding")) == (TEXT, "Accept-Encoding", None)
    for accepted, coding, body in [
        ("gzip", "gzip", coded),
        ("gzip, br", "br", b"brotli"),
        ("gzip;q=1, br;q=0.5", "gzip", coded),
        ("br;q=0, gzip;q=0.1", "gzip", coded),
        ("zstd", None, TEXT),
        ("identity, gzip;q=0.5", None, TEXT),
        ("gzip;q=0", None, TEXT),
        ("", None, TEXT),
    ]:
        got = ask("/static/a.txt", ("Accept-Encoding", accepted))
        assert (got.body, got.get("Content-Encoding")) == (body, coding), accepted
        assert got.get("Vary") == "Accept-Encoding"
        assert got.get("Content-Type") == "text/plain; charset=utf-8"
        assert (got.get("ETag") == plain.get("ETag")) == (coding is None)
    # A range of the coded form, and the coded form by its own name.
    got = ask("/static/a.txt", ("Accept-Encoding", "br"), ("Range", "bytes=1-2"))
    assert (got.status, got.body, got.get("Content-Range")) == (206, b"ro", "bytes 1-2/6")
    got = ask("/static/a.txt.gz", ("Accept-Encoding", "gzip"))
    assert (got.body, got.get("Content-Encoding"), got.get("Content-Type")) == (
        coded,
        None,
        "application/gzip",
    )
    off = asking(serve(application, static=(f"/static={folder}",), static_precompressed=False))
    assert off("/static/a.txt", ("Accept-Encoding", "gzip")).body == TEXT


def test_how_long_browsers_keep_what(serve: Serve, folder: Path) -> None:
    write(folder / "assets/main-0a1b2c3d.js", b"x")
    ask = asking(
        serve(
            application,
            static=(f"/static={folder}",),
            static_cache=("assets/*=1y,immutable", "*.txt=5min", "*.html=off"),
        )
    )
    for target, want in [
        ("assets/main-0a1b2c3d.js", "max-age=31536000, immutable"),
        ("a.txt", "max-age=300"),
        ("sub/", None),
        ("sub/empty.css", "no-cache"),
    ]:
        assert ask(f"/static/{target}").get("Cache-Control") == want, target


def test_one_page_for_all_paths(serve: Serve, folder: Path) -> None:
    write(folder / "index.html", b"<p>app</p>")
    settings: dict[str, Any] = {"static": (f"/={folder}",), "static_fallback": "index.html"}
    ask = asking(serve(application, **settings))
    html = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
    assert ask("/", html).body == ask("/some/page", html).body == b"<p>app</p>"
    assert ask("/some/script.js", ("Accept", "*/*")).status == 404
    through = asking(serve(application, **settings, static_fall_through=True))
    assert through("/some/page", html).body == b"<p>app</p>"
    assert through("/api/x", ("Accept", "application/json")).text == "the application: /api/x"
    assert through("/a.txt").body == TEXT


def test_the_application_has_what_is_missing(serve: Serve, folder: Path) -> None:
    ask = asking(serve(application, static=(f"/static={folder}",), static_fall_through=True))
    assert ask("/static/a.txt").body == TEXT
    assert ask("/static/missing").text == "the application: /static/missing"
    assert ask("/static/.env").text == "the application: /static/.env"
    assert ask("/static/a.txt", method="POST").text == "the application: /static/a.txt"


def test_the_longest_path_counts(serve: Serve, folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "media/a.txt", b"media")
    ask = asking(serve(application, static=(f"/={folder}", f"/sub/media={tmp_path / 'media'}")))
    assert ask("/sub/media/a.txt").body == b"media"
    assert ask("/a.txt").body == TEXT


def test_a_file_that_is_exchanged_is_followed(ask: Ask, folder: Path) -> None:
    before = ask("/static/a.txt")
    new = write(folder / "new", b"second")
    new.rename(folder / "a.txt")
    eventually(lambda: ask("/static/a.txt").body != TEXT, "the name is looked at again")
    got = ask("/static/a.txt")
    assert got.body == b"second"
    assert got.get("ETag") != before.get("ETag")
    # Written in place: seen at once.
    (folder / "a.txt").write_bytes(b"third")
    assert ask("/static/a.txt").body == b"third"
    (folder / "a.txt").unlink()
    eventually(lambda: ask("/static/a.txt").status == 404, "the name is looked at again")


@pytest.mark.parametrize("change", ["shorter", "same length", "longer"])
def test_a_file_that_changes_while_it_is_sent_never_looks_complete(
    serve: Serve, folder: Path, change: str
) -> None:
    size = 64 * 2**20
    path = write(folder / "large", b"a" * size)
    server = serve(application, static=(f"/static={folder}",))
    client = server.connect(receive_buffer=4096)
    client.send(request(target="/static/large"))
    client.wait_readable()
    with path.open("r+b") as file:
        match change:
            case "shorter":
                file.truncate(size // 2)
            case "same length":
                file.write(b"b")
            case "longer":
                file.seek(size)
                file.write(b"more")
    with pytest.raises(CutOffError):
        client.response()
    assert server.counter("closed_file_changed") == 1


def test_a_large_file_on_a_cold_disk(serve: Serve, folder: Path) -> None:
    content = os.urandom(5 * 2**20)
    path = write(folder / "large.bin", content)
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    server = serve(application, static=(f"/static={folder}",))
    ask = asking(server)
    assert ask("/static/large.bin").body == content
    assert ask("/static/large.bin", ("Range", "bytes=1000000-1000009")).body == content[1000000:1000010]


def test_files_are_counted_logged_and_closed_again(serve: Serve, folder: Path) -> None:
    server = serve(application, static=(f"/static={folder}",), static_open_files=2)
    ask = asking(server)
    for name in ("a.txt", "sub/", "sub/empty.css", "a%20b/%C3%BC.js"):
        assert ask(f"/static/{name}").status == 200
    server.wait_for_counter("files_sent", 4)
    assert server.counter("files_open") <= 2


@pytest.mark.parametrize("workers", ["0", "2"])
def test_flasks_own_folder(live: StartLive, tmp_path: Path, workers: str) -> None:
    write(tmp_path / "static/a.txt", b"of the application")
    write(tmp_path / "shop/files/b.txt", b"of the blueprint")
    (tmp_path / "a_shop.py").write_text(
        "import flask\n"
        "app = flask.Flask(__name__)\n"
        "shop = flask.Blueprint('shop', __name__, url_prefix='/shop', static_folder='shop/files')\n"
        "app.register_blueprint(shop)\n"
        "@app.before_request\n"
        "def seen():\n"
        "    if flask.request.endpoint != 'page':\n"
        "        return 'the application'\n"
        "@app.get('/')\n"
        "def page():\n"
        "    names = {'static': 'a.txt', 'shop.static': 'b.txt'}\n"
        "    return ' '.join(flask.url_for(name, filename=file) for name, file in names.items())\n"
    )
    server = live("a_shop:app", "--workers", workers, "--static", "auto", directory=tmp_path)
    if workers != "0":
        server.ready_workers(int(workers))
    first, second = server.ask(request(target="/")).text.split()
    assert server.ask(request(target=first)).body == b"of the application"
    assert server.ask(request(target=second)).body == b"of the blueprint"
    assert server.ask(request(target="/static/missing")).status == 404


def test_a_missing_folder_is_told_before_the_start(live: StartLive, tmp_path: Path) -> None:
    server = live(PROCESS_APP, "--static", f"/static={tmp_path / 'missing'}")
    server.log.wait_for(r"static: there is no folder .*missing. for /static")
    assert server.exit_code() != 0


def test_a_slow_reader_of_a_large_file_takes_no_memory(serve: Serve, folder: Path) -> None:
    path = folder / "huge"
    with path.open("wb") as file:
        file.truncate(2**30)
    server = serve(application, static=(f"/static={folder}",))
    readers = [server.connect(receive_buffer=4096) for _ in range(20)]
    for reader in readers:
        reader.send(request(target="/static/huge"))
        reader.wait_readable()
    assert asking(server)("/static/a.txt").body == TEXT
    assert server.counter("response_bytes_held") == 0
