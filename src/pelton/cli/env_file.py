"""Variables from a file, for ``--env-file``.

Owns the order: what the environment has already stays. How such files are written is python-dotenv's, which
Flask and others use, too; it is imported only for this.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path

from pelton.exceptions import ConfigError


def read_env_file(file: str, environ: MutableMapping[str, str]) -> None:
    """Add the variables of ``file`` that ``environ`` has not. Raises ConfigError."""
    if not Path(file).is_file():
        raise ConfigError(f"--env-file: there is no file {file}.", f"Looked for {Path(file).absolute()}.")
    try:
        from dotenv import dotenv_values
    except ImportError:
        raise ConfigError(
            "--env-file needs the package python-dotenv.", "Install it with: pip install 'pelton[dotenv]'"
        ) from None
    try:
        found = dotenv_values(file, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"--env-file: {file} cannot be read: {error}.") from None
    for name, value in found.items():
        if value is not None:
            environ.setdefault(name, value)
