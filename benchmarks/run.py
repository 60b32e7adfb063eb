"""Compare pelton with its peers: python -m benchmarks.run (from the repository's top). README.md has the
method.

Needs only the standard library and wrk; the servers run from environments of their own.
"""

import argparse
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

from benchmarks import load, measure, peers, report, rows, sample
from benchmarks.peers import PELTON, ROOT, Peer
from benchmarks.rows import Row

FOLDER = Path(__file__).resolve().parent
PEERS_PYTHON = FOLDER / ".venv" / "bin" / "python"
PELTON_PYTHON = ROOT / ".venv" / "bin" / "python"
# Beside N idle connections stand the load's own ones and the server's files.
SPARE_FILES = 500


def names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run", description="Compare pelton with its peers."
    )
    parser.add_argument("--setup", action="store_true", help="make the peers' environment and end")
    parser.add_argument("--rounds", type=int, default=3, help="times that everything is measured (default 3)")
    parser.add_argument("--seconds", type=int, default=2, help="length of one window (default 2)")
    parser.add_argument(
        "--quick", action="store_true", help="one round of 1 s: to see that it works, not to quote"
    )
    parser.add_argument("--servers", type=names, metavar="A,B", help="only these")
    parser.add_argument("--rows", type=names, metavar="X,Y", help="only these")
    parser.add_argument("--out", type=Path, default=FOLDER / "out", help="where results.{md,json,svg} go")
    parser.add_argument(
        "--peers-python", type=Path, default=PEERS_PYTHON, help="interpreter that has the peers"
    )
    parser.add_argument(
        "--pelton-python", type=Path, default=PELTON_PYTHON, help="interpreter that has pelton"
    )
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.seconds = 1, 1
    if chosen.rounds < 1 or chosen.seconds < 1:
        parser.error("--rounds and --seconds are at least 1")
    return chosen


def set_up() -> None:
    """The peers' environment, from the pins. uWSGI and bjoern are compiled: a C compiler and libev's headers
    are needed."""
    if not PEERS_PYTHON.exists():
        venv.create(FOLDER / ".venv", with_pip=True)
    pip = [str(PEERS_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    finished = subprocess.run([*pip, "-r", str(FOLDER / "requirements.txt")], check=False)
    if finished.returncode:
        sys.exit("setup failed; on Debian the peers need: apt install build-essential libev-dev python3-dev")
    print(f"wrk {load.wrk_version()}; peers in {PEERS_PYTHON.parent.parent.relative_to(ROOT)}")


def collect_facts(chosen: argparse.Namespace, servers: list[Peer]) -> dict[str, dict[str, str]]:
    """The machine, the versions and how it was measured; a pelton that would run on other versions is
    named."""
    shared = ["Flask", "Werkzeug"]
    found = peers.versions(chosen.peers_python, [*shared, *sorted({peer.distribution for peer in servers})])
    facts = {"Machine": measure.describe_machine(), "Versions": found}
    if PELTON in {peer.name for peer in servers} and chosen.pelton_python.exists():
        ours = peers.versions(chosen.pelton_python, [*shared, "pelton"])
        found["pelton"] = ours.get("pelton", "(not installed)")
        different = {
            name: ours.get(name, "missing")
            for name in ("Python", *shared)
            if ours.get(name) != found.get(name)
        }
        if different:
            facts["NOT COMPARABLE: pelton's environment differs"] = different
    facts["Run"] = {
        "rounds": str(chosen.rounds),
        "seconds per window": str(chosen.seconds),
        "wrk": load.wrk_version(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    return facts


def describe(taken: sample.Sample) -> str:
    if taken.state != "ok":
        return f"{taken.state}: {report.gist(taken)}"
    text = f"{report.count(taken.rate)}/s, {report.count(taken.cpu_micros)} µs CPU"
    text += f", p99 {report.duration(taken.p99_micros)}"
    if taken.idle_wanted:
        text += f", idle {taken.idle_before} → {taken.idle_after}"
    text += f", errors {taken.errors}" if taken.errors else ""
    return text + (f"; {taken.detail}" if taken.detail else "")


def measure_all(
    chosen: argparse.Namespace, servers: list[Peer], asked: list[Row], facts: dict[str, dict[str, str]]
) -> list[sample.Sample]:
    """Interleaved: a disturbance of a minute hits all servers of a row, not all rounds of one server."""
    taken: list[sample.Sample] = []
    for number in range(1, chosen.rounds + 1):
        for row in asked:
            for peer in servers:
                if not peer.runs(row):
                    continue
                python = chosen.pelton_python if peer.name == PELTON else chosen.peers_python
                taken.append(sample.take(peer, row, python, chosen.seconds))
                progress = f"round {number}/{chosen.rounds} {row.name:10} {peer.name:17}"
                print(progress, describe(taken[-1]), file=sys.stderr, flush=True)
            # After each row: an interrupted run has results.
            report.write(chosen.out, taken, facts)
    return taken


def main() -> None:
    chosen = arguments()
    try:
        load.wrk_version()
    except load.LoadFailedError as error:
        sys.exit(str(error))
    if chosen.setup:
        set_up()
        return
    try:
        servers, asked = peers.select(chosen.servers), rows.select(chosen.rows)
    except ValueError as error:
        sys.exit(str(error))
    if not chosen.peers_python.exists():
        sys.exit("the peers are not installed: python -m benchmarks.run --setup")
    if chosen.servers is None and not chosen.pelton_python.with_name("pelton").exists():
        print("pelton is not installed in its environment: measuring the peers only", file=sys.stderr)
        servers = [peer for peer in servers if peer.name != PELTON]
    limit = measure.raise_file_limit()
    for row in [row for row in asked if row.idle + SPARE_FILES > limit]:
        print(f"{row.name}: skipped, only {limit} files may be open (ulimit -Hn)", file=sys.stderr)
        asked.remove(row)
    facts = collect_facts(chosen, servers)
    facts["Run"]["open files allowed"] = str(limit)
    started = time.monotonic()
    # TERM ends the run as Ctrl-C does: through the code that stops the server.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        measure_all(chosen, servers, asked, facts)
    except KeyboardInterrupt:
        sys.exit("\ninterrupted; the rows that were finished are written")
    print(f"{(time.monotonic() - started) / 60:.1f} minutes; {chosen.out / 'results.md'}", file=sys.stderr)


if __name__ == "__main__":
    main()
