"""What most threads of a worker wait for, where that is one and the same thing.

Owns the search for it: a lock, a condition, a semaphore, a queue, as `pelton.diagnostics` finds them in
frames. Decides nothing, runs no code of the application, and costs little where threads wait for something
else: frames are compared before any source is read. Called on the thread "pelton-sizing".

Not looked for are sockets, though many threads may wait for one address: unlike a lock, a service at an
address may well serve more at once, and only it knows.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePath
from types import CodeType, FrameType
from typing import Final

from pelton.diagnostics.holders import holders_of
from pelton.diagnostics.reading import MISSING
from pelton.diagnostics.source import may_lock
from pelton.diagnostics.waits import LOOKED_THROUGH, Wait, wait_of

# Of the threads that stand at the same place so many are asked what for.
_ASKED: Final = 4


@dataclass(frozen=True, slots=True)
class Common:
    """So many threads wait for one thing; ``where`` and ``held`` are for people."""

    threads: int
    where: str
    held: str

    def __str__(self) -> str:
        return f"{self.where}{self.held}"


def common_wait(threads: Collection[int]) -> Common | None:
    """What more than half of these threads (idents) wait for, if it is one thing and can be known."""
    frames = sys._current_frames()
    places: dict[tuple[CodeType, int], list[int]] = defaultdict(list)
    for thread in threads:
        frame = frames.get(thread)
        if frame is not None:
            places[frame.f_code, frame.f_lasti].append(thread)
    if not places:
        return None
    (code, _), largest = max(places.items(), key=lambda one: len(one[1]))
    if 2 * len(largest) <= len(threads) or not may_lock(code):
        return None
    try:
        return _common_of(largest, frames)
    except Exception:
        # What other threads do meanwhile may spoil any of it; there is a next time.
        return None


def _common_of(threads: list[int], frames: dict[int, FrameType]) -> Common | None:
    found: Wait | None = None
    for thread in threads[:_ASKED]:
        wait = wait_of(thread, frames[thread])
        if wait is None or wait.what is MISSING:
            return None
        if found is not None and _object(wait) is not _object(found):
            return None
        found = wait
    if found is None:
        return None
    holders = holders_of(found, frames)
    held = ""
    if holders and holders[0].function:
        holder = holders[0]
        held = f", held by {holder.function} ({PurePath(holder.filename).name}:{holder.line})"
    return Common(len(threads), _where(found, frames[threads[0]]), held)


def _object(wait: Wait) -> object:
    return wait.what if wait.lock is None else wait.lock


def _where(wait: Wait, frame: FrameType) -> str:
    outer: FrameType | None = frame
    while outer is not None and outer.f_code.co_filename in LOOKED_THROUGH:
        outer = outer.f_back
    outer = outer or frame
    code = outer.f_code
    return f"{PurePath(code.co_filename).name}:{outer.f_lineno} ({code.co_qualname}, `{wait.how}`)"
