"""The preloading process: loads the application once and forks workers that have it already.

Owns the forks. A worker must be the supervisor's child, which waits for it and sees how it ends; so it is
forked by a process in between that ends at once, and the system gives the orphan to the supervisor (which has
asked for orphans). The worker begins only when that has happened.

Runs in a process that was just forked by the supervisor, on its main thread. Threads that the application
started while it was imported stay here: they do not survive a fork.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from pelton import _engine
from pelton.compat.gunicorn.hooks import hooks_of
from pelton.config.worker_kinds import kind_of
from pelton.diagnostics.load_watch import LoadWatch
from pelton.exceptions import ConfigError
from pelton.loader import ApplicationError
from pelton.logs.setup import label_process
from pelton.process.control_socket import Line, LineClosedError, Message, shortened
from pelton.process.forking import fork
from pelton.process.forks import leave_if_child
from pelton.process.native_threads import close
from pelton.worker.process import FAILED, NO_APPLICATION, Inherited, LinkEnd
from pelton.worker.process import run as run_worker

LOGGER = logging.getLogger("pelton")

_LONGEST_ERROR = 2_000


def run(line: Line, around: Inherited, load: Callable[[], Any]) -> int:
    """Load the application and fork workers until the supervisor closes its end; returns the exit code."""
    _engine.die_with_parent()
    if os.getppid() != around.supervisor:
        return FAILED
    line.keep()
    label_process("preload")
    with contextlib.suppress(Exception):
        # For segmentation faults, and for the SIGABRT that ends one which does not come to an end.
        faulthandler.enable()
    origin = _engine.Origin()
    try:
        try:
            kind_of(around.settings).prepare(around.settings)
            with LoadWatch("the preloading process"):
                application = load()
                leave_if_child(origin)
        except (ApplicationError, ConfigError) as error:
            what, trace = (
                shortened(str(error), _LONGEST_ERROR),
                shortened(getattr(error, "traceback", "") or ""),
            )
            line.send({"event": "failed", "what": what, "traceback": trace})
            return NO_APPLICATION
        _warn_of_threads()
        # What the garbage collector never looks at again, it does not write to: the pages stay shared.
        gc.collect()
        gc.freeze()
        line.send({"event": "ready"})
        while True:
            message = line.receive()
            if message is None or message.fields.get("do") != "fork" or len(message.descriptors) != 5:
                LOGGER.warning("The supervisor says something unknown.")
                continue
            _fork_worker(line, around, application, message)
    except LineClosedError:
        return 0


def _warn_of_threads() -> None:
    others = [one.name for one in threading.enumerate() if one is not threading.main_thread()]
    if others:
        LOGGER.warning(
            "The application starts threads while it is imported (%s). With --preload they do not run in the "
            "workers; start them with the first request, or leave --preload out.",
            ", ".join(others),
        )


def _fork_worker(line: Line, around: Inherited, application: Any, message: Message) -> None:
    number = message.fields["worker"]
    hooks_of(around.settings).forking(number)
    go_reader = go_writer = pid_reader = pid_writer = -1

    def worker() -> int:
        line.close()
        for descriptor in (go_writer, pid_reader, pid_writer):
            close(descriptor)
        if not os.read(go_reader, 1):
            # The template has ended, so the supervisor knows nothing about this process.
            return FAILED
        close(go_reader)
        control, memory, bodies, doorbell, end = message.descriptors
        link_end = LinkEnd(memory, bodies, doorbell, end)
        return run_worker(number, Line.from_descriptor(control), link_end, around, lambda: application)

    def between() -> int:
        os.write(pid_writer, str(fork(worker, keeps_exit=True)).encode())
        os._exit(0)

    try:
        # Where no descriptor is left, that is reported like any other reason why there is no worker.
        go_reader, go_writer = os.pipe()
        pid_reader, pid_writer = os.pipe()
        parent = fork(between, keeps_exit=True)
        close(pid_writer)
        pid_writer = -1
        pid = os.read(pid_reader, 32)
        # Once it has been waited for, its child has been given to the supervisor.
        os.waitpid(parent, 0)
        if not pid:
            raise OSError("the process in between could not fork")
        line.send({"event": "forked", "worker": number, "pid": int(pid)})
        os.write(go_writer, b"g")
    except OSError as error:
        LOGGER.error("Worker %s cannot be forked: %s.", number, error)
        line.send({"event": "unforked", "worker": number, "why": str(error)})
    finally:
        message.close()
        for descriptor in (go_reader, go_writer, pid_reader, pid_writer):
            if descriptor >= 0:
                close(descriptor)
