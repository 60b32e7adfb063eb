"""Every exception that pelton shows to a person or raises in an application.

Owns their shape. A `PeltonError` is one sentence that says what happened, then lines that say where and what
to do about it. Must not know who shows them, and imports nothing of pelton. Everything else that is raised
inside pelton is a bug of pelton.
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


class ApplicationError(PeltonError):
    """The application cannot be had. ``traceback`` is its own traceback as text, if its code raised."""

    def __init__(self, what: str, *lines: str, traceback: str | None = None) -> None:
        super().__init__(what, *lines)
        self.traceback = traceback


class EndedError(PeltonError):
    """The front ended although nobody asked it to."""


class RequestTimeout(BaseException):
    """The request of this thread has run for longer than ``--request-timeout``.

    pelton raises it in the thread that runs the request, between two instructions of whatever Python code
    is there then. The client has been answered already (504), so nothing that is sent from now on arrives,
    and the log shows where the thread was when the time was over.

    It may be caught to undo what was half done, and should then be raised again, as ``finally`` and ``with``
    do by themselves. Who swallows it and goes on keeps a thread of the worker: it is raised only once in a
    request, and when the request has not ended by the grace (``--request-timeout-grace``), the whole worker
    process is replaced.

    Like ``KeyboardInterrupt`` it is no ``Exception``. It comes at any line, so that code around that line
    would take it for its own fault: a loop that tries again after ``except Exception``, a logging handler
    that swallows whatever its ``emit`` raises, a framework that makes an error page which nobody will see.
    """

    # The name under which applications import it, and which their tracebacks should show.
    __module__ = "pelton"


class ClientDisconnected(BaseException):
    """The client of this thread's response has gone, and the response would go on for nobody.

    pelton raises it where an iterable, of whose response the client has seen the beginning and nobody knows
    the end (server-sent events), is asked for its next piece and does not give one: about half a second
    after the client has gone. One that yields ends at its next piece, without an exception of its own, as
    ``close()`` ends a generator.

    It is never raised in a request that has not begun to answer, nor in ``close()``. Like ``GeneratorExit``
    it is no `Exception`: there is nothing to handle but what ``finally`` and ``with`` clean up by themselves.
    """

    # The name under which applications import it, and which their tracebacks should show.
    __module__ = "pelton"
