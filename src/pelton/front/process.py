"""The life of a front process: a native front, and the two threads that connect it with the supervisor.

Owns the front's end of the control socket. The main thread reads it and passes on what the supervisor says;
"pelton-notices" logs what the front reports and tells the supervisor what concerns it. Both only translate.

Runs in a process that was just forked. Ends by returning its exit code.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
import threading
from dataclasses import replace
from typing import Any, NamedTuple

from pelton import _engine
from pelton.config.settings import Settings
from pelton.diagnostics.report_log import ReportLog
from pelton.exceptions import ConfigError, PeltonError
from pelton.front.notices import heed, surviving
from pelton.front.settings import front_rules, front_settings, with_rules
from pelton.logs.access import open_access_log_of
from pelton.logs.setup import LOG_SETTINGS, change_logs, label_process
from pelton.net.opened import Opened
from pelton.observe.admin import Admin
from pelton.process.control_socket import Line, LineClosedError, Message
from pelton.system import are_hidden, owners
from pelton.tls.certificates import Certificates, certificates_of
from pelton.tls.material import BadCertificateError, explained

LOGGER = logging.getLogger("pelton")


class FrontDescriptors(NamedTuple):
    """What a front is made with: memory for request bodies, and two bells.

    Workers ring ``doorbell``; on ``pulse`` the event loop shows the supervisor that it runs.
    """

    bodies: int
    doorbell: int
    pulse: int


ENDED, FAILED, BAD_SETTINGS = 0, 1, 2


def run(
    line: Line,
    opened: Opened,
    descriptors: FrontDescriptors,
    settings: Settings,
    supervisor: int,
) -> int:
    """Be the front until it has drained, or the supervisor is gone; returns the exit code.

    Everything that is passed belongs to this process now. ``supervisor``: its pid.
    """
    _engine.die_with_parent()
    if os.getppid() != supervisor:
        return FAILED
    # Nobody but the supervisor ends it: `pkill -TERM pelton` reaches the supervisor, too, which drains.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    label_process("front")
    with contextlib.suppress(Exception):
        faulthandler.enable()
    try:
        certificates = certificates_of(settings, opened)
        front = _engine.Front(
            front_settings(settings, opened),
            opened.described,
            None,
            bodies=descriptors.bodies,
            doorbell=descriptors.doorbell,
            pulse=descriptors.pulse,
            tls=None if certificates is None else certificates.tls,
            h2c=opened.h2c,
        )
    except BadCertificateError as error:
        # It could be used when it was read.
        LOGGER.error("The front cannot start: %s", explained(error))
        return FAILED
    except (ConfigError, ValueError) as error:
        with contextlib.suppress(LineClosedError):
            line.send({"event": "failed", "what": f"A setting is out of range: {error}"})
        return BAD_SETTINGS
    except OSError as error:
        LOGGER.error("The front cannot start: %s.", error.strerror or error)
        return FAILED
    for listener in opened.all_listeners:
        listener.hand_over()
    for one in descriptors:
        os.close(one)
    return _Front(front, line, settings, certificates).serve(opened)


class _Front:
    """A native front that is ready to start."""

    def __init__(
        self, front: _engine.Front, line: Line, settings: Settings, certificates: Certificates | None
    ) -> None:
        self._front = front
        self._certificates = certificates
        self._line = line
        self._settings = settings
        self._was_asked = False
        self._has_logged_hidden = False
        # The supervisor asks for a sign of life by the main thread, which therefore waits for no handler.
        self._log = ReportLog(LOGGER, patience=0.0)
        self._admin = Admin(
            front,
            extra=certificates.facts if certificates is not None else None,
            # Asked anew, for a reload changes some of them.
            settings=lambda: self._settings,
        )
        self._has_ended = threading.Event()
        self._notices = threading.Thread(target=self._pass_on, name="pelton-notices", daemon=True)

    def serve(self, opened: Opened) -> int:
        """Start it and do what the supervisor says until the front has ended."""
        self._front.start()
        self._notices.start()
        if self._certificates is not None:
            self._certificates.start(self._front)
        opened.close_outputs()
        try:
            while not self._has_ended.is_set():
                message = self._line.receive()
                if message is not None:
                    self._obey(message)
        except LineClosedError:
            if not self._has_ended.is_set():
                LOGGER.error("The supervisor has gone; the front stops.")
                self._front.stop()
        self._notices.join()
        return ENDED if self._was_asked else FAILED

    def _obey(self, message: Message) -> None:
        fields, front = message.fields, self._front
        match fields.get("do"):
            case "add":
                self._add(message)
            case "retire":
                front.retire_worker(fields["worker"])
            case "died":
                front.worker_died(fields["worker"], fields["how"])
            case "accept":
                front.accept()
            case "answer":
                front.answer()
            case "unready":
                front.set_ready(False)
            case "drain":
                self._was_asked = True
                front.drain()
            case "stop":
                self._was_asked = True
                front.stop()
            case "reopen_logs":
                self._reopen_log()
            case "read_certificates":
                if self._certificates is not None:
                    self._certificates.read_again("SIGHUP")
            case "change_logs":
                self._change_logs({name: fields[name] for name in LOG_SETTINGS})
            case "change_rules":
                self._change_rules(message)
            case other:
                self._log.write(f"The supervisor says something unknown: {other!r}.")

    def _add(self, message: Message) -> None:
        fields = message.fields
        try:
            memory, end = message.descriptors
            self._front.add_worker(
                fields["worker"], fields["pid"], fields["threads"], memory, end, fields["request_limit"]
            )
            for prefix, folder in fields["static"]:
                self._front.mount(prefix, os.fsencode(folder))
        except (OSError, ValueError, MemoryError) as error:
            # Without the front's trust it gets no requests; the supervisor does not find out by itself.
            self._log.write(f"Worker {fields['worker']} cannot be added: {error}.")
            self._tell("refused", fields["worker"])
        finally:
            message.close()

    def _reopen_log(self) -> None:
        if self._settings.access_log is None:
            return
        try:
            descriptor = open_access_log_of(self._settings)
        except PeltonError as error:
            self._log.write(f"{error} The old file is used on.")
            return
        self._front.set_access_log(descriptor)
        os.close(descriptor)

    def _change_logs(self, values: dict[str, Any]) -> None:
        before, self._settings = self._settings, replace(self._settings, **values)
        with contextlib.suppress(PeltonError):
            # The supervisor has said what is wrong.
            change_logs(before, self._settings)

    def _change_rules(self, message: Message) -> None:
        try:
            (memory,) = message.descriptors
            text = os.pread(memory, os.fstat(memory).st_size, 0)
            changed = with_rules(self._settings, text)
            self._front.change_rules(front_rules(changed))
            self._settings = changed
        except (PeltonError, OSError, ValueError) as error:
            self._log.write(f"The rules about requests stay as they were: {error}")
        finally:
            message.close()

    def _pass_on(self) -> None:
        """Runs on "pelton-notices"."""
        while (notice := self._front.next_notice()) is not None:
            with surviving():
                heed(notice, self._admin, self._look_at)
            if notice.event is not None and notice.worker is not None:
                self._tell(notice.event, notice.worker)
        self._front.join()
        self._has_ended.set()
        # The main thread waits for the supervisor, which has nothing more to say.
        self._line.shut_down()

    def _look_at(self, notice: _engine.Notice) -> None:
        """Which of the requests that wait were made by workers."""
        for number, pid in owners(notice.local_calls, notice.processes, with_children=True).items():
            self._front.called_itself(number, pid)
        if not self._has_logged_hidden and are_hidden(notice.processes):
            self._has_logged_hidden = True
            LOGGER.warning(
                "Requests wait for a thread, and whether the application has made them cannot be seen: "
                "the system hides the sockets of processes that began as root and became another user. Start "
                "pelton as that user (User= of systemd, USER of a container) instead of with --user."
            )

    def _tell(self, event: str, worker: int) -> None:
        # Without a supervisor there is nobody to tell, and the main thread finds that out.
        with contextlib.suppress(LineClosedError):
            self._line.send({"event": event, "worker": worker})
