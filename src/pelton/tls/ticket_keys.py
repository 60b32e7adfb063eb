"""The keys of session tickets: kept outside of the front, so that the next front goes on with the same ones.

A client comes back with a ticket that only these keys open. They are in a memory file that every front of a
server has open, also after a replacement of the front and after an upgrade (USR2); it ends with the last of
them, and no key is ever on a disk. Keys are rotated: a new one seals, those before still open for a while,
and what was recorded can be read later by nobody, once they are gone. The file's lock is held while it is
changed, since an old front and its successor look at the same time. Any thread.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from typing import Final

from pelton.system import memory_file

NO_KEYS: Final = -1
_KEY: Final = 48
_RECORD: Final = struct.Struct(f"<d{_KEY}s")
# A new key every so often; tickets are taken for as long as clients may keep them, at least.
ROTATE_EVERY: Final = 8 * 3600.0
_KEPT: Final = 3


def new_store() -> int:
    """A store without keys; the caller closes the descriptor."""
    return memory_file("pelton-ticket-keys")


def current_keys(store: int, now: float | None = None) -> list[bytes]:
    """The keys to use, the newest first; with a new one when it is time for it.

    ``now``: the wall clock, for fronts of different ages have no other in common.
    """
    now = time.time() if now is None else now
    # One description of the file for all processes that inherited it: flock would never exclude them, so a
    # lock of the process (fcntl) is taken, and one process has one thread that comes here.
    fcntl.lockf(store, fcntl.LOCK_EX)
    try:
        held = _read(store)
        # A clock that was set back must not keep a key for ever.
        if not held or not 0 <= now - held[0][0] < ROTATE_EVERY:
            held = [(now, os.urandom(_KEY)), *held][:_KEPT]
            os.pwrite(store, b"".join(_RECORD.pack(*one) for one in held), 0)
    finally:
        fcntl.lockf(store, fcntl.LOCK_UN)
    return [key for _, key in held]


def _read(store: int) -> list[tuple[float, bytes]]:
    content = os.pread(store, _KEPT * _RECORD.size, 0)
    whole = len(content) - len(content) % _RECORD.size
    return list(_RECORD.iter_unpack(content[:whole]))
