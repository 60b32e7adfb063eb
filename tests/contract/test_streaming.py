"""Bodies that the application reads while they come, in one process and in workers."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.apps import pattern
from support.client import chunked, request
from support.kinds import WAYS_HERE
from support.live import Live
from support.scene import Scene
from support.serving import Serve, Server
from support.waiting import eventually

MI = 2**20
WINDOW = 256 * 1024
EXPECT = ("Expect", "100-continue")

Play = Callable[..., Scene]


@pytest.fixture(scope="module")
def processes() -> Iterator[Live]:
    """For all tests that need no settings of their own."""
    with contextlib.ExitStack() as stack:
        yield Scene.processes(stack, request_buffering="off")


@pytest.fixture(params=WAYS_HERE)
def play(request: pytest.FixtureRequest, tmp_path: Path, serve: Serve) -> Iterator[Play]:
    """Sets the scene in each way of serving; called with settings."""
    with contextlib.ExitStack() as stack:

        def made(**settings: Any) -> Scene:
            if request.param == "one process":
                return Scene.in_one_process(tmp_path, serve, request_buffering="off", **settings)
            if not settings:
                return Scene(tmp_path, request.getfixturevalue("processes"))
            return Scene.in_processes(tmp_path, stack, request_buffering="off", **settings)

        yield made


@pytest.fixture
def alone(tmp_path: Path, serve: Serve) -> Play:
    """In one process only: for what is seen in the front's counters."""
    return partial(Scene.in_one_process, tmp_path, serve, request_buffering="off")


def told(body: bytes, announced: bool) -> bytes:
    """What /digest answers."""
    digest = hashlib.sha256(body).hexdigest()
    return f"{len(body)} {digest} {len(body) if announced else 'none'}".encode()


def pieces_of(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


# Whole


SIZES = [1, 16 * 1024, 65_535, 65_536, 65_537, WINDOW - 1, WINDOW, WINDOW + 1, MI, 8 * MI]


def test_bodies_of_every_size_come_out_whole(play: Play) -> None:
    scene = play()
    client = scene.connect()
    for size in SIZES:
        body = pattern(size)
        assert client.ask(scene.request("/digest", body)).body == told(body, announced=True), size
        client.send(scene.in_chunks("/digest/1000") + chunked(pieces_of(body, 70_000)))
        assert client.response("POST").body == told(body, announced=False), size
    scene.check_idle()
    if isinstance(scene.server, Server):
        # The smallest was there with its head, and travelled with it.
        assert scene.server.counter("bodies_streamed") >= 2 * len(SIZES) - 2
        assert scene.server.counter("bodies_spooled") == 0


def test_a_slow_upload_comes_byte_by_byte(play: Play) -> None:
    scene = play()
    body = pattern(300)
    client = scene.connect().send(scene.announced("/echo", len(body)))
    for number in range(len(body)):
        client.send(body[number : number + 1])
        if number == 0:
            assert client.head("POST").framing == "chunked"
        assert client.piece() == body[number : number + 1]
    assert client.piece() == b""
    client = scene.connect().send_bytewise(scene.in_chunks("/echo") + chunked([b"a", b"bcd", b"e" * 17]))
    assert client.response("POST").body == b"abcd" + b"e" * 17
    scene.check_idle()


def test_lines_come_as_soon_as_they_end(play: Play) -> None:
    scene = play()
    client = scene.connect().send(scene.in_chunks("/lines") + b"8\r\none\ntwo\n\r\n")
    client.head("POST")
    assert (client.piece(), client.piece()) == (b"ONE\n", b"TWO\n")
    client.send(b"5\r\nthree\r\n").send(b"1\r\n\n\r\n")
    assert client.piece() == b"THREE\n"
    client.send(b"4\r\nlast\r\n0\r\n\r\n")
    assert (client.piece(), client.piece()) == (b"LAST", b"")


def test_a_chunked_body_may_be_cut_anywhere(play: Play) -> None:
    scene = play()
    wire = chunked([b"a", b"bcdefghijklmnopq"], trailer=[("X-Sum", "1")])
    client = scene.connect()
    for cut in range(1, len(wire)):
        client.send(scene.in_chunks("/digest") + wire[:cut]).send(wire[cut:])
        assert client.response("POST").body == told(b"abcdefghijklmnopq", announced=False), cut


def test_reading_into_a_buffer_and_reading_a_part(play: Play) -> None:
    scene = play()
    client = scene.connect()
    body = pattern(100_000)
    assert client.ask(scene.request("/into/70000", body)).body == body[:70_000]
    # The rest was thrown away, and the connection goes on.
    assert client.ask(scene.request("/into/200000", body)).body == body
    assert client.ask(scene.request("/whole", body)).body == body


def test_an_application_that_does_not_read_stops_its_client(play: Play) -> None:
    scene = play()
    gate = scene.add_gate("gate")
    size = 64 * MI
    client = scene.connect().send(scene.announced(f"/hold/{gate}", size))
    scene.wait_for(f"at {gate}")
    client.socket.settimeout(0.2)
    sent = 0
    block = b"x" * MI
    with contextlib.suppress(TimeoutError):
        while sent < size:
            sent += client.socket.send(block)
    # What fits into the window and the kernel's buffers, and not what it would take in a file.
    assert WINDOW < sent < 32 * MI
    if isinstance(scene.server, Server):
        scene.server.wait_for_counter("body_chunks_in_use", 4)
    client.socket.settimeout(10)
    scene.open_gate(gate)
    while sent < size:
        sent += client.socket.send(block[: size - sent])
    assert client.response("POST").body == str(size).encode()
    scene.check_idle()


def test_many_at_once_share_the_memory(alone: Play) -> None:
    scene = alone(threads=80)
    gate = scene.add_gate("gate")
    clients = []
    for number in range(300):
        clients.append(scene.connect().send(scene.announced(f"/hold/{gate}", MI) + b"begin"))
        scene.server.wait_for_counter("bodies_streamed", number + 1)  # type: ignore[union-attr]
    chunks = scene.server.counter("body_chunks_in_use")  # type: ignore[union-attr]
    # Four each while there is plenty, then one.
    assert 512 <= chunks <= 4 * 129 + 171 + 4, chunks
    for client in clients:
        client.close()

    def are_over() -> bool:
        # Everybody who waits now goes through at once, so nobody can say how often it has to be opened.
        with contextlib.suppress(OSError):
            os.close(os.open(scene.directory / gate, os.O_WRONLY | os.O_NONBLOCK))
        return scene.server.counter("slots_in_use") == 0  # type: ignore[union-attr]

    eventually(are_over, "nobody waits any more")
    scene.check_idle()


def test_a_window_for_a_small_body_is_small(alone: Play) -> None:
    scene = alone()
    gate = scene.add_gate("gate")
    for size, chunks in ((20_000, 1), (65_536, 1), (65_537, 2), (150_000, 4)):
        client = scene.connect().send(scene.announced(f"/hold/{gate}", size) + b"x" * (size - 1))
        scene.wait_for(f"at {gate}")
        scene.server.wait_for_counter("body_chunks_in_use", chunks)  # type: ignore[union-attr]
        client.send(b"x")
        scene.open_gate(gate)
        assert client.response("POST").body == str(size).encode()
        (scene.directory / "notes").unlink()
    scene.connect().send(scene.in_chunks(f"/hold/{gate}") + b"1\r\nx\r\n")
    scene.wait_for(f"at {gate}")
    scene.server.wait_for_counter("body_chunks_in_use", 4)  # type: ignore[union-attr]
    scene.open_gate(gate)


def test_where_there_is_no_memory_that_is_said_at_once(tmp_path: Path, serve: Serve) -> None:
    scene = Scene.in_one_process(tmp_path, serve, stream_path="/digest", body_memory_bytes=64 * MI)
    assert isinstance(scene.server, Server)
    # A body that is collected takes all of it.
    greedy = scene.connect().send(scene.request("/whole", b"x" * (64 * MI))[:-1])
    scene.server.wait_for_counter("body_chunks_in_use", 1024)
    client = scene.connect().send(scene.announced("/digest", MI) + b"x")
    response = client.response("POST")
    assert (response.status, response.get("Retry-After"), response.keeps_connection) == (503, "1", False)
    greedy.close()
    scene.check_idle()
    assert scene.ask(scene.request("/digest", pattern(MI))).body == told(pattern(MI), announced=True)


def test_only_below_the_given_paths(tmp_path: Path, serve: Serve) -> None:
    scene = Scene.in_one_process(tmp_path, serve, stream_path=("/echo", "/digest/"))
    assert isinstance(scene.server, Server)
    client = scene.connect()
    body = pattern(50_000)
    for target, count in (("/whole", 0), ("/digest", 0), ("/digest/9", 1), ("/%65cho", 2), ("/echoes", 2)):
        client.ask(scene.request(target, body))
        scene.server.wait_for_counter("bodies_streamed", count)


# One request behind the other


def test_a_request_behind_a_streamed_body(play: Play) -> None:
    scene = play()
    body = pattern(100_000)
    client = scene.connect()
    client.send(scene.request("/digest", body) + scene.in_chunks("/digest") + chunked([body]) + request())
    assert client.response("POST").body == told(body, announced=True)
    assert client.response("POST").body == told(body, announced=False)
    assert client.response().body == b"hello"


@pytest.mark.parametrize("size", [20_000, 60_000])
def test_what_is_not_read_is_not_taken_for_the_next_request(play: Play, size: int) -> None:
    scene = play()
    client = scene.connect()
    evil = (request("GET", "/evil") * (size // 10))[:size]
    for _ in range(3):
        response = client.ask(scene.request("/some/3", evil))
        assert (response.body, response.keeps_connection) == (b"GET", True)
        client.send(scene.in_chunks("/some/3") + chunked([evil]))
        response = client.response("POST")
        assert response.body == b"GET"
        if not response.keeps_connection:
            # Chunks do not say how much is missing when the response begins.
            assert client.closed()
            client = scene.connect()
    assert client.ask(request()).body == b"hello"


def test_the_rest_of_a_small_unread_body_may_come_later(play: Play) -> None:
    scene = play()
    client = scene.connect().send(scene.announced("/refused", 20_000) + b"x" * 100)
    response = client.response("POST")
    assert (response.status, response.keeps_connection) == (401, True)
    client.send(b"x" * 19_900 + request())
    assert client.response().body == b"hello"


def test_a_large_unread_body_ends_the_connection_after_the_response(play: Play) -> None:
    scene = play()
    client = scene.connect().send(scene.announced("/refused", 8 * MI) + b"x" * 100)
    response = client.response("POST")
    assert (response.status, response.keeps_connection) == (401, False)
    assert client.closed()
    # Chunks do not say how much is to come.
    client = scene.connect().send(scene.in_chunks("/refused") + b"5\r\nabcde\r\n")
    response = client.response("POST")
    assert (response.status, response.keeps_connection) == (401, False)
    assert client.closed()
    scene.check_idle()


def test_a_response_without_reading_is_not_lost_while_the_client_sends(play: Play) -> None:
    scene = play()
    client = scene.connect()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.send(scene.request("/refused", b"x" * 4 * MI))
    assert client.response("POST").status == 401
    scene.check_idle()


# Bodies that do not come to their end

CLOSED = "the client closed its connection before its request body was complete"
SILENT = "the client sent nothing of its request body for too long"
ABANDONED = "nobody waits for the response any more, so the rest of the request body is not received"


def test_a_truncated_body_never_looks_complete(play: Play) -> None:
    scene = play()
    count = 0
    for target in ("/digest", "/whole", "/digest/1"):
        for wire in (
            scene.announced(target, 100_000) + b"x" * 99_999,
            scene.in_chunks(target) + b"5\r\nabcde\r\n0\r\n",
            scene.in_chunks(target) + b"5\r\nabc",
        ):
            client = scene.connect().send(wire)
            count += 1
            scene.wait_for("reads", count)
            client.finish_sending()
            # What the application says of it is still delivered.
            assert client.response("POST").status == 500
            assert client.closed()
    scene.wait_for(f"IncompleteBodyError: {CLOSED}", 9)
    assert "done" not in scene.notes
    scene.check_idle()


def test_whoever_reads_on_meets_the_same_again(play: Play) -> None:
    scene = play()
    client = scene.connect().send(scene.announced("/caught", 1000) + b"x")
    scene.wait_for("reads")
    client.finish_sending()
    assert client.response("POST").body == b"caught"
    assert scene.notes == ["reads", f"caught {CLOSED}"]


def test_a_reset_ends_the_reading(play: Play) -> None:
    scene = play()
    client = scene.connect().send(scene.announced("/begun", MI) + b"x")
    scene.wait_for("reads")
    client.reset()
    scene.wait_for(f"IncompleteBodyError: {ABANDONED}")
    scene.check_idle()


@pytest.mark.parametrize("sent", [b"", b"x" * 1000])
def test_a_client_that_is_silent_for_too_long(play: Play, sent: bytes) -> None:
    scene = play(body_idle_seconds=0.3)
    client = scene.connect().send(scene.announced("/digest", 100_000) + sent)
    response = client.response("POST")
    assert (response.status, response.keeps_connection) == (408, False)
    assert client.closed()
    scene.wait_for(f"IncompleteBodyError: {SILENT}")
    client = scene.connect().send(scene.in_chunks("/begun") + b"5\r\nabcde\r\n")
    client.head("POST")
    assert client.piece() == b"begun "
    scene.wait_for(f"IncompleteBodyError: {SILENT}", 2)
    scene.check_idle()


def test_an_application_that_is_slow_does_not_make_its_client_late(play: Play) -> None:
    scene = play(body_idle_seconds=0.2)
    gate = scene.add_gate("gate")
    first = scene.connect().send(scene.request(f"/hold/{gate}", b"x" * MI)[: 600 * 1024])
    scene.wait_for(f"at {gate}")
    # Somebody else becomes late meanwhile, so it is a time in which this one could have.
    other = scene.connect().send(scene.announced("/digest", 100_000))
    assert other.response("POST").status == 408
    scene.open_gate(gate)
    first.send(scene.request(f"/hold/{gate}", b"x" * MI)[600 * 1024 :])
    assert first.response("POST").body == str(MI).encode()


@pytest.mark.parametrize(
    ("wire", "status", "why"),
    [
        (b"5\r\nabcdefgh\r\n", 400, "the framing of the request body is malformed"),
        (b"x\r\n", 400, "the framing of the request body is malformed"),
        (b"7d1\r\n", 413, "the request body is larger than it may be"),
        (b"7cd\r\n" + b"x" * 1997 + b"\r\n1\r\n", 413, "the request body is larger than it may be"),
    ],
)
def test_a_body_that_breaks_a_rule(play: Play, wire: bytes, status: int, why: str) -> None:
    scene = play(max_body_bytes=2000)
    client = scene.connect().send(scene.in_chunks("/digest") + b"3\r\nabc\r\n")
    scene.wait_for("reads")
    client.send(wire)
    response = client.response("POST")
    assert (response.status, response.keeps_connection) == (status, False)
    assert client.closed()
    scene.wait_for(f"IncompleteBodyError: {why}")
    scene.check_idle()


def test_a_rule_broken_after_the_response_has_begun_ends_the_reading_and_then_the_connection(
    play: Play,
) -> None:
    scene = play()
    client = scene.connect().send(scene.in_chunks("/begun"))
    client.head("POST")
    assert client.piece() == b"begun "
    client.send(b"nonsense\r\n" + request())
    scene.wait_for("IncompleteBodyError: the framing of the request body is malformed")
    scene.check_idle()


def test_announced_too_large_is_refused_before_anything_is_read(play: Play) -> None:
    scene = play(max_body_bytes=2000)
    client = scene.connect().send(scene.announced("/digest", 2001, EXPECT))
    assert client.response("POST").status == 413
    assert client.closed()
    assert scene.notes == []


def test_a_body_that_breaks_a_rule_before_anybody_runs_is_never_run(play: Play) -> None:
    scene = play(threads=1)
    gate = scene.add_gate("gate")
    first = scene.connect().send(scene.announced(f"/hold/{gate}", 20_000))
    scene.wait_for(f"at {gate}")
    for wire, status in ((b"zz\r\n", 400), (b"5\r\nabcdefgh", 400)):
        client = scene.connect().send(scene.in_chunks("/digest") + wire)
        assert client.response("POST").status == status
    gone = scene.connect().send(scene.announced("/digest", 20_000) + b"x").finish_sending()
    assert gone.closed()
    first.send(b"x" * 20_000)
    scene.open_gate(gate)
    assert first.response("POST").body == b"20000"
    assert scene.notes == [f"at {gate}", "done"]
    scene.check_idle()


def test_time_that_is_over_ends_the_reading(play: Play) -> None:
    scene = play(request_timeout=0.3)
    client = scene.connect().send(scene.announced("/whole", 100_000) + b"x" * 1000)
    response = client.response("POST")
    assert (response.status, response.keeps_connection) == (504, False)
    assert client.closed()
    scene.check_idle()
    assert "done" not in scene.notes


def test_a_thread_that_reads_on_does_not_hold_its_request_up(play: Play) -> None:
    scene = play()
    client = scene.connect().send(scene.announced("/from-threads", 40_000) + b"begin")
    assert client.response("POST").body == b"done"
    # It waited for the rest, and is told that the request is over.
    scene.wait_for("the other met ValueError")
    client.send(b"x" * (40_000 - 5))
    assert client.ask(request()).body == b"hello"
    scene.check_idle()


# Leave to send


def test_leave_to_send_comes_when_the_application_reads(play: Play) -> None:
    scene = play()
    gate = scene.add_gate("gate")
    client = scene.connect()
    for fields in ([EXPECT, ("Content-Length", "20000")], [EXPECT, ("Transfer-Encoding", "chunked")]):
        client.send(scene.request(f"/hold/{gate}", fields=fields))
        scene.wait_for(f"at {gate}")
        client.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.socket.recv(1)
        client.socket.settimeout(10)
        scene.open_gate(gate)
        assert client.head("POST").status == 100
        body = b"x" * 20_000
        client.send(body if "Content-Length" in str(fields) else chunked([body]))
        assert client.response("POST").body == b"20000"
        (scene.directory / "notes").unlink()
    assert client.ask(request()).body == b"hello"


def test_a_response_without_reading_costs_no_upload(play: Play) -> None:
    scene = play()
    client = scene.connect().send(scene.announced("/refused", 20_000, EXPECT))
    response = client.response("POST")
    # Nobody can know whether the client sends its body now, so nothing can follow.
    assert (response.status, response.keeps_connection) == (401, False)
    assert client.closed()
    scene.check_idle()


def test_whoever_has_begun_to_send_needs_no_leave(play: Play) -> None:
    scene = play()
    client = scene.connect().send(scene.announced("/whole", 20_000, EXPECT) + b"x")
    client.send(b"x" * 19_999)
    assert client.response("POST").body == b"x" * 20_000
    assert client.ask(request()).body == b"hello"


def test_leave_is_not_given_in_the_middle_of_a_response(play: Play) -> None:
    scene = play()
    client = scene.connect().send(scene.announced("/begun", 20_000, EXPECT))
    assert client.head("POST").keeps_connection is False
    assert client.piece() == b"begun "
    client.send(b"x" * 20_000)
    assert (client.piece(), client.piece()) == (b"20000", b"")


def test_a_client_that_has_leave_and_sends_nothing_is_late(play: Play) -> None:
    scene = play(body_idle_seconds=0.3)
    client = scene.connect().send(scene.announced("/whole", 20_000, EXPECT))
    assert client.head("POST").status == 100
    assert client.response("POST").status == 408


# Workers that come and go


def test_a_request_that_waits_moves_to_another_worker_with_its_body(
    tmp_path: Path,
) -> None:
    with contextlib.ExitStack() as stack:
        scene = Scene.in_processes(tmp_path, stack, workers=2, threads=1, request_buffering="off")
        gates = [scene.add_gate(f"gate{number}") for number in range(2)]
        holding = [scene.connect().send(scene.announced(f"/hold/{gate}", 20_000)) for gate in gates]
        for gate in gates:
            scene.wait_for(f"at {gate}")
        bodies = [pattern(100_000 + number) for number in range(6)]
        waiting = []
        for body in bodies:
            client = scene.connect().send(scene.request("/digest", body)[:-50_000])
            waiting.append(client)
        scene.server.wait_for_requests(8)  # type: ignore[union-attr]
        # Only one of the two workers ever becomes free.
        holding[0].send(b"x" * 20_000)
        scene.open_gate(gates[0])
        assert holding[0].response("POST").body == b"20000"
        for client, body in zip(waiting, bodies, strict=True):
            client.send(body[-50_000:])
        for client, body in zip(waiting, bodies, strict=True):
            assert client.response("POST").body == told(body, announced=True)
        holding[1].send(b"x" * 20_000)
        scene.open_gate(gates[1])
        assert holding[1].response("POST").body == b"20000"
        scene.check_idle()


def test_a_client_whose_request_waits_for_a_worker_is_not_late(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        scene = Scene.in_processes(
            tmp_path, stack, workers=2, threads=1, stream_path=("/hold", "/digest"), body_idle_seconds=0.3
        )
        gates = [scene.add_gate(f"gate{number}") for number in range(2)]
        holding = [scene.connect().send(scene.request(f"/hold/{gate}", b"x" * 20_000)) for gate in gates]
        for gate in gates:
            scene.wait_for(f"at {gate}")
        body = pattern(100_000)
        wire = scene.request("/digest", body)
        # In the queue, some perhaps after a worker had them in advance and did not get on.
        waiting = [scene.connect().send(wire[:-1000]) for _ in range(2)]
        scene.server.wait_for_requests(4)  # type: ignore[union-attr]
        # One that is collected tells when they could have become late, as well.
        assert scene.connect().send(scene.announced("/whole", 20_000)).response("POST").status == 408
        for client in waiting:
            client.send(wire[-1000:])
        for gate, client in zip(gates, holding, strict=True):
            scene.open_gate(gate)
            assert client.response("POST").body == b"20000"
        for client in waiting:
            assert client.response("POST").body == told(body, announced=True)
        scene.check_idle()


def test_a_worker_that_dies_with_a_body_half_read(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        scene = Scene.in_processes(tmp_path, stack, workers=1, threads=2, request_buffering="off")
        gate = scene.add_gate("gate")
        client = scene.connect().send(scene.announced(f"/hold/{gate}", 100_000) + b"x" * 50_000)
        scene.wait_for(f"at {gate}")
        (pid,) = scene.server.ready_workers(1).values()  # type: ignore[union-attr]
        os.kill(pid, signal.SIGKILL)
        response = client.response("POST")
        assert (response.status, response.keeps_connection) == (502, False)
        assert client.closed()
        scene.check_idle()
        body = pattern(MI)
        assert scene.ask(scene.request("/digest", body)).body == told(body, announced=True)
