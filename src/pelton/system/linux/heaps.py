"""How many heaps the C library keeps where a process's address space has an end.

Called once, before there are threads, in processes that are pelton's alone. Forked ones inherit it.
"""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import Final

# Of malloc.h.
_M_ARENA_MAX: Final = -8


def keep_one_heap_if_limited() -> bool:
    """Have glibc make no heap for each thread, of which each takes 64 MiB of address space; whether it obeys.

    Six threads without a request would take 330 MiB (measured), which ``ulimit -v`` counts. Without a limit
    nothing is changed: a heap for each thread is the quicker way.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return False
    # Not every Python has it, and not every C library this function.
    with suppress(ImportError, OSError, AttributeError):
        import ctypes

        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1))
    return False
