"""Reads every place where settings can be written, in the order in which they count.

Owns which file is read, and the meeting of pelton's own sources with gunicorn's. Executes the config file
if it is a Python file; imports nothing else of the application's. Main thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pelton.cli.worker_kind import said_beside, settle_kind, warnings_about
from pelton.compat.gunicorn.hooks import Hooks
from pelton.compat.gunicorn.loading import Loaded, from_arguments, from_environment, load_config_file
from pelton.config import sources
from pelton.config.settings import Settings
from pelton.config.sources import Given, Layer, Resolved
from pelton.exceptions import ConfigError

_GUNICORN_VARIABLE: Final = "GUNICORN_CMD_ARGS"
_GUNICORN_FILE: Final = "gunicorn.conf.py"


@dataclass(frozen=True)
class Configuration:
    """Everything that was said: settings with their sources, remarks, hooks, and perhaps the application."""

    resolved: Resolved
    notes: tuple[str, ...]
    # Remarks about what was said and has no effect.
    warnings: tuple[str, ...]
    hooks: Hooks
    target: str | None

    @property
    def settings(self) -> Settings:
        """The checked settings."""
        return self.resolved.settings


def read_configuration(
    values: Mapping[str, Any],
    gunicorn_words: Sequence[str],
    file: str | None,
    environ: Mapping[str, str],
    directory: Path,
) -> Configuration:
    """All sources together; the weakest is a file, the strongest the command line.

    ``values`` and ``gunicorn_words``: what the command line says (`options.split_values`). ``file``: what
    ``--config`` says. Raises ConfigError that names the source.
    """
    file = file or environ.get(sources.CONFIG_VARIABLE) or None
    found, remarks = (None, []) if file is not None else sources.find_file(directory)
    if file is None and (directory / _GUNICORN_FILE).is_file():
        if found is None:
            file = _GUNICORN_FILE
            remarks.append(f"{_GUNICORN_FILE} is read, for it is in this directory; --config names another.")
        else:
            remarks.append(f"{_GUNICORN_FILE} is not read, because there is a {found.name}.")
    platform = sources.from_platform(environ)
    own = sources.from_environment(environ)
    notes = [*own.notes, *remarks]
    loaded: list[Loaded] = []
    layers: list[Layer] = []
    if file is not None and not _is_toml(file):
        if not file.startswith("python:") and not (directory / file.removeprefix("file:")).is_file():
            raise _no_file(file, directory)
        loaded.append(load_config_file(_as_seen_from_here(file, directory)))
        # gunicorn, too, takes WEB_CONCURRENCY only where the file says nothing.
        layers += [platform.layer, _layer(loaded[-1])]
    else:
        layers += [_toml(file, found, directory), platform.layer]
    if environ.get(_GUNICORN_VARIABLE):
        loaded.append(from_environment(environ))
        layers.append(_layer(loaded[-1]))
    layers.append(own.layer)
    if gunicorn_words:
        loaded.append(from_arguments(gunicorn_words, said_beside(layers, values))[0])
        layers.append(_layer(loaded[-1]))
    layers.append(sources.from_command_line(values))
    all_loaded = Loaded()
    for one in loaded:
        all_loaded = all_loaded.overridden_by(one)
    resolved, settled = settle_kind(sources.resolve(layers))
    return Configuration(
        resolved,
        (*notes, *all_loaded.notes, *settled),
        (*own.warnings, *warnings_about(resolved.settings)),
        all_loaded.hooks,
        all_loaded.target,
    )


def _toml(named: str | None, found: Path | None, directory: Path) -> Layer:
    if named is not None:
        if not (directory / named).is_file():
            raise _no_file(named, directory)
        return sources.from_toml(directory / named, named).layer
    return sources.from_toml(found, found.name).layer if found else {}


def _as_seen_from_here(file: str, directory: Path) -> str:
    if file.startswith("python:") or directory == Path.cwd():
        return file
    return str(directory / file.removeprefix("file:"))


def _layer(loaded: Loaded) -> Layer:
    return {
        name: Given(value, source)
        for name, (value, source) in loaded.values.items()
        if name in sources.BY_NAME
    }


def _is_toml(file: str) -> bool:
    return file.endswith(".toml")


def _no_file(file: str, directory: Path) -> ConfigError:
    there = sorted(one.name for pattern in ("*.conf.py", "pelton.toml") for one in directory.glob(pattern))
    close = sources.closest(file, there)
    return ConfigError(
        f"There is no config file {file}.",
        f"Did you mean {close}?" if close else f"Looked for {(directory / file).absolute()}.",
    )
