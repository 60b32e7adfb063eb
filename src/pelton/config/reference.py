"""Writes docs/settings.md from the table: ``python -m pelton.config.reference docs/settings.md``.

Owns the form of that page. A test fails when the committed page is not what the table says. Pure, apart from
the one file that it is asked to write; main thread.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pelton.config.other_servers import NAMES, NOTHING
from pelton.config.setting import Group, Part, Setting, Unit
from pelton.config.settings import TABLE

_HEAD: Final = """\
# Settings

<!-- Generated from the table of settings by `python -m pelton.config.reference docs/settings.md`. -->

Each setting has one name. It is the key in a file, the keyword of `pelton.run`, and with `PELTON_` before
it, in capitals, the environment variable. The option of the command line may be shorter. A later place counts
more than an earlier one:

1. the default,
2. a file: what `-c FILE` (or the variable `PELTON_CONFIG`) names, or else `pelton.toml` in the working
   directory, or else `[tool.pelton]` in `pyproject.toml` there, or else gunicorn's `gunicorn.conf.py`,
3. the environment: `PELTON_THREADS=4`; several values are separated by commas. A misspelt `PELTON_`
   variable is a warning with the nearest name. `WEB_CONCURRENCY` is the number of workers; `PORT`, which
   platforms set, means `0.0.0.0:$PORT`. Both count more than a TOML file, less than `PELTON_WORKERS` and
   `PELTON_BIND`.
   `--env-file .env` adds variables that are not set,
4. the command line. `--host` and `--port` are another way to write `--bind`.

`pelton --help` [shows the usual ones](images/help.png), `--help-all` all of them.

`pelton config` shows each value with its source, `pelton check shop:app` tries everything that can be
tried without serving. `pelton.run` and `pelton.start` take keywords only, no files and no variables;
what would have no effect there (the process, and for `start` the log) is refused.

```toml
# pelton.toml; in pyproject.toml the same below [tool.pelton]
bind = ["127.0.0.1:8000", "unix:/run/shop.sock"]
workers = "auto"
max_body_bytes = "20MiB"
```

A file whose name does not end in `.toml` is Python, in the form of gunicorn's config files, and has
gunicorn's defaults where those matter to an application (one worker, one thread); it may set any setting of
this page, too. gunicorn's options and `GUNICORN_CMD_ARGS` are taken as well: see [gunicorn.md](gunicorn.md).
`GUNICORN_CMD_ARGS` counts more than files and less than `PELTON_…`, and in a Python file `workers` counts
more than `WEB_CONCURRENCY`.

Sizes are written `65536`, `64KiB`, `1.5MiB`, `10MB`; times `30`, `30s`, `500ms`, `2min`, `1h`. On the command
line a switch is turned off by `--no-…`, elsewhere by `off` (or `false`).

A reload (`HUP`) reads files again, and takes over the settings whose entries say so; a new start or `USR2`
takes over all of them. Where a setting can be changed in another way while pelton runs, its entry says so.

Shell completion: `eval "$(_PELTON_COMPLETE=bash_source pelton)"`, the same with `zsh_source`, or for fish
`_PELTON_COMPLETE=fish_source pelton | source`.
"""


def reference() -> str:
    """The whole page."""
    return "\n".join(_lines()).rstrip("\n") + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    for group in Group:
        rows = [row for row in TABLE if row.group is group]
        if rows:
            yield f"## {group.value}\n"
            for row in rows:
                yield from _entry(row)
    yield from _names_elsewhere()


def _entry(row: Setting) -> Iterator[str]:
    yield f"### {row.name}\n"
    yield _escaped(row.help) + "\n"
    flags = ", ".join(f"`{flag}`" for flag in row.flags)
    if row.unit is Unit.FLAG:
        flags += f", `--no-{row.flags[0].removeprefix('--')}`"
    where = {Part.FRONT: "the front", Part.WORKER: "the workers", Part.SUPERVISOR: "the supervisor"}[row.part]
    yield f"- option: {flags}"
    yield f"- takes {_escaped(row.takes)}{'; may be repeated' if row.repeatable else ''}"
    yield f"- default: {_default(row)}. {_escaped(row.reason)}"
    changes = [one for one in ("HUP reads it again" if row.reloadable else None, row.while_running) if one]
    running = f"; while running: {', '.join(changes)}" if changes else ""
    yield f"- applies to {where}{running}"
    yield ""
    if row.more:
        yield _escaped(row.more) + "\n"


def _default(row: Setting) -> str:
    return row.default_text or f"`{row.show(row.default) or 'none'}`"


def _names_elsewhere() -> Iterator[str]:
    yield "## Names in other servers\n"
    yield (
        "The nearest thing, not always the same thing. `pelton migrate` translates config files and "
        "command lines.\n"
    )
    yield "| pelton | gunicorn | uWSGI | granian | Werkzeug |"
    yield "| --- | --- | --- | --- | --- |"
    for row in TABLE:
        names = NAMES.get(row.name, NOTHING)
        if names != NOTHING:
            yield f"| {row.name} | {names.gunicorn} | {names.uwsgi} | {names.granian} | {names.werkzeug} |"


def _escaped(text: str) -> str:
    # A star or an angle bracket of a help text is no markup.
    return text.replace("*", "\\*").replace("<", "&lt;")


def main(arguments: list[str]) -> int:
    """Write the page to the file that is named, or to the standard output."""
    if len(arguments) > 1:
        print("usage: python -m pelton.config.reference [FILE]", file=sys.stderr)
        return 2
    if arguments:
        Path(arguments[0]).write_text(reference(), encoding="utf-8")
    else:
        print(reference(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
