"""Python stacks of other threads as text, and the report about a thread that does not come on.

Owns wording and bounds of both. Called from any thread that holds the GIL for it; the others go on meanwhile,
so all of it is a snapshot that may be blurred, except for threads that do not move.
"""

from __future__ import annotations

import importlib
import itertools
import logging
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Final, TypeVar

from pelton.diagnostics.holders import Holder, holders_of
from pelton.diagnostics.reading import MISSING, described, of_thread
from pelton.diagnostics.waits import Wait, wait_of

LOGGER = logging.getLogger("pelton")

# Of one stack, the innermost: what is above them is how the request came there.
_MOST_FRAMES: Final = 100
# Threads in one report: the one asked for and those that it waits for.
_MOST_THREADS: Final = 20
_MOST_COLUMNS: Final = 300
# With all that, what may reach the log for one request.
_MOST_TEXT: Final = 64 * 1024

_Result = TypeVar("_Result")

# What runs elsewhere for a thread that is in this code, as lines; see `continues`.
_CONTINUATIONS: Final[dict[CodeType, Callable[[FrameType], list[str]]]] = {}

_GONE: Final = "  (it has just ended)"
# Above the application's own frames are only how the thread was started and how it calls.
_IMPORTS: Final = ("<frozen importlib", importlib.__file__)
_OURS: Final = (f"{Path(__file__).parent.parent}/", threading.__file__)


def continues(code: CodeType, lines: Callable[[FrameType], list[str]]) -> None:
    """Say that what a thread waits for in ``code`` runs elsewhere; ``lines`` gives the lines about it.

    It is called with the thread's frame of that code, while the thread may go on.
    """
    _CONTINUATIONS[code] = lines


def stack_of(ident: int) -> str:
    """Where the thread with this ident is: its Python stack, innermost frame last, indented, many lines.

    The frames of pelton and of the thread's start, through which every request comes, are left out. Never
    raises.
    """
    return _safely(lambda: _stack(sys._current_frames().get(ident)), "  (its stack cannot be read)")


def stack_from(frame: FrameType | None) -> str:
    """`stack_of` what is at this frame: a greenlet that is not running. None: it has ended."""
    return _safely(lambda: _stack(frame), "  (its stack cannot be read)")


def stack_within(ident: int, outer: FrameType | None, waiting: FrameType | None = None) -> str:
    """`stack_of` that thread, as far as ``outer`` has called it and without the machinery of imports.

    ``waiting``: where it is that looks so while the thread runs something else, as a greenlet does.
    """
    return _safely(
        lambda: _stack(waiting or sys._current_frames().get(ident), outer), "  (its stack cannot be read)"
    )


def report(thread_ident: int) -> str:
    """`stack_of` that thread; and where it waits for a lock, which one, and the stack of who holds it.

    Follows the chain from holder to holder, and says so when it closes to a deadlock. Runs no code of the
    application and never raises: what cannot be found out is left out.
    """
    frames = sys._current_frames()
    text = stack_of(thread_ident)
    nothing: list[str] = []
    lines = _safely(lambda: _locks(thread_ident, frames), nothing)
    more = _safely(lambda: _elsewhere(frames.get(thread_ident)), nothing)
    text = "\n".join([text, *lines, *map(_clean, more)])
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}\n  …"


def _locks(ident: int, frames: dict[int, FrameType]) -> list[str]:
    lines: list[str] = []
    waits: dict[int, tuple[Wait, Holder]] = {}
    stacks = {ident}
    waiting = ident
    while waiting not in waits and len(stacks) < _MOST_THREADS and waiting in frames:
        wait = wait_of(waiting, frames[waiting])
        if wait is None:
            break
        holders = holders_of(wait, frames)
        lines.append(f"{_waits(waiting, wait)}{_held(wait, holders)}")
        for holder in holders:
            if holder.thread not in stacks and len(stacks) < _MOST_THREADS:
                stacks.add(holder.thread)
                lines.append(f"{_name(holder.thread)} is here:\n{_stack(frames.get(holder.thread))}")
        # Of a semaphore's permits any one would do: that is no chain.
        if len(holders) != 1:
            break
        waits[waiting] = (wait, holders[0])
        waiting = holders[0].thread
    if waiting in waits and _unmoved(frames, waits):
        lines.append(_deadlock(waiting, waits))
    return lines


def _elsewhere(frame: FrameType | None) -> list[str]:
    while frame is not None:
        lines = _CONTINUATIONS.get(frame.f_code)
        if lines is not None:
            return lines(frame)
        frame = frame.f_back
    return []


def _waits(thread: int, wait: Wait) -> str:
    shown = f"`{wait.text}`, {described(wait.what)}" if wait.what is not MISSING else f"`{wait.text}`"
    if wait.lock is None:
        return f"{_name(thread)} waits in `{wait.how}` for another thread: {shown}."
    inner = "" if wait.lock is wait.what else f", whose lock is {described(wait.lock)}"
    return f"{_name(thread)} waits in `{wait.how}` for the lock {shown}{inner}."


def _held(wait: Wait, holders: list[Holder]) -> str:
    if not holders:
        return "" if wait.lock is None else " Who holds it could not be found."
    lines = [f"{_name(one.thread)}{_by(one)}" for one in holders]
    return f" It is held by {' and by '.join(lines)}."


def _by(holder: Holder) -> str:
    if holder.how is None:
        return ""
    return f" (`{holder.how}` in {holder.function}, {holder.filename}, line {holder.line})"


def _deadlock(start: int, waits: dict[int, tuple[Wait, Holder]]) -> str:
    links = []
    waiting = start
    while True:
        wait, holder = waits[waiting]
        held = "itself" if holder.thread == waiting else _name(holder.thread)
        links.append(f"{_name(waiting)} waits for `{wait.text}`, {described(wait.lock)}, held by {held}")
        waiting = holder.thread
        if waiting == start:
            return f"deadlock: {'; '.join(links)}."


def _unmoved(frames: dict[int, FrameType], waits: dict[int, tuple[Wait, Holder]]) -> bool:
    # Between two looks at different threads any of them may have come on.
    now = sys._current_frames()
    return all(
        now.get(thread) is frames[thread] and frames[thread].f_lasti == wait.instruction
        for thread, (wait, _) in waits.items()
    )


def _name(ident: int) -> str:
    name = of_thread(ident, "_name")
    return f'thread "{_clean(name)}"' if type(name) is str else f"thread {ident}"


def _stack(frame: FrameType | None, outer: FrameType | None = None) -> str:
    if frame is None:
        return _GONE
    pairs = list(itertools.takewhile(lambda pair: pair[0] is not outer, traceback.walk_stack(frame)))
    stack = [
        one
        for one in traceback.StackSummary.extract(iter(pairs[::-1]))
        if outer is None or not one.filename.startswith(_IMPORTS)
    ]
    # From the outermost on, and only as long as they are ours: the application may call us, too.
    first = next((at for at, one in enumerate(stack) if not one.filename.startswith(_OURS)), len(stack))
    shown = stack[first:]
    if not shown:
        return "  (it is not in the application's code)"
    left_out = len(shown) - _MOST_FRAMES
    lines = [f"  (the outer {left_out} frames are left out)"] if left_out > 0 else []
    lines += "".join(traceback.format_list(shown[-_MOST_FRAMES:])).splitlines()
    return "\n".join(_clean(line) for line in lines)


def _clean(text: str) -> str:
    text = text if len(text) <= _MOST_COLUMNS else f"{text[:_MOST_COLUMNS]}…"
    return "".join(c if c.isprintable() or c == "\t" else "?" for c in text)


def _safely(function: Callable[[], _Result], otherwise: _Result) -> _Result:
    try:
        return function()
    except Exception:
        LOGGER.debug("A report about a thread could not be made in full.", exc_info=True)
        return otherwise
