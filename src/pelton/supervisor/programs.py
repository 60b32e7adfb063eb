"""What the supervisor's children run, and the memory that they share.

Owns only the names: tests of the supervisor bring other programs. What is imported here is imported in the
child, so that the supervisor itself stays small and never holds a runner.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pelton.config.settings import Settings
from pelton.loader import Mounts, Target
from pelton.net.opened import Opened

# Its random name has to be drawn in the supervisor, before anything is forked.
from pelton.observe import channel as channel
from pelton.process.control_socket import Line

if TYPE_CHECKING:
    from pelton.worker.process import Inherited


class Programs(Protocol):
    """One method for each kind of child, called in it; what it returns is the exit code."""

    def front(self, line: Line, bodies: int, doorbell: int, pulse: int) -> int:
        """Be the front. See `pelton.front.process.FrontDescriptors`."""

    def worker(self, number: int, line: Line, link: tuple[int, int, int, int], settings: Settings) -> int:
        """Be a worker. ``link``: the descriptors of memory, bodies, doorbell and socket."""

    def template(self, line: Line, settings: Settings) -> int:
        """Be the preloading process."""

    def link_memory(self, permits: int) -> int:
        """A new file for the link of a worker that runs so many requests at a time; in the supervisor."""

    def body_memory(self) -> int:
        """A new file for request bodies; in the supervisor."""


class RealPrograms:
    """Those of pelton. ``settings`` are the front's; ``supervisor``: its pid."""

    def __init__(
        self, target: Target | Mounts, directory: Path, settings: Settings, opened: Opened, supervisor: int
    ) -> None:
        self._target = target
        self._directory = directory
        self._settings = settings
        self._opened = opened
        self._supervisor = supervisor

    def front(self, line: Line, bodies: int, doorbell: int, pulse: int) -> int:
        """See `Programs`."""
        from pelton.front.process import FrontDescriptors, run

        descriptors = FrontDescriptors(bodies, doorbell, pulse)
        return run(line, self._opened, descriptors, self._settings, self._supervisor)

    def worker(self, number: int, line: Line, link: tuple[int, int, int, int], settings: Settings) -> int:
        """See `Programs`."""
        from pelton.worker.process import LinkEnd, run

        return run(number, line, LinkEnd(*link), self._inherited(settings), self._load)

    def template(self, line: Line, settings: Settings) -> int:
        """See `Programs`."""
        from pelton.worker.template import run

        return run(line, self._inherited(settings), self._load)

    def link_memory(self, permits: int) -> int:
        """See `Programs`."""
        from pelton._engine import link_memory

        return link_memory(permits)

    def body_memory(self) -> int:
        """See `Programs`."""
        from pelton._engine import body_memory

        return body_memory()

    @property
    def _load(self) -> Callable[[], Any]:
        from pelton.loader import load_application

        return lambda: load_application(self._target, self._directory)

    def _inherited(self, settings: Settings) -> Inherited:
        from pelton.worker.process import Inherited

        return Inherited(settings, self._opened.listeners, self._supervisor)
