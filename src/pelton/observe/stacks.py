"""Where every thread of this process is, as values: for ``pelton dump``, and for the sampler.

Owns the shape of a stack. What a thread waits for, and who holds it, is found as for the reports of time-outs
(`pelton.diagnostics`), which runs no code of the application. Any thread; the others go on meanwhile.
"""

from __future__ import annotations

import linecache
import sys
import threading
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any, Final

from pelton.diagnostics.holders import holders_of
from pelton.diagnostics.reading import MISSING, described, of_thread
from pelton.diagnostics.waits import Wait, wait_of

# Of one stack, the innermost.
MOST_FRAMES: Final = 200
# Of one process; more than any worker has.
MOST_THREADS: Final = 1000
_MOST_LINE: Final = 200
# In the paths of what others have written.
_LIBRARIES: Final = (
    "/site-packages/",
    "/dist-packages/",
    "<frozen ",
    f"{Path(threading.__file__).parent}/",
)
# Their hubs and pools wait for locks in ways of their own: one that is taken twice is no deadlock.
_GREEN: Final = ("/gevent/", "/eventlet/")
_PELTON: Final = f"{Path(__file__).parent.parent}/"
_OURS: Final = (_PELTON, threading.__file__)

# File, line, function; the innermost last.
Stack = list[tuple[str, int, str]]


def frames_of(frame: FrameType | None, *, ours: bool = False) -> Stack:
    """The stack that ends in this frame. Without ``ours``, how pelton has called is left out."""
    found: Stack = []
    while frame is not None and len(found) < MOST_FRAMES:
        code = frame.f_code
        found.append((code.co_filename, frame.f_lineno or code.co_firstlineno, code.co_qualname))
        frame = frame.f_back
    found.reverse()
    if not ours:
        first = next((at for at, one in enumerate(found) if not one[0].startswith(_OURS)), len(found))
        found = found[first:]
    return found


def application_frame(stack: Stack) -> tuple[str, int, str] | None:
    """The innermost frame that is neither a library's nor Python's own, or else the innermost one."""
    own = (one for one in reversed(stack) if not any(part in one[0] for part in _LIBRARIES))
    return next(own, stack[-1] if stack else None)


def shown(stack: Stack) -> list[dict[str, Any]]:
    """As JSON tells it, with the source's lines where there are any."""
    return [
        {"file": file, "line": line, "function": function, "code": _source(file, line)}
        for file, line, function in stack
    ]


def _source(file: str, line: int) -> str:
    text = linecache.getline(file, line).strip()
    return text if len(text) <= _MOST_LINE else f"{text[:_MOST_LINE]}…"


def thread_name(ident: int) -> str:
    """As the application has named it."""
    name = of_thread(ident, "_name")
    return name if type(name) is str else str(ident)


def native_id(ident: int) -> int | None:
    """The system's number of a thread, where `threading` knows it."""
    found = of_thread(ident, "_native_id")
    return found if type(found) is int else None


def threads_now() -> list[dict[str, Any]]:
    """Every thread: name, stack, and what it waits for."""
    frames = sys._current_frames()
    found = []
    waits: dict[int, int] = {}
    for ident, frame in islice(frames.items(), MOST_THREADS):
        entry: dict[str, Any] = {"ident": ident, "name": thread_name(ident), "stack": shown(frames_of(frame))}
        # Waiting, or looking, in pelton's own code, for whatever reason it was called.
        innermost = frame.f_code.co_filename
        is_green = any(part in innermost for part in _GREEN)
        entry["idle"] = (
            not entry["stack"] or innermost.startswith(_PELTON) or (is_green and _is_only_green(frame))
        )
        native = native_id(ident)
        if native is not None:
            entry["native_id"] = native
        wait = None if is_green else wait_at(ident, frame, frames)
        if wait is not None:
            entry["waits"] = wait
            if wait["lock"] and len(wait["held_by"]) == 1:
                waits[ident] = wait["held_by"][0]["ident"]
        found.append(entry)
    for one in found:
        if one["ident"] in waits and is_in_circle(one["ident"], waits):
            one["deadlock"] = True
    found.sort(key=lambda one: (one["idle"], str(one["name"])))
    return found


def _is_only_green(frame: FrameType) -> bool:
    """Whether none of its frames is the application's: a hub, or a thread of a pool."""
    own = (one for one in frames_of(frame) if not any(part in one[0] for part in _LIBRARIES))
    return next(own, None) is None


def is_in_circle(start: int, waits: Mapping[int, int]) -> bool:
    """Whether a thread waits, from holder to holder, for itself."""
    seen = set()
    at = waits.get(start)
    while at is not None and at not in seen:
        if at == start:
            return True
        seen.add(at)
        at = waits.get(at)
    return False


def wait_at(ident: int, frame: FrameType, frames: dict[int, FrameType]) -> dict[str, Any] | None:
    """What a thread waits for, and who has it; None where that cannot be known."""
    try:
        wait = wait_of(ident, frame)
        if wait is None:
            return None
        return {
            "for": wait.text,
            "how": wait.how,
            "object": _object(wait),
            "lock": wait.lock is not None,
            "held_by": [
                {
                    "ident": one.thread,
                    "name": thread_name(one.thread),
                    "how": one.how,
                    "function": one.function,
                    "file": one.filename,
                    "line": one.line,
                }
                for one in holders_of(wait, frames)
            ],
        }
    except Exception:
        # The threads go on while they are looked at: what cannot be known is left out.
        return None


def _object(wait: Wait) -> str:
    found = wait.what if wait.what is not MISSING else wait.lock
    return "" if found is None or found is MISSING else described(found)
