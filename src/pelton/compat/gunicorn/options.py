"""All options of gunicorn 27, and what pelton does with each. Any thread."""

from __future__ import annotations

from pelton.compat.gunicorn.option import Fate, Option, Takes, Translation
from pelton.compat.gunicorn.rows_elsewhere import ELSEWHERE
from pelton.compat.gunicorn.rows_hooks import HOOKS
from pelton.compat.gunicorn.rows_http import HTTP
from pelton.compat.gunicorn.rows_process import PROCESS
from pelton.compat.gunicorn.rows_serving import SERVING

__all__ = ["BY_FLAG", "BY_NAME", "OPTIONS", "Fate", "Option", "Takes", "Translation"]

OPTIONS: tuple[Option, ...] = (*SERVING, *PROCESS, *HTTP, *ELSEWHERE, *HOOKS)
BY_NAME = {one.name: one for one in OPTIONS}
BY_FLAG = {flag: one for one in OPTIONS for flag in one.flags}
