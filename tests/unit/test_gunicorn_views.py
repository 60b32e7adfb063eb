"""The objects that hooks get, and the application with hooks around it."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from pelton.compat.gunicorn.hooks import NO_HOOKS, Hooks, hooks_of
from pelton.compat.gunicorn.log_config import configure_logging
from pelton.compat.gunicorn.requests import Observed
from pelton.compat.gunicorn.views import ConfigView, LogView, RequestView, ServerView, WorkerView
from pelton.config.settings import settings_from
from pelton.exceptions import ConfigError, StartError

SETTINGS = settings_from({"workers": 3, "bind": ["unix:/run/x", "[::1]:80"], "worker_timeout": 12})
ENVIRON = {
    "REQUEST_METHOD": "POST",
    "PATH_INFO": "/a b",
    "QUERY_STRING": "c=d",
    "SERVER_PROTOCOL": "HTTP/1.0",
    "REMOTE_ADDR": "10.0.0.1",
    "HTTP_X_ITEM": "7",
    "CONTENT_TYPE": "text/plain",
    "CONTENT_LENGTH": "",
    "wsgi.url_scheme": "http",
    "wsgi.input": io.BytesIO(),
}


@pytest.fixture
def worker() -> WorkerView:
    return WorkerView(4, SETTINGS, ConfigView({}, SETTINGS), LogView())


def test_nothing_is_called_where_nothing_is_configured() -> None:
    assert hooks_of(settings_from({})) is NO_HOOKS
    assert not NO_HOOKS
    NO_HOOKS.starting(SETTINGS)
    NO_HOOKS.listens([], 1)
    NO_HOOKS.forking(1)
    NO_HOOKS.forked(1, 2)
    NO_HOOKS.died(1, 2)
    NO_HOOKS.in_worker(1)
    NO_HOOKS.leaving(1)
    NO_HOOKS.workers_changed(7)
    assert NO_HOOKS.serving(1, "application") == "application"


def test_the_configuration() -> None:
    cfg = ConfigView({"raw_env": ["A=1", "B=2=3"], "proc_name": "shop", "timeout": 9}, SETTINGS)
    assert cfg.workers == 3
    assert cfg.bind == ["unix:/run/x", "[::1]:80"]
    assert cfg.address == ["/run/x", ("::1", 80)]
    assert cfg.env == {"A": "1", "B": "2=3"}
    assert (cfg.proc_name, cfg.timeout, cfg.backlog, cfg.pidfile) == ("shop", 9, 2048, None)
    assert ConfigView({}, SETTINGS).timeout == 12
    cfg.set("timeout", 3)
    assert cfg.timeout == 3
    assert not cfg.is_ssl
    with pytest.raises(AttributeError):
        cfg.no_such  # noqa: B018
    server = ServerView(SETTINGS, cfg, LogView())
    assert (server.num_workers, server.proc_name, server.pidfile) == (3, "shop", None)


def test_the_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("pelton"), "propagate", True)
    log = LogView()
    with caplog.at_level("DEBUG", "pelton"):
        log.info("one %s", 1)
        log.exception("two")
        log.log("warning", "three")
        log.log(logging.DEBUG, "four")
        log.error_log.critical("five")
        log.reopen_files()
        assert log.loglevel == logging.DEBUG
    assert [one.getMessage() for one in caplog.records] == ["one 1", "two", "three", "four", "five"]


def test_a_request() -> None:
    request = RequestView(dict(ENVIRON))
    assert (request.method, request.path, request.query, request.uri) == ("POST", "/a b", "c=d", "/a b?c=d")
    assert (request.version, request.scheme, request.remote_addr[0]) == ((1, 0), "http", "10.0.0.1")
    assert request.headers == [("X-ITEM", "7"), ("CONTENT-TYPE", "text/plain")]


class Pieces:
    def __init__(self) -> None:
        self.closed = False

    def __iter__(self) -> Any:
        yield b"one"
        yield b"three"

    def close(self) -> None:
        self.closed = True


def application_of(answer: Iterable[bytes]) -> Callable[..., Iterable[bytes]]:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("201 Created", [("Content-Length", "8")])
        return answer

    return application


def test_requests(worker: WorkerView) -> None:
    seen: list[Any] = []

    def before(worker: WorkerView, request: RequestView) -> None:
        seen.append((worker.nr, request.path))

    def after(worker: WorkerView, request: RequestView, environ: Any, response: Any) -> None:
        seen.append((response.status, response.status_code, response.sent, response.response_length))

    pieces = Pieces()
    observed = Observed(application_of(pieces), worker, before, after)
    answer = observed(dict(ENVIRON), lambda *_: None)
    assert seen == [(1, "/a b")]
    assert b"".join(answer) == b"onethree"
    assert len(seen) == 1
    answer.close()  # type: ignore[attr-defined]
    assert pieces.closed
    assert seen[1:] == [("201 Created", 201, 8, 8)]
    # Complete answers stay what they are, so that their length is told.
    whole = [b"12345678"]
    assert Observed(application_of(whole), worker, None, after)(dict(ENVIRON), lambda *_: None) is whole
    assert seen[2:] == [("201 Created", 201, 8, 8)]
    # Without post_request nothing is in between.
    assert Observed(application_of(pieces), worker, before, None)(dict(ENVIRON), lambda *_: None) is pieces


def test_a_failing_application_is_told_too(worker: WorkerView) -> None:
    def fail(environ: Any, start_response: Any) -> Iterable[bytes]:
        raise LookupError

    seen: list[str] = []
    observed = Observed(fail, worker, None, lambda *arguments: seen.append(arguments[1].path))
    with pytest.raises(LookupError):
        observed(dict(ENVIRON), lambda *_: None)
    assert seen == ["/a b"]


def test_the_application_shows_through(worker: WorkerView) -> None:
    application = application_of([])
    application.config = {"a": 1}  # type: ignore[attr-defined]
    assert Observed(application, worker, None, None).config == {"a": 1}


def test_a_failing_start(caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no luck")

    hooks = Hooks({"on_starting": fail, "when_ready": fail})
    with pytest.raises(StartError, match=r"on_starting failed:(.|\n)*no luck"):
        hooks.starting(SETTINGS)
    hooks.ready()


def test_the_later_source_counts() -> None:
    first, second = (lambda *_: 1), (lambda *_: 2)
    both = Hooks({"on_exit": first, "when_ready": first}, {"a": 1}).overridden_by(Hooks({"on_exit": second}))
    assert both.functions == {"on_exit": second, "when_ready": first}
    assert both.options == {"a": 1}


def test_workers_that_come_and_go() -> None:
    said: list[Any] = []
    hooks = Hooks(
        {
            "pre_fork": lambda server, worker: said.append(("fork", worker.age)),
            "child_exit": lambda server, worker: said.append(
                ("exit", worker.pid, worker.pid in server.WORKERS)
            ),
            "nworkers_changed": lambda server, new, old: said.append((new, old)),
        }
    )
    hooks.starting(SETTINGS)
    hooks.listens([], 2)
    hooks.workers_changed(2)
    hooks.forking(1)
    hooks.forked(1, 100)
    hooks.workers_changed(3)
    hooks.died(1, 100)
    assert said == [(2, None), ("fork", 1), (3, 2), ("exit", 100, True)]


@pytest.mark.usefixtures("loggers")
@pytest.mark.parametrize("kind", ["dict", "json", "ini"])
def test_logging(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "log"
    if kind == "ini":
        file = tmp_path / "logging.ini"
        file.write_text(
            "[loggers]\nkeys=root,gunicorn\n[handlers]\nkeys=file\n[formatters]\nkeys=short\n"
            "[logger_root]\nhandlers=\n[logger_gunicorn]\nqualname=gunicorn.error\nhandlers=file\nlevel=INFO\n"
            f"[handler_file]\nclass=FileHandler\nargs=({str(target)!r},)\nformatter=short\n"
            "[formatter_short]\nformat=> %(message)s\n"
        )
        configure_logging({"logconfig": str(file)})
    else:
        config = {
            "formatters": {"short": {"format": "> %(message)s"}},
            "handlers": {
                "f": {"class": "logging.FileHandler", "filename": str(target), "formatter": "short"}
            },
            "loggers": {"gunicorn.error": {"handlers": ["f"], "level": "INFO", "propagate": False}},
        }
        if kind == "json":
            import json

            (tmp_path / "l.json").write_text(json.dumps(config))
            configure_logging({"logconfig_json": str(tmp_path / "l.json")})
        else:
            configure_logging({"logconfig_dict": config})
            assert set(config) == {"formatters", "handlers", "loggers"}, "it is left as it was"
    logging.getLogger("pelton").info("hello")
    logging.getLogger("gunicorn.error").info("again")
    assert target.read_text() == "> hello\n> again\n"


@pytest.mark.parametrize(
    "options",
    [
        {"logconfig": "/no/such.ini"},
        {"logconfig_json": "/no/such.json"},
        {"logconfig_dict": {"handlers": {"x": {"class": "no.such.Handler"}}}},
        {"logconfig_dict": {"version": 7}},
    ],
)
@pytest.mark.usefixtures("loggers")
def test_wrong_logging(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="configuration of logging is refused"):
        configure_logging(options)


@pytest.fixture
def loggers() -> Iterable[None]:
    """What they were is put back."""
    kept = [
        (one, list(one.handlers), one.level, one.propagate)
        for one in map(logging.getLogger, ("", "pelton", "gunicorn.error"))
    ]
    yield
    for one, handlers, level, propagate in kept:
        for handler in one.handlers:
            if handler not in handlers:
                handler.close()
        one.handlers, one.propagate = handlers, propagate
        one.setLevel(level)
