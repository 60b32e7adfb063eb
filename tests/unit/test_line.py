"""The control socket: messages, descriptors, and every way in which it ends."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from pelton.process.control_socket import Line, LineClosedError, Message, shortened


@pytest.fixture
def ends() -> Iterator[tuple[Line, Line]]:
    ours, theirs = Line.pair()
    yield ours, theirs
    ours.close()
    theirs.close()


def received(line: Line) -> Message:
    message = line.receive()
    assert message is not None
    return message


def test_messages_keep_their_borders(ends: tuple[Line, Line]) -> None:
    ours, theirs = ends
    ours.send({"do": "add", "worker": 1})
    ours.send({"do": "drain"})
    assert received(theirs).fields == {"do": "add", "worker": 1}
    assert received(theirs).fields == {"do": "drain"}


def test_the_last_word_is_heard_also_of_one_that_has_not_listened(ends: tuple[Line, Line]) -> None:
    ours, theirs = ends
    theirs.send({"event": "failed"})
    # It ends with this unread.
    ours.send({"do": "attach"})
    theirs.close()
    assert received(ours).fields == {"event": "failed"}
    with pytest.raises(LineClosedError):
        ours.receive()


def test_descriptors_are_copies_that_programs_do_not_inherit(ends: tuple[Line, Line]) -> None:
    ours, theirs = ends
    reader, writer = os.pipe()
    ours.send({"do": "attach"}, [reader, writer])
    os.close(reader)
    message = received(theirs)
    assert len(message.descriptors) == 2
    assert not any(os.get_inheritable(one) for one in message.descriptors)
    os.write(writer, b"x")
    os.close(writer)
    assert os.read(message.descriptors[0], 1) == b"x"
    message.close()


def test_the_supervisors_end_does_not_wait(ends: tuple[Line, Line]) -> None:
    assert ends[0].receive() is None


def test_the_other_end_is_closed(ends: tuple[Line, Line]) -> None:
    ours, theirs = ends
    theirs.send({"event": "failed"})
    theirs.close()
    # What was said before comes first.
    assert received(ours).fields == {"event": "failed"}
    with pytest.raises(LineClosedError):
        ours.receive()
    with pytest.raises(LineClosedError):
        ours.send({"do": "stop"})


def test_nobody_reads(ends: tuple[Line, Line]) -> None:
    ours, _ = ends
    told = 0
    with contextlib.suppress(LineClosedError):
        for _ in range(100_000):
            ours.send({"do": "retire"})
            told += 1
    assert 100 < told < 100_000


def test_shutting_down_ends_a_wait_on_another_thread(ends: tuple[Line, Line]) -> None:
    _, theirs = ends
    ended = threading.Event()

    def wait() -> None:
        with pytest.raises(LineClosedError):
            theirs.receive()
        ended.set()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    theirs.shut_down()
    assert ended.wait(10)
    thread.join()


def test_longest_texts_fit(ends: tuple[Line, Line]) -> None:
    ours, theirs = ends
    for text in ("x" * 100_000, "\x01" * 100_000, "\ud800" * 100_000, "🐘" * 100_000):
        theirs.send({"event": "failed", "what": shortened(text, 2000), "traceback": shortened(text)})
        assert str(received(ours).fields["traceback"]).endswith(text[-100:])


@pytest.mark.parametrize("data", [b"{", b"[]", b"\xff", b"x" * 140_000])
def test_what_is_no_message_ends_it(data: bytes) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line = Line(ours)
    reader, writer = os.pipe()
    socket.send_fds(theirs, [data], [reader, writer])
    os.close(reader)
    with pytest.raises(LineClosedError, match="no message"):
        line.receive()
    # The descriptors that came along are closed, too.
    with pytest.raises(BrokenPipeError):
        os.write(writer, b"x")
    os.close(writer)
    line.close()
    theirs.close()
