"""The links between the front and its workers: memory and a pair of sockets, made here, passed to both.

Owns which end goes where. Decides nothing, as `pelton.supervisor.perform`. On the supervisor's only thread.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from typing import Protocol

from pelton.supervisor.children import Children, Worker
from pelton.supervisor.plan import events as ev
from pelton.supervisor.programs import Programs
from pelton.system import packet_pair

LOGGER = logging.getLogger("pelton")


class _SendToFront(Protocol):
    def __call__(self, fields: dict[str, object], descriptors: tuple[int, ...] = ...) -> None: ...


class Links:
    """``send_to_front`` takes a message and descriptors; ``happened`` takes the events that follow."""

    def __init__(
        self,
        children: Children,
        programs: Programs,
        send_to_front: _SendToFront,
        happened: Callable[[ev.Event], None],
    ) -> None:
        self._children = children
        self._programs = programs
        self._send_to_front = send_to_front
        self._happened = happened

    def make(self, worker: Worker) -> socket.socket | None:
        """Make a link to the present front, keep that end and return the worker's; None: impossible."""
        if self._children.front is None:
            return None
        try:
            memory = self._programs.link_memory(worker.permits)
            try:
                front_end, worker_end = packet_pair()
            except BaseException:
                os.close(memory)
                raise
        except OSError as error:
            LOGGER.error("There is no link for worker %d: %s.", worker.number, error.strerror or error)
            return None
        worker.keep(memory, front_end)
        return worker_end

    def attach(self, number: int) -> None:
        """Give a worker that lives a link to the present front; the front of the old one has ended."""
        worker = self._children.workers.get(number)
        if worker is None:
            return
        end, front = self.make(worker), self._children.front
        if end is None or front is None:
            # There is no front to attach to, which another event says; the next one tries again.
            self._happened(ev.WorkerAttached(number))
            return
        with end:
            link = (worker.memory, front.bodies, front.doorbell, end.fileno())
            if not worker.send({"do": "attach"}, link):
                self._happened(ev.WorkerLost(number))

    def add(self, number: int, request_limit: int) -> None:
        """Give the front its end of a worker's link: from now on it hands requests over."""
        worker = self._children.workers.get(number)
        if worker is None or worker.front_end is None:
            return
        fields = {
            "do": "add",
            "worker": number,
            "pid": worker.pid,
            "threads": worker.permits,
            "request_limit": request_limit,
            "static": worker.static_folders,
        }
        self._send_to_front(fields, (worker.memory, worker.front_end.fileno()))
        worker.forget_link()
