"""Where records of the log go: the standard error output, a file, a syslog.

Each is a handler of `logging`, and writes a record in one piece, so that the lines of several processes do
not mix. None of them raises, and none waits for a receiver that does not take it.
"""

from __future__ import annotations

import logging
import os
import socket
import stat
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, TextIO

from pelton.exceptions import ConfigError, StartError
from pelton.logs.formats import Form, ForPeople, in_one_line
from pelton.logs.journal import SOCKET, Journal
from pelton.logs.unwaited import UnwaitedWriter
from pelton.process.native_threads import NativeRLock, write
from pelton.process.trusted_files import give, open_trusted

# As syslog and the journal number them.
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
# The facility "daemon", where the priority's three bits end.
DAEMON = 3 << 3
_SYSLOG_PORT = 514
# What every syslog takes over UDP and unix sockets alike.
_LONGEST_DATAGRAM = 8192
# For what a process says at its end, where the log has no room; seconds.
_LAST_PATIENCE = 1.0


class Output(logging.Handler):
    """A handler with a form."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form
        # Where the log is something that can be full: a pipe, a terminal.
        self.writer: UnwaitedWriter | None = None

    def createLock(self) -> None:  # noqa: N802  (the name is logging's)
        """A real lock, whatever was patched: pelton's threads log while greenlets do."""
        self._real_lock = NativeRLock()
        super().createLock()

    @property
    def lock(self) -> Any:
        """That lock. gevent puts one of its own into every handler, on which threads and greenlets that
        meet there wait for each other for ever; it is not taken.
        """
        return self._real_lock

    @lock.setter
    def lock(self, other: Any) -> None:
        pass

    def flush(self) -> None:
        """Wait a moment for a log that is full; `logging.shutdown` calls it."""
        if self.writer is not None:
            with self.lock:
                self.writer.wait(_LAST_PATIENCE)

    def close(self) -> None:
        """Close what was opened."""
        if self.writer is not None:
            with self.lock:
                self.writer.close()
        super().close()

    def _writer_to(self, descriptor: int) -> UnwaitedWriter:
        return UnwaitedWriter(descriptor, self.lock, self._lost)

    def _lost(self, count: int) -> bytes:
        what = "a message was" if count == 1 else f"{count} messages were"
        record = logging.LogRecord(
            "pelton", logging.WARNING, __file__, 0, f"Here {what} dropped: nobody read the log.", None, None
        )
        return (self.form.text(record) + "\n").encode("utf-8", "backslashreplace")


class StandardError(Output):
    """Looks up ``sys.stderr`` for each record, for tests and shells replace it during the run.

    Under systemd that is the journal, which then gets records with fields in its own protocol; or, where it
    listens to nobody at ``journal`` and for JSON, lines that carry their priority.
    """

    def __init__(self, form: Form, journal: str = SOCKET) -> None:
        super().__init__(form)
        self._path = journal
        # What `writer` writes to: descriptor, device, inode.
        self._stream = (-1, 0, 0)
        self._journal: Journal | None = None
        self._was_tried = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        try:
            stream = sys.stderr
            if goes_to_journal(stream):
                journal = self._native()
                if journal is not None:
                    journal.send(record, self.form, _priority(record))
                    return
                text = _for_journal(self.form, record)
            else:
                text = self.form.text(record, colour=wants_colour(stream)) + "\n"
            self._follow(stream)
            if self.writer is None:
                stream.write(text)
                stream.flush()
            else:
                self.writer.write(text.encode(stream.encoding or "utf-8", "backslashreplace"))
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Close what was opened."""
        if self._journal is not None:
            self._journal.close()
        super().close()

    def _follow(self, stream: TextIO) -> None:
        """Have a writer for what the stream is now, unless that is a file or nothing of the system's."""
        try:
            status = os.fstat(stream.fileno())
        except (OSError, ValueError, AttributeError):
            is_now = (-1, 0, 0)
        else:
            is_file = stat.S_ISREG(status.st_mode)
            is_now = (-1, 0, 0) if is_file else (stream.fileno(), status.st_dev, status.st_ino)
        if is_now == self._stream:
            return
        if self.writer is not None:
            self.writer.close()
        self._stream = is_now
        self.writer = None if is_now[0] < 0 else self._writer_to(is_now[0])

    def _native(self) -> Journal | None:
        if not self._was_tried and isinstance(self.form, ForPeople):
            self._was_tried = True
            with suppress(OSError):
                self._journal = Journal(self._path)
        return self._journal


class File(Output):
    """Appends to a file, and opens it again by its name when that leads to another one: it was moved away."""

    def __init__(self, path: str, form: Form) -> None:
        """Raises OSError."""
        super().__init__(form)
        # The directory of the start, whatever the application does later.
        self._path = str(Path(path).absolute())
        self._descriptor = _append_to(self._path)
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            self.writer = self._writer_to(self._descriptor)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        if self._descriptor < 0:
            # Replaced while another thread was on its way here.
            return
        try:
            self._follow()
            line = (self.form.text(record) + "\n").encode("utf-8", "backslashreplace")
            if self.writer is None:
                write(self._descriptor, line)
            else:
                self.writer.write(line)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Close the file; records that still come are lost."""
        with self.lock or nullcontext():
            descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
        super().close()

    def hand_to(self, user: int, group: int) -> None:
        """Give the file to a user, who will have to open it again."""
        give(self._descriptor, user, group)

    def _follow(self) -> None:
        with suppress(OSError):
            if os.path.samestat(Path(self._path).stat(), os.fstat(self._descriptor)):
                return
        # Whoever may not make a new one writes on into the old one: better there than nowhere.
        with suppress(OSError):
            opened = _append_to(self._path)
            os.dup2(opened, self._descriptor, inheritable=False)
            os.close(opened)


class Syslog(Output):
    """Sends to a syslog, as datagrams; what it does not take at once is lost."""

    def __init__(self, address: str | tuple[str, int], form: Form) -> None:
        """Raises OSError."""
        super().__init__(form)
        self._address = address
        self._socket = connect_datagrams(self._address)

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record."""
        try:
            text = in_one_line(f"pelton[{record.process}]: {self.form.text(record, timed=False)}")
            message = f"<{DAEMON | _priority(record)}>{text}".encode()[:_LONGEST_DATAGRAM]
            try:
                self._socket.send(message)
            except BlockingIOError:
                pass
            except OSError:
                # It was started again.
                self._socket.close()
                self._socket = connect_datagrams(self._address)
                with suppress(BlockingIOError):
                    self._socket.send(message)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()


def connect_datagrams(address: str | tuple[str, int]) -> socket.socket:
    """A datagram socket that does not block, connected to a path or to host and port. Raises OSError."""
    if isinstance(address, str):
        where, made = address, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    else:
        host, port = address
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        made = socket.socket(found[0][0], socket.SOCK_DGRAM)
        where = found[0][4]  # type: ignore[assignment]  # (as its family wants it)
    try:
        made.setblocking(False)
        made.connect(where)
    except OSError:
        made.close()
        raise
    return made


def open_file(path: str, form: Form) -> File:
    """Append to ``path``. Raises StartError when that is impossible."""
    try:
        return File(path, form)
    except OSError as error:
        raise StartError(
            f'Cannot open the error log "{path}": {error.strerror}.', "See --error-log."
        ) from None


def open_syslog(target: str, form: Form) -> Syslog:
    """Send to the syslog that ``target`` names, as `syslog_address` reads it. Raises PeltonError."""
    try:
        return Syslog(syslog_address(target), form)
    except OSError as error:
        raise no_syslog(target, error) from None


def syslog_address(target: str) -> str | tuple[str, int]:
    """What ``unix:/dev/log``, ``/dev/log``, ``host`` or ``host:port`` (UDP) means. Raises ConfigError."""
    path = target.removeprefix("unix:")
    if path.startswith("/"):
        return path
    host, _, port = target.removeprefix("udp://").partition(":")
    if not host or (port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536)):
        raise ConfigError(
            f'log_syslog: "{target}" is no address of a syslog; write unix:/dev/log or host:514.'
        )
    return (host, int(port) if port else _SYSLOG_PORT)


def no_syslog(target: str, error: OSError) -> StartError:
    """What to say when it cannot be reached."""
    return StartError(f"Cannot reach the syslog at {target}: {error.strerror or error}.")


def wants_colour(stream: TextIO) -> bool:
    """Whether a person looks at ``stream`` in a terminal and has not asked for plain text (NO_COLOR)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def goes_to_journal(stream: TextIO) -> bool:
    """Whether systemd has connected ``stream`` with its journal, as JOURNAL_STREAM tells."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    if not inode:
        return False
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


def _for_journal(form: Form, record: logging.LogRecord) -> str:
    # To the journal each line is a record, which without a priority has the least remarkable one.
    prefix = f"<{_priority(record)}>"
    text = form.text(record, timed=not isinstance(form, ForPeople))
    return "".join(f"{prefix}{line}\n" for line in text.splitlines() or [""])


def _priority(record: logging.LogRecord) -> int:
    return _PRIORITIES.get(record.levelno // 10 * 10, 6)


def _append_to(path: str) -> int:
    # Not for everybody: messages name paths and addresses of visitors. A pipe without a reader is refused.
    return open_trusted(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK)
