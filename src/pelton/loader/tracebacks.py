"""The part of a traceback that concerns its author."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType

_OWN_DIRECTORY = str(Path(__file__).parent)


def users_traceback(error: BaseException) -> str:
    """The traceback without the frames of pelton and of the import system."""
    shown = traceback.TracebackException.from_exception(error)
    part: traceback.TracebackException | None = shown
    seen: set[int] = set()
    while part is not None and id(part) not in seen:
        seen.add(id(part))
        part.stack = traceback.StackSummary.from_list([f for f in part.stack if not _is_foreign(f.filename)])
        part = part.__cause__ or part.__context__
    return "".join(shown.format())


def ran_users_code(trace: TracebackType | None) -> bool:
    """Whether any frame of the traceback belongs to neither pelton nor the import system."""
    return any(not _is_foreign(frame.f_code.co_filename) for frame, _ in traceback.walk_tb(trace))


def _is_foreign(filename: str) -> bool:
    own_or_frozen = filename.startswith(("<frozen importlib", _OWN_DIRECTORY))
    return own_or_frozen or filename.endswith("importlib/__init__.py")
