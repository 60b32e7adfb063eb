"""The terminal's state, which outlives a process that has changed it.

Owns what it was when the reloader began. A debugger at the prompt (pdb, readline) switches echo and line
editing off; killed by a reload it cannot switch them on again. Main thread of the parent.
"""

from __future__ import annotations

import os
import sys
import termios
from contextlib import suppress
from typing import Any


class Terminal:
    """That of the standard input, if it is one."""

    def __init__(self) -> None:
        self._descriptor = -1
        self._before: list[Any] = []
        # Without a standard input, or with one that is no terminal, there is nothing to keep.
        with suppress(AttributeError, OSError, ValueError, termios.error):
            descriptor = sys.stdin.fileno()
            self._before = termios.tcgetattr(descriptor)
            self._descriptor = descriptor

    def restore(self) -> None:
        """Put it back into the state in which it was found."""
        if self._descriptor < 0:
            return
        with suppress(OSError, termios.error):
            # In the background the system would stop the process for it (SIGTTOU).
            if os.tcgetpgrp(self._descriptor) == os.getpgrp() and (
                termios.tcgetattr(self._descriptor) != self._before
            ):
                termios.tcsetattr(self._descriptor, termios.TCSANOW, self._before)
