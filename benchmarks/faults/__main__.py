"""Play each fault against each server: python -m benchmarks.faults (from the repository's top).

Writes docs/faults.md. Each fault gets a fresh server of two workers with four threads each. Needs only the
standard library; pelton runs from its own environment, the peers from that of `benchmarks.run`.
"""

import argparse
import json
import re
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks import peers
from benchmarks.faults import scenes
from benchmarks.faults.client import ask
from benchmarks.lifecycle import subjects
from benchmarks.run import PEERS_PYTHON, PELTON_PYTHON, names

TARGET = "benchmarks.faults.app:app"
THREADS = 4
READY_SECONDS = 30.0
# What the log says at most, in lines.
MOST_LINES = 3
_TELLING = re.compile(r"error|critical|warn|kill|signal|exit|terminated|respawn|timeout|Traceback|lost", re.I)
_STAMP = re.compile(r"^\[?\d{4}-\d\d-\d\d[ T][\d:.,]+( [+-]\d{4})?\]? ?")
Row = tuple[str, str, scenes.Seen, list[str]]

# The first line of what `python -m benchmarks.soak` has to say on the same page.
SOAK = "## All of it at once, for half an hour"


def kinds(chosen: list[str] | None) -> list[subjects.Kind]:
    """The servers, with this application and two workers each."""

    def changed(kind: subjects.Kind) -> subjects.Kind:
        def command(start: subjects.Start) -> list[str]:
            made = [TARGET if part == subjects.TARGET else part for part in kind.command(start)]
            made[made.index("--workers") + 1] = "2"
            return made

        return replace(kind, command=command)

    return [changed(kind) for kind in subjects.select(chosen)]


def play(kind: subjects.Kind, scene: scenes.Scene, python: Path) -> Row:
    options = scene.options.get(kind.name, ())
    if kind.name == "granian":
        options += ("--respawn-failed-workers", "--respawn-interval", "0.1")
    with subjects.started(kind, python, THREADS, options) as subject:
        deadline = time.monotonic() + READY_SECONDS
        while ask(subject.port, "/quick/ready", 1.0) != "200":
            if time.monotonic() > deadline:
                return kind.name, scene.name, scenes.Seen("it did not start", ""), []
            time.sleep(0.05)
        # The second worker, too.
        time.sleep(1)
        before = len((subject.folder / "output").read_bytes())
        seen = scene.run(subject)
        time.sleep(0.5)
        text = (subject.folder / "output").read_bytes()[before:].decode(errors="replace")
    return kind.name, scene.name, seen, telling(text)


def telling(text: str) -> list[str]:
    """The first lines of a log that say what happened, without times and numbers of processes."""
    found: dict[str, None] = {}
    for line in text.splitlines():
        if not _TELLING.search(line):
            continue
        # Neither where the repository lies nor where an interpreter does.
        line = re.sub(r"(/[^/\s\"']+)+/(?=[^/\s\"']+/[^/\s\"']+\.py)", "", line)
        short = re.sub(r"\bpid:? ?\d+|\(\d+\)|\[\d+\]|\bworker \d+", "…", _STAMP.sub("", line)).strip()
        found.setdefault(short[:180].replace("|", "\\|"))
    return list(found)[:MOST_LINES]


def page(rows: list[Row], facts: dict[str, str]) -> str:
    parts = [
        "# Faults: what clients see, what the log says, what is lost",
        "",
        "Made by `python -m benchmarks.faults`, up to the soak; do not edit. Each fault is played against a",
        "fresh server with two worker processes of four threads. Times and numbers of processes are left out",
        "of the logs, of which the first telling lines are shown. Who has no option for what a fault needs",
        "plays without. granian's respawning of workers is off by default and on here.",
        "",
        "; ".join(f"{name} {value}" for name, value in facts.items()),
    ]
    for scene in scenes.SCENES:
        order = [kind.name for kind in subjects.KINDS]
        mine = sorted((row for row in rows if row[1] == scene.name), key=lambda row: order.index(row[0]))
        if not mine:
            continue
        parts += ["", f"## {scene.title[0].upper()}{scene.title[1:]}", ""]
        options = {name: " ".join(given) for name, given in scene.options.items()}
        if options:
            parts += ["; ".join(f"{name}: `{given}`" for name, given in options.items()), ""]
        parts += ["| server | a client sees | the log says | lost |", "| --- | --- | --- | --- |"]
        for name, _, seen, log in mine:
            said = "<br>".join(f"`{line}`" for line in log) or "nothing"
            parts.append(f"| {name} | {seen.client} | {said} | {seen.lost} |")
        missing = {"pelton", *(row[0] for row in rows)} - {row[0] for row in mine}
        if missing:
            parts += ["", f"Not played: {', '.join(sorted(missing))}."]
    return "\n".join(parts) + "\n"


def earlier(path: Path) -> list[Row]:
    """What earlier runs have seen: a run of a few faults, or servers, renews only theirs."""
    if not path.exists():
        return []
    return [
        (name, fault, scenes.Seen(**seen), log) for name, fault, seen, log in json.loads(path.read_text())
    ]


def soak_of(page: Path) -> str:
    """What the page says of the soak, which is played apart, and stays as it is."""
    text = page.read_text() if page.exists() else ""
    begin = text.find(SOAK)
    return "\n" + text[begin:] if begin >= 0 else ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__.split("\n")[0])
    parser.add_argument("--servers", type=names, metavar="A,B", help="only these")
    known = [scene.name for scene in scenes.SCENES]
    parser.add_argument("--faults", type=names, metavar="X,Y", default=known, help=f"of {', '.join(known)}")
    parser.add_argument("--out", type=Path, default=Path("docs/faults.md"))
    parser.add_argument("--rows", type=Path, default=Path("benchmarks/results/faults.json"))
    parser.add_argument("--peers-python", type=Path, default=PEERS_PYTHON)
    parser.add_argument("--pelton-python", type=Path, default=PELTON_PYTHON)
    chosen = parser.parse_args()
    if unknown := sorted(set(chosen.faults) - set(known)):
        sys.exit(f"no fault called {', '.join(unknown)}; there are {', '.join(known)}")
    played = kinds(chosen.servers)
    facts = {"date": time.strftime("%Y-%m-%d", time.gmtime())}
    facts |= peers.versions(chosen.pelton_python, ["pelton"])
    facts |= peers.versions(chosen.peers_python, ["gunicorn", "granian"])
    rows = earlier(chosen.rows)
    for scene in scenes.SCENES:
        for kind in played:
            if scene.name not in chosen.faults or (scene.needs_option and kind.name not in scene.options):
                continue
            python = chosen.pelton_python if kind.name == "pelton" else chosen.peers_python
            row = play(kind, scene, python)
            print(row, file=sys.stderr, flush=True)
            rows = [one for one in rows if one[:2] != row[:2]] + [row]
            chosen.rows.write_text(json.dumps([[*one[:2], asdict(one[2]), one[3]] for one in rows], indent=1))
            chosen.out.write_text(page(rows, facts) + soak_of(chosen.out))


if __name__ == "__main__":
    main()
