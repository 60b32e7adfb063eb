"""Where the commands find a running server: a unix socket in the runtime folder of its user.

Owns the folder, and that it is nobody else's: who could put a socket there could be asked instead of the
server. Any thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from pelton.config.settings import Settings
from pelton.exceptions import StartError
from pelton.net.listeners import Listener

LOGGER = logging.getLogger("pelton")

_SUFFIX = ".sock"


def runtime_folder() -> Path:
    """``pelton`` in ``XDG_RUNTIME_DIR``, in /run/user/UID, or /tmp/pelton-UID where there is neither."""
    own = os.environ.get("XDG_RUNTIME_DIR")
    for parent in (own, f"/run/user/{os.geteuid()}"):
        if parent and Path(parent).is_dir() and os.access(parent, os.W_OK | os.X_OK):
            return Path(parent) / "pelton"
    return Path(f"/tmp/pelton-{os.geteuid()}")


def own_socket() -> Path:
    """The path for this process's socket; its folder is made. Raises StartError where that is impossible."""
    folder = runtime_folder()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StartError(f"{folder} cannot be made: {error.strerror}.") from None
    if not is_private(folder):
        raise StartError(f"{folder} is not a folder of this user alone.")
    return folder / f"{os.getpid()}{_SUFFIX}"


def is_private(folder: Path) -> bool:
    """Whether nobody else can put anything there."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def with_own_socket(settings: Settings) -> Settings:
    """The settings of a server that the commands find. Where there can be no socket, it serves without."""
    if not settings.admin_socket:
        return settings
    try:
        path = own_socket()
    except StartError as error:
        LOGGER.debug("pelton top and others will not find this server: %s", error)
        return settings
    return replace(settings, admin_bind=(*settings.admin_bind, f"unix:{path}"))


def named_by_user(listeners: Iterable[Listener]) -> list[Listener]:
    """Without the socket that the commands find by themselves."""
    folder = str(runtime_folder())
    return [one for one in listeners if folder not in str(one)]


@dataclass(frozen=True)
class Server:
    """One that runs. ``pid``: of the process that was started."""

    pid: int
    path: Path

    @property
    def address(self) -> str:
        """As ``--admin`` takes it."""
        return f"unix:{self.path}"


def running_servers() -> list[Server]:
    """Those of this user. The sockets of servers that have died are removed."""
    folder = runtime_folder()
    if not is_private(folder):
        return []
    found = []
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        if not path.stem.isdigit():
            continue
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(2.0)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                with contextlib.suppress(OSError):
                    path.unlink()
                continue
            except OSError:
                continue
        found.append(Server(int(path.stem), path))
    return found
