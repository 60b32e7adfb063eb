"""pelton's command with Werkzeug's debugger around the application in each worker.

``python debugged.py APPLICATION --workers 3 …``. The production command refuses a debugger, and its affinity
is off; what is tried here is what development makes of the two.
"""

from __future__ import annotations

from pelton.cli.main import main
from pelton.config.settings import Settings
from pelton.development import debugger
from pelton.process.control_socket import Line
from pelton.supervisor import entry
from pelton.supervisor.programs import RealPrograms


class Debugged(RealPrograms):
    """Workers with a debugger that knows their number."""

    def worker(self, number: int, line: Line, link: tuple[int, int, int, int], settings: Settings) -> int:
        from pelton.worker.process import LinkEnd, run

        load = self._load
        return run(
            number,
            line,
            LinkEnd(*link),
            self._inherited(settings),
            lambda: debugger.wrap(load(), evalex=True, worker_number=number),
        )


if __name__ == "__main__":
    debugger.prepare()
    setattr(entry, "RealPrograms", Debugged)  # noqa: B010
    main()
