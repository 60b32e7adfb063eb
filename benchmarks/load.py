"""Drive wrk, one thread, and read its report (wrk.lua prints it as JSON).

The percentiles are wrk's: microseconds over all requests of the window, corrected by wrk itself for requests
that a stalled connection could not send in time.
"""

import json
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rows import Row

SCRIPT = Path(__file__).with_name("wrk.lua")
# wrk's own default, named because the table's "errors" include what it cuts off.
TIMEOUT_SECONDS = 2
# What wrk may take to end after its window, before it counts as broken.
GRACE_SECONDS = 15.0


class LoadFailedError(Exception):
    """wrk gave no report."""


@dataclass(frozen=True)
class Load:
    requests: int
    seconds: float
    p50_micros: float
    p99_micros: float
    longest_micros: float
    errors: dict[str, int]


def wrk_version() -> str:
    """The version, or an explanation of how to get wrk."""
    program = shutil.which("wrk")
    if program is None:
        raise LoadFailedError(
            "wrk is missing. Debian and Ubuntu: apt install wrk; others: https://github.com/wg/wrk"
        )
    text = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return text.split("[")[0].removeprefix("wrk").strip()


def _command(row: Row, port: int, seconds: int) -> list[str]:
    options = ["--threads", "1", "--connections", str(row.connections), "--duration", f"{seconds}s"]
    options += [
        "--timeout",
        f"{TIMEOUT_SECONDS}s",
        "--script",
        str(SCRIPT),
        f"http://127.0.0.1:{port}{row.path}",
    ]
    return ["wrk", *options, "--", f"upload={row.upload}", f"close={int(row.close)}"]


def warm_up(row: Row, port: int, seconds: float) -> None:
    """The row's load for a moment. wrk counts whole seconds only, so it is told to end by its signal."""
    with subprocess.Popen(
        _command(row, port, 60), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            time.sleep(seconds)
            process.send_signal(signal.SIGINT)
            process.wait(GRACE_SECONDS)
        except BaseException:
            process.kill()
            raise


def run(row: Row, port: int, seconds: int) -> Load:
    try:
        finished = subprocess.run(
            _command(row, port, seconds),
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + GRACE_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise LoadFailedError("wrk did not end") from error
    for line in finished.stdout.splitlines():
        if line.startswith("BENCH "):
            return parse(line.removeprefix("BENCH "))
    raise LoadFailedError(f"wrk: {finished.stderr.strip() or finished.stdout.strip()}")


def parse(report: str) -> Load:
    numbers: dict[str, int] = json.loads(report)
    return Load(
        requests=numbers["requests"],
        seconds=numbers["micros"] / 1e6,
        p50_micros=numbers["p50"],
        p99_micros=numbers["p99"],
        longest_micros=numbers["longest"],
        errors={
            name: numbers[name] for name in ("connect", "read", "write", "status", "timeout") if numbers[name]
        },
    )
