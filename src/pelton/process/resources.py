"""How many workers suit this machine, or the container in it.

Owns the rule; what the system lets us use is read in `pelton.system`. Called once at start.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Final

from pelton.system import memory_limit, processors

# For one worker. A Flask application with a database driver and a template engine takes 60 to 100 MB; more
# workers than fit are killed by the kernel under load, fewer only queue.
MEMORY_OF_A_WORKER: Final = 128 * 1024 * 1024

_ROOT: Final = Path("/")


def automatic_workers(root: Path = _ROOT) -> int:
    """How many worker processes suit the processors and the memory that this process may use; at least 1.

    ``root``: where the system's own files are looked for.
    """
    workers = math.ceil(processors(root))
    memory = memory_limit(root)
    if memory is not None:
        workers = min(workers, memory // MEMORY_OF_A_WORKER)
    return max(1, workers)


def has_interpreter_lock() -> bool:
    """Whether one thread at a time runs Python code; False on free-threaded builds (PEP 703)."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())
