"""The report of ``pelton tune``: one HTML file with plots, which asks nothing of a network. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from pelton.tune.model import Shape, predict
from pelton.tune.plots import Line, bars, lines
from pelton.tune.tuning import Result

_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
svg { width: 100%; max-width: 44rem; font-size: 12px; } svg text { fill: currentColor; }
.axis { fill: none; stroke: currentColor; } .grid { stroke: currentColor; opacity: .2; }
"""
_MOST_ROUTES: Final = 30


def report(result: Result) -> str:
    """The whole page."""
    parts = [
        f"<h1>pelton tune {escape(result.target)}</h1>",
        f"<p>{escape(_what(result))}</p>",
        _section("What to set", _table(("setting", "value", "why"), _bounds(result))),
        _section("Findings", _findings(result)),
        _section("Throughput", _throughput(result)),
        _section("Time", _time(result)),
        _section("What each route costs, alone", _routes(result)),
        _section("Other machines", _projections(result)),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src '
        "'unsafe-inline'\">"
        f"<title>pelton tune {escape(result.target)}</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _what(result: Result) -> str:
    most, part = result.generator
    skipped = "; ".join(f"{count} left out ({why})" for why, count in result.load.skipped.items())
    requests = f"{len(result.load.requests)} different requests of {result.source}"
    return (
        f"{requests}{f', {skipped}' if skipped else ''}; "
        f"{result.machine:g} processors, shared with the load generator, which took {part:.0%} of all "
        f"computing, and at most {most:.0%} of one processor."
    )


def _section(title: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2>{body}" if body else ""


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A column whose name begins with # has numbers."""

    def row(cells: Sequence[str], tag: str) -> str:
        classes = [' class="n"' if name.startswith("#") else "" for name in columns]
        shown = zip(cells, classes, strict=True)
        return "".join(f"<{tag}{class_}>{escape(cell.lstrip('#'))}</{tag}>" for cell, class_ in shown)

    body = "".join(f"<tr>{row(cells, 'td')}</tr>" for cells in rows)
    return f"<table><thead><tr>{row(columns, 'th')}</tr></thead><tbody>{body}</tbody></table>"


def _bounds(result: Result) -> list[tuple[str, str, str]]:
    return [(one["setting"], one["value"], one["reason"]) for one in result.bounds]


def _findings(result: Result) -> str:
    rows = [(one.kind, one.name, one.where, one.reason) for one in result.findings]
    return _table(("kind", "name", "where", "what"), rows) if rows else ""


def _throughput(result: Result) -> str:
    drawn = []
    for number, one in enumerate(result.series):
        shape = Shape(result.machine, one.setting.workers, one.setting.permits)
        levels = [step.concurrency for step in one.steps]
        drawn.append(
            Line(str(one.setting), [(step.concurrency, step.per_second) for step in one.steps], number)
        )
        model = [(level, predict(result.demands, shape, level).per_second) for level in levels]
        drawn.append(Line("… by the model", model, number, is_dashed=True))
    plot = lines("Throughput by concurrency", drawn, x="requests at once", y="requests per second")
    rows = []
    for one in result.series:
        law = one.law
        rows.append(
            (
                str(one.setting),
                f"{one.best:.1f}",
                _percent(one.error),
                f"{law.sigma:.4f}" if law else "-",
                f"{law.kappa:.6f}" if law else "-",
            )
        )
    columns = ("workers x threads, kind", "#best per second", "#error of the model", "#sigma", "#kappa")
    return plot + _table(columns, rows)


def _time(result: Result) -> str:
    drawn = [
        Line(str(one.setting), [(step.concurrency, step.p99 * 1000) for step in one.steps], number)
        for number, one in enumerate(result.series)
    ]
    return lines("99th percentile", drawn, x="requests at once", y="p99 (ms)", logarithmic=True)


def _routes(result: Result) -> str:
    shown = result.routes[:_MOST_ROUTES]
    drawn = [(one.name, (one.computing * 1000, one.waiting * 1000)) for one in shown]
    plot = bars("Computing and waiting by route", drawn, ("computing", "waiting"), unit="ms")
    rows = [
        (
            one.name,
            f"{one.share:.1%}",
            f"{one.computing * 1000:.2f}",
            f"{one.waiting * 1000:.2f}",
            f"{one.most_bytes / 1024:.0f}",
            f"{1 / one.computing:.0f}" if one.computing > 0 else "-",
            one.where,
        )
        for one in shown
    ]
    columns = ("route", "#of all", "#computing ms", "#waiting ms", "#memory KiB", "#most per worker", "view")
    return plot + _table(columns, rows)


def _projections(result: Result) -> str:
    rows = [
        (
            f"{one['processors']:g}",
            str(one["workers"]),
            str(one["threads"]),
            f"{one['per_second']:.0f}",
            one["limit"],
        )
        for one in result.projections
    ]
    text = (
        "A closed network with one queue (mean value analysis) over the measured seconds per request; on "
        f"steps that it has not seen it is wrong by {_percent(result.error)}. It knows "
        "nothing of locks, nor of a database that saturates."
    )
    columns = ("#processors", "#workers", "#threads", "#requests per second", "limit")
    return f"<p>{escape(text)}</p>" + _table(columns, rows)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
