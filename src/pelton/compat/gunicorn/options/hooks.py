"""gunicorn's server hooks: where each is called here. Only config files have them."""

from __future__ import annotations

from pelton.compat.gunicorn.options.option import Fate, Option


def _hook(name: str, about: str, *arity: int) -> Option:
    return Option(name=name, fate=Fate.HOOK, about=about, arity=arity, target="hook")


def _refused(name: str, about: str) -> Option:
    return Option(name=name, fate=Fate.REFUSED, about=about)


_DIRTY = "there are no dirty workers."

HOOKS = (
    _hook("on_starting", "In the supervisor, before the sockets are opened.", 1),
    _hook("on_reload", "In the supervisor, on SIGHUP. The config file itself is not read again.", 1),
    _hook("when_ready", "In the supervisor, when the first worker is ready and connections are accepted.", 1),
    _hook(
        "pre_fork",
        "In the supervisor, before a worker is forked; with preload in the process that forks it.",
        2,
    ),
    _hook("post_fork", "In the worker, before the application is loaded (with preload: after that).", 2),
    _hook("post_worker_init", "In the worker, when it has the application.", 1),
    _hook("worker_int", "In the worker, when it gets SIGINT or SIGQUIT, also by way of the supervisor.", 1),
    _hook(
        "worker_abort",
        "In the worker, when it gets SIGABRT: it gave no sign of life for worker_timeout. Where a library "
        "keeps the interpreter to itself, no Python code can run any more, this neither.",
        1,
    ),
    _hook("pre_exec", "In the supervisor, on SIGUSR2, before its successor is started.", 1),
    _hook("pre_request", "In the worker, on the request's thread, before the application is called.", 2),
    _hook(
        "post_request",
        "In the worker, on the request's thread, when the application has given the whole response. The "
        "front may still be sending it.",
        4,
        3,
        2,
    ),
    _hook("child_exit", "In the supervisor, when a worker's process has ended.", 2),
    _hook("worker_exit", "In the worker, before its process ends in order.", 2),
    _hook("nworkers_changed", "In the supervisor, at the start and on SIGTTIN and SIGTTOU.", 3),
    _hook("on_exit", "In the supervisor, before it ends.", 1),
    _refused("on_dirty_starting", _DIRTY),
    _refused("dirty_post_fork", _DIRTY),
    _refused("dirty_worker_init", _DIRTY),
    _refused("dirty_worker_exit", _DIRTY),
)
