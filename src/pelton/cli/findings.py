"""What ``pelton check`` finds: the words for it, and which of them are faults. Pure data."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.Enum):
    """How bad it is; only a fault makes the check fail."""

    GOOD = "ok"
    DOUBTFUL = "note"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """One sentence about one thing that was looked at, and what to do about it."""

    verdict: Verdict
    what: str
    lines: tuple[str, ...] = ()
    # Which of `pelton doctor`'s looks has found it.
    about: str = ""


def good(what: str) -> Finding:
    """Looked at, and as it should be."""
    return Finding(Verdict.GOOD, what)


def doubtful(what: str, *lines: str) -> Finding:
    """It works, but perhaps not as somebody thinks."""
    return Finding(Verdict.DOUBTFUL, what, lines)


def fault(what: str, *lines: str) -> Finding:
    """Would keep pelton from starting, or from serving."""
    return Finding(Verdict.FAULT, what, lines)
