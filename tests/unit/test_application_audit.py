"""`pelton audit`: each planted fault is found, by name and line; what has none is left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pelton.audit.interleaving import depending_on_time
from pelton.audit.source import look_at_source
from pelton.exceptions import ConfigError
from pelton.requests.reading import different, read
from pelton.requests.request import Request, parse

TESTS = Path(__file__).parents[1]
APPLICATION = TESTS / "support/unsafe_app.py"
VIEWS = [
    *("global", "container", "guarded", "class", "iterator", "default"),
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
    paths = [*(f"/{name}" for name in VIEWS), "/cached?x=1", "/who?u=a", "/who?u=b"]
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
    ("kind", "name"),
    [
        ("lazy-state", "support.unsafe_app.engine"),
        ("own-cache", "support.unsafe_app.slow"),
        ("fails-alone", "GET /fails"),
    ],
)
def test_what_need_not_be_a_fault_is_a_note(found: list[dict[str, Any]], kind: str, name: str) -> None:
    (finding,) = [one for one in found if one["name"] == name]
    assert (finding["kind"], finding["unsafe"]) == (kind, False)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("thread-before-fork", "poller"),
        ("lock-before-fork", "support.unsafe_app.forgotten"),
        ("connection-before-fork", "support.unsafe_app.connection"),
        ("file-written", "the file"),
    ],
)
def test_what_processes_and_threads_must_not_share_is_found(
    found: list[dict[str, Any]], kind: str, name: str
) -> None:
    assert (kind, name) in [(one["kind"], one["name"]) for one in found]


def test_a_request_that_differs_beside_others_is_found(found: list[dict[str, Any]]) -> None:
    different = [one for one in found if one["kind"] == "interleaving"]
    assert different
    assert {one["name"] for one in different} <= {"GET /who?u=a", "GET /who?u=b"}
    assert "at the same time as" in different[0]["reason"]


def test_there_is_nothing_else(found: list[dict[str, Any]]) -> None:
    assert sum(one["kind"] != "interleaving" for one in found) == 10 + 3 + 4


def test_the_example_blog_is_safe(tmp_path: Path) -> None:
    blog = str(TESTS.parent / "examples/blog")
    code, findings = audit(
        blog, "--rounds", "3", "--request", "/login", BLOG_DATABASE=str(tmp_path / "blog.sqlite")
    )
    assert (code, findings) == (0, [])


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


def test_a_response_that_has_the_time_in_it_is_no_fault() -> None:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [str(int(time.time())).encode() if environ["PATH_INFO"] == "/time" else b"the same"]

    ticks, stays = Request("GET", "/time"), Request("GET", "/")
    assert depending_on_time(application, [ticks, stays]) == {ticks}
    assert depending_on_time(application, []) == set()


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
