"""What the front reports: logged, looked at, and passed on to who asks on an admin listener.

Owns what both kinds of processes with a front do with a notice (`process`, `running`), and what becomes of a
fault there: it is logged, and the thread goes on. Without that thread nobody learns any more what the front
reports, and in one process the server ends. What fails there is mostly the system: no memory, no descriptors.
On the thread "pelton-notices".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from pelton import _engine
from pelton.observe.admin import Admin

LOGGER = logging.getLogger("pelton")


def heed(
    notice: _engine.Notice, admin: Admin, look_at: Callable[[_engine.Notice], None], *, more: str = ""
) -> None:
    """Do what a notice asks for. ``look_at``: for requests that wait; ``more``: said behind its message."""
    if notice.message:
        level = logging.getLevelNamesMapping()[notice.level.upper()]
        LOGGER.log(level, "%s%s", notice.message, more)
    if notice.event == "waiting":
        look_at(notice)
    if (asked := notice.asked) is not None:
        admin.ask(asked)


@contextmanager
def surviving() -> Iterator[None]:
    """Log what is raised in the block, if that is possible, and go on behind it."""
    try:
        yield
    except Exception:
        with suppress(Exception):
            LOGGER.error("A notice of the front could not be heeded; the front goes on.", exc_info=True)
