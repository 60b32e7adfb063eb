"""The supervisor's loop: waits for whatever happens, asks the plan, and does what it says.

Owns the order in which things are noticed. Everything happens on one thread, and nothing blocks it but the
wait: a log that takes nothing is written to when there is room again (`pelton.logs.unwaited`). Signals come
through a pipe (`pelton.process.signals`), time through the wait's timeout.
"""

from __future__ import annotations

import logging
import math
import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from pelton._engine import Origin
from pelton.compat.gunicorn.hooks import hooks_of
from pelton.config.settings import Settings
from pelton.logs.unwaited import leave_to_loop, unwritten, write_rest
from pelton.net.opened import Opened
from pelton.process.control_socket import Message
from pelton.process.forks import leave_if_child
from pelton.process.signals import Signals
from pelton.process.systemd import Notifier
from pelton.supervisor.children import Child, Front, Worker, ended_among, ended_processes
from pelton.supervisor.load import Load
from pelton.supervisor.perform import Performer
from pelton.supervisor.plan import Rules, State, decide, next_deadline
from pelton.supervisor.plan import actions as do
from pelton.supervisor.plan import events as ev
from pelton.supervisor.programs import Programs
from pelton.supervisor.rereading import Rereading
from pelton.supervisor.rules import rules_from
from pelton.system import memory_of

LOGGER = logging.getLogger("pelton")

SIGNALS = (
    signal.SIGCHLD,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
)
_MEANINGS: dict[signal.Signals, ev.Event] = {
    signal.SIGTERM: ev.Drain("SIGTERM"),
    signal.SIGINT: ev.StopNow("SIGINT"),
    signal.SIGQUIT: ev.StopNow("SIGQUIT"),
    signal.SIGTTIN: ev.MoreWorkers(),
    signal.SIGTTOU: ev.FewerWorkers(),
    signal.SIGUSR1: ev.ReopenLogs(),
    signal.SIGUSR2: ev.Upgrade(),
    signal.SIGWINCH: ev.Withdraw(),
}
_ABOUT_WORKERS: dict[str, Callable[[int], ev.Event]] = {
    "added": ev.WorkerAdded,
    "quiet": ev.WorkerQuiet,
    "spent": ev.WorkerSpent,
    "stuck": ev.WorkerStuck,
    "frozen": ev.WorkerFrozen,
    "refused": ev.WorkerRefused,
}
# Reading a number from /proc for each worker takes microseconds; a leak takes longer to hurt than this.
_MEASURE_EVERY = 1.0


class Supervisor:
    """``opened`` and ``signals`` belong to the caller; ``rules`` say what the plan works with.

    ``announce`` is called once, when connections are accepted. ``owns_process``: nobody else in this process
    has children; otherwise only those of its own are waited for.
    """

    def __init__(
        self,
        programs: Programs,
        settings: Settings,
        rules: Rules,
        opened: Opened,
        signals: Signals,
        notifier: Notifier,
        announce: Callable[[], None],
        *,
        owns_process: bool = True,
    ) -> None:
        self._owns_process = owns_process
        self._origin = Origin()
        self._state = State(rules)
        self._hooks = hooks_of(settings)
        self._rereading = Rereading(settings)
        self._signals = signals
        self._events: deque[ev.Event] = deque()
        self._performer = Performer(
            programs,
            settings,
            opened,
            signals,
            notifier,
            happened=self._events.append,
            announce=announce,
        )
        self._children = self._performer.children
        self._next_measure = time.monotonic() if rules.max_rss_bytes else None
        self._load = None if rules.most_workers is None else Load()
        self._next_watchdog = time.monotonic() if notifier.watchdog_interval is not None else None

    def run(self) -> do.End:
        """Start everything, and return when every process has ended; says with which exit code."""
        # It forks, so it has no thread.
        leave_to_loop()
        try:
            self._events.append(ev.Begin())
            while True:
                self._decide()
                if self._performer.end is not None:
                    return self._performer.end
                self._wait()
                self._notice()
        finally:
            # In order there is nobody left. Otherwise nothing may be left behind by a fault of ours.
            self._children.kill_all()
            self._performer.close_listeners()
            leave_to_loop(False)

    def _decide(self) -> None:
        # A hook of the user's may have forked.
        leave_if_child(self._origin)
        while self._events:
            event = self._events.popleft()
            for action in decide(self._state, event, time.monotonic()):
                self._performer.perform(action)
        self._hooks.workers_changed(self._state.wanted)

    def _wait(self) -> None:
        """Until something can be noticed."""
        # Made anew each time, for it needs no descriptor that children would have to close; they are few.
        poll = select.poll()
        poll.register(self._signals.fileno(), select.POLLIN)
        # A log that nobody reads is not waited for.
        for descriptor in unwritten():
            poll.register(descriptor, select.POLLOUT)
        for child in self._children.all():
            if child.line is not None:
                poll.register(child.line.fileno(), select.POLLIN)
        if self._children.front is not None and self._children.front.pulse >= 0:
            poll.register(self._children.front.pulse, select.POLLIN)
        if self._performer.successor is not None and self._performer.successor.fileno() >= 0:
            poll.register(self._performer.successor.fileno(), select.POLLIN)
        times = [next_deadline(self._state), self._next_measure, self._next_watchdog]
        times.append(None if self._load is None else self._load.due)
        due = min((one for one in times if one is not None), default=None)
        # Rounded up: awake before it is due, it would only wait again.
        poll.poll(None if due is None else math.ceil(max(0.0, due - time.monotonic()) * 1000))

    def _notice(self) -> None:
        """Turn what has happened into events."""
        write_rest()
        # First of all: with every event it is seen whether the front owes an answer.
        if self._children.front is not None and self._children.front.has_answered():
            self._events.append(ev.FrontAnswered())
        # Before the ends are collected: a SIGCHLD that comes afterwards must stay in the pipe, or it would be
        # read here and the end that it tells of not be looked for until something else happens.
        signals = self._signals.received()
        # What a process said before it ended is in its line when its end can be noticed. So the ends are
        # collected before the lines are read, and handled after.
        ended = ended_processes() if self._owns_process else ended_among(self._own_pids())
        # A signal to the whole group, as systemd sends it, is reported by the workers, too; ours comes first.
        for number in signals:
            self._obey(number)
        for child in self._children.all():
            self._listen_to(child)
        self._look_at_successor()
        for pid, how in ended:
            self._bury(pid, how)
        self._keep_time()
        self._events.append(ev.Elapsed())

    def _own_pids(self) -> list[int]:
        return [child.pid for child in self._children.all() if child.pid is not None]

    def _listen_to(self, child: Child) -> None:
        had_line = child.line is not None
        for message in child.receive():
            try:
                match child:
                    case Worker():
                        self._hear_worker(child, message)
                    case Front():
                        self._hear_front(message)
                    case _:
                        self._hear_template(child, message)
            except (KeyError, TypeError, ValueError):
                LOGGER.warning("A process says something unknown: %r.", message.fields)
            message.close()
        if had_line and child.line is None:
            match child:
                case Worker():
                    self._events.append(ev.WorkerLost(child.number))
                case Front():
                    self._events.append(ev.FrontLost())
                case _:
                    self._events.append(ev.TemplateLost(child.number))

    def _hear_worker(self, worker: Worker, message: Message) -> None:
        fields, number = message.fields, worker.number
        match fields["event"]:
            case "hello":
                LOGGER.debug("worker %d (pid %s) loads the application.", number, fields["pid"])
            case "ready":
                worker.static_folders = [
                    (str(prefix), str(folder)) for prefix, folder in fields.get("static", ())
                ]
                self._events.append(ev.WorkerReady(number))
            case "attached":
                self._events.append(ev.WorkerAttached(number))
            case "failed":
                self._events.append(ev.WorkerFailed(number, str(fields["what"]), str(fields["traceback"])))
            case "leaving":
                self._events.append(ev.WorkerLeaving(number))
            case _:
                raise ValueError

    def _hear_front(self, message: Message) -> None:
        fields = message.fields
        if fields["event"] == "failed":
            self._events.append(ev.FrontFailed(str(fields["what"])))
        else:
            self._events.append(_ABOUT_WORKERS[fields["event"]](int(fields["worker"])))

    def _hear_template(self, template: Child, message: Message) -> None:
        fields, number = message.fields, template.number
        match fields["event"]:
            case "ready":
                self._events.append(ev.TemplateReady(number))
            case "failed":
                self._events.append(ev.TemplateFailed(number, str(fields["what"]), str(fields["traceback"])))
            case "forked":
                worker = self._children.workers.get(int(fields["worker"]))
                if worker is not None:
                    self._performer.worker_forked(worker, int(fields["pid"]))
            case "unforked":
                self._performer.unfork(int(fields["worker"]), f"could not be forked: {fields['why']}")
            case _:
                raise ValueError

    def _bury(self, pid: int, how: ev.Exit) -> None:
        child, successor = self._children.with_pid(pid), self._performer.successor
        if successor is not None and pid == successor.pid:
            successor.forget()
            self._performer.successor = None
            self._events.append(ev.SuccessorFailed(how.how))
        if child is None:
            LOGGER.debug("An orphan (pid %d) %s.", pid, how.how)
            return
        child.pid = None
        child.close()
        match child:
            case Worker():
                del self._children.workers[child.number]
                self._hooks.died(child.number, pid)
                self._events.append(ev.WorkerExited(child.number, how))
            case Front():
                self._children.front = None
                self._events.append(ev.FrontExited(how))
            case _:
                del self._children.templates[child.number]
                self._events.append(ev.TemplateExited(child.number, how))
                for worker in list(self._children.workers.values()):
                    if worker.template == child.number:
                        self._performer.unfork(worker.number, "could not be forked: its template has ended")

    def _look_at_successor(self) -> None:
        successor = self._performer.successor
        if successor is None or successor.fileno() < 0:
            return
        if successor.is_ready():
            self._events.append(ev.SuccessorReady(successor.pid))
        elif successor.fileno() < 0:
            # It will never say so. Mostly because it has ended, and otherwise it has to.
            successor.stop()

    def _obey(self, number: signal.Signals) -> None:
        if number == signal.SIGWINCH and _is_in_foreground():
            # The window's size has changed; that is all it means there.
            return
        if number == signal.SIGHUP:
            self._performer.read_certificates()
            self._events.append(ev.Reload(self._read_again()))
            self._hooks.reloading()
            return
        if number in (signal.SIGINT, signal.SIGQUIT) and self._hooks.wants_interrupts:
            for worker in self._children.workers.values():
                worker.kill(number)
        event = _MEANINGS.get(number)
        if event is not None:
            self._events.append(event)

    def _read_again(self) -> Rules | None:
        """What the settings say now; None where that is not known."""
        settings = self._rereading.again()
        if settings is None:
            return None
        hooks = hooks_of(settings)
        hooks.follow(self._hooks, settings)
        self._hooks = hooks
        self._performer.change_settings(settings)
        rules = rules_from(settings)
        self._load = None if rules.most_workers is None else Load()
        self._next_measure = time.monotonic() if rules.max_rss_bytes else None
        return rules

    def _keep_time(self) -> None:
        now = time.monotonic()
        if self._next_measure is not None and self._next_measure <= now:
            self._next_measure = now + _MEASURE_EVERY
            for worker in self._children.workers.values():
                size = memory_of(worker.pid) if worker.pid is not None else None
                if size is not None:
                    self._events.append(ev.MemoryMeasured(worker.number, size))
        if self._load is not None and self._load.is_due(now):
            pids = {one.number: one.pid for one in self._children.workers.values() if one.pid is not None}
            measured = self._load.measure(pids, now)
            if measured is not None:
                self._events.append(measured)
        interval = self._performer.notifier.watchdog_interval
        if interval is None:
            self._next_watchdog = None
        elif self._next_watchdog is not None and self._next_watchdog <= now:
            self._next_watchdog = now + interval
            self._performer.notifier.watchdog()


def _is_in_foreground() -> bool:
    """Whether this process gets its terminal's signals."""
    with suppress(OSError):
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        finally:
            os.close(terminal)
    return False
