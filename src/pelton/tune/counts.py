"""What the workers count, in a file for each process that whoever tunes can read at any time.

Owns the layout: a head (processor time of the process, requests), then a row for each different request. One
writer at a time, under a lock of its process; a reader may be a request late, never wrong by more.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HEAD: Final = struct.Struct("=qq")
_ROW: Final = struct.Struct("=qqqqqq")
_SUFFIX: Final = ".counts"


@dataclass
class Row:
    """Sums of one request. ``traced``: how many of them were looked at for memory."""

    count: int = 0
    computing_ns: int = 0
    duration_ns: int = 0
    traced: int = 0
    most_bytes: int = 0
    kept_bytes: int = 0

    def add(self, other: Row) -> None:
        """Another process's, or a later one's."""
        self.count += other.count
        self.computing_ns += other.computing_ns
        self.duration_ns += other.duration_ns
        self.traced += other.traced
        self.most_bytes = max(self.most_bytes, other.most_bytes)
        self.kept_bytes += other.kept_bytes

    def since(self, before: Row) -> Row:
        """What has been added; the largest stays what it is."""
        return Row(
            self.count - before.count,
            self.computing_ns - before.computing_ns,
            self.duration_ns - before.duration_ns,
            self.traced - before.traced,
            self.most_bytes,
            self.kept_bytes - before.kept_bytes,
        )


@dataclass(frozen=True)
class Counted:
    """What all workers of a server have counted until now."""

    cpu_ns: int
    requests: int
    rows: tuple[Row, ...]

    def since(self, before: Counted) -> Counted:
        """What was added."""
        rows = tuple(after.since(old) for after, old in zip(self.rows, before.rows, strict=True))
        return Counted(self.cpu_ns - before.cpu_ns, self.requests - before.requests, rows)


class Writer:
    """A process's file."""

    def __init__(self, folder: Path, rows: int) -> None:
        self._lock = threading.Lock()
        self._rows = rows
        path = folder / f"{os.getpid()}{_SUFFIX}"
        with path.open("w+b") as file:
            file.truncate(_HEAD.size + rows * _ROW.size)
            self._map = mmap.mmap(file.fileno(), 0)
        # The start of the process, and the import of the application, are no request's.
        self._cpu_ns = time.process_time_ns()

    def add(self, at: int, row: Row) -> None:
        """One more request. A number that no row has is left out."""
        if not 0 <= at < self._rows:
            return
        with self._lock:
            _, requests = _HEAD.unpack_from(self._map)
            place = _HEAD.size + at * _ROW.size
            sums = Row(*_ROW.unpack_from(self._map, place))
            sums.add(row)
            _ROW.pack_into(self._map, place, *vars(sums).values())
            _HEAD.pack_into(self._map, 0, time.process_time_ns() - self._cpu_ns, requests + 1)


def read(folder: Path, rows: int) -> Counted:
    """The sums of all processes."""
    none = Counted(0, 0, tuple(Row() for _ in range(rows)))
    found = (_read_one(path.read_bytes(), rows) for path in sorted(folder.glob(f"*{_SUFFIX}")))
    return added([none, *found])


def _read_one(data: bytes, rows: int) -> Counted:
    if len(data) < _HEAD.size + rows * _ROW.size:
        # It is just being made.
        return Counted(0, 0, tuple(Row() for _ in range(rows)))
    found = tuple(Row(*_ROW.unpack_from(data, _HEAD.size + at * _ROW.size)) for at in range(rows))
    cpu, requests = _HEAD.unpack_from(data)
    return Counted(cpu, requests, found)


def added(all_of_them: Iterable[Counted]) -> Counted:
    """Sums of several processes."""
    cpu, requests, sums = 0, 0, list[Row]()
    for one in all_of_them:
        cpu, requests = cpu + one.cpu_ns, requests + one.requests
        sums = sums or [Row() for _ in one.rows]
        for whole, row in zip(sums, one.rows, strict=True):
            whole.add(row)
    return Counted(cpu, requests, tuple(sums))
