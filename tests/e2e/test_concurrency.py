"""How many requests run at once, who waits for whom, and what happens to those that wait."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from support.apps import PLAIN, Pieces, held, hello, routes
from support.client import Client, request
from support.serving import Serve, Server
from support.waiting import DEADLINE, Gate, Tally, eventually

HOLD = request(target="/hold")
QUICK = request(target="/quick")


def test_as_many_requests_run_at_once_as_there_are_threads(serve: Serve) -> None:
    together = threading.Barrier(8)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        together.wait(DEADLINE)
        start_response("200 OK", list(PLAIN))
        return [threading.current_thread().name.encode()]

    server = serve(app, threads=8)
    clients = [server.connect() for _ in range(8)]
    for _ in range(3):
        for client in clients:
            client.send(QUICK)
        names = {client.response().text for client in clients}
        assert names == {f"pelton-{number}" for number in range(8)}


def test_one_more_does_not_start_before_another_ends(serve: Serve) -> None:
    gates = [Gate() for _ in range(9)]

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        number = int(environ["PATH_INFO"][1:])
        with suppress(TimeoutError):
            gates[number].hold()
        start_response("200 OK", list(PLAIN))
        return [str(number).encode()]

    server = serve(app, threads=8)
    clients = [server.connect() for _ in range(9)]
    for number in range(8):
        clients[number].send(request(target=f"/{number}"))
        gates[number].wait_for()
    clients[8].send(request(target="/8"))
    server.wait_for_counter("requests_dispatched", 9)
    # Nine are known, eight run, and no thread is left that could run the ninth.
    assert [gate.inside for gate in gates] == [1] * 8 + [0]
    gates[3].open()
    assert clients[3].response().text == "3"
    gates[8].wait_for()
    assert [gate.inside for gate in gates] == [1, 1, 1, 0, 1, 1, 1, 1, 1]
    for gate in gates:
        gate.open()
    assert [clients[number].response().text for number in (0, 1, 2, 4, 5, 6, 7, 8)] == list("01245678")


def test_never_more_at_once_than_threads(serve: Serve) -> None:
    """Many clients, requests that block and requests that do not, for all ways of the scheduler."""
    lock = threading.Lock()
    inside = most = 0

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        if environ["PATH_INFO"] == "/blocks":
            threading.Event().wait(0.002)
        with lock:
            inside -= 1
        start_response("200 OK", list(PLAIN))
        return [b"x"]

    server = serve(app, threads=3)
    clients = [server.connect() for _ in range(20)]
    for blocks in (0, 1, 3, 20, 0, 5):
        for number, client in enumerate(clients):
            client.send(request(target="/blocks" if number < blocks else "/quick") * 5)
        for client in clients:
            for _ in range(5):
                assert client.response().status == 200
    assert 1 < most <= 3


def test_quick_requests_are_answered_while_nearly_all_threads_are_stuck(serve: Serve, gate: Gate) -> None:
    server = serve(routes({"/hold": held(gate)}), threads=8)
    stuck = [server.connect().send(HOLD) for _ in range(7)]
    gate.wait_for(7)
    quick = server.connect()
    for _ in range(100):
        assert quick.ask(QUICK).body == b"hello"
    assert gate.inside == 7
    gate.open()
    assert [client.response().body for client in stuck] == [b"held"] * 7


def test_one_thread_runs_one_request_at_a_time(serve: Serve) -> None:
    gate = Gate()
    server = serve(held(gate), threads=1)
    clients = [server.connect().send(HOLD) for _ in range(5)]
    server.wait_for_counter("requests_dispatched", 5)
    gate.wait_for()
    assert gate.inside == 1
    gate.open()
    assert [client.response().body for client in clients] == [b"held"] * 5
    assert gate.most_inside == 1


def test_a_request_to_oneself_does_not_deadlock(serve: Serve) -> None:
    def asking(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", list(PLAIN))
        return [b"inner said " + server.ask(QUICK).body]

    server = serve(routes({"/outer": asking}), threads=2)
    for _ in range(20):
        assert server.ask(request(target="/outer")).body == b"inner said hello"


def test_a_full_queue_is_answered_at_once(serve: Serve, gate: Gate) -> None:
    server = serve(held(gate), threads=1, queue_length=2, retry_after_seconds=7)
    running = server.connect().send(HOLD)
    gate.wait_for()
    waiting = []
    for number in (2, 3):
        waiting.append(server.connect().send(HOLD))
        server.wait_for_counter("requests_dispatched", number)
    refused = server.connect()
    for _ in range(2):
        response = refused.ask(HOLD)
        assert (response.status, response.get("Retry-After"), response.keeps_connection) == (503, "7", True)
    server.wait_for_counter("requests_shed", 2)
    gate.open()
    assert [client.response().body for client in (running, *waiting)] == [b"held"] * 3
    assert refused.ask(HOLD).status == 200


def test_waiting_requests_run_in_the_order_they_came(serve: Serve, gate: Gate) -> None:
    """More than there are slots in the link, so that the front's own queue is used, too."""
    order: list[str] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        order.append(environ["PATH_INFO"])
        gate.hold()
        start_response("200 OK", list(PLAIN))
        return [b"x"]

    server = serve(app, threads=1)
    count = 150
    clients = []
    for number in range(count):
        clients.append(server.connect().send(request(target=f"/{number}")))
        # Received, and not only connected.
        wait_for_known(server, number + 1)
    gate.open()
    for client in clients:
        assert client.response().status == 200
    assert order == [f"/{number}" for number in range(count)]
    server.wait_for_counter("requests_queued", 0)


def wait_for_known(server: Server, count: int) -> None:
    """Wait until the front has given away or queued so many requests in all."""

    def known() -> bool:
        counters = server.running.counters()
        return counters["requests_dispatched"] + counters["requests_queued"] >= count

    eventually(known, server.running.counters)


def fill_ready_ring(server: Server) -> Client:
    """Let clients leave, each of which leaves a stale entry behind, until one finds no room and has to wait.

    That one is returned. One request must be running, and no other connection be open.
    """
    started = server.counter("requests_dispatched")
    for number in range(1000):
        client = server.connect().send(QUICK)
        wait_for_known(server, started + number + 1)
        if server.counter("requests_queued") == 1:
            return client
        client.reset()
        server.wait_for_counter("connections_open", 1)
    raise AssertionError("the ready ring has no end")


def test_many_who_left_while_waiting_do_not_delay_those_who_stay(serve: Serve, gate: Gate) -> None:
    """The link's ready ring fills with requests that were taken back, twice as many as there are slots."""
    order: list[str] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        order.append(environ["PATH_INFO"])
        gate.hold()
        start_response("200 OK", list(PLAIN))
        return [b"x"]

    server = serve(app, threads=1)
    running = server.connect().send(request(target="/running"))
    gate.wait_for()
    fill_ready_ring(server).reset()
    server.wait_for_counter("requests_queued", 0)
    known = server.counter("requests_dispatched")
    staying = []
    for number in range(5):
        staying.append(server.connect().send(request(target=f"/{number}")))
        wait_for_known(server, known + number + 1)
    gate.open()
    assert [client.response().status for client in (running, *staying)] == [200] * 6
    assert order == ["/running", *(f"/{number}" for number in range(5))]


def test_a_full_ready_ring_is_tried_again_although_nothing_tells_that_it_has_room(
    serve: Serve, gate: Gate
) -> None:
    """The front looks at its queue for the last time while the only thread is still in close()."""
    closing_gate = Gate()

    class HeldInClose(Pieces):
        def close(self) -> None:
            closing_gate.hold()

    def running(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        gate.hold()
        start_response("200 OK", list(PLAIN))
        return HeldInClose([b"x"], Tally())

    server = serve(routes({"/running": running}), threads=1)
    first = server.connect().send(request(target="/running"))
    gate.wait_for()
    staying = fill_ready_ring(server)
    gate.open()
    assert first.response().body == b"x"
    closing_gate.wait_for()
    server.wait_for_counter("requests_queued", 1)
    closing_gate.open()
    assert staying.response().body == b"hello"


@pytest.mark.parametrize("others", [1, 100])
def test_who_has_waited_too_long_is_told_so(serve: Serve, gate: Gate, others: int) -> None:
    server = serve(routes({"/hold": held(gate)}), threads=1, queue_seconds=0.3)
    running = server.connect().send(HOLD)
    gate.wait_for()
    waiting = [server.connect().send(QUICK) for _ in range(others)]
    for client in waiting:
        response = client.response()
        assert (response.status, response.get("Retry-After"), response.keeps_connection) == (503, "1", True)
    server.wait_for_counter("requests_expired", others)
    # A request that runs has no such limit.
    gate.open()
    assert running.response().body == b"held"
    for client in waiting:
        assert client.ask(QUICK).body == b"hello"


def test_a_body_in_a_file_that_waits_too_long_is_dropped(serve: Serve, gate: Gate) -> None:
    server = serve(routes({"/hold": held(gate)}), threads=1, queue_seconds=0.3, body_memory_bytes=0)
    server.connect().send(HOLD)
    gate.wait_for()
    waiting = server.connect()
    assert waiting.ask(request("POST", body=b"x" * 100_000)).status == 503
    assert waiting.ask(request("POST", body=b"x" * 1000)).status == 503
    gate.open()
    assert waiting.ask(QUICK).body == b"hello"


def test_many_clients_at_once_all_get_their_own_response(serve: Serve) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", list(PLAIN))
        return [environ["RAW_URI"].encode()]

    server = serve(app, threads=4)
    wrong: list[str] = []
    ready = threading.Barrier(8)

    def ask(worker: int) -> None:
        with server.connect() as client:
            ready.wait(DEADLINE)
            for number in range(200):
                target = f"/{worker}/{number}"
                seen = client.ask(request(target=target)).text
                if seen != target:
                    wrong.append(f"{target}: {seen}")

    threads = [threading.Thread(target=ask, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    assert wrong == []
    server.wait_for_counter("responses_finished", 1600)


def test_the_response_buffer_is_all_that_runs_ahead_of_a_reader(serve: Serve) -> None:
    made = 0

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        nonlocal made
        start_response("200 OK", list(PLAIN))
        for _ in range(1000):
            made += 100_000
            yield b"x" * 100_000

    server = serve(routes({"/large": app}, default=hello), threads=2, response_buffer_bytes=200_000)
    slow = server.connect(receive_buffer=4096).send(request(target="/large"))
    slow.head()
    assert slow.piece()
    for _ in range(50):
        assert server.ask(QUICK).body == b"hello"
    # The buffer, the link's ring, the kernel's buffers and a piece in work: far from 100 MB.
    assert made < 20_000_000
