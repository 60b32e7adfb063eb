"""How commands end: their exit codes and how an error looks; and where they find modules. Main thread."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final, NoReturn

import click

from pelton.exceptions import ApplicationError, PeltonError

FAILED: Final = 1
USAGE: Final = 2
NO_APPLICATION: Final = 3


def working_directory() -> Path:
    """Where modules are looked for first.

    As `python` itself, `flask` and gunicorn do; the installed command has its own directory there instead.
    """
    directory = Path.cwd()
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    return directory


def exit_with(error: PeltonError, code: int) -> NoReturn:
    """Say what is wrong, with the application's traceback if that is it."""
    if isinstance(error, ApplicationError) and error.traceback:
        click.echo(error.traceback.rstrip() + "\n", err=True)
    click.echo(f"{click.style('Error:', fg='red')} {error}", err=True, color=colour())
    sys.exit(code)


def colour() -> bool | None:
    """None: as the terminal is."""
    return False if os.environ.get("NO_COLOR") else None
