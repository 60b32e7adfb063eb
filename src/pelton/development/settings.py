"""The settings of a development server: what is different from production, and who may say otherwise.

Owns the order: the table's default < development's default < environment (``PELTON_THREADS``, …) <
``pelton.install(threads=…)`` and ``flask serve --threads`` < the arguments of the call. Main thread.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any, Final

from pelton.compat.gunicorn.worker_class import kind_for
from pelton.config.setting import Group
from pelton.config.settings import Settings
from pelton.config.sources import BY_NAME, Given, from_environment, name_of, resolve
from pelton.config.worker_kinds import kind_of
from pelton.exceptions import ConfigError

LOGGER = logging.getLogger("pelton")

# Why each differs is what a development server is for: somebody looks at a stopped program, or at the page.
_DEFAULTS: Final[dict[str, Any]] = {
    # The banner says what there is to say.
    "log_level": "warning",
    # Who presses Ctrl-C or saves a file does not want to wait for a page that streams.
    "graceful_timeout": 1.0,
    # A thread may stand in a debugger for as long as somebody reads, and the browser's other requests wait.
    "queue_seconds": 3600.0,
    # Such a debugger may also stop the whole interpreter.
    "worker_timeout": 0.0,
}
# What the arguments and the access lines settle, or a process of its own (daemon, user, …) would need.
_NOT_FROM_OUTSIDE: Final = frozenset({"bind", "workers", "worker_kind"})
_GROUPS_OF_PRODUCTION: Final = (Group.PROCESS,)

# Given to `install` or to a command; for every later call in this process.
_chosen: dict[str, Given] = {}


def choose(values: Mapping[str, Any], source: str) -> None:
    """Let every later start use ``values`` (settings by their names). Raises ConfigError.

    ``source``: where messages say they come from.
    """
    layer: dict[str, Given] = {}
    for key, value in values.items():
        name = name_of(key)
        if name is None:
            raise ConfigError(
                f'{source}: there is no setting "{key}".', "docs/settings.md lists all of them."
            )
        if name == "bind":
            raise ConfigError(
                f"{source}: where to listen is said by each call.", "Pass host and port to app.run()."
            )
        layer[name] = Given(value, source)
    resolve([layer])
    _chosen.update(layer)


def forget_choices() -> None:
    """As if `choose` had never been called."""
    _chosen.clear()


def chosen(name: str) -> Any:
    """What `choose` was given for a setting; None without."""
    given = _chosen.get(name)
    return None if given is None else given.value


def chosen_kind(environ: Mapping[str, str] | None = None) -> str | None:
    """The worker kind that `choose` was given, or else the environment; None without. Raises ConfigError."""
    given = _chosen.get("worker_kind")
    if given is None:
        given = from_environment(os.environ if environ is None else environ).layer.get("worker_kind")
    if given is None:
        return None
    try:
        kind = kind_for(given.value) or str(given.value)
        kind_of(resolve([{"worker_kind": Given(kind, given.source)}]).settings)
    except ConfigError as error:
        raise ConfigError(f"{given.source}: {error.what}", *error.lines) from None
    return kind


def warn_of_environment() -> None:
    """Log what the environment says in vain; once the log is set up."""
    for warning in from_environment(os.environ).warnings:
        LOGGER.warning("%s", warning)


def development_settings(given: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Settings:
    """All settings; ``given`` are those that the arguments of the call decide. Raises ConfigError."""
    found = from_environment(os.environ if environ is None else environ).layer
    outside = {
        name: one
        for name, one in found.items()
        if name not in _NOT_FROM_OUTSIDE and BY_NAME[name].group not in _GROUPS_OF_PRODUCTION
    }
    defaults = {name: Given(value, "development's default") for name, value in _DEFAULTS.items()}
    layers = [
        defaults,
        outside,
        _chosen,
        {name: Given(value, "argument") for name, value in given.items()},
    ]
    if not given.get("workers"):
        # They mean nothing in one process, and who has set them for production has made no mistake.
        layers = [
            {name: one for name, one in layer.items() if BY_NAME[name].group is not Group.PROCESSES}
            for layer in layers
        ]
    return resolve(layers).settings
