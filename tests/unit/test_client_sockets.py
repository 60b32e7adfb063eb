"""The sockets of clients on the worker's side, without a server: places, words in the log, other kinds of
sockets."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import socket
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from pelton.worker.client_sockets import ClientSockets, make_room
from pelton.worker.wsgi.client_socket import ClientSocket

KEY = "werkzeug.socket"


class Offer:
    """Gives the socket, unless ``refused``."""

    def __init__(self, *, refused: bool = False) -> None:
        self.refused = refused
        self.taken = 0

    def take(self) -> None:
        if self.refused:
            raise ConnectionError("too late")
        self.taken += 1


@pytest.fixture
def client() -> Iterator[socket.socket]:
    """The other end of what `offered` gives."""
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    # The front's descriptor does not wait.
    theirs.setblocking(False)
    with ours, theirs:
        _OTHER.append(theirs)
        yield ours
    _OTHER.clear()


_OTHER: list[socket.socket] = []


def offered(sockets: ClientSockets, offer: Offer | None = None) -> tuple[Any, dict[str, Any]]:
    environ: dict[str, Any] = {
        "pelton.client_gone": lambda: False,
        "PATH_INFO": "/ws\n",
        "wsgi.multithread": False,
    }
    own: Any = sockets.offer(environ, os.dup(_OTHER[0].fileno()), offer or Offer())  # type: ignore[arg-type]
    return own, environ


def is_blocking() -> bool:
    return os.get_blocking(_OTHER[0].fileno())


def test_the_connection_is_not_touched_before_it_is_taken(client: socket.socket) -> None:
    sockets, offer = ClientSockets(1, "worker 1"), Offer()
    own, environ = offered(sockets, offer)
    assert environ[KEY] is own
    own.setblocking(True)
    own.settimeout(None)
    assert not is_blocking()
    assert offer.taken == 0
    own.sendall(b"hello")
    assert (offer.taken, is_blocking(), client.recv(10)) == (1, True, b"hello")
    own.settimeout(0.0)
    assert not is_blocking()
    with pytest.raises(BlockingIOError):
        own.recv(1)
    client.close()
    sockets.end(own)


def test_who_is_refused_never_reaches_the_client(client: socket.socket) -> None:
    sockets = ClientSockets(1, "worker 1")
    own, _ = offered(sockets, Offer(refused=True))
    for _ in range(2):
        with pytest.raises(ConnectionError, match="too late"):
            own.sendall(b"hello")
    assert not own.is_taken
    sockets.end(own)
    assert own.descriptor() == -1
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(1)


def test_what_was_closed_is_not_taken(client: socket.socket) -> None:
    sockets, offer = ClientSockets(1, "worker 1"), Offer()
    own, _ = offered(sockets, offer)
    own.close()
    with pytest.raises(OSError, match="Bad file"):
        own.sendall(b"hello")
    assert offer.taken == 0
    sockets.end(own)


def test_two_threads_take_it_once(client: socket.socket) -> None:
    start = threading.Barrier(2)

    class Slow(Offer):
        def take(self) -> None:
            super().take()
            assert self.taken == 1

    offer = Slow()
    sockets = ClientSockets(1, "worker 1")
    own, _ = offered(sockets, offer)

    def write() -> None:
        start.wait(10)
        own.sendall(b"x")

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (offer.taken, client.recv(1), client.recv(1)) == (1, b"x", b"x")
    client.close()
    sockets.end(own)


def test_places_and_the_line_that_tells_of_them(
    client: socket.socket, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("pelton.worker.client_sockets.time.monotonic", lambda: now)
    sockets = ClientSockets(1, "worker 7")
    own, environ = offered(sockets)
    answered: list[str] = []

    def start_response(status: str, fields: Any, exc_info: Any = None, /) -> Any:
        answered.append(status)

    for _ in range(3):
        assert offered(sockets)[0] is None
        sockets.refuse(environ, start_response)
    now = 111.0
    sockets.refuse(environ, start_response)
    assert answered == ["503 Service Unavailable"] * 4
    told = [record.getMessage() for record in caplog.records]
    assert [line.split(": ")[1].split(" more")[0] for line in told] == ["1", "3"]
    assert told[0].startswith("worker 7 has 1 WebSockets")
    assert "/ws\\n" in told[0]
    assert sockets.places == 1
    sockets.end(own)
    assert sockets.places == 0
    own, _ = offered(sockets)
    sockets.end(own)


def test_a_descriptor_that_is_none_costs_no_place() -> None:
    sockets = ClientSockets(1, "worker 1")
    reader, writer = os.pipe()
    os.close(writer)
    with pytest.raises(OSError, match=r"[Nn]on-socket"):
        sockets.offer({"pelton.client_gone": lambda: False}, reader, Offer())  # type: ignore[arg-type]
    assert sockets.places == 0
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(reader)


def test_the_end_reaches_those_that_are_taken_later_too(client: socket.socket) -> None:
    sockets = ClientSockets(2, "worker 1")
    own, _ = offered(sockets)
    sockets.shut_down()
    assert own.recv(1) == b""
    assert offered(sockets)[0] is None
    sockets.end(own)


def test_the_end_does_not_wait_for_clients_that_keep_their_side_open(
    client: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pelton.worker.client_sockets._LINGER", 600.0)
    sockets = ClientSockets(1, "worker 1")
    own, _ = offered(sockets)
    own.sendall(b"x")
    thread = threading.Thread(target=sockets.end, args=(own,))
    thread.start()
    # It is being waited for.
    assert (client.recv(1), client.recv(1)) == (b"x", b"")
    own.close()
    assert sockets.places == 1
    sockets.shut_down()
    thread.join(10)
    assert not thread.is_alive()
    assert sockets.places == 0


def test_nobody_is_warned_of_one_that_was_not_closed(client: socket.socket) -> None:
    sockets = ClientSockets(1, "worker 1")
    own, environ = offered(sockets)
    own.sendall(b"x")
    client.close()
    sockets.end(own)
    descriptor = own.descriptor()
    environ.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del own
        gc.collect()
    with contextlib.suppress(OSError):
        assert not os.path.samestat(os.fstat(descriptor), os.fstat(_OTHER[0].fileno()))


class OtherSocket:
    """Like gevent's: no subclass of the system's, and some of its methods are found by __getattr__ only."""

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:  # noqa: A002
        self._sock: Any = SYSTEM_SOCKET(fileno=fileno)
        self.timeout: float | None = None

    def __getattr__(self, name: str) -> Any:
        if name == "_sock":
            raise AttributeError(name)
        return getattr(self._sock, name)

    def gettimeout(self) -> float | None:
        return self.timeout

    def settimeout(self, value: float | None) -> None:
        self.timeout = value

    def send(self, data: bytes) -> int:
        count: int = self._sock.send(data)
        return count

    def close(self) -> None:
        self._sock.close()
        self._sock = Closed()


class Closed:
    def __getattr__(self, name: str) -> Any:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


SYSTEM_SOCKET = socket.socket


def test_a_socket_class_that_was_put_in_place_of_the_systems(
    client: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "socket", OtherSocket)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        client.close()

    monkeypatch.setattr("pelton.worker.client_sockets.time.sleep", sleep)
    sockets, offer = ClientSockets(1, "worker 1"), Offer()
    own, environ = offered(sockets, offer)
    assert {OtherSocket, ClientSocket} <= set(type(own).__mro__)
    own.settimeout(2.5)
    assert (own.gettimeout(), offer.taken) == (2.5, 0)
    assert own.fileno() >= 0
    assert (own.gettimeout(), offer.taken, environ["wsgi.multithread"]) == (2.5, 1, True)
    assert own.send(b"hello") == 5
    assert client.recv(10) == b"hello"
    copy = own.dup()
    assert isinstance(copy, OtherSocket)
    copy.close()
    # Waits so that others get on, until the client has closed its side.
    sockets.end(own)
    assert len(slept) == 1
    own.close()
    assert own.descriptor() == -1
    assert environ["pelton.client_gone"]() is True


def test_a_client_that_vanishes_without_a_word_is_found_out(client: socket.socket) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as front,
    ):
        _OTHER[0:1] = [front]
        for is_set in (0, 1):
            sockets = ClientSockets(1, "worker 1")
            own, _ = offered(sockets)
            own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, is_set)
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 999)
            own.send(b"x")
            assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            # What the application has set itself stays.
            assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == (999 if is_set else 60)
            own.close()
            sockets.end(own)


def test_the_limit_of_open_files_is_raised_only_where_it_is_too_low(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    limits = (1024, 4096)
    monkeypatch.setattr("pelton.worker.client_sockets.resource.getrlimit", lambda kind: limits)
    monkeypatch.setattr(
        "pelton.worker.client_sockets.resource.setrlimit", lambda kind, wanted: calls.append(wanted)
    )
    for sockets in (0, 100, 512, 1000, 4000):
        make_room(sockets)
    assert calls == [(1512, 4096), (4096, 4096)]
