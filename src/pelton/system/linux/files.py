"""Files without a name, files opened once more, and what lies at the end of a path. Any thread."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

# A folder to start a name from. It need not be readable, and a link is none.
FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Whatever a name means, be it a socket or a link: to look at, not to read.
FILE_TO_LOOK_AT: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def memory_file(name: str, *, sealable: bool = False) -> int:
    """An empty file in memory, that goes with its last descriptor. ``name`` is for people. Raises OSError."""
    return os.memfd_create(name, os.MFD_CLOEXEC | (os.MFD_ALLOW_SEALING if sealable else 0))


def forbid_changes(file: int) -> None:
    """Nobody can write to a sealable file any more, nor change its size."""
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)


def open_again(descriptor: int, flags: int) -> int:
    """The same file, opened anew. Raises OSError for sockets, and for what we could not open by a name."""
    return os.open(f"/proc/self/fd/{descriptor}", flags)


def give_away(descriptor: int, user: int, group: int) -> None:
    """Change the owner of what was opened by `FILE_TO_LOOK_AT`."""
    # fchown wants more than O_PATH, and a socket cannot be opened.
    os.chown(f"/proc/self/fd/{descriptor}", user, group)


def is_of_kernel(folder: int) -> bool:
    """Whether a folder's links are the kernel's own, which nobody can have put there."""
    try:
        return os.fstat(folder).st_dev == Path("/proc").stat().st_dev != Path("/").stat().st_dev
    except OSError:
        return False
