"""A front and two workers in processes of their own: requests of all kinds come through, and nothing stays
behind."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import pelton
from conftest import StartLive
from support.apps import pattern
from support.client import Client, Response, chunked, request
from support.gates import Gates
from support.live import HEALTH, PROCESS_APP, Live
from support.load import Load
from support.processes import children_of
from support.waiting import eventually

MEMORY = 64 * 1024
# In the record, at its border, in chunks of memory, at that border, in a file.
SIZES = [1, 16 * 1024, 16 * 1024 + 1, MEMORY, MEMORY + 1, 3_000_000]


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path)


@pytest.fixture(scope="module")
def shared_gates(tmp_path_factory: pytest.TempPathFactory) -> Gates:
    return Gates(tmp_path_factory.mktemp("gates"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, shared_gates: Gates) -> Iterator[Live]:
    """Two workers with four threads each, for all tests that leave them as they were."""
    with Live(
        *(PROCESS_APP, "--workers", "2", "--threads", "4", "--body-memory", str(MEMORY)),
        *("--spool-directory", tmp_path_factory.mktemp("spool")),
        environment=shared_gates.environment,
    ) as server:
        server.ready_workers(2)
        yield server


@pytest.fixture
def client(pair: Live) -> Iterator[Client]:
    with Client(pair.addresses[0]) as made:
        yield made


# Who does what


def test_the_start_line(pair: Live) -> None:
    line = pair.log.wait_for("listens on").string
    assert re.search(
        rf"INFO pelton {re.escape(pelton.__version__)} listens on http://127\.0\.0\.1:[0-9]+ "
        rf"\(worker kind: threads, 4 threads in each of 2 workers, pid {pair.process.pid}\)",
        line,
    ), line


def test_one_front_and_the_workers_are_children_of_the_command(pair: Live, client: Client) -> None:
    workers = pair.ready_workers(2)
    assert sorted(workers) == [1, 2]
    front = pair.front_pid(2)
    assert sorted(children_of(pair.process.pid)) == sorted([front, *workers.values()])
    told = client.ask(request(target="/told")).json()
    assert told["pid"] in workers.values()
    assert told["parent"] == pair.process.pid
    assert told["multiprocess"] is True
    assert told["multithread"] is True


def test_a_worker_holds_no_socket_of_anybody_else(pair: Live, client: Client) -> None:
    told = client.ask(request(target="/told")).json()
    its_own = {name for name in told["descriptors"] if name.startswith("socket:")}
    assert its_own
    for other in (pair.process.pid, pair.front_pid(2)):
        assert not its_own & set(descriptors(other))


def descriptors(pid: int) -> Iterator[str]:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            yield str(entry.readlink())
        except FileNotFoundError:
            continue


def test_the_application_sees_the_client(pair: Live, client: Client) -> None:
    told = client.ask(request(target="/told/a%20b?c=d", fields=[("X-Thing", "1")])).json()["environ"]
    host, port = client.socket.getsockname()
    assert (told["REMOTE_ADDR"], told["REMOTE_PORT"]) == (host, str(port))
    assert told["SERVER_PORT"] == pair.addresses[0].rpartition(":")[2]
    assert (told["PATH_INFO"], told["QUERY_STRING"], told["HTTP_X_THING"]) == ("/told/a b", "c=d", "1")


def test_the_next_request_goes_to_the_worker_with_more_free_threads(
    pair: Live, client: Client, shared_gates: Gates
) -> None:
    with pair.connect() as held:
        held.send(shared_gates.add("first"))
        busy = pair.log.wait_for("first is held by ([0-9]+)")[1]
        # On one connection, to one and the other worker: connections belong to the front.
        assert client.ask(request()).text != busy
        shared_gates.open("first")
        assert held.response().text == busy


# Requests and answers of all kinds


@pytest.mark.parametrize("size", SIZES)
def test_a_body_comes_through(client: Client, size: int) -> None:
    body = pattern(size)
    expected = f"{size} {hashlib.sha256(body).hexdigest()} {size}"
    assert client.ask(request("POST", "/digest", body=body)).text == expected
    pieces = [body[start : start + 50_000] for start in range(0, size, 50_000)]
    head = request("POST", "/digest", [("Transfer-Encoding", "chunked")])
    assert client.ask(head + chunked(pieces)).text == expected


def test_a_body_goes_there_and_back(client: Client) -> None:
    for size in (0, *SIZES):
        body = pattern(size)
        assert client.ask(request("POST", "/echo", body=body)).body == body


def test_a_body_that_nobody_reads(client: Client) -> None:
    for size in SIZES:
        assert client.ask(request("POST", "/who", body=pattern(size))).status == 200


def test_many_bodies_at_once(pair: Live) -> None:
    failures: list[object] = []

    def upload(number: int) -> None:
        body = pattern(200_000 + number)[number:]
        try:
            with Client(pair.addresses[0]) as client:
                for _ in range(5):
                    answer = client.ask(request("POST", "/echo", body=body))
                    if answer.body != body:
                        failures.append(number)
        except (OSError, AssertionError) as error:
            failures.append(error)

    threads = [threading.Thread(target=upload, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.parametrize("size", [0, 1, 5_000, 70_000, 10_000_000])
def test_a_response_of_any_size(client: Client, size: int) -> None:
    assert client.ask(request(target=f"/large/{size}")).body == pattern(size)


def test_a_streamed_response(client: Client) -> None:
    answer = client.ask(request(target="/stream/2000"))
    assert answer.framing == "chunked"
    assert answer.body == b"".join(b"%999d\n" % number for number in range(2000))


def test_a_piece_leaves_before_the_next_is_made(pair: Live, client: Client, shared_gates: Gates) -> None:
    client.send(shared_gates.add("stream", "/gated-stream/"))
    client.head()
    assert client.piece() == b"first"
    shared_gates.open("stream")
    assert client.piece() == b"second"
    assert client.piece() == b""


def test_a_slow_reader_gets_everything(pair: Live) -> None:
    with Client(pair.addresses[0], receive_buffer=4096) as slow:
        slow.send(request(target="/large/5000000")).wait_readable()
        # The application has to wait for this one, and only the others' threads serve.
        with pair.connect() as other:
            assert other.ask(request()).status == 200
        assert slow.response().body == pattern(5_000_000)


def test_a_file(client: Client) -> None:
    for _ in range(3):
        answer = client.ask(request(target="/file"))
        assert answer.body == PROCESS_APP.read_bytes()


def test_a_head_request(client: Client) -> None:
    for target in ("/large/5000", "/stream/3", "/file"):
        answer = client.ask(request("HEAD", target))
        assert (answer.status, answer.body) == (200, b"")
    assert client.ask(request()).status == 200


def test_pipelined_requests_are_answered_in_order(client: Client) -> None:
    sizes = [number * 37 for number in range(50)]
    client.send(b"".join(request(target=f"/large/{size}") for size in sizes))
    assert [len(client.response().body) for _ in sizes] == sizes


def test_an_expected_continue(client: Client) -> None:
    body = pattern(100_000)
    head = request("POST", "/echo", [("Expect", "100-continue"), ("Content-Length", str(len(body)))])
    assert client.send(head).head("POST").status == 100
    assert client.send(body).response("POST").body == body


def test_a_failing_application(pair: Live, client: Client) -> None:
    assert client.ask(request(target="/fail")).status == 500
    pair.log.wait_for(r"\[worker [12]\].*GET /fail: the application failed")
    pair.log.wait_for("RuntimeError: intended failure")
    assert client.ask(request()).status == 200


def test_clients_that_go_away(pair: Live) -> None:
    for target in ("/large/3000000", "/stream/3000"):
        for _ in range(10):
            pair.connect().send(request(target=target)).wait_readable().reset()
    with Load(pair.addresses[0], "/large/{}") as load:
        load.wait_for(100)


# Load


def test_no_request_waits_behind_a_long_one(live: StartLive, gates: Gates) -> None:
    server = live(PROCESS_APP, "--workers", "2", "--threads", "1", environment=gates.environment)
    server.ready_workers(2)
    held = server.connect().send(gates.add("one"))
    busy = server.log.wait_for("one is held by ([0-9]+)")[1]
    clients = [server.connect() for _ in range(8)]
    for _ in range(10):
        for client in clients:
            client.send(request())
        for client in clients:
            assert client.response().text != busy
    gates.open("one")
    assert held.response().text == busy


def test_who_finds_every_thread_busy_waits_in_one_queue(live: StartLive, gates: Gates) -> None:
    server = live(PROCESS_APP, "--workers", "2", "--threads", "1", *HEALTH, environment=gates.environment)
    server.ready_workers(2)
    held = {name: server.connect().send(gates.add(name)) for name in ("one", "two")}
    first = server.log.wait_for("one is held by ([0-9]+)")[1]
    server.log.wait_for("two is held by ([0-9]+)")
    waiting = [server.connect().send(request()) for _ in range(5)]
    server.wait_for_requests(7)
    gates.open("one")
    # Whoever waits is served by the one thread that is free.
    assert {client.response().text for client in waiting} == {first}
    gates.open("two")
    assert [client.response().status for client in held.values()] == [200, 200]


def test_the_queue_is_bounded(live: StartLive, gates: Gates) -> None:
    server = live(
        *(PROCESS_APP, "--workers", "2", "--threads", "1", "--queue-length", "2", *HEALTH),
        environment=gates.environment,
    )
    server.ready_workers(2)
    held = [server.connect().send(gates.add(name)) for name in ("one", "two")]
    server.log.wait_for("one is held")
    server.log.wait_for("two is held")
    waiting = [server.connect().send(request()) for _ in range(2)]
    server.wait_for_requests(4)
    refused: Response = server.ask(request())
    assert (refused.status, refused.get("Retry-After")) == (503, "1")
    gates.open("one")
    gates.open("two")
    assert [client.response().status for client in (*held, *waiting)] == [200] * 4


# End


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_nothing_is_left(live: StartLive, tmp_path: Path, number: signal.Signals) -> None:
    shared_memory = Path("/dev/shm")
    before = set(shared_memory.iterdir())
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "s")
        server = live(
            *(PROCESS_APP, "--workers", "2", "--bind", f"unix:{path}", "--bind", "127.0.0.1:0"),
            *("--spool-directory", tmp_path),
            environment={"TMPDIR": str(tmp_path)},
        )
        server.ready_workers(2)
        with server.connect() as client:
            assert client.ask(request("POST", "/digest", body=pattern(3_000_000))).status == 200
            assert len(server.processes()) == 4
            server.send_signal(number)
            assert server.exit_code() == 0
        assert server.processes() == []
        assert not path.exists()
    assert list(tmp_path.iterdir()) == []
    assert set(shared_memory.iterdir()) <= before
    for word in ("Traceback", "WARNING", "ERROR"):
        assert word not in server.log.text


def test_a_killed_command_takes_everybody_with_it(live: StartLive, gates: Gates) -> None:
    server = live(PROCESS_APP, "--workers", "2", environment=gates.environment)
    server.ready_workers(2)
    server.connect().send(gates.add("one"))
    server.log.wait_for("one is held")
    server.connect().send(request(target="/spin"))
    server.log.wait_for("spins in")
    os.kill(server.pid, signal.SIGKILL)
    server.wait_until_gone()
    # The output ends with the last process that has it.
    assert server.exit_code() == -signal.SIGKILL


def test_starting_many_times_leaks_nothing_into_workers(live: StartLive) -> None:
    server = live(PROCESS_APP, "--workers", "1", "--max-requests", "1")
    workers = server.ready_workers(1)
    with server.connect() as client:
        for count in range(2, 12):
            # The former one is retired a moment after the next is ready, and may get another request.
            eventually(
                lambda count=count: (  # type: ignore[misc]
                    client.ask(request()).status == 200
                    and len(server.log.all(r"worker \d+ \(pid \d+\) is ready")) >= count
                ),
                "the next one is ready",
            )
            workers = server.ready_workers(count)
        eventually(lambda: len(children_of(server.pid)) == 2, "one worker and the front are left")
        told = client.ask(request(target="/told")).json()
    assert len(workers) >= 11
    # Standard streams, control socket, link: what the tenth worker has is what the first one had.
    assert len(told["descriptors"]) < 16, told["descriptors"]
    assert len(list(descriptors(server.pid))) < 20
