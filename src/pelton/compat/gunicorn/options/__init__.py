"""All options of gunicorn 27, and what pelton does with each. Any thread."""

from __future__ import annotations

from pelton.compat.gunicorn.options.absent import ABSENT
from pelton.compat.gunicorn.options.hooks import HOOKS
from pelton.compat.gunicorn.options.http import HTTP
from pelton.compat.gunicorn.options.logs import LOGS
from pelton.compat.gunicorn.options.option import Fate, Option, Takes, Translation
from pelton.compat.gunicorn.options.process import PROCESS
from pelton.compat.gunicorn.options.serving import SERVING

__all__ = ["BY_FLAG", "BY_NAME", "OPTIONS", "Fate", "Option", "Takes", "Translation"]

OPTIONS: tuple[Option, ...] = (*SERVING, *PROCESS, *LOGS, *HTTP, *ABSENT, *HOOKS)
BY_NAME = {one.name: one for one in OPTIONS}
BY_FLAG = {flag: one for one in OPTIONS for flag in one.flags}
