"""An asyncio event loop on a thread of its own, for the worker kinds that have one.

Owns that thread, "pelton-loop", and the loop's end: tasks that are left are cancelled and get a moment to
clean up. Must not know requests. A process has one loop of each kind, whatever is served in it: what the
application has begun on the loop while it was imported goes on when a runner is replaced by another one.

A loop begins before the application is imported (`begin`), ends when the last of its users has left
(`leave`), and does not survive a fork: a child that needs one begins its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final

from pelton.exceptions import StartError
from pelton.worker.loop_watch import LoopWatch

LOGGER = logging.getLogger("pelton")

# For tasks that are cancelled at the end. Whoever waits for the runner has no more patience either.
_LAST_MOMENT: Final = 0.5

# How often whoever waits for its start looks whether its thread is still there.
_LOOK: Final = 1.0

Make = Callable[[], asyncio.AbstractEventLoop]


class EventLoop:
    """A loop that runs.

    ``show``: called on its thread before anything else; it gives `shown`. ``block_seconds``: after how
    long a callback that blocks the loop is reported; 0: never.
    """

    def __init__(
        self, kind: str, make: Make, *, show: Callable[[], Any] | None = None, block_seconds: float = 0.0
    ) -> None:
        self.kind = kind
        self.loop = make()
        # What the application sees as the loop.
        self.shown: Any = self.loop
        self._show = show
        self._pid = os.getpid()
        self._ending = False
        self._users: weakref.WeakSet[Any] = weakref.WeakSet()
        # Daemon: a callback of the application that never returns must not keep the process from ending.
        self.thread = threading.Thread(target=self._run, name="pelton-loop", daemon=True)
        self._watch = LoopWatch(self.loop, self.thread, block_seconds) if block_seconds else None

    @property
    def is_usable(self) -> bool:
        """Whether it runs, and in this process."""
        return not self._ending and self._pid == os.getpid() and self.thread.is_alive()

    @property
    def is_here(self) -> bool:
        """Whether the calling thread is the loop's own."""
        return threading.current_thread() is self.thread

    def start(self) -> None:
        """Start the thread and wait until the loop runs on it."""
        runs = threading.Event()
        if self._show is not None:
            self.loop.call_soon(self._be_shown, self._show)
        self.loop.call_soon(runs.set)
        self.thread.start()
        while not runs.wait(_LOOK):
            if not self.thread.is_alive():
                raise StartError("The event loop cannot start.")
        if self._watch is not None:
            self._watch.start()

    def enter(self, user: object) -> None:
        """Keep the loop until ``user`` leaves, or is no more."""
        with _LOCK:
            self._users.add(user)

    def leave(self, user: object) -> None:
        """End the loop if nobody else uses it. Returns at once."""
        with _LOCK:
            self._users.discard(user)
            if self._users or self._ending:
                return
            self._ending = True
            if _LOOPS.get(self.kind) is self:
                del _LOOPS[self.kind]
        if self._watch is not None:
            self._watch.stop()
        # Closed already where code of the application has stopped it in this very moment.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.loop.stop)

    def join(self, timeout: float) -> bool:
        """Wait for the end of the loop if it was asked to end; False: its thread still runs then."""
        if not self._ending or self.is_here:
            return True
        self.thread.join(timeout)
        return not self.thread.is_alive()

    def _be_shown(self, show: Callable[[], Any]) -> None:
        self.shown = show()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self._ending:
            try:
                self.loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                # Only these get through. They would end what serves everybody else, too.
                LOGGER.error("%s on the event loop's thread is ignored.", type(error).__name__)
            else:
                if not self._ending:
                    LOGGER.error("The application stops the event loop, which is pelton's: it goes on.")
        self._wind_up()

    def _wind_up(self) -> None:
        try:
            # The order to stop may still be there, where something else has ended the last run.
            with contextlib.suppress(RuntimeError):
                self.loop.run_until_complete(asyncio.sleep(0))
            tasks = asyncio.all_tasks(self.loop)
            for one in tasks:
                one.cancel()
            if tasks:
                self.loop.run_until_complete(asyncio.wait(tasks, timeout=_LAST_MOMENT))
            self.loop.run_until_complete(asyncio.wait_for(self.loop.shutdown_asyncgens(), _LAST_MOMENT))
        except BaseException:
            LOGGER.warning("The event loop's last tasks did not end in order.", exc_info=True)
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()


# Guards both the table and who uses which loop; held for moments only.
_LOCK: Final = threading.Lock()
_LOOPS: Final[dict[str, EventLoop]] = {}


def begin(
    kind: str, make: Make, *, show: Callable[[], Any] | None = None, block_seconds: float = 0.0
) -> EventLoop:
    """The loop of this process for ``kind``, begun if there is none. On the thread that starts pelton.

    The rest is as for `EventLoop`. Raises StartError.
    """
    with _LOCK:
        found = _LOOPS.get(kind)
    if found is not None and found.is_usable:
        return found
    made = EventLoop(kind, make, show=show, block_seconds=block_seconds)
    made.start()
    with _LOCK:
        _LOOPS[kind] = made
    return made


def current() -> EventLoop | None:
    """The loop of this process; None where no such worker kind serves. From any thread."""
    # Without the lock, as it is asked for each request: the table hardly ever changes.
    return next((one for one in tuple(_LOOPS.values()) if one.is_usable), None)
