"""The process that shows why the application cannot start: ``python -m pelton.reloader.failure
DESCRIPTOR``.

Owns the page's life. Serves on the reloader's sockets in the child's place, watches what the child reported,
and ends with `RESTART` when a file is changed or a new one appears. Never imports the application; a process
of its own, so that the parent stays small and single-threaded.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from dataclasses import replace
from pathlib import Path

from pelton.api import start_with
from pelton.config.settings import settings_from
from pelton.logs.setup import set_up_logging
from pelton.process.signals import STOP, Signals
from pelton.reloader import compiled
from pelton.reloader.child import announce_end, begin
from pelton.reloader.environment import RESTART, inheritance, inherited_descriptors
from pelton.reloader.failure_page import FailurePage
from pelton.reloader.files import Choice
from pelton.reloader.options import ReloaderOptions
from pelton.reloader.watching import Snapshot, start_watching, waiter_for

# The page is done at once; what is left is a client that does not read.
_PATIENCE = 0.2


def main(descriptor: int) -> int:
    """Serve until something changes; returns the exit code."""
    begin()
    with os.fdopen(descriptor, "rb") as file:
        said = json.load(file)
    options = ReloaderOptions(
        tuple(said["extra_files"]), tuple(said["exclude_patterns"]), said["interval"], said["kind"]
    )
    files, roots = [*said["files"], *([said["script"]] if said["script"] else [])], said["roots"]
    text = said["traceback"] or error_of_script(said["script"])
    set_up_logging("warning")
    choice = Choice(options.extra_files, options.exclude_patterns)
    found = inheritance()
    snapshot = Snapshot(
        lambda: choice.of(files, roots), since=found.since if found is not None else 0, notices_new=True
    )
    page = FailurePage(how=said["how"], served=said["served"], traceback=text, id=str(os.getpid()))
    return _serve(page, snapshot, options)


def _serve(page: FailurePage, snapshot: Snapshot, options: ReloaderOptions) -> int:
    settings = settings_from(
        {"bind": [f"fd://{one}" for one in inherited_descriptors()], "threads": 2, "queue_length": 1000}
    )
    with Signals(STOP) as signals:
        changes: list[str] = []

        def changed(path: str, *, early: bool) -> None:
            compiled.forget(snapshot.moved)
            announce_end(early)
            changes.append(path)
            signals.wake()

        start_watching(snapshot, waiter_for(options), changed)
        running = start_with(page, replace(settings, graceful_timeout=_PATIENCE))
        signals.wait()
        running.close()
        return RESTART if changes else 0


def error_of_script(name: str) -> str:
    """The syntax error for which a script was not begun; empty where there is none.

    Only for a child that could not report: one that heeds no PYTHONPATH (``python -I``).
    """
    try:
        source = Path(name).read_bytes()
    except (OSError, ValueError):
        return ""
    try:
        compile(source, name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        return "".join(traceback.format_exception_only(error))
    return ""


if __name__ == "__main__":
    # Until it serves, being asked to end is simply the end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(main(int(sys.argv[1])))
