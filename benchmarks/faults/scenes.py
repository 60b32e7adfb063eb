"""The faults. Each gets a server that has answered once, and says what the clients saw; bounded in time."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks import measure
from benchmarks.faults.app import BIG
from benchmarks.faults.client import PATIENCE, all_at_once, ask, close_all, connect, outcome, request, told
from benchmarks.lifecycle.subjects import Subject

Options = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Seen:
    client: str
    lost: str


@dataclass(frozen=True)
class Scene:
    name: str
    title: str
    run: Callable[[Subject], Seen]
    # By server; one that has no such option plays without it.
    options: Options = field(default_factory=dict)
    # Means nothing where the option is missing.
    needs_option: bool = False


def _others(port: int, count: int = 5) -> list[Callable[[], str]]:
    return [lambda n=n: ask(port, f"/nap/1.{n}") for n in range(count)]  # type: ignore[misc]


def _beside(path: str) -> Callable[[Subject], Seen]:
    """The fault, five requests of a second beside it, and twenty quick ones after it."""

    def run(subject: Subject) -> Seen:
        first, *beside = all_at_once([lambda: ask(subject.port, path), *_others(subject.port)])
        after = [ask(subject.port, f"/quick/{n}") for n in range(20)]
        lost = [one for one in (*beside, *after) if one != "200"]
        seen = f"the request itself: {first}; five beside it: {told(beside)}; twenty after it: {told(after)}"
        return Seen(seen, f"{len(lost)} of the other 25")

    return run


def _late_error(subject: Subject) -> Seen:
    seen = ask(subject.port, "/late-error")
    told_as_whole = "200, as if it were whole" if seen == "200" else seen
    return Seen(told_as_whole, "the rest of that response")


def _fork(subject: Subject) -> Seen:
    calls: list[Callable[[], str]] = [lambda: ask(subject.port, "/fork/1", 3.0) for _ in range(4)]
    calls += [lambda n=n: ask(subject.port, f"/quick/{n}", 3.0) for n in range(100)]  # type: ignore[misc]
    seen = all_at_once(calls)
    others = seen[4:]
    bad = [one for one in others if one != "200"]
    text = f"the forking requests: {told(seen[:4])}; 100 others: {told(others)}"
    return Seen(text, f"{len(bad)} of 100, {others.count('wrong')} with another one's response")


def _pause(subject: Subject) -> Seen:
    pids = measure.processes_of(subject.main)

    def pause() -> str:
        time.sleep(0.5)
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            time.sleep(4.5 if number == signal.SIGSTOP else 0)
        return "paused"

    patience = 15.0
    calls = [lambda: ask(subject.port, "/nap/1", patience) for _ in range(6)]
    seen = all_at_once([*calls, pause])[:6]
    return Seen(told(seen), f"{len([one for one in seen if one != '200'])} of 6")


def _slow_reader(subject: Subject) -> Seen:
    received = 0
    with connect(subject.port, 4096) as sock:
        sock.sendall(request("/big/x"))
        try:
            for _ in range(100):
                received += len(sock.recv(2048))
                time.sleep(0.05)
            while received < BIG and (piece := sock.recv(1 << 20)):
                received += len(piece)
        except OSError:
            pass
    whole = received >= BIG
    seen = "the whole response" if whole else f"cut after {received:,} of {BIG:,} bytes"
    return Seen(seen, "nothing" if whole else "the rest")


def _no_readers(subject: Subject) -> Seen:
    held = [connect(subject.port, 4096) for _ in range(12)]
    for one in held:
        one.sendall(request("/big/x"))
    time.sleep(1)
    return _newcomer(subject, held, "twelve who read nothing")


def _half_heads(subject: Subject) -> Seen:
    held = [connect(subject.port) for _ in range(300)]
    for one in held:
        one.sendall(request("/quick/x")[:-2])
    time.sleep(0.5)
    return _newcomer(subject, held, "300 half requests")


def _idle(subject: Subject) -> Seen:
    held: list[socket.socket] = []
    for _ in range(60):
        with contextlib.suppress(OSError):
            one = connect(subject.port)
            held.append(one)
            one.settimeout(0.2)
            one.sendall(request("/quick/x"))
            outcome(one)
    time.sleep(1.2)
    return _newcomer(subject, held, "60 idle connections where 50 may be")


def _newcomer(subject: Subject, held: list[socket.socket], beside: str) -> Seen:
    began = time.monotonic()
    got = ask(subject.port, "/quick/newcomer")
    took = time.monotonic() - began
    close_all(held)
    lost = "nothing" if got == "200" else "the newcomer"
    return Seen(f"a newcomer beside {beside}: {got} after {took:.2f} s", lost)


def _after_head(subject: Subject) -> Seen:
    with connect(subject.port) as sock:
        sock.sendall(request("/quick/x", "HEAD"))
        sock.recv(1 << 16)
        sock.sendall(b"\x00 / HTTP/1.1\r\n\r\n")
        seen = outcome(sock)
    return Seen(seen, "nothing" if seen == "400" else "the reason")


def _term(subject: Subject) -> Seen:
    idle = connect(subject.port)
    idle.sendall(request("/quick/x"))
    outcome(idle)

    def end() -> str:
        time.sleep(0.5)
        subject.send(signal.SIGTERM)
        return ""

    calls: list[Callable[[], str]] = [lambda: ask(subject.port, "/nap/2") for _ in range(4)]
    seen = all_at_once([*calls, end])[:4]
    began = time.monotonic()
    while subject.alive() and time.monotonic() < began + PATIENCE:
        time.sleep(0.02)
    took = "at once" if time.monotonic() < began + 1.5 else f"after {time.monotonic() - began:.1f} s more"
    close_all([idle])
    lost = len([one for one in seen if one != "200"])
    return Seen(f"four that run: {told(seen)}; then it ends {took}", f"{lost} of 4")


def _quick(subject: Subject) -> Seen:
    seen = [ask(subject.port, f"/quick/{n}") for n in range(20)]
    return Seen(told(seen), "the lines of the access log")


_LOCKED: Options = {"pelton": ("--worker-timeout", "3s"), "gunicorn-gthread": ("--timeout", "3")}

SCENES = (
    Scene("killed", "a worker is killed (SIGKILL, as the kernel does without memory)", _beside("/kill/x")),
    Scene("segfault", "native code in a view reads address 0", _beside("/segfault/x")),
    Scene("exit", "a view ends its process", _beside("/exit/x")),
    Scene("late-error", "a view fails after the beginning of its response", _late_error),
    Scene("lock", "native code keeps the interpreter's lock for ever", _beside("/lock/x"), _LOCKED),
    Scene("fork", "views fork, and the children come back, too", _fork),
    Scene("pause", "everything is paused for 4.5 s, with time-outs of 3 s", _pause, _LOCKED),
    Scene(
        "slow-reader",
        "a steady reader takes 40 KB/s of 30 MB for 5 s",
        _slow_reader,
        {"pelton": ("--write-timeout", "1s")},
    ),
    Scene("no-readers", "clients that read nothing, more than there are threads", _no_readers),
    Scene("half-heads", "clients that never end their requests", _half_heads),
    Scene(
        "idle",
        "more idle connections than there may be",
        _idle,
        {
            "pelton": ("--max-connections", "50", "--keep-alive", "60s"),
            "gunicorn-gthread": ("--worker-connections", "25", "--keep-alive", "60"),
        },
    ),
    Scene("after-head", "nonsense after a HEAD request on the same connection", _after_head),
    Scene("term", "SIGTERM while requests run", _term),
    Scene(
        "full-disk",
        "the access log's disk is full",
        _quick,
        {
            "pelton": ("--access-log", "/dev/full"),
            "gunicorn-gthread": ("--access-logfile", "/dev/full"),
        },
        needs_option=True,
    ),
)
