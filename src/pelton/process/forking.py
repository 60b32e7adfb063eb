"""Forks processes that never come back into the code of whoever forked them.

Owns what is the same for every child: signals, exit, what the parent registered. Must not know what the child
does. The process that forks has only its main thread.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from pelton.process import forks as _cuts_off  # noqa: F401  (what an application forks)
from pelton.process import left_behind as _registers_now  # noqa: F401  (not later, in the child)
from pelton.process.signals import Signals, take

# What the supervisor understands. A terminal, `kill` with a group, or `pkill` by name sends them to its
# children too, where the default is to die or to stop; the supervisor decides what they mean for them.
FOR_THE_SUPERVISOR = (
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGWINCH,
)


def fork(child: Callable[[], int | None], signals: Signals | None = None, *, keeps_exit: bool = False) -> int:
    """Fork a process that runs ``child`` and ends with the exit code it returns; returns its pid.

    ``signals``: those that the parent waits for. Raises OSError. In the child the signals for the supervisor
    do nothing and all others what they do by default, and nothing runs at its exit that was registered by the
    parent (unless ``keeps_exit``).
    """
    # What is buffered would be written by both.
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    # Until the child has let go of the parent's wake-up pipe, a signal for it would wake the parent.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _become(child, signals, before, keeps_exit)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _leave_to_the_supervisor() -> None:
    # By a handler and not by ignoring, which programs that the application executes would inherit.
    for number in FOR_THE_SUPERVISOR:
        take(number)
        # System calls of C code should not fail because of it.
        signal.siginterrupt(number, False)


def leave(code: int) -> NoReturn:
    """End this process as the interpreter would, but without waiting for any thread."""
    with suppress(Exception):
        atexit._run_exitfuncs()
    with suppress(Exception):
        logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def _become(
    child: Callable[[], int | None], signals: Signals | None, mask: set[int], keeps_exit: bool
) -> NoReturn:
    code = 1
    try:
        if signals is not None:
            signals.leave_to_parent()
        _leave_to_the_supervisor()
        # The parent's exit is not this one's. Also without what `pelton.process.left_behind` does there:
        # `leave` waits for no thread.
        if not keeps_exit:
            atexit._clear()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = child() or 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        with suppress(Exception):
            traceback.print_exc()
    finally:
        leave(code)
