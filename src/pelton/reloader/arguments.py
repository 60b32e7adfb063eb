"""The command that started this process, to start it once more.

Owns the differences between ``python app.py``, ``python -m package``, ``python -c`` and an installed script.
Any thread, but before the program has changed what it was started with.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pelton.exceptions import ConfigError

# Options of the interpreter whose value is the next argument, if it is not in the same one.
_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")


def command_again() -> list[str]:
    """The same interpreter with the same options, the same program and the same arguments.

    Raises ConfigError where there is no program to start: at the interactive prompt, or where Python runs
    within another program.
    """
    if not sys.executable or not sys.orig_argv:
        raise ConfigError(
            "The reloader cannot start the program again: nobody knows how it was started.",
            "Python seems to run within another program. Serve without the reloader.",
        )
    given = sys.orig_argv[1:]
    at = _program_at(given)
    if at is None:
        raise ConfigError(
            "The reloader cannot start the program again: it was typed at the prompt, or read from a pipe.",
            "Put it into a file, or serve without the reloader.",
        )
    # The program may have changed its directory since, and its name may have been relative to the old one.
    if not given[at].startswith("-") and not Path(given[at]).exists():
        file = getattr(sys.modules.get("__main__"), "__file__", None)
        if file is not None and Path(file).is_absolute() and Path(file).exists():
            given = [*given[:at], file, *given[at + 1 :]]
    return [sys.executable, *given]


def is_isolated() -> bool:
    """Whether the same command heeds no PYTHONPATH, or does not look for a ``sitecustomize``."""
    return bool(sys.flags.ignore_environment or sys.flags.isolated or sys.flags.no_site)


def _program_at(arguments: list[str]) -> int | None:
    """Where the interpreter's own options end: at a script, or at ``-m`` or ``-c``."""
    skip = False
    for at, argument in enumerate(arguments):
        if skip:
            skip = False
        elif argument == "-":
            return None
        elif not argument.startswith("-"):
            return at
        elif argument in _WITH_VALUE:
            skip = True
        elif argument == "--":
            return at + 1 if at + 1 < len(arguments) else None
        # Flags without a value may stand in front of them: -Im, -uc.
        elif (
            not argument.startswith("--")
            and not argument.startswith(_WITH_VALUE)
            and set("mc") & set(argument)
        ):
            return at
    return None
