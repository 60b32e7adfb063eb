"""Prometheus' text and OpenMetrics, made of what the front tells.

Owns names, units and help. One process writes all of it, whatever the number of workers, because the front
sees every request. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pelton.observe.exemplars import Exemplar, by_bucket
from pelton.version import VERSION

PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Labels = Mapping[str, str]


@dataclass
class Family:
    """Samples of one name. ``kind``: counter (whose name ends in ``_total``), gauge or histogram."""

    name: str
    kind: str
    help: str
    samples: list[tuple[str, Labels, float]] = field(default_factory=list)
    # By the number of the sample; only OpenMetrics has them.
    exemplars: dict[int, Exemplar] = field(default_factory=dict)

    def add(self, value: float, labels: Labels | None = None, suffix: str = "") -> None:
        """One more sample."""
        self.samples.append((suffix, labels or {}, value))


# The front's counters: the family, its help, its label if any, and which counter has which label's value.
_COUNTERS: Final[tuple[tuple[str, str, str, dict[str, str]], ...]] = (
    ("pelton_connections_accepted_total", "Connections accepted.", "", {"": "connections_accepted"}),
    (
        "pelton_connections_closed_total",
        "Connections closed, by the reason.",
        "reason",
        {
            "after response": "closed_after_response",
            "by client": "closed_by_client",
            "by client early": "closed_by_client_early",
            "error": "closed_by_error",
            "idle": "closed_idle",
            "write timeout": "closed_write_timeout",
            "file changed": "closed_file_changed",
            "no proxy header": "closed_no_proxy_header",
            "handed over": "closed_handed_over",
            "handshake failed": "closed_handshake_failed",
            "handshake late": "closed_handshake_late",
            "handshake refused": "closed_handshake_refused",
            "newcomers": "closed_for_newcomers",
            "draining": "closed_draining",
        },
    ),
    (
        "pelton_requests_failed_total",
        "Requests that the front had to end itself, by the reason.",
        "reason",
        {
            "refused": "requests_refused",
            "queue full": "requests_shed",
            "queue timeout": "requests_expired",
            "request timeout": "requests_timed_out",
            "worker lost": "requests_lost",
            "head late": "heads_late",
            "body late": "bodies_late",
            "broken response": "responses_broken",
            "client gone": "clients_gone",
            "rate limited": "requests_limited",
            "too many connections": "connections_refused",
            "file failed": "file_failures",
        },
    ),
    ("pelton_requests_dispatched_total", "Requests handed to a worker.", "", {"": "requests_dispatched"}),
    ("pelton_requests_moved_total", "Requests moved to another worker.", "", {"": "requests_moved"}),
    ("pelton_permits_lent_total", "Permits lent to calls of the server itself.", "", {"": "permits_lent"}),
    ("pelton_health_checks_total", "Health checks answered.", "", {"": "health_checks"}),
    (
        "pelton_tls_handshakes_total",
        "Handshakes of TLS, by how they ended.",
        "result",
        {
            "done": "handshakes_done",
            "failed": "handshakes_failed",
            "late": "handshakes_late",
            "refused": "handshakes_refused",
        },
    ),
    ("pelton_tls_sessions_resumed_total", "Handshakes that went on with a session.", "",
     {"": "handshakes_resumed"}),
    ("pelton_http2_connections_total", "Connections that spoke HTTP/2.", "", {"": "http2_connections"}),
    ("pelton_http2_streams_total", "Requests that came by HTTP/2.", "", {"": "http2_streams"}),
    ("pelton_http2_websockets_total", "Streams that became WebSockets.", "", {"": "http2_websockets"}),
    (
        "pelton_http2_limits_total",
        "Limits of HTTP/2 that clients met, by the limit.",
        "limit",
        {
            "streams reset by client": "http2_streams_reset",
            "streams reset before they began": "http2_streams_passed_over",
            "streams refused": "http2_streams_refused",
            "stalled responses given up": "http2_stalled",
            "streams reset for a fault": "http2_resets_caused",
            "connections given up for their cost": "http2_calmed",
            "connections given up for a fault": "http2_faults",
        },
    ),
    (
        "pelton_cache_requests_total",
        "Requests that met the response cache, by the result.",
        "result",
        {
            "hit": "cache_hits",
            "miss": "cache_misses",
            "wait": "cache_waits",
            "revalidate": "cache_revalidations",
        },
    ),
    ("pelton_cache_evictions_total", "Responses that made room in the cache.", "", {"": "cache_evictions"}),
    ("pelton_static_files_sent_total", "Static files sent by the front.", "", {"": "files_sent"}),
    ("pelton_bodies_spooled_total", "Request bodies that went to a file.", "", {"": "bodies_spooled"}),
    ("pelton_responses_spooled_total", "Responses for slow readers that went to a file.", "",
     {"": "responses_spooled"}),
    ("pelton_accept_failures_total", "Times that accepting failed.", "", {"": "accept_failures"}),
    ("pelton_access_lines_dropped_total", "Access lines that the log could not take.", "",
     {"": "access_lines_dropped"}),
)  # fmt: skip

_GAUGES: Final[tuple[tuple[str, str, str], ...]] = (
    ("pelton_connections_open", "Connections open now.", "connections_open"),
    ("pelton_body_chunks_in_use", "Chunks of the arena for request bodies in use.", "body_chunks_in_use"),
    ("pelton_response_held_bytes", "Bytes of responses kept for slow readers.", "response_bytes_held"),
    ("pelton_spool_bytes", "Bytes in files for bodies and responses.", "spool_bytes_used"),
    ("pelton_cache_bytes", "Bytes in the response cache.", "cache_bytes"),
    ("pelton_cache_entries", "Responses in the cache.", "cache_entries"),
)


def families_of(state: Mapping[str, Any]) -> Iterator[Family]:
    """All metrics of a state (`pelton.observe.state`), in a fixed order."""
    info = Family("pelton_build_info", "gauge", "The version that runs.")
    info.add(1, {"version": VERSION})
    yield info
    yield _gauge("pelton_uptime_seconds", "Time since the front has started.", state["uptime_seconds"])
    if "requests" in state:
        yield from _requests(state)
    counters = state["counters"]
    for name, text, label, members in _COUNTERS:
        family = Family(name, "counter", text)
        for value, counter in members.items():
            family.add(counters[counter], {label: value} if label else {})
        yield family
    for name, text, counter in _GAUGES:
        yield _gauge(name, text, counters[counter])
    queue = state["queue"]
    yield _gauge("pelton_queue_requests", "Requests that wait in the front.", queue["length"])
    yield _gauge("pelton_queue_oldest_seconds", "For how long the first one waits.", queue["oldest_seconds"])
    yield _gauge("pelton_queue_limit_requests", "How many may wait.", queue["limit"])
    yield _gauge("pelton_permits", "How many requests the workers may run at once.", state["permits"])
    yield _gauge("pelton_backlog_connections", "Connections nobody has accepted yet.", state["backlog"])
    yield from _workers(state)
    certificates = Family("pelton_tls_certificate_expiry_seconds", "gauge",
                          "When a certificate ends, in seconds since 1970.")  # fmt: skip
    for one in state.get("certificates", ()):
        certificates.add(one["expires"], {"name": one["name"]})
    if certificates.samples:
        yield certificates


def _gauge(name: str, text: str, value: float) -> Family:
    family = Family(name, "gauge", text)
    family.add(value)
    return family


def _requests(state: Mapping[str, Any]) -> Iterator[Family]:
    requests = Family("pelton_http_requests_total", "counter", "Requests, by method and class of status.")
    for method, class_, count in state["requests"]:
        requests.add(count, {"method": method, "code": f"{class_}xx" if class_ else "none"})
    yield requests
    bounds = [us / 1e6 for us in state["bounds_us"]]
    text = "From the head of the request to the end of the response."
    durations = histogram("pelton_http_request_duration_seconds", text, bounds, [({}, state["duration"])])
    # The buckets come first, in the order of the bounds.
    durations.exemplars = by_bucket(state.get("exemplars", ()), bounds)
    yield durations
    text = "How long requests waited for a thread; exact to some milliseconds."
    yield histogram("pelton_http_request_queue_seconds", text, bounds, [({}, state["queue_time"])])
    sent = Family("pelton_http_response_body_bytes_total", "counter", "Bytes of responses' bodies.")
    sent.add(state["response_bytes"])
    yield sent
    if routes := state.get("routes"):
        yield from _routes(routes, bounds)


def _routes(routes: Iterable[Mapping[str, Any]], bounds: list[float]) -> Iterator[Family]:
    errors = Family("pelton_route_errors_total", "counter", "Responses of a route with a status of 5xx.")
    durations = []
    for one in routes:
        labels = {"route": one["route"]}
        errors.add(one["errors"], labels)
        durations.append((labels, one["duration"]))
    yield errors
    text = "From the head of the request to the end of the response, by route."
    yield histogram("pelton_route_duration_seconds", text, bounds, durations)


def histogram(
    name: str, text: str, bounds: list[float], series: Sequence[tuple[Labels, Mapping[str, Any]]]
) -> Family:
    """One whose buckets are counted apart in ``counts`` and whose sum is ``sum_us``."""
    family = Family(name, "histogram", text)
    for labels, times in series:
        total = 0
        for bound, count in zip([*bounds, None], times["counts"], strict=True):
            total += count
            family.add(total, {**labels, "le": "+Inf" if bound is None else _number(bound)}, "_bucket")
        family.add(times["sum_us"] / 1e6, labels, "_sum")
        family.add(total, labels, "_count")
    return family


def _workers(state: Mapping[str, Any]) -> Iterator[Family]:
    workers = state["workers"]
    yield _gauge("pelton_workers", "Worker processes that take requests.",
                 sum(not one["retiring"] for one in workers))  # fmt: skip
    started = Family(
        "pelton_workers_started_total", "counter", "Workers ever started; more than there are: restarts."
    )
    started.add(max((one["number"] for one in workers), default=0))
    yield started
    columns: tuple[tuple[str, str, str], ...] = (
        ("pelton_worker_running_requests", "Requests that a worker runs.", "running"),
        ("pelton_worker_waiting_requests", "Requests that wait in a worker for a thread.", "waiting"),
        ("pelton_worker_serving_threads", "Threads of a worker that serve requests.", "threads"),
        (
            "pelton_worker_computing_ratio",
            "Part of the time in which a worker's threads compute.",
            "computing",
        ),
    )
    for name, text, key in columns:
        family = Family(name, "gauge", text)
        for one in workers:
            if key in one:
                family.add(one[key], {"worker": str(one["number"])})
        if family.samples:
            yield family
    for name, kind, text, key in (
        ("pelton_worker_resident_memory_bytes", "gauge", "Resident memory of a worker.", "memory_bytes"),
        ("pelton_worker_process_threads", "gauge", "All threads of a worker's process.", "threads"),
        ("pelton_worker_cpu_seconds_total", "counter", "Processor time of a worker.", "cpu_seconds"),
        ("pelton_worker_age_seconds", "gauge", "Time since a worker's process was started.", "age_seconds"),
    ):
        family = Family(name, kind, text)
        for one in workers:
            family.add(one["process"][key], {"worker": str(one["number"])})
        if family.samples:
            yield family


def render(families: Iterable[Family], *, openmetrics: bool) -> str:
    """The text. OpenMetrics names a counter's family without ``_total``, and ends with ``# EOF``."""
    lines = []
    for family in families:
        name = family.name.removesuffix("_total") if openmetrics and family.kind == "counter" else family.name
        lines.append(f"# HELP {name} {family.help}")
        lines.append(f"# TYPE {name} {family.kind}")
        for at, (suffix, labels, value) in enumerate(family.samples):
            exemplar = _exemplar(family.exemplars[at]) if openmetrics and at in family.exemplars else ""
            lines.append(f"{family.name}{suffix}{_labels(labels)} {_number(value)}{exemplar}")
    if openmetrics:
        lines.append("# EOF")
    return "\n".join(lines) + "\n"


def _exemplar(exemplar: Exemplar) -> str:
    seconds, trace_id, now = exemplar
    return f" # {_labels({'trace_id': trace_id})} {_number(seconds)} {now:.3f}"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def wants_openmetrics(accept: str) -> bool:
    """Whether who accepts this is to get OpenMetrics: it names it, and not below the text format."""
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for part in accept.split(","):
        kind, _, parameters = part.partition(";")
        weight = 1.0
        for parameter in parameters.split(";"):
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        if kind.strip().lower() in weights:
            weights[kind.strip().lower()] = weight
    ours = weights["application/openmetrics-text"]
    return ours > 0 and ours >= weights["text/plain"]
