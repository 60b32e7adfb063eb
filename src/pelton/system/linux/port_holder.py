"""Which process listens on a port, as far as this user may know.

Owns the look into /proc; other systems get no answer. Must not raise: it only makes an error message better.
Any thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# The state in /proc/net/tcp.
_LISTENS: Final = "0A"
_LONGEST_COMMAND: Final = 120


@dataclass(frozen=True)
class Holder:
    """A process. ``command``: its command line, shortened, in one line."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.command})" if self.command else f"pid {self.pid}"


def holders_of(port: int, proc: Path = Path("/proc")) -> list[Holder]:
    """The processes that listen on this port, by pid; empty where nobody may know."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port, proc)}
    if not sockets:
        return []
    found = []
    with contextlib.suppress(OSError):
        for entry in proc.iterdir():
            if entry.name.isascii() and entry.name.isdigit() and _holds(entry, sockets):
                found.append(Holder(int(entry.name), _command(entry)))
    return sorted(found, key=lambda one: one.pid)


def _listening(port: int, proc: Path) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        # Of this network namespace only: in another one the port is not taken.
        with contextlib.suppress(OSError, ValueError, IndexError):
            for line in (proc / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _holds(process: Path, sockets: set[str]) -> bool:
    # Processes of others may not be looked at, and any may end meanwhile.
    with contextlib.suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                if str(descriptor.readlink()) in sockets:
                    return True
    return False


def _command(process: Path) -> str:
    try:
        text = (process / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
    # It is the other program's own text, and must not drive the terminal.
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= _LONGEST_COMMAND else f"{text[:_LONGEST_COMMAND]}…"
