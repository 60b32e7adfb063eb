"""Opens what the front writes access records to. Must not know their form. Runs on the starting thread."""

from __future__ import annotations

import os

from penstock.config.errors import StartError

OFF = -1


def open_access_log(target: str | None) -> int:
    """A descriptor that the caller closes: a copy of standard output for ``-``, else the file, appended to.

    ``None`` gives `OFF`. Raises StartError when the file cannot be opened.
    """
    if target is None:
        return OFF
    try:
        if target == "-":
            return os.dup(1)
        # Not for everybody: addresses and paths of visitors are personal data.
        return os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise StartError(f'Cannot open the access log "{target}": {error.strerror}.') from None
