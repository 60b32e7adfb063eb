"""What the kernel says of the threads of another process: the only view into one that does not answer.

Owns the reading of /proc. What may not be read, such as kernel stacks without privileges, is left out. Any
thread; Linux only, elsewhere there is nothing to see.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
# Of one process; a front has three.
_MOST_THREADS: Final = 20
_STATES: Final = {
    "R": "running",
    "S": "sleeping",
    "D": "waiting for the disk or another device",
    "T": "stopped by a signal",
    "t": "stopped by a debugger",
    "Z": "ended",
    "X": "ended",
}


def kernel_view(pid: int) -> str:
    """State, and place in the kernel, of each thread of process ``pid``: indented lines. Never raises."""
    threads: list[Path] = []
    with suppress(OSError):
        threads = sorted((_PROC / str(pid) / "task").iterdir(), key=lambda one: int(one.name))
    lines = [line for thread in threads[:_MOST_THREADS] for line in _thread(thread)]
    return "\n".join(lines) if lines else "  (nothing)"


def _thread(directory: Path) -> list[str]:
    status = dict(line.split(":\t", 1) for line in _read(directory / "status").splitlines() if ":\t" in line)
    letter = status.get("State", "?")[:1]
    lines = [
        f'thread "{_shown(status.get("Name", "?"))}" (tid {directory.name}): {_STATES.get(letter, letter)}'
    ]
    # "0" for a thread that runs.
    if (place := _read(directory / "wchan")) not in ("", "0"):
        lines.append(f"in {place}")
    # The number of the call, its arguments, stack pointer and program counter; or a word.
    if call := _read(directory / "syscall"):
        lines.append(f"system call {call}")
    return [f"  {', '.join(lines)}", *(f"    {one}" for one in _read(directory / "stack").splitlines())]


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _shown(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)
