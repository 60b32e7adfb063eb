"""What is opened before anything is started: listeners, certificates, the access log, the way to a statsd.

Owns the order, and that either all of it is open or nothing. The same for one process and for many. Main
thread, or whichever calls `pelton.start`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pelton.config.address import Bind, Scheme, parse_address, parse_bind
from pelton.config.settings import Settings
from pelton.edge.settings import EdgeRules, front_edge
from pelton.exceptions import ConfigError, StartError
from pelton.logs.access import OFF, open_access_log_of
from pelton.logs.statsd import open_statsd_of
from pelton.net.listeners import Inherited, Listener, open_listeners
from pelton.static.settings import front_files, front_named_files
from pelton.tls.material import Material, has_certificates, read_material
from pelton.tls.ticket_keys import NO_KEYS, new_store

# What a client of a listener gets: the application, a redirect to https, or health checks.
APPLICATION: Final = "application"
REDIRECT: Final = "redirect"
ADMIN: Final = "admin"
# And a load balancer's question after the weight.
AGENT: Final = "agent"

# As the native front takes a listener: descriptor, role, and whether it is encrypted.
Described = tuple[int, str, bool]


@dataclass(frozen=True)
class Opened:
    """``listeners`` serve the application, ``admin_listeners`` only health checks.

    ``material``: certificates and keys, read before privileges are given up; None without encryption.
    ``ticket_keys``: the descriptor of the store of ticket keys (`pelton.tls.ticket_keys`). ``rules``: read
    once, so that a front that takes another one's place has the same, whatever has become of the files.
    """

    listeners: tuple[Listener, ...]
    admin_listeners: tuple[Listener, ...]
    access_log: int
    statsd: int = OFF
    redirect_listeners: tuple[Listener, ...] = ()
    material: Material | None = None
    ticket_keys: int = NO_KEYS
    agent_listeners: tuple[Listener, ...] = ()
    rules: EdgeRules | None = None

    @property
    def all_listeners(self) -> tuple[Listener, ...]:
        """In the order in which the front gets them."""
        return self.listeners + self.redirect_listeners + self.admin_listeners + self.agent_listeners

    @property
    def described(self) -> list[Described]:
        """All listeners, as the front takes them."""
        roles = (
            (self.listeners, APPLICATION),
            (self.redirect_listeners, REDIRECT),
            (self.admin_listeners, ADMIN),
            (self.agent_listeners, AGENT),
        )
        return [(one.socket.fileno(), role, one.tls) for listeners, role in roles for one in listeners]

    @property
    def h2c(self) -> list[int]:
        """Which of all listeners may be spoken to in HTTP/2 at once."""
        return [place for place, one in enumerate(self.all_listeners) if one.speaks_http2]

    def close(self) -> None:
        """Close everything and remove socket files; may be called again, but not after `hand_over`."""
        for listener in self.all_listeners:
            listener.close()
        with contextlib.suppress(OSError):
            self.close_outputs()

    def close_outputs(self) -> None:
        """Close what a front has its own copies of: one kept here would keep a rotated file open."""
        for descriptor in (self.access_log, self.statsd):
            if descriptor != OFF:
                os.close(descriptor)
        if self.ticket_keys != NO_KEYS:
            os.close(self.ticket_keys)


def open_all(settings: Settings, inherited: Sequence[Inherited] = (), ticket_keys: int = NO_KEYS) -> Opened:
    """Open what ``settings`` name. Raises PeltonError.

    ``inherited``, ``ticket_keys``: the listeners and the store of keys that a predecessor left.
    """
    binds = [parse_bind(text) for text in settings.bind]
    redirects = [parse_address(text) for text in settings.redirect_bind]
    admin = [parse_address(text) for text in settings.admin_bind]
    agents = [parse_address(text) for text in settings.agent_bind]
    if not binds:
        raise ConfigError("There is no address to listen on.")
    _check_schemes(settings, binds)
    _check_spool_directory(settings.spool_directory)
    # Before anything is open: what is wrong with a certificate is found without a trace.
    material = read_material(settings) if has_certificates(settings) else None
    with contextlib.ExitStack() as undo:
        access_log = open_access_log_of(settings)
        if access_log != OFF:
            undo.callback(os.close, access_log)
        # A folder that is not there is reported before anything is started.
        front_files(settings)
        front_named_files(settings)
        rules = front_edge(settings)
        statsd = open_statsd_of(settings)
        if statsd != OFF:
            undo.callback(os.close, statsd)
        if material is not None and ticket_keys == NO_KEYS:
            ticket_keys = new_store()
            undo.callback(os.close, ticket_keys)
        listeners = []
        for bind in binds:
            for listener in open_listeners([bind.address], inherited):
                undo.callback(listener.close)
                if material is not None and bind.scheme not in (Scheme.HTTP, Scheme.H2C):
                    listener.encrypt()
                listener.speaks_http2 = bind.scheme is Scheme.H2C
                listeners.append(listener)
        redirect_listeners = open_listeners(redirects, inherited)
        for listener in redirect_listeners:
            undo.callback(listener.close)
        admin_listeners = open_listeners(admin, inherited)
        for listener in admin_listeners:
            undo.callback(listener.close)
        agent_listeners = open_listeners(agents, inherited)
        undo.pop_all()
    return Opened(
        tuple(listeners),
        tuple(admin_listeners),
        access_log,
        statsd,
        tuple(redirect_listeners),
        material,
        ticket_keys,
        tuple(agent_listeners),
        rules,
    )


def _check_schemes(settings: Settings, binds: Sequence[Bind]) -> None:
    encrypted = has_certificates(settings)
    for text, bind in zip(settings.bind, binds, strict=True):
        if bind.scheme is Scheme.HTTPS and not encrypted:
            raise ConfigError(
                f"{text} is to be encrypted, and there is no certificate.",
                "Name one with --certfile and --keyfile, or write --certfile adhoc to try it out.",
            )
    if encrypted and all(bind.scheme in (Scheme.HTTP, Scheme.H2C) for bind in binds):
        raise ConfigError(
            "There is a certificate, and no address is encrypted.", "Write https:// before one of them."
        )
    if settings.redirect_bind and not encrypted:
        raise ConfigError(
            "redirect_bind sends clients on to https, and there is no certificate.",
            "Name one with --certfile and --keyfile.",
        )


def _check_spool_directory(directory: str) -> None:
    # Found now, and not by the first visitor with a large upload.
    if not Path(directory).is_dir():
        raise StartError(
            f'The spool directory "{directory}" does not exist.', "Set it with --spool-directory."
        )
    if not os.access(directory, os.W_OK | os.X_OK):
        raise StartError(
            f'The spool directory "{directory}" is not writable.', "Set it with --spool-directory."
        )
