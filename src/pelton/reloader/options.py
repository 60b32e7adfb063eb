"""What can be chosen about the reloader.

Owns the names of the ways to watch, and which of them there is. Any thread.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from pelton.exceptions import ConfigError

_KINDS = ("auto", "stat", "watchdog", "watchfiles")


@dataclass(frozen=True)
class ReloaderOptions:
    """As Werkzeug's ``run_simple`` has them.

    ``extra_files``: files and directories to watch besides Python's. ``exclude_patterns``: what is not
    watched, as in `fnmatch`, against the whole path. ``interval``: seconds between two looks, where looking
    is the way. ``kind``: ``stat`` looks at each file; ``watchfiles`` learns from the system and needs the
    package of that name; ``auto`` and ``watchdog`` are the best that there is.
    """

    extra_files: tuple[str, ...] = ()
    exclude_patterns: tuple[str, ...] = ()
    interval: float = 1.0
    kind: str = "auto"

    @property
    def uses_watchfiles(self) -> bool:
        """Whether the system is to tell of changes. Raises ConfigError for a kind that there is not."""
        if self.kind not in _KINDS:
            raise ConfigError(
                f'There is no reloader "{self.kind}".',
                f"Choose one of {', '.join(_KINDS)}; auto is the best.",
            )
        if self.kind == "stat":
            return False
        is_installed = importlib.util.find_spec("watchfiles") is not None
        if self.kind == "watchfiles" and not is_installed:
            raise ConfigError(
                'The reloader "watchfiles" needs the package of that name.',
                'Install it with `pip install "pelton[reload]"`, or choose auto or stat.',
            )
        return is_installed

    @property
    def name(self) -> str:
        """How messages call the way to watch. Raises ConfigError as above."""
        return "watchfiles" if self.uses_watchfiles else "stat"
