"""The scenes: each a load with one figure that counts, and whether more of it is better."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.sizing import load

# As long as `--workers auto` may take until it has as many as it needs.
WORKERS_SECONDS = 30.0


@dataclass(frozen=True)
class Scene:
    """``figure`` plays it against a port with ``seconds`` for its load, where it can be long or short.

    ``default`` and ``fixed``: pelton's options beside the number of threads, where it sizes itself and where
    it does not. ``address_space_mib``: of each process (``ulimit -v``); 0: as much as it likes.
    """

    name: str
    title: str
    unit: str
    figure: Callable[[int, float], float]
    more_is_better: bool = True
    default: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    address_space_mib: int = 0


def _closed(path: str, count: int) -> Callable[[int, float], float]:
    def play(port: int, seconds: float) -> float:
        # The threads that it takes are there after a moment.
        load.closed(port, lambda _: path, count, 1.0)
        outcome = load.closed(port, lambda _: path, count, seconds)
        return outcome.served / outcome.seconds

    return play


def _burst(port: int, _: float) -> float:
    return load.burst(port, "/sleep", 200).seconds


def _open(port: int, seconds: float) -> float:
    outcome = load.opened(port, lambda number: "/quick" if number % 10 else "/sleep", 150, seconds)
    return outcome.quantile("/quick", 0.99) * 1000


def _computing_p99(port: int, seconds: float) -> float:
    return load.closed(port, lambda _: "/compute", 32, seconds).quantile("/compute", 0.99) * 1000


def _many_workers(port: int, seconds: float) -> float:
    # One more worker comes once processors have been idle beside busy workers for some seconds.
    load.closed(port, lambda _: "/compute", 32, WORKERS_SECONDS)
    outcome = load.closed(port, lambda _: "/compute", 32, seconds)
    return outcome.served / outcome.seconds


def _swap(port: int, seconds: float) -> float:
    def path_of(since: float) -> str:
        return "/compute" if int(since / 10) % 2 else "/wait"

    outcome = load.closed(port, path_of, 64, max(20.0, seconds))
    return outcome.served / outcome.seconds


SCENES = (
    Scene("burst", "burst: 200 times sleep(1) at once, time for all", "s", _burst, more_is_better=False),
    Scene("open", "150/s, every tenth sleeps 1 s: p99 of the quick ones", "ms", _open, more_is_better=False),
    Scene("waits", "waits: 128 clients, 50 ms each", "/s", _closed("/wait", 128)),
    Scene("pool", "pool: 64 clients, a pool of ten, 20 ms", "/s", _closed("/pool", 64)),
    Scene("computes", "computes: 32 clients, 4 ms each", "/s", _closed("/compute", 32)),
    Scene("p99", "computes: 32 clients, 4 ms each, p99", "ms", _computing_p99, more_is_better=False),
    Scene("half", "half and half: 32 clients, 5 ms computing, 2.5 ms waiting", "/s", _closed("/half", 32)),
    Scene("lock", "one lock: 32 clients, 2 ms under it", "/s", _closed("/lock", 32)),
    Scene("swap", "two kinds that swap every 10 s (waits, computes), 64 clients", "/s", _swap),
    Scene(
        "memory",
        "waits: 128 clients, 50 ms each, with 512 MiB of address space",
        "/s",
        _closed("/wait", 128),
        address_space_mib=512,
    ),
    Scene(
        "workers",
        "computes: 32 clients, 4 ms each, --workers auto against --workers 2",
        "/s",
        _many_workers,
        default=("--workers", "auto"),
        fixed=("--workers", "2"),
    ),
)
