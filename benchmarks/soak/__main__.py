"""Soak pelton in each mode: python -m benchmarks.soak --minutes 30 (from the repository's top).

Mixed load, clients that break off, forks in views, and a reload every minute where there are workers. At the
end memory, descriptors and threads must be what they were in the second third, and no client may have met an
error. Exit code 1 where that is not so. Needs only the standard library and pelton's environment.
"""

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import measure
from benchmarks.peers import HOST, KILL_SECONDS, ROOT, free_port
from benchmarks.run import PELTON_PYTHON, names
from benchmarks.soak.clients import Clients

TARGET = "benchmarks.soak.app:app"
MODES: dict[str, tuple[str, ...]] = {
    "one-process": ("--workers", "0", "--threads", "8"),
    "workers": ("--workers", "2", "--threads", "4"),
    "preload": ("--workers", "2", "--threads", "4", "--preload"),
    "gevent": ("--workers", "2", "-k", "gevent"),
    "eventlet": ("--workers", "2", "-k", "eventlet"),
    "asyncio": ("--workers", "2", "--threads", "4", "-k", "asyncio"),
    "tornado": ("--workers", "2", "--threads", "4", "-k", "tornado"),
}
CLIENTS = 16
SAMPLE_SECONDS = 5.0
RELOAD_SECONDS = 60.0
# What a figure may grow by from the middle third to the last: noise, and a reload that is under way.
MOST_GROWTH = {"memory MiB": (0.10, 8.0), "descriptors": (0.05, 8.0), "threads": (0.05, 8.0)}


@dataclass
class Samples:
    """What all processes of the server held, every few seconds."""

    rows: list[dict[str, float]] = field(default_factory=list)

    def take(self, root: int) -> None:
        pids = measure.processes_of(root)
        self.rows.append(
            {
                "memory MiB": measure.pss_bytes(root) / 2**20,
                "descriptors": sum(_count(pid, "fd") for pid in pids),
                "threads": sum(_count(pid, "task") for pid in pids),
            }
        )

    def growth(self) -> list[tuple[str, float, float, bool]]:
        """For each figure: its median in the second third and in the last, and whether that is flat."""
        third = len(self.rows) // 3
        found = []
        for name, (share, amount) in MOST_GROWTH.items():
            middle = statistics.median(row[name] for row in self.rows[third : 2 * third])
            last = statistics.median(row[name] for row in self.rows[2 * third :])
            found.append((name, middle, last, last <= middle + max(share * middle, amount)))
        return found


def _count(pid: int, what: str) -> int:
    try:
        return sum(1 for _ in (measure.PROC / str(pid) / what).iterdir())
    except OSError:
        return 0


@contextlib.contextmanager
def server(
    python: Path, options: tuple[str, ...], log: Path
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The command, from its start until nothing of it is left."""
    port = free_port()
    command = [str(python.with_name("pelton")), TARGET, "--bind", f"{HOST}:{port}", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 300
        while b"listens on" not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"it did not start:\n{log.read_text(errors='replace')}")
            time.sleep(0.05)
        time.sleep(1)
        yield process, port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30 + KILL_SECONDS)
        for pid in measure.processes_of(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def soak(mode: str, python: Path, minutes: float, folder: Path, how_many: int) -> bool:
    """Whether all is well; says what it saw."""
    options, log, samples = MODES[mode], folder / f"{mode}.log", Samples()
    reloads = 0
    with server(python, options, log) as (process, port):
        clients = Clients(port, how_many)
        try:
            began = time.monotonic()
            next_reload = began + RELOAD_SECONDS
            while time.monotonic() < began + 60 * minutes:
                time.sleep(SAMPLE_SECONDS)
                samples.take(process.pid)
                if process.poll() is not None:
                    break
                if "0" not in options[:2] and time.monotonic() >= next_reload:
                    next_reload += RELOAD_SECONDS
                    reloads += 1
                    process.send_signal(signal.SIGHUP)
        finally:
            clients.stop()
        died = process.poll()
    code = process.returncode
    lines = log.read_text(errors="replace").splitlines()
    complaints = [
        line for line in lines if any(word in line for word in (" WARNING ", " ERROR ", " CRITICAL "))
    ]
    requests = sum(clients.done.values())
    print(f"\n{mode} ({' '.join(options)}): {minutes:g} minutes, {requests} exchanges, {reloads} reloads")
    print("  " + ", ".join(f"{name} {count}" for name, count in sorted(clients.done.items())))
    is_flat = True
    for name, middle, last, flat in samples.growth():
        is_flat &= flat
        verdict = "flat" if flat else "GROWS"
        print(f"  {name}: {middle:.1f} in the second third, {last:.1f} in the last: {verdict}")
    for text, count in clients.errors.most_common(5):
        print(f"  ERROR {count} x {text}")
    for line in complaints[:20]:
        print(f"  log: {line}")
    if died is not None or code != 0:
        print(f"  it ended {'by itself ' if died is not None else ''}with code {code}")
    print(f"  errors: {sum(clients.errors.values())}; complaints in the log: {len(complaints)}", flush=True)
    return is_flat and not clients.errors and died is None and code == 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="for each mode (default 30)")
    parser.add_argument(
        "--modes", type=names, default=list(MODES), metavar="A,B", help=f"of {', '.join(MODES)}"
    )
    parser.add_argument("--clients", type=int, default=CLIENTS, help=f"at once (default {CLIENTS})")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keep the servers' logs there")
    parser.add_argument("--pelton-python", type=Path, default=PELTON_PYTHON)
    chosen = parser.parse_args()
    if unknown := sorted(set(chosen.modes) - set(MODES)):
        sys.exit(f"no mode called {', '.join(unknown)}; there are {', '.join(MODES)}")
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = chosen.logs or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        fine = [
            soak(mode, chosen.pelton_python, chosen.minutes, folder, chosen.clients) for mode in chosen.modes
        ]
    sys.exit(0 if all(fine) else 1)


if __name__ == "__main__":
    main()
