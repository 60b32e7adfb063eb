"""The settings as the native front reads them: with what other settings and the machine make of them.

Owns the list of what the front gets beside the table's rows; both places that make a front use it. Any
thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from pelton.config.settings import Settings
from pelton.config.worker_kinds import self_call_of
from pelton.edge.settings import front_edge
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


# The rules that a running front takes over on a reload.
RULES: Final = (
    "allow", "deny", "maintenance_allow", "error_page", "error_page_for_application", "security_headers",
    "response_header", "response_header_remove", "request_header_remove", "canonical_host", "rate_limit",
    "limit_path", "priority_path",
)  # fmt: skip


def rules_text(settings: Settings) -> bytes:
    """The rules as one process tells another. There may be thousands of networks among them."""
    return json.dumps({name: getattr(settings, name) for name in RULES}).encode()


def with_rules(settings: Settings, text: bytes) -> Settings:
    """The settings with the rules of `rules_text`. Raises ConfigError where a page cannot be read."""
    said: Mapping[str, Any] = json.loads(text)
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in said.items()
    }
    return replace(settings, **values)


def front_rules(settings: Settings) -> Settings:
    """For a running front: only what it takes over is right. Raises ConfigError."""
    return replace(settings, edge_rules=front_edge(settings))
