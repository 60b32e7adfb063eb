"""The parts of `pelton audit`: what is the application's own, how far a value is looked at, what ends."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import flask
import pytest

from pelton.audit import calling, interleaving, places
from pelton.audit.calling import Outcome, call
from pelton.audit.finding import Finding, Kind
from pelton.audit.fingerprint import MOST_VALUES, bound_for, fingerprint, has_grown
from pelton.audit.interleaving import changing_alone, look_for_interleaving
from pelton.audit.places import Places
from pelton.audit.source import look_at_source
from pelton.audit.state import look_for_state
from pelton.audit.views import of_rule
from pelton.requests.request import Request

ROOT = Path(__file__).parents[2]


def responding(view: Callable[[str], str]) -> Any:
    """An application whose responses are what ``view`` makes of the path."""

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [view(environ["PATH_INFO"]).encode()]

    return application


def audited(folder: Path, target: str, *arguments: str, path: str = "") -> list[tuple[str, str]]:
    """Kinds and names of what is found of a target in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "pelton", "audit", "--json", "--rounds", "1", target, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return [(one["kind"], one["name"]) for one in json.loads(done.stdout)["findings"]]


class Slotted:
    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items: list[int] = []


def _changed(value: Any, change: Callable[[], object]) -> bool:
    before = fingerprint(value)
    assert fingerprint(value) == before
    change()
    return fingerprint(value) != before


def test_what_changes_is_seen() -> None:
    numbers, slotted = array("i", [1, 2]), Slotted()
    text: dict[Any, Any] = {"a": [1, {"b": {2}}]}
    assert _changed(text, lambda: text["a"][1]["b"].add(3))
    assert _changed(numbers, lambda: numbers.__setitem__(0, 5))
    assert _changed(slotted, lambda: slotted.items.append(1))
    same: list[Any] = [1]
    assert _changed(same, lambda: same.__setitem__(0, True)), "equal, and something else"


class Answering(dict[str, int]):
    """Its own methods do something."""

    def copy(self) -> Answering:
        raise AssertionError("A look runs no code of the application.")

    items = __len__ = __iter__ = copy  # type: ignore[assignment]


def test_a_look_runs_no_code_of_the_application() -> None:
    value = Answering(a=1)
    assert _changed(value, lambda: dict.__setitem__(value, "b", 2))


@pytest.mark.parametrize(
    "make",
    [
        lambda: {number: number for number in range(1_000_000)},
        lambda: [[[[0] * 100] * 100] * 100] * 300,
        lambda: {number: {"some": [{"more": [number] * 300}] * 300} for number in range(300)},
    ],
    ids=["wide", "deep", "both"],
)
def test_a_look_at_much_data_is_bounded(make: Callable[[], Any]) -> None:
    value = make()
    tracemalloc.start()
    try:
        fingerprint(value)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 * 2**20, f"{most} bytes"


def test_large_values_are_cut_first() -> None:
    assert bound_for([1, 2, 3], 100) == MOST_VALUES
    assert bound_for([1, 1, 5000, 5000], 102) == 50
    assert bound_for([5000] * 1000, 10) == 1
    assert bound_for([], 10) == MOST_VALUES


class Memory:
    def __init__(self) -> None:
        self.known: dict[str, Any] = {}
        self.number = 1


def test_a_value_has_grown_where_the_rest_is_as_it_was() -> None:
    value: dict[str, Any] = {"a": 1}
    prints = [fingerprint(value)]
    for name, new in (("b", 2), ("c", [3]), ("d", Memory())):
        value[name] = new
        prints.append(fingerprint(value))
    value["d"].known["x"] = 1
    prints.append(fingerprint(value))
    value["d"].later = 2
    prints.append(fingerprint(value))
    assert [has_grown(a, b) for a, b in itertools.pairwise(prints)] == [True] * 5
    assert not has_grown(prints[2], prints[1])
    value["d"].number = 2
    prints.append(fingerprint(value))
    value["a"] = 4
    prints.append(fingerprint(value))
    value["c"].append(5)
    prints.append(fingerprint(value))
    assert [has_grown(a, b) for a, b in itertools.pairwise(prints[5:])] == [False] * 3
    assert not has_grown(None, prints[0])
    assert not has_grown(("int", 1), ("int", 2))
    same = [1]
    before = fingerprint(same)
    same.append(2)
    assert not has_grown(before, fingerprint(same)), "a list is no cache"


@pytest.fixture
def large(tmp_path: Path) -> Iterator[list[ModuleType]]:
    """Three thousand modules of an application, forty names in each."""
    modules = []
    for number in range(3000):
        module = ModuleType(f"large_{number}")
        module.__file__ = str(tmp_path / f"large_{number}.py")
        for name in range(39):
            setattr(module, f"value_{name}", f"text {name}")
        module.table = {"a": number}  # type: ignore[attr-defined]
        sys.modules[module.__name__] = module
        modules.append(module)
    yield modules
    for module in modules:
        del sys.modules[module.__name__]


def test_a_large_application_is_not_looked_at_anew_each_time(
    large: list[ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def counted(value: Any, most: int = MOST_VALUES) -> Any:
        looks.append(1)
        return fingerprint(value, most)

    monkeypatch.setattr(places, "fingerprint", counted)
    found = Places(responding(str))
    before = found.picture()
    assert len(looks) > 40 * 3000
    looks.clear()
    large[7].value_3 = "another text"  # type: ignore[attr-defined]
    large[8].table["a"] = "b"
    after = found.picture()
    assert {name for name in after if before.get(name) != after[name]} == {
        "large_7.value_3",
        "large_8.table",
    }
    # One dict a module, what the tests' own modules hold, and one module again.
    assert len(looks) < 2 * 3000


def test_what_is_installed_is_not_looked_into_but_what_is_audited_is(tmp_path: Path) -> None:
    folder = tmp_path / "lib/site-packages"
    for name in ("published", "library"):
        (folder / name).mkdir(parents=True)
    (folder / "library/__init__.py").write_text(
        "hits = []\n\ndef count(seen=[]):\n    hits.append(1)\n    seen.append(1)\n"
    )
    (folder / "published/__init__.py").write_text("")
    (folder / "published/web.py").write_text(
        "import library\nfrom published import state\n\n"
        "def app(environ, start_response):\n"
        "    library.count()\n    state.hits += 1\n    start_response('200 OK', [])\n    return [b'x']\n"
    )
    (folder / "published/state.py").write_text("hits = 0\n")
    assert audited(tmp_path, "published.web:app", path=str(folder)) == [
        ("shared-state", "published.state.hits")
    ]
    found = audited(tmp_path, "published.web:app", "--package", "library", path=str(folder))
    assert sorted(found) == [
        ("mutable-default", "library.count(seen=)"),
        ("shared-state", "library.hits"),
        ("shared-state", "published.state.hits"),
    ]


def test_what_an_import_makes_is_not_what_a_request_makes(tmp_path: Path) -> None:
    (tmp_path / "later.py").write_text("table = {}\nnumber = 5\n\nclass Some:\n    items = []\n")
    (tmp_path / "shop.py").write_text(
        "def app(environ, start_response):\n"
        "    import later\n    start_response('200 OK', [])\n    return [b'x']\n"
    )
    assert audited(tmp_path, "shop:app") == []


def test_what_is_made_once_under_a_lock_is_right_and_an_object_has_one_name(tmp_path: Path) -> None:
    (tmp_path / "memory.py").write_text("table = {}\n")
    (tmp_path / "shop.py").write_text(
        "import threading\nfrom memory import *\n\nlock = threading.Lock()\nengine = None\n\n"
        "def app(environ, start_response):\n"
        "    global engine\n    with lock:\n        if engine is None:\n            engine = object()\n"
        "    table['count'] = table.get('count', 0) + 1\n"
        "    start_response('200 OK', [])\n    return [b'x']\n"
    )
    assert audited(tmp_path, "shop:app") == [("shared-state", "memory.table")]


def test_an_application_of_an_own_class_is_flasks(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from flask import Flask\n\nclass Shop(Flask):\n    def __init__(self):\n"
        "        super().__init__('shop')\n        self.orders = []\n\n"
        "app = Shop()\nsettings = {'app': app}\n\n"
        "@app.get('/')\ndef index():\n    return app.jinja_env.from_string('x').render()\n\n"
        "@app.get('/order')\ndef order():\n    app.orders.append(1)\n    return 'x'\n"
    )
    assert audited(tmp_path, "shop:app") == [("shared-state", "shop.app.orders")]


def test_what_does_not_end_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calling, "MOST_SECONDS", 0.2)
    closed = []

    class Endless:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"event\n"

        def close(self) -> None:
            closed.append(1)

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        if environ["PATH_INFO"] == "/hangs":
            threading.Event().wait()
        return Endless() if environ["PATH_INFO"] == "/events" else [b"x"]

    requests = [Request("GET", path) for path in ("/events", "/hangs", "/")]
    endless: set[Request] = set()
    found = list(look_for_state(application, requests, endless))
    mine = [one for one in found if one.kind is Kind.FAILS_ALONE]
    assert [one.name for one in mine] == ["GET /events", "GET /hangs"]
    assert endless == set(requests[:2])
    assert closed == [1]


def test_a_view_without_an_end_is_named_by_its_line() -> None:
    app = flask.Flask("events")

    def view() -> str:
        return ""

    app.add_url_rule("/events/<name>", view_func=view)
    place = of_rule(app, Request("GET", "/events/a?b=c"))
    assert place.endswith(f"test_audit_looks.py:{view.__code__.co_firstlineno}")
    assert of_rule(app, Request("GET", "/none")) == ""
    assert of_rule(responding(str), Request("GET", "/")) == ""


@pytest.mark.parametrize("error", [SystemExit, ValueError, GeneratorExit])
def test_what_a_view_raises_is_its_own_end(error: type[BaseException]) -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Any:
        raise error

    assert call(application, Request("GET", "/")).status == f"raised {error.__name__}"


def test_requests_that_wait_for_each_other_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interleaving, "_STUCK_SECONDS", 1.0)
    locks = {"a": threading.Lock(), "b": threading.Lock()}
    both = threading.Barrier(2)

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        mine = environ["QUERY_STRING"]
        with locks[mine]:
            # Alone nobody comes to the barrier.
            if "_work" in threading.current_thread().name:
                both.wait()
                locks["b" if mine == "a" else "a"].acquire()
        start_response("200 OK", [])
        return [b"x"]

    requests = [Request("GET", "/?a"), Request("GET", "/?b")]
    found = {one.name: one for one in look_for_interleaving(application, requests, rounds=1)}
    for lock in locks.values():
        lock.release()
    assert set(found) == {"GET /?a", "GET /?b"}
    assert "did not end at the same time as GET /?b" in found["GET /?a"].reason
    assert found["GET /?a"].where.partition(":")[0].endswith("test_audit_looks.py")


@pytest.mark.parametrize(
    ("test", "kind"),
    [
        ("engine is None", Kind.LAZY_STATE),
        ("not engine", Kind.LAZY_STATE),
        ("engine is not None", Kind.GLOBAL_STATEMENT),
        ("other is None", Kind.GLOBAL_STATEMENT),
    ],
)
def test_a_global_that_is_made_once_is_a_note(test: str, kind: Kind) -> None:
    text = f"@app.get('/')\ndef view():\n    global engine\n    if {test}:\n        engine = make()\n"
    assert [(one.kind, one.where) for one in look_at_source(text, "a.py", "a", [])] == [(kind, "a.py:5")]


def test_a_default_of_a_function_that_is_made_anew_is_nobody_elses() -> None:
    inner = "def outer():\n    def inner(seen=[]):\n        seen.append(1)\n    inner()\n"
    assert list(look_at_source(inner, "a.py", "a", [])) == []
    view = "def create_app():\n    @app.get('/')\n    def view(seen=[]):\n        seen.append(1)\n"
    assert [one.name for one in look_at_source(view, "a.py", "a", [])] == ["a.view(seen=)"]


def test_what_changes_data_is_not_sent_beside_what_shows_it() -> None:
    posts: list[int] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        if environ["REQUEST_METHOD"] == "POST":
            posts.append(1)
            return [b"done"]
        return [str(len(posts)).encode()]

    requests = [Request("GET", "/"), Request("POST", "/new", "a=b")]
    assert list(look_for_interleaving(application, requests, rounds=5)) == []
    assert len(posts) > 5


def test_a_response_that_changes_by_itself_is_no_fault() -> None:
    ticks, stays = Request("GET", "/time"), Request("GET", "/")
    shown = ["before"]
    application = responding(
        lambda path: {"/time": str(int(time.time())), "/data": shown[0]}.get(path, "the same")
    )
    data = Request("GET", "/data")
    expected: dict[Request, Outcome] = {one: call(application, one) for one in (ticks, stays, data)}
    shown[0] = "after"
    assert changing_alone(application, expected) == {ticks, data}
    assert changing_alone(application, {}) == set()


def test_each_finding_has_its_fields() -> None:
    for kind in Kind:
        told = Finding(kind, "a.b", "a.py:1", "GET /", "Why.").as_json()
        assert set(told) == {"kind", "name", "where", "request", "reason", "unsafe", "instead"}
        assert told["instead"]
