"""What every target has to know: the command, the addresses, and the time-outs that depend on each other."""

from __future__ import annotations

import math
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pelton.config.setting import Setting, Unit
from pelton.config.settings import TABLE, Settings
from pelton.config.sources import Resolved

# What the target decides, and what would be repeated in a place where it is wrong.
_LEFT_OUT = frozenset({"bind", "daemon", "pid_file", "user", "group", "directory", "environment", "reload"})
# Between the server's own end and the moment at which whoever started it loses patience.
_PATIENCE = 5
# A proxy must not give up before pelton does, or its client gets an error for a request that goes on.
_PROXY_MARGIN = 5
# nginx's own default, where nothing bounds a request.
_UNBOUNDED_RESPONSE = 60
DEFAULT_PORT = 8000


@dataclass(frozen=True)
class File:
    """One file: where it belongs, and what stands in it."""

    name: str
    text: str


@dataclass(frozen=True)
class Facts:
    """The application and its settings, as far as deployment is concerned."""

    # As they are written; none where --mount says all.
    targets: tuple[str, ...]
    directory: Path
    settings: Settings
    resolved: Resolved

    @property
    def name(self) -> str:
        """A short name for units, images and upstreams: the module's first part."""
        words = self.targets or self.settings.mount or ("",)
        module = words[0].partition("=")[0].partition(":")[0]
        stem = Path(module).stem if "/" in module else module.partition(".")[0]
        return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-") or "app"

    @property
    def executable(self) -> Path:
        """The command of this environment."""
        return Path(sys.executable).with_name("pelton")

    def command(self, executable: str, *binds: str, extra: tuple[str, ...] = ()) -> list[str]:
        """The command line that starts it with the settings that somebody has made."""
        words = [executable, *self.targets]
        for bind in binds:
            words += ["--bind", bind]
        for row in TABLE:
            if row.flags and row.name not in _LEFT_OUT and self.resolved.given(row.name):
                words += _words(row, getattr(self.settings, row.name))
        return [*words, *(word for word in extra if word.partition("=")[0] not in words)]

    def shell(self, executable: str, *binds: str, extra: tuple[str, ...] = ()) -> str:
        """The same as one line for a shell."""
        return shlex.join(self.command(executable, *binds, extra=extra))

    @property
    def workers(self) -> tuple[str, ...]:
        """In production a crash of the application must not be the end of the server."""
        return () if self.resolved.given("workers") else ("--workers=auto",)

    @property
    def port(self) -> int:
        """The first TCP port that it listens on."""
        return _first_port(self.settings.bind) or DEFAULT_PORT

    @property
    def agent_port(self) -> int | None:
        """The first TCP port at which load balancers get the weight."""
        return _first_port(self.settings.agent_bind)

    @property
    def end_seconds(self) -> int:
        """How long the end may take: drain delay, running requests, and a little more."""
        return math.ceil(self.settings.drain_delay + self.settings.graceful_timeout) + _PATIENCE

    @property
    def response_seconds(self) -> int:
        """How long a proxy has to wait for the beginning of a response."""
        longest = self.settings.request_timeout
        return (math.ceil(longest) if longest else _UNBOUNDED_RESPONSE) + _PROXY_MARGIN

    @property
    def keep_alive_seconds(self) -> int:
        """How long a proxy may keep an idle connection: less than pelton, or it sends into a closing one."""
        return max(1, math.floor(self.settings.keep_alive_seconds) - 1)

    @property
    def health(self) -> str:
        """Where health checks are answered on the application's port."""
        return self.settings.health_path or "/-/health"

    @property
    def health_options(self) -> tuple[str, ...]:
        """What has to be added for that."""
        return () if self.settings.health_path else (f"--health-path={self.health}",)


def _first_port(binds: Sequence[str]) -> int | None:
    for bind in binds:
        if found := re.search(r":(\d+)$", bind) if not bind.startswith(("unix:", "fd:")) else None:
            return int(found[1])
    return None


def _words(row: Setting, value: object) -> list[str]:
    flag = row.flags[0]
    if row.unit is Unit.FLAG:
        return [flag] if value else []
    values = value if isinstance(value, tuple) else (value,)
    # An empty text is what the row says for "off".
    return [f"{flag}={_text(row, one)}" for one in values if one not in (None, "")]


def _text(row: Setting, value: object) -> str:
    if row.unit in (Unit.TEXT, Unit.PATH, Unit.ADDRESS):
        return str(value)
    shown = row.show((value,) if row.repeatable else value)
    return shown.partition(" = ")[0]
