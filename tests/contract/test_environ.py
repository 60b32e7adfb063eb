"""``environ``: every key that PEP 3333 and CGI ask for, with the right value, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit
from wsgiref.types import StartResponse, WSGIEnvironment
from wsgiref.validate import validator

import pytest

import pelton
from conftest import Start
from support.apps import collected, echo, hello, report
from support.client import chunked, request
from support.kinds import KIND
from support.serving import Server


def environ_of(server: Server, wire: bytes) -> dict[str, str]:
    environ: dict[str, str] = server.ask(wire).json()["environ"]
    return environ


def test_the_whole_environ_of_a_get(start: Start, transport: str) -> None:
    keep: list[WSGIEnvironment] = []
    server = start(collected(keep=keep))
    client = server.connect()
    client.ask(request("GET", "/a/b?c=d&e", [("User-Agent", "me"), ("X-Custom", "1")]))
    (environ,) = keep
    wsgi = {name: environ.pop(name) for name in list(environ) if name.startswith("wsgi.")}
    assert environ.pop("pelton.client_gone")() is True
    assert (environ.pop("pelton.loop", None) is not None) is (KIND in ("asyncio", "tornado"))
    if transport == "unix":
        expected = {"SERVER_NAME": "localhost", "SERVER_PORT": "80", "REMOTE_ADDR": "", "REMOTE_PORT": ""}
    else:
        here = urlsplit(server.address)
        peer = client.socket.getsockname()
        expected = {
            "SERVER_NAME": str(here.hostname),
            "SERVER_PORT": str(here.port),
            "REMOTE_ADDR": peer[0],
            "REMOTE_PORT": str(peer[1]),
        }
    assert environ == expected | {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a/b",
        "QUERY_STRING": "c=d&e",
        "RAW_URI": "/a/b?c=d&e",
        "REQUEST_URI": "/a/b?c=d&e",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": f"pelton/{pelton.__version__}",
        "HTTP_HOST": "test.example",
        "HTTP_USER_AGENT": "me",
        "HTTP_X_CUSTOM": "1",
    }
    assert wsgi.pop("wsgi.input").read() == b""
    assert wsgi.pop("wsgi.errors").write("") == 0
    assert callable(wsgi.pop("wsgi.file_wrapper"))
    assert callable(wsgi.pop("wsgi.early_hints"))
    assert wsgi == {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": KIND != "sync",
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    assert type(environ) is dict


def test_one_thread_is_no_multithreading(start: Start) -> None:
    keep: list[WSGIEnvironment] = []
    start(collected(keep=keep), threads=1).ask(request())
    assert keep[0]["wsgi.multithread"] is False


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/?", "/", ""),
        ("/a%20b%2Fc", "/a b/c", ""),
        ("/%C3%BC", "/\xc3\xbc", ""),
        ("/%e4", "/\xe4", ""),
        ("/\xc3\xbc", "/\xc3\xbc", ""),
        ("/%zz%", "/%zz%", ""),
        ("/a?x=%41&y=?/", "/a", "x=%41&y=?/"),
        ("//host/../x", "//host/../x", ""),
        ("/a;b=c", "/a;b=c", ""),
    ],
)
def test_paths(start: Start, target: str, path: str, query: str) -> None:
    environ = environ_of(start(report), request(target=target))
    assert (environ["PATH_INFO"], environ["QUERY_STRING"], environ["RAW_URI"]) == (path, query, target)


def test_an_absolute_target_overrides_host(start: Start) -> None:
    environ = environ_of(start(report), request(target="http://real.example:81/x?y", host="other.example"))
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/x", "y")
    assert environ["HTTP_HOST"] == "real.example:81"


def test_asterisk_of_options(start: Start) -> None:
    environ = environ_of(start(report), request("OPTIONS", "*"))
    assert environ["RAW_URI"] == "*"


def test_repeated_fields_are_joined(start: Start) -> None:
    fields = [
        ("X-A", "1"),
        ("Accept", "a"),
        ("x-a", "2"),
        ("Cookie", "c=1"),
        ("ACCEPT", "b"),
        ("Cookie", "d=2"),
    ]
    environ = environ_of(start(report), request(fields=fields))
    assert environ["HTTP_X_A"] in ("1,2", "1, 2")
    assert environ["HTTP_ACCEPT"] in ("a,b", "a, b")
    assert environ["HTTP_COOKIE"] == "c=1; d=2"


def test_a_field_with_an_underscore_cannot_pose_as_one_with_a_hyphen(start: Start) -> None:
    fields = [("X-Forwarded-For", "1.1.1.1"), ("X_Forwarded_For", "6.6.6.6"), ("Content_Length", "5")]
    environ = environ_of(start(report), request(fields=fields))
    assert environ["HTTP_X_FORWARDED_FOR"] == "1.1.1.1"
    assert "CONTENT_LENGTH" not in environ
    assert not [name for name, value in environ.items() if "6.6.6.6" in value]


def test_content_type_and_length_have_no_prefix(start: Start) -> None:
    environ = environ_of(start(report), request("POST", fields=[("Content-Type", "a/b; c=d")], body=b"12345"))
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("a/b; c=d", "5")
    assert not {"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"} & environ.keys()


def test_a_chunked_body_has_a_length_when_it_arrives(start: Start) -> None:
    wire = request("POST", fields=[("Transfer-Encoding", "chunked")]) + chunked([b"abc", b"de"])
    environ = environ_of(start(report), wire)
    assert environ["CONTENT_LENGTH"] == "5"
    assert "HTTP_TRANSFER_ENCODING" not in environ


def test_field_values_are_latin_1(start: Start) -> None:
    environ = environ_of(
        start(report), request(fields=[("X-Name", "J\xfcrgen \xe2\x82\xac"), ("X-Empty", "")])
    )
    assert (environ["HTTP_X_NAME"], environ["HTTP_X_EMPTY"]) == ("J\xfcrgen \xe2\x82\xac", "")


def test_http_1_0_without_host(start: Start) -> None:
    environ = environ_of(start(report), request(version="1.0", host=None))
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert "HTTP_HOST" not in environ


def test_nothing_of_a_request_is_left_for_the_next(start: Start) -> None:
    """The dict is made from that of the request before; an application may do to its own what it likes."""

    def spoiling(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        response = list(report(environ, start_response))
        environ.update(dict.fromkeys(list(environ), "spoiled"), extra="spoiled")
        for name in list(environ)[::2]:
            del environ[name]
        return response

    server = start(spoiling, threads=1)
    client = server.connect()
    plain = client.ask(request("GET", "/1")).json()
    many = [(f"X-{number}", str(number)) for number in range(80)]
    client.ask(
        request("POST", "/2?q", [("Content-Type", "x"), ("Cookie", "a=b"), *many], body=b"abc", host="x")
    )
    assert client.ask(request("GET", "/1")).json() == plain
    client.ask(request("GET", "/3", version="1.0", host=None, fields=[("Connection", "keep-alive")]))
    assert client.ask(request("GET", "/1")).json() == plain


def test_many_names_that_nobody_knows(start: Start) -> None:
    client = start(report).connect()
    for group in range(8):
        fields = [(f"X-{group}-{number}-{'n' * number}", f"{group}.{number}") for number in range(90)]
        environ = client.ask(request(fields=fields)).json()["environ"]
        for name, value in fields:
            assert environ[f"HTTP_{name.upper().replace('-', '_')}"] == value


def test_the_validator_has_nothing_to_say_about_get(start: Start) -> None:
    response = start(validator(hello)).ask(request("GET", "/a?b"))
    assert (response.status, response.body) == (200, b"hello")


def reads_as_the_validator_wants(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    stream: Any = environ["wsgi.input"]
    body = stream.read(3) + stream.readline() + b"".join(stream.readlines()) + stream.read(10)
    environ["wsgi.errors"].write("a line\n")
    environ["wsgi.errors"].writelines(["another\n"])
    environ["wsgi.errors"].flush()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return iter([body])


@pytest.mark.parametrize("size", [30, 30_000, 2_000_000])
def test_the_validator_has_nothing_to_say_about_post(start: Start, size: int) -> None:
    body = b"line\n" * (size // 5)
    response = start(validator(reads_as_the_validator_wants)).ask(request("POST", body=body))
    assert (response.status, response.body) == (200, body)


def test_the_validator_can_complain(start: Start) -> None:
    def breaks_a_rule(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        environ["wsgi.input"].read()
        return [b"x"]

    assert start(validator(breaks_a_rule)).ask(request("POST", body=b"x")).status == 500


def test_the_strings_are_true_strings(start: Start) -> None:
    keep: list[WSGIEnvironment] = []
    start(collected(keep=keep, app=echo)).ask(request("POST", "/x", [("X-Y", "z")], body=b"1"))
    for name, value in keep[0].items():
        assert type(name) is str
        assert name.startswith(("wsgi.", "pelton.")) or type(value) is str
    # The usual names are interned, so that an application's own literals find them at once. Names that a
    # client made up are not: in some versions of CPython interned strings live for ever.
    usual = [name for name in keep[0] if name in {"HTTP_HOST", "REQUEST_METHOD", "CONTENT_LENGTH"}]
    assert len(usual) == 3
    assert all(name is sys.intern(name) for name in usual)
