"""The objects that hooks get, with the attributes that published config files use.

Owns names, no behaviour: what a hook changes on them changes nothing in pelton. In every process that calls
hooks; what is forked has a copy.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from pelton.compat.gunicorn.options import BY_NAME

LOGGER = logging.getLogger("pelton")


class LogView:
    """``server.log`` and ``worker.log``: pelton's logger with gunicorn's names."""

    def __init__(self) -> None:
        self.error_log = LOGGER
        self.access_log = logging.getLogger("gunicorn.access")

    @property
    def loglevel(self) -> int:
        """As a number of the standard logging."""
        return LOGGER.getEffectiveLevel()

    def log(self, level: Any, message: str, *arguments: Any, **others: Any) -> None:
        """``level`` is a number or a name."""
        if isinstance(level, str):
            level = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
        LOGGER.log(level, message, *arguments, **others)

    def reopen_files(self) -> None:
        """SIGUSR1 does it."""

    def __getattr__(self, name: str) -> Any:
        # debug, info, warning, error, exception, critical, setLevel, handlers, …
        return getattr(LOGGER, name)


class ConfigView:
    """``cfg``: gunicorn's options as they were given; what was not given is None or its default."""

    def __init__(self, options: Mapping[str, Any], settings: Any = None) -> None:
        self._options = dict(options)
        self._settings = settings

    @property
    def settings(self) -> dict[str, Any]:
        """All that was given."""
        return dict(self._options)

    @property
    def address(self) -> list[Any]:
        """Where it listens, as pairs or paths."""
        from pelton.config.address import TcpAddress, UnixAddress, parse_bind

        found: list[Any] = []
        for one in getattr(self._settings, "bind", ()):
            match parse_bind(one).address:
                case TcpAddress(host, port):
                    found.append((host, port))
                case UnixAddress(path):
                    found.append(path)
                case other:
                    found.append(str(other))
        return found

    @property
    def env(self) -> dict[str, str]:
        """The variables of raw_env."""
        raw = self._options.get("raw_env") or ()
        pairs = (one.partition("=") for one in ((raw,) if isinstance(raw, str) else raw))
        return {name: value for name, _, value in pairs}

    @property
    def is_ssl(self) -> bool:
        """Whether it has a certificate."""
        return bool(getattr(self._settings, "certfile", ()))

    def set(self, name: str, value: Any) -> None:
        """Remembered for whoever reads it; changes nothing."""
        self._options[name] = value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in BY_NAME:
            raise AttributeError(f"gunicorn has no option {name}")
        if name in self._options:
            return self._options[name]
        same = {"keepalive": "keep_alive_seconds", "timeout": "worker_timeout", "preload_app": "preload"}
        value = getattr(self._settings, same.get(name, name), None)
        if value is None and BY_NAME[name].harmless:
            return BY_NAME[name].harmless[0]
        return list(value) if name == "bind" and value is not None else value


class WorkerView:
    """``worker``: one worker process."""

    def __init__(self, number: int, settings: Any, cfg: ConfigView, log: LogView) -> None:
        self.age = number
        # gunicorn's says [booting] before the fork; a number is what everybody formats.
        self.pid = 0
        self.ppid = os.getpid()
        self.cfg = cfg
        self.log = log
        self.timeout = getattr(settings, "worker_timeout", 0)
        self.max_requests = getattr(settings, "max_requests", 0)
        self.nr = 0
        self.alive = True
        self.booted = False
        self.aborted = False
        self.sockets: list[Any] = []
        self.app: Any = None
        self.wsgi: Any = None

    def __str__(self) -> str:
        return f"<Worker {self.pid}>"

    def notify(self) -> None:
        """Signs of life are given by themselves."""


class ServerView:
    """``server``: the supervisor (gunicorn calls it arbiter)."""

    def __init__(self, settings: Any, cfg: ConfigView, log: LogView) -> None:
        self.cfg = cfg
        self.log = log
        self.pid = os.getpid()
        self.master_pid = 0
        self.num_workers = max(1, getattr(settings, "workers", 1))
        self.worker_age = 0
        self.timeout = getattr(settings, "worker_timeout", 0)
        self.proc_name = getattr(cfg, "proc_name", None) or "pelton"
        self.address = cfg.address
        self.LISTENERS: list[Any] = []
        self.WORKERS: dict[int, WorkerView] = {}
        self.app: Any = None

    @property
    def pidfile(self) -> str | None:
        """Its path, where there is one."""
        found: str | None = self.cfg.pidfile
        return found


class RequestView:
    """``req``: a request, from the environ that the application gets."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self.method: str = environ.get("REQUEST_METHOD", "")
        self.path: str = environ.get("PATH_INFO", "")
        self.query: str = environ.get("QUERY_STRING", "")
        raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
        self.uri: str = raw or (f"{self.path}?{self.query}" if self.query else self.path)
        self.fragment = ""
        self.scheme: str = environ.get("wsgi.url_scheme", "http")
        self.body = environ.get("wsgi.input")
        self.trailers: list[tuple[str, str]] = []
        version = str(environ.get("SERVER_PROTOCOL", "HTTP/1.1")).partition("/")[2].partition(".")
        self.version = tuple(int(one) if one.isdigit() else 0 for one in (version[0], version[2]))
        self.peer_addr = self.remote_addr = (environ.get("REMOTE_ADDR", ""), environ.get("REMOTE_PORT", ""))
        self._environ = environ

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Names in capitals, as gunicorn has them."""
        found = [
            (name[5:].replace("_", "-"), value)
            for name, value in self._environ.items()
            if name.startswith("HTTP_") and isinstance(value, str)
        ]
        for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if self._environ.get(name):
                found.append((name.replace("_", "-"), self._environ[name]))
        return found


class ResponseView:
    """``resp``: what the application answered."""

    def __init__(self, req: RequestView) -> None:
        self.req = req
        self.status = ""
        self.status_code = 0
        self.headers: list[tuple[str, str]] = []
        self.response_length: int | None = None
        self.sent = 0
        self.headers_sent = True
        self.must_close = False

    def begun(self, status: str, headers: list[tuple[str, str]]) -> None:
        """From start_response."""
        self.status, self.headers = status, list(headers)
        code = status[:3]
        self.status_code = int(code) if code.isascii() and code.isdigit() else 0
        for name, value in headers:
            if name.lower() == "content-length" and value.isdigit():
                self.response_length = int(value)
