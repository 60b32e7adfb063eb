"""How long each request took."""

# ruff: noqa: ANN001, ANN201
# mypy: ignore-errors

import time

threads = 4


def pre_request(worker, req):
    req.start = time.monotonic()
    worker.log.debug("%s %s", req.method, req.path)


def post_request(worker, req, environ, resp):
    took = time.monotonic() - req.start
    worker.log.info(
        "%s %s took %s: %s", req.method, req.path, "little" if took < 60 else "long", resp.status_code
    )
