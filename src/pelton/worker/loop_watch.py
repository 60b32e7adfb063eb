"""Reports code that blocks the event loop, with the stack of who does it.

Owns a thread, "pelton-loop-watch", that asks the loop again and again for a sign of life. Must not know
what runs on the loop. Nothing is interrupted: which callback of the application may be cut short, nobody
knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import selectors
import sys
import threading
import time
from pathlib import Path
from typing import Final

from pelton.diagnostics.stacks import report

LOGGER = logging.getLogger("pelton")

# In these the loop waits, or is about to: then it is the machine that is slow, and no callback.
_IDLE: Final = (str(Path(asyncio.__file__).parent), selectors.__file__, str(Path(__file__).parent))


class LoopWatch:
    """Watches ``loop``, which runs on ``thread``; ``seconds``: how long it may be away."""

    def __init__(self, loop: asyncio.AbstractEventLoop, thread: threading.Thread, seconds: float) -> None:
        self._loop = loop
        self._watched = thread
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pelton-loop-watch", daemon=True)

    def start(self) -> None:
        """Start the thread; once, when the loop runs."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end. Returns at once."""
        self._ended.set()

    def _run(self) -> None:
        # Twice in the time that is allowed, so that nothing of one and a half times its length is missed.
        while not self._ended.wait(self._seconds / 2):
            sign = threading.Event()
            asked = time.monotonic()
            # The loop may be closed between two questions.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(sign.set)
                if not sign.wait(self._seconds) and self._tell():
                    self._wait_for(sign, asked)

    def _tell(self) -> bool:
        ident = self._watched.ident or 0
        frame = sys._current_frames().get(ident)
        if frame is None or self._ended.is_set() or frame.f_code.co_filename.startswith(_IDLE):
            return False
        LOGGER.warning(
            "The event loop has been blocked for %.1f s; other tasks and callbacks wait. It is here:\n%s",
            self._seconds,
            report(ident),
        )
        return True

    def _wait_for(self, sign: threading.Event, asked: float) -> None:
        while not sign.wait(self._seconds):
            if self._ended.is_set() or not self._watched.is_alive():
                return
        LOGGER.warning("The event loop runs again, after %.1f s.", time.monotonic() - asked)
