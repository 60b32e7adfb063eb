"""Writes docs/commands.md from the commands themselves: ``python -m pelton.cli.reference docs/commands.md``.

Owns the form of that page. A test fails when the committed page is not what the commands say. Pure, apart
from the one file that it is asked to write; main thread.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from pelton.cli.main import commands, main
from pelton.cli.options import GunicornOption, SettingOption

_HEAD: Final = """\
# Commands

<!-- Generated from the commands by `python -m pelton.cli.reference docs/commands.md`. -->

`pelton` serves. If its first word is one of the commands below, it does that instead; a module of such a name
is served as `./config.py` or `config:app`. Every command has `--help`.

| exit code | |
| --- | --- |
| 0 | ended as it was asked to |
| 1 | cannot serve: an address in use, workers that die again and again; `check` has found a fault |
| 2 | wrong arguments or settings |
| 3 | the application cannot be loaded |
"""

_TAIL: Final = """
## flask serve

A command of Flask's own command line, installed with pelton: `flask --app shop serve`. It takes the options
of `flask run`, and `--workers`, `--threads` and `-k`. See [Flask's own ways to start](flask.md).
"""


def reference() -> str:
    """The whole page."""
    return "".join((_HEAD, *_section("pelton", main), *_sections(), _TAIL))


def _sections() -> Iterator[str]:
    for name, command in commands().items():
        yield from _section(f"pelton {name}", command)


def _section(name: str, command: click.Command) -> Iterator[str]:
    usage = " ".join(command.collect_usage_pieces(click.Context(command, info_name=name)))
    yield f"\n## {name}\n\n```text\n{name} {usage}\n```\n\n{_prose(command.help or '')}\n"
    options = [one for one in command.params if isinstance(one, click.Option)]
    own = [one for one in options if not isinstance(one, SettingOption | GunicornOption)]
    if own:
        yield "\n| option | |\n| --- | --- |\n"
        yield from (f"| {_names(one)} | {_cell(one.help or '')} |\n" for one in own)
    if len(own) < len(options):
        yield "\nAnd the options of the [settings](settings.md).\n"


def _names(option: click.Option) -> str:
    names = ", ".join(f"`{one}`" for one in option.opts)
    return f"{names} `{option.metavar}`" if option.metavar else names


def _prose(text: str) -> str:
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
