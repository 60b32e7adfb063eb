"""The supervisor's view of its processes: pids, control sockets, and what is kept for them.

Owns every descriptor that the supervisor holds for a process, and the waiting for processes. Must not know
why one is started or ended. One thread.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pelton.process.control_socket import Line, LineClosedError, Message
from pelton.supervisor.plan.events import Exit
from pelton.system import silence_bell


@dataclass
class Child:
    """One process. ``pid`` is None until it is known, and from when it has been waited for."""

    number: int
    line: Line | None
    pid: int | None = None

    def send(self, fields: dict[str, object], descriptors: tuple[int, ...] = ()) -> bool:
        """Whether it could be sent."""
        if self.line is None:
            return False
        try:
            self.line.send(fields, descriptors)
        except LineClosedError:
            return False
        return True

    def receive(self) -> Iterator[Message]:
        """What it has said since the last time; after its last word the line is closed."""
        while self.line is not None:
            try:
                message = self.line.receive()
            except LineClosedError:
                self.close_line()
                return
            if message is None:
                return
            yield message

    def close_line(self) -> None:
        """Say and hear nothing more."""
        if self.line is not None:
            self.line.close()
            self.line = None

    def kill(self, number: int) -> None:
        """Send a signal, if there is a process."""
        # Until it is waited for, its pid is not used again.
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def close(self) -> None:
        """Close what is kept for it."""
        self.close_line()


@dataclass
class Front(Child):
    """The front, with the descriptors that every link to it needs.

    ``pulse``: a bell that its event loop rings when it is asked for a sign of life.
    """

    bodies: int = -1
    doorbell: int = -1
    pulse: int = -1

    def has_answered(self) -> bool:
        """Whether it has given one since the last look."""
        return self.pulse >= 0 and silence_bell(self.pulse)

    def close(self) -> None:
        """Close what is kept for it."""
        super().close()
        for descriptor in (self.bodies, self.doorbell, self.pulse):
            if descriptor >= 0:
                os.close(descriptor)
        self.bodies = self.doorbell = self.pulse = -1


@dataclass
class Worker(Child):
    """A worker, with the front's end of its newest link until the front has got it.

    ``permits``: how many requests it runs at a time. ``static_folders``: those of its application, for the
    front.
    """

    template: int | None = None
    permits: int = 1
    memory: int = -1
    front_end: socket.socket | None = None
    static_folders: list[tuple[str, str]] = field(default_factory=list)

    def keep(self, memory: int, end: socket.socket) -> None:
        """Keep the front's end of a new link, instead of what there was."""
        self.forget_link()
        self.memory, self.front_end = memory, end

    def forget_link(self) -> None:
        """Close it."""
        if self.memory >= 0:
            os.close(self.memory)
        if self.front_end is not None:
            self.front_end.close()
        self.memory, self.front_end = -1, None

    def close(self) -> None:
        """Close what is kept for it."""
        super().close()
        self.forget_link()


@dataclass
class Children:
    """All of them, by the plan's numbers."""

    front: Front | None = None
    workers: dict[int, Worker] = field(default_factory=dict)
    templates: dict[int, Child] = field(default_factory=dict)

    def all(self) -> list[Child]:
        """Every process."""
        return [*([self.front] if self.front else []), *self.workers.values(), *self.templates.values()]

    def with_pid(self, pid: int) -> Child | None:
        """The process, if it is ours."""
        return next((one for one in self.all() if one.pid == pid), None)

    def close_all(self) -> None:
        """Close every descriptor; in a child that was just forked, whose business none of them are."""
        for child in self.all():
            child.close()

    def kill_all(self) -> None:
        """End every process by force and wait for it: the supervisor itself has failed."""
        for child in self.all():
            child.kill(signal.SIGKILL)
        for child in self.all():
            if child.pid is not None:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(child.pid, 0)
            child.close()


def ended_among(pids: Iterable[int]) -> list[tuple[int, Exit]]:
    """Wait for those of these children that have ended, and for nobody else's; does not block."""
    found: list[tuple[int, Exit]] = []
    for one in pids:
        try:
            pid, status = os.waitpid(one, os.WNOHANG)
        except ChildProcessError:
            # Somebody else in this process has waited for it, or nobody can: SIGCHLD is ignored.
            found.append((one, Exit(note="ended, how is not known")))
            continue
        if pid != 0:
            found.append((pid, exit_of(status)))
    return found


def ended_processes() -> list[tuple[int, Exit]]:
    """Wait for every child that has ended, ours or an orphan that the system gave us; does not block."""
    found: list[tuple[int, Exit]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        found.append((pid, exit_of(status)))


def exit_of(status: int) -> Exit:
    """From what ``waitpid`` says."""
    code = os.waitstatus_to_exitcode(status)
    return Exit(code=code) if code >= 0 else Exit(signal=-code)
