"""What the kernel says of a thread of this process. Any thread may ask."""

from __future__ import annotations

import contextlib
import os
import platform
from enum import Enum, auto
from pathlib import Path
from typing import Final

# Numbers of system calls, by the machine: those of futexes, of sleeping, and of input and output.
_X86: Final = (0, 1, 7, 17, 18, 19, 20, 23, 40, 42, 43, 44, 45, 46, 47, 61, 74, 75, 232, 270, 271, 281, 288)
_ARM: Final = (22, 63, 64, 65, 66, 67, 68, 71, 72, 73, 82, 83, 95, 202, 203, 206, 207, 211, 212, 242, 260)
_CALLS: Final[dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]] = {
    "x86_64": ((202, 449), (35, 230), _X86),
    "aarch64": ((98, 449), (101, 115), _ARM),
}
_FUTEX, _SLEEP, _IO = _CALLS.get(platform.machine(), ((), (), ()))
# Of a name that ps shows.
_LONGEST_NAME: Final = 15


class Waiting(Enum):
    """What a thread waits for, by the system call that it is in."""

    NOTHING = auto()
    LOCK = auto()
    SLEEP = auto()
    IO = auto()
    OTHER = auto()
    UNKNOWN = auto()


def waits_for(native: int) -> Waiting:
    """Of the thread with this number; unknown where it has ended, or the system does not say."""
    try:
        word = Path(f"/proc/self/task/{native}/syscall").read_text().split()[0]
        number = None if word == "running" else int(word)
    except (OSError, ValueError, IndexError):
        return Waiting.UNKNOWN
    if number is None:
        return Waiting.NOTHING
    if number in _IO:
        return Waiting.IO
    if number in _SLEEP:
        return Waiting.SLEEP
    return Waiting.LOCK if number in _FUTEX else Waiting.OTHER


def thread_clocks(native: int | None) -> tuple[float, float]:
    """Seconds in which a thread has computed, and in which it was ready and had no processor."""
    try:
        fields = Path(f"/proc/self/task/{native}/schedstat").read_text().split()
        return int(fields[0]) / 1e9, int(fields[1]) / 1e9
    except (OSError, ValueError, IndexError):
        # It has just ended, or the system does not say.
        return 0.0, 0.0


def name_thread(name: str) -> None:
    """Have ps and top show this process, whose first thread we are, by this name; its end is cut off."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_bytes(os.fsencode(name)[:_LONGEST_NAME])
