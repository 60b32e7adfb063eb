"""Which files requests write, that several workers would write at once.

Owns a hook for what Python opens (PEP 578); it stays for the rest of the process. A file whose name is
another one each time is nobody else's, and one that is locked (fcntl) is shared on purpose. Main thread.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pelton.audit.calling import Application, call
from pelton.audit.finding import Finding, Kind
from pelton.audit.modules import where
from pelton.requests.request import Request

_TIMES: Final = 2
_WRITING: Final = os.O_WRONLY | os.O_RDWR
_ELSEWHERE: Final = ("/dev/", "/proc/", "/sys/")


class _Watch:
    def __init__(self) -> None:
        self.is_on = False
        self.opened: list[tuple[str, str]] = []
        self.has_locked = False
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_on:
            return
        if event in ("fcntl.flock", "fcntl.lockf"):
            self.has_locked = True
        elif event == "open":
            path, mode, flags = arguments
            writes = any(letter in mode for letter in "wa+") if mode else bool(flags & _WRITING)
            if writes and not isinstance(path, int) and not flags & os.O_EXCL:
                self.opened.append((str(Path(os.fsdecode(path)).absolute()), where(sys._getframe(1))))


def look_for_files(application: Application, requests: list[Request]) -> Iterator[Finding]:
    """Send each request twice; what both have written is named."""
    watch = _Watch()
    named = set()
    temporary = str(Path(tempfile.gettempdir()).resolve()) + "/tmp"
    for request in requests:
        written: list[dict[str, str]] = []
        watch.has_locked = False
        for _ in range(_TIMES):
            watch.opened = []
            watch.is_on = True
            try:
                call(application, request)
            finally:
                watch.is_on = False
            written.append(dict(watch.opened))
        for path, place in written[0].items():
            is_ours = path.startswith((*_ELSEWHERE, temporary)) or path.endswith((".pyc", ".lock"))
            if path in written[1] and path not in named and place and not is_ours and not watch.has_locked:
                named.add(path)
                reason = "Each request writes it: two workers do so at once."
                yield Finding(Kind.FILE_WRITTEN, path, place, str(request), reason)
