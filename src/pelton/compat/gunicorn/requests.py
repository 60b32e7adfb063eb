"""The hooks around each request: the application, wrapped.

Owns when they are called. On the request's thread; only where one of them is configured, as it costs some
microseconds for each request, and files are sent through Python.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pelton.compat.gunicorn.views import RequestView, ResponseView, WorkerView

LOGGER = logging.getLogger("pelton")


class Observed:
    """A WSGI application that calls ``before`` and ``after`` around another one."""

    def __init__(
        self,
        application: Callable[..., Iterable[bytes]],
        worker: WorkerView,
        before: Callable[..., Any] | None,
        after: Callable[..., Any] | None,
    ) -> None:
        self._application = application
        self._worker = worker
        self._before = before
        self._after = after
        self._numbers = itertools.count(1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._application, name)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # Several threads are here at once; a counter that counts by one call needs no lock.
        self._worker.nr = next(self._numbers)
        request = RequestView(environ)
        if self._before is not None:
            self._before(self._worker, request)
        if self._after is None:
            return self._application(environ, start_response)
        response = ResponseView(request)

        def start(status: str, headers: list[tuple[str, str]], *others: Any) -> Any:
            response.begun(status, headers)
            return start_response(status, headers, *others)

        def tell() -> None:
            assert self._after is not None
            try:
                self._after(self._worker, request, environ, response)
            except Exception:
                LOGGER.exception("The hook post_request failed.")

        try:
            pieces = self._application(environ, start)
        except BaseException:
            tell()
            raise
        if type(pieces) in (list, tuple):
            # Complete already, and as it is, its length is known in advance.
            response.sent = sum(len(one) for one in pieces)
            tell()
            return pieces
        return _Pieces(pieces, response, tell)


class _Pieces:
    """A response in pieces; closed, it has been given."""

    def __init__(self, pieces: Iterable[bytes], response: ResponseView, tell: Callable[[], None]) -> None:
        self._pieces = pieces
        self._response = response
        self._tell = tell

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self._response.sent += len(piece)
            yield piece

    def close(self) -> None:
        try:
            close = getattr(self._pieces, "close", None)
            if close is not None:
                close()
        finally:
            self._tell()
