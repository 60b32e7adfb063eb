"""What ``run_simple`` puts around an application: static files, the debugger, errors that are let through.

Owns the order, which is Werkzeug's. Called once where the application is served: in this process, or in each
worker.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pelton.development.messages import LOGGER
from pelton.exceptions import ConfigError


@dataclass(frozen=True)
class Wrapping:
    """The arguments of ``run_simple`` that concern the application. ``hostname``: trusted by the debugger."""

    hostname: str
    use_debugger: bool = False
    use_evalex: bool = True
    static_files: Mapping[str, str | tuple[str, str]] | None = None

    def around(self, application: Any, worker_number: int | None = None) -> Any:
        """``application`` with all of it. Raises ConfigError where Werkzeug is missing.

        ``worker_number``: of this process, None if it is the only one.
        """
        try:
            if self.static_files:
                from werkzeug.middleware.shared_data import SharedDataMiddleware

                application = SharedDataMiddleware(application, dict(self.static_files))
            if self.use_debugger:
                from pelton.development.debugger import wrap

                application = wrap(application, self.use_evalex, worker_number)
                if self.use_evalex and worker_number in (None, 1):
                    _tell_pin(application)
                # A browser that came by the name that was asked for is as good as one by localhost.
                application.trusted_hosts.append(self.hostname)
        except ImportError as error:
            raise ConfigError(
                f"The debugger and static files are Werkzeug's, which cannot be imported: {error}.",
                "Install it: pip install werkzeug",
            ) from None
        return application


def _tell_pin(debugged: Any) -> None:
    # Werkzeug tells it only in a reloader's child; without it nobody can open a console.
    if os.environ.get("WERKZEUG_RUN_MAIN") != "true":
        LOGGER.info(" * Debugger PIN: %s", debugged.pin or "none is asked for")


class PassedThrough:
    """An application whose first exception ends the server: ``run_simple(passthrough_errors=True)``.

    ``tell`` is called once, on the request's thread; ``error`` is set before.
    """

    def __init__(self, application: Any, tell: Callable[[], object]) -> None:
        self._application = application
        self._tell = tell
        self._lock = threading.Lock()
        self.error: BaseException | None = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """As WSGI."""
        try:
            answer: Iterable[bytes] = self._application(environ, start_response)
        except Exception as error:
            self._keep(error)
            raise
        # Lists cannot fail any more, and what has a file behind it (wsgi.file_wrapper) must stay what it is.
        if isinstance(answer, Iterator) and not isinstance(answer, PassedThroughResponse):
            return PassedThroughResponse(answer, self._keep)
        return answer

    def _keep(self, error: BaseException) -> None:
        with self._lock:
            if self.error is not None:
                return
            self.error = error
        self._tell()


class PassedThroughResponse:
    """An iterator's pieces; ``keep`` gets its exception."""

    def __init__(self, answer: Iterator[bytes], keep: Callable[[BaseException], None]) -> None:
        self._answer = answer
        self._keep = keep

    def __iter__(self) -> Iterator[bytes]:
        """Itself."""
        return self

    def __next__(self) -> bytes:
        """The next piece."""
        try:
            return next(self._answer)
        except StopIteration:
            raise
        except Exception as error:
            self._keep(error)
            raise

    def close(self) -> None:
        """The iterator's own, if it has one."""
        close = getattr(self._answer, "close", None)
        if close is not None:
            close()
