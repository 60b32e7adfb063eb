"""A receiver of OTLP over HTTP, which keeps the spans that it was sent."""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Collector:
    """Use as a context manager. ``spans`` are pairs of resource attributes and span."""

    def __init__(self) -> None:
        self.spans: list[tuple[dict[str, Any], Any]] = []
        self.fields: list[dict[str, str]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.receive(body, dict(self.headers.items()))
                told = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def environment(self) -> dict[str, str]:
        """For who is to send here: nothing before the end, so that no test waits for a delay."""
        port = self._server.server_address[1]
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=shop",
            "OTEL_SERVICE_NAME": "the shop",
            "OTEL_BSP_SCHEDULE_DELAY": "3600000",
        }

    def receive(self, body: bytes, fields: dict[str, str]) -> None:
        """One export."""
        self.fields.append(fields)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = attributes(resource.resource)
            for scope in resource.scope_spans:
                self.spans += [(about, span) for span in scope.spans]

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def attributes(of: Any) -> dict[str, Any]:
    """Of a resource, a span or an event."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in of.attributes}
