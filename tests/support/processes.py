"""Processes as the kernel lists them: who is whose child, who belongs to a group, who is a zombie. Linux
only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """What /proc/PID/stat says."""

    pid: int
    state: str
    parent: int
    group: int

    @property
    def runs(self) -> bool:
        """Neither a zombie nor dead."""
        return self.state not in "ZX"


def process(pid: int) -> Process | None:
    """None when it has gone."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in parentheses and may contain any character.
    fields = text[text.rindex(")") + 2 :].split()
    return Process(pid, fields[0], int(fields[1]), int(fields[2]))


def everybody() -> list[Process]:
    """All processes of the system."""
    found = [process(int(entry.name)) for entry in _PROC.iterdir() if entry.name.isdigit()]
    return [one for one in found if one is not None]


def runs(pid: int) -> bool:
    """Whether it is there and no zombie."""
    found = process(pid)
    return found is not None and found.runs


def children_of(pid: int) -> list[int]:
    """Its children that run."""
    return [one.pid for one in everybody() if one.parent == pid and one.runs]


def zombies_of(pid: int) -> list[int]:
    """Its children that have ended and were not waited for."""
    return [one.pid for one in everybody() if one.parent == pid and not one.runs]


def group_of(leader: int) -> list[int]:
    """The processes of a group that run."""
    return [one.pid for one in everybody() if one.group == leader and one.runs]


def sleeps(pid: int) -> bool:
    """Whether each of its threads waits for something: none computes or is about to."""
    for thread in (_PROC / str(pid) / "task").iterdir():
        text = (thread / "stat").read_text()
        if text[text.rindex(")") + 2] not in "SI":
            return False
    return True
