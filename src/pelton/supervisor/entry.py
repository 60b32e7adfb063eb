"""``pelton --workers N``: from checked settings to a supervisor that runs, and back to an exit code.

Owns the order of the start: listening sockets first, so that clients wait in the backlog from then on; then
processes. Main thread.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

from pelton import _engine
from pelton.compat.gunicorn.hooks import hooks_of
from pelton.config.settings import Settings
from pelton.config.worker_kinds import kind_of
from pelton.exceptions import ConfigError, PeltonError, StartError
from pelton.loader import ApplicationError, Mounts, Target
from pelton.logs.level_counts import LevelCounts
from pelton.logs.unwaited import leave_to_loop
from pelton.net.opened import Opened, open_all
from pelton.observe.runtime import named_by_user, with_own_socket
from pelton.process.daemon import drop_privileges
from pelton.process.signals import Signals
from pelton.process.systemd import Notifier
from pelton.sizing.limits import bounded
from pelton.supervisor.plan import Rules
from pelton.supervisor.plan.actions import End
from pelton.supervisor.programs import RealPrograms
from pelton.supervisor.rules import rules_from
from pelton.supervisor.successor import Succession, inherited_succession
from pelton.supervisor.supervisor import SIGNALS, Supervisor
from pelton.system import keep_one_heap_if_limited
from pelton.tls.certificates import certificates_of
from pelton.version import VERSION

LOGGER = logging.getLogger("pelton")


def serve(target: Target | Mounts, directory: Path, settings: Settings) -> int:
    """Serve with worker processes until the end; returns the exit code. Raises PeltonError.

    ``directory``: what paths in ``target`` are relative to.
    """
    leave_to_loop()
    keep_one_heap_if_limited()
    succession = inherited_succession()
    if succession.bind:
        settings = replace(settings, bind=succession.bind)
    # Before anything is forked: front and workers have to agree.
    settings = bounded(with_own_socket(settings))
    rules = rules_from(settings)
    hooks = hooks_of(settings)
    # Before anything is opened, so that a signal in the middle of it is not lost.
    with Signals(SIGNALS) as signals:
        hooks.starting(settings)
        opened = open_all(settings, succession.listeners, succession.ticket_keys)
        try:
            succession.close_listeners()
            _check_certificates(settings, opened)
            drop_privileges(settings, opened)
            hooks.listens(opened.listeners, rules.workers)
            with LevelCounts(settings, opened.statsd):
                end = _supervise(target, directory, settings, rules, opened, signals, succession)
        finally:
            opened.close()
            hooks.ended()
    if end.what or end.traceback:
        raise error_of(end)
    return end.code


def _check_certificates(settings: Settings, opened: Opened) -> None:
    """Raise what is wrong with them here, where somebody sees it, and not in the front."""
    certificates = certificates_of(settings, opened)
    if certificates is not None:
        certificates.close()


def _supervise(
    target: Target | Mounts,
    directory: Path,
    settings: Settings,
    rules: Rules,
    opened: Opened,
    signals: Signals,
    succession: Succession,
) -> End:
    # Workers that a template forks become ours, and so does what they leave.
    _engine.adopt_orphans()
    notifier = Notifier.from_environment()

    def announce() -> None:
        LOGGER.info("%s", _start_line(rules, settings, opened))
        for listener in opened.redirect_listeners:
            LOGGER.info("sends on to HTTPS from %s", listener)
        for listener in named_by_user(opened.admin_listeners):
            LOGGER.info("metrics and health checks are answered on %s", listener)
        for listener in opened.agent_listeners:
            LOGGER.info("load balancers get the weight on %s", listener.address)
        succession.announce()
        notifier.ready(f"serves with {rules.workers} worker processes")
        hooks_of(settings).ready()

    programs = RealPrograms(target, directory, settings, opened, os.getpid())
    return Supervisor(programs, settings, rules, opened, signals, notifier, announce).run()


def _start_line(rules: Rules, settings: Settings, opened: Opened) -> str:
    workers = f"{rules.workers} worker{'' if rules.workers == 1 else 's'}"
    if rules.most_workers is not None:
        workers = f"{rules.workers} to {rules.most_workers} workers"
    where = " and ".join(map(str, opened.listeners))
    return (
        f"pelton {VERSION} listens on {where} "
        f"(worker kind: {kind_of(settings).description(settings)} in each of {workers}, pid {os.getpid()})."
    )


def error_of(end: End) -> PeltonError:
    """The message for a start that failed."""
    what, *lines = end.what.split("\n")
    if end.code == 3:
        return ApplicationError(what, *(one.removeprefix("  ") for one in lines), traceback=end.traceback)
    return ConfigError(what, *lines) if end.code == 2 else StartError(what, *lines)
