"""An application that calls its own server while all threads are taken: it gets through, and the log tells.

The command in processes of its own. The queue's timeout is so far away that only what was lent a permit comes
through in time, except where the test is about those that are not.
"""

from __future__ import annotations

import contextlib
import queue
import re
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask

from pelton.worker.self_calls import caller
from support.client import Response, request
from support.gates import Gates
from support.live import Live
from support.serving import Serve, has_ipv6
from support.waiting import DEADLINE, Gate, eventually

APP = Path(__file__).parents[1] / "support" / "self_call_app.py"
PATIENT = ("--queue-timeout", "600s", "--health-path", "/-/health")

Start = Callable[..., Live]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the command with the application above; ``start(option, …)``."""
    with contextlib.ExitStack() as stack:

        def live(*arguments: str, environment: dict[str, str] | None = None, **others: Any) -> Live:
            environment = {**Gates(tmp_path).environment, **(environment or {})}
            command = (f"{APP}:app", *PATIENT, *arguments)
            return stack.enter_context(Live(*command, environment=environment, **others))

        yield live


def get(live: Live, target: str) -> Response:
    return live.ask(request(target=target))


def text(response: Response) -> str:
    assert response.status == 200, response
    return response.body.decode()


ONE_THREAD = {
    "one process": ("--threads", "1"),
    "sync": ("--worker-class", "sync"),
    "a worker": ("--workers", "1", "--threads", "1"),
    "a sync worker": ("--workers", "1", "--worker-class", "sync"),
    "no watch otherwise": ("--threads", "1", "--request-timeout", "0", "--worker-timeout", "0"),
}


@pytest.mark.parametrize("kind", ONE_THREAD)
def test_with_one_thread(start: Start, kind: str) -> None:
    live = start(*ONE_THREAD[kind])
    for client in ("requests", "urllib"):
        # Twice: everything is as before afterwards.
        for _ in range(2):
            answer = text(get(live, f"/outer/{client}/inner"))
            outer, inner = re.findall(r"\d+", answer)
            assert outer == inner, "the caller's own worker serves the call"
    live.log.wait_for(r"GET /outer/requests/inner in .* calls this server itself: it waits for GET /inner")
    live.log.wait_for(r"^GET /outer/requests/inner is here:")
    # The caller's stack, down to the line that waits.
    live.log.wait_for(r"self_call_app\.py\", line \d+, in _requests")
    live.log.wait_for(r"GET /inner has no stack")
    # Each caller once in a minute.
    assert len(live.log.all(r"GET /outer/requests/inner in .* calls this server")) == 1


@pytest.mark.parametrize("client", ["pool", "process"])
@pytest.mark.parametrize("workers", [(), ("--workers", "1")])
def test_on_behalf_of_the_view(start: Start, client: str, workers: tuple[str, ...]) -> None:
    live = start("--threads", "1", *workers)
    assert " got inner in " in text(get(live, f"/outer/{client}/inner"))
    live.log.wait_for(rf"perhaps GET /outer/{client}/inner.* calls this server itself")
    live.log.wait_for(r"Which thread calls could not be found")


def test_two_workers_whose_threads_are_all_taken(start: Start, tmp_path: Path) -> None:
    live = start("--workers", "2", "--threads", "1")
    live.ready_workers(2)
    gate = Gates(tmp_path).add("gate")
    # One worker is held by somebody else, the other one calls.
    held = live.connect()
    held.send(gate)
    pid = live.log.wait_for(r"gate is held by (\d+)")[1]
    outer, inner = re.findall(r"\d+", text(get(live, "/outer/requests/inner")))
    assert outer == inner != pid
    Gates(tmp_path).open("gate")
    assert held.response().status == 200


def test_as_many_callers_as_threads(start: Start) -> None:
    live = start("--threads", "2")
    both = [live.connect() for _ in range(2)]
    for one in both:
        one.send(request(target="/together"))
    assert [one.response().status for one in both] == [200, 200]


def test_a_call_of_a_call(start: Start) -> None:
    live = start("--threads", "1")
    answer = text(get(live, "/outer/requests/outer/urllib/outer/requests/inner"))
    assert answer.count(" got ") == 3


def test_a_body_in_a_file_goes_along(start: Start) -> None:
    live = start("--workers", "1", "--threads", "1", "--body-memory", "64KiB")
    assert text(get(live, "/upload/300000")) == "300000"


def test_strangers_in_front_of_the_call_do_not_keep_it_and_are_not_lent(start: Start, tmp_path: Path) -> None:
    live = start("--threads", "1")
    gates = Gates(tmp_path)
    held = live.connect()
    held.send(gates.add("gate", path="/hold-and-call/"))
    live.log.wait_for("gate is held")
    # More than there are slots, all from this machine.
    strangers = [live.connect() for _ in range(70)]
    for one in strangers:
        one.send(request(target="/inner"))
    live.wait_for_requests(71)
    # All threads are blocked until the call, which is the last of all, has been served.
    gates.open("gate")
    assert "inner in " in text(held.response())
    assert all("inner in " in text(one.response()) for one in strangers)


def test_a_stranger_on_this_machine_waits_its_turn(start: Start, tmp_path: Path) -> None:
    live = start("--threads", "1", "--queue-timeout", "1s")
    gates = Gates(tmp_path)
    held = live.connect()
    held.send(gates.add("gate"))
    live.log.wait_for("gate is held")
    assert get(live, "/inner").status == 503
    gates.open("gate")
    assert held.response().status == 200
    assert not live.log.all("calls this server")


def test_a_request_that_calls_itself_without_end_is_stopped(start: Start) -> None:
    live = start("--threads", "1", "--queue-timeout", "1s")
    answer = text(get(live, "/endless"))
    # The permit of its own and those that were lent.
    assert answer.startswith("200 " * 4 + "503 ")
    live.log.wait_for("all of the 4 permits that are lent for that are taken")
    # And it serves as before.
    assert get(live, "/inner").status == 200


@pytest.mark.parametrize("workers", [(), ("--workers", "1")])
def test_only_to_be_told(start: Start, workers: tuple[str, ...]) -> None:
    live = start("--threads", "1", "--self-call", "warn", "--queue-timeout", "1s", *workers)
    assert "waited too long" in text(get(live, "/outer/requests/inner"))
    live.log.wait_for(r"GET /outer/requests/inner in .* calls this server itself.* as --self-call is warn")
    live.log.wait_for(r"self_call_app\.py\", line \d+, in _requests")
    eventually(lambda: live.verdict()["running"]["count"] == 0, lambda: live.verdict())
    assert text(get(live, "/inner"))


def test_not_to_be_looked_at(start: Start) -> None:
    live = start("--threads", "1", "--self-call", "off", "--queue-timeout", "1s")
    assert "waited too long" in text(get(live, "/outer/requests/inner"))
    assert not live.log.all("calls this server")


@pytest.mark.parametrize("workers", [(), ("--workers", "1")])
def test_by_a_unix_socket(start: Start, workers: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        live = start(
            "--threads",
            "1",
            *workers,
            f"--bind=unix:{directory}/s",
            environment={"PELTON_TEST_SOCKET": f"{directory}/s"},
        )
        assert " got inner in " in text(get(live, "/by-unix-socket/inner"))
        live.log.wait_for(r"GET /by-unix-socket/inner in .* calls this server itself")


@pytest.mark.skipif(not has_ipv6(), reason="this host has no IPv6")
def test_by_a_socket_for_both_families(start: Start) -> None:
    with socket.socket(socket.AF_INET6) as both:
        both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        both.bind(("::", 0))
        both.listen()
        live = start("--threads", "1", f"--bind=fd://{both.fileno()}", descriptors=(both.fileno(),))
        live.log.wait_for("listens on")
        for host in ("127.0.0.1", "[::1]"):
            url = f"http://{host}:{both.getsockname()[1]}/outer/requests/inner"
            assert " got inner in " in requests.get(url, timeout=DEADLINE).text
    live.log.wait_for(r"GET /outer/requests/inner in .* calls this server itself")


def test_embedded_it_helps_requests_and_no_other_part_of_the_process(
    serve: Serve, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Flask(__name__)
    callers = queue.Queue[int | None]()

    def told_caller(*arguments: Any) -> int | None:
        found = caller(*arguments)
        callers.put(found)
        return found

    monkeypatch.setattr("pelton.front.running.caller", told_caller)

    @app.get("/inner")
    def inner() -> str:
        return "inner"

    @app.get("/outer")
    def outer() -> str:
        return requests.get(f"{server.address}/inner", timeout=DEADLINE).text

    @app.get("/hold")
    def hold() -> str:
        gate.hold()
        return "held"

    server = serve(app, threads=1)
    assert server.ask(request(target="/outer")).body == b"inner"
    server.wait_for_counter("permits_lent", 1)
    assert callers.get(timeout=DEADLINE) is not None
    held, waiting = server.connect(), server.connect()
    held.send(request(target="/hold"))
    gate.wait_for()
    # A client in the same process, as a test has it: asked about, and no call of a request.
    waiting.send(request(target="/inner"))
    assert callers.get(timeout=DEADLINE) is None
    gate.open()
    assert [held.response().status, waiting.response().status] == [200, 200]
    server.wait_for_counter("permits_lent", 1)


def test_who_calls_cannot_be_found_out_and_the_server_goes_on(
    serve: Serve, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = queue.Queue[int]()

    def without_memory(*_: Any, **__: Any) -> dict[int, int]:
        asked.put(1)
        raise MemoryError

    monkeypatch.setattr("pelton.front.running.owners", without_memory)
    app = Flask(__name__)

    @app.get("/hold")
    def hold() -> str:
        gate.hold()
        return "held"

    @app.get("/inner")
    def inner() -> str:
        return "inner"

    server = serve(app, threads=1)
    held, waiting = server.connect(), server.connect()
    held.send(request(target="/hold"))
    gate.wait_for()
    waiting.send(request(target="/inner"))
    asked.get(timeout=DEADLINE)
    gate.open()
    assert [held.response().status, waiting.response().status] == [200, 200]
    assert server.ask(request(target="/inner")).body == b"inner"
