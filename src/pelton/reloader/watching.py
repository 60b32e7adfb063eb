"""Notices that one of a set of files has changed.

Owns the comparison. It is the same however one comes to look: every so often, or when the system tells that
something has happened (`watchfiles`). So both ways mean the same by a change: other content by time, size or
file. Watches on a real thread named "pelton-reloader", also where the application's threads are greenlets:
`watchfiles` would stop their hub. Must not know what a change leads to.

An editor writes in several steps: it empties the file and fills it, or writes another one and renames it. So
a change counts when nothing has moved for a moment, and not while the file is missing or empty.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final, Protocol

from pelton._engine import Origin
from pelton.process.native_threads import NativeEvent, NativeThread, original
from pelton.reloader.files import directories_of, is_installed
from pelton.reloader.options import ReloaderOptions

LOGGER = logging.getLogger("pelton")

_sleep: Callable[[float], None] = original("sleep", time)

# Steps of an editor follow each other within a few milliseconds.
QUIET: Final = 0.05
# For a file that is empty or missing in between; one that stays so is meant so.
_LONGEST_GAP: Final = 0.3
# A file that is written all the time (a log among the extra files) must not put the reload off for ever.
_LONGEST: Final = 2.0
# The system's limit of watches is shared by all programs of the user.
_MOST_WATCHES: Final = 1_000
# It looks for `stop` fifty times a second.
_LONGEST_STOP: Final = 0.5


@dataclass(frozen=True)
class Stamp:
    """By what a file's content is known."""

    modified: int
    size: int
    inode: int


def stamp_of(path: str) -> Stamp | None:
    """None when the file is not there."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    return Stamp(found.st_mtime_ns, found.st_size, found.st_ino)


class Snapshot:
    """The files that ``find`` gives, and how they were when they were last seen; one thread at a time.

    ``since``: at the first look, a file counts as changed when that happened after this time (nanoseconds
    since 1970; 0: none does). ``notices_new``: whether a file that was not there before is a change. If not,
    it is only watched from then on: nobody has imported it yet.
    """

    def __init__(self, find: Callable[[], set[str]], *, since: int = 0, notices_new: bool = False) -> None:
        self._find = find
        self._notices_new = notices_new
        self._seen: dict[str, Stamp] = {}
        self.early: str | None = None
        # All that have changed so far, also early.
        self.moved: set[str] = set()
        for path in sorted(find()):
            stamp = stamp_of(path)
            if stamp is None:
                continue
            self._seen[path] = stamp
            # A time in the future comes from another clock, and says nothing.
            if since and since <= stamp.modified <= time.time_ns():
                self.early = path
                self.moved.add(path)

    @property
    def files(self) -> set[str]:
        """Those that were there at the last look."""
        return set(self._seen)

    def changed(self) -> str | None:
        """Look at all files; gives one that has changed since the last look, or None."""
        found = None
        for path in sorted(self._find() | self._seen.keys()):
            stamp, before = stamp_of(path), self._seen.get(path)
            if stamp is None or stamp == before:
                # One that has gone is expected back: the old stamp is kept.
                continue
            self._seen[path] = stamp
            if before is not None or self._notices_new:
                found = found or path
                self.moved.add(path)
        return found


class Stop(Protocol):
    """Says that nobody wants to know any more: an event, of `threading` or a real one."""

    def is_set(self) -> bool:
        """Whether it has been said."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for it."""


class Waiter(Protocol):
    """A way to wait for something to look at."""

    def wait(self, files: set[str], stop: Stop) -> None:
        """Return when one of ``files`` may have changed, or after a while, or soon after ``stop`` is set."""


class Sleeper:
    """Just waits. ``interval``: seconds."""

    def __init__(self, interval: float) -> None:
        self._interval = interval

    def wait(self, files: set[str], stop: Stop) -> None:
        """See `Waiter`."""
        # An interval of nothing would keep a processor busy.
        stop.wait(max(self._interval, 0.01))


class Notified:
    """Learns from the system what happens in the files' directories.

    ``interval``: seconds after which to look nevertheless: at installed packages, which are too many to have
    them watched, at directories that are new, and at what happened just before a directory was watched.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._directories: set[str] = set()
        self._events: Generator[object, None, None] | None = None
        self._otherwise: Sleeper | None = None

    def wait(self, files: set[str], stop: Stop) -> None:
        """See `Waiter`."""
        if self._otherwise is not None:
            self._otherwise.wait(files, stop)
            return
        directories = directories_of(one for one in files if not is_installed(one))
        if self._events is None or directories != self._directories:
            self._close()
            self._directories = directories
            self._events = self._watch(directories, stop)
        try:
            next(self._events)
        except StopIteration:
            # It was stopped.
            self._close()
        except OSError as error:
            self._close()
            self._otherwise = Sleeper(self._interval)
            LOGGER.warning("watchfiles cannot watch (%s); files are looked at instead.", error)

    def _watch(self, directories: set[str], stop: Stop) -> Generator[object, None, None]:
        import watchfiles

        if not directories or len(directories) > _MOST_WATCHES:
            raise OSError(f"{len(directories)} directories")
        yield from watchfiles.watch(
            *sorted(directories),
            watch_filter=None,
            # What belongs together is found out by looking; here it would only take time.
            debounce=50,
            step=20,
            rust_timeout=int(self._interval * 1000),
            yield_on_timeout=True,
            raise_interrupt=False,
            stop_event=stop,
            recursive=False,
        )

    def _close(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None


def waiter_for(options: ReloaderOptions) -> Waiter:
    """The way that ``options`` ask for. Raises ConfigError when there is none such."""
    return Notified(max(options.interval, 0.1)) if options.uses_watchfiles else Sleeper(options.interval)


class Changed(Protocol):
    """What to do about a change."""

    def __call__(self, path: str, *, early: bool) -> object:
        """``early``: it happened before the first look."""


def start_watching(snapshot: Snapshot, waiter: Waiter, changed: Changed) -> NativeThread:
    """Call ``changed`` once, on a thread of its own, as soon as a file has changed and is written."""
    stop = NativeEvent()

    def run() -> None:
        early = snapshot.early is not None
        path = snapshot.early if snapshot.early is not None else wait_for_change(snapshot, waiter, stop)
        if path is not None:
            settle(snapshot, path)
            changed(path, early=early)

    def end() -> None:
        # A thread that comes out of native code while the interpreter finalizes is unwound by it, and the
        # native code's frames cannot be: the process would abort.
        if origin.is_here():
            stop.set()
            thread.join(_LONGEST_STOP)

    origin = Origin()
    thread = NativeThread(run, name="pelton-reloader")
    thread.start()
    atexit.register(end)
    return thread


def wait_for_change(snapshot: Snapshot, waiter: Waiter, stop: Stop) -> str | None:
    """Wait, however long, for a change; gives the file's path, or None after ``stop`` was set."""
    while not stop.is_set():
        waiter.wait(snapshot.files, stop)
        with contextlib.suppress(OSError):
            path = snapshot.changed()
            if path is not None:
                return path
    return None


def settle(snapshot: Snapshot, path: str) -> None:
    """Wait until whoever writes has finished."""
    begin = time.monotonic()
    while (elapsed := time.monotonic() - begin) < _LONGEST:
        _sleep(QUIET)
        is_quiet = snapshot.changed() is None
        stamp = stamp_of(path)
        is_whole = stamp is not None and stamp.size > 0
        if is_quiet and (is_whole or elapsed > _LONGEST_GAP):
            return
