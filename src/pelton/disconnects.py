"""What an application meets when the client of one of its answers has gone.

Owns the exception; when it is raised, and where, is decided by the front and ``worker/watch.py``.
"""

from __future__ import annotations


class ClientDisconnected(BaseException):
    """The client of this thread's answer has gone, and the answer would go on for nobody.

    pelton raises it where an iterable, of whose answer the client has seen the beginning and nobody knows
    the end (server-sent events), is asked for its next piece and does not give one: about half a second
    after the client has gone. One that yields ends at its next piece, without an exception of its own, as
    ``close()`` ends a generator.

    It is never raised in a request that has not begun to answer, nor in ``close()``. Like ``GeneratorExit``
    it is no `Exception`: there is nothing to handle but what ``finally`` and ``with`` clean up by themselves.
    """

    # The name under which applications import it, and which their tracebacks should show.
    __module__ = "pelton"
