"""From ``MODULE[:APP]`` to the application object.

Owns finding it, and saying what was looked for and what there is instead when it is not found. Must not know
settings, sockets or the front. Runs on the main thread: importing an application is the application's code.

`target` reads the text, `mounts` that of several applications, `modules` imports, `candidates` knows what an
application looks like, `attributes` takes the object out of the module, `tracebacks` shows whose it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pelton.exceptions import ApplicationError
from pelton.loader.attributes import find_application, named_application
from pelton.loader.debugger import refuse_debugger
from pelton.loader.modules import import_target
from pelton.loader.mounts import Mounts, mounted, parse_targets
from pelton.loader.target import Target, parse_target

__all__ = ["ApplicationError", "Mounts", "Target", "load_application", "parse_target", "parse_targets"]


def load_application(target: Target | Mounts, directory: Path) -> Any:
    """The application that ``target`` names; paths and hints are relative to ``directory``.

    Of several there is one in front that chooses among them (`mounts.Mounted`).

    The module is looked up on ``sys.path``. Raises ApplicationError, whatever the application's code did;
    ConfigError for an application that is for development only.
    """
    if isinstance(target, Mounts):
        return mounted([(mount, load_application(mount.target, directory)) for mount in target.all])
    module = import_target(target, directory)
    found = named_application(module, target) if target.attribute else find_application(module, target)
    refuse_debugger(found)
    return found
