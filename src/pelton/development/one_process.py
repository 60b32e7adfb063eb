"""Serves an application in this process, until Ctrl-C, SIGTERM or another request to end.

Owns the signals while it serves, as far as the program has no handlers of its own. On another thread than the
main one there are none, and it serves until the program ends.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from pelton.api import start_with
from pelton.config.address import Address
from pelton.config.settings import Settings
from pelton.development.access_lines import FORM, AccessLines
from pelton.development.application import PassedThrough
from pelton.development.end import EndRequest, Why
from pelton.front.running import Running
from pelton.process.signals import Signals, on_main_thread

Announce = Callable[[Iterable[Address]], object]


def serve_alone(
    application: Any,
    settings: Settings,
    announce: Announce,
    end_request: EndRequest,
    *,
    passes_errors: bool = False,
) -> Why:
    """Serve until the end; ``announce`` is called once, with the addresses, when connections are accepted.

    ``passes_errors``: the first exception of the application ends it, and is raised here. Raises
    PeltonError when it cannot start.
    """
    passed = PassedThrough(application, lambda: end_request.end(Why.RAISED)) if passes_errors else None
    with contextlib.ExitStack() as stack:
        lines = None
        if settings.access_log is None:
            lines = AccessLines()
            # Registered first, so done last: the front writes its last lines when it stops.
            stack.callback(lines.close)
            settings = replace(settings, access_log=lines.path, access_log_format=FORM)
        # Before the start, so that a signal in the middle of it is not lost.
        signals = stack.enter_context(_signals()) if on_main_thread() else None
        if lines is not None:
            lines.start()
        running = start_with(passed or application, settings)
        stack.callback(running.stop)
        announce([one.address for one in running.listeners])
        why = _wait(running, end_request, signals)
        if why is not Why.RAISED:
            _drain(running, signals)
    if why is Why.RAISED and passed is not None and passed.error is not None:
        raise passed.error
    return why


def _signals() -> Signals:
    # A handler that the program has set itself is what it wants.
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return Signals([signal.SIGINT] if ours else [], unclaimed=[signal.SIGTERM])


def _wait(running: Running, end_request: EndRequest, signals: Signals | None) -> Why:
    asked = threading.Event()

    def wake() -> None:
        asked.set()
        if signals is not None:
            signals.wake()

    def tell_end() -> None:
        running.wait()
        wake()

    end_request.heard_by(wake)
    threading.Thread(target=tell_end, name="pelton-end", daemon=True).start()
    while True:
        if signals is None:
            asked.wait()
        elif (received := signals.wait()) is not None:
            return Why.INTERRUPTED if received == signal.SIGINT else Why.TERMINATED
        if end_request.why is not None:
            return end_request.why
        if running.wait(0):
            return Why.ENDED


def _drain(running: Running, signals: Signals | None) -> None:
    """Let what runs finish within the graceful timeout; another Ctrl-C is the end of patience."""
    running.drain()
    deadline = time.monotonic() + running.settings.graceful_timeout
    while not running.wait(0) and (left := deadline - time.monotonic()) > 0:
        if signals is None:
            running.wait(left)
        elif signals.wait(left) == signal.SIGINT:
            return
