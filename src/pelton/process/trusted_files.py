"""Opens files by names that somebody else may have laid a trap at, and gives files away by descriptor.

Owns what root may follow. A log's folder often belongs to the user that the server becomes; whoever is that
user can put a link there, and root would write into, or hand over, a file of root's. So a root that is to
become somebody else (`distrust_links`) walks a path one name at a time, and follows a symbolic link only
where nobody but root could have put it. For everybody else it is the ordinary opening. Any thread.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pelton.system import FILE_TO_LOOK_AT, FOLDER, give_away, is_of_kernel

# As many as the kernel follows.
_MOST_LINKS: Final = 40


_is_allowed = False


def distrust_links() -> None:
    """From now on, as long as this process is root."""
    global _is_allowed
    _is_allowed = True


def _distrusts() -> bool:
    return _is_allowed and os.geteuid() == 0


def open_trusted(path: str | os.PathLike[str], flags: int, mode: int = 0o640) -> int:
    """As ``os.open``, closed on exec. Raises OSError, with ELOOP for a link that root does not follow."""
    flags |= os.O_CLOEXEC
    if not _distrusts():
        return os.open(path, flags, mode)
    with parent_of(path) as (directory, name, is_ours):
        return os.open(name, flags | (0 if is_ours else os.O_NOFOLLOW), mode, dir_fd=directory)


@contextmanager
def parent_of(path: str | os.PathLike[str]) -> Iterator[tuple[int, str, bool]]:
    """The folder that the last name of ``path`` is in, as a descriptor; that name; whether it may be a link.

    It may be one only where links are the kernel's (/proc). Others have been followed. Raises OSError.
    """
    names = deque(Path(path).absolute().parts[1:])
    directory, links = os.open("/", FOLDER), 0
    try:
        while True:
            name = names.popleft() if names else "."
            if is_of_kernel(directory):
                yield directory, "/".join([name, *names]), True
                return
            target = _link_at(directory, name)
            if target is not None:
                links += 1
                if links > _MOST_LINKS or (_distrusts() and not _is_roots_alone(directory)):
                    raise OSError(errno.ELOOP, "there is a symbolic link where others than root may put one")
                names.extendleft(reversed([one for one in target.split("/") if one]))
                if target.startswith("/"):
                    directory = _replaced(directory, os.open("/", FOLDER))
            elif not names:
                yield directory, name, False
                return
            else:
                directory = _replaced(directory, os.open(name, FOLDER, dir_fd=directory))
    finally:
        os.close(directory)


def give(descriptor: int, user: int, group: int) -> None:
    """Hand a regular file over that has this one name only; leave everything else as it is."""
    status = os.fstat(descriptor)
    # A second name may be that of something that was never meant.
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        os.fchown(descriptor, user, group)


def give_socket(path: str, user: int, group: int) -> None:
    """Hand over a unix socket's file, if it is one. Raises OSError; FileNotFoundError where there is none."""
    with parent_of(path) as (directory, name, _):
        descriptor = os.open(name, FILE_TO_LOOK_AT, dir_fd=directory)
        try:
            status = os.fstat(descriptor)
            if stat.S_ISSOCK(status.st_mode) and status.st_nlink == 1:
                give_away(descriptor, user, group)
        finally:
            os.close(descriptor)


def _link_at(directory: int, name: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError as error:
        # It is no link, or there is nothing.
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise


def _is_roots_alone(directory: int) -> bool:
    status = os.fstat(directory)
    return status.st_uid == 0 and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _replaced(old: int, new: int) -> int:
    os.close(old)
    return new
