"""penstock: one WSGI server from ``app.run()`` on a laptop to production.

Owns the public names, and nothing else. They are looked up on first use, so that ``import penstock`` (and
with it the command's ``--help`` and its error messages) loads neither the native module nor any of the
serving code.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from penstock.version import VERSION

if TYPE_CHECKING:
    from penstock._engine import IncompleteBodyError
    from penstock.api import run, start
    from penstock.development.installation import install, uninstall
    from penstock.development.run_simple import run_simple
    from penstock.disconnects import ClientDisconnected
    from penstock.running import Running
    from penstock.timeouts import RequestTimeout

__all__ = [
    "ClientDisconnected",
    "IncompleteBodyError",
    "RequestTimeout",
    "Running",
    "__version__",
    "install",
    "run",
    "run_simple",
    "start",
    "uninstall",
]

__version__ = VERSION

_HOMES = {
    "run": "penstock.api",
    "start": "penstock.api",
    "install": "penstock.development.installation",
    "uninstall": "penstock.development.installation",
    "run_simple": "penstock.development.run_simple",
    "Running": "penstock.running",
    "ClientDisconnected": "penstock.disconnects",
    "IncompleteBodyError": "penstock._engine",
    "RequestTimeout": "penstock.timeouts",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'penstock' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
