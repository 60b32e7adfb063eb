"""Waits until descriptors are readable, whatever their numbers.

Owns the choice of the system call. ``select`` cannot name descriptors from 1,024 on (FD_SETSIZE), and an
application may have opened that many before pelton makes its first; so nothing else in pelton calls it.
Where the library is patched, the hub runs meanwhile. Any thread.
"""

from __future__ import annotations

import math
import select
from collections.abc import Iterable

_READABLE = 1  # POLLIN; gevent's module has the name, eventlet's has not.


def wait_readable(descriptors: Iterable[int], timeout: float | None = None) -> list[int]:
    """Those that are readable or at their end; none when ``timeout`` seconds were over first.

    Interrupted by a signal, it goes on with the time that is left (PEP 475). Raises OSError for one that is
    not open.
    """
    if not hasattr(select, "poll"):
        # eventlet takes it away. Its `select` asks the hub, for which there is no limit.
        return list(select.select(list(descriptors), [], [], timeout)[0])
    poll = select.poll()
    for one in descriptors:
        poll.register(one, _READABLE)
    # Rounded up: awake before the time is over, the caller would only wait again.
    found = poll.poll(None if timeout is None else math.ceil(timeout * 1000))
    for descriptor, event in found:
        if event & 32:  # POLLNVAL
            raise OSError(9, f"descriptor {descriptor} is not open")
    return [descriptor for descriptor, _ in found]
