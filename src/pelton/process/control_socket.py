"""The control socket between the supervisor and one of its processes.

Owns how messages look on it: each packet is one JSON object, with descriptors beside it. Must not know what
the messages mean. Used by both ends, each on one thread. The end of the other process is the end of the line,
which is how the supervisor's death is noticed even where the system has no signal for it.
"""

from __future__ import annotations

import array
import contextlib
import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pelton._engine import KeptDescriptor
from pelton.process.native_threads import close
from pelton.system import NO_SIGNAL, NOT_INHERITED, packet_pair

# A packet is cut at its receiver's size without a trace, so it is larger than the largest that is sent.
_LARGEST = 128 * 2**10
# In characters, each of which takes six bytes at worst. Only tracebacks are long, and their end matters.
_LONGEST_TEXT = 16_000
_MOST_DESCRIPTORS = 8


@dataclass(frozen=True)
class Message:
    """One packet. Whoever takes it out owns its descriptors."""

    fields: Mapping[str, Any]
    descriptors: tuple[int, ...] = ()

    def close(self) -> None:
        """Close the descriptors."""
        for descriptor in self.descriptors:
            close(descriptor)


class LineClosedError(Exception):
    """The other end is gone, or cannot take anything now."""


class Line:
    """One end. That of `pair` which is the supervisor's never blocks; the others do."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._kept: KeptDescriptor | None = None

    @staticmethod
    def pair() -> tuple[Line, Line]:
        """Both ends of a new one; raises OSError. The first is the supervisor's, and never blocks."""
        ours, theirs = packet_pair()
        ours.setblocking(False)
        first = Line(ours)
        first.keep()
        return first, Line(theirs)

    @staticmethod
    def from_descriptor(descriptor: int) -> Line:
        """The end that came as a descriptor, which belongs to the line from now on."""
        return Line(socket.socket(fileno=descriptor))

    def keep(self) -> None:
        """From now on a process that is forked from this one has no part in it."""
        self._kept = KeptDescriptor(self.fileno())

    def fileno(self) -> int:
        """The descriptor, for waiting and for handing on; -1 when closed."""
        return self._socket.fileno()

    def send(self, fields: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send a message with copies of ``descriptors``. Raises LineClosedError."""
        # A lone surrogate becomes an escape that JSON knows.
        data = json.dumps(fields, ensure_ascii=False).encode("utf-8", "backslashreplace")
        try:
            if descriptors:
                socket.send_fds(self._socket, [data], list(descriptors), NO_SIGNAL)
            else:
                self._socket.send(data, NO_SIGNAL)
        except OSError as error:
            # Full is as good as gone: the other end has not read for hundreds of messages.
            raise LineClosedError(str(error)) from error

    def receive(self) -> Message | None:
        """The next message; None if there is none yet (only when not blocking). Raises LineClosedError."""
        try:
            data, extra, flags = self._packet()
        except BlockingIOError:
            return None
        except OSError as error:
            raise LineClosedError(str(error)) from error
        descriptors = array.array("i")
        for level, kind, value in extra:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(value[: len(value) - len(value) % descriptors.itemsize])
        message = Message({}, tuple(descriptors))
        if not data:
            message.close()
            raise LineClosedError("the other process has ended")
        try:
            fields = json.loads(data)
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) or not isinstance(fields, dict):
                raise ValueError
        except ValueError:
            message.close()
            raise LineClosedError("what comes is no message") from None
        return Message(fields, tuple(descriptors))

    def _packet(self) -> tuple[bytes, list[tuple[int, int, bytes]], int]:
        # Not `socket.recv_fds`, which ignores the flag: programs that are executed must not inherit them.
        arguments = (_LARGEST, socket.CMSG_SPACE(4 * _MOST_DESCRIPTORS), NOT_INHERITED)
        try:
            data, extra, flags, _ = self._socket.recvmsg(*arguments)
        except ConnectionResetError:
            # The other end was closed with something unread. The system says that once, and before it gives
            # out what the other one has sent: its last word, which may be why it ended.
            data, extra, flags, _ = self._socket.recvmsg(*arguments)
        return data, extra, flags

    def shut_down(self) -> None:
        """Let both ends receive the end, also one that waits for it on another thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this end; may be called again."""
        if self._kept is not None:
            self._kept.close()
        self._socket.close()


def shortened(text: str, longest: int = _LONGEST_TEXT) -> str:
    """``text``, or its end if it is too long for a message."""
    return text if len(text) <= longest else f"…{text[-longest:]}"
