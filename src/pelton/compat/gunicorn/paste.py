"""The application that a PasteDeploy file describes (``--paste``).

Owns the bridge from an ini file to ``MODULE:APP``: the file is loaded in the worker, by name, as any other
application. PasteDeploy has to be installed.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pelton.exceptions import ConfigError


def target_of(where: str, global_settings: Sequence[str] = ()) -> str:
    """``MODULE:APP`` for ``FILE``, ``FILE#section`` or ``egg:PACKAGE#name``. Raises ConfigError."""
    name = where.removeprefix("config:")
    path, _, section = name.partition("#")
    if not path.startswith("egg:"):
        if not Path(path).is_file():
            raise ConfigError(f'paste: there is no file "{path}".')
        # Once more by its full name: the process may change its directory.
        path = f"config:{Path(path).resolve()}"
    try:
        found = importlib.util.find_spec("paste.deploy")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise ConfigError("paste: PasteDeploy is not installed.", "pip install PasteDeploy")
    pairs = {}
    for one in global_settings:
        key, equals, value = one.partition("=")
        if not equals:
            raise ConfigError(f'paste-global: "{one}" is not NAME=value.')
        pairs[key] = value
    return f"pelton.compat.gunicorn.paste:application({path!r}, {section!r}, {pairs!r})"


def application(uri: str, section: str, global_settings: dict[str, str]) -> Any:
    """Load it; in the worker."""
    deploy = importlib.import_module("paste.deploy")
    return deploy.loadapp(uri, name=section or None, global_conf=global_settings)
