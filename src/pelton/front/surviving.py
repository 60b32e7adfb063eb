"""What becomes of a fault on the thread that reads the front's notices: it is told, and the thread goes on.

Without that thread nobody learns any more what the front reports, and in one process the server ends. What
fails there is mostly the system: no memory, no descriptors.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

LOGGER = logging.getLogger("pelton")


@contextmanager
def surviving() -> Iterator[None]:
    """Log what is raised in the block, if that is possible, and go on behind it."""
    try:
        yield
    except Exception:
        with suppress(Exception):
            LOGGER.error("A notice of the front could not be heeded; the front goes on.", exc_info=True)
