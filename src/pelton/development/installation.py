"""``pelton.install()``: from then on Werkzeug's development server is pelton.

Owns which names are exchanged, and gives them back. Only the function is: ``werkzeug.serving.make_server``,
which hands out a server object of Werkzeug's own, stays as it is. Main thread, before the application runs.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final

from pelton.config.worker_kinds import kind_of
from pelton.development.run_simple import run_simple
from pelton.development.settings import choose, chosen_kind, development_settings, forget_choices
from pelton.exceptions import ConfigError
from pelton.tls.ssl_context import record, stop_recording

_SERVING: Final = "werkzeug.serving"
_NAME: Final = "run_simple"

_original: Callable[..., None] | None = None


@functools.wraps(run_simple)
def _instead(*arguments: Any, **named: Any) -> None:
    # An object of its own: whoever imports pelton.run_simple keeps that when this one is taken back.
    run_simple(*arguments, **named)


def install(**settings: Any) -> None:
    """Let ``app.run()``, ``flask run`` and ``werkzeug.serving.run_simple`` be served by pelton.

    ``settings``: for every server that is started so, by their names (``threads=16``, ``workers=2``). May be
    called again, with others. A ``worker_kind`` needs this call before the application's imports. Raises
    ConfigError without Werkzeug, or for a wrong setting.
    """
    global _original
    choose(settings, "pelton.install()")
    if (name := chosen_kind()) is not None:
        # Some kinds change the interpreter, which has to come before the application is imported.
        prepared = development_settings({"worker_kind": name})
        kind_of(prepared).prepare(prepared)
    if _original is not None:
        return
    try:
        serving = importlib.import_module(_SERVING)
    except ImportError as error:
        raise ConfigError(
            f"There is no Werkzeug to take the place of: {error}.",
            "Install Flask, or call pelton.run_simple.",
        ) from None
    _original = getattr(serving, _NAME)
    _exchange(_original, _instead)
    # Whoever writes app.run(ssl_context=an_object) makes that object before. Werkzeug has imported ssl.
    record()


def uninstall() -> None:
    """Undo `install`; Werkzeug's own server serves again. Does nothing without it."""
    global _original
    forget_choices()
    if _original is not None:
        _exchange(_instead, _original)
        _original = None
        stop_recording()


def is_installed() -> bool:
    """Whether `install` is in force."""
    return _original is not None


def _exchange(old: object, new: object) -> None:
    """In all modules that have taken the name: ``flask.cli``, ``werkzeug``, the application's own."""
    for module in list(_modules()):
        for name, value in list(vars(module).items()):
            if value is old:
                setattr(module, name, new)


def _modules() -> Iterator[ModuleType]:
    for name, module in list(sys.modules.items()):
        # Some entries are no modules, and some are objects that load others when they are looked at.
        if type(module) is ModuleType and name != __name__:
            yield module
