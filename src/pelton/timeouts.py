"""What an application meets when one of its requests takes too long.

Owns the exception; when it is raised, and where, is decided by the front's clock and ``worker/watch.py``.
"""

from __future__ import annotations


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
