"""The whole audit of an application: the looks, in the order that disturbs least. Main thread."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pelton.audit.beginnings import look_for_beginnings, threads_now
from pelton.audit.files import look_for_files
from pelton.audit.finding import Finding
from pelton.audit.interleaving import look_for_interleaving
from pelton.audit.modules import functions, own_modules, shown
from pelton.audit.source import look_at_source
from pelton.audit.state import look_for_state
from pelton.loader import Target, load_application
from pelton.requests.reading import of_rules
from pelton.requests.request import Request


def audit(target: Target, directory: Path, requests: list[Request], *, rounds: int) -> Iterator[Finding]:
    """Import the application and look at it; without ``requests``, with those of its rules.

    Raises ApplicationError, as serving does. Runs the application's code: what the requests do is done.
    """
    threads = threads_now()
    application: Any = load_application(target, directory)
    # What it logs of the same requests again and again says nothing.
    logging.disable(logging.CRITICAL)
    yield from look_for_beginnings(threads)
    asked = requests or of_rules(application)
    told = set()
    for finding in look_for_state(application, asked):
        told.add(finding.name)
        yield finding
    yield from look_for_files(application, asked)
    yield from look_for_interleaving(application, asked, rounds=rounds)
    views = {view.__name__ for view in functions(application, []).values()}
    for module in own_modules():
        file = str(getattr(module, "__file__", "") or "")
        if file.endswith(".py"):
            text = Path(file).read_text(encoding="utf-8", errors="replace")
            for finding in look_at_source(text, shown(file), module.__name__, views):
                if finding.name not in told:
                    told.add(finding.name)
                    yield finding
    sys.stdout.flush()
