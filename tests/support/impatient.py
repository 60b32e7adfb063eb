"""The command, with a supervisor that waits a shorter time for its front: ``python -m support.impatient``."""

from __future__ import annotations

from dataclasses import replace

from pelton.cli.main import main
from pelton.config.settings import Settings
from pelton.supervisor import entry
from pelton.supervisor.plan import Rules
from pelton.supervisor.rules import rules_from

# Still long for a front that only has to be slow.
FRONT_TIMEOUT = 2.0


def impatient(settings: Settings) -> Rules:
    return replace(rules_from(settings), front_timeout=FRONT_TIMEOUT)


if __name__ == "__main__":
    vars(entry)["rules_from"] = impatient
    main()
