"""What a child tells its parent: what it consists of, and why it failed.

Owns the form: lines of JSON in a pipe. What is read is another process's word, and may be cut off at any
byte. Written by the child at its end; read by the parent, which never waits for it.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Any

from pelton.process.native_threads import read

# Of a traceback; a recursion without an end has thousands of lines.
_LONGEST = 100_000
# Of all that one child says.
_MOST = 8_000_000


@dataclass(frozen=True)
class Report:
    """``traceback``: of the exception that ended the child, empty without. ``files``: what it had imported or
    tried to. ``roots``: where it looked for modules. ``served``: whether it came to serve. ``early``: it ends
    because a file was changed before it could look.
    """

    traceback: str = ""
    files: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    served: bool = False
    early: bool = False


def write(descriptor: int, report: Report) -> None:
    """Write all of it; whether anybody reads is not known."""
    short = report.traceback
    if len(short) > _LONGEST:
        short = f"{short[: _LONGEST // 2]}\n[…]\n{short[-_LONGEST // 2 :]}"
    data = json.dumps({**asdict(report), "traceback": short}).encode() + b"\n"
    # The parent may have gone.
    with suppress(OSError):
        while data:
            data = data[os.write(descriptor, data) :]


class Reader:
    """Collects the reports of one child from its pipe, whose descriptor (non-blocking) stays the caller's."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._data = b""

    def fileno(self) -> int:
        """The pipe."""
        return self._descriptor

    def read(self) -> bool:
        """Take what there is; False at the end of the pipe."""
        while True:
            try:
                # eventlet's would wait, although the pipe is set not to.
                data = read(self._descriptor, 65536)
            except BlockingIOError:
                return True
            if not data:
                return False
            if len(self._data) < _MOST:
                self._data += data

    @property
    def last(self) -> Report:
        """The last whole report; an empty one where there is none."""
        for line in reversed(self._data.split(b"\n")[:-1]):
            with suppress(ValueError, TypeError):
                return _parsed(json.loads(line))
        return Report()


def _parsed(said: Any) -> Report:
    if not isinstance(said, dict):
        raise TypeError("a report is an object")
    known = {one.name for one in fields(Report)}
    given = {name: value for name, value in said.items() if name in known}
    for name in ("files", "roots"):
        given[name] = tuple(str(one) for one in given.get(name, ()))
    return Report(**given)
