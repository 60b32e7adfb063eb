"""Process 1 of a container: what it owes to all others there, done beside the one that serves.

Owns that small process. Process 1 has to wait for every orphan of its container, and the system ignores
signals for it that it does not handle. Where the application runs in the same process, neither fits: to wait
for whatever ends would take the exit codes of the application's own children from it. So the command goes on
in a child, and process 1 waits and passes signals on. Before anything is imported, opened or started; main
thread.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import NoReturn

# Faults of a process's own, and what the system does about terminals.
_NOT_PASSED_ON = frozenset(
    {
        signal.SIGCHLD,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGTRAP,
        signal.SIGSYS,
        signal.SIGTTIN,
        signal.SIGTTOU,
    }
)


def leave_first_place() -> None:
    """If this is process 1: go on as a child of it. Otherwise nothing. Raises OSError."""
    if os.getpid() != 1:
        return
    # Held back from here on, so that none is lost: also those that the system would ignore for process 1.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    child = os.fork()
    if child != 0:
        _be_first(child)
    # A group of its own: what a terminal sends goes to it alone, and not a second time by process 1.
    os.setpgid(0, 0)
    _take_terminal()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _take_terminal() -> None:
    # Stopped for it otherwise, as a process in the background; all signals are held back.
    with suppress(OSError):
        if os.isatty(0):
            os.tcsetpgrp(0, os.getpgrp())


def _be_first(child: int) -> NoReturn:
    while True:
        number = signal.sigwait(signal.valid_signals())
        if number not in _NOT_PASSED_ON:
            with suppress(ProcessLookupError):
                os.kill(child, number)
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0] != 0:
                if ended[0] == child:
                    code = os.waitstatus_to_exitcode(ended[1])
                    # As shells tell of a signal; and everybody else of the container ends with process 1.
                    os._exit(code if code >= 0 else 128 - code)
