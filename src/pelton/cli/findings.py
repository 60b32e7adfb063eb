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
    """One sentence about one thing that was looked at, and what to do about it.

    ``name``: what the thing is called in JSON, whatever the sentence says of it; a setting's name where it is
    about that. docs/seeing.md lists them.
    """

    verdict: Verdict
    name: str
    what: str
    lines: tuple[str, ...] = ()
    # Which of `pelton doctor`'s looks has found it.
    about: str = ""


def good(name: str, what: str) -> Finding:
    """Looked at, and as it should be."""
    return Finding(Verdict.GOOD, name, what)


def doubtful(name: str, what: str, *lines: str) -> Finding:
    """It works, but perhaps not as somebody thinks."""
    return Finding(Verdict.DOUBTFUL, name, what, lines)


def fault(name: str, what: str, *lines: str) -> Finding:
    """Would keep pelton from starting, or from serving."""
    return Finding(Verdict.FAULT, name, what, lines)
