"""Werkzeug's ``ssl_context``: what of it can be served with, and what cannot.

Owns the three forms that Flask's users know: ``'adhoc'``, a pair of files, and an `ssl.SSLContext`. An
SSLContext does not give its certificate and key away, so of one only remains what it was loaded with if it
tells; whoever has one is told what to write instead. Must not import ssl, which most programs never need.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from pelton.exceptions import ConfigError
from pelton.tls.material import ADHOC


def encryption_of(ssl_context: object) -> dict[str, Any]:
    """The settings that ``ssl_context`` means; none for None. Raises ConfigError."""
    if ssl_context is None:
        # Whatever the environment says about certificates is meant for production.
        return {"certfile": (), "keyfile": ()}
    if ssl_context == ADHOC:
        return {"certfile": (ADHOC,), "keyfile": ()}
    if isinstance(ssl_context, (str, os.PathLike)):
        raise ConfigError(
            f"ssl_context: {ssl_context!r} is neither 'adhoc' nor a pair of files.",
            "Write ssl_context=('cert.pem', 'key.pem').",
        )
    if isinstance(ssl_context, (tuple, list)):
        return _pair(ssl_context)
    ssl = sys.modules.get("ssl")
    if ssl is not None and isinstance(ssl_context, ssl.SSLContext):
        raise ConfigError(
            "ssl_context: an SSLContext cannot tell which certificate and key it has loaded.",
            "Write ssl_context=('cert.pem', 'key.pem'), or 'adhoc'.",
        )
    raise ConfigError(f"ssl_context: {ssl_context!r} is none of 'adhoc', a pair of files, an SSLContext.")


def _pair(files: tuple[Any, ...] | list[Any]) -> dict[str, Any]:
    # With one file Werkzeug looks for the key in it.
    if not 1 <= len(files) <= 2 or files[0] is None:
        raise ConfigError("ssl_context: a pair of files is a certificate and its key.")
    certificate, key = (os.fspath(files[0]), os.fspath(files[-1]) if files[-1] is not None else None)
    return {"certfile": (certificate,), "keyfile": (certificate if key is None else key,)}
