"""From the settings to the rules of the plan, which knows no settings. Main thread of the supervisor."""

from __future__ import annotations

import os

from pelton.config.settings import Settings
from pelton.sizing.limits import worker_bounds
from pelton.supervisor.plan import Rules


def rules_from(settings: Settings) -> Rules:
    """What the plan works with."""
    bounds = worker_bounds(settings)
    return Rules(
        workers=bounds.least,
        most_workers=None if bounds.least == bounds.most else bounds.most,
        preload=settings.preload,
        max_requests=settings.max_requests,
        max_requests_jitter=settings.max_requests_jitter,
        max_rss_bytes=settings.max_rss_bytes,
        worker_lifetime=settings.worker_lifetime,
        graceful_timeout=settings.graceful_timeout,
        drain_delay=settings.drain_delay,
        start_timeout=settings.start_timeout,
        is_init=os.getpid() == 1,
    )
