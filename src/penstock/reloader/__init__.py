"""The reloader: the application's process is started again whenever its code has changed.

Owns the names for the rest of penstock, and nothing else. There are two processes. The parent (`supervise`)
opens the listening sockets, keeps them open for its whole life and never imports the application. The child
is the same command once more; it serves on those sockets (`inherited_descriptors`), watches its files
(`watch`), and ends with exit code 3 when one has changed (`make_way`). Between two children, requests wait in
the sockets' backlog. While no child can start, a third process shows the error (`penstock.reloader.failure`).

The variables of the environment are Werkzeug's (WERKZEUG_RUN_MAIN, WERKZEUG_SERVER_FD), so that extensions
which look at them find what they know.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.reloader.child import make_way, watch
    from penstock.reloader.environment import RESTART, inherited_descriptors, is_child
    from penstock.reloader.options import ReloaderOptions
    from penstock.reloader.parent import supervise

__all__ = [
    "RESTART",
    "ReloaderOptions",
    "inherited_descriptors",
    "is_child",
    "make_way",
    "supervise",
    "watch",
]

# Looked up on first use: a child's first lines run before everything of the user's, and should be few.
_HOMES = {
    "RESTART": "penstock.reloader.environment",
    "ReloaderOptions": "penstock.reloader.options",
    "inherited_descriptors": "penstock.reloader.environment",
    "is_child": "penstock.reloader.environment",
    "make_way": "penstock.reloader.child",
    "supervise": "penstock.reloader.parent",
    "watch": "penstock.reloader.child",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'penstock.reloader' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
