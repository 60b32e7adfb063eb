"""Real threads for pelton's own work, also where the application's threads are greenlets.

Owns the originals of what gevent and eventlet replace in `threading`: pelton's few threads of its own (the
watch, the notices, the reports) block in the native module, which as greenlets would stop the whole
interpreter. They wait for each other only with what is here, so that none of them ever needs a hub. Must not
know which library has patched, nor import any. Any thread.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from pelton.process.readiness import wait_readable
from pelton.system import new_bell, ring_bell


def original(name: str, module: Any = _thread) -> Any:
    """What ``name`` was in a module of the standard library before anybody patched it."""
    # Usually this module is imported first. But an application that serves itself has patched before.
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None:
        return gevent.get_original(module.__name__, name)
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        return getattr(eventlet.original(module.__name__), name)
    return getattr(module, name)


_start_new_thread = original("start_new_thread")
allocate_lock = original("allocate_lock")
get_ident: Callable[[], int] = original("get_ident")
_RLock = original("RLock")
# gevent's closes a descriptor when its loop has come round, which may be never: whoever waits at the other
# end would not learn of it.
close: Callable[[int], None] = original("close", os)
# eventlet's waits where there is nothing to read, also of what was set not to wait.
read: Callable[[int, int], bytes] = original("read", os)
# eventlet's lets other greenlets run first, also where there is room: not under a lock of this module's.
write: Callable[[int, bytes], int] = original("write", os)


def is_patched() -> bool:
    """Whether the application's threads are greenlets."""
    return _thread.start_new_thread is not _start_new_thread


class NativeRLock:
    """As `threading.RLock`, of real threads.

    Held for moments in which nothing of the application runs: so a greenlet that holds it is never switched.
    The lock itself is out of the reach of ``vars``: eventlet looks for all locks that there are when it
    patches, and puts its own into their places, on which threads and greenlets wait for each other for ever.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = _RLock()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, once more where this thread has it; False where it was not to be had in time."""
        taken: bool = self._lock.acquire(blocking, timeout)
        return taken

    def release(self) -> None:
        """Give it back, once for each time that it was taken."""
        self._lock.release()

    def __enter__(self) -> bool:
        taken: bool = self._lock.acquire()
        return taken

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def _at_fork_reinit(self) -> None:
        # `logging` calls it in a forked child.
        self._lock._at_fork_reinit()


class NativeEvent:
    """Something that happens once."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._is_set = False
        # Taken until it has happened; who gets it then passes it on.
        self._gate = allocate_lock()
        self._gate.acquire()
        # For those who wait in a hub; made when the first of them comes.
        self._descriptor = -1

    def __del__(self, close: Callable[[int], None] = close) -> None:
        # At the end of the interpreter the names of this module have gone before the last events.
        if self._descriptor >= 0:
            close(self._descriptor)

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._is_set

    def set(self) -> None:
        """It happens now; again does nothing."""
        with self._lock:
            if self._is_set:
                return
            self._is_set = True
            if self._descriptor >= 0:
                ring_bell(self._descriptor)
        self._gate.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Block this thread, with all greenlets on it; False when ``timeout`` seconds were over first."""
        if self._gate.acquire(True, -1 if timeout is None else min(timeout, threading.TIMEOUT_MAX)):
            self._gate.release()
            return True
        return self._is_set

    def wait_with_hub(self, timeout: float | None = None) -> bool:
        """The same on a thread of the application: where its threads are greenlets, others go on."""
        if not is_patched():
            return self.wait(timeout)
        with self._lock:
            if self._is_set:
                return True
            if self._descriptor < 0:
                self._descriptor = new_bell()
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._is_set:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            wait_readable([self._descriptor], left)
        return self._is_set


def start_unknown_thread(target: Callable[[], object]) -> None:
    """Run ``target`` on a native thread that `threading` does not list, unless it asks there for itself.

    Raises RuntimeError where the system has no thread left.
    """
    _start_new_thread(target, ())


class NativeThread:
    """A daemon thread that runs ``target``. Its end is waited for, if at all, with `join`."""

    def __init__(self, target: Callable[[], object], *, name: str) -> None:
        self.name = name
        self.ident: int | None = None
        self._target: Callable[[], object] | None = target
        self._ended = NativeEvent()

    def start(self) -> None:
        """Start it; once. Raises RuntimeError where the system has no thread left."""
        if is_patched():
            self.ident = _start_new_thread(self._run_named, ())
        else:
            # As the rest of the program knows threads: with a name, and in the lists of debuggers.
            thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            thread.start()
            self.ident = thread.ident

    def is_alive(self) -> bool:
        """Whether it has been started and has not ended."""
        return self.ident is not None and not self._ended.is_set()

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end; returns at once before the start, and on the thread itself."""
        if self.ident is not None and self.ident != get_ident():
            self._ended.wait_with_hub(timeout)

    def _run_named(self) -> None:
        # What `threading` knows of a thread that it has not made is a stand-in; the log shows its name.
        threading.current_thread().name = self.name
        self._run()

    def _run(self) -> None:
        # Usually a method of who keeps this thread: that circle ends with it.
        target, self._target = self._target, None
        try:
            if target is not None:
                target()
        finally:
            del target
            self._ended.set()
