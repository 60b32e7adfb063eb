"""Metrics of several processes: whoever has died is taken out."""

# ruff: noqa: ANN001, ANN201, PTH103
# mypy: ignore-errors

import os

from prometheus_client import multiprocess

bind = "127.0.0.1:0"
workers = 2
metrics_directory = os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", "metrics")


def on_starting(server):
    os.makedirs(metrics_directory, exist_ok=True)


def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
    server.log.info("marked %s dead", worker.pid)
