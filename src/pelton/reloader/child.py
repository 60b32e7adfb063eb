"""The reloader's child: the process that runs the application.

Owns what it reports at its end, and the thread that watches its files. `begin` is called before the program's
first line, on the main thread, and imports little; the rest when the application is served.
"""

from __future__ import annotations

import atexit
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from pelton.reloader.environment import RESTART, inheritance

if TYPE_CHECKING:
    from pelton.front.running import Running
    from pelton.reloader.options import ReloaderOptions

# For requests that run when a file has changed. Pages are done by then; what streams, or waits for an event,
# has no end anyway, and nobody wants to wait for it before seeing the new code.
PATIENCE: Final = 1.0

_ORPHANED = 1

_begun = False
_served = False
_early = False


def begin() -> None:
    """Tie this process to its parent, and have it report at its end; once, and only if there is a parent."""
    global _begun
    found = inheritance()
    if found is None or _begun:
        return
    _begun = True
    from pelton import _engine

    _engine.die_with_parent()
    if os.getppid() != found.parent:
        os._exit(_ORPHANED)
    if found.python_path is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = found.python_path
    for descriptor in found.descriptors:
        # Not for the programs that the application executes.
        os.set_inheritable(descriptor, False)
    # The first to be registered is the last to run: when everything of the program's has been said. But
    # before the process may be ended for a thread that was left behind.
    importlib.import_module("pelton.process.left_behind")
    atexit.register(_report, found.report, os.getpid())


def _report(descriptor: int, pid: int) -> None:
    if os.getpid() != pid:
        return
    from pelton.reloader import report
    from pelton.reloader.files import module_files, search_roots

    # Set by the interpreter when it prints an exception that nobody has caught.
    error = getattr(sys, "last_value", None)
    text, files = "", module_files()
    if isinstance(error, BaseException):
        import traceback

        text = "".join(traceback.format_exception(error))
        files |= _files_of(error)
    report.write(descriptor, report.Report(text, tuple(files), tuple(search_roots()), _served, _early))


def _files_of(error: BaseException) -> set[str]:
    """The files that appear in a traceback; a module that failed is not among those that are imported."""
    found: set[str] = set()
    todo: list[BaseException | None] = [error]
    seen: set[int] = set()
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        todo += [one.__cause__, one.__context__]
        if isinstance(one, SyntaxError) and one.filename:
            found.add(one.filename)
        frame = one.__traceback__
        while frame is not None:
            found.add(frame.tb_frame.f_code.co_filename)
            frame = frame.tb_next
    return {str(Path(name).absolute()) for name in found if not name.startswith("<")}


def watch(options: ReloaderOptions, on_change: Callable[[str], Any]) -> None:
    """Begin to watch this process' files; call it when the application has been imported and is served.

    Returns at once. ``on_change`` is called once, with the file's path, on a thread of the reloader's; it is
    to see to it that the process ends with `RESTART`. Raises ConfigError for options that cannot be followed.
    """
    global _served
    from pelton.reloader import compiled
    from pelton.reloader.files import Choice
    from pelton.reloader.watching import Snapshot, start_watching, waiter_for

    # Where the interpreter heeds no PYTHONPATH, nobody has done it yet.
    begin()
    found = inheritance()
    _served = True

    def changed(path: str, *, early: bool) -> None:
        compiled.forget(snapshot.moved)
        announce_end(early)
        on_change(path)

    choice = Choice(options.extra_files, options.exclude_patterns)
    snapshot = Snapshot(choice.of_this_process, since=found.since if found is not None else 0)
    start_watching(snapshot, waiter_for(options), changed)


def announce_end(early: bool) -> None:
    """A change will end this process; ``early``: for one that happened before its first look."""
    global _early
    _early = early
    from pelton.process.left_behind import end_with
    from pelton.reloader import report

    # Also if a thread, such as a console of the debugger, never comes back.
    end_with(RESTART)
    found = inheritance()
    if found is not None:
        report.write(found.report, report.Report(served=_served, early=early))


def make_way(running: Running, patience: float = PATIENCE) -> NoReturn:
    """End this process for the next one; what runs may finish, within ``patience`` seconds. Any thread."""
    from pelton.process.forking import leave

    running.drain()
    running.wait(patience)
    running.stop()
    leave(RESTART)
