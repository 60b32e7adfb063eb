"""One pelton that serves: what is started together and ends together.

Owns the order of the end: listeners, front, runner, files. Its methods may be called from any thread, also
from a request's own, more than once and at the same time. Two kinds of threads work below it: the runner's,
and "pelton-notices", which logs what the front reports and sees it end. The front's own thread is native.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from pelton import _engine
from pelton.config.address import TcpAddress
from pelton.config.settings import Settings
from pelton.exceptions import PeltonError
from pelton.front.notices import heed, surviving
from pelton.logs.access import open_access_log_of
from pelton.logs.level_counts import LevelCounts
from pelton.net.listeners import Listener
from pelton.observe.admin import Admin
from pelton.observe.inspector import Inspector
from pelton.process.left_behind import leave_behind
from pelton.process.native_threads import NativeEvent, NativeThread
from pelton.system import owners
from pelton.tls.certificates import Certificates
from pelton.worker.runners.base import Runner, stack_of_straggler
from pelton.worker.self_calls import OwnAddresses, caller, serving_threads

LOGGER = logging.getLogger("pelton")

# After the end, for threads whose request is just about to finish. Longer would only delay the report about
# those that do not, since nobody reads their responses any more.
_LAST_MOMENT = 1.0
# Behind the message of a request whose thread cannot be freed.
_NOT_REPLACED = "; its thread is lost for others. With --workers the process would be replaced."


def _nothing() -> None:
    pass


class Running:
    """What `pelton.start` returns: an application that is being served.

    As a context manager it is closed (`close`) at the end of the block. If it is still running when the
    interpreter exits, it is stopped (`stop`).
    """

    def __init__(
        self,
        front: _engine.Front,
        runner: Runner,
        listeners: Sequence[Listener],
        settings: Settings,
        admin_listeners: Sequence[Listener] = (),
        *,
        counts: LevelCounts,
        owns_process: bool = False,
        redirect_listeners: Sequence[Listener] = (),
        agent_listeners: Sequence[Listener] = (),
        certificates: Certificates | None = None,
        inspector: Inspector | None = None,
    ) -> None:
        self._front = front
        self._runner = runner
        self._listeners = tuple(listeners)
        self._all_listeners = (*listeners, *redirect_listeners, *admin_listeners, *agent_listeners)
        self._redirect_listeners = tuple(redirect_listeners)
        self._admin_listeners = tuple(admin_listeners)
        self._certificates = certificates
        self._settings = settings
        self._counts = counts
        self._owns_process = owns_process
        # What a forked child has of this object is a copy: nothing runs there, and all methods do nothing.
        self._origin = _engine.Origin()
        self._ended = NativeEvent()
        self._when_ended: Callable[[], object] = _nothing
        self._asked_to_end = False
        # Held while stopping, so that whoever comes second returns when all is done. Reentrant, because the
        # exit handler may find its own thread in the middle of it.
        self._stopping = threading.RLock()
        self._stopped = False
        self._inspector = inspector
        extra = certificates.facts if certificates is not None else None
        self._admin = Admin(front, inspector, extra, settings=lambda: settings)
        self._notices = NativeThread(self._watch, name="pelton-notices")

    def _start(self) -> None:
        """Begin to serve; called once, by `pelton.api`."""
        self._runner.start()
        self._front.start()
        self._notices.start()
        if self._certificates is not None:
            self._certificates.start(self._front)
        atexit.register(self.stop)

    @property
    def addresses(self) -> list[str]:
        """Where it listens, as URLs (``http://127.0.0.1:8000``), or ``unix:/path`` for a socket file."""
        return [str(listener) for listener in self._listeners]

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """What the application is served on; their sockets are the front's."""
        return self._listeners

    @property
    def redirect_listeners(self) -> tuple[Listener, ...]:
        """Where clients are sent on to HTTPS."""
        return self._redirect_listeners

    @property
    def admin_listeners(self) -> tuple[Listener, ...]:
        """Where metrics and health checks are answered."""
        return self._admin_listeners

    @property
    def port(self) -> int:
        """The port of the first TCP listener, never 0; raises LookupError when there is none."""
        for listener in self._listeners:
            if isinstance(listener.address, TcpAddress):
                return listener.address.port
        raise LookupError("There is no TCP listener, so there is no port.")

    @property
    def kind(self) -> str:
        """The worker kind."""
        return self._runner.kind

    @property
    def settings(self) -> Settings:
        """The settings it was started with."""
        return self._settings

    @property
    def failed(self) -> bool:
        """Whether the front has ended although nobody asked it to."""
        return self._origin.is_here() and self._ended.is_set() and not self._asked_to_end

    def counters(self) -> dict[str, int]:
        """Everything that is counted since the start, by name."""
        return self._front.counters()

    def set_ready(self, ready: bool) -> None:
        """Whether readiness checks (``health_path``) may succeed; they do from the start."""
        if self._origin.is_here():
            self._front.set_ready(ready)

    def reopen_logs(self) -> None:
        """Open the access log again by its name, after it was moved away; the old one stays if not."""
        if self._settings.access_log is None or not self._origin.is_here():
            return
        try:
            descriptor = open_access_log_of(self._settings)
        except PeltonError as error:
            LOGGER.error("%s", error)
            return
        self._front.set_access_log(descriptor)
        os.close(descriptor)

    def read_certificates(self) -> None:
        """Read the files of certificates and keys again; what is no good leaves the old ones in force."""
        if self._certificates is not None:
            self._certificates.read_again("SIGHUP")

    def drain(self) -> None:
        """Take no new connections, let running requests finish. Returns at once; `wait` tells the end."""
        if not self._origin.is_here():
            return
        self._asked_to_end = True
        # First the files: who looks for the socket now is refused at once, and a successor may take the name.
        for listener in self._all_listeners:
            listener.remove_file()
        self._front.drain()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended, by `drain` or `stop`; False when ``timeout`` seconds were over first.

        Signal handlers run while the main thread waits here.
        """
        return not self._origin.is_here() or self._ended.wait_with_hub(timeout)

    def _call_when_ended(self, function: Callable[[], object]) -> None:
        """Have it called on another thread at the end, or now if that has come; for `pelton.api`, once."""
        self._when_ended = function
        if self._ended.is_set():
            function()

    def stop(self) -> None:
        """Close every connection now, whatever is running, and release everything.

        A thread that stays inside the application's code for more than a moment is reported, with where it
        is, and left behind.
        """
        if not self._origin.is_here():
            return
        self._asked_to_end = True
        with self._stopping:
            if self._stopped:
                return
            self._stopped = True
            atexit.unregister(self.stop)
            for listener in self._all_listeners:
                listener.remove_file()
            if self._certificates is not None:
                self._certificates.close()
            if self._inspector is not None:
                self._inspector.close()
            self._front.stop()
            self._runner.stop()
            self._join()
            self._counts.end()
            for listener in self._all_listeners:
                listener.close()

    def close(self) -> None:
        """`drain`, wait until the graceful timeout is over at the latest, then `stop`."""
        if not self._stopped:
            self.drain()
            self.wait(self._settings.graceful_timeout)
        self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = (
            "ended"
            if not self._origin.is_here() or self._ended.is_set()
            else "draining"
            if self._asked_to_end
            else "serving"
        )
        return f"<Running {' '.join(self.addresses)} ({state})>"

    def _join(self) -> None:
        deadline = time.monotonic() + _LAST_MOMENT
        self._front.join(_LAST_MOMENT)
        for thread in self._runner.join(_LAST_MOMENT):
            LOGGER.warning(
                "%s is still in the application's code and is left behind. It is here:\n%s",
                thread.name,
                stack_of_straggler(thread),
            )
            leave_behind(thread)
        self._notices.join(max(0.0, deadline - time.monotonic()))

    def _watch(self) -> None:
        """Runs on "pelton-notices"."""
        try:
            while (notice := self._front.next_notice()) is not None:
                more = _NOT_REPLACED if notice.event == "stuck" else ""
                with surviving():
                    heed(notice, self._admin, self._look_at, more=more)
            self._front.join()
        finally:
            # Without a front no request comes any more, so a drained worker needs no stop() to come to its
            # end.
            self._runner.stop()
            self._ended.set()
            self._when_ended()

    def _look_at(self, notice: _engine.Notice) -> None:
        """Which of the requests that wait were made by requests of this process."""
        calls = notice.local_calls
        found = owners(calls, notice.processes, with_children=self._owns_process)
        if found and not self._owns_process:
            # The process does other things as well: a test, or a window, may be a client like any other.
            addresses, threads = OwnAddresses(self._listeners), serving_threads()
            ports = {number: pair[0][1] if pair is not None else 0 for number, _, pair in calls}
            found = {
                number: pid
                for number, pid in found.items()
                if caller(ports[number], addresses, threads) is not None
            }
        for number, pid in found.items():
            self._front.called_itself(number, pid)
