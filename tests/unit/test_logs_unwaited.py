"""Logs that nobody reads: nobody waits for them, and what is dropped is counted and said."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from pelton.logs import unwaited
from pelton.logs.unwaited import UnwaitedWriter
from support.waiting import eventually

Ends = tuple[int, int]


@pytest.fixture(params=["pipe", "socket", "pipe that cannot be opened again"])
def ends(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ends]:
    if request.param == "socket":
        ours, theirs = socket.socketpair()
        reader, writer = ours.detach(), theirs.detach()
    else:
        reader, writer = os.pipe()
    if request.param == "pipe that cannot be opened again":
        monkeypatch.setattr(unwaited, "_not_blocking", lambda descriptor, mode: (False, descriptor))
    os.set_blocking(reader, False)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def lost(count: int) -> bytes:
    return f"lost {count}\n".encode()


def read_all(reader: int) -> bytes:
    pieces = []
    while True:
        try:
            pieces.append(os.read(reader, 1 << 20))
        except BlockingIOError:
            return b"".join(pieces)


def line(number: int) -> bytes:
    return f"{number:09}".encode() * 100 + b"\n"


def test_a_log_that_is_read_gets_everything_at_once(ends: Ends) -> None:
    reader, descriptor = ends
    writer = UnwaitedWriter(descriptor, threading.RLock(), lost)
    for number in range(10):
        writer.write(line(number))
        assert read_all(reader) == line(number)
    writer.close()


def test_what_has_no_room_comes_later_in_order(ends: Ends) -> None:
    reader, descriptor = ends
    lock = threading.RLock()
    writer = UnwaitedWriter(descriptor, lock, lost, most=10_000_000)
    for number in range(1000):
        with lock:
            writer.write(line(number))
    got = bytearray()
    wanted = b"".join(map(line, range(1000)))

    def is_there() -> bool:
        got.extend(read_all(reader))
        return len(got) >= len(wanted)

    # A thread of the writer's does that.
    eventually(is_there, lambda: f"{len(got)} of {len(wanted)} bytes")
    assert bytes(got) == wanted
    writer.close()


def test_a_loop_writes_the_rest_where_there_is_no_thread(ends: Ends) -> None:
    reader, descriptor = ends
    unwaited.leave_to_loop()
    try:
        before = threading.active_count()
        writer = UnwaitedWriter(descriptor, threading.RLock(), lost, most=10_000_000)
        for number in range(1000):
            writer.write(line(number))
        assert threading.active_count() == before
        assert unwaited.unwritten() == [writer.fileno()]
        got = bytearray()
        while unwaited.unwritten():
            got.extend(read_all(reader))
            unwaited.write_rest()
        got.extend(read_all(reader))
        assert bytes(got) == b"".join(map(line, range(1000)))
        writer.close()
    finally:
        unwaited.leave_to_loop(False)


def test_what_is_dropped_is_counted_and_said_where_it_was(ends: Ends) -> None:
    reader, descriptor = ends
    unwaited.leave_to_loop()
    try:
        writer = UnwaitedWriter(descriptor, threading.RLock(), lost, most=50_000)
        for number in range(1000):
            writer.write(line(number))
        got = bytearray(read_all(reader))
        writer.write(line(1000))
        while unwaited.unwritten():
            got.extend(read_all(reader))
            unwaited.write_rest()
        got.extend(read_all(reader))
        lines = bytes(got).splitlines(keepends=True)
        (said,) = [one for one in lines if one.startswith(b"lost")]
        place = lines.index(said)
        assert lines[:place] == [line(number) for number in range(place)]
        assert said == lost(1000 - place)
        assert lines[place + 1 :] == [line(1000)]
        writer.close()
    finally:
        unwaited.leave_to_loop(False)


def test_a_reader_that_has_gone_raises_and_leaves_nothing(ends: Ends) -> None:
    reader, descriptor = ends
    writer = UnwaitedWriter(descriptor, threading.RLock(), lost)
    copy = os.open(os.devnull, os.O_RDONLY)
    os.dup2(copy, reader)
    os.close(copy)
    with pytest.raises(OSError):  # noqa: PT011  (each kind of descriptor has its own)
        writer.write(b"x")
    assert writer.fileno() == -1
    writer.close()


def test_the_flags_of_the_descriptor_are_left_alone(ends: Ends) -> None:
    _, descriptor = ends
    writer = UnwaitedWriter(descriptor, threading.RLock(), lost)
    writer.write(b"x")
    assert os.get_blocking(descriptor)
    writer.close()


def in_child(function: Callable[[], bool]) -> bool:
    pid = os.fork()
    if pid == 0:
        os._exit(0 if function() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_after_a_fork_the_rest_is_the_parents(ends: Ends) -> None:
    _, descriptor = ends
    unwaited.leave_to_loop()
    try:
        writer = UnwaitedWriter(descriptor, threading.RLock(), lost, most=10_000_000)
        for number in range(1000):
            writer.write(line(number))
        assert in_child(lambda: writer.fileno() == -1 and not unwaited.unwritten())
        assert writer.fileno() >= 0
        writer.close()
    finally:
        unwaited.leave_to_loop(False)


def test_the_last_words_are_waited_for_a_moment_only(ends: Ends) -> None:
    reader, descriptor = ends
    unwaited.leave_to_loop()
    try:
        writer = UnwaitedWriter(descriptor, threading.RLock(), lost, most=10_000_000)
        for number in range(1000):
            writer.write(line(number))
        writer.wait(0.01)
        assert writer.fileno() >= 0
        writer.close()
        assert writer.fileno() == -1
        assert read_all(reader).startswith(line(0))
    finally:
        unwaited.leave_to_loop(False)
