"""``pelton top`` on a terminal: the same as ``--once``, again and again, with keys.

Owns the screen and the keys. Needs rich (``pelton[top]``). Main thread: an answer comes within moments, so
that one thread does everything.
"""

from __future__ import annotations

import contextlib
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pelton.exceptions import PeltonError
from pelton.observe.client import ask_json
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

_SORTS: Final[tuple[tuple[str, Callable[[Mapping[str, Any]], Any]], ...]] = (
    ("busy", lambda one: -one["busy"]),
    ("requests", lambda one: -one["per_second"]),
    ("p99", lambda one: -(one["p99_seconds"] or 0)),
    ("errors", lambda one: -one["errors"]),
)


def show(address: str, interval: float) -> None:
    """Until q or Ctrl-C. Raises PeltonError when the server cannot be asked at the beginning."""
    before = ask_json(address, "/state")
    sort, note = 0, ""
    with _keys() as key_within, Live(console=Console(), screen=True, auto_refresh=False) as live:
        while True:
            end = time.monotonic() + interval
            while (left := end - time.monotonic()) > 0:
                match key_within(left):
                    case "q" | "\x03":
                        return
                    case "s":
                        sort = (sort + 1) % len(_SORTS)
                        break
            try:
                state = ask_json(address, "/state")
            except PeltonError as error:
                note = str(error)
            else:
                note = ""
                live.update(screen(summary(state, before), sort, note), refresh=True)
                before = state
                continue
            live.update(Text(note, style="red"), refresh=True)


def screen(found: Mapping[str, Any], sort: int, note: str = "") -> Group:
    """What is shown of a summary."""
    name, key = _SORTS[sort]
    routes = sorted(found["routes"], key=key)[:15]
    return Group(
        Text(head_text(found), style="bold"),
        _table("Workers", WORKER_COLUMNS, [worker_row(one) for one in found["workers"][:16]]),
        _table(f"Routes by {name}", ROUTE_COLUMNS, [route_row(one) for one in routes]),
        _table("Running", RUNNING_COLUMNS, [running_row(one) for one in found["running"][:15]]),
        Text(note or "s sorts otherwise · q ends", style="dim"),
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
