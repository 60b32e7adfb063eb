"""The part of ``environ`` that all requests of one listener share.

Owns the template; the native module copies it for each request and adds the method, path, fields and body.
Must not know requests. Built once, at start; afterwards read by every request's thread.
"""

from __future__ import annotations

from typing import Any

from pelton.version import VERSION
from pelton.worker.wsgi.error_stream import ErrorStream
from pelton.worker.wsgi.file_wrapper import FileWrapper

SOFTWARE = f"pelton/{VERSION}"


def template(
    server_name: str, server_port: str, *, multithread: bool, multiprocess: bool = False, scheme: str = "http"
) -> dict[str, Any]:
    """What PEP 3333 asks for, apart from the request itself.

    ``multithread``: whether another thread may call the application at the same time; ``multiprocess``:
    whether another process may. ``scheme``: how the client came, ``http`` or ``https``.
    """
    made = {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.errors": ErrorStream(),
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        # The body ends by itself: reading past it gives b"", with or without a Content-Length. Werkzeug and
        # others read chunked bodies only where a server promises this.
        "wsgi.input_terminated": True,
        "SCRIPT_NAME": "",
        "SERVER_NAME": server_name,
        "SERVER_PORT": server_port,
        "SERVER_SOFTWARE": SOFTWARE,
    }
    if scheme == "https":
        # As mod_ssl says it, for applications that look there.
        made["HTTPS"] = "on"
    return made
