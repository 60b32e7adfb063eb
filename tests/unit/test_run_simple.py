"""What the arguments of ``run_simple`` come to, and the reloader's part, which a test plays."""

from __future__ import annotations

import functools
import os
import ssl
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import werkzeug.serving
from werkzeug.debug import DebuggedApplication
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

import pelton
from pelton.config import worker_kinds
from pelton.config.bounds import AUTOMATIC
from pelton.development import installation, settings
from pelton.development.application import PassedThrough, PassedThroughResponse, Wrapping
from pelton.development.end import EndRequest, Why, leave
from pelton.development.port_in_use import explained
from pelton.development.run_simple import Concurrency, bind_of, overridden, run_simple
from pelton.exceptions import AddressInUseError, ConfigError, StartError
from pelton.loader.debugger import refuse_debugger
from pelton.net.listeners import Listener, open_listeners
from pelton.system import Holder, holders_of
from support.client import Client, request


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"answer"]


@pytest.fixture(autouse=True)
def unchosen() -> Iterator[None]:
    yield
    pelton.uninstall()


# Arguments


def test_the_signature_is_werkzeugs() -> None:
    import inspect

    def shape(function: Callable[..., Any]) -> list[tuple[str, Any]]:
        return [(one.name, one.default) for one in inspect.signature(function).parameters.values()]

    assert shape(run_simple) == shape(werkzeug.serving.run_simple)


@pytest.mark.parametrize(
    ("threaded", "processes", "expected"),
    [
        (False, 1, Concurrency(0, "sync")),
        (True, 1, Concurrency(0, "threads")),
        (False, 3, Concurrency(3, "sync")),
        (True, 3, Concurrency(3, "threads")),
        (True, 0, Concurrency(0, "threads")),
    ],
)
def test_concurrency(threaded: bool, processes: int, expected: Concurrency) -> None:
    assert Concurrency.of(threaded=threaded, processes=processes) == expected


def test_what_was_chosen_counts_where_the_arguments_say_nothing() -> None:
    settings.choose({"workers": 2, "worker_kind": "gthread"}, "a test")
    assert Concurrency.of(threaded=True, processes=1) == Concurrency(2, "threads")
    assert Concurrency.of(threaded=False, processes=4) == Concurrency(4, "sync")


@pytest.mark.parametrize(
    ("hostname", "port", "bind"),
    [
        ("127.0.0.1", 5000, "127.0.0.1:5000"),
        ("0.0.0.0", 0, "0.0.0.0:0"),
        ("::1", 80, "[::1]:80"),
        ("localhost", 8080, "localhost:8080"),
        ("unix:///run/x", 5000, "unix:/run/x"),
    ],
)
def test_bind(hostname: str, port: int, bind: str) -> None:
    assert bind_of(hostname, port) == bind


def test_a_relative_socket_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert bind_of("unix://./x.sock", 0) == f"unix:{tmp_path}/x.sock"


def test_what_a_request_handler_changes() -> None:
    class Quiet(werkzeug.serving.WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_request(self, *_: Any) -> None:
            pass

    class Fast(werkzeug.serving.WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

    assert overridden(Quiet) == ["log_request"]
    assert overridden(Fast) == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"port": "5000"}, TypeError, "port must be an integer"),
        ({"ssl_context": "cert.pem"}, ConfigError, "neither 'adhoc' nor a pair of files"),
        ({"ssl_context": ssl.create_default_context()}, ConfigError, "SSLContext does not tell"),
        ({"ssl_context": ()}, ConfigError, "a certificate and its key"),
        ({"port": 70000}, ConfigError, "70000"),
    ],
)
def test_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        run_simple(**{"hostname": "127.0.0.1", "port": 0, "application": app, **arguments})


@pytest.mark.parametrize("arguments", [{"use_reloader": True}, {"processes": 2}])
def test_what_needs_the_main_thread(arguments: dict[str, Any]) -> None:
    found: list[BaseException] = []

    def run() -> None:
        try:
            run_simple("127.0.0.1", 0, app, **arguments)
        except ConfigError as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "main thread" in str(found[0])


def test_a_kind_that_changes_the_interpreter_is_prepared_first_and_serves_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepared: list[str] = []
    monkeypatch.setitem(worker_kinds.KINDS, "played", PLAYED)
    monkeypatch.setitem(globals(), "prepare_played", lambda settings: prepared.append(settings.worker_kind))
    monkeypatch.setitem(sys.modules, "the_test_of_run_simple", sys.modules[__name__])
    pelton.install(worker_kind="played")
    assert prepared == ["played"]
    with pytest.raises(ConfigError, match="played cannot be combined with worker processes"):
        run_simple("127.0.0.1", 0, app, threaded=True, processes=2)


PLAYED = worker_kinds.Kind(
    name="played",
    concurrency=worker_kinds.Concurrency.THREADS,
    runner="pelton.worker.runners.threads:threads",
    preparation="the_test_of_run_simple:prepare_played",
)


# Settings


def test_who_decides_about_a_setting() -> None:
    assert settings.development_settings({}, {}).threads == AUTOMATIC
    environ = {"PELTON_THREADS": "5", "PELTON_QUEUE_TIMEOUT": "1min", "PELTON_BIND": ":1"}
    found = settings.development_settings({"bind": ["127.0.0.1:0"]}, environ)
    assert (found.threads, found.queue_seconds, found.bind) == (5, 60.0, ("127.0.0.1:0",))
    settings.choose({"threads": 6}, "a test")
    assert settings.development_settings({}, environ).threads == 6


def test_settings_of_production_do_not_stop_development() -> None:
    environ = {"PELTON_WORKERS": "4", "PELTON_PRELOAD": "1", "PELTON_DAEMON": "1", "PELTON_USER": "x"}
    found = settings.development_settings({}, environ)
    assert (found.workers, found.preload, found.daemon, found.user) == (0, False, False, None)
    assert settings.development_settings({"workers": 2}, {"PELTON_MAX_REQUESTS": "9"}).max_requests == 9


@pytest.mark.parametrize(
    ("values", "message"),
    [({"thread": 3}, "no setting"), ({"threads": 0}, "too small"), ({"bind": ":80"}, "each call")],
)
def test_a_wrong_choice(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pelton.install(**values)


# Installation


def test_install_and_uninstall(monkeypatch: pytest.MonkeyPatch) -> None:
    import flask.cli

    theirs = werkzeug.serving.run_simple
    user = types.ModuleType("users_module")
    user.run_simple = theirs  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "users_module", user)
    pelton.install()
    pelton.install(threads=2)
    assert installation.is_installed()
    places = (werkzeug.serving, werkzeug, flask.cli, user)
    taken: Any = werkzeug.serving.run_simple
    assert taken is not theirs
    assert taken.__wrapped__ is run_simple
    assert [getattr(one, "run_simple", None) for one in places] == [taken] * 4
    pelton.uninstall()
    pelton.uninstall()
    assert [getattr(one, "run_simple", None) for one in places] == [theirs] * 4
    assert settings.chosen("threads") is None
    assert pelton.run_simple is run_simple


# What is around the application


def test_wrapping() -> None:
    wrapped = Wrapping(
        "dev.example", use_debugger=True, use_evalex=False, static_files={"/s": "/tmp"}
    ).around(app)
    assert isinstance(wrapped, DebuggedApplication)
    assert wrapped.evalex is False
    assert "dev.example" in wrapped.trusted_hosts
    assert type(wrapped.app).__name__ == "SharedDataMiddleware"
    assert Wrapping("127.0.0.1").around(app) is app


def test_the_first_exception_is_kept() -> None:
    told: list[int] = []

    def failing(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        yield b"one"
        raise ValueError(environ["number"])

    passed = PassedThrough(failing, lambda: told.append(1))
    for number in (1, 2):
        response = passed({"number": number}, lambda *_: None)
        assert isinstance(response, PassedThroughResponse)
        with pytest.raises(ValueError, match=str(number)):
            list(response)
        response.close()
    assert str(passed.error) == "1"
    assert told == [1]


def test_lists_are_passed_as_they_are() -> None:
    response = [b"x"]
    assert PassedThrough(lambda *_: response, lambda: None)({}, lambda *_: None) is response


# The debugger outside development


def test_a_debugger_is_found_wherever_it_is() -> None:
    inner: Any = types.SimpleNamespace(wsgi_app=DebuggedApplication(app))
    for one in (DebuggedApplication(app), ProxyFix(DebuggedApplication(app)), inner, ProxyFix(inner)):
        with pytest.raises(ConfigError, match="use_debugger"):
            refuse_debugger(one)


hidden = DebuggedApplication(app)


def by_name(environ: Any, start_response: Any) -> Any:
    return hidden(environ, start_response)


@pytest.mark.parametrize("way", ["closure", "wraps", "partial", "mounts", "method", "global", "list"])
def test_a_debugger_is_found_behind(way: str) -> None:
    debugged = DebuggedApplication(app)

    def closure(environ: Any, start_response: Any) -> Any:
        return debugged(environ, start_response)

    @functools.wraps(debugged)
    def wraps(environ: Any, start_response: Any) -> Any:
        return []

    class Held:
        def __init__(self) -> None:
            self.layers = [{"x": debugged}]

        def serve(self, environ: Any, start_response: Any) -> Any:
            return []

    found: dict[str, Any] = {
        "closure": ProxyFix(closure),
        "wraps": wraps,
        "partial": functools.partial(lambda inner, *_: inner, debugged),
        "mounts": DispatcherMiddleware(app, {"/shop": ProxyFix(debugged)}),
        "method": Held().serve,
        "global": by_name,
        "list": Held(),
    }
    with pytest.raises(ConfigError, match="use_debugger"):
        refuse_debugger(found[way])


def test_a_flask_application_with_proxies_is_let_through() -> None:
    from flask import Flask, current_app, request

    made = Flask(__name__)

    @made.get("/")
    def index() -> str:
        return f"{request.path} {current_app.name}"

    mounts: dict[str, Any] = {"/request": request, "/app": current_app}
    refuse_debugger(DispatcherMiddleware(made, mounts))


def test_other_applications_are_let_through() -> None:
    circle = types.SimpleNamespace()
    circle.app = circle
    for one in (app, ProxyFix(app), circle, object(), None):
        refuse_debugger(one)


# The end


def test_the_first_wish_counts() -> None:
    end_request, woken = EndRequest(), []
    end_request.end(Why.CHANGED)
    end_request.end(Why.RAISED)
    assert end_request.why is Why.CHANGED
    end_request.heard_by(lambda: woken.append(1))
    assert woken == [1]


def test_how_it_is_left() -> None:
    leave(Why.INTERRUPTED)
    leave(Why.ENDED)
    with pytest.raises(SystemExit) as ended:
        leave(Why.CHANGED)
    assert ended.value.code == 3


# The port


def test_who_holds_a_port() -> None:
    with open_listeners_on() as listener:
        port = int(listener.server_port)
        found = holders_of(port)
        assert [one.pid for one in found] == [os.getpid()]
        assert "pytest" in found[0].command or "python" in found[0].command
    assert holders_of(port) == []


def test_nobody_knows_who_holds_it(tmp_path: Path) -> None:
    assert holders_of(80, tmp_path) == []
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text("head\n 0: 0100007F:0050 00000000:0000 0A a b c d e 77 x\nbroken\n")
    (tmp_path / "1").mkdir()
    assert holders_of(80, tmp_path) == []
    (tmp_path / "2" / "fd").mkdir(parents=True)
    (tmp_path / "2" / "fd" / "3").symlink_to("socket:[77]")
    (tmp_path / "2" / "cmdline").write_bytes(b"a\0b\x1b[31m" + b"x" * 500)
    (holder,) = holders_of(80, tmp_path)
    assert str(holder).startswith("pid 2 (a b?[31m")
    assert len(str(holder)) < 150
    assert str(Holder(3, "")) == "pid 3"


def test_the_message_speaks_of_app_run() -> None:
    error = AddressInUseError("It is in use.", held_by=("It is held by pid 1.",), address_has_port=True)
    assert explained(error, 5000).splitlines()[1:] == [
        "  It is held by pid 1.",
        "  Stop it, or choose another port: app.run(port=5001), or --port 5001 for the flask command "
        "(port 0: any free one).",
    ]
    assert "ss -ltnp" in explained(AddressInUseError("In use.", address_has_port=True), 65535)
    assert explained(StartError("Not permitted.", "Do this."), 80) == "Not permitted.\n  Do this."


# The reloader


class PlayedReloader(types.ModuleType):
    """What `pelton.reloader` promises, as far as ``run_simple`` uses it."""

    def __init__(self) -> None:
        super().__init__("pelton.reloader")
        self.listeners: list[str] = []
        self.options: Any = None
        self.descriptors: list[int] = []
        self.on_watch: Callable[[Callable[[str], None]], None] = lambda changed: None

    @staticmethod
    def ReloaderOptions(*values: Any) -> tuple[Any, ...]:  # noqa: N802
        return values

    def supervise(self, listeners: Sequence[Listener], options: Any) -> int:
        self.listeners = [str(one) for one in listeners]
        self.options = options
        for one in listeners:
            with Client(str(one)):
                pass
        return 5

    def inherited_descriptors(self) -> list[int]:
        return self.descriptors

    def watch(self, options: Any, on_change: Callable[[str], None]) -> None:
        self.options = options
        self.on_watch(on_change)


@pytest.fixture
def reloader(monkeypatch: pytest.MonkeyPatch) -> PlayedReloader:
    played = PlayedReloader()
    monkeypatch.setattr("pelton.development.run_simple.reloader", played)
    return played


def test_the_parent_opens_the_sockets_and_serves_nothing(reloader: PlayedReloader) -> None:
    def never(*_: Any) -> Iterable[bytes]:
        raise AssertionError

    with pytest.raises(SystemExit) as ended:
        run_simple(
            "127.0.0.1",
            0,
            never,
            use_reloader=True,
            extra_files=["a.txt"],
            exclude_patterns=["*.pyc"],
            reloader_interval=2,
            reloader_type="stat",
        )
    assert ended.value.code == 5
    assert len(reloader.listeners) == 1
    assert reloader.options == (("a.txt",), ("*.pyc",), 2.0, "stat")


def test_the_child_serves_on_what_it_inherits_until_a_file_changes(
    reloader: PlayedReloader, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    responses = []
    with open_listeners_on() as listener:
        monkeypatch.setenv("WERKZEUG_RUN_MAIN", "true")
        reloader.descriptors = [listener.socket.fileno()]

        def on_watch(changed: Callable[[str], None]) -> None:
            def visit() -> None:
                with Client(str(listener)) as client:
                    responses.append(client.ask(request()).text)
                changed("/app/views.py")

            threading.Thread(target=visit, daemon=True).start()

        reloader.on_watch = on_watch
        with pytest.raises(SystemExit) as ended:
            run_simple("127.0.0.1", 1, app, use_reloader=True, threaded=True)
        assert ended.value.code == 3
        assert responses == ["answer"]
        # The socket is the parent's, and takes connections for the next child.
        Client(str(listener)).close()
    assert "Detected change in '/app/views.py', reloading" in caplog.text
    assert "Running on" not in caplog.text


class open_listeners_on:  # noqa: N801
    """A listener on any free port, as a context manager."""

    def __enter__(self) -> Listener:
        from pelton.config.address import TcpAddress

        (self._listener,) = open_listeners([TcpAddress("127.0.0.1", 0)])
        return self._listener

    def __exit__(self, *_: object) -> None:
        self._listener.close()
