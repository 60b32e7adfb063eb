"""The command, with workers that come and go after seconds: ``python -m support.restless``."""

from __future__ import annotations

from pelton.cli.main import main
from pelton.supervisor.plan import sizing

# The rule is the same; only what counts as busy, for how long, and what else the machine does, differs:
# a test cannot ask for idle processors.
BUSY_FROM = 0.01
CALM_UP_TO = 0.005
SECONDS = 2.0

if __name__ == "__main__":
    vars(sizing).update(BUSY=BUSY_FROM, IDLE=-1.0, CALM=CALM_UP_TO, BUSY_FOR=SECONDS, CALM_FOR=SECONDS)
    main()
