"""From the settings to the rules of the plan, which knows no settings. Main thread of the supervisor."""

from __future__ import annotations

import os

from pelton.config.settings import AUTO, Settings
from pelton.process.resources import automatic_workers
from pelton.supervisor.plan import Rules


def rules_from(settings: Settings) -> Rules:
    """What the plan works with."""
    return Rules(
        workers=automatic_workers() if settings.workers == AUTO else settings.workers,
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
