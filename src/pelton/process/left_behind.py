"""Threads that stayed in the application's code when everything else had ended.

Owns the end of the process in that case. While the interpreter finalizes, it ends each thread that asks for
its lock, by unwinding the thread's stack (before Python 3.14). The native frames of a request's thread cannot
be unwound like that: the process would abort, with a core dump, after an orderly stop. So it ends itself
first, as the last thing before the interpreter would finalize.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
from contextlib import suppress
from typing import Protocol


class Living(Protocol):
    """A thread, or what stands for greenlets."""

    def is_alive(self) -> bool:
        """Whether it has not ended."""


_THREADS: list[Living] = []
_code: int | None = None


def leave_behind(thread: Living) -> None:
    """Remember a daemon thread that nobody waits for any more. From any thread."""
    _THREADS.append(thread)


def end_with(code: int) -> None:
    """End with ``code`` if the process has to be ended here, where the one it is to exit with is unknown."""
    global _code
    _code = code


# Registered at import, before everything that a user of pelton registers: so it runs after all of that.
@atexit.register
def _end_if_needed() -> None:
    if not any(thread.is_alive() for thread in _THREADS):
        return
    # What the interpreter would have done yet.
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    # `last_value` is what the interpreter has printed as unhandled.
    failed = getattr(sys, "last_value", None) is not None
    os._exit(1 if failed else _code or 0)
