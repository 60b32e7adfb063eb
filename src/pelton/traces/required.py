"""Whether traces can be sent from here. Imports nothing of OpenTelemetry's. Any thread."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final

from pelton.config.settings import Settings
from pelton.exceptions import ConfigError

_PACKAGES: Final = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")


def require_traces(settings: Settings) -> None:
    """Raise ConfigError where traces are wanted and the packages for them are missing."""
    if not settings.traces:
        return
    for package in _PACKAGES:
        try:
            version(package)
        except PackageNotFoundError:
            raise ConfigError(
                f"traces: the package {package} is not installed here.", "Type: pip install 'pelton[otel]'"
            ) from None
