"""Probe how servers take odd requests: python -m benchmarks.conformance (from the repository's top).

Needs only the standard library; the servers run from the environments of `benchmarks.run`.
"""

import argparse
import http.client
import signal
import sys
import time
from pathlib import Path

from benchmarks import peers
from benchmarks.conformance.page import page
from benchmarks.conformance.probe import SILENCE_SECONDS, probe
from benchmarks.conformance.rules import GROUPS
from benchmarks.peers import PELTON, Peer, Running, ServerFailedError, Start, running
from benchmarks.rows import Row
from benchmarks.run import PEERS_PYTHON, PELTON_PYTHON, names

ROW = Row("conformance", "", "benchmarks.conformance.app:app", path="/", threads=4)
COMPARED = (
    "gunicorn-gthread",
    "gunicorn-sync",
    "granian",
    "waitress",
    "bjoern",
    "cheroot",
    "uwsgi",
    "werkzeug",
)
PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


def own_modes() -> list[Peer]:
    """pelton as one process, and with a front process and a worker."""
    (single,) = peers.select([PELTON])

    def several(start: Start) -> list[str]:
        return [*single.command(start), "--workers", "1"]

    return [single, Peer("pelton -w 1", single.distribution, several)]


def probe_all(server: Running) -> dict[str, list[str]]:
    """A word for each rule, by group."""
    found: dict[str, list[str]] = {}
    for group, rules in GROUPS.items():
        found[group] = []
        for rule in rules:
            try:
                outcome = probe(server.port, rule.wire, head_request=rule.head_request, finish=rule.finish)
                found[group].append(rule.say(outcome))
            except OSError as error:
                found[group].append(f"unreachable ({error.strerror})")
            await_responses(server)
    return found


def await_responses(server: Running) -> None:
    """Until the server answers again: one that a probe has brought down would spoil the ones after it."""
    deadline = time.monotonic() + 10.0
    while True:
        try:
            server.get("/", 0, timeout=5.0)
            return
        except (OSError, http.client.HTTPException, ServerFailedError) as error:
            if time.monotonic() > deadline:
                raise ServerFailedError(f"no answer any more: {error!r}\n{server.log_tail()}") from error
            time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.conformance", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--servers", type=names, metavar="A,B", help="only these peers")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page")
    parser.add_argument("--peers-python", type=Path, default=PEERS_PYTHON)
    parser.add_argument("--pelton-python", type=Path, default=PELTON_PYTHON)
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        others = peers.select(list(chosen.servers or COMPARED))
    except ValueError as error:
        sys.exit(str(error))
    facts = {"date": time.strftime("%Y-%m-%d", time.gmtime())}
    facts |= peers.versions(chosen.pelton_python, ["pelton"])
    facts |= peers.versions(chosen.peers_python, sorted({peer.distribution for peer in others}))
    cells = {}
    own = own_modes()
    for peer in [*own, *others]:
        python = chosen.pelton_python if peer in own else chosen.peers_python
        try:
            with running(peer, ROW, python) as server:
                cells[peer.name] = probe_all(server)
        except ServerFailedError as error:
            print(f"{peer.name} is left out: {error}", file=sys.stderr)
        else:
            print(f"{peer.name} is done")
    chosen.out.write_text(page(facts, cells, SILENCE_SECONDS))
    print(f"written to {chosen.out}")


if __name__ == "__main__":
    main()
