"""Serves an application object with worker processes: ``app.run(processes=3)``, ``flask serve --workers 3``.

Owns what differs from the production command: the workers have the object that exists already and load
nothing, and access lines go through logging. The calling process becomes the supervisor until the end. Main
thread; it forks a process that may have threads of the application, as Werkzeug's own server does.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

from pelton import _engine
from pelton.config.settings import Settings
from pelton.config.worker_kinds import kind_of
from pelton.development.access_lines import FORM, AccessLines
from pelton.development.end import EndRequest, Why
from pelton.development.one_process import Announce
from pelton.exceptions import ConfigError
from pelton.net.opened import Opened, open_all
from pelton.process.control_socket import Line
from pelton.process.signals import Signals, on_main_thread
from pelton.process.systemd import Notifier
from pelton.supervisor.entry import error_of
from pelton.supervisor.rules import rules_from
from pelton.supervisor.supervisor import Supervisor

# Not those for which a supervisor in production has other meanings: a terminal that is closed (SIGHUP) has to
# end a development server.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)


def serve_with_processes(
    application_of: Callable[[int], Any], settings: Settings, announce: Announce, end_request: EndRequest
) -> Why:
    """Serve until the end; as `pelton.development.one_process.serve_alone`.

    ``application_of`` is called in each worker with its number.
    """
    if not on_main_thread():
        raise ConfigError(
            "Worker processes can only be started from the main thread.",
            "Call app.run() there, or without processes.",
        )
    check_kind(settings)
    with contextlib.ExitStack() as stack:
        lines = None
        if settings.access_log is None:
            lines = AccessLines()
            stack.callback(lines.close)
            settings = replace(settings, access_log=lines.path, access_log_format=FORM)
        signals = stack.enter_context(_Noting(_SIGNALS, shared=[signal.SIGCHLD]))
        opened = open_all(settings)
        stack.callback(opened.close)
        # The supervisor understands signals only, and this one asks it to let requests finish.
        end_request.heard_by(lambda: os.kill(os.getpid(), signal.SIGTERM))
        programs = _Programs(application_of, settings, opened, lines, os.getpid())

        def begun() -> None:
            announce([one.address for one in opened.listeners])

        end = Supervisor(
            programs,
            settings,
            rules_from(settings),
            opened,
            signals,
            Notifier(None),
            begun,
            # The program may have children of its own, and wants to know how they end.
            owns_process=False,
        ).run()
        # Once more: one that comes from now on is the program's own.
        end_request.heard_by(lambda: None)
    if end.what or end.traceback:
        raise error_of(end)
    return end_request.why or signals.why


def check_kind(settings: Settings) -> None:
    """Raise ConfigError for a kind that has changed this interpreter for the application."""
    if kind_of(settings).preparation is None:
        return
    name = settings.worker_kind
    raise ConfigError(
        f"In development, {name} cannot be combined with worker processes: they are forked from the process "
        "that has loaded the application, which stays as their supervisor. A supervisor must wait and fork "
        f"like any other program, and {name} has patched this process or runs its loop in it.",
        "Leave one of the two out, or use the command for production, such as: "
        f"pelton shop:app -k {name} --workers 2",
    )


class _Noting(Signals):
    """Remembers which signal asked for the end."""

    why = Why.ENDED

    def received(self) -> list[signal.Signals]:
        """See `Signals.received`."""
        found = super().received()
        for number in found:
            if self.why is Why.ENDED and number != signal.SIGCHLD:
                self.why = Why.TERMINATED if number == signal.SIGTERM else Why.INTERRUPTED
        return found


class _Programs:
    """See `pelton.supervisor.programs.Programs`."""

    def __init__(
        self,
        application_of: Callable[[int], Any],
        settings: Settings,
        opened: Opened,
        lines: AccessLines | None,
        supervisor: int,
    ) -> None:
        self._application_of = application_of
        self._settings = settings
        self._opened = opened
        self._lines = lines
        self._supervisor = supervisor

    def front(self, line: Line, bodies: int, doorbell: int, pulse: int) -> int:
        """The front, and the thread that logs its access lines."""
        from pelton.front.process import FrontDescriptors, run

        descriptors = FrontDescriptors(bodies, doorbell, pulse)
        if self._lines is not None:
            self._lines.start()
        try:
            return run(line, self._opened, descriptors, self._settings, self._supervisor)
        finally:
            if self._lines is not None:
                self._lines.close()

    def worker(
        self, number: int, line: Line, link: tuple[int, int, int, int], settings: Settings | None = None
    ) -> int:
        """A worker with the object that was there before the fork.

        ``settings``: if not those of the start.
        """
        from pelton.worker.process import Inherited, LinkEnd, run

        around = Inherited(settings or self._settings, self._opened.listeners, self._supervisor)
        return run(number, line, LinkEnd(*link), around, lambda: self._application_of(number))

    def template(self, line: Line, settings: Settings | None = None) -> NoReturn:
        """Never asked for: everything is loaded already."""
        raise AssertionError("an object that is served has no template process")

    def link_memory(self, permits: int | None = None) -> int:
        """See `Programs`. ``permits``: if not those of the start."""
        return _engine.link_memory(permits or kind_of(self._settings).permits(self._settings))

    def body_memory(self) -> int:
        """See `Programs`."""
        return _engine.body_memory()
