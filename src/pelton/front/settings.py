"""The settings as the native front reads them: with what other settings and the machine make of them.

Owns the list of what the front gets beside the table's rows; both places that make a front use it. Any
thread.
"""

from __future__ import annotations

from dataclasses import replace

from pelton.config.settings import Settings
from pelton.config.worker_kinds import self_call_of
from pelton.logs.statsd import front_statsd
from pelton.net.opened import Opened
from pelton.reloader.waiting_room import waiting_room
from pelton.sizing.limits import usable_processors
from pelton.static.compression import compression_of
from pelton.static.settings import front_files, front_named_files


def front_settings(settings: Settings, opened: Opened) -> Settings:
    """For the front of what has been opened. Raises ConfigError, as `open_all` has done already."""
    return replace(
        settings,
        access_log_descriptor=opened.access_log,
        **front_statsd(settings, opened.statsd),
        self_call=self_call_of(settings),
        **waiting_room(settings.bind),
        processors=usable_processors(settings),
        static_files=front_files(settings),
        named_files=front_named_files(settings),
        edge_rules=opened.rules,
        compression=compression_of(settings),
    )
