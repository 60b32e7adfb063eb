"""What a server costs: CPU time and memory of all its processes, read from the kernel. Linux only.

A server is every process of the session that its first process leads, and every descendant of that first
process: workers that were forked, exec'd or orphaned all count. One that leaves by setsid *and* loses its
parent would be missed; no server here does so.
"""

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


@dataclass(frozen=True)
class Stat:
    """The fields of /proc/PID/stat that matter here."""

    pid: int
    state: str
    parent: int
    session: int
    reaped_children_seconds: float


def read_stat(pid: int) -> Stat | None:
    """None when the process has gone."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name stands in parentheses and may itself contain spaces and parentheses: count from the
    # last one.
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(
        pid=pid,
        state=fields[0],
        parent=int(fields[1]),
        session=int(fields[3]),
        reaped_children_seconds=(int(fields[13]) + int(fields[14])) / CLOCK_TICKS,
    )


def processes_of(root: int) -> list[int]:
    """The live processes of the server whose first process is `root`."""
    stats = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (stat := read_stat(int(entry.name))) and stat.state not in "ZX":
            stats[stat.pid] = stat
    members = {pid for pid, stat in stats.items() if pid == root or stat.session == root}
    while True:
        found = {pid for pid, stat in stats.items() if stat.parent in members} - members
        if not found:
            return sorted(members)
        members |= found


def cpu_seconds(root: int) -> float:
    """User and system time of the server since its start, ended threads and reaped children included.

    A process' own time is its CPU clock, which has nanoseconds; /proc/PID/stat would round to 10 ms. The
    clock's number is made as clock_getcpuclockid(3) makes it, which Python does not offer for another
    process.
    """
    total = 0.0
    for pid in processes_of(root):
        stat = read_stat(pid)
        if stat is None:
            continue
        try:
            total += time.clock_gettime((~pid << 3) | 2)
        except OSError:
            continue
        total += stat.reaped_children_seconds
    return total


def pss_bytes(root: int) -> int:
    """Proportional set size: a page that n processes share counts 1/n in each, so the sum over them is
    honest."""
    total = 0
    for pid in processes_of(root):
        try:
            rollup = (PROC / str(pid) / "smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for line in rollup.splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def machine_busy_seconds() -> float:
    """CPU time that all processors have spent not idle, time stolen by the hypervisor included."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = (
        int(field) for field in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / CLOCK_TICKS


def raise_file_limit() -> int:
    """Lift the soft limit of open files to the hard one, for this process and all that it starts; return
    it."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def describe_machine() -> dict[str, str]:
    model = "unknown"
    for line in (PROC / "cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory_kib = int((PROC / "meminfo").read_text().split()[1])
    kernel = os.uname()
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "memory": f"{memory_kib / 1024 / 1024:.1f} GiB",
        "kernel": f"{kernel.sysname} {kernel.release} {kernel.machine}",
        "load average at start": " ".join(f"{value:.2f}" for value in os.getloadavg()),
    }
