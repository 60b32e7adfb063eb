"""Types of the native module: the front, the link, and the thread that runs requests.

Kept by hand and checked against the built module by ``tests/unit/test_engine_stub.py``.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Protocol, final

__all__ = ["Front", "Link", "Notice", "Worker", "__version__"]

__version__: str

_Environ = dict[str, Any]
_Application = Callable[[_Environ, Callable[..., Any]], Iterable[bytes]]

class _FrontSettings(Protocol):
    """What the front reads once, at start, as attributes of the object it is given (config/settings.py)."""

    @property
    def max_head_bytes(self) -> int: ...
    @property
    def max_fields(self) -> int: ...
    @property
    def max_body_bytes(self) -> int: ...
    @property
    def body_memory_bytes(self) -> int: ...
    @property
    def spool_directory(self) -> str: ...
    @property
    def response_buffer_bytes(self) -> int: ...
    @property
    def max_connections(self) -> int: ...
    @property
    def queue_length(self) -> int: ...
    @property
    def queue_seconds(self) -> float: ...
    @property
    def retry_after_seconds(self) -> int: ...
    @property
    def head_seconds(self) -> float: ...
    @property
    def body_idle_seconds(self) -> float: ...
    @property
    def keep_alive_seconds(self) -> float: ...
    @property
    def write_idle_seconds(self) -> float: ...
    @property
    def access_log_descriptor(self) -> int: ...

class _Observer(Protocol):
    """Where the worker reports what an application did wrong; called on the request's thread."""

    def failed(self, environ: _Environ, error: BaseException) -> None: ...
    def misused(self, environ: _Environ, message: str) -> None: ...

@final
class Link:
    """The memory between one front and one worker, private to this process."""

    def __new__(cls, threads: int) -> Link: ...
    @property
    def slots(self) -> int:
        """Requests that can be between front and worker at once (ready, running or answering)."""

@final
class Notice:
    """Something the front wants a person to know."""

    @property
    def level(self) -> Literal["debug", "info", "warning", "error"]: ...
    @property
    def message(self) -> str: ...

@final
class Front:
    """Owns listeners and connections; runs on its own native thread and never takes the GIL."""

    def __new__(cls, settings: _FrontSettings, listeners: Sequence[int], link: Link) -> Front:
        """Duplicate the listening sockets (descriptors, already bound and listening).

        Raises OSError when a descriptor is unusable, ValueError when a setting is out of range.
        """
    def start(self) -> None:
        """Start accepting. Raises RuntimeError when called twice."""
    def drain(self) -> None:
        """Close the listeners and idle connections; requests already received are still answered."""
    def stop(self) -> None:
        """Close everything now, whatever is running."""
    def join(self, timeout: float | None = None) -> bool:
        """Wait, without the GIL, for the front's end; False when the time (seconds) ran out first."""
    def next_notice(self) -> Notice | None:
        """Wait, without the GIL, for the next notice; None when the front has ended and none is left."""
    def counters(self) -> dict[str, int]:
        """Everything that is counted, by name: connections, requests, answers by the front, close reasons."""

@final
class Worker:
    """Calls one WSGI application for the requests that arrive over one link."""

    def __new__(
        cls,
        link: Link,
        application: _Application,
        environs: Sequence[_Environ],
        file_wrapper: type,
        observer: _Observer,
    ) -> Worker:
        """``environs``: one template per listener, in the front's order, of what every request shares.

        Raises ValueError when the link has a worker already.
        """
    def serve(self, thread: int) -> None:
        """Run requests on this thread until `stop`; ``thread`` is its number, 0 to threads - 1, used once.

        Raises ValueError when there is no such number or it has been used.
        """
    def stop(self) -> None:
        """Let every serving thread return once it has finished its request."""
