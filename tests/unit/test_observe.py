"""What is told of a running server: metrics as text, quantiles, profiles, and where its socket is."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pelton.observe import live, metrics, page
from pelton.observe.exemplars import Exemplars, by_bucket
from pelton.observe.inspector import RunningRequest
from pelton.observe.looking import COMPUTING, INTERPRETER, LOCK, NETWORK, PROCESSOR, Looker, Seen, parts_of
from pelton.observe.metrics import Family, render
from pelton.observe.profiling import Profile, collapsed, speedscope, svg
from pelton.observe.routes import route_of_frame
from pelton.observe.runtime import Server, is_private, own_socket, running_servers
from pelton.observe.sampling import Sampler
from pelton.observe.stacks import is_in_circle, threads_now
from pelton.observe.state import merged_samples, place_requests
from pelton.observe.summary import quantile, summary, summary_text

BOUNDS = [1000, 10_000, 100_000]


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text; version=1.0.0", True),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.4", True),
        ("application/openmetrics-text;q=0.4,text/plain;version=0.0.4;q=0.5", False),
        ("application/openmetrics-text;q=nonsense", False),
    ],
)
def test_the_form_follows_what_is_accepted(accept: str, openmetrics: bool) -> None:
    assert metrics.wants_openmetrics(accept) is openmetrics


def test_a_label_cannot_end_its_line() -> None:
    family = metrics.Family("pelton_x_total", "counter", "X.")
    family.add(1, {"route": 'GET /"\\\n# EOF'})
    text = metrics.render([family], openmetrics=False)
    assert text.splitlines()[2] == 'pelton_x_total{route="GET /\\"\\\\\\n# EOF"} 1'
    assert metrics.render([family], openmetrics=True).startswith("# HELP pelton_x X.\n")


def test_buckets_are_summed_up() -> None:
    told = {"counts": [1, 2, 0, 4], "sum_us": 1_500_000}
    family = metrics.histogram("h", "H.", [0.001, 0.01, 0.1], [({}, told)])
    buckets = [value for suffix, _, value in family.samples if suffix == "_bucket"]
    assert buckets == [1, 3, 3, 7]
    assert family.samples[-2:] == [("_sum", {}, 1.5), ("_count", {}, 7)]


@pytest.mark.parametrize(
    ("counts", "part", "seconds"),
    [
        ([0, 0, 0, 0], 0.5, None),
        ([10, 0, 0, 0], 0.5, 0.0005),
        ([0, 10, 0, 0], 1.0, 0.01),
        ([5, 5, 0, 0], 0.5, 0.001),
        ([0, 0, 0, 3], 0.99, 0.1),
    ],
)
def test_a_quantile_lies_in_its_bucket(counts: list[int], part: float, seconds: float | None) -> None:
    found = quantile(BOUNDS, counts, part)
    assert found == (None if seconds is None else pytest.approx(seconds))


def _state(uptime: float, counts: list[int], route: list[int]) -> dict[str, Any]:
    times = {"counts": counts, "sum_us": sum(counts) * 500}
    process = {"memory_bytes": 1 << 20, "threads": 3, "cpu_seconds": 1.0, "age_seconds": uptime}
    running = {"method": "GET", "path": "/x\x1b[31m", "client": "", "running": True, "age_seconds": 2.5}
    return {
        "version": "1",
        "time": uptime,
        "uptime_seconds": uptime,
        "bounds_us": BOUNDS,
        "duration": times,
        "queue_time": times,
        "requests": [["GET", 2, sum(counts)]],
        "routes": [{"route": "GET /x", "errors": 0, "duration": {"counts": route, "sum_us": sum(route)}}],
        "queue": {"length": 0, "limit": 9, "oldest_seconds": 0.0},
        "permits": 4,
        "counters": {"connections_open": 1},
        "workers": [
            {
                "number": 1,
                "pid": 7,
                "retiring": False,
                "most_threads": 4,
                "running": 1,
                "waiting": 0,
                "process": process,
                "requests": [running],
            }
        ],
    }


def test_rates_are_those_between_two_states() -> None:
    before, after = _state(10, [5, 0, 0, 0], [5, 0, 0, 0]), _state(12, [9, 0, 0, 0], [9, 0, 0, 0])
    found = summary(after, before)
    assert found["requests_per_second"] == 2.0
    assert found["statuses"] == {"2xx": 4}
    assert [one["per_second"] for one in found["routes"]] == [2.0]
    assert found["running"][0]["worker"] == 1
    text = summary_text(found)
    assert "GET /x?[31m" in text
    assert "\x1b" not in text, "a path cannot drive a terminal"
    # Another front, which has counted from the beginning.
    assert summary(_state(1, [3, 0, 0, 0], [0, 0, 0, 0]), before)["requests_per_second"] == 3.0


@pytest.mark.parametrize(
    ("computing", "ready", "waiting", "parts"),
    [
        (1.5, 0.2, INTERPRETER, {COMPUTING: 1.0}),
        (0.25, 0.25, NETWORK, {COMPUTING: 0.25, PROCESSOR: 0.25, NETWORK: 0.5}),
        (-1.0, -1.0, LOCK, {LOCK: 1.0}),
    ],
)
def test_parts_are_the_whole_time(
    computing: float, ready: float, waiting: str, parts: dict[str, float]
) -> None:
    assert parts_of(computing, ready, waiting) == pytest.approx(parts)


REQUEST = (1, None, 3, "GET", "/a;b", "10.0.0.1", 1.0)


def _profile() -> Profile:
    profile = Profile(seconds=2.0)
    stack = [("/app.py", 10, "view"), ("/lib.py", 3, "<lambda>")]
    profile.add([Seen(REQUEST, stack, 1.0, {COMPUTING: 0.25, LOCK: 0.75})])
    return profile


def test_a_profile_has_its_forms() -> None:
    profile = Profile.from_json(_profile().as_json())
    assert collapsed(profile).splitlines() == [
        "GET /a,b;computing;view (/app.py:10);<lambda> (/lib.py:3) 250",
        "GET /a,b;lock;view (/app.py:10);<lambda> (/lib.py:3) 750",
    ]
    told = speedscope(profile, "x")
    assert told["profiles"][0]["weights"] == [0.25, 0.75]
    assert {one["name"] for one in told["shared"]["frames"]} >= {"GET /a,b", "lock"}
    drawn = svg(profile, "<x>")
    assert "&lt;lambda&gt;" in drawn
    assert "<x>" not in drawn
    assert svg(Profile(), "nothing").startswith("<svg ")


def test_what_the_sampler_keeps_is_bounded() -> None:
    sampler = Sampler(list)
    frames: dict[int, Any] = {}

    class Looking(Looker):
        def look(self, requests: list[Any]) -> list[Seen]:
            return [Seen(one, [("/a.py", one[2], "f")], 1.0, {LOCK: 1.0}) for one in requests]

    sampler._looker = Looking()
    assert not frames
    for number in range(3000):
        request = (number, None, number, "GET", f"/{number}", "c", 1.0 + number)
        sampler.look([request], 1000.0 + number)
    told = sampler.as_json()
    assert len(told["routes"]) <= 500
    assert len(told["stacks"]) <= 500
    assert [one["path"] for one in told["slowest"][:2]] == ["/2998", "/2997"], "the last one still runs"
    assert len(told["slowest"]) == 30
    assert told["slowest"][0]["stacks"][0]["class"] == LOCK
    merged = merged_samples([told, told, {"error": "gone"}])
    assert merged["looks"] == 6000


def test_a_week_of_ten_thousand_routes_takes_no_more_than_a_day() -> None:
    sampler = Sampler(list)

    class Looking(Looker):
        def look(self, requests: list[Any]) -> list[Seen]:
            return [Seen(one, [(f"/{one[4]}.py", 7, "view")] * 20, 1.0, {LOCK: 1.0}) for one in requests]

    sampler._looker = Looking()

    def day(number: int) -> int:
        for minute in range(1440):
            route = (number * 1440 + minute) % 10_000
            request = (1, None, minute, "GET", f"/{route}", "c", 5.0)
            sampler.look([request], 86_400.0 * number + 60.0 * minute)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        first, *_, last = [day(number) for number in range(7)]
    finally:
        tracemalloc.stop()
    told = sampler.as_json()
    assert (told["looks"], len(told["routes"]) <= 500) == (7 * 1440, True)
    # All of its bounds are met within two days; what it keeps is then replaced.
    assert last < 8 * 2**20, f"{first} bytes after a day, {last} after a week"
    assert all(one["began"] > 6 * 86_400 for one in told["slowest"]), "older than an hour"


def test_what_is_shown_is_of_the_last_hour() -> None:
    sampler = Sampler(list)

    class Looking(Looker):
        def look(self, requests: list[Any]) -> list[Seen]:
            return [Seen(one, [("/a.py", 1, "f")], 1.0, {LOCK: 1.0}) for one in requests]

    sampler._looker = Looking()
    for minute in range(180):
        # So many that the bounds are met early: what comes later is seen all the same.
        requests: list[RunningRequest] = [
            (1, None, number, "GET", f"/{minute // 60}/{number}", "c", 0.1) for number in range(400)
        ]
        sampler.look(requests, 10_000.0 + 60.0 * minute)
    told = sampler.as_json()
    assert {one["route"].split("/")[1] for one in told["routes"]} == {"2"}
    assert {path[0].split("/")[1] for _, path in told["stacks"]} == {"2"}


def test_a_request_is_known_by_its_route() -> None:
    found: list[str | None] = []

    class Rule:
        rule = "/users/<int:number>"

    class Request:
        url_rule = Rule

    class Strange:
        @property
        def url_rule(self) -> None:
            raise RuntimeError

    def view() -> None:
        found.append(route_of_frame(sys._getframe()))

    def application(environ: dict[str, Any], start_response: Any) -> None:
        view()

    def middleware(environ: dict[str, Any], start_response: Any) -> None:
        application(dict(environ), start_response)

    for environ in (
        {"werkzeug.request": Request()},
        {"pelton.route": "/own"},
        {},
        {"werkzeug.request": Strange()},
    ):
        application(environ, None)
    middleware({"pelton.route": "/outer"}, None)
    view()
    assert found == ["/users/<int:number>", "/own", None, None, "/outer", None]
    request = (1, None, 3, "GET", "/users/7", "10.0.0.1", 1.0)
    seen = Seen(request, [("/a.py", 1, "f")], 1.0, {LOCK: 1.0}, "/users/<int:number>")
    profile = Profile()
    profile.add([seen])
    assert [path[0] for path in profile.stacks] == ["GET /users/<int:number>"]


def test_who_waits_for_whom_is_found_in_this_process() -> None:
    lock, inside, end = threading.Lock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            inside.set()
            end.wait(30)

    def wait() -> None:
        with lock:
            pass

    threads = [threading.Thread(target=one, name=one.__name__, daemon=True) for one in (hold, wait)]
    try:
        threads[0].start()
        assert inside.wait(30)
        threads[1].start()
        found = _until(lambda: _wait_of("wait"))
        assert found["lock"]
        assert [one["name"] for one in found["held_by"]] == ["hold"]
    finally:
        end.set()
        for one in threads:
            one.join(30)


def _wait_of(name: str) -> dict[str, Any] | None:
    for thread in threads_now():
        if thread["name"] == name and (found := thread.get("waits")) is not None:
            assert isinstance(found, dict)
            return found
    return None


def _until(look: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
    for _ in range(10_000):
        if (found := look()) is not None:
            return found
    raise AssertionError("never")


@pytest.mark.parametrize(
    ("file", "is_deadlock"), [("site-packages/gevent/_threading.py", False), ("app.py", True)]
)
def test_a_lock_that_a_library_takes_twice_is_no_deadlock(
    tmp_path: Path, file: str, is_deadlock: bool
) -> None:
    text = "def twice():\n    lock = make()\n    with lock:\n        begun.set()\n        lock.acquire()\n"
    begun, made = threading.Event(), []

    def make() -> Any:
        made.append(threading.Lock())
        return made[0]

    names: dict[str, Any] = {"make": make, "begun": begun}
    # Who holds a lock is read from the source.
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)
    exec(compile(text, str(tmp_path / file), "exec"), names)
    thread = threading.Thread(target=names["twice"], name="twice", daemon=True)
    thread.start()
    assert begun.wait(30)

    def looked_at() -> dict[str, Any] | None:
        (found,) = [one for one in threads_now() if one["name"] == "twice"]
        return found if found["stack"][-1]["line"] == 5 else None

    try:
        found = _until(looked_at)
        assert (bool(found.get("deadlock")), found["idle"]) == (is_deadlock, not is_deadlock)
    finally:
        made[0].release()
        thread.join(30)


def test_a_circle_of_waits_is_a_deadlock() -> None:
    assert is_in_circle(1, {1: 2, 2: 1})
    assert not is_in_circle(3, {3: 1, 1: 2, 2: 1}), "it waits for those, and is none of them"
    assert not is_in_circle(1, {1: 2})


def test_a_slot_that_has_another_request_by_now_is_left_alone() -> None:
    requests = [{"slot": 1, "path": "/a"}, {"slot": 2, "path": "/b"}]
    place_requests(requests, [{"slot": 1, "path": "/a", "at": "x:1"}, {"slot": 2, "path": "/c", "at": "y:2"}])
    assert requests == [{"slot": 1, "path": "/a", "at": "x:1"}, {"slot": 2, "path": "/b"}]


def test_only_servers_that_live_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    path = own_socket()
    assert running_servers() == []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        assert [one.path for one in running_servers()] == [path]
    assert running_servers() == []
    assert not path.exists(), "what a dead one has left is removed"
    path.parent.chmod(0o777)
    assert not is_private(path.parent)
    assert running_servers() == []


def test_the_page_asks_nobody_else() -> None:
    for path in page.FILES:
        _, body = page.read(path)
        for place in (b"http:", b"https:", b"//cdn"):
            assert place not in body.replace(b'"http://www.w3.org/2000/svg"', b"")


def test_a_bucket_has_the_latest_exemplar() -> None:
    kept = Exemplars()
    for number in range(10_000):
        kept.add(number / 100, f"{number:032x}", float(number))
    told = kept.as_json()
    assert len(told) < 40, "one for each power of two"
    other = [[0.005, "o" * 32, 20_000.0], [0.2, "p" * 32, 1.0]]
    found = by_bucket([{"exemplars": told}, {"exemplars": other}, {"error": "gone"}], [0.01, 1.0])
    assert found[0] == (0.005, "o" * 32, 20_000.0)
    assert found[2][1] == f"{9_999:032x}"
    family = Family("x", "histogram", "help", [("_bucket", {"le": "0.01"}, 3)], {0: found[0]})
    line = f'x_bucket{{le="0.01"}} 3 # {{trace_id="{"o" * 32}"}} 0.005 20000.000\n'
    assert line in render([family], openmetrics=True)
    assert 'x_bucket{le="0.01"} 3\n' in render([family], openmetrics=False)


def test_keys_of_the_live_view(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    request_ = {"slot": 5, "path": "/a", "method": "GET", "client": "", "age_seconds": 1.0}
    frame = {"file": "/shop.py", "line": 7, "function": "view", "code": ""}
    dump = {
        "workers": [
            {"number": 1, "pid": 9, "threads": [{"name": "t", "stack": [frame], "request": request_}]}
        ]
    }
    front = {"pid": 8}
    monkeypatch.setattr(
        live, "ask_json", lambda _, path, **_named: dump if path == "/dump" else {"front": front}
    )
    monkeypatch.setattr(live, "running_servers", lambda: [Server(7, Path("/run/7.sock"))])
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    view = live._View("unix:/run/7.sock")
    assert not view.press("x")
    assert view.press("s")
    assert view.sort == 1
    found = {"running": [{"worker": 1, "slot": 5, "path": "/a"}, {"worker": 1, "slot": 6, "path": "/b"}]}
    assert view.stack(found) == ""
    assert view.press("l")
    assert 'File "/shop.py", line 7, in view' in view.stack(found)
    assert view.press("n")
    assert "It has ended" in view.stack(found)
    assert all(map(view.press, "r+-"))
    assert sent == [(7, signal.SIGHUP), (7, signal.SIGTTIN), (7, signal.SIGTTOU)]
    # One process is not told: the signal would mean something else to it.
    front["pid"] = 7
    view.press("r")
    assert "one process" in view.note
    view = live._View("127.0.0.1:9000")
    view.press("r")
    assert "own socket" in view.note
    assert len(sent) == 3
