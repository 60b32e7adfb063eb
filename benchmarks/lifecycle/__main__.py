"""Count what is lost while workers come and go: python -m benchmarks.lifecycle (from the repository's top).

Needs only the standard library; the servers run from the environments of `benchmarks.run`.
"""

import argparse
import signal
import sys
import time
from pathlib import Path

from benchmarks import measure, peers
from benchmarks.lifecycle import beside, scenes, subjects, tables
from benchmarks.run import FOLDER, PEERS_PYTHON, PELTON_PYTHON, names

BESIDE = "beside"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.lifecycle", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--servers", type=names, metavar="A,B", help="only these")
    known = ", ".join([*(scene.name for scene in scenes.SCENES), BESIDE])
    parser.add_argument("--scenes", type=names, metavar="X,Y", help=f"only these ({known})")
    parser.add_argument("--out", type=Path, default=FOLDER / "results" / "lifecycle.md", help="the report")
    parser.add_argument("--peers-python", type=Path, default=PEERS_PYTHON)
    parser.add_argument("--pelton-python", type=Path, default=PELTON_PYTHON)
    return parser.parse_args()


def facts_of(chosen: argparse.Namespace, kinds: list[subjects.Kind]) -> dict[str, str]:
    machine = measure.describe_machine()
    found = {
        "cores": machine["cores"],
        "load average at start": machine["load average at start"],
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    found |= peers.versions(chosen.peers_python, ["Flask", *sorted({kind.distribution for kind in kinds})])
    if any(kind.name == "pelton" for kind in kinds):
        found["pelton"] = peers.versions(chosen.pelton_python, ["pelton"]).get("pelton", "(missing)")
    return found


def main() -> None:
    chosen = arguments()
    asked = chosen.scenes
    try:
        kinds = subjects.select(chosen.servers)
        played = scenes.select(None if asked is None else [name for name in asked if name != BESIDE])
        # gunicorn's sync worker has no keep-alive, so it is only there where the question is who waits for
        # whom.
        compared = kinds if chosen.servers else [*kinds, *subjects.select(["gunicorn-sync"])]
    except ValueError as error:
        sys.exit(str(error))
    if asked is not None and BESIDE not in asked:
        compared = []
    facts = facts_of(chosen, [*kinds, *compared])
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    def python_of(kind: subjects.Kind) -> Path:
        python: Path = chosen.pelton_python if kind.name == "pelton" else chosen.peers_python
        return python

    outcomes: list[scenes.Outcome] = []
    comparisons: list[beside.Comparison] = []
    for scene in played:
        for kind in kinds:
            print(f"{scene.name}, {kind.name} …", file=sys.stderr, flush=True)
            outcomes.append(scenes.play(kind, scene, python_of(kind)))
            if outcomes[-1].failed:
                print(outcomes[-1].failed, file=sys.stderr)
            tables.write(chosen.out, facts, outcomes, comparisons)
    for kind in compared:
        print(f"{BESIDE}, {kind.name} …", file=sys.stderr, flush=True)
        comparisons.append(beside.compare(kind, python_of(kind)))
        tables.write(chosen.out, facts, outcomes, comparisons)
    print(chosen.out.read_text())


if __name__ == "__main__":
    main()
