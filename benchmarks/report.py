"""From samples to medians, and from medians to a Markdown page, an SVG plot and the raw JSON.

The plot is written by hand: bars in a grid are some sixty lines, a plotting library would be the largest
dependency here.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from statistics import median

from benchmarks.peers import PEERS, PELTON
from benchmarks.rows import ROWS, Row
from benchmarks.sample import Sample

ABSENT = "-"

DAGGER = "†"
# One reset connection in a hundred does not make it another test; a server that closes them all does.
KEPT_SHARE = 0.99

# Somebody else on the machine used this much of a core in the median window: say so.
DISTURBED_CORES = 0.15


@dataclass(frozen=True)
class Cell:
    """One server in one row: medians over the rounds that went well."""

    server: str
    row: str
    rounds: int
    # "" when every round was ok, else what happened and how often
    trouble: str
    detail: str
    measured: bool
    rate: float = 0.0
    spread: float = 0.0
    cpu_micros: float = 0.0
    p50_micros: float = 0.0
    p99_micros: float = 0.0
    pss: float = 0.0
    errors: int = 0
    foreign_cores: float = 0.0
    idle_wanted: int = 0
    idle_before: float = 0.0
    idle_after: float = 0.0
    idle_bytes: float | None = None

    @property
    def mark(self) -> str:
        """A dagger on figures of an idle row whose server did not keep the idle connections: another test
        then."""
        return DAGGER if self.idle_after < self.idle_wanted * KEPT_SHARE else ""


def condense(samples: Iterable[Sample]) -> dict[tuple[str, str], Cell]:
    """Keyed by (row, server)."""
    groups: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.row, sample.server), []).append(sample)
    return {key: _cell(group) for key, group in groups.items()}


def _cell(group: list[Sample]) -> Cell:
    good = [sample for sample in group if sample.state == "ok"]
    states = [sample.state for sample in group if sample.state != "ok"]
    trouble = ", ".join(f"{state} {states.count(state)}/{len(group)}" for state in sorted(set(states)))
    detail = next((gist(sample) for sample in group if sample.detail or sample.state != "ok"), "")
    common = Cell(group[0].server, group[0].row, len(group), trouble, detail, bool(good))
    if not good:
        return common

    def middle(value: Callable[[Sample], float]) -> float:
        return median(value(sample) for sample in good)

    rate = middle(lambda s: s.rate)
    idle_bytes = [sample.idle_bytes for sample in good if sample.idle_bytes is not None]
    return Cell(
        server=common.server,
        row=common.row,
        rounds=common.rounds,
        trouble=trouble,
        detail=detail,
        measured=True,
        rate=rate,
        spread=(max(s.rate for s in good) - min(s.rate for s in good)) / rate,
        cpu_micros=middle(lambda s: s.cpu_micros),
        p50_micros=middle(lambda s: s.p50_micros),
        p99_micros=middle(lambda s: s.p99_micros),
        pss=middle(lambda s: s.pss),
        # A sum: one reset in one round of ten must not vanish in a median.
        errors=sum(sum(s.errors.values()) for s in group),
        foreign_cores=middle(lambda s: s.foreign_cores),
        idle_wanted=good[0].idle_wanted,
        idle_before=middle(lambda s: s.idle_before),
        idle_after=middle(lambda s: s.idle_after),
        idle_bytes=median(idle_bytes) if idle_bytes else None,
    )


def count(value: float) -> str:
    """Three significant digits are more than a shared machine can vouch for."""
    if value >= 10_000:
        return f"{value / 1000:.0f}k" if value >= 100_000 else f"{value / 1000:.1f}k"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def duration(micros: float) -> str:
    if micros >= 1_000_000:
        return f"{micros / 1e6:.2f} s"
    return f"{micros / 1000:.1f} ms" if micros >= 1000 else f"{micros:.0f} µs"


def _ratio(value: float, base: float | None) -> str:
    return ABSENT if not base else f"{value / base:.2f}"


def _line(fields: Iterable[str]) -> str:
    return "| " + " | ".join(fields) + " |"


def gist(sample: Sample) -> str:
    """The line that says most: of a server's last words that is the last one with words in it."""
    lines = [
        line.strip()
        for line in (sample.detail or sample.log).splitlines()
        if any(letter.isalpha() for letter in line)
    ]
    return lines[-1].replace("|", "/") if lines else ""


def _table(row: Row, cells: list[Cell]) -> list[str]:
    base = next((cell for cell in cells if cell.server == PELTON and cell.measured), None)
    heads = [
        "server",
        "req/s",
        "÷ pelton",
        "spread",
        "CPU µs/req",
        "÷ pelton",
        "p50",
        "p99",
        "PSS MiB",
        "errors",
    ]
    if row.idle:
        heads += ["idle held, before → after", "KiB/idle connection"]
    lines = [_line([*heads, "note"]), _line(["---", *["--:"] * (len(heads) - 1), "---"])]
    order = (lambda c: c.p50_micros or 1e12) if row.about_latency else (lambda c: -c.rate)
    for cell in sorted(cells, key=order):
        notes = [cell.trouble, cell.detail]
        if cell.foreign_cores > DISTURBED_CORES:
            notes.append(f"disturbed: {cell.foreign_cores:.1f} cores busy elsewhere")
        if not cell.measured:
            fields = [f"**{cell.trouble.split()[0]}**", *[ABSENT] * (len(heads) - 2)]
        else:
            fields = [
                count(cell.rate) + cell.mark,
                _ratio(cell.rate, base.rate if base else None),
                f"{cell.spread:.0%}",
                count(cell.cpu_micros),
                _ratio(cell.cpu_micros, base.cpu_micros if base else None),
                duration(cell.p50_micros),
                duration(cell.p99_micros),
                f"{cell.pss / 1024 / 1024:.0f}",
                str(cell.errors),
            ]
            if row.idle:
                held = f"{cell.idle_before:.0f} → {cell.idle_after:.0f} of {cell.idle_wanted}"
                fields += [held, ABSENT if cell.idle_bytes is None else f"{cell.idle_bytes / 1024:.1f}"]
        lines.append(_line([cell.server, *fields, "; ".join(note for note in notes if note)]))
    return lines


def _overview(
    title: str, rows: list[Row], cells: dict[tuple[str, str], Cell], value: Callable[[Cell], str]
) -> list[str]:
    servers = [peer.name for peer in PEERS if any(key[1] == peer.name for key in cells)]
    lines = [
        f"### {title}",
        "",
        _line(["server", *(row.name for row in rows)]),
        _line(["---", *["--:"] * len(rows)]),
    ]
    for server in servers:
        found = (cells.get((row.name, server)) for row in rows)
        fields = ("" if c is None else value(c) if c.measured else c.trouble.split()[0] for c in found)
        lines.append(_line([server, *fields]))
    return [*lines, ""]


def markdown(samples: list[Sample], facts: dict[str, dict[str, str]]) -> str:
    cells = condense(samples)
    rows = [row for row in ROWS if any(key[0] == row.name for key in cells)]
    lines = [
        "# Benchmark results",
        "",
        "How these came about and how to read them: benchmarks/README.md.",
        "",
    ]
    for title, pairs in facts.items():
        lines += [f"**{title}**: " + " · ".join(f"{name} {value}" for name, value in pairs.items()), ""]
    lines += _overview("Requests per second (medians)", rows, cells, lambda c: count(c.rate) + c.mark)
    lines += _overview("CPU µs per request (medians)", rows, cells, lambda c: count(c.cpu_micros) + c.mark)
    if any(cell.mark for cell in cells.values()):
        lines += [f"{DAGGER} did not keep the idle connections, so it did not do what the row asks.", ""]
    lines += ["![plot](results.svg)", ""]
    for row in rows:
        detail = (
            f"`{row.path}`, {row.connections} connection{'s' * (row.connections > 1)}, {row.threads} threads"
        )
        lines += [f"## {row.title}", "", detail, ""]
        lines += _table(row, [cell for key, cell in cells.items() if key[0] == row.name])
        lines.append("")
    notes = [
        f"- {peer.name}: {peer.note}" for peer in PEERS if peer.note and any(k[1] == peer.name for k in cells)
    ]
    if notes:
        lines += ["## Notes on the servers", "", *notes, ""]
    return "\n".join(lines)


PANEL_WIDTH, BAR_HEIGHT, LABEL_WIDTH, VALUE_WIDTH = 470, 17, 125, 75
COLOURS = {True: "#0b7285", False: "#adb5bd"}


def _panel(title: str, bars: list[tuple[str, float, str]], left: int, top: int) -> list[str]:
    """One row's bars: (server, value, value as text); a value of 0 shows its text only."""
    parts = [f'<text x="{left}" y="{top + 14}" class="title">{escape(title)}</text>']
    largest = max((value for _server, value, _text in bars), default=0) or 1
    room = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH
    for index, (server, value, text) in enumerate(bars):
        y = top + 24 + index * BAR_HEIGHT
        width = max(1.0, value / largest * room) if value else 0.0
        parts.append(
            f'<text x="{left + LABEL_WIDTH - 6}" y="{y + 11}" text-anchor="end">{escape(server)}</text>'
        )
        colour = COLOURS[server == PELTON]
        place = f'x="{left + LABEL_WIDTH}" y="{y + 1}" width="{width:.1f}" height="{BAR_HEIGHT - 4}"'
        parts.append(f'<rect {place} fill="{colour}"/>')
        parts.append(f'<text x="{left + LABEL_WIDTH + width + 5:.1f}" y="{y + 11}">{escape(text)}</text>')
    return parts


def svg(samples: list[Sample]) -> str:
    """Per row a pair of panels: req/s (or p50) and CPU time per request."""
    cells = condense(samples)
    parts: list[str] = []
    top = 10
    for row in (row for row in ROWS if any(key[0] == row.name for key in cells)):
        in_row = [cell for key, cell in cells.items() if key[0] == row.name]
        fast: list[tuple[str, float, str]] = []
        cost: list[tuple[str, float, str]] = []
        for cell in in_row:
            if not cell.measured:
                word = cell.trouble.split()[0]
                fast.append((cell.server, 0.0, word))
                cost.append((cell.server, 0.0, word))
                continue
            speed = cell.p50_micros if row.about_latency else cell.rate
            fast.append(
                (cell.server, speed, duration(speed) if row.about_latency else f"{count(speed)}/s{cell.mark}")
            )
            cost.append((cell.server, cell.cpu_micros, f"{count(cell.cpu_micros)} µs{cell.mark}"))
        response = "p50, less is better" if row.about_latency else "requests per second"
        fast.sort(key=lambda bar: (bar[1] == 0, bar[1] if row.about_latency else -bar[1]))
        cost.sort(key=lambda bar: (bar[1] == 0, bar[1]))
        parts += _panel(f"{row.title}: {response}", fast, 10, top)
        parts += _panel("CPU time per request, less is better", cost, 20 + PANEL_WIDTH, top)
        top += 24 + len(in_row) * BAR_HEIGHT + 22
    width = 2 * PANEL_WIDTH + 30
    style = "text{font:11px sans-serif;fill:#212529}.title{font-weight:bold;font-size:12px}"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" viewBox="0 0 {width} {top}">'
    )
    return "\n".join(
        [
            head,
            f"<style>{style}</style>",
            '<rect width="100%" height="100%" fill="#fff"/>',
            *parts,
            "</svg>\n",
        ]
    )


def write(folder: Path, samples: list[Sample], facts: dict[str, dict[str, str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    raw = {"facts": facts, "samples": [asdict(sample) for sample in samples]}
    (folder / "results.json").write_text(json.dumps(raw, indent=1) + "\n")
    (folder / "results.md").write_text(markdown(samples, facts))
    (folder / "results.svg").write_text(svg(samples))
