"""Finds out which process is at the other end of a connection, where that is on this machine.

Owns the reading of ``/proc``: a connection's other end is a socket with both addresses swapped, which
``/proc/net/tcp`` shows with its inode, and ``/proc/PID/fd`` shows whose inode that is. Must not know why it
is asked. Runs on a thread that may take a moment; it costs some milliseconds for thousands of sockets, and
gives up what is beyond its bounds. Linux only, and within one network namespace.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_MOST_SOCKETS: Final = 100_000
_MOST_DESCRIPTORS: Final = 100_000
_MOST_PROCESSES: Final = 20_000
# The columns of /proc/net/tcp: local address, remote address, inode.
_LOCAL, _REMOTE, _INODE = 1, 2, 9

Address = tuple[str, int]
# A number that names it, the process at its other end if that is known, or the addresses of both ends, the
# other one first.
Connection = tuple[int, int | None, tuple[Address, Address] | None]


def owners(
    connections: Iterable[Connection], processes: Sequence[int], *, with_children: bool
) -> dict[int, int]:
    """Which of the connections come from one of ``processes``: the number of each, with the process.

    ``with_children``: also from what these have started, and whatever that has started; the process is then
    the one of ``processes`` that is its ancestor.
    """
    if not processes:
        return {}
    wanted = {number: pair for number, _, pair in connections if pair is not None}
    holders = {number: pid for number, pid, _ in connections if pid is not None}
    found = {number: pid for number, pid in holders.items() if pid in processes}
    inodes = _inodes(wanted)
    _match(found, inodes, {pid: pid for pid in processes})
    if with_children and (inodes or len(holders) > len(found)):
        descendants = descendants_of(processes, parents())
        found |= {number: descendants[pid] for number, pid in holders.items() if pid in descendants}
        _match(found, inodes, descendants)
    return found


def are_hidden(processes: Iterable[int]) -> bool:
    """Whether the system keeps the sockets of one of them from us, so that `owners` cannot find them.

    So it does with whoever was root and has become another user (proc(5), on /proc/PID/fd), even towards the
    same user.
    """
    for pid in processes:
        try:
            next((_PROC / str(pid) / "fd").iterdir(), None)
        except PermissionError:
            return True
        except OSError:
            # It has gone.
            continue
    return False


def _match(found: dict[int, int], inodes: dict[str, int], processes: Mapping[int, int]) -> None:
    """Move what these processes (each with the one that stands for it) hold from ``inodes`` to ``found``."""
    for pid, ancestor in processes.items():
        if not inodes:
            return
        for inode in _sockets_of(pid):
            number = inodes.pop(inode, None)
            if number is not None:
                found[number] = ancestor


def _inodes(wanted: Mapping[int, tuple[Address, Address]]) -> dict[str, int]:
    """The inodes of the other ends, with the connections' numbers."""
    inodes: dict[str, int] = {}
    if wanted:
        for table in ("tcp", "tcp6"):
            # Line by line: where memory is limited there may be none for a table of many sockets.
            path = _PROC / "net" / table
            with contextlib.suppress(OSError), path.open(encoding="ascii", errors="replace") as lines:
                inodes |= sockets_in(islice(lines, _MOST_SOCKETS), wanted)
    return inodes


def sockets_in(lines: Iterable[str], wanted: Mapping[int, tuple[Address, Address]]) -> dict[str, int]:
    """Those of ``/proc/net/tcp`` or ``tcp6`` with these addresses (local, remote): number by inode."""
    ends = {
        (_end(local, mapped), _end(remote, mapped)): number
        for number, (local, remote) in wanted.items()
        for mapped in (False, True)
    }
    found = {}
    for line in lines:
        columns = line.split()
        if len(columns) > _INODE:
            number = ends.get((columns[_LOCAL], columns[_REMOTE]))
            # 0: nobody has it open any more.
            if number is not None and columns[_INODE] != "0":
                found[columns[_INODE]] = number
    return found


def _end(address: Address, mapped: bool) -> str:
    """As the kernel writes it: each 32 bits as one number of this machine. ``mapped``: IPv4 within IPv6."""
    host, port = address
    if ":" in host:
        packed = socket.inet_pton(socket.AF_INET6, host)
    else:
        packed = socket.inet_pton(socket.AF_INET, host)
        if mapped:
            packed = bytes(10) + b"\xff\xff" + packed
    words = (int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4))
    return f"{''.join(f'{word:08X}' for word in words)}:{port:04X}"


def _sockets_of(pid: int) -> Iterator[str]:
    """The inodes of a process's sockets; none of one that has gone or belongs to somebody else."""
    directory = _PROC / str(pid) / "fd"
    with contextlib.suppress(OSError):
        for entry in islice(directory.iterdir(), _MOST_DESCRIPTORS):
            with contextlib.suppress(OSError):
                target = str(entry.readlink())
                if target.startswith("socket:["):
                    yield target[len("socket:[") : -1]


def parents() -> dict[int, int]:
    """The parent of each process there is."""
    found = {}
    with contextlib.suppress(OSError):
        numbers = (entry for entry in _PROC.iterdir() if entry.name.isdigit())
        for entry in islice(numbers, _MOST_PROCESSES):
            with contextlib.suppress(OSError, ValueError, IndexError):
                text = (entry / "stat").read_text(errors="replace")
                # The name stands in parentheses and may contain any character.
                found[int(entry.name)] = int(text[text.rindex(")") + 2 :].split()[1])
    return found


def descendants_of(processes: Sequence[int], parents: Mapping[int, int]) -> dict[int, int]:
    """All descendants of ``processes``, each with the one it descends from."""
    found: dict[int, int] = {}
    for pid in parents:
        way = []
        one = pid
        # Numbers are used again, so while the table was read a circle may have come about.
        while one in parents and one not in way and one not in processes and one not in found:
            way.append(one)
            one = parents[one]
        ancestor = found.get(one, one if one in processes else None)
        if ancestor is not None:
            found |= dict.fromkeys(way, ancestor)
    return found
