"""Green workers, with the driver of PostgreSQL made green in each of them."""

# ruff: noqa: ANN001, ANN201
# mypy: ignore-errors

worker_class = "gevent"
workers = 2
worker_connections = 500
timeout = 30


def post_fork(server, worker):
    from psycogreen.gevent import patch_psycopg

    patch_psycopg()
    worker.log.info("Made Psycopg2 Green")
