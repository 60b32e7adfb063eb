"""All of it in turn: the requests alone, then each setting under a load that grows, then what follows.

Owns how the time is divided, and the documented shape of ``pelton tune --json``. Main thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pelton.system import processors
from pelton.tune import alone, rising
from pelton.tune.alone import Route
from pelton.tune.load import Load
from pelton.tune.model import Demands, mean_error
from pelton.tune.rising import Step, knee
from pelton.tune.server import Server, Setting
from pelton.tune.verdict import Finding, Series, analysed, best_of, bounds, findings, projections, waiting_of
from pelton.version import VERSION

LEVELS: Final = (1, 2, 4, 8, 16, 32, 64)
# Of the time: for requests alone.
_ALONE: Final = 0.15
_SHORTEST_STEP: Final = 0.2
_ELSEWHERE: Final = (4.0, 16.0)


@dataclass(frozen=True)
class Result:
    """Everything that was found."""

    target: str
    source: str
    load: Load
    machine: float
    routes: list[Route]
    demands: Demands
    series: list[Series]
    best: Series
    bounds: list[dict[str, str]]
    projections: list[dict[str, Any]]
    findings: list[Finding]

    @property
    def error(self) -> float | None:
        """Of the model, on all steps it has not seen."""
        return mean_error([point for one in self.series for point in one.points])

    @property
    def generator(self) -> tuple[float, float]:
        """Its share of one processor at most, and its part of all computing."""
        most = max(step.generator_share for one in self.series for step in one.steps)
        return most, self.demands.generator / self.demands.computing if self.demands.computing else 0.0

    def as_json(self) -> dict[str, Any]:
        """As JSON; docs/tune.md says what it means."""
        return {
            "version": VERSION,
            "application": self.target,
            "processors": self.machine,
            "load": {
                "source": self.source,
                "different": len(self.load.requests),
                "skipped": self.load.skipped,
            },
            "routes": [one.as_json() for one in self.routes],
            "demands": {f"{name}_seconds": value for name, value in vars(self.demands).items()},
            "settings": [_series_as_json(one, one is self.best) for one in self.series],
            "model": {"kind": "closed network, mean value analysis", "held_out_error": self.error},
            "projections": self.projections,
            "bounds": self.bounds,
            "generator": dict(
                zip(("most_processor_share", "part_of_computing"), self.generator, strict=True)
            ),
            "findings": [one.as_json() for one in self.findings],
        }


def _series_as_json(series: Series, is_best: bool) -> dict[str, Any]:
    law = series.law
    return {
        **series.setting.as_json(),
        "best": is_best,
        "saturates_at": knee(series.steps).concurrency,
        "steps": [one.as_json() for one in series.steps],
        "held_out": [{**vars(one), "error": one.error} for one in series.points],
        "held_out_error": series.error,
        "law": None
        if law is None
        else {
            "rate": law.rate,
            "sigma": law.sigma,
            "kappa": law.kappa,
            "peak_concurrency": law.peak,
            "left_out_error": mean_error(series.law_points),
        },
    }


def tune(
    target: str,
    load: Load,
    settings: Sequence[Setting],
    levels: Sequence[int],
    *,
    source: str,
    seconds: float,
    directory: Path,
    tell: Callable[[str], None],
) -> Result:
    """Measure for about ``seconds``, the starts of servers apart. Raises PeltonError."""
    tell("Requests alone ...")
    with Server(target, Setting(threads=1, workers=1), load, directory) as server:
        routes = alone.look(server, load, _ALONE * seconds)
    step_seconds = max(_SHORTEST_STEP, (1 - _ALONE) * seconds / (1.2 * len(settings) * len(levels)))
    measured: list[tuple[Setting, tuple[Step, ...]]] = []
    for setting in settings:
        tell(f"{setting} ...")
        with Server(target, setting, load, directory) as server:
            measured.append(
                (setting, rising.look(server, levels, step_seconds, lambda one: tell(_line(one))))
            )
    machine = processors()
    demands, series = analysed(measured, waiting_of(routes), machine)
    best = best_of(series)
    return Result(
        target=target,
        source=source,
        load=load,
        machine=machine,
        routes=routes,
        demands=demands,
        series=series,
        best=best,
        bounds=bounds(demands, best, machine),
        projections=projections(demands, best, sorted({machine, *_ELSEWHERE})),
        findings=list(findings(routes, demands, series, best)),
    )


def _line(step: Step) -> str:
    return (
        f"  {step.concurrency:4} at once  {step.per_second:9.1f}/s"
        f"  p50 {step.p50 * 1000:8.1f} ms  p99 {step.p99 * 1000:8.1f} ms"
    )
