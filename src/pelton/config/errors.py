"""The errors that a person is meant to read.

Owns their shape: one sentence that says what happened, then lines that say where and what to do about it.
Must not know who shows them. Everything else that is raised inside pelton is a bug of pelton.
"""

from __future__ import annotations


class PeltonError(Exception):
    """Something that the person who starts pelton can correct.

    ``what`` is one sentence; ``lines`` tell where it was found and what to do. ``str()`` gives all of it.
    """

    def __init__(self, what: str, *lines: str) -> None:
        super().__init__(what, *lines)
        self.what = what
        self.lines = lines

    def __str__(self) -> str:
        return "\n".join([self.what, *(f"  {line}" for line in self.lines)])


class ConfigError(PeltonError, ValueError):
    """A setting, an address or the name of an application is written wrongly."""


class StartError(PeltonError):
    """The settings are well-formed, but this machine cannot serve with them now (an address is in use, …)."""


class AddressInUseError(StartError):
    """Somebody listens there already.

    ``held_by``: a line for each process of which that is known. ``address_has_port``: it is no socket file.
    """

    def __init__(
        self, what: str, *lines: str, held_by: tuple[str, ...] = (), address_has_port: bool = False
    ) -> None:
        super().__init__(what, *lines)
        self.held_by = held_by
        self.address_has_port = address_has_port


class EndedError(PeltonError):
    """The front ended although nobody asked it to."""
