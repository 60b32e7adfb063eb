"""A platform that says the port and the size, and a file that tells its router."""

# ruff: noqa: ANN001, ANN201, PTH123
# mypy: ignore-errors

import os

worker_class = "gthread"
workers = int(os.environ.get("WEB_CONCURRENCY", 1))
threads = int(os.environ.get("PYTHON_MAX_THREADS", 2))
forwarded_allow_ips = "*"
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
accesslog = "-"


def when_ready(server):
    with open("app-initialized", "w"):
        pass
