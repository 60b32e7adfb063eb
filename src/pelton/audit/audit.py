"""The whole audit of an application: the looks, in the order that disturbs least. Main thread."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pelton.audit.beginnings import Beginnings
from pelton.audit.files import look_for_files
from pelton.audit.finding import Finding
from pelton.audit.interleaving import look_for_interleaving
from pelton.audit.modules import own_modules, shown, take_as_own
from pelton.audit.places import Places
from pelton.audit.source import look_at_source
from pelton.audit.state import look_for_state
from pelton.exceptions import ConfigError
from pelton.loader import Target, load_application
from pelton.requests.reading import of_rules
from pelton.requests.request import Request


def audit(
    target: Target,
    directory: Path,
    requests: list[Request],
    *,
    rounds: int,
    fields: Sequence[tuple[str, str]] = (),
    packages: Sequence[str] = (),
) -> Iterator[Finding]:
    """Import the application and look at it; without ``requests``, with those of its rules.

    ``fields`` are sent with each request; ``packages`` are looked into although they are installed.
    Raises ApplicationError, as serving does. Runs the application's code: what the requests do is done.
    """
    beginnings = Beginnings()
    application: Any = load_application(target, directory)
    if not target.is_path:
        take_as_own(sys.modules.get(target.module))
    for package in packages:
        if package not in sys.modules:
            raise ConfigError(f"The application has not imported {package}.")
        take_as_own(sys.modules[package])
    # What it logs of the same requests again and again says nothing.
    logging.disable(logging.CRITICAL)
    yield from beginnings.look(application)
    asked = [replace(one, fields=tuple(fields)) for one in requests or of_rules(application)]
    named = set()
    endless: set[Request] = set()
    for finding in look_for_state(application, asked, endless):
        named.add(finding.name)
        yield finding
    asked = [request for request in asked if request not in endless]
    yield from look_for_files(application, asked)
    for finding in _read(application):
        if finding.name not in named:
            named.add(finding.name)
            yield finding
    # Last: where requests wait for each other, their threads stay.
    yield from look_for_interleaving(application, asked, rounds=rounds)


def _read(application: Any) -> Iterator[Finding]:
    """What the code of all modules says."""
    views = {view.__name__ for view in Places(application).views().values()}
    for module in own_modules():
        file = str(getattr(module, "__file__", "") or "")
        if file.endswith(".py"):
            try:
                text = Path(file).read_text(encoding="utf-8", errors="replace")
                yield from look_at_source(text, shown(file), module.__name__, views)
            except (OSError, SyntaxError, ValueError):
                # It was imported, so it was right then.
                continue
