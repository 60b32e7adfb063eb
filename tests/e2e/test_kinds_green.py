"""The worker kinds gevent and eventlet, as the command and in worker processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import StartLive
from support.client import request
from support.gates import Gates
from support.live import HEALTH, Live
from support.waiting import eventually

APP = Path(__file__).parents[1] / "support" / "green_app.py"
KINDS = pytest.mark.parametrize("kind", ["gevent", "eventlet"])
WAYS = pytest.mark.parametrize(
    "way", [("--workers", "0"), ("--workers", "1"), ("--workers", "1", "--preload")], ids=" ".join
)
WORKERS = pytest.mark.parametrize("workers", ["0", "1"], ids=["one process", "a worker"])
SOON = ("--request-timeout", "300ms", "--request-timeout-grace", "500ms")
# For what can be interrupted: with others beside it that must not be, and a report that takes its time.
INTERRUPTED = ("--request-timeout", "1s", "--request-timeout-grace", "20s")


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path)


def about(server: Live) -> dict[str, Any]:
    found: dict[str, Any] = server.ask(request(target="/about")).json()
    return found


# What is loaded when


@KINDS
@WAYS
def test_patching_comes_before_the_application(live: StartLive, kind: str, way: tuple[str, ...]) -> None:
    server = live(f"{APP}:app", "-k", kind, *way)
    found = about(server)
    assert found["loaded_before"] == []
    assert found["patched_before"] == [kind]
    assert found["ssl"] == kind
    assert found["at_home"], "the application was loaded on another thread than that of the hub"
    assert found["multithread"]
    assert "MonkeyPatchWarning" not in server.log.text
    assert ("no longer developed" in server.log.text) == (kind == "eventlet")


def test_what_would_escape_is_not_imported_by_pelton() -> None:
    program = (
        "import sys, pelton, pelton.cli.main, pelton.api; "
        "import pelton.worker.process, pelton.worker.template; "
        "print(sorted({'ssl', 'requests', 'urllib3', 'asyncio', 'gevent', 'eventlet'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("gevent", "from gevent import monkey; monkey.patch_all()"),
        ("eventlet", "import eventlet; eventlet.monkey_patch()"),
    ],
)
def test_a_program_that_has_not_patched_is_told_what_to_write(kind: str, line: str) -> None:
    serve = f"import pelton; pelton.start(lambda e, s: [], port=0, worker_kind={kind!r})"
    done = subprocess.run([sys.executable, "-c", serve], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert line in done.stderr
    patched = (
        f"{line}\nimport pelton, requests\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'hello']\n"
        f"with pelton.start(app, port=0, worker_kind={kind!r}) as running:\n"
        "    print(requests.get(running.addresses[0], timeout=20).text)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", patched], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "hello"), done.stderr


# Many at the same time


@KINDS
@WORKERS
def test_requests_that_wait_run_together(live: StartLive, kind: str, workers: str) -> None:
    server = live(f"{APP}:app", "-k", kind, "--workers", workers)
    clients = [server.connect().send(request(target="/gather/200")) for _ in range(200)]
    assert {client.response().body for client in clients} == {b"together"}


@KINDS
def test_no_more_than_the_setting_says(live: StartLive, kind: str) -> None:
    server = live(f"{APP}:app", "-k", kind, "--worker-connections", "3")
    clients = [server.connect().send(request(target="/sleep/0.1")) for _ in range(20)]
    assert max(int(client.response().body) for client in clients) == 3


def test_a_greenlet_that_asks_others_lets_the_rest_run(live: StartLive) -> None:
    other = live(f"{APP}:app", "-k", "gevent")
    server = live(f"{APP}:app", "-k", "gevent", "--workers", "1")
    port = other.addresses[0].rpartition(":")[2]
    clients = [server.connect().send(request(target=f"/nested/{port}")) for _ in range(50)]
    assert {client.response().body for client in clients} == {b"hello"}


@KINDS
def test_idle_connections_cost_no_greenlet(live: StartLive, kind: str) -> None:
    server = live(f"{APP}:app", "-k", kind)
    before = about(server)
    clients = [server.connect() for _ in range(300)]
    for client in clients:
        assert client.ask(request()).body == b"hello"
    after = about(server)
    # A few are kept that ran beside each other: a request may come while the one before is being put away.
    assert after["greenlets"] <= before["greenlets"] + 20
    assert after["threads"] == before["threads"]


# Waiting for clients


@KINDS
@WORKERS
def test_a_slow_body_and_a_slow_reader_stop_nobody(live: StartLive, kind: str, workers: str) -> None:
    server = live(f"{APP}:app", "-k", kind, "--workers", workers, "--request-buffering", "off")
    upload = server.connect().send(
        request("POST", "/length", [("Content-Length", "1000000")]) + b"x" * 400_000
    )
    reader = server.connect(receive_buffer=4096).send(request(target="/stream/300"))
    reader.head()
    waiting = server.connect().send(
        request("POST", "/length", [("Content-Length", "3"), ("Expect", "100-continue")])
    )
    assert waiting.head().status == 100
    for _ in range(20):
        assert server.ask(request()).body == b"hello"
    assert waiting.send(b"abc").response("POST").body == b"3"
    assert upload.send(b"x" * 600_000).response("POST").body == b"1000000"
    total = 0
    while piece := reader.piece():
        total += len(piece)
    assert total == 300 * 100_000


def test_a_timeout_of_the_application_ends_its_reading(live: StartLive) -> None:
    server = live(f"{APP}:app", "-k", "gevent", "--request-buffering", "off")
    client = server.connect().send(request("POST", "/impatient/0.1", [("Content-Length", "5")]))
    assert client.response("POST").body == b"too slow"
    assert server.ask(request()).body == b"hello"


@WORKERS
def test_a_real_thread_may_read_a_body(live: StartLive, workers: str) -> None:
    server = live(f"{APP}:app", "-k", "gevent", "--workers", workers, "--request-buffering", "off")
    client = server.connect().send(request("POST", "/from_pool", [("Content-Length", "6")]) + b"abc")
    # The hub is free meanwhile.
    assert server.ask(request()).body == b"hello"
    assert client.send(b"def").response("POST").body == b"abcdef"


@KINDS
@WORKERS
def test_greenlets_that_write_one_answer_wait_for_each_other(
    live: StartLive, kind: str, workers: str
) -> None:
    server = live(f"{APP}:app", "-k", kind, "--workers", workers)
    reader = server.connect(receive_buffer=4096).send(request(target="/writers"))
    reader.head()
    assert server.ask(request()).body == b"hello"
    total = 0
    while piece := reader.piece():
        total += len(piece)
    assert total == 3 * 20 * 100_000


@KINDS
@WORKERS
def test_an_endless_response_ends_with_its_client(live: StartLive, kind: str, workers: str) -> None:
    server = live(f"{APP}:app", "-k", kind, "--workers", workers)
    client = server.connect().send(request(target="/finish"))
    client.head()
    assert client.piece() == b"first"
    client.close()
    server.log.wait_for("ended by ClientDisconnected")


# Too long


@KINDS
@WORKERS
def test_a_waiting_request_is_reported_and_interrupted(live: StartLive, kind: str, workers: str) -> None:
    server = live(f"{APP}:app", "-k", kind, "--workers", workers, *INTERRUPTED)
    neighbours = [server.connect().send(request(target="/sleep/0.2")) for _ in range(5)]
    with server.connect() as client:
        assert client.ask(request(target="/sleep/1000")).status == 504
        assert client.ask(request()).body == b"hello"
    assert {one.response().status for one in neighbours} == {200}
    server.log.wait_for(r"GET /sleep/1000 from 127\.0\.0\.1 has run for .* its greenlet is here:")
    server.log.wait_for(r'File ".*green_app\.py", line \d+, in sleep')
    server.log.wait_for("was ended by RequestTimeout")
    assert not server.log.all("does not let go|CRITICAL|is to be replaced")


@WORKERS
def test_the_next_request_is_never_hit(live: StartLive, workers: str) -> None:
    server = live(f"{APP}:app", "-k", "gevent", "--workers", workers, "--request-timeout", "100ms")
    seen, others = [], []
    with server.connect() as client:
        for number in range(30):
            seen.append(client.ask(request(target=f"/sleep/{0.095 + number % 10 / 1000}")).status)
            others += [client.ask(request()).status for _ in range(3)]
    assert set(seen) <= {200, 504}
    assert 504 in seen
    # Only a machine that stands still for so long may let one of them time out itself.
    assert set(others) <= {200, 504}
    assert others.count(504) < len(others) / 10
    assert not server.log.all("does not let go|CRITICAL|panicked")


@pytest.mark.parametrize(("target", "function"), [("/block/1000", "block"), ("/swallow", "swallow")])
def test_one_that_cannot_be_interrupted_has_its_worker_replaced(
    live: StartLive, target: str, function: str
) -> None:
    server = live(f"{APP}:app", "-k", "gevent", "--workers", "1", *SOON)
    assert server.ask(request(target=target)).status == 504
    server.log.wait_for(rf'File ".*green_app\.py", line \d+, in {function}')
    assert set(server.ready_workers(2)) == {1, 2}
    server.log.wait_for(r"worker 1 \(pid \d+\) will be replaced: a thread does not let go")


@KINDS
def test_one_whose_hub_is_held_is_dumped_and_replaced(live: StartLive, kind: str) -> None:
    server = live(f"{APP}:app", "-k", kind, "--workers", "1", "--worker-timeout", "4s")
    old = server.ready_workers(1)[1]
    # Native code without the interpreter's lock: its threads go on, and no request is answered.
    assert server.ask(request(target="/block/1000")).status == 502
    server.log.wait_for(rf"worker 1 \(pid {old}\) is frozen")
    server.log.wait_for("Fatal Python error: Aborted")
    server.log.wait_for(r'File ".*green_app\.py", line \d+ in block')
    assert set(server.ready_workers(2)) == {1, 2}
    assert server.ask(request(target="/sleep/0")).status == 200


@KINDS
def test_who_blocks_the_hub_is_shown(live: StartLive, kind: str) -> None:
    server = live(f"{APP}:app", "-k", kind, "--hub-block-timeout", "700ms")
    assert server.ask(request(target="/block/2")).body == b"blocked"
    server.log.wait_for("The hub has not come to run for 700ms")
    server.log.wait_for(r'File ".*green_app\.py", line \d+, in block')
    server.log.wait_for("The hub went on after")
    # Who waits as he should is no reason for a report.
    assert server.ask(request(target="/sleep/1.4")).status == 200
    assert len(server.log.all("The hub has not come to run")) == 1


def test_nothing_is_said_where_it_is_switched_off(live: StartLive) -> None:
    server = live(f"{APP}:app", "-k", "gevent", "--hub-block-timeout", "0")
    assert server.ask(request(target="/block/1.2")).body == b"blocked"
    assert not server.log.all("The hub")


# The end


@KINDS
@WAYS
def test_running_requests_finish(live: StartLive, kind: str, way: tuple[str, ...], gates: Gates) -> None:
    server = live(f"{APP}:app", "-k", kind, *way, environment=gates.environment)
    clients = [server.connect().send(gates.add(f"gate{number}")) for number in range(3)]
    server.log.wait_for("is held", 3)
    server.send_signal(signal.SIGTERM)
    server.log.wait_for("SIGTERM")
    for number in range(3):
        gates.open(f"gate{number}")
    assert {client.response().body for client in clients} == {b"went through"}
    assert server.exit_code() == 0
    assert not server.log.all("CRITICAL|Traceback|left behind")


@KINDS
@WORKERS
def test_what_does_not_finish_is_cut_off(live: StartLive, kind: str, workers: str) -> None:
    server = live(f"{APP}:app", "-k", kind, "--workers", workers, "--graceful-timeout", "200ms", *HEALTH)
    server.connect().send(request(target="/sleep/1000"))
    server.wait_for_requests(1)
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    if workers == "0":
        server.log.wait_for(r"greenlet \d+ is still in the application's code")
        server.log.wait_for(r'File ".*green_app\.py", line \d+, in sleep')


@KINDS
def test_workers_are_replaced_under_load(live: StartLive, kind: str) -> None:
    server = live(f"{APP}:app", "-k", kind, "--workers", "2", "--max-requests", "50")
    for _ in range(10):
        clients = [server.connect().send(request(target="/sleep/0.01")) for _ in range(30)]
        assert {client.response().status for client in clients} == {200}
    server.ready_workers(3)
    server.log.wait_for("worker . .* ended")
    server.send_signal(signal.SIGHUP)
    server.log.wait_for("works with the new code")
    assert server.ask(request()).body == b"hello"


def test_a_worker_that_dies_is_mourned(live: StartLive, gates: Gates) -> None:
    server = live(f"{APP}:app", "-k", "gevent", "--workers", "1", environment=gates.environment)
    clients = [server.connect().send(gates.add(f"gate{number}")) for number in range(2)]
    server.log.wait_for("is held", 2)
    pid = server.ready_workers()[1]
    os.kill(pid, signal.SIGKILL)
    assert {client.response().status for client in clients} == {502}
    server.log.wait_for("GET /hold/gate0")
    server.ready_workers(2)
    assert server.ask(request()).body == b"hello"


def test_a_new_front_gets_the_worker(live: StartLive, gates: Gates) -> None:
    server = live(f"{APP}:app", "-k", "gevent", "--workers", "1", environment=gates.environment)
    pid = server.ready_workers()[1]
    client = server.connect().send(gates.add("gate"))
    server.log.wait_for("is held")
    os.kill(server.front_pid(1), signal.SIGKILL)
    server.log.wait_for("front.* was killed by SIGKILL|killed by SIGKILL")
    eventually(lambda: _asked(server), "the new front answers")
    assert server.ready_workers()[1] == pid
    gates.open("gate")
    client.close()


def _asked(server: Live) -> bool:
    try:
        return server.ask(request()).body == b"hello"
    except (OSError, AssertionError):
        return False


# The log


def test_real_threads_and_greenlets_log_together(live: StartLive) -> None:
    server = live(f"{APP}:app", "-k", "gevent")
    assert server.ask(request(target="/chatter/200")).body == b"done"
    for who in ("real", "greenlet"):
        for number in range(3):
            # The output may come later than the response, but all of it.
            server.log.wait_for(rf"^{who} {number} says \d+$", 200)


SHUT_FROM_OUTSIDE = """
import eventlet
eventlet.monkey_patch()
import socket
from pelton.process.native_threads import NativeThread, NativeEvent
from pelton.worker.wsgi.client_socket import client_socket
import time
sleep = eventlet.patcher.original("time").sleep
coming = NativeEvent()

def end():
    coming.set()
    made.shut_reading()

class Offer:
    def take(self):
        # Whoever ends the server comes now, and has to wait.
        other.start()
        coming.wait_with_hub(10)
        sleep(0.2)

class Home:
    def add(self, taken): pass

ours, theirs = socket.socketpair()
made = client_socket(theirs.detach(), Offer(), Home(), lambda: False)
other = NativeThread(end, name="other")
eventlet.spawn(made.take).wait()
other.join(10)
print("alive" if other.is_alive() else "ended", made.is_taken)
"""


def test_the_end_of_the_server_does_not_wait_with_the_hub_for_a_socket() -> None:
    # eventlet's locks cannot be waited for by a thread that has no hub.
    done = subprocess.run(
        [sys.executable, "-c", SHUT_FROM_OUTSIDE], capture_output=True, text=True, check=False, timeout=50
    )
    assert done.stdout == "ended True\n", done.stderr
