"""How the front's process asks a worker's what it knows: a question and a reply over a socket without a file.

Owns the name of that socket, who may ask, and the bounds. All processes of one server are forked by one
supervisor, which draws the random part of the name; beside that the system tells who is at the other end, and
only the same user is listened to. One line of JSON each way.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from pelton.process.left_behind import leave_behind
from pelton.process.native_threads import NativeThread
from pelton.system import peer_of, private_address

LOGGER = logging.getLogger("pelton")

# Drawn where this module is imported first: in the supervisor, before anything is forked.
_SERVER: Final = os.urandom(16).hex()
_MOST_QUESTION: Final = 4096
_MOST_REPLY: Final = 64 << 20
# Asked at once; each has a thread.
_BACKLOG: Final = 8
_SECONDS: Final = 10.0
_STOP: Final = b"stop\n"

Question = dict[str, Any]
Reply = dict[str, Any]


def _socket() -> Any:
    # The native module's own: what a library for greenlets has put in its place would wait in a hub.
    import _socket as module

    return module.socket(module.AF_UNIX, module.SOCK_STREAM)


def _name(number: int) -> bytes:
    return private_address(f"pelton-{_SERVER}-{number}")


class Channel:
    """A worker's end. ``tell`` makes replies, on a thread of its own for each question."""

    def __init__(self, number: int, tell: Callable[[Question], Reply]) -> None:
        self._number = number
        self._tell = tell
        self._listener: Any = None
        self._thread: NativeThread | None = None

    def start(self) -> None:
        """Listen. Where that is impossible the worker serves without, and nobody can ask it."""
        try:
            self._listener = _socket()
            self._listener.bind(_name(self._number))
            self._listener.listen(_BACKLOG)
        except OSError as error:
            LOGGER.debug("This worker cannot be asked: %s.", error)
            self._listener = None
            return
        self._thread = NativeThread(self._run, name="pelton-channel")
        self._thread.start()

    def stop(self) -> None:
        """Listen no more; a connection wakes the thread, for it waits in the system."""
        listener, self._listener = self._listener, None
        if listener is None or self._thread is None:
            return
        leave_behind(self._thread)
        with contextlib.suppress(OSError):
            end = _socket()
            end.settimeout(1.0)
            end.connect(_name(self._number))
            end.send(_STOP)
            end.close()

    def _run(self) -> None:
        listener = self._listener
        while self._listener is not None:
            try:
                descriptor, _ = listener._accept()
            except OSError:
                break
            end = _from_descriptor(descriptor)
            if not _is_ours(end):
                end.close()
                continue
            try:
                NativeThread(partial(self._serve, end), name="pelton-channel").start()
            except RuntimeError:
                end.close()
        listener.close()

    def _serve(self, end: Any) -> None:
        try:
            end.settimeout(_SECONDS)
            line = _read_line(end, _MOST_QUESTION)
            if line != _STOP[:-1]:
                try:
                    reply = self._tell(json.loads(line))
                except Exception as error:
                    LOGGER.debug("A question could not be answered.", exc_info=True)
                    reply = {"error": f"{type(error).__name__}: {error}"}
                end.sendall(json.dumps(reply).encode() + b"\n")
        except (OSError, ValueError):
            # Whoever asked has gone, or asked nonsense.
            pass
        finally:
            end.close()


def _from_descriptor(descriptor: int) -> Any:
    import _socket as module

    return module.socket(module.AF_UNIX, module.SOCK_STREAM, 0, descriptor)


def _is_ours(end: Any, pid: int | None = None) -> bool:
    """Whether the other end is of the same user, or root's; and that process, where one is named."""
    try:
        other, user = peer_of(end)
    except OSError:
        return False
    return user in (os.geteuid(), 0) and pid in (None, other)


def ask(number: int, pid: int, question: Question, seconds: float = _SECONDS) -> Reply:
    """What worker ``number`` tells, whose process is ``pid``. Raises OSError where it does not, in time."""
    end = _socket()
    try:
        end.settimeout(seconds)
        end.connect(_name(number))
        if not _is_ours(end, pid):
            raise PermissionError("another process has the worker's name")
        end.sendall(json.dumps(question).encode() + b"\n")
        reply = json.loads(_read_line(end, _MOST_REPLY))
    except ValueError as error:
        raise OSError(f"the worker tells nonsense: {error}") from None
    finally:
        end.close()
    if not isinstance(reply, dict):
        raise OSError("the worker tells nonsense")
    return reply


def _read_line(end: Any, most: int) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n"):
        piece = end.recv(65536)
        if not piece:
            raise OSError("the other end has closed")
        data += piece
        if len(data) > most:
            raise OSError("more was sent than may be")
    return bytes(data[:-1])
