"""The settings of a running server: how it tells them (``/settings``), and how a command reads them again.

Owns the shape. What a reload can change is asked of a worker, for the front is older than the reload. Must
not know who asks. Any thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pelton.config.bounds import Bounds
from pelton.config.secrets import without_secrets
from pelton.config.setting import Part
from pelton.config.settings import TABLE, Settings
from pelton.exceptions import ConfigError, PeltonError

Facts = dict[str, Any]


def facts_of(settings: Settings) -> Facts:
    """All of one process, without secrets, and the folder that relative paths begin in."""
    values = {row.name: without_secrets(row.name, getattr(settings, row.name)) for row in TABLE}
    return {
        "directory": str(Path.cwd()),
        "settings": {
            name: str(value) if isinstance(value, Bounds) else value for name, value in values.items()
        },
    }


def joined(front: Facts, workers: Iterable[Mapping[str, Any]]) -> Facts:
    """What the front tells, with what its newest worker tells of itself."""
    settings = dict(front["settings"])
    # What a reload may have changed; the front knows what is its own.
    theirs = [row.name for row in TABLE if row.reloadable and row.part is not Part.FRONT]
    for one in workers:
        if isinstance(found := one.get("settings"), dict):
            settings |= {name: found[name] for name in theirs if name in found}
    return {**front, "settings": settings}


def settings_of(facts: Facts) -> Settings:
    """Settings again; what this version does not know is left out. Raises PeltonError for what is none."""
    found = facts.get("settings")
    if not isinstance(found, dict):
        raise PeltonError("The server's settings are not pelton's.")
    try:
        return replace(
            Settings(), **{row.name: row.accept(found[row.name]) for row in TABLE if row.name in found}
        )
    except ConfigError as error:
        raise PeltonError(f"The server's settings cannot be read: {error.what}") from None
