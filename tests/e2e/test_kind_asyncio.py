"""The worker kind "asyncio": Flask's async views on one loop, which the application's own tasks share."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from pathlib import Path

import pytest
from flask import Flask, Response, g, session
from flask.typing import ResponseReturnValue

from conftest import StartLive
from pelton.worker.event_loop import current
from support import loop_app
from support.client import request
from support.serving import Serve
from support.waiting import Gate, Tally, eventually

APP = Path(loop_app.__file__)
KIND = ("-k", "asyncio")
WORKERS = pytest.mark.parametrize("workers", ["0", "1"], ids=["one process", "a worker"])


# In the test's own process


def test_async_views_run_on_one_loop_at_the_same_time(serve: Serve) -> None:
    app = Flask(__name__)
    waiting = Tally()
    loops = set()

    @app.get("/")
    async def view() -> ResponseReturnValue:
        loops.add((asyncio.get_running_loop(), threading.current_thread().name))
        waiting.add()
        # Nobody comes on before all have come: so they are not run one after the other.
        while waiting.count < 4:
            await asyncio.sleep(0.001)
        return "met"

    server = serve(app, worker_kind="asyncio", threads=4)
    clients = [server.connect().send(request()) for _ in range(4)]
    assert [one.response().text for one in clients] == ["met"] * 4
    [(_, name)] = loops
    assert name == "pelton-loop"


def test_the_request_is_there_and_what_the_view_sets_stays(serve: Serve) -> None:
    app = Flask(__name__)
    app.secret_key = "only a test"
    mine: contextvars.ContextVar[str] = contextvars.ContextVar("mine", default="unset")

    @app.before_request
    async def before() -> None:
        await asyncio.sleep(0)
        g.before = "before"
        mine.set("set in the coroutine")

    @app.get("/")
    async def view() -> ResponseReturnValue:
        session["user"] = "somebody"
        return f"{g.before}, {mine.get()}"

    @app.after_request
    def after(response: Response) -> Response:
        response.headers["X-Mine"] = mine.get()
        return response

    answer = serve(app, worker_kind="asyncio").ask(request())
    assert answer.text == "before, set in the coroutine"
    assert answer.get("X-Mine") == "set in the coroutine"
    assert (answer.get("Set-Cookie") or "").startswith("session=")


def test_exceptions_are_the_views_own(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    app = Flask(__name__)

    @app.get("/known")
    async def known() -> ResponseReturnValue:
        raise LookupError("not here")

    @app.errorhandler(LookupError)
    async def told(error: LookupError) -> ResponseReturnValue:
        return f"told: {error}", 410

    @app.get("/exit")
    async def leave() -> ResponseReturnValue:
        sys.exit("no")

    @app.get("/unknown")
    async def unknown() -> ResponseReturnValue:
        raise ZeroDivisionError

    server = serve(app, worker_kind="asyncio")
    assert server.ask(request(target="/known")).text == "told: not here"
    assert server.ask(request(target="/unknown")).status == 500
    assert "in unknown" in caplog.text
    # Neither the process nor the loop is gone.
    assert server.ask(request(target="/exit")).status == 500
    assert server.ask(request(target="/known")).status == 410


def test_a_wait_for_itself_is_an_error(serve: Serve) -> None:
    app = Flask(__name__)

    async def inner() -> str:
        return "never"

    @app.get("/")
    async def outer() -> ResponseReturnValue:
        with pytest.raises(RuntimeError, match=r"inner is called without await .* would wait for itself"):
            app.async_to_sync(inner)()
        # From another thread it is a call like any other.
        return await asyncio.to_thread(app.async_to_sync(inner))

    assert serve(app, worker_kind="asyncio", threads=1).ask(request()).text == "never"


def test_a_subclass_has_its_own_way(serve: Serve) -> None:
    class Own(Flask):
        def async_to_sync(self, func: object) -> object:  # type: ignore[override]
            return lambda **_: "in its own way"

    app = Own(__name__)

    @app.get("/")
    async def view() -> ResponseReturnValue:
        return "never"

    assert serve(app, worker_kind="asyncio").ask(request()).text == "in its own way"


def test_without_such_a_worker_flask_is_as_it_was(serve: Serve) -> None:
    app = Flask(__name__)
    serve(app, worker_kind="asyncio").running.stop()
    assert current() is None
    # flask[async] is not installed for the tests.
    with pytest.raises(RuntimeError, match="'async' extra"):
        app.async_to_sync(test_without_such_a_worker_flask_is_as_it_was)()  # type: ignore[arg-type]


def test_asyncio_run_in_a_view_does_not_take_the_loop_away(serve: Serve) -> None:
    app = Flask(__name__)

    @app.get("/")
    def view() -> ResponseReturnValue:
        before = id(asyncio.get_event_loop())
        asyncio.run(asyncio.sleep(0))
        return str(before)

    client = serve(app, worker_kind="asyncio", threads=1).connect()
    assert client.ask(request()).text == client.ask(request()).text


def test_the_loop_ends_with_the_server(serve: Serve) -> None:
    app = Flask(__name__)
    cleaned = threading.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    @app.get("/")
    def view() -> ResponseReturnValue:
        asyncio.run_coroutine_threadsafe(forever(), asyncio.get_event_loop())
        return ""

    server = serve(app, worker_kind="asyncio")
    assert server.ask(request()).status == 200
    server.running.stop()
    assert cleaned.wait(10)
    eventually(lambda: "pelton-loop" not in {one.name for one in threading.enumerate()}, "it has ended")


def test_idle_threads_and_a_waiting_view_leave_others_alone(serve: Serve, gate: Gate) -> None:
    app = Flask(__name__)

    @app.get("/held")
    async def held() -> ResponseReturnValue:
        await asyncio.to_thread(gate.hold)
        return "held"

    @app.get("/")
    async def quick() -> ResponseReturnValue:
        return "quick"

    server = serve(app, worker_kind="asyncio", threads=2)
    slow = server.connect().send(request(target="/held"))
    gate.wait_for()
    assert server.ask(request()).text == "quick"
    gate.open()
    assert slow.response().text == "held"


# As a command


@WORKERS
def test_the_loop_runs_before_the_application_is_imported(live: StartLive, workers: str) -> None:
    server = live(APP, *KIND, "--workers", workers)
    first, second = server.ask(request()).json(), server.ask(request()).json()
    assert first == second
    assert first["seen"] == ["began at import"]
    assert server.ask(request(target="/environ")).json()["loop"] == first["loop"]


def test_with_preload_the_loop_begins_in_the_worker(live: StartLive) -> None:
    server = live(APP, *KIND, "--workers", "1", "--preload")
    answer = server.ask(request()).json()
    assert answer["seen"] == ["no loop at import"]
    assert "threads while it is imported" not in server.log.text


@WORKERS
def test_a_view_that_takes_too_long_is_cancelled(live: StartLive, workers: str) -> None:
    server = live(APP, *KIND, "--workers", workers, "--threads", "1", "--request-timeout", "300ms")
    with server.connect() as client:
        assert client.ask(request(target="/hang")).status == 504
        # The one thread is free again, and the loop is the same.
        assert client.ask(request()).status == 200
    server.log.wait_for("hang was cancelled")
    server.log.wait_for("hang waits on the event loop, here:")
    server.log.wait_for(r'loop_app\.py", line \d+, in hang_deeper')
    assert not server.log.all("does not let go|is to be replaced|never awaited|Traceback")


def test_a_coroutine_ends_with_the_client_of_its_response(live: StartLive) -> None:
    server = live(APP, *KIND, "--workers", "1", "--threads", "1")
    client = server.connect().send(request(target="/events"))
    client.head()
    assert client.piece() == b"first"
    client.close()
    server.log.wait_for("hang was cancelled")
    assert server.ask(request()).status == 200


@WORKERS
def test_who_blocks_the_loop_is_shown(live: StartLive, workers: str) -> None:
    server = live(APP, *KIND, "--workers", workers, "--hub-block-timeout", "200ms")
    assert server.ask(request(target="/block?seconds=1")).text == "blocked"
    server.log.wait_for("The event loop has been blocked for 0.2 s")
    server.log.wait_for(r'loop_app\.py", line \d+, in block')
    server.log.wait_for("The event loop runs again")


@WORKERS
def test_the_loop_ends_after_the_last_request(live: StartLive, workers: str) -> None:
    server = live(APP, *KIND, "--workers", workers)
    assert server.ask(request()).status == 200
    server.process.terminate()
    assert server.exit_code() == 0
    assert "background task cleaned up" in server.log.text
    assert not server.log.all("WARNING|ERROR|Traceback|left behind")


@pytest.mark.parametrize("installed", [True, False], ids=["uvloop", "without"])
def test_uvloop_is_used_where_it_is_installed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    if not installed:
        monkeypatch.setitem(sys.modules, "uvloop", None)
    app = Flask(__name__)

    @app.get("/")
    async def view() -> ResponseReturnValue:
        return type(asyncio.get_running_loop()).__module__

    module = serve(app, worker_kind="asyncio").ask(request()).text
    assert module.startswith("uvloop") is installed
