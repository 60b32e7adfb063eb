"""The rules that are probed: what is sent, and how to say in a word what came of it.

A rule says nothing about what is right; the RFC's section does.
"""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.conformance.probe import Outcome

HOST_LINE = b"Host: a.example\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@dataclass(frozen=True)
class Rule:
    title: str
    # Of RFC 9112 unless it says otherwise.
    section: str
    wire: bytes
    say: Callable[[Outcome], str]
    finish: bool = False
    head_request: bool = False


def plainly(outcome: Outcome) -> str:
    """The statuses, or that there was none."""
    if not outcome.responses:
        if outcome.rubbish:
            return "no HTTP"
        return "closes" if outcome.closed else "waits"
    text = ", ".join(map(str, outcome.statuses))
    if any(response.seen.get("path") == "/smuggled" for response in outcome.responses):
        text += " (second served)"
    return text


def with_body(outcome: Outcome) -> str:
    """As `plainly`, and which body the application saw."""
    text = plainly(outcome)
    return f"{text}: {outcome.seen()['body'][:10]!r}" if outcome.seen() else text


def telling(what: Callable[[dict[str, object]], object]) -> Callable[[Outcome], str]:
    """What the application was given, by ``what``; the statuses where it was not asked."""

    def say(outcome: Outcome) -> str:
        seen = outcome.seen()
        return str(what(seen)) if seen else plainly(outcome)

    return say


def field(name: str, absent: str) -> Callable[[Outcome], str]:
    """The value of an environ key."""

    def what(seen: dict[str, object]) -> object:
        fields = seen["fields"]
        assert isinstance(fields, dict)
        return fields.get(name, absent)

    return telling(what)


def get(fields: bytes = b"", line: bytes = b"GET / HTTP/1.1", host: bytes = HOST_LINE) -> bytes:
    return line + b"\r\n" + host + fields + b"\r\n"


def post(fields: bytes, body: bytes = b"hello") -> bytes:
    return b"POST / HTTP/1.1\r\n" + HOST_LINE + fields + b"\r\n" + body


def chunks(body: bytes) -> bytes:
    return post(CHUNKED, body)


def ending(outcome: Outcome) -> str:
    """Whether the connection goes on."""
    text = plainly(outcome)
    return f"{text}, closes" if outcome.closed and outcome.responses else text


def continued(outcome: Outcome) -> str:
    """What came before the body was sent."""
    return "100" if 100 in outcome.interim else plainly(outcome)


def shown_split(outcome: Outcome) -> str:
    return "splits" if b"\nSet-Cookie: evil" in outcome.raw else plainly(outcome)


def shown_short(outcome: Outcome) -> str:
    if not outcome.responses or outcome.responses[0].status != 200:
        return plainly(outcome)
    return "cut" if outcome.closed else "keeps the client waiting"


def shown_long(outcome: Outcome) -> str:
    if not outcome.responses or outcome.responses[0].status != 200:
        return plainly(outcome)
    return "sends too much" if b"and more" in outcome.raw else "cut to length"


def shown_no_content(outcome: Outcome) -> str:
    return "sends the body" if b"surprise" in outcome.raw else plainly(outcome)


def shown_hop(outcome: Outcome) -> str:
    head = outcome.raw.partition(b"\r\n\r\n")[0].lower()
    both = b"transfer-encoding" in head and b"content-length" in head
    return "sends both" if both else plainly(outcome)


GROUPS: dict[str, tuple[Rule, ...]] = {
    "Lines": (
        Rule("LF alone ends lines", "2.2", b"GET / HTTP/1.1\nHost: a.example\n\n", plainly),
        Rule("LF alone ends a field", "2.2", get(b"A: b\nC: d\r\n"), plainly),
        Rule("CR alone in a value", "2.2", get(b"A: b\rC: d\r\n"), plainly),
        Rule("empty line before the request", "2.2", b"\r\n" + get(), plainly),
        Rule("two spaces in the request line", "3", get(line=b"GET  / HTTP/1.1"), plainly),
        Rule("tab in the request line", "3", get(line=b"GET\t/ HTTP/1.1"), plainly),
        Rule("method is no token", "3.1", get(line=b"G@T / HTTP/1.1"), plainly),
        Rule("HTTP/0.9", "2.3", b"GET /\r\n", plainly, finish=True),
        Rule("HTTP/1.2", "2.3", get(line=b"GET / HTTP/1.2"), plainly),
        Rule("HTTP/2.0 in HTTP/1 form", "2.3", get(line=b"GET / HTTP/2.0"), plainly),
        Rule("version with two digits", "2.3", get(line=b"GET / HTTP/1.10"), plainly),
        Rule("request line of 20 KB", "3", get(line=b"GET /" + b"a" * 20_000 + b" HTTP/1.1"), plainly),
    ),
    "Targets and Host": (
        Rule("no Host", "3.2", get(host=b""), plainly),
        Rule("two Hosts", "3.2", get(host=HOST_LINE + b"Host: b.example\r\n"), plainly),
        Rule("Host with a slash", "3.2", get(host=b"Host: a/b\r\n"), plainly),
        Rule("Host with user information", "3.2", get(host=b"Host: u@a.example\r\n"), plainly),
        Rule(
            "absolute target: Host that the application sees",
            "3.2.2",
            get(line=b"GET http://target.example/x HTTP/1.1", host=b"Host: field.example\r\n"),
            field("HTTP_HOST", "none"),
        ),
        Rule(
            "absolute target: path that the application sees",
            "3.2.2",
            get(line=b"GET http://a.example/x HTTP/1.1"),
            telling(lambda seen: seen["path"]),
        ),
        Rule(
            "https target, plain connection",
            "9110 7.4",
            get(line=b"GET https://a.example/ HTTP/1.1"),
            plainly,
        ),
        Rule("CONNECT", "9110 9.3.6", get(line=b"CONNECT a.example:443 HTTP/1.1"), plainly),
        Rule("OPTIONS *", "3.2.4", get(line=b"OPTIONS * HTTP/1.1"), telling(lambda seen: seen["path"])),
        Rule("GET *", "3.2.4", get(line=b"GET * HTTP/1.1"), plainly),
        Rule("fragment in the target", "3.2", get(line=b"GET /a#b HTTP/1.1"), plainly),
        Rule("%00 in the path", "3986 7.3", get(line=b"GET /a%00b HTTP/1.1"), plainly),
        Rule(
            "// at the beginning of the path",
            "3.2.1",
            get(line=b"GET //x/y HTTP/1.1"),
            telling(lambda seen: seen["path"]),
        ),
    ),
    "Fields": (
        Rule("space before the colon", "5.1", get(b"A : b\r\n"), plainly),
        Rule("folded line", "5.2", get(b"A: b\r\n c\r\n"), plainly),
        Rule("name is no token", "5.1", get(b"A(b): c\r\n"), plainly),
        Rule("line without a colon", "5", get(b"Abc\r\n"), plainly),
        Rule("NUL in a value", "9110 5.5", get(b"A: b\0c\r\n"), plainly),
        Rule("control character in a value", "9110 5.5", get(b"A: b\x01c\r\n"), plainly),
        Rule(
            "X_User: evil beside X-User: good",
            "WSGI",
            get(b"X-User: good\r\nX_User: evil\r\n"),
            field("HTTP_X_USER", "none"),
        ),
        Rule("X_User: evil alone", "WSGI", get(b"X_User: evil\r\n"), field("HTTP_X_USER", "dropped")),
        Rule("Proxy: evil", "CVE-2016-5385", get(b"Proxy: evil\r\n"), field("HTTP_PROXY", "dropped")),
        Rule(
            "X-Forwarded-Proto: https from anybody",
            "9110 7.6",
            get(b"X-Forwarded-Proto: https\r\n"),
            telling(lambda seen: seen["scheme"]),
        ),
        Rule(
            "X-Forwarded-For: 6.6.6.6 from anybody",
            "9110 7.6",
            get(b"X-Forwarded-For: 6.6.6.6\r\n"),
            telling(lambda seen: seen["client"]),
        ),
        Rule("200 fields", "5.4", get(b"".join(b"A%d: b\r\n" % i for i in range(200))), plainly),
        Rule("head of 200 KB", "5.4", get(b"A: " + b"b" * 200_000 + b"\r\n"), plainly),
    ),
    "Content-Length": (
        Rule("+5", "6.3", post(b"Content-Length: +5\r\n"), plainly),
        Rule("-5", "6.3", post(b"Content-Length: -5\r\n", b""), plainly),
        Rule("0x5", "6.3", post(b"Content-Length: 0x5\r\n"), plainly),
        Rule("1_0 with ten bytes", "6.3", post(b"Content-Length: 1_0\r\n", b"helloworld"), plainly),
        Rule("5, 5", "6.3", post(b"Content-Length: 5, 5\r\n"), plainly),
        Rule("twice, equal", "6.3", post(b"Content-Length: 5\r\nContent-Length: 5\r\n"), plainly),
        Rule("twice, different", "6.3", post(b"Content-Length: 5\r\nContent-Length: 0\r\n"), plainly),
        Rule("empty", "6.3", post(b"Content-Length:\r\n", b""), plainly),
        Rule(
            "body of a GET, then another request",
            "6.3",
            get(b"Content-Length: 5\r\n") + b"hello" + get(line=b"GET /2 HTTP/1.1"),
            plainly,
        ),
        Rule("half a body, then the end", "6.3", post(b"Content-Length: 10\r\n"), with_body, finish=True),
    ),
    "Transfer-Encoding": (
        Rule("chunked", "6.1", chunks(b"5\r\nhello\r\n0\r\n\r\n"), with_body),
        Rule(
            "with Content-Length",
            "6.1",
            post(CHUNKED + b"Content-Length: 5\r\n", b"0\r\n\r\n" + SMUGGLED),
            plainly,
        ),
        Rule("chunked, twice", "7", post(CHUNKED + CHUNKED, b"0\r\n\r\n"), plainly),
        Rule(
            "chunked, identity",
            "6.3",
            post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"),
            plainly,
        ),
        Rule("identity", "6.1", post(b"Transfer-Encoding: identity\r\n", b""), plainly),
        Rule("gzip, chunked", "6.1", post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), plainly),
        Rule("xchunked", "6.1", post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), plainly),
        Rule(
            "in HTTP/1.0",
            "6.1",
            get(CHUNKED, line=b"POST / HTTP/1.0") + b"0\r\n\r\n",
            plainly,
        ),
    ),
    "Chunks": (
        Rule("size 0x5", "7.1", chunks(b"0x5\r\nhello\r\n0\r\n\r\n"), with_body),
        Rule("size +5", "7.1", chunks(b"+5\r\nhello\r\n0\r\n\r\n"), with_body),
        Rule("size 1_0", "7.1", chunks(b"1_0\r\n" + b"h" * 16 + b"\r\n0\r\n\r\n"), with_body),
        Rule(
            "size of 17 digits that wraps",
            "7.1",
            chunks(b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
            with_body,
        ),
        Rule("LF alone behind the size", "7.1", chunks(b"5\nhello\r\n0\r\n\r\n"), with_body),
        Rule("LF alone in an extension", "7.1.1", chunks(b"5;a\nb\r\nhello\r\n0\r\n\r\n"), with_body),
        Rule(
            "extension of 100 KB",
            "7.1.1",
            chunks(b"5;" + b"a" * 100_000 + b"\r\nhello\r\n0\r\n\r\n"),
            with_body,
        ),
        Rule("no CR LF behind the data", "7.1", chunks(b"5\r\nhelloXX0\r\n\r\n"), with_body),
        Rule("trailer Content-Length", "9110 6.5.1", chunks(b"0\r\nContent-Length: 5\r\n\r\n"), with_body),
        Rule("trailer without a colon", "7.1.2", chunks(b"0\r\nabc\r\n\r\n"), with_body),
        Rule("cut within a chunk", "8", chunks(b"5\r\nhe"), with_body, finish=True),
    ),
    "Connections": (
        Rule("three requests at once", "9.3.2", get() * 3, plainly),
        Rule("a request behind a wrong one", "2.2", get(b"A : b\r\n") + SMUGGLED, plainly),
        Rule("Connection: close", "9.6", get(b"Connection: close\r\n") + SMUGGLED, ending),
        Rule(
            "HTTP/1.0 keep-alive", "9.3", get(b"Connection: keep-alive\r\n", b"GET / HTTP/1.0") * 2, plainly
        ),
        Rule(
            "Expect: 100-continue",
            "9110 10.1.1",
            post(b"Expect: 100-continue\r\nContent-Length: 5\r\n", b""),
            continued,
        ),
        Rule(
            "Expect: something", "9110 10.1.1", post(b"Expect: something\r\nContent-Length: 5\r\n"), plainly
        ),
    ),
    "Responses of the application": (
        Rule("CR LF in a field's value", "9110 5.5", get(line=b"GET /split HTTP/1.1"), shown_split),
        Rule("body shorter than Content-Length", "8", get(line=b"GET /short HTTP/1.1"), shown_short),
        Rule("body longer than Content-Length", "6.3", get(line=b"GET /long HTTP/1.1"), shown_long),
        Rule("204 with a body", "6.3", get(line=b"GET /no-content HTTP/1.1"), shown_no_content),
        Rule("Transfer-Encoding and Content-Length", "6.1", get(line=b"GET /hop HTTP/1.1"), shown_hop),
        Rule(
            "HEAD",
            "9110 9.3.2",
            get(line=b"HEAD / HTTP/1.1"),
            lambda outcome: "sends a body" if b"{" in outcome.raw else plainly(outcome),
            head_request=True,
        ),
    ),
}
