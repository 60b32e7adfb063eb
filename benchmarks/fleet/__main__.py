"""``python -m benchmarks.fleet`` prints the tables of docs/fleet.md. Needs haproxy; takes some four minutes.

The application waits and does not compute, so the figures hold for any machine that is not overloaded itself.
"""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.fleet.hosts import Balancer, Host
from benchmarks.sizing.load import Outcome, opened

# 109/s together; a third of the load below is too much for the small one and for the slow one.
HOSTS = (
    Host("large", "127.0.1.1", threads=15, seconds=0.2),
    Host("small", "127.0.1.2", threads=3, seconds=0.2),
    Host("slow", "127.0.1.3", threads=15, seconds=0.8),
)
RATE = 65.0
# What the two others can take while the large one is away.
QUIET_RATE = 20.0
WARM_UP, SECONDS = 10.0, 30.0
WAYS = (("roundrobin", False), ("leastconn", False), ("roundrobin", True), ("leastconn", True))


def load(port: int, rate: float, seconds: float) -> Outcome:
    return opened(port, lambda _: "/", rate, seconds)


def milliseconds(outcome: Outcome, share: float) -> str:
    return f"{outcome.quantile('/', share) * 1000:,.0f} ms"


def spread(hosts: list[Host], folder: Path) -> None:
    print(f"{RATE:.0f}/s of {sum(host.rate for host in hosts):.0f}/s, for {SECONDS:.0f} s\n")
    print("| balance | p50 | p99 | lost |\n| --- | --- | --- | --- |")
    for algorithm, asks_agents in WAYS:
        with Balancer(hosts, folder, algorithm, asks_agents=asks_agents) as balancer:
            load(balancer.port, RATE, WARM_UP)
            found = load(balancer.port, RATE, SECONDS)
        name = algorithm + (" with the agent" if asks_agents else "")
        half, most = milliseconds(found, 0.5), milliseconds(found, 0.99)
        print(f"| {name} | {half} | {most} | {found.failed} of {found.served + found.failed} |", flush=True)


def _killed(hosts: list[Host]) -> None:
    hosts[0].end(signal.SIGKILL)


def _drained(hosts: list[Host]) -> None:
    hosts[0].end(signal.SIGTERM)


def _upgraded(hosts: list[Host]) -> None:
    for host in hosts:
        host.end(signal.SIGTERM)
        host.start()
        # Until it has its share again.
        time.sleep(3)


EVENTS: tuple[tuple[str, Callable[[list[Host]], None], float], ...] = (
    ("the large host is killed (kill -9, all processes)", _killed, 10),
    ("the large host is drained (TERM)", _drained, 15),
    ("all three are upgraded, one after the other", _upgraded, 45),
)


def ends(hosts: list[Host], folder: Path) -> None:
    print(f"\n{QUIET_RATE:.0f}/s, leastconn with the agent\n")
    print("| what happens | p99 | lost |\n| --- | --- | --- |")
    for name, happens, seconds in EVENTS:
        with Balancer(hosts, folder, "leastconn", asks_agents=True) as balancer:
            load(balancer.port, QUIET_RATE, 3)
            event = threading.Timer(2, happens, [hosts])
            event.start()
            found = load(balancer.port, QUIET_RATE, seconds)
            event.join()
        lost = f"{found.failed} of {found.served + found.failed}"
        print(f"| {name} | {milliseconds(found, 0.99)} | {lost} |", flush=True)
        for host in hosts:
            if host.process is None or host.process.poll() is not None:
                host.start()


def run() -> None:
    hosts = list(HOSTS)
    with tempfile.TemporaryDirectory() as folder:
        try:
            for host in hosts:
                host.start()
            spread(hosts, Path(folder))
            ends(hosts, Path(folder))
        finally:
            for host in hosts:
                if host.process is not None and host.process.poll() is None:
                    host.end(signal.SIGKILL)


if __name__ == "__main__":
    run()
