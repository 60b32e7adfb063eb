"""What the reloader's parent tells its child, by variables of the environment.

Owns their names and forms. Must not know what either does with it. Any thread; read in the child before
anything else runs, so it imports next to nothing.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass

# Exit code of a child that wants to be started again.
RESTART = 3

_VARIABLE = "PELTON_RELOADER"
_RUN_MAIN = "WERKZEUG_RUN_MAIN"
_SERVER_FD = "WERKZEUG_SERVER_FD"


@dataclass(frozen=True)
class Inheritance:
    """What a child has from its parent.

    ``parent``: its pid. ``listeners``: descriptors of the listening sockets. ``report``: where the child
    writes what the parent has to know. ``since``: a file that was changed after this time (nanoseconds since
    1970) and before the first look has been missed by nobody else; 0: do not ask. ``waiting_in``,
    ``waiting_out``: the two ends of the socket in which idle connections wait for the next child.
    ``python_path``: PYTHONPATH as the user had it, None where it was not set.
    """

    parent: int
    listeners: tuple[int, ...]
    report: int
    since: int
    waiting_in: int
    waiting_out: int
    python_path: str | None

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All that the child is given."""
        return (*self.listeners, self.report, self.waiting_in, self.waiting_out)


def environment_with(inheritance: Inheritance, environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` as the child gets it."""
    return {
        **environment,
        _RUN_MAIN: "true",
        _SERVER_FD: str(inheritance.listeners[0]),
        _VARIABLE: json.dumps(asdict(inheritance)),
    }


def is_child() -> bool:
    """Whether this process was started by a reloader, whose child it is; also by Werkzeug's own."""
    return os.environ.get(_RUN_MAIN) == "true"


@functools.cache
def inheritance() -> Inheritance | None:
    """What this process has from its parent; None where it has none.

    A program that the child executes has the same environment, but not the descriptors.
    """
    text = os.environ.get(_VARIABLE)
    if text is None or not is_child():
        return None
    fields = json.loads(text)
    fields["listeners"] = tuple(fields["listeners"])
    found = Inheritance(**fields)
    return found if found.parent == os.getppid() else None


def inherited_descriptors() -> list[int]:
    """The listening sockets that the child serves on; empty where nobody has left any."""
    found = inheritance()
    if found is not None:
        return list(found.listeners)
    werkzeug = os.environ.get(_SERVER_FD, "")
    if not is_child() or _VARIABLE in os.environ or not werkzeug.isdecimal():
        return []
    return [int(werkzeug)]
