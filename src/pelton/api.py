"""``pelton.start`` and ``pelton.run``: an application is served by this process.

Owns the order of the start and the reaction to signals. Must not know the command line: errors are raised,
not printed. `start` may be called on any thread; `run` reacts to signals when it is called on the main
thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from signal import SIGHUP, SIGINT, SIGTERM, SIGUSR1
from signal import Signals as Signal
from typing import Any

from pelton import _engine
from pelton.config.address import DEFAULT_HOST, DEFAULT_PORT, tcp_address
from pelton.config.bounds import Bounds
from pelton.config.calls import check_call
from pelton.config.settings import Settings, check_one_process, settings_from
from pelton.config.units import format_seconds
from pelton.config.worker_kinds import kind_of
from pelton.exceptions import ConfigError, EndedError, StartError
from pelton.front.running import Running
from pelton.front.settings import front_settings
from pelton.logs.level_counts import LevelCounts
from pelton.logs.setup import LOG_SETTINGS, set_up_logs
from pelton.net.opened import open_all
from pelton.observe.inspector import Inspector
from pelton.observe.runtime import named_by_user
from pelton.process.signals import STOP, Signals, heeds_interrupts, on_main_thread
from pelton.process.systemd import Notifier
from pelton.sizing.limits import bounded
from pelton.static.flask_folders import static_folders
from pelton.static.settings import AUTO
from pelton.system import keep_one_heap_if_limited
from pelton.tls.certificates import certificates_of
from pelton.tls.material import has_certificates
from pelton.traces.required import require_traces
from pelton.version import VERSION
from pelton.worker.worker import Application, build_runner

LOGGER = logging.getLogger("pelton")


def start(
    app: Application,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    *,
    threads: int | str | Bounds = Settings.threads,
    bind: str | Sequence[str] | None = None,
    **settings: Any,
) -> Running:
    """Serve ``app`` in the background and return at once, with connections already accepted.

    ``host``, ``port``: where to listen, by default only for this machine on port 8000; port 0 takes any
    free port (see `Running.port`). ``bind``: one or more addresses as the command's ``--bind`` takes them
    (``"[::1]:8000"``, ``"unix:/run/app.sock"``), instead of host and port. ``threads``: how many requests
    run at the same time; by default as many as are needed, ``"4:64"`` gives bounds, a number is exact.
    ``settings``: any other setting by its name, as a number (bytes, seconds) or a text with a unit
    (``max_body_bytes="10MiB"``).

    Raises ConfigError for a wrong setting, StartError when an address is in use or the like, TypeError when
    ``app`` cannot be called.
    """
    checked = _settings(host, port, threads, bind, settings)
    check_call(checked, serves_alone=False)
    return start_with(app, checked)


def run(
    app: Application,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    *,
    threads: int | str | Bounds = Settings.threads,
    bind: str | Sequence[str] | None = None,
    on_start: Callable[[Running], object] | None = None,
    **settings: Any,
) -> None:
    """Serve ``app`` until Ctrl-C or SIGTERM, then let running requests finish.

    Takes what `start` takes and raises what it raises. ``on_start`` is called once, with the `Running`,
    when connections are accepted; a test that calls ``run`` in a thread learns the port from it and ends it
    with ``running.close()``. SIGUSR1 opens the access log again, unless somebody handles it already. On a
    thread other than the main one, signals are left alone. Unless logging is configured already, messages go
    to the standard error output.
    """
    checked = _settings(host, port, threads, bind, settings)
    check_call(checked, serves_alone=True)
    run_with(app, checked, on_start)


def start_with(app: Application, settings: Settings, *, owns_process: bool = False) -> Running:
    """As `start`, with all settings in one object. ``owns_process``: this process does nothing else."""
    if not callable(app):
        raise TypeError(
            f"app is not callable: {app!r}. Pass the application object itself, such as Flask(__name__)."
        )
    check_one_process(settings)
    require_traces(settings)
    if owns_process:
        keep_one_heap_if_limited()
    settings = bounded(settings)
    with contextlib.ExitStack() as undo:
        opened = open_all(settings)
        undo.callback(opened.close)
        counts = undo.enter_context(LevelCounts(settings, opened.statsd))
        settings = front_settings(settings, opened)
        try:
            link = _engine.Link(kind_of(settings).permits(settings))
            certificates = certificates_of(settings, opened)
            if certificates is not None:
                undo.callback(certificates.close)
            front = _engine.Front(
                settings,
                opened.described,
                link,
                tls=None if certificates is None else certificates.tls,
                h2c=opened.h2c,
            )
        except ValueError as error:
            raise ConfigError(f"A setting is out of range: {error}") from error
        except OSError as error:
            raise StartError(f"The front cannot start: {error.strerror or error}.") from error
        undo.callback(front.stop)
        inspector = Inspector("this process", settings) if opened.admin_listeners else None
        runner = build_runner(app, link, opened.listeners, settings, inspector=inspector)
        undo.callback(runner.stop)
        running = Running(
            front,
            runner,
            opened.listeners,
            settings,
            opened.admin_listeners,
            counts=counts,
            owns_process=owns_process,
            redirect_listeners=opened.redirect_listeners,
            agent_listeners=opened.agent_listeners,
            certificates=certificates,
            inspector=inspector,
        )
        running._start()
        if AUTO in settings.static:
            for prefix, folder in static_folders(app):
                front.mount(prefix, os.fsencode(folder))
        for listener in opened.all_listeners:
            listener.hand_over()
        opened.close_outputs()
        undo.pop_all()
    return running


def run_with(
    app: Application, settings: Settings, on_start: Callable[[Running], object] | None = None
) -> None:
    """As `run`, with all settings in one object."""
    if not set_up_logs(settings):
        for name in LOG_SETTINGS:
            if getattr(settings, name) != getattr(Settings, name):
                LOGGER.warning("%s has no effect: logging was configured before.", name)
    # On another thread this is a part of a program that is the service itself.
    notifier = Notifier.from_environment() if on_main_thread() else Notifier(None)
    with contextlib.ExitStack() as stack:
        # Before the start, so that a signal in the middle of it is not lost.
        signals = (
            stack.enter_context(Signals(STOP, unclaimed=_others(settings))) if on_main_thread() else None
        )
        running = start_with(app, settings, owns_process=on_main_thread())
        stack.callback(running.stop)
        _announce(running)
        notifier.ready("serves in one process")
        if on_start is not None:
            on_start(running)
        if signals is None:
            running.wait()
        else:
            _wait_for_signals(running, signals, notifier)
        if running.failed:
            raise EndedError("The front has ended by a fault of pelton; the log says more. Please report it.")


def _settings(
    host: str,
    port: int,
    threads: int | str | Bounds,
    bind: str | Sequence[str] | None,
    others: dict[str, Any],
) -> Settings:
    if bind is None:
        bind = str(tcp_address(host, port))
    return settings_from({"bind": bind, "threads": threads, **others})


def _others(settings: Settings) -> list[Signal]:
    """Signals besides those that stop it."""
    # On a terminal, HUP says that it is being closed.
    reads_again = has_certificates(settings) and not os.isatty(0)
    return [SIGUSR1, SIGHUP] if reads_again else [SIGUSR1]


def _announce(running: Running) -> None:
    LOGGER.info(
        "pelton %s listens on %s (worker kind: %s, pid %d)%s",
        VERSION,
        " and ".join(running.addresses),
        kind_of(running.settings).description(running.settings),
        os.getpid(),
        "; Ctrl-C stops it." if heeds_interrupts() else ".",
    )
    for listener in running.redirect_listeners:
        LOGGER.info("sends on to HTTPS from %s", listener)
    for listener in named_by_user(running.admin_listeners):
        LOGGER.info("metrics and health checks are answered on %s", listener)


def _wait_for_signals(running: Running, signals: Signals, notifier: Notifier) -> None:
    """Return when pelton has ended, or when it has to end at once."""
    running._call_when_ended(signals.wake)
    received = _wait_for_stop(running, signals, notifier)
    if received is None:
        return
    notifier.stopping()
    delay = running.settings.drain_delay
    if received == SIGTERM and delay > 0:
        running.set_ready(False)
        LOGGER.info("SIGTERM: not ready any more; accepts connections for another %s.", format_seconds(delay))
        received = _wait_out(running, signals, delay) or received
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


def _wait_out(running: Running, signals: Signals, delay: float) -> Signal | None:
    """Wait for ``delay`` seconds; the signal or None if something cuts it short."""
    deadline = time.monotonic() + delay
    while (left := deadline - time.monotonic()) > 0:
        received = signals.wait(left)
        if received not in (SIGUSR1, SIGHUP):
            return received
        _obey(running, received)
    return None


def _obey(running: Running, received: Signal) -> None:
    if received == SIGHUP:
        running.read_certificates()
    else:
        running.reopen_logs()


def _wait_for_stop(running: Running, signals: Signals, notifier: Notifier) -> Signal | None:
    """The signal that asks for the end; None when that has come by itself."""
    interval = notifier.watchdog_interval
    while True:
        received = signals.wait(interval)
        if received in (SIGUSR1, SIGHUP):
            _obey(running, received)
        elif received is not None or running.wait(0):
            return received
        else:
            notifier.watchdog()
