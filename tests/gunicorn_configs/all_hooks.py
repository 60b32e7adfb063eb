"""Every hook, as in the example that comes with gunicorn: each says what it sees."""

# ruff: noqa: ANN001, ANN201
# mypy: ignore-errors

import os
import sys
import threading
import traceback

workers = 2
worker_class = "sync"


def on_starting(server):
    server.log.info("hook on_starting pid=%s", os.getpid() == server.pid)


def on_reload(server):
    server.log.info("hook on_reload")


def when_ready(server):
    server.log.info("hook when_ready workers=%s address=%s", server.num_workers, server.address)


def nworkers_changed(server, new_value, old_value):
    server.log.info("hook nworkers_changed %s %s", new_value, old_value)


def pre_fork(server, worker):
    worker.tag = f"tag-{worker.age}"


def post_fork(server, worker):
    server.log.info("hook post_fork pid=%s age=%s %s", worker.pid == os.getpid(), worker.age, worker.tag)


def post_worker_init(worker):
    worker.log.info("hook post_worker_init %s", worker.cfg.workers)


def worker_int(worker):
    worker.log.info("hook worker_int")
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        worker.log.debug("%s %s", names.get(ident), traceback.format_stack(frame)[-1])


def worker_abort(worker):
    worker.log.info("hook worker_abort")


def pre_exec(server):
    server.log.info("hook pre_exec")


def pre_request(worker, req):
    worker.log.info("hook pre_request %s %s %s", req.method, req.path, dict(req.headers).get("X-ITEM"))


def post_request(worker, req, environ, resp):
    worker.log.info("hook post_request %s %s %s", req.uri, resp.status, resp.sent)


def child_exit(server, worker):
    server.log.info("hook child_exit %s", worker.pid in server.WORKERS)


def worker_exit(server, worker):
    server.log.info("hook worker_exit %s", worker.pid == os.getpid())


def on_exit(server):
    server.log.info("hook on_exit")
