"""Which thread calls, and what the log says of it."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pelton.config.address import TcpAddress, UnixAddress
from pelton.net.listeners import Listener
from pelton.worker.runners.threads import ThreadsRunner
from pelton.worker.self_calls import OwnAddresses, SelfCallLog, caller, serving_threads
from pelton.worker.spare_threads import SpareThreads
from support.waiting import DEADLINE, Gate


def listening(made: socket.socket) -> Listener:
    name = made.getsockname()
    address = UnixAddress(name) if isinstance(name, str) else TcpAddress(name[0], name[1])
    return Listener(made, address, "localhost", "0")


class Holder:
    """As clients keep their sockets."""

    def __init__(self, held: socket.socket, name: str) -> None:
        setattr(self, name, held)

    @property
    def sock(self) -> socket.socket:
        raise AssertionError("code of the application was run")


@contextmanager
def in_a_call(view: Callable[[Gate], None]) -> Iterator[int]:
    """A thread that is in ``view``; its ident."""
    gate = Gate()
    thread = threading.Thread(target=view, args=(gate,))
    thread.start()
    try:
        gate.wait_for()
        yield thread.ident or 0
    finally:
        gate.open()
        thread.join(DEADLINE)


@contextmanager
def connected(family: socket.AddressFamily, where: object) -> Iterator[tuple[OwnAddresses, socket.socket]]:
    with socket.socket(family) as listener, socket.socket(family) as client:
        listener.bind(where)  # type: ignore[arg-type]
        listener.listen()
        client.connect(listener.getsockname())
        yield OwnAddresses([listening(listener)]), client


def plain(client: socket.socket) -> Callable[[Gate], None]:
    def view(gate: Gate) -> None:
        connection = client
        gate.hold()
        del connection

    return view


def in_an_attribute(client: socket.socket) -> Callable[[Gate], None]:
    holder = Holder(client, "_sock")

    def read(holder: Holder, gate: Gate) -> None:
        gate.hold()

    def view(gate: Gate) -> None:
        read(holder, gate)

    return view


@pytest.mark.parametrize("view", [plain, in_an_attribute])
def test_the_caller_by_its_port(view: Callable[[socket.socket], Callable[[Gate], None]]) -> None:
    with connected(socket.AF_INET, ("127.0.0.1", 0)) as (addresses, client):
        port = client.getsockname()[1]
        with in_a_call(view(client)) as ident, in_a_call(Gate.hold) as other:
            assert caller(port, addresses, [other, ident]) == ident
            assert caller(port, addresses, [other]) is None
            # Of a thread that has ended.
            assert caller(port, addresses, [-1]) is None
            assert caller(port ^ 1, addresses, [ident]) is None
            assert caller(0, addresses, [ident]) is None


def test_the_same_port_to_another_server_is_no_call() -> None:
    with (
        connected(socket.AF_INET, ("127.0.0.1", 0)) as (_, client),
        socket.create_server(("127.0.0.1", 0)) as ours,
        in_a_call(plain(client)) as ident,
    ):
        assert caller(client.getsockname()[1], OwnAddresses([listening(ours)]), [ident]) is None


def test_the_caller_by_a_unix_socket(tmp_path: Path) -> None:
    with connected(socket.AF_UNIX, str(tmp_path / "s")) as (addresses, client):
        with in_a_call(plain(client)) as ident:
            assert caller(0, addresses, [ident]) == ident
        with (
            connected(socket.AF_UNIX, str(tmp_path / "other")) as (_, other),
            in_a_call(plain(other)) as ident,
        ):
            assert caller(0, addresses, [ident]) is None


def test_closed_sockets_are_passed_by() -> None:
    with connected(socket.AF_INET, ("127.0.0.1", 0)) as (addresses, client):
        port = client.getsockname()[1]
        client.close()
        with in_a_call(plain(client)) as ident:
            assert caller(port, addresses, [ident]) is None


def test_serving_threads_are_those_of_the_runner() -> None:
    gate = Gate()

    class Worker:
        def serve(
            self, thread: int, *, once: bool = False, on_departure: Callable[[], None] | None = None
        ) -> None:
            threading.current_thread().name = "renamed"
            gate.hold()

        def stop(self) -> None:
            gate.open()

    runner = ThreadsRunner(Worker(), 2)
    runner.start()
    gate.wait_for(2)
    try:
        assert len(serving_threads()) == 2
        assert threading.get_ident() not in serving_threads()
    finally:
        runner.stop()
        assert runner.join(DEADLINE) == []


def test_the_report_names_both_and_shows_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        log = SelfCallLog([listening(listener)], name="worker 3", permits=2)
        with socket.create_connection(listener.getsockname()) as client:
            port = client.getsockname()[1]
            with in_a_call(plain(client)) as ident:
                running = {ident: ("GET", "/ou\nter"), -1: ("GET", "/other")}
                log.called_itself(("POST", "/inner"), port, True, running)
                # Once a minute.
                log.called_itself(("POST", "/inner"), port, True, running)
                log.called_itself(("POST", "/inner"), port, False, {ident: ("GET", "/else")})
    first, second = caplog.messages
    lines = first.splitlines()
    assert lines[0].startswith(
        "GET /ou\\nter in worker 3 calls this server itself: it waits for POST /inner, which waits for a "
        "thread. A thread more was lent to it"
    )
    assert "2 such requests at once take all of its 2 threads" in lines[0]
    assert lines[1] == "GET /ou\\nter is here:"
    assert lines[2].startswith("  File ")
    assert "in view" in first
    assert lines[-1] == "POST /inner has no stack: it had not begun."
    assert "--self-call is warn" in second
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_a_caller_that_is_not_found(caplog: pytest.LogCaptureFixture) -> None:
    log = SelfCallLog([], name="this process", permits=1)
    with in_a_call(Gate.hold) as ident:
        log.called_itself(("GET", "/inner"), 4711, True, {-1: ("GET", "/b"), ident: ("GET", "/a")})
    (message,) = caplog.messages
    assert message.startswith("The application (perhaps GET /a or GET /b) in this process calls")
    assert "one such request takes its only thread" in message
    assert "Which thread calls could not be found" in message
    # So those that it could be are shown.
    assert "GET /a is here:\n  File " in message
    assert "in hold" in message


def test_a_thread_for_each_and_what_happens_without(caplog: pytest.LogCaptureFixture) -> None:
    made: list[bool] = []

    class Worker:
        spares = 2

        def take_spares(self) -> int:
            found, self.spares = self.spares, 0
            return found

    class Runner:
        def add_thread(self, *, once: bool = False) -> None:
            made.append(once)
            if len(made) == 2:
                raise RuntimeError("can't start new thread")

    spares = SpareThreads(Worker(), Runner())
    assert spares.provide()
    assert not spares.provide()
    assert made == [True, True]
    assert "can't start new thread" in caplog.text
