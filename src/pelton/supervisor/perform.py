"""Carries out the plan's actions: forks, messages, signals, files.

Owns the children and what is listened on. Decides nothing: what an action comes to becomes an event, and
what fails is an event, too. On the supervisor's only thread.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable
from signal import SIGTERM

from pelton.compat.gunicorn.hooks import hooks_of
from pelton.config.settings import Settings
from pelton.config.worker_kinds import kind_of
from pelton.exceptions import PeltonError
from pelton.front.settings import rules_text
from pelton.logs.access import OFF, open_access_log_of
from pelton.logs.setup import LOG_SETTINGS
from pelton.net.opened import Opened
from pelton.process.control_socket import Line
from pelton.process.forking import fork
from pelton.process.signals import Signals
from pelton.process.systemd import Notifier
from pelton.supervisor.children import Child, Children, Front, Worker
from pelton.supervisor.links import Links
from pelton.supervisor.plan import actions as do
from pelton.supervisor.plan import events as ev
from pelton.supervisor.programs import Programs
from pelton.supervisor.successor import Successor
from pelton.system import kernel_view, memory_file, new_bell

LOGGER = logging.getLogger("pelton")
_LEVELS = logging.getLevelNamesMapping()


class Performer:
    """``happened`` takes the events that follow; ``announce`` is called when connections are accepted."""

    def __init__(
        self,
        programs: Programs,
        settings: Settings,
        opened: Opened,
        signals: Signals,
        notifier: Notifier,
        *,
        happened: Callable[[ev.Event], None],
        announce: Callable[[], None],
    ) -> None:
        self.children = Children()
        self.successor: Successor | None = None
        self.notifier = notifier
        self.end: do.End | None = None
        self._programs = programs
        self._settings = settings
        # Of each generation of the code: those that held when its first process was started, so that a reload
        # that fails leaves the old code with the old ones.
        self._by_generation: dict[int, Settings] = {}
        self._hooks = hooks_of(settings)
        # Whether a new front has to learn of others than those that it starts with.
        self._rules_have_changed = False
        self._opened = opened
        self._signals = signals
        self._happened = happened
        self._announce = announce
        self._listens = True
        self._links = Links(self.children, programs, self._send_to_front, happened)

    def perform(self, action: do.Action) -> None:
        """Do it now."""
        match action:
            case do.Log(level, message):
                LOGGER.log(_LEVELS[level.upper()], "%s", message)
            case do.StartFront():
                self._start_front()
            case do.StartWorker(number, template, generation):
                self._start_worker(number, template, self._settings_of(generation))
            case do.StartTemplate(number, generation):
                self._start_template(number, self._settings_of(generation))
            case do.AttachWorker(number):
                self._links.attach(number)
            case do.AddWorker(number, request_limit):
                self._links.add(number, request_limit)
            case do.RetireWorker(number):
                self._send_to_front({"do": "retire", "worker": number})
            case do.BuryWorker(number, how):
                self._send_to_front({"do": "died", "worker": number, "how": how})
            case do.Accept():
                self._send_to_front({"do": "accept"})
            case do.Unready():
                self._send_to_front({"do": "unready"})
            case do.DrainFront():
                self._send_to_front({"do": "drain"})
            case do.StopFront():
                self._send_to_front({"do": "stop"})
            case do.StopWorker(number):
                # Whether it hears it shows by its end.
                if (worker := self.children.workers.get(number)) is not None:
                    worker.send({"do": "stop"})
            case do.SignalWorker(number, signal_number):
                if (worker := self.children.workers.get(number)) is not None:
                    if signal_number == SIGTERM:
                        # One that has just come out of the application's code takes the signal for a request
                        # to end, and would wait for an answer to it until it is killed.
                        worker.send({"do": "stop"})
                    worker.kill(signal_number)
            case _:
                self._perform_rarer(action)

    def _perform_rarer(self, action: do.Action) -> None:
        match action:
            case do.AskFront():
                self._send_to_front({"do": "answer"})
            case do.DescribeFront():
                if self.children.front is not None and self.children.front.pid is not None:
                    LOGGER.error("The kernel says of it:\n%s", kernel_view(self.children.front.pid))
            case do.KillFront():
                if self.children.front is not None:
                    self.children.front.kill(9)
            case do.StopTemplate(number):
                if (template := self.children.templates.get(number)) is not None:
                    template.close_line()
            case do.KillTemplate(number, signal_number):
                if (template := self.children.templates.get(number)) is not None:
                    template.kill(signal_number)
            case do.CloseListeners():
                self.close_listeners()
            case do.ReopenFiles():
                self._reopen_files()
            case do.Announce():
                self._announce()
            case do.Tell(what):
                self._tell_service_manager(what)
            case do.StartSuccessor():
                self._start_successor()
            case do.StopSuccessor():
                if self.successor is not None:
                    self.successor.stop()
            case do.HandOver(pid):
                self._hand_over(pid)
            case do.End():
                self.end = action
            case _:
                raise AssertionError(f"nobody performs {action}")

    def close_listeners(self) -> None:
        """Close them and remove their files; may be called again."""
        if self._listens:
            self._listens = False
            for listener in self._opened.all_listeners:
                listener.close()

    def change_settings(self, settings: Settings) -> None:
        """Start the next generation with these. The front learns where messages go and which rules hold, and
        keeps the rest.
        """
        before, self._settings = self._settings, settings
        self._hooks = hooks_of(settings)
        self._send_to_front({"do": "change_logs", **{name: getattr(settings, name) for name in LOG_SETTINGS}})
        # Also where only an error page's file has changed: the setting is the same then.
        if settings.error_page or rules_text(before) != rules_text(settings):
            self._rules_have_changed = True
            self._tell_rules()

    def _tell_rules(self) -> None:
        memory = -1
        try:
            memory = memory_file("pelton-rules")
            with open(memory, "wb", closefd=False) as file:
                file.write(rules_text(self._settings))
            self._send_to_front({"do": "change_rules"}, (memory,))
        except OSError as error:
            LOGGER.error("reload: the front cannot get its rules: %s", error)
        finally:
            if memory >= 0:
                os.close(memory)

    def _settings_of(self, generation: int) -> Settings:
        return self._by_generation.setdefault(generation, self._settings)

    # Processes. Each is forked with its own end of a control socket; a child closes everything else first.

    def _start_front(self) -> None:
        bodies = doorbell = pulse = -1
        try:
            bodies = self._programs.body_memory()
            doorbell = new_bell()
            pulse = new_bell()
            ours, theirs = Line.pair()
        except OSError as error:
            for descriptor in (bodies, doorbell, pulse):
                if descriptor >= 0:
                    os.close(descriptor)
            self._happened(ev.FrontExited(_unstarted(error)))
            return
        front = Front(0, ours, bodies=bodies, doorbell=doorbell, pulse=pulse)
        self.children.front = front

        def child() -> int:
            # These it needs; all others of the children are closed.
            front.bodies = front.doorbell = front.pulse = -1
            self._leave_to_parent(listens=True)
            return self._programs.front(theirs, bodies, doorbell, pulse)

        if self._fork(front, child, theirs, lambda error: ev.FrontExited(_unstarted(error))):
            assert front.pid is not None
            self._happened(ev.FrontForked(front.pid))
            if self._rules_have_changed:
                self._tell_rules()
        else:
            front.close()
            self.children.front = None

    def _start_template(self, number: int, settings: Settings) -> None:
        try:
            ours, theirs = Line.pair()
        except OSError as error:
            self._happened(ev.TemplateExited(number, _unstarted(error)))
            return
        template = Child(number, ours)
        self.children.templates[number] = template

        def child() -> int:
            self._leave_to_parent(listens=False)
            return self._programs.template(theirs, settings)

        if self._fork(template, child, theirs, lambda error: ev.TemplateExited(number, _unstarted(error))):
            assert template.pid is not None
            self._happened(ev.TemplateForked(number, template.pid))
        else:
            template.close()
            del self.children.templates[number]

    def _start_worker(self, number: int, template: int | None, settings: Settings) -> None:
        try:
            ours, theirs = Line.pair()
        except OSError as error:
            self._happened(ev.WorkerExited(number, _unstarted(error)))
            return
        worker = Worker(number, ours, template=template, permits=kind_of(settings).permits(settings))
        self.children.workers[number] = worker
        end = self._links.make(worker)
        front = self.children.front
        if end is None or front is None:
            theirs.close()
            self._unstart_worker(worker, "could not be started: there is no link for it")
            return
        link = (worker.memory, front.bodies, front.doorbell, end.fileno())
        if template is not None:
            self._fork_from_template(worker, template, theirs, link)
            end.close()
            return
        self._hooks.forking(number)

        def child() -> int:
            worker.memory = front.bodies = front.doorbell = -1
            end.detach()
            self._leave_to_parent(listens=False)
            return self._programs.worker(number, theirs, link, settings)

        if self._fork(worker, child, theirs, lambda error: ev.WorkerExited(number, _unstarted(error))):
            assert worker.pid is not None
            self.worker_forked(worker, worker.pid)
        else:
            worker.close()
            del self.children.workers[number]
        end.close()

    def _fork_from_template(
        self, worker: Worker, number: int, theirs: Line, link: tuple[int, int, int, int]
    ) -> None:
        template = self.children.templates.get(number)
        fields = {"do": "fork", "worker": worker.number}
        if template is None or not template.send(fields, (theirs.fileno(), *link)):
            self._unstart_worker(worker, "could not be forked: the preloading process has ended")
        theirs.close()

    def worker_forked(self, worker: Worker, pid: int) -> None:
        """Its process exists: forked here, or by a template that says so."""
        worker.pid = pid
        self._hooks.forked(worker.number, pid)
        self._happened(ev.WorkerForked(worker.number, pid, random.random()))

    def unfork(self, number: int, why: str) -> None:
        """A template could not fork it."""
        worker = self.children.workers.get(number)
        if worker is not None and worker.pid is None:
            self._unstart_worker(worker, why)

    def _unstart_worker(self, worker: Worker, why: str) -> None:
        worker.close()
        del self.children.workers[worker.number]
        self._happened(ev.WorkerExited(worker.number, ev.Exit(note=why)))

    def _fork(
        self,
        child: Child,
        program: Callable[[], int],
        theirs: Line,
        failed: Callable[[OSError], ev.Event],
    ) -> bool:
        try:
            child.pid = fork(program, self._signals)
        except OSError as error:
            self._happened(failed(error))
            return False
        finally:
            theirs.close()
        return True

    def _leave_to_parent(self, *, listens: bool) -> None:
        """In a child: close what is none of its business."""
        self.children.close_all()
        if self.successor is not None:
            self.successor.close()
        if not listens:
            for listener in self._opened.all_listeners:
                listener.hand_over()
            self._opened.close_outputs()

    # Messages.

    def _send_to_front(self, fields: dict[str, object], descriptors: tuple[int, ...] = ()) -> None:
        front = self.children.front
        if front is not None and not front.send(fields, descriptors):
            self._happened(ev.FrontLost())

    # Everything else.

    def read_certificates(self) -> None:
        """Have the front read certificates and keys again, whatever becomes of the reload."""
        if self._opened.material is not None:
            self._send_to_front({"do": "read_certificates"})

    def _reopen_files(self) -> None:
        self._send_to_front({"do": "reopen_logs"})
        if self._opened.access_log == OFF:
            return
        try:
            descriptor = open_access_log_of(self._settings)
        except PeltonError as error:
            LOGGER.error("%s", error)
            return
        # Under the same number, which the next front is given.
        os.dup2(descriptor, self._opened.access_log, inheritable=False)
        os.close(descriptor)
        LOGGER.info("SIGUSR1: log files are opened again.")

    def _tell_service_manager(self, what: str) -> None:
        match what:
            case "reloading":
                self.notifier.reloading()
            case "stopping":
                self.notifier.stopping()
            case _:
                self.notifier.ready(self.status())

    def status(self) -> str:
        """A line for the service manager."""
        return f"serves with {len(self.children.workers)} worker processes"

    def _start_successor(self) -> None:
        self._hooks.succeeding()
        try:
            self.successor = Successor.start(
                self._opened.all_listeners,
                self._settings.bind,
                self.notifier.environment(),
                self._opened.ticket_keys,
            )
        except OSError as error:
            self._happened(ev.SuccessorFailed(f"could not be started: {error}"))

    def _hand_over(self, pid: int) -> None:
        for listener in self._opened.all_listeners:
            listener.leave_file()
        self.notifier.main_pid(pid)
        # From now on this process is not the service.
        self.notifier = Notifier(None)
        if self.successor is not None:
            self.successor.forget()
            self.successor = None


def _unstarted(error: OSError) -> ev.Exit:
    return ev.Exit(note=f"could not be started: {error.strerror or error}")
