"""Compiled modules of files that have just changed are removed, so that the next process reads the source.

The interpreter takes a compiled module for current when its source has the same size and was written in the
same second. A second edit within that second, such as that of a formatter or of a quick undo, would have the
old code run until the next one. Must not know how a change was noticed. Any thread.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path


def forget(sources: Iterable[str]) -> None:
    """Remove what the interpreter has compiled of ``sources``. One that cannot be removed stays."""
    for source in sources:
        if source.endswith(".py"):
            # The folder may be read-only, or this interpreter may keep none.
            with contextlib.suppress(OSError, NotImplementedError):
                Path(importlib.util.cache_from_source(source)).unlink()
