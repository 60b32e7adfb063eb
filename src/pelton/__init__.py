"""pelton: one WSGI server from ``app.run()`` on a laptop to production.

Owns the public names, and nothing else. They are looked up on first use, so that ``import pelton`` (and
with it the command's ``--help`` and its error messages) loads neither the native module nor any of the
serving code.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pelton.version import VERSION

if TYPE_CHECKING:
    from pelton._engine import IncompleteBodyError
    from pelton.api import run, start
    from pelton.development.installation import install, uninstall
    from pelton.development.run_simple import run_simple
    from pelton.exceptions import (
        AddressInUseError,
        ApplicationError,
        ClientDisconnected,
        ConfigError,
        EndedError,
        PeltonError,
        RequestTimeout,
        StartError,
    )
    from pelton.front.running import Running

__all__ = [
    "AddressInUseError",
    "ApplicationError",
    "ClientDisconnected",
    "ConfigError",
    "EndedError",
    "IncompleteBodyError",
    "PeltonError",
    "RequestTimeout",
    "Running",
    "StartError",
    "__version__",
    "install",
    "run",
    "run_simple",
    "start",
    "uninstall",
]

__version__ = VERSION

_HOMES = {
    "run": "pelton.api",
    "start": "pelton.api",
    "install": "pelton.development.installation",
    "uninstall": "pelton.development.installation",
    "run_simple": "pelton.development.run_simple",
    "Running": "pelton.front.running",
    "IncompleteBodyError": "pelton._engine",
    **dict.fromkeys(
        (
            "AddressInUseError",
            "ApplicationError",
            "ClientDisconnected",
            "ConfigError",
            "EndedError",
            "PeltonError",
            "RequestTimeout",
            "StartError",
        ),
        "pelton.exceptions",
    ),
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'pelton' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
