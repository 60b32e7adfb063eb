"""What becomes of a process that the application forks from one that serves.

Owns the end of a child that comes back out of the application's code, and what a child must not keep of its
parent in Python: the meaning of signals. That it reaches nobody (the link, the front, clients, the
supervisor) is the native module's doing, which notices each `fork` of the C library, whoever calls it.

`os.fork` runs `_in_child` on the thread that forked, the only one of the child. It may be in the middle of
anything, so nothing here waits or takes a lock.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from contextlib import suppress
from typing import Any, NoReturn

from pelton._engine import Origin
from pelton.process.signals import nothing

LOGGER = logging.getLogger("pelton")

_RAISED = 1

# The greenlet that has forked this process, where there are greenlets: others came along.
_forker: Any = None


def come_back(error: BaseException | None) -> NoReturn:
    """A forked child has come out of the application's code: end it, with the code that ``error`` asks for.

    As ``os._exit``: what was registered for the exit is the parent's business.
    """
    _wait_if_not_forker()
    code = _code_of(error)
    with suppress(Exception):
        LOGGER.warning(
            "A process that the application has forked (pid %d) came back from the application's code; it "
            "ends with exit code %d. Its parent answers the request. Let such a child end by itself, with "
            "os._exit().",
            os.getpid(),
            code,
        )
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def leave_if_child(origin: Origin, error: BaseException | None = None) -> None:
    """The same, if this process was forked since ``origin`` was made; otherwise nothing."""
    if not origin.is_here():
        come_back(error)


def _code_of(error: BaseException | None) -> int:
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        if error.code is None:
            return 0
        if isinstance(error.code, int):
            return error.code & 0xFF
        with suppress(Exception):
            print(error.code, file=sys.stderr)
        return _RAISED
    with suppress(Exception):
        traceback.print_exception(error)
    return _RAISED


def _wait_if_not_forker() -> None:
    """For a greenlet that was there when another one forked: its request is its parent's, and it rests."""
    greenlet = sys.modules.get("greenlet")
    if greenlet is None or _forker is None:
        return
    while (current := greenlet.getcurrent()) is not _forker and current.parent is not None:
        current.parent.switch()


def _in_child() -> None:
    global _forker
    greenlet = sys.modules.get("greenlet")
    _forker = greenlet.getcurrent() if greenlet is not None else None
    ours = [number for number in signal.valid_signals() if signal.getsignal(number) is nothing]
    # On a thread of C code that the interpreter does not take for the main one, nothing can be set.
    with suppress(ValueError, OSError):
        if ours:
            # The pipe that is written to leads nowhere by now.
            signal.set_wakeup_fd(-1)
        for number in ours:
            # What pelton waits for means here what it means to any program.
            is_interrupt = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if is_interrupt else signal.SIG_DFL)


os.register_at_fork(after_in_child=_in_child)
