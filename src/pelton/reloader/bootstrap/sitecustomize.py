"""Runs first in a reloader's child: the interpreter imports a module of this name before the program.

Owns only the order: the child's own preparations, then the ``sitecustomize`` that would have been imported
without this one. The directory stands in front of PYTHONPATH; nothing is left of it afterwards, neither in
``sys.path`` nor in the environment of programs that the child executes. So the program itself is started
exactly as the user has started it, and yet its first error is not missed.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys


def _begin() -> None:
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    sys.path[:] = [one for one in sys.path if one != here]
    sys.path_importer_cache.pop(here, None)
    try:
        from pelton.reloader.child import begin
    except ImportError:
        # Another interpreter than the parent's, perhaps. The child then reports nothing, and runs.
        return
    begin()


def _go_on() -> None:
    found = importlib.machinery.PathFinder.find_spec("sitecustomize", sys.path)
    if found is None or found.loader is None:
        return
    module = importlib.util.module_from_spec(found)
    sys.modules["sitecustomize"] = module
    found.loader.exec_module(module)


_begin()
_go_on()
