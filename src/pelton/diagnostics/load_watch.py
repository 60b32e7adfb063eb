"""Says where an application is that takes long to load: waiting for a database, mostly, that does not answer.

Owns when that is said. Used on the thread that loads, around it; a thread beside it waits for the time to be
over. Must not know whether anybody loses patience: that is the supervisor's.

That thread is none that `threading` knows, before it has something to say. An application may look at the
threads while it is imported, and so does gevent: where there is more than one it leaves locks as they are.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Final, Self

from pelton.diagnostics.stacks import stack_within
from pelton.process.native_threads import NativeEvent, NativeThread, get_ident, start_unknown_thread

LOGGER = logging.getLogger("pelton")

# Most applications need a second or two. Those that load a model take minutes, and should not fill the log.
_FIRST: Final = 10.0
_LATER: Final = 6.0
_MOST: Final = 3600.0
# For a line of the log that is just being written.
_ENDS_WITHIN: Final = 1.0


class LoadWatch:
    """Use as a context manager around loading. ``name``: how the log calls this process, e.g. ``worker 3``.

    ``first``: seconds until it is said for the first time; from then on more and more rarely.
    """

    def __init__(self, name: str, *, first: float = _FIRST) -> None:
        self._name = name
        self._first = first
        self._loaded = NativeEvent()
        self._gone = NativeEvent()
        self._thread = get_ident()
        self._outer: FrameType | None = None
        self._greenlet: Any = None

    def __enter__(self) -> Self:
        self._outer = sys._getframe(1)
        # While it waits in a hub, what this thread runs is the hub.
        greenlet = sys.modules.get("greenlet")
        self._greenlet = greenlet.getcurrent() if greenlet is not None else None
        try:
            start_unknown_thread(self._wait)
        except RuntimeError:
            # Where no thread can be had the application may load none the less.
            self._gone.set()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._loaded.set()
        # The preloading process forks next, which no lock of the log should be held for.
        self._gone.wait(_ENDS_WITHIN)
        self._outer = self._greenlet = None

    def _wait(self) -> None:
        try:
            if not self._loaded.wait(self._first):
                # What writes to the log should have a name.
                speaker = NativeThread(self._tell, name="pelton-load-watch")
                with suppress(RuntimeError):
                    speaker.start()
                speaker.join()
        finally:
            self._gone.set()

    def _tell(self) -> None:
        passed = wait = self._first
        while True:
            LOGGER.warning(
                "%s is still loading the application after %.6g s; it is here:\n%s",
                self._name,
                passed,
                self._where(),
            )
            wait = min(wait * _LATER, _MOST)
            if self._loaded.wait(wait):
                return
            passed += wait

    def _where(self) -> str:
        return stack_within(self._thread, self._outer, getattr(self._greenlet, "gr_frame", None))
