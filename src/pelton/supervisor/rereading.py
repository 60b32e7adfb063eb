"""SIGHUP reads every source of settings again: which of them hold from then on, and which need a restart.

Owns what was configured last. Must not know where settings are written. Main thread of the supervisor.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from pelton.config.settings import TABLE, Settings
from pelton.config.worker_kinds import kind_of
from pelton.edge.settings import front_edge
from pelton.exceptions import PeltonError
from pelton.logs.setup import change_logs
from pelton.observe.runtime import with_own_socket
from pelton.sizing.limits import bounded

LOGGER = logging.getLogger("pelton")


class Rereading:
    """``settings``: those that hold now. What they were configured as is read anew to compare with."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reported: frozenset[str] = frozenset()

    def again(self) -> Settings | None:
        """The settings that hold from now on, where they were read; None leaves them as they are."""
        before = self._settings
        if before.read_again is None:
            return None
        try:
            # With the socket for the commands, which nobody has configured.
            read = bounded(with_own_socket(before.read_again()))
            after = replace(before, **{row.name: getattr(read, row.name) for row in TABLE if row.reloadable})
            after = replace(after, threads_bound=read.threads_bound)
            if read.workers == 0:
                # One process is another program.
                after = replace(after, workers=before.workers)
            kind_of(after)
            # Only to know that it can be done: the front reads error pages itself.
            front_edge(after)
            change_logs(before, after)
        except (PeltonError, OSError, SystemExit) as error:
            # A config file is a program, and one that wants to end must not end this one.
            LOGGER.error("reload: the settings stay as they were: %s", error)
            return None
        self._settings = replace(after, hooks=read.hooks)
        self._tell(before, read)
        return self._settings

    def _tell(self, before: Settings, read: Settings) -> None:
        changed = [
            f"{row.name} = {row.show(getattr(self._settings, row.name))}"
            for row in TABLE
            if row.reloadable and getattr(before, row.name) != getattr(self._settings, row.name)
        ]
        if changed:
            LOGGER.info("reload: settings that have changed: %s", ", ".join(changed))
        others = frozenset(
            row.name
            for row in TABLE
            if getattr(read, row.name) != getattr(self._settings, row.name) and row.name not in _NOT_COMPARED
        )
        # Once for each change, not at every reload after it.
        if others - self._reported:
            LOGGER.warning("reload: these settings need a restart (USR2): %s", ", ".join(sorted(others)))
        self._reported = others


# What a predecessor or systemd has passed on stands there instead of what was configured.
_NOT_COMPARED = frozenset({"bind"})
