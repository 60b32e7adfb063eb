"""``app.run()`` and many requests at once: what the development server needs for them.

    python -m benchmarks.development [--clients 200] [--seconds 1] [--python FILE]

Starts the same script under Werkzeug's server and under ``pelton run``, opens as many connections at the
same moment, asks each for ``/slow?s=SECONDS``, and says how many were answered, refused or cut, how long all
took, and the most threads and memory that the server had meanwhile. The client is this process, with a thread
for each connection; everything is bounded. Needs Flask and pelton.
"""

import argparse
import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import measure

SCRIPT = Path(__file__).parent / "apps" / "run_itself.py"
SERVERS = {
    "Werkzeug": (),
    "pelton run": ("-m", "pelton", "run"),
    "pelton run, PELTON_THREADS=64": ("-m", "pelton", "run"),
}
START_SECONDS = 30.0
PATIENCE = 120.0
LOOK_EVERY = 0.02
COUNTING = threading.Lock()


@dataclass
class Peak:
    """The most that was seen; sampled until `over` is set."""

    pid: int
    threads: int = 0
    bytes: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        while not self.over.wait(LOOK_EVERY):
            self.threads = max(self.threads, sum(map(threads_of, measure.processes_of(self.pid))))
            self.bytes = max(self.bytes, measure.pss_bytes(self.pid))


@dataclass(frozen=True)
class Outcome:
    server: str
    counts: Counter[str]
    seconds: float
    threads: tuple[int, int]
    mebibytes: tuple[float, float]


def threads_of(pid: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return 0


def ask(port: int, seconds: float, barrier: threading.Barrier, counts: Counter[str]) -> None:
    barrier.wait()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", f"/slow?s={seconds}")
        response = connection.getresponse()
        response.read()
        result = str(response.status)
    except ConnectionRefusedError:
        result = "refused"
    except TimeoutError:
        result = "timed out"
    except (OSError, http.client.HTTPException):
        result = "cut"
    finally:
        connection.close()
    with COUNTING:
        counts[result] += 1


def run(name: str, python: str, clients: int, seconds: float) -> Outcome:
    threads = name.partition("PELTON_THREADS=")[2]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"} | ({"PELTON_THREADS": threads} if threads else {})
    server = subprocess.Popen(
        [python, *SERVERS[name], str(SCRIPT)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    peak = Peak(server.pid)
    timer = threading.Timer(START_SECONDS + PATIENCE, server.kill)
    timer.start()
    try:
        assert server.stderr is not None
        port = next(
            int(found[1]) for line in server.stderr if (found := re.search(r"http://[\d.]+:(\d+)", line))
        )
        threading.Thread(target=server.stderr.read, daemon=True).start()
        # Once, so that nothing is imported for the first time in the measurement.
        ask(port, 0, threading.Barrier(1), Counter())
        before = threads_of(server.pid), measure.pss_bytes(server.pid) / 2**20
        watcher = threading.Thread(target=peak.watch)
        watcher.start()
        counts: Counter[str] = Counter()
        barrier = threading.Barrier(clients + 1)
        workers = [
            threading.Thread(target=ask, args=(port, seconds, barrier, counts), daemon=True)
            for _ in range(clients)
        ]
        for worker in workers:
            worker.start()
        barrier.wait()
        begun = time.monotonic()
        for worker in workers:
            worker.join(PATIENCE)
        took = time.monotonic() - begun
        peak.over.set()
        watcher.join()
        return Outcome(name, counts, took, (before[0], peak.threads), (before[1], peak.bytes / 2**20))
    finally:
        peak.over.set()
        timer.cancel()
        server.send_signal(signal.SIGINT)
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    measure.raise_file_limit()
    print("| server | answers | seconds | threads before, most | MiB before, most |")
    print("| --- | --- | --- | --- | --- |")
    for name in SERVERS:
        found = run(name, options.python, options.clients, options.seconds)
        responses = ", ".join(f"{count} of {what}" for what, count in found.counts.most_common())
        print(
            f"| {name} | {responses} | {found.seconds:.1f} | {found.threads[0]}, {found.threads[1]} "
            f"| {found.mebibytes[0]:.0f}, {found.mebibytes[1]:.0f} |"
        )


if __name__ == "__main__":
    main()
