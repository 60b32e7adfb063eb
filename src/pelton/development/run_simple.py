"""``pelton.run_simple``: Werkzeug's function, with its arguments, served by pelton.

Owns what each argument means (docs/flask.md has the table). Must not know Flask. Usually on the main thread;
without reloader and processes on any.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pelton import reloader
from pelton.config import worker_kinds
from pelton.config.address import Address, tcp_address
from pelton.config.settings import Settings
from pelton.config.sources import BY_NAME
from pelton.config.worker_kinds import kind_of
from pelton.development import debugger, messages
from pelton.development.application import Wrapping
from pelton.development.end import EndRequest, Why, leave
from pelton.development.port_in_use import explained
from pelton.development.settings import (
    chosen,
    chosen_kind,
    development_settings,
    warn_of_environment,
)
from pelton.exceptions import ConfigError, StartError
from pelton.logs.setup import set_up_logging
from pelton.net.opened import open_all
from pelton.process.signals import on_main_thread
from pelton.sizing.limits import bounded
from pelton.tls.material import has_certificates
from pelton.tls.ssl_context import encryption_of

LOGGER = messages.LOGGER

_CANNOT_START: Final = 1
# What others look at, too: a handler with it changes nothing here.
_NO_MATTER_IN_A_HANDLER: Final = frozenset({"protocol_version", "server_version", "sys_version", "timeout"})

# How often `run_simple` was called in this process; `pelton run` asks.
calls = 0


@dataclass(frozen=True)
class Concurrency:
    """How many requests run at the same time. ``processes``: 0 for this one.

    ``is_one``: never more than one, although the kind could.
    """

    processes: int
    kind: str
    is_one: bool = False

    @classmethod
    def of(cls, *, threaded: bool, processes: int) -> Concurrency:
        """What the two arguments mean together with what ``install`` or ``flask serve`` were given."""
        count = processes if processes > 1 else int(chosen("workers") or 0)
        kind = chosen_kind() or "threads"
        if threaded:
            return cls(count, kind)
        # One that has changed the interpreter cannot be left: a plain thread would stop everything there.
        if kind_of(development_settings({"worker_kind": kind})).preparation is not None:
            return cls(count, kind, is_one=True)
        return cls(count, "sync")


def run_simple(
    hostname: str,
    port: int,
    application: Any,
    use_reloader: bool = False,
    use_debugger: bool = False,
    use_evalex: bool = True,
    extra_files: Iterable[str] | None = None,
    exclude_patterns: Iterable[str] | None = None,
    reloader_interval: int = 1,
    reloader_type: str = "auto",
    threaded: bool = False,
    processes: int = 1,
    request_handler: type[Any] | None = None,
    static_files: Mapping[str, str | tuple[str, str]] | None = None,
    passthrough_errors: bool = False,
    ssl_context: Any = None,
) -> None:
    """Serve ``application`` during development, until Ctrl-C.

    The arguments are those of ``werkzeug.serving.run_simple`` and mean the same; ``threaded`` uses a bounded
    number of threads (as many as are needed, or ``PELTON_THREADS``), and may be combined with ``processes``.
    An address that cannot be used ends the program with code 1 after a message. Raises ConfigError for what
    cannot be done, TypeError for a port that is no number.
    """
    global calls
    calls += 1
    if not isinstance(port, int):
        raise TypeError("port must be an integer")
    encryption = encryption_of(ssl_context)
    concurrency = Concurrency.of(threaded=threaded, processes=processes)
    wrapping = Wrapping(hostname, use_debugger, use_evalex, static_files)
    settings = _settings(hostname, port, concurrency, use_debugger=use_debugger, encryption=encryption)
    set_up_logging(settings.log_level)
    messages.set_up_logger()
    if not is_reloaded_child():
        warn_of_environment()
    if request_handler is not None and not is_reloaded_child():
        _tell_ignored(request_handler)
    if settings.workers:
        from pelton.development.processes import check_kind

        # Not only in a reloader's child, which would be started for nothing.
        check_kind(settings)
    mode = _mode(settings, concurrency, reloader=use_reloader, debugger=use_debugger)
    options = None
    if use_reloader:
        options = _reloader_options(extra_files, exclude_patterns, reloader_interval, reloader_type)
    try:
        if options is not None and not is_reloaded_child():
            sys.exit(_supervise(settings, options, mode))
        why = _serve(application, settings, wrapping, mode, options, passes_errors=passthrough_errors)
    except StartError as error:
        print(explained(error, port), file=sys.stderr)
        sys.exit(_CANNOT_START)
    leave(why)


def _mode(settings: Settings, concurrency: Concurrency, *, reloader: bool, debugger: bool) -> messages.Mode:
    kind = kind_of(settings)
    return messages.Mode(
        concurrency.processes,
        kind.permits(settings),
        "connection" if kind.concurrency is worker_kinds.Concurrency.CONNECTIONS else "thread",
        is_most=kind.bounds(settings) is not None,
        reloader=reloader,
        debugger=debugger,
        tls=has_certificates(settings),
    )


def is_reloaded_child() -> bool:
    """Whether this process was started by a reloader, Werkzeug's own included."""
    return os.environ.get("WERKZEUG_RUN_MAIN") == "true"


def bind_of(hostname: str, port: int) -> str:
    """Host and port as the setting ``bind`` has them. Raises ConfigError."""
    if hostname.startswith("unix://"):
        return f"unix:{Path(hostname.removeprefix('unix://')).absolute()}"
    return str(tcp_address(hostname, port))


def _settings(
    hostname: str,
    port: int,
    concurrency: Concurrency,
    *,
    use_debugger: bool,
    encryption: Mapping[str, Any],
) -> Settings:
    given: dict[str, Any] = {
        **encryption,
        "bind": [bind_of(hostname, port)],
        "workers": concurrency.processes,
        "worker_kind": concurrency.kind,
    }
    if concurrency.is_one:
        given |= {"threads": 1, "worker_connections": 1}
    if use_debugger and concurrency.processes and "debugger_affinity" in BY_NAME:
        # A frame lives in one worker, and so its console has to be answered there.
        given["debugger_affinity"] = True
    if is_reloaded_child():
        inherited = _inherited_descriptors()
        if inherited:
            given["bind"] = [f"fd://{descriptor}" for descriptor in inherited]
    return bounded(development_settings(given))


def _serve(
    application: Any,
    settings: Settings,
    wrapping: Wrapping,
    mode: messages.Mode,
    options: Any,
    *,
    passes_errors: bool,
) -> Why:
    end_request = EndRequest()

    def announce(addresses: Iterable[Address]) -> None:
        if not is_reloaded_child():
            messages.banner(addresses, mode)
        if options is not None:
            reloader.watch(options, changed)

    def changed(path: str) -> None:
        LOGGER.info(" * Detected change in %r, reloading", path)
        end_request.end(Why.CHANGED)

    if not settings.workers:
        from pelton.development.one_process import serve_alone

        return serve_alone(
            wrapping.around(application), settings, announce, end_request, passes_errors=passes_errors
        )
    from pelton.development.processes import serve_with_processes

    if wrapping.use_debugger:
        debugger.prepare()
    return serve_with_processes(
        lambda number: wrapping.around(application, number), settings, announce, end_request
    )


def _supervise(settings: Settings, options: Any, mode: messages.Mode) -> int:
    """Be the reloader's parent, which keeps the sockets open; returns the exit code."""
    with contextlib.closing(open_all(settings)) as opened:
        messages.banner([one.address for one in opened.listeners], mode)
        return reloader.supervise(opened.listeners, options)


def _reloader_options(
    extra_files: Iterable[str] | None,
    exclude_patterns: Iterable[str] | None,
    interval: float,
    kind: str,
) -> Any:
    if not on_main_thread():
        raise ConfigError(
            "The reloader needs the main thread, where signals arrive.",
            "Pass use_reloader=False where the server runs in a thread of its own.",
        )
    return reloader.ReloaderOptions(
        tuple(extra_files or ()), tuple(exclude_patterns or ()), float(interval), kind
    )


def _inherited_descriptors() -> list[int]:
    try:
        return list(reloader.inherited_descriptors())
    except ConfigError:
        # Another reloader's child.
        return []


def overridden(handler: type[Any]) -> list[str]:
    """What a request handler changes of Werkzeug's that is not called here."""
    base = getattr(sys.modules.get("werkzeug.serving"), "WSGIRequestHandler", object)
    names = {
        name
        for one in handler.__mro__
        if one is not base and issubclass(one, base) and one is not object
        for name in vars(one)
        if not name.startswith("__")
    }
    return sorted(names - _NO_MATTER_IN_A_HANDLER)


def _tell_ignored(handler: type[Any]) -> None:
    ignored = overridden(handler)
    if not ignored:
        return
    hint = ""
    if any(name.startswith("log") for name in ignored):
        hint = (
            ' Access lines are the logger "werkzeug": logging.getLogger("werkzeug").setLevel(logging.ERROR)'
        )
    LOGGER.warning(
        "request_handler: %s belongs to Werkzeug's server; pelton does not use %s.%s",
        handler.__qualname__,
        ", ".join(ignored),
        hint,
    )
