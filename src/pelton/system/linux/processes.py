"""What the kernel tells of a process by its number. Never raises: it may end at any moment. Any thread."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Figures:
    """What the system says of a process; zeros where it says nothing."""

    memory_bytes: int = 0
    threads: int = 0
    cpu_seconds: float = 0.0
    age_seconds: float = 0.0


def figures_of(pid: int) -> Figures:
    """Look at it now."""
    fields = _stat(_ROOT, pid)
    try:
        # Counted from the third field of proc(5), the state.
        user, system, threads, start = (int(fields[at]) for at in (11, 12, 17, 19))
    except (ValueError, IndexError):
        return Figures()
    return Figures(
        memory_bytes=memory_of(pid) or 0,
        threads=threads,
        cpu_seconds=(user + system) / _TICKS,
        # Both since the machine was started.
        age_seconds=max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - start / _TICKS),
    )


def memory_of(pid: int, root: Path = _ROOT) -> int | None:
    """The resident memory of a process in bytes, as ``top`` shows it; None when there is no such process.

    What it shares with others counts in each of them, also the memory between front and workers.
    """
    fields = _read(root / "proc" / str(pid) / "statm").split()
    if len(fields) < 2 or not fields[1].isdigit():
        return None
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def processor_time_of(pid: int, root: Path = _ROOT) -> float | None:
    """Seconds of processor time that a process has used; None when there is no such process."""
    fields = _stat(root, pid)
    if len(fields) < 13 or not (fields[11].isdigit() and fields[12].isdigit()):
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS


def exact_processor_time_of(pid: int) -> float:
    """Of all threads that a process has now, exact to far less than a tick."""
    total = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += int(path.read_text().split()[0])
    return total / 1e9


def unit_of(pid: int) -> str | None:
    """The unit of systemd that a process belongs to, if it is a service."""
    last = _read(_ROOT / "proc" / str(pid) / "cgroup").strip().rpartition("/")[2]
    return last if last.endswith(".service") else None


def _stat(root: Path, pid: int) -> list[str]:
    # The name, in parentheses, may have any characters.
    return _read(root / "proc" / str(pid) / "stat").rpartition(")")[2].split()


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
