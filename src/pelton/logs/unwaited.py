"""Writes to a descriptor without ever waiting for whoever reads at the other end.

Owns what could not be written yet: a backlog with a bound, and the number of messages that it had no room
for, which is said as soon as there is room again. A log that nobody reads (a full pipe, a terminal stopped
with Ctrl-S) must not stop a process that others wait for. Called with the handler's lock held, on any thread.

The rest is written by a thread that lives as long as there is one; or, in a process that may have no thread,
by its own loop (`leave_to_loop`). After a fork the backlog is the parent's.
"""

from __future__ import annotations

import _socket
import math
import os
import select
import stat
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, Final

from pelton.process.native_threads import original, start_unknown_thread, write
from pelton.system import NO_SIGNAL, open_again

# Of what waits; a message that alone is larger is taken when nothing else waits.
MOST: Final = 256 * 1024
# A write of no more than this is whole or not at all, and has room where the system says that there is some.
_PIECE: Final = 4096
_WRITABLE: Final = 4  # POLLOUT
_poll: Callable[[], Any] = original("poll", select)


class UnwaitedWriter:
    """For ``descriptor``, which stays the caller's.

    ``lock`` is held by whoever calls; the thread takes it. ``lost`` gives the line that says how many
    messages were lost.
    """

    def __init__(
        self,
        descriptor: int,
        lock: AbstractContextManager[Any],
        lost: Callable[[int], bytes],
        *,
        most: int = MOST,
    ) -> None:
        """Raises OSError when the process has no descriptor left."""
        self._lock = lock
        self._say_lost = lost
        self._most = most
        self._thread_runs = False
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._lost = 0
        mode = os.fstat(descriptor).st_mode
        self._is_socket = stat.S_ISSOCK(mode)
        self._is_own, self._descriptor = _not_blocking(descriptor, mode)
        _WRITERS.add(self)

    def write(self, data: bytes) -> None:
        """Write it, or keep it until there is room. Raises OSError when the other end is closed."""
        self.flush()
        if self._waiting and self._size + len(data) > self._most:
            self._lost += 1
            return
        if self._lost:
            self._keep(self._say_lost(self._lost))
            self._lost = 0
        self._keep(data)
        self.flush()
        if self._waiting and _may_use_threads and not self._thread_runs:
            # Where no thread can be had, the next message takes the rest along.
            with suppress(RuntimeError):
                start_unknown_thread(self._write_rest)
                self._thread_runs = True

    def flush(self) -> None:
        """Write what there is room for. Raises OSError when the other end is closed."""
        while self._waiting:
            data = self._waiting[0]
            try:
                written = self._write(data)
            except OSError:
                # It will not get better.
                self._forget()
                raise
            self._size -= written
            if written < len(data):
                self._waiting[0] = data[written:]
                return
            self._waiting.popleft()
        if self._lost:
            lost, self._lost = self._lost, 0
            self._keep(self._say_lost(lost))
            self.flush()

    def wait(self, patience: float) -> None:
        """Give the other end so many seconds to take what is left: the last words of a process."""
        deadline = time.monotonic() + patience
        with suppress(OSError):
            self.flush()
            while self._waiting and (left := deadline - time.monotonic()) > 0 and self._has_room(left):
                self.flush()

    def fileno(self) -> int:
        """The descriptor that is to become writable; -1 when nothing waits for that."""
        return self._descriptor if self._waiting else -1

    def close(self) -> None:
        """Write no more."""
        self._forget()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0 and self._is_own and not self._thread_runs:
            os.close(descriptor)

    def leave_to_parent(self) -> None:
        """In a child that was just forked: what waits is written by the parent."""
        self._forget()
        self._thread_runs = False

    def _keep(self, data: bytes) -> None:
        self._waiting.append(data)
        self._size += len(data)

    def _forget(self) -> None:
        self._waiting.clear()
        self._size = self._lost = 0

    def _write(self, data: bytes) -> int:
        """How much of it could be written."""
        written = 0
        while written < len(data):
            if not self._is_own and not self._has_room(0):
                break
            piece = data[written:] if self._is_own else data[written : written + _PIECE]
            try:
                if self._is_socket:
                    written += self._send(piece)
                else:
                    written += write(self._descriptor, piece)
            except BlockingIOError:
                break
        return written

    def _send(self, piece: bytes) -> int:
        borrowed = _socket.socket(fileno=self._descriptor)
        try:
            return borrowed.send(piece, _socket.MSG_DONTWAIT | NO_SIGNAL)
        finally:
            borrowed.detach()

    def _has_room(self, patience: float | None) -> bool:
        poll = _poll()
        poll.register(self._descriptor, _WRITABLE)
        return bool(poll.poll(None if patience is None else math.ceil(patience * 1000)))

    def _write_rest(self) -> None:
        """Runs on a thread of its own."""
        while self._has_room(None):
            with self._lock:
                with suppress(OSError):
                    self.flush()
                if not self._waiting or self._descriptor < 0:
                    self._thread_runs = False
                    return


def _not_blocking(descriptor: int, mode: int) -> tuple[bool, int]:
    """Whether it is one of our own that does not block, and the descriptor."""
    # Whether it blocks belongs to what is open, which other programs have, too: so it is opened once more.
    # That fails for sockets, for what a program has opened as another user, and where nobody reads.
    if not stat.S_ISSOCK(mode):
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_APPEND | os.O_NOCTTY | os.O_CLOEXEC
        with suppress(OSError):
            return True, open_again(descriptor, flags)
    return False, descriptor


_WRITERS: weakref.WeakSet[UnwaitedWriter] = weakref.WeakSet()
_may_use_threads = True


def leave_to_loop(whether: bool = True) -> None:
    """Have no thread for the rest in this process, which calls `write_rest`; a fork of it may have one."""
    global _may_use_threads
    _may_use_threads = not whether


def unwritten() -> list[int]:
    """The descriptors for which something waits; when one of them is writable, call `write_rest`."""
    return [descriptor for one in list(_WRITERS) if (descriptor := one.fileno()) >= 0]


def write_rest() -> None:
    """Write what there is room for; in a process without threads."""
    for writer in list(_WRITERS):
        with suppress(OSError):
            writer.flush()


def _after_fork() -> None:
    leave_to_loop(False)
    for writer in list(_WRITERS):
        writer.leave_to_parent()


os.register_at_fork(after_in_child=_after_fork)
