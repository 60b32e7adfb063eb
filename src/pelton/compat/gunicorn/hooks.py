"""gunicorn's server hooks, at the places of pelton where they mean the same.

Owns the call of each hook and what its failure comes to. Methods without a configured hook do nothing. The
supervisor calls the user's code here, and only here: only if there are hooks. One object is made before
anything is forked; each process has its copy.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pelton.exceptions import ApplicationError, StartError
from pelton.loader.tracebacks import users_traceback

if TYPE_CHECKING:
    from pelton.compat.gunicorn.views import ConfigView, LogView, ServerView, WorkerView

LOGGER = logging.getLogger("pelton")


class Hooks:
    """``functions``: the user's, by gunicorn's names. ``options``: all that was given, for ``cfg``."""

    def __init__(
        self,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.functions = dict(functions or {})
        self.options = dict(options or {})
        self._followed_by: Hooks | None = None
        self._server: ServerView | None = None
        self._workers: dict[int, WorkerView] = {}
        self._settings: Any = None
        self._log: LogView
        self._cfg: ConfigView

    def __bool__(self) -> bool:
        return bool(self.functions) or any(
            self.options.get(name) for name in ("logconfig", "logconfig_dict", "logconfig_json")
        )

    def overridden_by(self, other: Hooks) -> Hooks:
        """Both, where ``other`` counts more."""
        return Hooks({**self.functions, **other.functions}, {**self.options, **other.options})

    # In the supervisor.

    def starting(self, settings: Any) -> None:
        """Before anything is opened. Raises StartError: it is the place to say that this cannot work."""
        if not self:
            return
        from pelton.compat.gunicorn.log_config import configure_logging
        from pelton.compat.gunicorn.views import ConfigView, LogView, ServerView

        configure_logging(self.options)
        self._settings = settings
        self._log, self._cfg = LogView(), ConfigView(self.options, settings)
        self._server = ServerView(settings, self._cfg, self._log)
        hook = self.functions.get("on_starting")
        if hook is not None:
            try:
                hook(self._server)
            except Exception as error:
                raise StartError(f"The hook on_starting failed:\n{users_traceback(error).rstrip()}") from None

    def follow(self, before: Hooks, settings: Any) -> None:
        """Take the place of ``before``, whose file was read again; the server that hooks see stays."""
        if not self:
            return
        from pelton.compat.gunicorn.views import ConfigView, LogView, ServerView

        self._settings = settings
        self._log, self._cfg = LogView(), ConfigView(self.options, settings)
        self._server = before._server or ServerView(settings, self._cfg, self._log)
        self._server.cfg = self._cfg
        self._workers = before._workers
        before._followed_by = self

    def alone(self) -> None:
        """Everything runs in one process, where no hook is called. Raises ConfigError."""
        if not self:
            return
        from pelton.compat.gunicorn.log_config import configure_logging

        configure_logging(self.options)
        if self.functions:
            LOGGER.warning(
                "Server hooks (%s) are not called in one process; they need --workers.",
                ", ".join(self.functions),
            )

    def listens(self, listeners: Any, workers: int) -> None:
        """The sockets are open; ``workers`` will be started."""
        if self._server is not None:
            self._server.LISTENERS = list(listeners)
            self._server.num_workers = workers
            self._call("nworkers_changed", self._server, workers, None)

    def ready(self) -> None:
        """Connections are accepted."""
        self._call("when_ready", self._server)

    def reloading(self) -> None:
        """SIGHUP has come."""
        self._call("on_reload", self._server)

    def workers_changed(self, new: int) -> None:
        """So many workers are wanted now."""
        if self._server is not None and new != self._server.num_workers:
            old, self._server.num_workers = self._server.num_workers, new
            self._call("nworkers_changed", self._server, new, old)

    def succeeding(self) -> None:
        """SIGUSR2 has come; the successor is started next."""
        self._call("pre_exec", self._server)

    def forking(self, number: int) -> None:
        """A worker is forked next."""
        if self._server is not None:
            self._server.worker_age = number
            self._call("pre_fork", self._server, self._worker(number))

    def forked(self, number: int, pid: int) -> None:
        """It has been forked."""
        if self._server is not None:
            worker = self._worker(number)
            worker.pid = pid
            self._server.WORKERS[pid] = worker

    def died(self, number: int, pid: int) -> None:
        """It has ended, and has been waited for."""
        if self._server is not None:
            worker = self._worker(number)
            # Where it was forked by the preloading process, its end may be the first that is known of it.
            worker.pid = pid
            self._call("child_exit", self._server, worker)
            self._server.WORKERS.pop(pid, None)
            self._workers.pop(number, None)

    def ended(self) -> None:
        """The supervisor ends; whoever started it knows the first of several that followed each other."""
        if self._followed_by is not None:
            self._followed_by.ended()
        else:
            self._call("on_exit", self._server)

    @property
    def wants_interrupts(self) -> bool:
        """Whether workers are to learn of SIGINT and SIGQUIT."""
        return "worker_int" in self.functions

    # In a worker. What fails before it serves ends it, as with gunicorn.

    def in_worker(self, number: int) -> None:
        """It has just been forked. Raises ApplicationError."""
        if self._server is None:
            return
        worker = self._worker(number)
        worker.pid, worker.ppid = os.getpid(), os.getppid()
        if self.wants_interrupts:
            for one in (signal.SIGINT, signal.SIGQUIT):
                signal.signal(one, lambda *_: self._interrupted(worker))
        if "worker_abort" in self.functions:
            # In this order `faulthandler` writes the stacks and then calls what was there.
            faulthandler.disable()
            signal.signal(signal.SIGABRT, lambda *_: self._abort(worker))
            faulthandler.enable()
        self._must("post_fork", self._server, worker)

    def serving(self, number: int, application: Any) -> Any:
        """It has its application; returns the one to serve. Raises ApplicationError."""
        if self._server is None:
            return application
        worker = self._worker(number)
        worker.booted = True
        worker.wsgi = application
        self._must("post_worker_init", worker)
        # A hook may have put its own in between.
        application = worker.wsgi if callable(worker.wsgi) else application
        before, after = self.functions.get("pre_request"), self.functions.get("post_request")
        if before is None and after is None:
            return application
        from pelton.compat.gunicorn.requests import Observed

        return Observed(application, worker, before, after)

    def leaving(self, number: int) -> None:
        """It ends in order."""
        if self._server is not None:
            worker = self._worker(number)
            worker.alive = False
            self._call("worker_exit", self._server, worker)

    def _interrupted(self, worker: WorkerView) -> None:
        # A terminal tells everybody, and so does the supervisor; it is one request.
        if worker.alive:
            worker.alive = False
            self._call("worker_int", worker)

    def _abort(self, worker: WorkerView) -> None:
        worker.aborted = True
        self._call("worker_abort", worker)
        raise SystemExit(1)

    def _worker(self, number: int) -> WorkerView:
        if number not in self._workers:
            from pelton.compat.gunicorn.views import WorkerView

            self._workers[number] = WorkerView(number, self._settings, self._cfg, self._log)
        return self._workers[number]

    def _call(self, name: str, *arguments: Any) -> None:
        hook = self.functions.get(name)
        if hook is None:
            return
        try:
            hook(*arguments)
        except Exception:
            # One that fails must not take the service with it.
            LOGGER.exception("The hook %s failed.", name)

    def _must(self, name: str, *arguments: Any) -> None:
        hook = self.functions.get(name)
        if hook is None:
            return
        try:
            hook(*arguments)
        except Exception as error:
            raise ApplicationError(f"The hook {name} failed.", traceback=users_traceback(error)) from None


NO_HOOKS = Hooks()


def hooks_of(settings: Any) -> Hooks:
    """Those that came with the settings; without any, an object that does nothing."""
    found = getattr(settings, "hooks", None)
    return found if isinstance(found, Hooks) else NO_HOOKS
