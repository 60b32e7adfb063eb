"""The reloader's parent: starts the child again and again, and ends with it.

Owns the listening sockets for as long as it runs, the signals, and the decision what follows the end of a
child. Never imports the application. One thread, the main one; it waits for signals, for what the child
reports, and for the child's end, and for nothing else.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pelton.exceptions import ConfigError
from pelton.net.listeners import Listener
from pelton.process.readiness import wait_readable
from pelton.process.signals import STOP, Signals, on_main_thread
from pelton.reloader.arguments import command_again, is_isolated
from pelton.reloader.environment import RESTART, Inheritance, environment_with
from pelton.reloader.options import ReloaderOptions
from pelton.reloader.report import Reader, Report
from pelton.reloader.terminal import Terminal
from pelton.system import memory_file, packet_pair

LOGGER = logging.getLogger("pelton")

# For a child that is to end. It has limits of its own; this is for one that does not get to them, because its
# application holds the interpreter.
_LONGEST_END: Final = 10.0
# Starts in a row because of a file that was changed while the process before was starting.
_MOST_EARLY: Final = 3
_BOOTSTRAP = Path(__file__).with_name("bootstrap")


@dataclass(frozen=True)
class End:
    """How a child ended: ``code`` as `subprocess` has it, negative for a signal. ``was_asked_for``: by a
    SIGINT or SIGTERM, and the parent is to end with it.
    """

    code: int
    report: Report
    was_asked_for: bool

    @property
    def how(self) -> str:
        """In words."""
        if self.code >= 0:
            return f"ended with exit code {self.code}"
        try:
            return f"was killed by {signal.Signals(-self.code).name}"
        except ValueError:
            return f"was killed by signal {-self.code}"


def supervise(listeners: Sequence[Listener], options: ReloaderOptions) -> int:
    """Run this program as a child, again whenever it asks for that; returns the exit code.

    ``listeners`` stay open, and stay the caller's. Main thread. Ends with 0 after Ctrl-C, SIGTERM and a child
    that has ended without an error. Raises ConfigError where the program cannot be started again, and for
    options that cannot be followed.
    """
    if not on_main_thread():
        raise ConfigError(
            "The reloader needs the main thread, where signals arrive.", "Serve without it in other threads."
        )
    command = command_again()
    # Here, and not only in a child that fails by it.
    LOGGER.debug("The reloader watches with %s.", options.name)
    with contextlib.ExitStack() as stack:
        terminal = Terminal()
        stack.callback(terminal.restore)
        signals = stack.enter_context(Signals((*STOP, signal.SIGCHLD)))
        room = packet_pair()
        for one in room:
            stack.enter_context(one)
            one.setblocking(False)
        parent = _Parent(command, listeners, options, signals, terminal, room)
        return parent.run()


class _Parent:
    def __init__(
        self,
        command: list[str],
        listeners: Sequence[Listener],
        options: ReloaderOptions,
        signals: Signals,
        terminal: Terminal,
        room: tuple[socket.socket, socket.socket],
    ) -> None:
        self._command = command
        self._listeners = tuple(listeners)
        self._options = options
        self._signals = signals
        self._terminal = terminal
        self._room = room

    def run(self) -> int:
        """See `supervise`."""
        early = 0
        while True:
            # A program that writes a file of its own whenever it starts would start for ever.
            since = time.time_ns() if early < _MOST_EARLY else 0
            end = self._run(self._command, since, bootstraps=not is_isolated())
            if end.was_asked_for or end.code == 0:
                return 0
            if end.code == RESTART:
                early = early + 1 if end.report.early else 0
                continue
            shown = self._show(end, since)
            if shown.was_asked_for:
                return 0
            if shown.code != RESTART:
                LOGGER.error("The page that shows the error %s; the reloader ends.", shown.how)
                return end.code if end.code > 0 else 128 - end.code
            early = early + 1 if shown.report.early else 0

    def _show(self, end: End, since: int) -> End:
        """Have the error shown on the sockets until a file is changed."""
        where = " and ".join(map(str, self._listeners))
        LOGGER.error(
            "The application's process %s%s; %s shows it. It starts again when a file is saved.",
            end.how,
            "" if end.report.served else " before it served",
            where,
        )
        said = {
            "how": end.how,
            "served": end.report.served,
            "traceback": end.report.traceback,
            "files": end.report.files,
            # Without a report (it was killed) the place where most programs are.
            "roots": end.report.roots or [str(Path.cwd())],
            "script": self._command[-1] if len(self._command) == 2 else "",
            "extra_files": self._options.extra_files,
            "exclude_patterns": self._options.exclude_patterns,
            "interval": self._options.interval,
            "kind": self._options.kind,
        }
        with _memory_file(json.dumps(said).encode()) as descriptor:
            # -P: a module of the application's directory must not stand in for one of the library's.
            command = [sys.executable, "-P", "-m", "pelton.reloader.failure", str(descriptor)]
            return self._run(command, since, bootstraps=False, descriptors=(descriptor,))

    def _run(
        self, command: list[str], since: int, *, bootstraps: bool, descriptors: tuple[int, ...] = ()
    ) -> End:
        """Run one child to its end, or until the parent is asked to end, which ends the child first."""
        self._terminal.restore()
        ours, theirs = os.pipe()
        with contextlib.closing(os.fdopen(ours, "rb", buffering=0)):
            os.set_blocking(ours, False)
            given = Inheritance(
                parent=os.getpid(),
                listeners=tuple(one.socket.fileno() for one in self._listeners),
                report=theirs,
                since=since,
                waiting_in=self._room[0].fileno(),
                waiting_out=self._room[1].fileno(),
                python_path=os.environ.get("PYTHONPATH"),
            )
            environment = environment_with(given, os.environ)
            if bootstraps:
                before = [given.python_path] if given.python_path else []
                environment["PYTHONPATH"] = os.pathsep.join([str(_BOOTSTRAP), *before])
            try:
                # In the same group, so that a terminal's Ctrl-C reaches both, as it does without a reloader.
                child = subprocess.Popen(
                    command, env=environment, pass_fds=(*given.descriptors, *descriptors), close_fds=True
                )
            finally:
                os.close(theirs)
            try:
                return self._wait(child, Reader(ours))
            except BaseException:
                child.kill()
                child.wait()
                raise

    def _wait(self, child: subprocess.Popen[bytes], reader: Reader) -> End:
        deadline: float | None = None
        sources = {self._signals.fileno(), reader.fileno()}
        while (code := child.poll()) is None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            readable = wait_readable(sources, left)
            if reader.fileno() in readable and not reader.read():
                sources.discard(reader.fileno())
            asked = [one for one in self._signals.received() if one in STOP]
            if not asked and (left is None or left > 0):
                continue
            if deadline is None:
                deadline = time.monotonic() + _LONGEST_END
                # It has had the terminal's SIGINT, too; one of each kind is the same request.
                child.send_signal(signal.SIGTERM)
            else:
                if not asked:
                    LOGGER.warning("The application's process does not end, and is killed.")
                child.kill()
                child.wait()
        reader.read()
        # A signal may have come together with the child's end.
        asked = [one for one in self._signals.received() if one in STOP]
        return End(code, reader.last, deadline is not None or bool(asked))


@contextlib.contextmanager
def _memory_file(data: bytes) -> Iterator[int]:
    descriptor = memory_file("pelton-failure")
    try:
        os.write(descriptor, data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
