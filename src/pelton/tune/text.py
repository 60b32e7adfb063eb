"""What ``pelton tune`` prints at the end. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pelton.config.settings import TABLE
from pelton.observe.dump_text import plain
from pelton.tune.tuning import Result

_MOST_ROUTES = 20
_OPTIONS = {row.name: row.flags[-1] for row in TABLE}


def text_of(result: Result) -> Iterator[str]:
    """Line by line."""
    yield ""
    yield "  computing    waiting     memory  of all  route"
    for one in result.routes[:_MOST_ROUTES]:
        yield (
            f"{one.computing * 1000:8.2f} ms{one.waiting * 1000:8.2f} ms{one.most_bytes / 1024:7.0f} KiB"
            f"{one.share:8.1%}  {plain(one.name)}  {plain(one.where)}".rstrip()
        )
    yield ""
    for finding in result.findings:
        yield f"! {finding.kind}: {plain(finding.name)}{f'  {finding.where}' if finding.where else ''}"
        yield f"    {plain(finding.reason)}"
    yield ""
    error = "-" if result.error is None else f"{result.error:.0%}"
    yield f"Elsewhere, by a model that is wrong by {error} on steps it has not seen:"
    for row in result.projections:
        yield (
            f"  {row['processors']:g} processors, {row['workers']} workers x {row['threads']} threads:"
            f" {row['per_second']:.0f}/s, bound by the {row['limit']}"
        )
    most, part = result.generator
    yield f"The load generator took {part:.0%} of all computing, at most {most:.0%} of one processor."
    yield ""
    yield "Set:"
    for bound in result.bounds:
        yield f"  {_OPTIONS[bound['setting']]} {bound['value']}"
        yield f"      {bound['reason']}"
