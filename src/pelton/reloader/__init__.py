"""The reloader: the application's process is started again whenever its code has changed.

Owns the names for the rest of pelton, and nothing else. There are two processes. The parent (`supervise`)
opens the listening sockets, keeps them open for its whole life and never imports the application. The child
is the same command once more; it serves on those sockets (`inherited_descriptors`), watches its files
(`watch`), and ends with exit code 3 when one has changed (`make_way`). Between two children, requests wait in
the sockets' backlog. While no child can start, a third process shows the error (`pelton.reloader.failure`).

The variables of the environment are Werkzeug's (WERKZEUG_RUN_MAIN, WERKZEUG_SERVER_FD), so that extensions
which look at them find what they know.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pelton.reloader.child import make_way, watch
    from pelton.reloader.environment import RESTART, inherited_descriptors, is_child
    from pelton.reloader.options import ReloaderOptions
    from pelton.reloader.parent import supervise

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
    "RESTART": "pelton.reloader.environment",
    "ReloaderOptions": "pelton.reloader.options",
    "inherited_descriptors": "pelton.reloader.environment",
    "is_child": "pelton.reloader.environment",
    "make_way": "pelton.reloader.child",
    "supervise": "pelton.reloader.parent",
    "watch": "pelton.reloader.child",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'pelton.reloader' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
