"""``penstock.start`` and ``penstock.run``: an application is served by this process.

Owns the order of the start and the reaction to signals. Must not know the command line: errors are raised,
not printed. `start` may be called on any thread; `run` reacts to signals when it is called on the main
thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from signal import SIGINT
from typing import Any

from penstock import _engine
from penstock.config.address import DEFAULT_HOST, DEFAULT_PORT, parse_address, tcp_address
from penstock.config.errors import ConfigError, EndedError, StartError
from penstock.config.settings import Settings, settings_from
from penstock.config.units import format_seconds
from penstock.listeners import open_listeners
from penstock.logs.access import OFF, open_access_log
from penstock.logs.setup import set_up_logging
from penstock.running import Running
from penstock.signals import StopSignals, on_main_thread
from penstock.version import VERSION
from penstock.worker.worker import Application, build_runner

LOGGER = logging.getLogger("penstock")


def start(
    app: Application,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    *,
    threads: int = Settings.threads,
    bind: str | Sequence[str] | None = None,
    **settings: Any,
) -> Running:
    """Serve ``app`` in the background and return at once, with connections already accepted.

    ``host``, ``port``: where to listen, by default only for this machine on port 8000; port 0 takes any
    free port (see `Running.port`). ``bind``: one or more addresses as the command's ``--bind`` takes them
    (``"[::1]:8000"``, ``"unix:/run/app.sock"``), instead of host and port. ``threads``: how many requests
    run at the same time, 8. ``settings``: any other setting by its name, as a number (bytes, seconds) or a
    text with a unit (``max_body_bytes="10MiB"``).

    Raises ConfigError for a wrong setting, StartError when an address is in use or the like, TypeError when
    ``app`` cannot be called.
    """
    return start_with(app, _settings(host, port, threads, bind, settings))


def run(
    app: Application,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    *,
    threads: int = Settings.threads,
    bind: str | Sequence[str] | None = None,
    on_start: Callable[[Running], object] | None = None,
    **settings: Any,
) -> None:
    """Serve ``app`` until Ctrl-C or SIGTERM, then let running requests finish.

    Takes what `start` takes and raises what it raises. ``on_start`` is called once, with the `Running`,
    when connections are accepted; a test that calls ``run`` in a thread learns the port from it and ends it
    with ``running.close()``. On a thread other than the main one, signals are left alone. Unless logging is
    configured already, messages go to the standard error output.
    """
    run_with(app, _settings(host, port, threads, bind, settings), on_start)


def start_with(app: Application, settings: Settings) -> Running:
    """As `start`, with all settings in one object."""
    if not callable(app):
        raise TypeError(
            f"app is not callable: {app!r}. Pass the application object itself, such as Flask(__name__)."
        )
    addresses = [parse_address(text) for text in settings.bind]
    if not addresses:
        raise ConfigError("There is no address to listen on.")
    _check_spool_directory(settings.spool_directory)
    with contextlib.ExitStack() as undo:
        descriptor = open_access_log(settings.access_log)
        if descriptor != OFF:
            undo.callback(os.close, descriptor)
        settings = replace(settings, access_log_descriptor=descriptor)
        listeners = open_listeners(addresses)
        for listener in listeners:
            undo.callback(listener.close)
        try:
            link = _engine.Link(settings.threads)
            front = _engine.Front(settings, [one.socket.fileno() for one in listeners], link)
        except ValueError as error:
            raise ConfigError(f"A setting is out of range: {error}") from error
        except OSError as error:
            raise StartError(f"The front cannot start: {error.strerror or error}.") from error
        undo.callback(front.stop)
        runner = build_runner(app, link, listeners, settings)
        undo.callback(runner.stop)
        running = Running(front, runner, listeners, settings)
        running._start()
        for listener in listeners:
            listener.hand_over()
        undo.pop_all()
    return running


def run_with(
    app: Application, settings: Settings, on_start: Callable[[Running], object] | None = None
) -> None:
    """As `run`, with all settings in one object."""
    set_up_logging(settings.log_level)
    with contextlib.ExitStack() as stack:
        # Before the start, so that a signal in the middle of it is not lost.
        signals = stack.enter_context(StopSignals()) if on_main_thread() else None
        running = start_with(app, settings)
        stack.callback(running.stop)
        _announce(running)
        if on_start is not None:
            on_start(running)
        if signals is None:
            running.wait()
        else:
            _wait_for_signals(running, signals)
        if running.failed:
            raise EndedError(
                "The front has ended by a fault of penstock; the log says more. Please report it."
            )


def _settings(
    host: str, port: int, threads: int, bind: str | Sequence[str] | None, others: dict[str, Any]
) -> Settings:
    if bind is None:
        bind = str(tcp_address(host, port))
    return settings_from({"bind": bind, "threads": threads, **others})


def _announce(running: Running) -> None:
    threads = running.settings.threads
    LOGGER.info(
        "penstock %s listens on %s (worker kind: %s, %d thread%s, pid %d)%s",
        VERSION,
        " and ".join(running.addresses),
        running.kind,
        threads,
        "" if threads == 1 else "s",
        os.getpid(),
        "; Ctrl-C stops it." if on_main_thread() else ".",
    )


def _wait_for_signals(running: Running, signals: StopSignals) -> None:
    """Return when penstock has ended, or when it has to end at once."""

    def tell_end() -> None:
        running.wait()
        signals.wake()

    threading.Thread(target=tell_end, name="penstock-end", daemon=True).start()
    received = signals.wait()
    if received is None:
        return
    limit = running.settings.graceful_timeout
    LOGGER.info(
        "%s: no new connections; running requests may finish within %s%s.",
        received.name,
        format_seconds(limit),
        " (Ctrl-C again stops at once)" if received == SIGINT else "",
    )
    running.drain()
    deadline = time.monotonic() + limit
    while (left := deadline - time.monotonic()) > 0:
        again = signals.wait(left)
        if again is None:
            break
        # Not for SIGTERM: a terminal and a parent process often send one of each for the same Ctrl-C.
        if again == SIGINT:
            LOGGER.warning("SIGINT: stops at once; running requests are cut off.")
            return
    if running.wait(0):
        LOGGER.info("All requests have finished.")
    else:
        LOGGER.warning("The %s are over; the requests that still run are cut off.", format_seconds(limit))


def _check_spool_directory(directory: str) -> None:
    # Found now, and not by the first visitor with a large upload.
    if not Path(directory).is_dir():
        raise StartError(
            f'The spool directory "{directory}" does not exist.', "Set it with --spool-directory."
        )
    if not os.access(directory, os.W_OK | os.X_OK):
        raise StartError(
            f'The spool directory "{directory}" is not writable.', "Set it with --spool-directory."
        )
