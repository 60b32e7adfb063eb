"""The preloading process: forks that come to nothing are told, and cost nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pelton.config.settings import Settings
from pelton.process.control_socket import Line, Message
from pelton.worker import template
from pelton.worker.process import Inherited


@pytest.mark.parametrize("works", [0, 1])
def test_no_descriptors_for_a_fork(monkeypatch: pytest.MonkeyPatch, works: int) -> None:
    ours, theirs = Line.pair()
    pipe, calls = os.pipe, 0

    def short() -> tuple[int, int]:
        nonlocal calls
        calls += 1
        if calls > works:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return pipe()

    message = Message({"do": "fork", "worker": 7}, (os.open(os.devnull, os.O_RDONLY),))
    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(os, "pipe", short)
    template._fork_worker(theirs, Inherited(Settings(), (), os.getppid()), None, message)
    told = ours.receive()
    assert told is not None
    assert told.fields == {"event": "unforked", "worker": 7, "why": "[Errno 24] Too many open files"}
    # What came with the message is closed, too.
    assert len(list(Path("/proc/self/fd").iterdir())) == before - 1
    ours.close()
    theirs.close()
