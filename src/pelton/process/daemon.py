"""What a process does to itself around the opening of its addresses: directory, environment, user, pid file.

Owns the order, which matters: `begin` first (relative paths, what the application sees, where messages go),
then the addresses are bound, perhaps to a port that only root may have, then `drop_privileges`. Must not know
how anything is served. Main thread of a process that has no other.

A successor (USR2) is the same command once more, in the directory and with the user that its predecessor has
already: what is relative, or can be done once only, is not done again.
"""

from __future__ import annotations

import atexit
import contextlib
import grp
import logging
import os
import pwd
import sys
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from pelton.config.address import UnixAddress
from pelton.config.settings import Settings
from pelton.exceptions import ConfigError, StartError
from pelton.logs.access import SYSLOG
from pelton.logs.outputs import File
from pelton.logs.setup import set_up_logs
from pelton.net.listeners import Listener
from pelton.net.opened import Opened
from pelton.process.trusted_files import distrust_links, give, give_socket, open_trusted, parent_of
from pelton.system import name_thread

LOGGER = logging.getLogger("pelton")

# What a process name may have without the package setproctitle.
_LONGEST_NAME = 15


@dataclass(frozen=True)
class Identity:
    """Who to become. ``groups``: all of them, None for those that the process has."""

    user: int
    group: int
    groups: tuple[int, ...] | None


def begin(settings: Settings, environment: MutableMapping[str, str] = os.environ) -> None:
    """Do what comes before everything else. Raises ConfigError, StartError.

    With ``daemon`` it is another process that returns; the first one ends with exit code 0.
    """
    is_successor = "PELTON_SUCCESSION" in environment
    identity = identity_of(settings)
    if identity is not None and settings.workers == 0:
        raise ConfigError(
            "user, group: in one process the application is loaded before the addresses are bound.",
            "They need --workers.",
        )
    if identity is not None:
        # Before the first file is opened.
        distrust_links()
    umask = umask_of(settings)
    variables = variables_of(settings)
    if settings.chdir is not None and not is_successor:
        _change_directory(settings.chdir)
    environment.update(variables)
    for entry in settings.python_path:
        # As PYTHONPATH: the first one named is the first one looked at.
        added = [str(Path(one).absolute()) for one in entry.split(",") if one]
        sys.path[:0] = [one for one in added if one not in sys.path]
    if umask is not None:
        os.umask(umask)
    if settings.process_name is not None:
        name_process(settings.process_name)
    # Before the terminal is left: what is wrong with them can still be said there.
    set_up_logs(settings)
    pid_file = None if settings.pid_file is None else PidFile(settings.pid_file)
    if pid_file is not None:
        pid_file.check()
    if settings.daemon and not is_successor:
        leave_terminal()
    if pid_file is not None:
        pid_file.write(identity)


def drop_privileges(settings: Settings, opened: Opened) -> None:
    """Become the user of the settings; what was opened is given to them. Raises ConfigError, StartError."""
    identity = identity_of(settings)
    if identity is None:
        return
    user, group = identity.user, identity.group
    if (os.geteuid(), os.getegid()) == (user, group):
        return
    try:
        for listener in opened.all_listeners:
            _give(listener, user, group)
        if settings.access_log is not None and settings.access_log not in ("-", SYSLOG):
            with _opened_file(settings.access_log) as descriptor:
                give(descriptor, user, group)
        for handler in LOGGER.handlers:
            if isinstance(handler, File):
                handler.hand_to(user, group)
        # Groups while it may still be done, the user last: after that nothing can be taken back.
        if identity.groups is not None and os.geteuid() == 0:
            os.setgroups(identity.groups)
        if os.getegid() != group:
            os.setresgid(group, group, group)
        if os.geteuid() != user:
            os.setresuid(user, user, user)
    except OSError as error:
        raise StartError(
            f"Cannot become user {settings.user or user}, group {settings.group or group}: "
            f"{error.strerror or error}.",
            "Only root may; without --user and --group pelton stays who it is.",
        ) from None
    for listener in opened.all_listeners:
        if isinstance(listener.address, UnixAddress) and not _may_remove(listener.address.path):
            # The next start finds it stale and removes it before it drops anything.
            listener.leave_file()
    if user != 0 and os.geteuid() == 0:
        raise StartError("Privileges were not dropped.")


def identity_of(settings: Settings) -> Identity | None:
    """Who the settings say to become; None: nobody else. Raises ConfigError for unknown names."""
    if settings.user is None and settings.group is None:
        return None
    user, group, groups = os.geteuid(), os.getegid(), None
    entry: pwd.struct_passwd | None = None
    if settings.user is not None:
        entry = _user(settings.user)
        user = entry.pw_uid if entry is not None else int(settings.user)
        group = entry.pw_gid if entry is not None else group
    if settings.group is not None:
        group = _group(settings.group)
    if settings.user is not None:
        # Those of whoever started it, root's for instance, must not stay.
        groups = tuple(os.getgrouplist(entry.pw_name, group)) if entry is not None else (group,)
    elif os.geteuid() == 0:
        groups = (group,)
    return Identity(user, group, groups)


def umask_of(settings: Settings) -> int | None:
    """The umask of the settings; None: as it is. Raises ConfigError."""
    text = settings.umask
    if text is None:
        return None
    digits = text.removeprefix("0o")
    if not digits or any(digit not in "01234567" for digit in digits) or int(digits, 8) > 0o777:
        raise ConfigError(f'umask: "{text}" is not an octal number up to 777; write for example 007.')
    return int(digits, 8)


def variables_of(settings: Settings) -> dict[str, str]:
    """The environment variables of the settings. Raises ConfigError."""
    variables = {}
    for text in settings.environment:
        name, equals, value = text.partition("=")
        if not name or not equals or "\0" in text:
            raise ConfigError(f'environment: "{text}" is not of the form NAME=VALUE.')
        variables[name] = value
    return variables


class PidFile:
    """A file with the number of this process."""

    def __init__(self, path: str) -> None:
        """``path`` is made absolute: the application may change the directory."""
        self._path = Path(path).absolute()
        self._before: int | None = None

    def check(self) -> None:
        """Raise StartError when another process that lives is named there.

        A number that belongs to nobody, or no number at all, is what a crashed process left behind. A
        predecessor is no stranger; if this process ends before it, its number is written back.
        """
        pid = self._read()
        if pid is None or pid == os.getpid() or not _lives(pid):
            return
        if pid == os.getppid():
            self._before = pid
            return
        raise StartError(
            f"The file {self._path} names process {pid}, which is running.",
            "Stop that one, or choose another --pid.",
        )

    def write(self, owner: Identity | None = None) -> None:
        """Write it, for ``owner``, and remove it at the end of this process. Raises StartError."""
        try:
            self._put(os.getpid(), owner)
        except OSError as error:
            raise StartError(f"Cannot write the pid file {self._path}: {error.strerror}.") from None
        atexit.register(self.remove, os.getpid())

    def remove(self, owner: int) -> None:
        """Remove it, if this is process ``owner`` and it still says so."""
        if os.getpid() != owner or self._read() != owner:
            return
        with contextlib.suppress(OSError):
            if self._before is not None and self._before == os.getppid():
                self._put(self._before)
            else:
                self._path.unlink()

    def _put(self, pid: int, owner: Identity | None = None) -> None:
        # Renamed into place, so that nobody reads half of it.
        beside = f".{self._path.name}.{os.getpid()}"
        with parent_of(self._path) as (directory, name, _):
            # What lies there is a trap or was left behind; made anew it is ours alone until it is given away.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside, dir_fd=directory)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(beside, flags, 0o644, dir_fd=directory)
            try:
                os.write(descriptor, f"{pid}\n".encode())
                if owner is not None and os.geteuid() == 0:
                    os.fchown(descriptor, owner.user, owner.group)
            finally:
                os.close(descriptor)
            os.rename(beside, name, src_dir_fd=directory, dst_dir_fd=directory)

    def _read(self) -> int | None:
        try:
            return int(self._path.read_text(errors="replace")[:32])
        except (OSError, ValueError):
            return None


def leave_terminal() -> None:
    """Go on in a process without a terminal and without a parent that waits; this one ends with 0."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    if os.fork():
        os._exit(0)
    os.setsid()
    # The leader of a session could get a terminal again, by opening one.
    if os.fork():
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    if nothing > 2:
        os.close(nothing)


def name_process(name: str) -> None:
    """Show ``name`` in ps and top."""
    try:
        from setproctitle import setproctitle  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        name_thread(name)
    else:
        setproctitle(name)


def _change_directory(directory: str) -> None:
    try:
        os.chdir(directory)
    except OSError as error:
        raise ConfigError(f'chdir: cannot change to "{directory}": {error.strerror}.') from None


def _lives(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _user(name: str) -> pwd.struct_passwd | None:
    """None: a number that no user has, which containers use."""
    is_number = name.isascii() and name.isdigit()
    try:
        return pwd.getpwuid(int(name)) if is_number else pwd.getpwnam(name)
    except KeyError:
        if is_number:
            return None
        raise ConfigError(f'user: there is no user "{name}".') from None


def _group(name: str) -> int:
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigError(f'group: there is no group "{name}".') from None


def _may_remove(path: str) -> bool:
    return os.access(Path(path).parent, os.W_OK | os.X_OK)


def _give(listener: Listener, user: int, group: int) -> None:
    if isinstance(listener.address, UnixAddress):
        with contextlib.suppress(FileNotFoundError):
            give_socket(listener.address.path, user, group)


@contextlib.contextmanager
def _opened_file(path: str) -> Iterator[int]:
    descriptor = open_trusted(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
