"""Who makes spans and sends them: one for each process, made after its fork.

Owns reading OpenTelemetry's variables where its packages leave that to their callers, and that an end waits
for a collector only for a moment. Any thread.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import Final

from opentelemetry import trace
from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_PROTOCOL,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
    OTEL_SDK_DISABLED,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

from pelton.process.left_behind import leave_behind

LOGGER = logging.getLogger("pelton")

# At the end, for a collector that does not answer.
_FLUSH_SECONDS: Final = 2.0
_HTTP: Final = "http/protobuf"
# By its specification; the packages read it only for programs that they start themselves.
OTEL_TRACES_EXPORTER: Final = "OTEL_TRACES_EXPORTER"

_lock = threading.Lock()
_made: tuple[int, TracerProvider] | None = None


def provider() -> TracerProvider | None:
    """That of this process; the application's where it has set one. None if OTEL_SDK_DISABLED says so."""
    global _made
    if os.environ.get(OTEL_SDK_DISABLED, "").strip().lower() == "true":
        return None
    with _lock:
        if _made is not None and _made[0] == os.getpid():
            return _made[1]
        found = trace.get_tracer_provider()
        if isinstance(found, TracerProvider) and _made is None:
            LOGGER.info("Spans go where the application's own TracerProvider sends them.")
        else:
            found = TracerProvider()
            for exporter in _exporters():
                found.add_span_processor(BatchSpanProcessor(exporter))
            if _made is None:
                # So spans of the application's own, and of its instrumentations, belong to the same trace.
                trace.set_tracer_provider(found)
        _made = (os.getpid(), found)
        return found


def flush() -> None:
    """Send what is there, but wait only for a moment."""
    with _lock:
        found = _made[1] if _made is not None and _made[0] == os.getpid() else None
    if found is None:
        return
    thread = threading.Thread(target=found.force_flush, name="pelton-traces-end", daemon=True)
    thread.start()
    thread.join(_FLUSH_SECONDS)
    if thread.is_alive():
        LOGGER.warning("The last spans are lost: the collector does not take them.")
        leave_behind(thread)


def _exporters() -> list[SpanExporter]:
    found: list[SpanExporter] = []
    for name in os.environ.get(OTEL_TRACES_EXPORTER, "otlp").split(","):
        match name.strip().lower():
            case "otlp" | "":
                found.append(_otlp())
            case "console":
                found.append(ConsoleSpanExporter())
            case "none":
                pass
            case other:
                LOGGER.warning("%s: %s is not known here; there are otlp, console, none.",
                               OTEL_TRACES_EXPORTER, other)  # fmt: skip
    return found


def _otlp() -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    protocol = os.environ.get(OTEL_EXPORTER_OTLP_TRACES_PROTOCOL) or os.environ.get(
        OTEL_EXPORTER_OTLP_PROTOCOL
    )
    if protocol and protocol != _HTTP:
        LOGGER.warning("%s: spans are sent by %s all the same.", OTEL_EXPORTER_OTLP_PROTOCOL, _HTTP)
    return OTLPSpanExporter()
