"""The corpus of wire files (`tests/corpus/README.md`), sent to a running server in both modes.

One server answers all files, so what one of them leaves behind would show in another.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from support.apps import report
from support.client import Client, Response
from support.kinds import FRONT, FRONTS, IS_ONE_OF_MANY
from support.live import Live
from support.serving import Serve

CORPUS = Path(__file__).parents[1] / "corpus"
ALL_FILES = sorted(
    path for folder in ("valid", "invalid", "smuggling") for path in (CORPUS / folder).glob("*.http")
)
# The worker sees nothing of most of it: one in eight shows whether a kind hands on what the front has read.
FILES = ALL_FILES[::8] if IS_ONE_OF_MANY else ALL_FILES

# Sending each byte on its own is slow for files that are large only to exceed a limit.
BYTEWISE = [path for path in FILES if path.stat().st_size <= 4096]

_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.))")
_PLAIN = {"r": "\r", "n": "\n", "t": "\t", "\\": "\\"}


def unescape(text: str) -> str:
    """The bytes of an argument, as latin-1."""
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else _PLAIN[m[2]], text)


@dataclass
class Expected:
    """One request: the statements below its ``request``."""

    statements: list[tuple[str, str]] = field(default_factory=list)

    def get(self, keyword: str) -> str | None:
        return next((argument for name, argument in self.statements if name == keyword), None)


@dataclass
class Expectation:
    """One file: complete requests, then perhaps an error, or an end in the middle."""

    requests: list[Expected]
    error: int | None = None
    incomplete: bool = False


def expectation(path: Path) -> Expectation:
    made = Expectation([])
    for line in path.read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        keyword, _, argument = line.partition(" ")
        match keyword:
            case "request":
                made.requests.append(Expected())
            case "error":
                made.error = int(argument.split()[0])
            case "incomplete":
                made.incomplete = True
            case _:
                made.requests[-1].statements.append((keyword, argument))
    return made


def field_keys(environ: dict[str, str]) -> list[str]:
    return [
        name for name in environ if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
    ]


def key_of(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


def check(expected: Expected, answer: Response) -> None:
    assert answer.status == 200
    seen = answer.json()
    environ: dict[str, str] = seen["environ"]
    assert seen["body"] == unescape(expected.get("body") or "")
    values: dict[str, list[str]] = {}
    for keyword, argument in expected.statements:
        check_statement(keyword, argument, environ, seen["body"], answer)
        if keyword == "field":
            name, _, value = argument.partition(" ")
            values.setdefault(unescape(name), []).append(unescape(value))
    for keyword, argument in expected.statements:
        if keyword == "no-field" and key_of(argument) in environ:
            # With an underscore it would have the key of the one with a hyphen, which may be there by right.
            assert "_" in argument
            assert argument.replace("_", "-") in values or argument == "content_length"
    for name, given in values.items():
        if name == "transfer-encoding":
            # The body is decoded: said with it, this field would be wrong.
            assert "HTTP_TRANSFER_ENCODING" not in environ
        else:
            assert environ[key_of(name)].replace(", ", ",") == ",".join(given).replace(", ", ",")


def check_statement(
    keyword: str, argument: str, environ: dict[str, str], body: str, answer: Response
) -> None:
    wanted = unescape(argument)
    match keyword:
        case "method":
            assert environ["REQUEST_METHOD"] == wanted
        case "target":
            assert environ["RAW_URI"] == wanted
        case "path":
            assert environ["PATH_INFO"].encode("latin-1") == (
                unquote_to_bytes(wanted.encode("latin-1")) or b"/"
            )
        case "query":
            assert environ["QUERY_STRING"] == wanted
        case "version":
            assert environ["SERVER_PROTOCOL"] == f"HTTP/{wanted}"
        case "host":
            assert environ.get("HTTP_HOST", "") == wanted
        case "length":
            given = environ.get("CONTENT_LENGTH")
            length = {"none": None, "chunked": len(body)}.get(wanted) if not wanted.isdigit() else int(wanted)
            assert (None if given is None else int(given)) == length
        case "keep-alive":
            assert answer.keeps_connection is (wanted == "yes")
        case "fields" | "field" | "no-field" | "body" | "expect-continue":
            pass
        case _:
            raise AssertionError(f"unknown keyword {keyword}")


def final(client: Client) -> Response:
    """The next answer; that its body may be sent is told in between."""
    while True:
        head = client.head()
        if head.status == 100:
            continue
        body = []
        while piece := client.piece():
            body.append(piece)
        return Response(head.status, head.reason, head.fields, head.framing, head.length, b"".join(body))


def converse(client: Client, expected: Expectation) -> None:
    complete = expected.requests
    if expected.incomplete or expected.error is not None:
        # Those whose body was cut short or wrong are named in the file, and never get to the application.
        complete = complete[: len(complete) - broken_at_the_end(expected)]
    for one in complete:
        check(one, final(client))
    if expected.error is not None:
        answer = final(client)
        assert (answer.status, answer.keeps_connection) == (expected.error, False)
    assert client.closed()


def broken_at_the_end(expected: Expectation) -> int:
    """1 if the file ends within the body of its last request, which says so by having a length, else 0."""
    if not expected.requests:
        return 0
    last = expected.requests[-1]
    return int(last.get("length") not in (None, "none", "0") and last.get("body") is None)


@pytest.fixture(scope="module", params=[FRONT] if IS_ONE_OF_MANY else FRONTS)
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where a server listens whose front is a thread of this process, or a process of its own."""
    with ExitStack() as stack:
        if request.param == "thread":
            server = Serve(stack)(report, threads=1)
            yield server.address
            server.wait_until_idle()
        else:
            arguments = ("support.apps:report", "--workers", "1", "--threads", "1")
            live = stack.enter_context(Live(*arguments, directory=CORPUS.parent))
            live.ready_workers()
            yield live.addresses[0]
            assert len(live.ready_workers()) == 1, "the worker was replaced"


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_sent_whole(address: str, path: Path) -> None:
    with Client(address) as client:
        client.send(path.read_bytes())
        # The response to an error may be there already, and the connection gone.
        with suppress(OSError):
            client.finish_sending()
        converse(client, expectation(path.with_suffix(".expect")))


@pytest.mark.parametrize("path", BYTEWISE, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_sent_byte_by_byte(address: str, path: Path) -> None:
    with Client(address) as client:
        client.send_bytewise(path.read_bytes())
        with suppress(OSError):
            client.finish_sending()
        converse(client, expectation(path.with_suffix(".expect")))


def test_the_corpus_is_there() -> None:
    assert len(ALL_FILES) >= 500
    assert Counter(path.parent.name for path in ALL_FILES).keys() == {"valid", "invalid", "smuggling"}
