"""The worker kind "tornado": an IOLoop that runs, beside threads that call the application."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tornado.web import Application

import pelton
from conftest import StartLive
from pelton.exceptions import ConfigError
from support import tornado_app
from support.apps import routes
from support.client import request
from support.serving import Serve
from support.waiting import Gate

APP = Path(tornado_app.__file__)
KIND = ("-k", "tornado")
WORKERS = pytest.mark.parametrize("workers", ["0", "1"], ids=["one process", "a worker"])


@WORKERS
def test_what_the_application_does_on_the_loop_runs(live: StartLive, workers: str) -> None:
    server = live(APP, *KIND, "--workers", workers)
    assert server.ask(request()).json() == {"where": "pelton-loop", "same": True}
    assert server.ask(request(target="/ticks")).text == "True"
    at = f"?at={server.addresses[0]}"
    assert server.ask(request(target=f"/fetch{at}")).text == "True"
    assert server.ask(request(target=f"/fetch-in-a-callback{at}")).text == "True"
    server.process.terminate()
    assert server.exit_code() == 0
    assert not server.log.all("WARNING|ERROR|Traceback")


def test_a_view_that_blocks_does_not_block_the_loop(serve: Serve, gate: Gate) -> None:
    from tornado.ioloop import IOLoop

    def held(environ: dict[str, object], start_response: object) -> list[bytes]:
        gate.hold()
        start_response("200 OK", [])  # type: ignore[operator]
        return []

    def asks_the_loop(environ: dict[str, object], start_response: object) -> list[bytes]:
        ran = threading.Event()
        IOLoop.current().add_callback(ran.set)
        start_response("200 OK", [])  # type: ignore[operator]
        return [str(ran.wait(10)).encode()]

    server = serve(routes({"/held": held}, default=asks_the_loop), worker_kind="tornado", threads=2)
    slow = server.connect().send(request(target="/held"))
    gate.wait_for()
    assert server.ask(request()).text == "True"
    gate.open()
    assert slow.response().status == 200


@pytest.mark.parametrize("name", ["native", "make_native()"])
@pytest.mark.parametrize("kind", ["tornado", "threads"])
def test_tornados_own_applications_are_refused(name: str, kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pelton", f"{APP}:{name}", "-k", kind, "--bind", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 3
    assert f'"{name}" in "{APP}" is a tornado.web.Application; pelton serves WSGI.' in done.stderr
    assert "with tornado's own server" in done.stderr


def test_and_when_python_starts_them() -> None:
    with pytest.raises(ConfigError, match=r"is a tornado\.web\.Application; pelton serves WSGI"):
        pelton.start(Application(), port=0, worker_kind="tornado")  # type: ignore[arg-type]
