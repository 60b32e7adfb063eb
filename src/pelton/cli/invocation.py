"""What a command line comes to: the settings of all sources together, and the applications that it names.

Owns how often they are read, and relative to which folder. Must not load the application or the native
module. Main thread.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from pelton.cli.configuration import Configuration, read_configuration
from pelton.cli.env_file import read_env_file
from pelton.cli.options import split_values, with_bind
from pelton.config.settings import Settings
from pelton.config.sources import ENV_FILE_VARIABLE, PORT_VARIABLE
from pelton.exceptions import ConfigError
from pelton.loader import Mounts, Target, parse_targets
from pelton.loader.mounts import check_mount
from pelton.process.systemd import inherited_descriptors

_STARTED_IN = "PELTON_STARTED_IN"


def configured(config: str | None, given: dict[str, Any]) -> tuple[Configuration, Settings]:
    """What was said, and the settings that follow. Raises ConfigError."""
    env_file = given.pop("env_file") or os.environ.get(ENV_FILE_VARIABLE) or None
    if env_file is not None:
        read_env_file(env_file, os.environ)
    values, words = split_values(with_bind(given))
    # As it was at the start: --env adds to it, and a second reading must not see that.
    environ, directory = dict(os.environ), _directory_of_the_start()

    def read() -> tuple[Configuration, Settings]:
        found = read_configuration(values, words, config, environ, directory)
        settings = replace(found.settings, hooks=found.hooks if found.hooks else None)
        source = found.resolved.sources["bind"]
        is_said = found.resolved.given("bind") and not source.endswith(f" {PORT_VARIABLE}")
        if not is_said and (descriptors := inherited_descriptors()):
            # A systemd socket unit has opened them for exactly this.
            settings = replace(settings, bind=tuple(f"fd://{descriptor}" for descriptor in descriptors))
        return found, settings

    found, settings = read()
    return found, replace(settings, read_again=lambda: read()[1])


def _directory_of_the_start() -> Path:
    """What the names of config files are relative to.

    A successor (USR2) is this command once more, in the directory that its predecessor has changed to.
    """
    directory = str(Path.cwd())
    if "PELTON_SUCCESSION" not in os.environ:
        os.environ[_STARTED_IN] = directory
    return Path(os.environ.get(_STARTED_IN, directory))


def words_of(target: tuple[str, ...], found: Configuration) -> list[str]:
    """All applications, with their places. Words of the command count in the place of what a file names."""
    words = list(target or ([found.target] if found.target else ()))
    return [*words, *(word for word in found.settings.mount if word not in words)]


def target_of(target: tuple[str, ...], found: Configuration) -> Target | Mounts:
    words = words_of(target, found)
    if not words:
        raise ConfigError("No application is named.", "Write for example: pelton shop:app")
    for word in found.settings.mount:
        check_mount(word)
    return parse_targets(words)
