"""The beginning with several processes: what is loaded where, and how a start that cannot succeed ends."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from conftest import StartLive
from support.client import Client, request
from support.gates import Gates
from support.live import HEALTH, PROCESS_APP
from support.processes import children_of
from support.waiting import eventually

PRELOAD = pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["each loads", "preload"])


@PRELOAD
def test_a_module_that_fails_shows_its_own_traceback(
    live: StartLive, tmp_path: Path, preload: list[str]
) -> None:
    (tmp_path / "broken.py").write_text("def f():\n    raise RuntimeError('at import')\n\nf()\n")
    server = live("broken", "--workers", "2", *preload, directory=tmp_path)
    assert server.exit_code() == 3
    assert "RuntimeError: at import" in server.log.text
    assert "broken.py" in server.log.text
    assert "app_loader" not in server.log.text
    assert "listens on" not in server.log.text
    assert server.processes() == []
    # Not once for each worker, and not once more for each try.
    assert server.log.text.count("RuntimeError: at import") <= 2


@PRELOAD
@pytest.mark.parametrize("target", ["no_such_module", f"{PROCESS_APP}:no_such_app"])
def test_an_application_that_is_not_there(live: StartLive, preload: list[str], target: str) -> None:
    server = live(target, "--workers", "2", *preload)
    assert server.exit_code() == 3
    assert "no_such" in server.log.text
    assert "Traceback" not in server.log.text
    assert server.processes() == []


@PRELOAD
def test_an_application_that_ends_its_process_is_given_up(
    live: StartLive, tmp_path: Path, preload: list[str]
) -> None:
    (tmp_path / "gone.py").write_text("import os\nos._exit(9)\n")
    server = live("gone", "--workers", "1", *preload, directory=tmp_path)
    # Five tries, each later than the one before.
    assert server.process.wait(40) == 1
    server.exit_code()
    assert "exited with code 9" in server.log.text
    assert "gives up:" in server.log.text
    assert 2 <= len(server.log.all("exited with code 9")) <= 8
    assert server.processes() == []


@pytest.mark.parametrize("workers", ["0", "2"])
def test_threads_that_nobody_can_have_are_refused_at_once(live: StartLive, workers: str) -> None:
    server = live(PROCESS_APP, "--workers", workers, "--threads", "100000")
    server.log.wait_for("threads: 4096 is the most that one worker can run at once", seconds=5)
    assert server.exit_code() != 0


def test_an_interrupt_during_the_start(live: StartLive, tmp_path: Path) -> None:
    gates = Gates(tmp_path)
    gates.add("import")
    (tmp_path / "slow.py").write_text(
        "import sys, pathlib\nprint('importing', file=sys.stderr, flush=True)\n"
        f"pathlib.Path({str(tmp_path / 'import')!r}).read_bytes()\n"
    )
    server = live("slow", "--workers", "2", directory=tmp_path)
    server.log.wait_for("importing")
    server.send_signal(signal.SIGINT)
    assert server.exit_code() == 0
    assert server.processes() == []


def test_who_comes_before_the_first_worker_waits_and_is_served(live: StartLive, tmp_path: Path) -> None:
    gates = Gates(tmp_path)
    gates.add("import")
    (tmp_path / "slow.py").write_text(
        "import sys, pathlib\nprint('importing', file=sys.stderr, flush=True)\n"
        f"pathlib.Path({str(tmp_path / 'import')!r}).read_bytes()\n"
        "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'served']\n"
    )
    path = tmp_path / "s"
    server = live("slow", "--workers", "1", "--bind", "unix:s", directory=tmp_path)
    server.log.wait_for("importing")
    eventually(path.is_socket, "it listens")
    with Client(f"unix:{path}") as client:
        client.send(request())
        assert "listens on" not in server.log.text
        gates.open("import")
        assert client.response().body == b"served"
    server.log.wait_for("listens on")


# Stops at the gate "import", unless there is none.
WAITS = """
import pathlib
def connect(gate):
    if gate.exists():
        gate.read_bytes()
def app(environ, start_response):
    start_response('200 OK', [])
    return [b'served']
connect(pathlib.Path(__file__).with_name('import'))
"""


@PRELOAD
def test_an_application_that_takes_too_long_is_tried_again(
    live: StartLive, tmp_path: Path, preload: list[str]
) -> None:
    gates = Gates(tmp_path)
    gates.add("import")
    (tmp_path / "waits.py").write_text(WAITS)
    server = live("waits", "--workers", "1", *preload, "--start-timeout", "1s", directory=tmp_path)
    server.log.wait_for(r"had not loaded the application after 1s \(--start-timeout\) and is killed")
    server.log.wait_for(r"waits\.py.* in connect")
    server.log.wait_for("the next worker is started in")
    (tmp_path / "import").unlink()
    assert server.ask(request()).body == b"served"


@PRELOAD
def test_a_reload_that_takes_too_long_keeps_the_old_workers(
    live: StartLive, tmp_path: Path, preload: list[str]
) -> None:
    (tmp_path / "waits.py").write_text(WAITS)
    server = live("waits", "--workers", "1", *preload, "--start-timeout", "3s", *HEALTH, directory=tmp_path)
    server.ready_workers(1)
    gates = Gates(tmp_path)
    gates.add("import")
    server.send_signal(signal.SIGHUP)
    server.log.wait_for("reload: failed, the old workers stay: .* had not loaded the application after 3s")
    assert server.ask(request()).body == b"served"
    # It is not stuck in that reload: the next one succeeds.
    (tmp_path / "import").unlink()
    server.send_signal(signal.SIGHUP)
    server.log.wait_for("reload: done")
    assert server.ask(request()).body == b"served"


def test_a_preloaded_application_is_loaded_once(live: StartLive, tmp_path: Path) -> None:
    (tmp_path / "once.py").write_text(
        "import os, sys, random\nprint('imported in', os.getpid(), file=sys.stderr, flush=True)\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n    return [str(random.random()).encode()]\n"
    )
    server = live("once", "--workers", "3", "--preload", directory=tmp_path)
    workers = server.ready_workers(3)
    found = server.log.all("imported in ([0-9]+)")
    assert len(found) == 1
    assert int(found[0][1]) not in workers.values()
    # Workers that continue one random sequence would be a hole in many an application.
    responses = [server.ask(request()).text for _ in range(30)]
    assert len(set(responses)) == 30
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    assert server.processes() == []


def test_preloaded_workers_serve(live: StartLive, tmp_path: Path) -> None:
    gates = Gates(tmp_path)
    server = live(PROCESS_APP, "--workers", "2", "--threads", "1", "--preload", environment=gates.environment)
    workers = server.ready_workers(2)
    held = [server.connect().send(gates.add(name)) for name in ("one", "two")]
    for name in ("one", "two"):
        server.log.wait_for(f"{name} is held")
    for name in ("one", "two"):
        gates.open(name)
    assert {int(client.response().text) for client in held} == set(workers.values())


def test_as_many_workers_as_fit(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "auto", *HEALTH)
    line = server.log.wait_for(r"in each of (\d+)(?: to \d+)? workers?")
    count = int(line[1])
    assert count >= 1
    server.ready_workers(count)
    eventually(lambda: server.verdict()["workers"]["ready"] == count, "all are ready")


def test_one_worker_is_a_front_and_a_worker(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1")
    assert server.ask(request()).text == str(server.ready_workers(1)[1])
    assert len(children_of(server.pid)) == 2


def test_without_workers_it_stays_one_process(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "0")
    assert server.ask(request()).text == str(server.process.pid)
    assert server.processes() == [server.process.pid]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "-1"], "-1"),
        (["--workers", "many"], "many"),
        (["--workers", "2", "--request-timeout", "x"], "x"),
    ],
)
def test_settings_that_make_no_sense(live: StartLive, arguments: list[str], message: str) -> None:
    server = live(PROCESS_APP, *arguments)
    assert server.exit_code() == 2
    assert re.search(re.escape(message), server.log.text)
    assert "Traceback" not in server.log.text
