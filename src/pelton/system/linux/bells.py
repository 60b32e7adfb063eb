"""Descriptors to ring: eventfds, so that ringing twice wakes once. Any thread."""

from __future__ import annotations

import os
from contextlib import suppress


def new_bell() -> int:
    """One that has not been rung. Raises OSError when the process has no descriptor left."""
    return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


def ring_bell(bell: int) -> None:
    """Make it readable. Never blocks."""
    os.eventfd_write(bell, 1)


def silence_bell(bell: int) -> bool:
    """Make it unreadable until it is rung again; whether it had been."""
    with suppress(BlockingIOError):
        return os.eventfd_read(bell) > 0
    return False
