"""Sends messages to systemd's journal in its own protocol, where the standard error output goes there anyway.

Owns the socket and the form of a datagram (systemd's "Native Journal Protocol"): fields with names, so that a
message of several lines is one record and `journalctl PELTON_PROCESS="worker 3"` finds what a worker said.
What the journal does not take at once is lost, and counted in the next one that it takes. Any thread.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct
from typing import Final

from pelton.logs.formats import Form
from pelton.system import forbid_changes, memory_file

SOCKET: Final = "/run/systemd/journal/socket"

_PLAIN = logging.Formatter("%(message)s")


class Journal:
    """``path``: where the journal listens. Raises OSError when it does not."""

    def __init__(self, path: str = SOCKET) -> None:
        self._path = path
        self._lost = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            # Not connected: the journal may be started again, and is found by its name then. It takes
            # no notice of what is empty.
            self._socket.sendto(b"", path)
        except OSError:
            self._socket.close()
            raise

    def send(self, record: logging.LogRecord, form: Form, priority: int) -> None:
        """Send a record; ``priority`` as syslog numbers it."""
        lost = f" ({self._lost} messages before this one were lost)" if self._lost else ""
        try:
            self._send(datagram(record, form.label, priority, lost))
        except OSError:
            self._lost += 1
        else:
            self._lost = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendto(data, self._path)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            # What is too large for a datagram comes in a sealed file.
            descriptor = memory_file("pelton-journal", sealable=True)
            try:
                _fill(descriptor, data)
                # Not by `socket.send_fds`, which forgets the address (Python 3.11).
                beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", descriptor))]
                self._socket.sendmsg([b""], beside, 0, self._path)
            finally:
                os.close(descriptor)


def datagram(record: logging.LogRecord, label: str, priority: int, remark: str = "") -> bytes:
    """The record as fields; ``label``: which process it is, ``remark``: added to the message."""
    message = _PLAIN.format(record) + remark
    fields = {
        "MESSAGE": message,
        "PRIORITY": str(priority),
        "SYSLOG_IDENTIFIER": "pelton",
        "CODE_FILE": record.pathname,
        "CODE_LINE": str(record.lineno),
        "CODE_FUNC": record.funcName,
        "TID": str(record.thread or ""),
        "THREAD_NAME": record.threadName or "",
        "PELTON_LOGGER": record.name,
        "PELTON_PROCESS": label,
    }
    if record.exc_info and record.exc_info[0] is not None:
        fields["PELTON_EXCEPTION"] = f"{record.exc_info[0].__module__}.{record.exc_info[0].__qualname__}"
    return b"".join(_field(name, value) for name, value in fields.items() if value)


def _field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "backslashreplace")
    if b"\n" in data:
        # With its length, so that no line of it can pass for a field.
        return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
    return name.encode() + b"=" + data + b"\n"


def _fill(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    forbid_changes(descriptor)
