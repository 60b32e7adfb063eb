"""What this machine, or the container in it, lets us use.

Owns the reading of cgroups and /proc. Must not know settings, nor what follows from what is found. ``root``:
where ``/proc`` and ``/sys`` are looked for. Called at start, by the supervisor, and by ``pelton doctor``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

_ROOT: Final = Path("/")
# Old cgroups say "no limit" by the largest number of whole pages.
_NO_LIMIT: Final = 1 << 60


def processors(root: Path = _ROOT) -> float:
    """Processors that this process may use, by affinity and by every quota above it; a fraction at times."""
    found = float(len(os.sched_getaffinity(0)))
    for directory in _groups(root, "cpu"):
        quota = _quota(directory)
        if quota is not None:
            found = min(found, quota)
    return found


def memory_limit(root: Path = _ROOT) -> int | None:
    """Bytes of memory for this process and those beside it: the machine's, or a cgroup's lowest limit."""
    limits = [_machine_memory(root)]
    for directory in _groups(root, "memory"):
        limits.append(_number(directory / "memory.max"))
        limits.append(_number(directory / "memory.limit_in_bytes"))
    known = [one for one in limits if one is not None and one < _NO_LIMIT]
    return min(known, default=None)


def processes_limit(root: Path = _ROOT) -> tuple[int, int] | None:
    """The tightest limit of a cgroup on processes and threads, and how many it has; None without one."""
    found: tuple[int, int] | None = None
    for directory in _groups(root, "pids"):
        limit, used = _number(directory / "pids.max"), _number(directory / "pids.current")
        if limit is not None and used is not None and (found is None or limit - used < found[0] - found[1]):
            found = (limit, used)
    return found


def tasks_of_user(user: int, root: Path = _ROOT) -> int:
    """How many processes and threads a user has, as far as they can be seen: what RLIMIT_NPROC counts."""
    count = 0
    with os.scandir(root / "proc") as entries:
        for entry in entries:
            # Whatever ends meanwhile does not count.
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and entry.stat().st_uid == user:
                    count += sum(1 for _ in (root / "proc" / entry.name / "task").iterdir())
    return count


def memory_left(root: Path = _ROOT) -> int | None:
    """Bytes until the tightest memory limit of a cgroup is reached; None where none is set.

    What the kernel can take back (inactive pages of files) counts as free.
    """
    found: list[int] = []
    for directory in _groups(root, "memory"):
        limit, used = _number(directory / "memory.max"), _number(directory / "memory.current")
        if limit is None or used is None:
            limit = _number(directory / "memory.limit_in_bytes")
            used = _number(directory / "memory.usage_in_bytes")
        if limit is not None and used is not None and limit < _NO_LIMIT:
            found.append(limit - used + _reclaimable(directory))
    return min(found, default=None)


def _reclaimable(directory: Path) -> int:
    for line in _read(directory / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file") and value.isdigit():
            return int(value)
    return 0


def idle_time(root: Path = _ROOT) -> float | None:
    """Seconds that the machine's processors have had nothing to do, summed; None where that is not known."""
    fields = _read(root / "proc" / "stat").partition("\n")[0].split()
    if len(fields) < 6 or fields[0] != "cpu" or not (fields[4].isdigit() and fields[5].isdigit()):
        return None
    # What waits for a disk leaves its processor to others.
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


def throttled(root: Path = _ROOT) -> tuple[int, int] | None:
    """Periods of this process's processor quota so far, and in how many it was met; None without a quota."""
    for directory in _groups(root, "cpu"):
        lines = (line.partition(" ") for line in _read(directory / "cpu.stat").splitlines())
        fields = {name: int(value) for name, _, value in lines if value.isdigit()}
        if "nr_periods" in fields and "nr_throttled" in fields:
            return fields["nr_periods"], fields["nr_throttled"]
    return None


def pressure(what: str) -> float | None:
    """Percent of the last minute in which something waited for ``cpu``, ``memory``, ``io``; None: unknown."""
    for word in _read(_ROOT / "proc" / "pressure" / what).split():
        name, _, value = word.partition("=")
        if name == "avg60":
            with contextlib.suppress(ValueError):
                return float(value)
            break
    return None


def longest_backlog() -> int | None:
    """How many connections the kernel lets wait to be accepted, whatever a program asks for."""
    return _number(_ROOT / "proc" / "sys" / "net" / "core" / "somaxconn")


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The directories whose limits hold for this process, from its own group up to the outermost visible."""
    mounts = root / "sys" / "fs" / "cgroup"
    for line in _read(root / "proc" / "self" / "cgroup").splitlines():
        _, names, path = (*line.split(":", 2), "", "")[:3]
        if names == "":
            # Version 2; below "unified" where both versions are there.
            yield from _upwards(mounts, path)
            yield from _upwards(mounts / "unified", path)
        elif controller in names.split(","):
            for directory in dict.fromkeys((names, controller)):
                yield from _upwards(mounts / directory, path)


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    # A container may see its own group as the mount's root, under a path that exists only outside; and
    # ".." is what is above the container's view.
    group = PurePosixPath(*(one for one in path.split("/") if one not in ("", "..")))
    yield from (mount / one for one in (group, *group.parents))


def _quota(directory: Path) -> float | None:
    fields = _read(directory / "cpu.max").split()
    if not fields:
        fields = [
            _read(directory / "cpu.cfs_quota_us").strip(),
            _read(directory / "cpu.cfs_period_us").strip(),
        ]
    if len(fields) != 2 or not all(one.isdigit() for one in fields) or int(fields[1]) == 0:
        # "max", -1, or nothing at all.
        return None
    return int(fields[0]) / int(fields[1])


def _machine_memory(root: Path) -> int | None:
    for line in _read(root / "proc" / "meminfo").splitlines():
        name, _, value = line.partition(":")
        amount = value.split()
        if name == "MemTotal" and amount and amount[0].isdigit():
            return int(amount[0]) * 1024
    return None


def _number(file: Path) -> int | None:
    text = _read(file).strip()
    return int(text) if text.isdigit() else None


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
