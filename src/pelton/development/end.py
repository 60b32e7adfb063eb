"""Why a development server ends, and what its caller makes of that.

Owns the request to end that comes from other threads (a changed file, an exception that is let through). Any
thread; `leave` on the one that called ``run_simple``.
"""

from __future__ import annotations

import enum
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

from pelton.process.native_threads import allocate_lock

# What the reloader's parent takes for "start me again"; Werkzeug's number, and so known to other tools.
AGAIN: Final = 3


class Why(enum.Enum):
    """The first reason counts."""

    INTERRUPTED = "Ctrl-C"
    TERMINATED = "SIGTERM"
    CHANGED = "a file has changed"
    RAISED = "an exception was let through"
    ENDED = "it ended by itself"


class EndRequest:
    """May be asked to end at any time, also before anybody serves."""

    def __init__(self) -> None:
        # A real one: a change is reported on a real thread, whatever the application's are.
        self._lock = allocate_lock()
        self._why: Why | None = None
        self._wake: Callable[[], object] | None = None

    @property
    def why(self) -> Why | None:
        """None as long as nobody has asked."""
        with self._lock:
            return self._why

    def end(self, why: Why) -> None:
        """Ask for the end."""
        with self._lock:
            if self._why is not None:
                return
            self._why, wake = why, self._wake
        if wake is not None:
            wake()

    def heard_by(self, wake: Callable[[], object]) -> None:
        """Call ``wake`` once it is asked, at once if it was already."""
        with self._lock:
            self._wake = wake
            asked = self._why is not None
        if asked:
            wake()


def leave(why: Why) -> None:
    """After everything has ended and signal handlers are the program's own again: what Werkzeug would do.

    Returns after Ctrl-C, so that the script goes on behind ``app.run()``. Raises SystemExit after a change.
    SIGTERM is delivered once more, and by default ends the process.
    """
    match why:
        case Why.CHANGED:
            sys.exit(AGAIN)
        case Why.TERMINATED:
            # The parent (a shell, Docker, a test) sees the truth: ended by this signal.
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os.kill(os.getpid(), signal.SIGTERM)
