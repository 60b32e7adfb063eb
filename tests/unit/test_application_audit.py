"""`pelton audit`: each planted fault is found, by name and line; what has none is left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pelton.audit.source import look_at_source
from pelton.exceptions import ConfigError
from pelton.requests.reading import different, read
from pelton.requests.request import Request, parse
from support.flaskr import create_app
from support.flaskr.db import init_db

TESTS = Path(__file__).parents[1]
APPLICATION = TESTS / "support/unsafe_app.py"
VIEWS = [
    *("global", "container", "guarded", "basket", "class", "iterator", "default"),
    *("lazy", "file", "config", "closure", "fails", "safe"),
]


def audit(*arguments: str, **environment: str) -> tuple[int, list[dict[str, Any]]]:
    done = subprocess.run(
        [sys.executable, "-m", "pelton", "audit", "--json", *arguments],
        capture_output=True,
        text=True,
        cwd=TESTS,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    told = json.loads(done.stdout)
    assert told["unsafe"] == sum(one["unsafe"] for one in told["findings"])
    return done.returncode, told["findings"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    paths = [
        *(f"/{name}" for name in VIEWS),
        *("/cached?x=1", "/who?u=a", "/who?u=b", "/title?of=a", "/title?of=b"),
        *("POST /people name=a", "POST /people name=b"),
    ]
    requests = [word for path in paths for word in ("--request", path)]
    file = tmp_path_factory.mktemp("audited") / "log.txt"
    code, findings = audit("support.unsafe_app:app", "--rounds", "8", *requests, AUDITED_FILE=str(file))
    assert code == 1
    return [{**one, "name": one["name"].replace(str(file), "the file")} for one in findings]


def line_of(text: str) -> str:
    lines = APPLICATION.read_text().splitlines()
    (number,) = [i for i, line in enumerate(lines, 1) if line.strip() == text]
    return f"support/unsafe_app.py:{number}"


@pytest.mark.parametrize(
    ("kind", "name", "line", "request_"),
    [
        ("shared-state", "hits", "hits += 1", "GET /global"),
        ("shared-state", "carts", 'carts.setdefault("a", []).append(1)', "GET /container"),
        ("state-per-worker", "guarded", 'guarded["count"] += 1', "GET /guarded"),
        ("state-per-worker", "basket", "self._items.append(item)", "GET /basket"),
        ("shared-state", "people", 'people[request.form["name"]] = 1', "POST /people"),
        ("shared-state", "Store.items", "Store.items.append(1)", "GET /class"),
        ("shared-state", "numbers", "return str(next(numbers))", "GET /iterator"),
        ("mutable-default", "remember(seen=)", "seen.append(value)", "GET /default"),
        ("shared-state", "current", 'current = request.args["u"]', "GET /who?u=a"),
        (
            "shared-state",
            "app.config",
            'app.config["SEEN"] = app.config.get("SEEN", 0) + 1',
            "GET /config",
        ),
        (
            "shared-state",
            "make_counter.<locals>.change_closure: counted",
            "counted[0] += 1",
            "GET /closure",
        ),
        ("global-statement", "never_sent", "never_sent += 1", "the source"),
    ],
)
def test_state_is_found_with_its_line(
    found: list[dict[str, Any]], kind: str, name: str, line: str, request_: str
) -> None:
    (finding,) = [one for one in found if one["name"] == f"support.unsafe_app.{name}"]
    assert (finding["kind"], finding["where"], finding["request"]) == (kind, line_of(line), request_)
    assert finding["unsafe"]


@pytest.mark.parametrize(
    ("kind", "name", "line"),
    [
        ("lazy-state", "support.unsafe_app.engine", "engine = object()"),
        ("own-cache", "support.unsafe_app.slow", "@functools.lru_cache"),
        ("own-cache", "support.unsafe_app.titles", "titles[name] = name.title()"),
        ("fails-alone", "GET /fails", 'raise RuntimeError("Meant to.")'),
    ],
)
def test_what_need_not_be_a_fault_is_a_note(
    found: list[dict[str, Any]], kind: str, name: str, line: str
) -> None:
    (finding,) = [one for one in found if one["name"] == name]
    assert (finding["kind"], finding["where"], finding["unsafe"]) == (kind, line_of(line), False)


@pytest.mark.parametrize(
    ("kind", "name", "line"),
    [
        ("thread-before-fork", "poller", "def poll() -> None:"),
        ("lock-before-fork", "support.unsafe_app.forgotten", "forgotten = threading.Lock()"),
        (
            "connection-before-fork",
            "support.unsafe_app.connection",
            "connection = socket.create_connection(listener.getsockname())",
        ),
        ("file-written", "the file", 'with Path(os.environ["AUDITED_FILE"]).open("a") as file:'),
    ],
)
def test_what_processes_and_threads_must_not_share_is_found(
    found: list[dict[str, Any]], kind: str, name: str, line: str
) -> None:
    (finding,) = [one for one in found if one["name"] == name]
    assert (finding["kind"], finding["where"], finding["unsafe"]) == (kind, line_of(line), True)


def test_a_request_that_differs_beside_others_is_found(found: list[dict[str, Any]]) -> None:
    different = [one for one in found if one["kind"] == "interleaving"]
    assert different
    assert {one["name"] for one in different} <= {"GET /who?u=a", "GET /who?u=b"}
    assert "at the same time as" in different[0]["reason"]
    assert {one["where"] for one in different} == {line_of('@app.get("/who")')}


def test_there_is_nothing_else(found: list[dict[str, Any]]) -> None:
    assert sum(one["kind"] != "interleaving" for one in found) == 12 + 4 + 4


def test_the_example_blog_is_safe(tmp_path: Path) -> None:
    blog = str(TESTS.parent / "examples/blog")
    code, findings = audit(
        blog, "--rounds", "3", "--request", "/login", BLOG_DATABASE=str(tmp_path / "blog.sqlite")
    )
    assert (code, findings) == (0, [])


def test_the_application_of_flasks_tutorial_is_safe(tmp_path: Path) -> None:
    """With somebody who is logged in, and writes, changes and deletes posts."""
    app = create_app({"DATABASE": str(tmp_path / "flaskr.sqlite")})
    with app.app_context():
        init_db()
    client = app.test_client()
    person = {"username": "ada", "password": "x"}
    assert client.post("/auth/register", data=person).status_code == 302
    assert client.post("/auth/login", data=person).status_code == 302
    for _ in range(2):
        assert client.post("/create", data={"title": "One", "body": "more"}).status_code == 302
    session = client.get_cookie("session")
    assert session is not None
    paths = [
        *("/", "/hello", "/create", "/1/update", "/auth/register", "/auth/login", "/auth/logout"),
        *("POST /auth/register username=bob&password=y", "POST /auth/login username=ada&password=x"),
        *("POST /create title=Two&body=more", "POST /1/update title=Three&body=", "POST /2/delete"),
    ]
    code, findings = audit(
        "support.flaskr",
        *("--rounds", "3", "--header", f"Cookie: session={session.value}"),
        *(word for path in paths for word in ("--request", path)),
        FLASKR_DATABASE=str(tmp_path / "flaskr.sqlite"),
    )
    assert (code, findings) == (0, [])
    # The requests did what they say: somebody was logged in.
    assert b"Three" in client.get("/").data


def test_requests_are_read_as_lines_logs_and_har(tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text(
        "# the first\nGET /a?b=1\n\n/c\nPOST /d name=x\n/c\n"
        '127.0.0.1 - - [30/Nov/2026:12:00:00 +0000] "GET /logged?x=1 HTTP/1.1" 200 5 "-" "curl"\n'
    )
    assert different(read(lines)) == [
        Request("GET", "/a?b=1"),
        Request("GET", "/c"),
        Request("POST", "/d", "name=x"),
        Request("GET", "/logged?x=1"),
    ]
    har = tmp_path / "har"
    entry = {"method": "POST", "url": "http://here:5000/e?f#g", "postData": {"text": '{"a": 1}'}}
    har.write_text(json.dumps({"log": {"entries": [{"request": entry}]}}))
    (request,) = read(har)
    assert request == Request("POST", "/e?f", '{"a": 1}')
    assert request.content_type == "application/json"


@pytest.mark.parametrize("text", ["", "nothing", "get /a", "GET a"])
def test_what_is_no_request_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no request"):
        parse(text)


@pytest.mark.parametrize(
    ("body", "is_found"),
    [
        ("seen.append(1)", True),
        ("seen[0] = 1", True),
        ("del seen[0]", True),
        ("return seen + [1]", False),
        ("seen = list(seen); seen.append(1)", False),
        ("return len(seen)", False),
    ],
)
def test_a_default_is_a_fault_where_it_is_changed(body: str, is_found: bool) -> None:
    code = f"def some(*, seen=[]):\n    {body}\n"
    assert bool(list(look_at_source(code, "a.py", "a", []))) is is_found
    # What cannot be changed.
    assert not list(look_at_source(code.replace("[]", "()", 1), "a.py", "a", []))
