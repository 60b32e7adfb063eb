"""``pelton config``: every setting with its value, its source and its meaning.

Owns the form of that list. Pure: text out. Main thread.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from pelton.config.bounds import Bounds
from pelton.config.secrets import without_secrets
from pelton.config.setting import Group, Setting
from pelton.config.settings import TABLE, Settings
from pelton.config.sources import DEFAULT, Resolved
from pelton.sizing.limits import thread_bounds, worker_bounds

_WIDTH = 100


def configuration_text(resolved: Resolved) -> str:
    """The whole list, with colours (click removes them where nobody sees them)."""
    return "\n".join(_lines(resolved))


def _bounds(row: Setting, settings: Settings) -> str | None:
    """What a setting that is no exact number comes to on this machine, and what says so."""
    if row.name == "threads" and isinstance(settings.threads, Bounds):
        threads = thread_bounds(settings)
        return f"here from {threads.least} to {threads.most}: {threads.why}"
    if row.name == "workers" and isinstance(settings.workers, Bounds):
        workers = worker_bounds(settings)
        return f"here from {workers.least} to {workers.most}: {workers.why}"
    return None


def _lines(resolved: Resolved) -> Iterator[str]:
    width = max(len(row.name) for row in TABLE)
    for group in Group:
        rows = [row for row in TABLE if row.group is group]
        if not rows:
            continue
        yield click.style(group.value, bold=True)
        for row in rows:
            yield from _of_row(row, resolved, width)
        yield ""


def _of_row(row: Setting, resolved: Resolved, width: int) -> Iterator[str]:
    value = row.show(without_secrets(row.name, getattr(resolved.settings, row.name)))
    given = resolved.given(row.name)
    source = resolved.sources[row.name]
    name = click.style(row.name.ljust(width), fg="green" if given else None)
    yield f"  {name}  {value}  {click.style(f'({source})', dim=source == DEFAULT)}"
    bounds = _bounds(row, resolved.settings)
    if bounds is not None:
        yield f"      {bounds}"
    yield click.wrap_text(row.help, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
