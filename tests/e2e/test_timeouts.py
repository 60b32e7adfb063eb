"""Requests that hang, in every way that one can: answered 504, shown with their stack, interrupted or
replaced."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conftest import StartLive
from support.client import request
from support.gates import Gates
from support.live import HEALTH, PROCESS_APP, Live
from support.processes import runs
from support.waiting import eventually

SOON = ("--request-timeout", "300ms", "--request-timeout-grace", "300ms")
# What can be interrupted is, after a report about it, which takes its time on a slow machine.
INTERRUPTED = ("--request-timeout", "300ms", "--request-timeout-grace", "20s")
WORKERS = pytest.mark.parametrize("workers", ["0", "1"], ids=["one process", "a worker"])


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path)


def wait_for_report(server: Live, target: str, function: str) -> None:
    """Wait for the line that names the request, and for its stack below."""
    server.log.wait_for(
        rf"GET {re.escape(target)} from 127\.0\.0\.1 has run for [0-9]+\.[0-9] s .*was answered 504"
    )
    server.log.wait_for(rf'File ".*process_app\.py", line [0-9]+, in {function}')


# What can be interrupted


@WORKERS
@pytest.mark.parametrize(
    ("target", "function"), [("/spin", "spin"), ("/nap/1000", "nap"), ("/clean-up", "clean_up")]
)
def test_a_request_in_python_code_is_interrupted(
    live: StartLive, workers: str, target: str, function: str
) -> None:
    server = live(PROCESS_APP, "--workers", workers, "--threads", "1", *INTERRUPTED)
    with server.connect() as client:
        pid = client.ask(request()).text
        response = client.ask(request(target=target))
        assert response.status == 504
        # The one thread is free again, in the same process.
        assert client.ask(request()).text == pid
    wait_for_report(server, target, function)
    if target == "/clean-up":
        server.log.wait_for("cleaned up")
    assert not server.log.all("does not let go|is to be replaced")


def test_the_exception_is_no_second_traceback(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1", "--threads", "1", *INTERRUPTED)
    with server.connect() as client:
        assert client.ask(request(target="/spin")).status == 504
        assert client.ask(request()).status == 200
    wait_for_report(server, "/spin", "spin")
    assert "Traceback" not in server.log.text


@WORKERS
def test_the_next_request_is_never_hit(live: StartLive, workers: str) -> None:
    # Each ends at about the time at which it would be interrupted, so that many are over just before.
    server = live(PROCESS_APP, "--workers", workers, "--threads", "1", "--request-timeout", "100ms")
    seen, others = [], []
    with server.connect() as client:
        for number in range(40):
            seen.append(client.ask(request(target=f"/nap/{0.095 + number % 10 / 1000}")).status)
            # Were the exception late, it would be here (500), or in the server's own code behind it.
            others += [client.ask(request()).status for _ in range(3)]
    assert set(seen) <= {200, 504}
    assert 504 in seen
    # Only a machine that stands still for so long may let one of them time out itself.
    assert set(others) <= {200, 504}
    assert others.count(504) < len(others) / 10
    assert not server.log.all("does not let go|CRITICAL|panicked")


@WORKERS
def test_waiting_for_a_thread_does_not_count(live: StartLive, workers: str) -> None:
    server = live(PROCESS_APP, "--workers", workers, "--threads", "1", "--request-timeout", "1s")
    clients = [server.connect() for _ in range(4)]
    for client in clients:
        client.send(request(target="/nap/0.4"))
    # The last one waits for 1.2 s before it is its turn.
    assert [client.response().status for client in clients] == [200] * 4


@WORKERS
def test_a_response_that_has_begun_may_take_its_time(live: StartLive, workers: str, gates: Gates) -> None:
    server = live(
        *(PROCESS_APP, "--workers", workers, "--threads", "2", "--request-timeout", "1s"),
        environment=gates.environment,
    )
    stream = server.connect().send(gates.add("stream", "/gated-stream/"))
    stream.head()
    assert stream.piece() == b"first"
    with server.connect() as other:
        # Three times half of the limit.
        for _ in range(3):
            assert other.ask(request(target="/nap/0.5")).status == 200
    gates.open("stream")
    assert stream.piece() == b"second"
    assert stream.piece() == b""


# What cannot


@pytest.mark.parametrize(
    ("target", "function"),
    [("/sleep", "sleep"), ("/native", "pause"), ("/swallow", "swallow")],
)
def test_a_request_that_cannot_be_interrupted_has_its_worker_replaced(
    live: StartLive, gates: Gates, target: str, function: str
) -> None:
    server = live(
        *(PROCESS_APP, "--workers", "1", "--threads", "2", *SOON, "--graceful-timeout", "5s", *HEALTH),
        environment=gates.environment,
    )
    old = server.ready_workers(1)[1]
    with server.connect() as client:
        assert client.ask(request(target=target)).status == 504
        wait_for_report(server, target, function)
        server.log.wait_for(rf"worker 1 \(pid {old}\) does not let go of GET {target} from 127\.0\.0\.1")
        new = server.ready_workers(2)[2]
        eventually(lambda: client.ask(request()).text == str(new), "the new one serves")
    eventually(lambda: not runs(old), "the stuck one is gone")
    eventually(lambda: server.verdict()["workers"] == {"ready": 1, "retiring": 0}, "one is left")


def test_the_other_requests_of_a_stuck_worker_finish(live: StartLive, gates: Gates) -> None:
    server = live(
        *(PROCESS_APP, "--workers", "1", "--threads", "2", "--request-timeout-grace", "100ms"),
        *("--request-timeout", "1s", "--graceful-timeout", "20s"),
        environment=gates.environment,
    )
    old = server.ready_workers(1)[1]
    stuck = server.connect().send(request(target="/sleep"))
    server.log.wait_for("sleeps in")
    assert stuck.response().status == 504
    # Begun when the other one was already overdue, and it has begun to answer before its own time is over.
    stream = server.connect().send(gates.add("stream", "/gated-stream/"))
    stream.head()
    assert stream.piece() == b"first"
    server.log.wait_for("does not let go of GET /sleep")
    server.ready_workers(2)
    assert runs(old)
    gates.open("stream")
    assert stream.piece() == b"second"
    assert stream.piece() == b""
    eventually(lambda: not runs(old), "the stuck one is gone")
    assert server.ask(request()).status == 200


def test_a_pair_of_locks(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1", "--threads", "4", *SOON)
    old = server.ready_workers(1)[1]
    clients = [server.connect().send(request(target=f"/deadlock/{way}")) for way in ("there", "back")]
    assert [client.response().status for client in clients] == [504, 504]
    wait_for_report(server, "/deadlock/there", "deadlock")
    server.log.wait_for("deadlock: .*waits for .*held by")
    assert server.log.all("FIRST")
    assert server.log.all("SECOND")
    new = server.ready_workers(2)[2]
    eventually(lambda: server.ask(request()).text == str(new), "the new one serves")
    eventually(lambda: not runs(old), "the deadlocked one is gone")


def test_one_process_answers_and_reports_what_it_cannot_interrupt(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "0", "--threads", "2", *SOON)
    with server.connect() as client:
        assert client.ask(request(target="/native")).status == 504
        wait_for_report(server, "/native", "pause")
        # One thread less, and no replacement here; the others go on.
        assert client.ask(request()).status == 200
    server.log.wait_for("does not let go of GET /native .*With --workers the process would be replaced")
    # Said once, and nothing that contradicts it.
    assert len(server.log.all("does not let go")) == 1
    assert not server.log.all("is to be replaced|will be replaced")


# An interpreter that stands still


def test_a_call_that_keeps_the_interpreters_lock(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "2", "--threads", "2", "--worker-timeout", "4s", *HEALTH)
    workers = server.ready_workers(2)
    client = server.connect().send(request(target="/native-with-lock"))
    frozen = int(server.log.wait_for("keeps the lock in ([0-9]+)")[1])
    assert frozen in workers.values()
    # The other one serves, and health is the front's own.
    with server.connect() as other:
        for _ in range(20):
            assert other.ask(request()).text != str(frozen)
    assert server.verdict()["code"] == 200
    assert client.response().status == 502
    server.log.wait_for(rf"\(pid {frozen}\) has given no sign of life for .*GET /native-with-lock")
    # What faulthandler writes on SIGABRT.
    server.log.wait_for("Fatal Python error: Aborted")
    server.log.wait_for(r"process_app\.py.* in pause")
    server.ready_workers(3)
    eventually(lambda: not runs(frozen), "the frozen one is gone")


def test_a_frozen_worker_with_a_request_timeout(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1", *SOON, "--worker-timeout", "4s")
    server.ready_workers(1)
    with server.connect() as client:
        # The front needs no interpreter to answer.
        assert client.ask(request(target="/native-with-lock")).status == 504
        server.ready_workers(2)
        assert client.ask(request()).status == 200


def test_a_worker_that_computes_is_not_frozen(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1", "--worker-timeout", "4s", "--threads", "1")
    pid = server.ready_workers(1)[1]
    with server.connect() as client:
        # Longer than that without a response, but its interpreter runs.
        assert client.ask(request(target="/nap/4.5")).text == str(pid)
    assert not server.log.all("sign of life")
