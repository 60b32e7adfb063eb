"""The life of a worker process: load the application, serve it over one link after another, end.

Owns the worker's end of the control socket, on the main thread; requests run on the runner's threads. Must
not know how workers are chosen or replaced: that is the supervisor's.

Runs in a process that was just forked, by the supervisor or by a template. Ends by returning its exit code.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pelton import _engine
from pelton.compat.gunicorn.hooks import hooks_of
from pelton.config.settings import Settings
from pelton.config.worker_kinds import kind_of
from pelton.diagnostics.load_watch import LoadWatch
from pelton.exceptions import ConfigError
from pelton.loader import ApplicationError
from pelton.logs.setup import label_process
from pelton.net.listeners import Listener
from pelton.observe.channel import Channel
from pelton.observe.inspector import Inspector
from pelton.process.control_socket import Line, LineClosedError, Message, shortened
from pelton.process.forks import leave_if_child
from pelton.process.native_threads import close
from pelton.process.readiness import wait_readable
from pelton.process.signals import Signals
from pelton.static.flask_folders import static_folders
from pelton.static.settings import AUTO
from pelton.worker.runners.base import Runner, stack_of_straggler
from pelton.worker.sessions import look_after_sessions
from pelton.worker.worker import build_runner

LOGGER = logging.getLogger("pelton")

ENDED, FAILED, NO_APPLICATION = 0, 1, 3

# At the end, for threads whose request is just about to finish. Nobody reads their responses any more.
_LAST_MOMENT = 1.0
_LONGEST_ERROR = 2_000


@dataclass(frozen=True)
class LinkEnd:
    """The worker's end of a link, as descriptors."""

    memory: int
    bodies: int
    doorbell: int
    socket: int

    def close(self) -> None:
        """Close them."""
        for descriptor in (self.memory, self.bodies, self.doorbell, self.socket):
            close(descriptor)


@dataclass(frozen=True)
class Inherited:
    """What is the same for all workers. ``supervisor``: its pid."""

    settings: Settings
    listeners: Sequence[Listener]
    supervisor: int


def run(number: int, line: Line, end: LinkEnd, around: Inherited, load: Callable[[], Any]) -> int:
    """Be worker ``number`` until the supervisor says stop, or is gone; returns the exit code.

    ``load`` gives the application or raises ApplicationError.
    """
    _engine.die_with_parent()
    if os.getppid() != around.supervisor:
        # It ended before that was in force.
        return FAILED
    line.keep()
    label_process(f"worker {number}")
    origin = _engine.Origin()
    hooks = hooks_of(around.settings)
    with contextlib.suppress(Exception):
        # For segmentation faults, and for the SIGABRT that ends a worker whose interpreter is stuck.
        faulthandler.enable()
    try:
        line.send({"event": "hello", "pid": os.getpid()})
        try:
            kind_of(around.settings).prepare(around.settings)
            with LoadWatch(f"worker {number}"):
                hooks.in_worker(number)
                loaded = load()
                application = hooks.serving(number, loaded)
                # One that the application has forked at its import would be a second worker over one link.
                leave_if_child(origin)
            look_after_sessions(number, around.settings)
        except (ApplicationError, ConfigError) as error:
            what, trace = (
                shortened(str(error), _LONGEST_ERROR),
                shortened(getattr(error, "traceback", "") or ""),
            )
            line.send({"event": "failed", "what": what, "traceback": trace})
            return NO_APPLICATION
        # From now on SIGTERM is a request to end; until now it ended a process that nobody needed yet.
        with Signals((signal.SIGTERM,)) as signals:
            folders = static_folders(loaded) if AUTO in around.settings.static else []
            return _Worker(number, line, around, application, folders).serve(end, signals)
    except LineClosedError:
        LOGGER.error("The supervisor has gone; this worker ends.")
        return FAILED
    finally:
        hooks.leaving(number)


class _Worker:
    """A worker that has its application. ``folders``: the paths and folders of its static files."""

    def __init__(
        self,
        number: int,
        line: Line,
        around: Inherited,
        application: Any,
        folders: Sequence[tuple[str, str]],
    ) -> None:
        self._name = f"worker {number}"
        self._line = line
        self._around = around
        self._application = application
        self._folders = list(folders)
        self._link: _engine.Link
        self._runner: Runner
        self._inspector: Inspector | None = None
        self._channel: Channel | None = None
        if around.settings.admin_bind:
            self._inspector = Inspector(self._name, around.settings)
            self._channel = Channel(number, self._inspector.tell)

    def serve(self, end: LinkEnd, signals: Signals) -> int:
        """Say ready, then do what the supervisor says. Raises LineClosedError when it is gone."""
        self._join(end)
        if self._channel is not None:
            self._channel.start()
        self._line.send({"event": "ready", "static": self._folders})
        while True:
            readable = wait_readable([self._line.fileno(), signals.fileno()])
            if signals.fileno() in readable and signals.received():
                LOGGER.debug("SIGTERM: asks the supervisor for a successor.")
                self._line.send({"event": "leaving"})
            if self._line.fileno() not in readable:
                continue
            message = self._line.receive()
            match message.fields.get("do") if message is not None else None:
                case "attach" if message is not None and len(message.descriptors) == 4:
                    self._attach(message)
                case "stop":
                    self._stop()
                    return ENDED
                case other:
                    LOGGER.warning("The supervisor says something unknown: %r.", other)

    def _join(self, end: LinkEnd) -> None:
        settings = self._around.settings
        try:
            self._link = _engine.Link.joined(
                kind_of(settings).permits(settings), end.memory, end.bodies, end.doorbell, end.socket
            )
        finally:
            end.close()
        self._runner = build_runner(
            self._application,
            self._link,
            self._around.listeners,
            settings,
            name=self._name,
            is_one_of_many=True,
            inspector=self._inspector,
        )
        self._runner.start()

    def _attach(self, message: Message) -> None:
        # Nobody waits for the responses of the old front's requests. Their threads leave when the application
        # comes back; until then there are more than the settings say.
        self._link.sever()
        self._runner.stop()
        self._join(LinkEnd(*message.descriptors))
        self._line.send({"event": "attached"})

    def _stop(self) -> None:
        if self._channel is not None and self._inspector is not None:
            self._channel.stop()
            self._inspector.close()
        self._runner.stop()
        for thread in self._runner.join(_LAST_MOMENT):
            LOGGER.warning(
                "%s is still in the application's code and is left behind. It is here:\n%s",
                thread.name,
                stack_of_straggler(thread),
            )
