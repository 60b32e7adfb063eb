"""What a worker kind has to offer. Must not import any of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pelton.diagnostics.stacks import stack_of


class Straggler(Protocol):
    """A thread, or a greenlet, that is still in the application's code.

    Threads are found by their ``ident``; what has none has a method ``stack() -> str``.
    """

    @property
    def name(self) -> str:
        """As the log calls it."""

    def is_alive(self) -> bool:
        """Whether it has not ended."""


def stack_of_straggler(one: Straggler) -> str:
    """Where it is, as text of many lines."""
    stack = getattr(one, "stack", None)
    return str(stack()) if stack is not None else stack_of(getattr(one, "ident", None) or 0)


class Runner(Protocol):
    """Runs requests from `start` until `stop`.

    All methods may be called from any thread; `stop` and `join` more than once, also before `start`.
    """

    @property
    def kind(self) -> str:
        """The name of the worker kind, as people know it."""

    def start(self) -> None:
        """Begin to run requests; returns at once."""

    def stop(self) -> None:
        """Run no further request; those that run go on. Returns at once."""

    def join(self, timeout: float) -> Sequence[Straggler]:
        """Wait until nothing runs, at most ``timeout`` seconds; returns what still does."""
