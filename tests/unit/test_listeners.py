"""Listening sockets on the machine that runs the tests."""

import os
import socket
from pathlib import Path

import pytest

from pelton.config.address import Address, DescriptorAddress, TcpAddress, UnixAddress
from pelton.exceptions import StartError
from pelton.net.listeners import Listener, open_listeners


def open_one(address: TcpAddress | UnixAddress | DescriptorAddress) -> Listener:
    (listener,) = open_listeners([address])
    return listener


def test_port_0_tells_the_real_port() -> None:
    listener = open_one(TcpAddress("127.0.0.1", 0))
    assert isinstance(listener.address, TcpAddress)
    assert listener.address.port > 0
    assert str(listener) == f"http://127.0.0.1:{listener.address.port}"
    assert listener.server_port == str(listener.address.port)
    with socket.create_connection(("127.0.0.1", listener.address.port)):
        pass
    listener.close()


def test_address_in_use_says_so_and_leaves_nothing_open() -> None:
    first = open_one(TcpAddress("127.0.0.1", 0))
    assert isinstance(first.address, TcpAddress)
    # Taken and given back: the second of the pair fails, so the first must be closed again.
    free = open_one(TcpAddress("127.0.0.1", 0))
    assert isinstance(free.address, TcpAddress)
    free.close()
    with pytest.raises(StartError, match="already in use") as raised:
        open_listeners([free.address, first.address])
    assert "--bind" in str(raised.value)
    open_one(free.address).close()
    first.close()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        (TcpAddress("192.0.2.1", 8000), "no interface of this machine"),
        (TcpAddress("host.invalid", 8000), "not known"),
        (UnixAddress("/nonexistent/x.sock"), "directory /nonexistent does not exist"),
        (UnixAddress("/tmp/" + "x" * 200), "too long"),
        (DescriptorAddress(987), "no open socket"),
    ],
)
def test_what_cannot_be(address: TcpAddress | UnixAddress | DescriptorAddress, says: str) -> None:
    with pytest.raises(StartError, match=says):
        open_listeners([address])


def test_unix_socket_file_lives_as_long_as_the_listener(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    listener = open_one(UnixAddress(str(path)))
    assert str(listener) == f"unix:{path}"
    assert (listener.server_name, listener.server_port) == ("localhost", "80")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listener.close()
    listener.close()
    assert not path.exists()


def test_stale_unix_socket_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    listener = open_one(UnixAddress(str(path)))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listener.close()


def test_live_unix_socket_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    first = open_one(UnixAddress(str(path)))
    with pytest.raises(StartError, match="already in use"):
        open_listeners([UnixAddress(str(path))])
    assert path.exists()
    first.close()


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    path.write_text("precious")
    with pytest.raises(StartError, match="not a socket"):
        open_listeners([UnixAddress(str(path))])
    assert path.read_text() == "precious"


def test_file_of_a_successor_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    first = open_one(UnixAddress(str(path)))
    moved = tmp_path / "moved.sock"
    path.rename(moved)
    second = open_one(UnixAddress(str(path)))
    first.close()
    assert path.exists()
    second.close()
    assert not path.exists()


def test_inherited_descriptor_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as parent:
        listener = open_one(DescriptorAddress(parent.fileno()))
        assert listener.server_port == str(parent.getsockname()[1])
        listener.close()
        os.fstat(parent.fileno())


def test_descriptor_that_does_not_listen() -> None:
    with socket.socket() as idle, pytest.raises(StartError, match="does not listen"):
        open_listeners([DescriptorAddress(idle.fileno())])


def test_localhost_shares_one_port() -> None:
    free = open_one(TcpAddress("127.0.0.1", 0))
    assert isinstance(free.address, TcpAddress)
    port = free.address.port
    free.close()
    listeners = open_listeners([TcpAddress("localhost", port)])
    assert {one.server_port for one in listeners} == {str(port)}
    for one in listeners:
        one.close()


def test_a_successor_takes_over(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    asked: list[Address] = [TcpAddress("127.0.0.1", 0), UnixAddress(str(path))]
    old = open_listeners(asked)
    new = open_listeners(asked, [one.bequeath() for one in old])
    # The same port for "any", and the file is no fault.
    assert [str(one) for one in new] == [str(one) for one in old]
    assert os.path.samestat(os.fstat(new[0].socket.fileno()), os.fstat(old[0].socket.fileno()))
    assert new[1].server_name == "localhost"
    old[1].leave_file()
    for listener in old:
        listener.close()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    for listener in new:
        listener.close()
    assert not path.exists()


def test_a_successor_opens_what_is_new() -> None:
    old = open_listeners([TcpAddress("127.0.0.1", 0)])
    new = open_listeners([TcpAddress("localhost", 0)], [one.bequeath() for one in old])
    assert str(new[0]) != str(old[0])
    for listener in old + new:
        listener.close()
