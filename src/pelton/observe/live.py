"""``pelton top`` on a terminal: the same as ``--once``, again and again, with keys.

Owns the screen and the keys. Needs rich (``pelton[top]``). Main thread: a response comes within moments, so
that one thread does everything.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pelton.exceptions import PeltonError
from pelton.observe.client import ask_json
from pelton.observe.dump_text import request_text
from pelton.observe.runtime import running_servers
from pelton.observe.summary import (
    ROUTE_COLUMNS,
    RUNNING_COLUMNS,
    WORKER_COLUMNS,
    head_text,
    route_row,
    running_row,
    summary,
    worker_row,
)

_KEYS: Final = "s sorts · l a request's stack · n the next one's · r reloads · + - workers · q ends"
_SORTS: Final[tuple[tuple[str, Callable[[Mapping[str, Any]], Any]], ...]] = (
    ("busy", lambda one: -one["busy"]),
    ("requests", lambda one: -one["per_second"]),
    ("p99", lambda one: -(one["p99_seconds"] or 0)),
    ("errors", lambda one: -one["errors"]),
)


class _View:
    """What the keys have chosen."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.sort = 0
        self.note = ""
        # Of the running requests, from the oldest: the one whose stack is shown.
        self.chosen: int | None = None
        self._actions: dict[str, Callable[[], None]] = {
            "s": self._sort_otherwise,
            "l": self._look,
            "n": self._next,
            "r": lambda: self._signal(signal.SIGHUP, "It reloads."),
            "+": lambda: self._signal(signal.SIGTTIN, "One worker more is asked for."),
            "-": lambda: self._signal(signal.SIGTTOU, "One worker less is asked for."),
        }

    def press(self, key: str) -> bool:
        """Whether the key means something."""
        action = self._actions.get(key)
        if action is not None:
            self.note = ""
            action()
        return action is not None

    def stack(self, found: Mapping[str, Any]) -> str:
        """The chosen request's stack; empty where none is chosen."""
        if self.chosen is None:
            return ""
        running = found["running"]
        if not running:
            return "Nothing runs."
        one = running[self.chosen % len(running)]
        return request_text(
            ask_json(self._address, "/dump", expects="workers"), one["worker"], one["slot"], one["path"]
        )

    def _sort_otherwise(self) -> None:
        self.sort = (self.sort + 1) % len(_SORTS)

    def _look(self) -> None:
        self.chosen = 0 if self.chosen is None else None

    def _next(self) -> None:
        self.chosen = 0 if self.chosen is None else self.chosen + 1

    def _signal(self, number: signal.Signals, note: str) -> None:
        """To the supervisor. Only a server of this user, which was found by its socket, has a known pid."""
        servers = {one.address: one.pid for one in running_servers()}
        pid = servers.get(self._address)
        if pid is None:
            self.note = "Only for a server of this user that was found by its own socket."
        elif ask_json(self._address, "/state", expects="workers")["front"]["pid"] == pid:
            self.note = "It is one process: there are no workers to be replaced (--workers)."
        else:
            try:
                os.kill(pid, number)
            except OSError as error:
                self.note = f"It cannot be signalled: {error.strerror}."
            else:
                self.note = note


def show(address: str, interval: float) -> None:
    """Until q or Ctrl-C. Raises PeltonError when the server cannot be asked at the beginning."""
    before = ask_json(address, "/state", expects="workers")
    view = _View(address)
    with _keys() as key_within, Live(console=Console(), screen=True, auto_refresh=False) as live:
        while True:
            end = time.monotonic() + interval
            try:
                while (left := end - time.monotonic()) > 0:
                    key = key_within(left)
                    if key in ("q", "\x03"):
                        return
                    if view.press(key):
                        break
                state = ask_json(address, "/state", expects="workers")
                found = summary(state, before)
                shown: RenderableType = screen(found, view.sort, view.note, view.stack(found))
                before = state
            except PeltonError as error:
                shown = Text(str(error), style="red")
            live.update(shown, refresh=True)


def screen(found: Mapping[str, Any], sort: int, note: str = "", stack: str = "") -> Group:
    """What is shown of a summary. ``stack``: of one request, in the place of the routes."""
    name, key = _SORTS[sort]
    routes = sorted(found["routes"], key=key)[:15]
    middle: RenderableType = (
        Text(stack)
        if stack
        else _table(f"Routes by {name}", ROUTE_COLUMNS, [route_row(one) for one in routes])
    )
    return Group(
        Text(head_text(found), style="bold"),
        _table("Workers", WORKER_COLUMNS, [worker_row(one) for one in found["workers"][:16]]),
        middle,
        _table("Running", RUNNING_COLUMNS, [running_row(one) for one in found["running"][:15]]),
        Text(note or _KEYS, style="dim"),
    )


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="ellipsis", no_wrap=column != "waits for")
    for row in rows:
        # What clients send is no markup.
        table.add_row(*(Text(cell) for cell in row))
    return table


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Gives a function that waits so long for a key; an empty text where none has come."""
    if not sys.stdin.isatty():

        def none_within(seconds: float) -> str:
            time.sleep(seconds)
            return ""

        yield none_within
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def key_within(seconds: float) -> str:
        ready, _, _ = select.select([descriptor], [], [], seconds)
        return sys.stdin.read(1) if ready else ""

    try:
        tty.setcbreak(descriptor)
        yield key_within
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
