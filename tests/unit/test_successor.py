"""What goes from one supervisor to the next."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pelton.config.address import TcpAddress
from pelton.net.listeners import Inherited, Listener, open_listeners
from pelton.supervisor.successor import Succession, Successor, inherited_succession
from support.waiting import eventually


@pytest.fixture
def listeners() -> Iterator[list[Listener]]:
    opened = open_listeners([TcpAddress("127.0.0.1", 0)])
    yield opened
    for listener in opened:
        listener.close()


def start(
    monkeypatch: pytest.MonkeyPatch, listeners: list[Listener], code: str, bind: tuple[str, ...] = ("8000",)
) -> Successor:
    """A successor whose command is another Python program."""
    begin = (
        "import os, sys, socket; from pelton.supervisor.successor import inherited_succession;"
        "left = inherited_succession();"
    )
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", begin + code])
    return Successor.start(listeners, bind, {"PASSED_ON": "yes"})


def ended(successor: Successor) -> int:
    code = os.waitstatus_to_exitcode(os.waitpid(successor.pid, 0)[1])
    successor.forget()
    return code


def test_it_gets_the_sockets_and_says_that_it_serves(
    monkeypatch: pytest.MonkeyPatch, listeners: list[Listener]
) -> None:
    port = listeners[0].socket.getsockname()[1]
    code = (
        "one, = left.listeners; found = socket.socket(fileno=one.descriptor);"
        f"assert one.asked == '127.0.0.1:0' and found.getsockname()[1] == {port};"
        "assert not os.get_inheritable(one.descriptor) and not os.get_inheritable(left.ready);"
        "assert os.environ['PASSED_ON'] == 'yes' and 'PELTON_SUCCESSION' not in os.environ;"
        "assert left.bind == ();"
        "left.announce()"
    )
    successor = start(monkeypatch, listeners, code)
    eventually(successor.is_ready, "ready")
    assert successor.fileno() == -1
    assert ended(successor) == 0


def test_one_that_ends_was_never_ready(monkeypatch: pytest.MonkeyPatch, listeners: list[Listener]) -> None:
    successor = start(monkeypatch, listeners, "sys.exit(3)")
    eventually(lambda: successor.is_ready() or successor.fileno() < 0, "the end")
    assert ended(successor) == 3


def test_addresses_that_only_the_first_one_was_given(
    monkeypatch: pytest.MonkeyPatch, listeners: list[Listener]
) -> None:
    successor = start(monkeypatch, listeners, "assert left.bind == ('fd://3',)", ("fd://3",))
    assert ended(successor) == 0


def test_it_cannot_be_started(monkeypatch: pytest.MonkeyPatch, listeners: list[Listener]) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(OSError, match="nonexistent"):
        Successor.start(listeners, (), {})
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    "text", ["", "{", "[]", json.dumps({"for": 1}), json.dumps({"for": "x", "listeners": [], "ready": 5})]
)
def test_nothing_was_left(text: str) -> None:
    environment = {"PELTON_SUCCESSION": text}
    assert inherited_succession(environment) == Succession()
    assert environment == {}


def test_descriptors_that_are_not_there() -> None:
    fields = {"for": os.getppid(), "bind": [], "listeners": [["8000", 987, None]], "ready": 988}
    assert inherited_succession({"PELTON_SUCCESSION": json.dumps(fields)}) == Succession()


def test_the_inherited_sockets_are_closed_once_copied() -> None:
    opened = socket.socket()
    descriptor = os.dup(opened.fileno())
    opened.close()
    Succession((Inherited("8000", descriptor, None),)).close_listeners()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(descriptor)


def test_nobody_asked() -> None:
    Succession().announce()
