"""gunicorn's configuration, for people who come from there: options, config files, server hooks.

Owns everything that knows gunicorn's names. The rest of pelton sees settings, and a `Hooks` object whose
methods do nothing unless a config file has hooks. Does not need gunicorn to be installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pelton.compat.gunicorn.hooks import NO_HOOKS, Hooks, hooks_of
    from pelton.compat.gunicorn.loading import Loaded, from_arguments, from_environment, load_config_file
    from pelton.compat.gunicorn.options import OPTIONS, Option

__all__ = [
    "NO_HOOKS",
    "OPTIONS",
    "Hooks",
    "Loaded",
    "Option",
    "from_arguments",
    "from_environment",
    "hooks_of",
    "load_config_file",
]

_WHERE = {
    "hooks": ("NO_HOOKS", "Hooks", "hooks_of"),
    "loading": ("Loaded", "from_arguments", "from_environment", "load_config_file"),
    "options": ("OPTIONS", "Option"),
}


def __getattr__(name: str) -> Any:
    # The supervisor and each worker only need the hooks, and mostly none.
    import importlib

    for module, names in _WHERE.items():
        if name in names:
            return getattr(importlib.import_module(f"pelton.compat.gunicorn.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
