"""From outcomes to one Markdown page."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.lifecycle.beside import LONG_SECONDS, RATE, ROUNDS, Comparison
from benchmarks.lifecycle.clients import CLIENTS, WIRE_SECONDS
from benchmarks.lifecycle.scenes import SCENES, Outcome
from benchmarks.lifecycle.subjects import WORKERS

_HEAD = (
    "| server | done | requests | ok | lost | cut | unanswered | wrong | 5xx | refused | closed |"
    " longest wait |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: |",
)
_MEANING = f"""\
{CLIENTS} keep-alive clients on a Flask application in {WORKERS} workers; each request carries a number that
the answer must repeat.

- **lost**: sent, and the connection ended (reset or closed) without one byte of an answer;
  **cut**: ended within an answer; **unanswered**: nothing for 6 s; **wrong**: somebody else's answer.
- **5xx**: by status. **refused**: attempts to connect that failed (tried again every 50 ms).
- **closed**: connections that the server closed between two requests: announced by the answer before + found
  closed before sending. Not a loss, though each unannounced one could have been: a request takes
  {WIRE_SECONDS * 1000:.0f} ms to the server here, and one that is under way when the server closes is lost.
- **longest wait**: from a client's wish to ask until its answer, failed attempts included.
"""


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds >= 0.1 else f"{seconds * 1000:.1f} ms"


def _row(outcome: Outcome) -> str:
    if outcome.failed:
        return f"| {outcome.server} | {outcome.failed.splitlines()[0]} |" + " |" * 10
    tally = outcome.tally
    statuses = ", ".join(f"{count} of {status}" for status, count in sorted(tally.statuses.items())) or "0"
    if outcome.scene == "kill":
        statuses += f" (inside killed workers: {outcome.running_in_killed})"
    cells = [
        outcome.server,
        f"{outcome.done}, {len(tally.workers)} workers seen",
        f"{tally.requests:,}",
        f"{tally.ok:,}",
        str(tally.lost),
        str(tally.cut),
        str(tally.silent),
        str(tally.wrong),
        statuses,
        str(tally.refused),
        f"{tally.announced} + {tally.found_closed}",
        _ms(tally.longest_wait),
    ]
    return f"| {' | '.join(cells)} |"


def scenes(outcomes: Sequence[Outcome]) -> str:
    """One table for each scene that was played."""
    parts = ["## Requests while workers come and go", "", _MEANING]
    for scene in SCENES:
        rows = [outcome for outcome in outcomes if outcome.scene == scene.name]
        if not rows:
            continue
        parts += [f"### {scene.title}", "", *_HEAD, *(_row(row) for row in rows), ""]
        parts += [f"{row.server}: {row.note}.\n" for row in rows if row.note]
    return "\n".join(parts)


def comparisons(rows: Sequence[Comparison]) -> str:
    """Short requests alone and beside the long one."""
    lines = [
        f"## One request of {LONG_SECONDS:.0f} s beside {RATE} short ones per second",
        "",
        f"{WORKERS} workers with one thread each; {ROUNDS} starts of each server, taken together.",
        "",
        "| server | alone: p50 | p99 | max | failed | beside the long one: p50 | p99 | max"
        " | over 1 s | failed |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        if row.failed:
            lines.append(f"| {row.server} | {row.failed.splitlines()[0]} |" + " |" * 8)
            continue
        cells = [row.server]
        for times in (row.alone, row.beside):
            cells += [_ms(times.quantile(share)) for share in (0.5, 0.99, 1.0)]
            if times is row.beside:
                cells.append(str(sum(1 for seconds in times.answered if seconds > 1)))
            cells.append(str(times.failed))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def write(
    path: Path, facts: dict[str, str], outcomes: Sequence[Outcome], compared: Sequence[Comparison]
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = ["# Lifecycle", "", "; ".join(f"{name} {value}" for name, value in facts.items()), ""]
    if outcomes:
        parts.append(scenes(outcomes))
    if compared:
        parts.append(comparisons(compared))
    path.write_text("\n".join(parts))
