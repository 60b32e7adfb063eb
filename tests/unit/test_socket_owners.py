"""Who is at the other end of a connection: the kernel's tables as texts, and this process's own sockets."""

import os
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator

import pytest

from pelton.system import descendants_of, owners, sockets_in
from support.serving import has_ipv6

# The columns behind the inode, which differ from kernel to kernel, are left out.
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1 0
   1: 0100007F:9C40 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 101 1 0
   2: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 102 1 0
   3: 0100007F:9C41 0100007F:1F90 06 00000000:00000000 03:00001770 00000000     0        0 0 3 0
   4: torn
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx tr r uid t inode
   0: 00000000000000000000000001000000:9C42 00000000000000000000000001000000:1F90 01 0:0 00:0 0 0 0 201 1
   1: 0000000000000000FFFF00000100007F:9C43 0000000000000000FFFF00000100007F:1F90 01 0:0 00:0 0 0 0 202 1
"""
HERE = ("127.0.0.1", 8080)


@pytest.mark.skipif(sys.byteorder != "little", reason="the tables above are of such a machine")
def test_tables_as_the_kernel_writes_them() -> None:
    assert sockets_in(TCP.splitlines(), {7: (("127.0.0.1", 40_000), HERE)}) == {"101": 7}
    # In TIME_WAIT it is nobody's; the next one is not there.
    assert (
        sockets_in(TCP.splitlines(), {7: (("127.0.0.1", 40_001), HERE), 8: (("127.0.0.1", 40_009), HERE)})
        == {}
    )
    assert sockets_in(TCP.splitlines(), {7: (HERE, ("127.0.0.1", 40_000))}) == {"102": 7}
    assert sockets_in(TCP6.splitlines(), {1: (("::1", 40_002), ("::1", 8080))}) == {"201": 1}
    # A client that speaks IPv4 by an IPv6 socket.
    assert sockets_in(TCP6.splitlines(), {2: (("127.0.0.1", 40_003), HERE)}) == {"202": 2}
    assert sockets_in([], {2: (HERE, HERE)}) == {}


def test_descendants() -> None:
    parents = {10: 1, 11: 10, 12: 11, 20: 1, 21: 20, 30: 1, 31: 30, 1: 0}
    assert descendants_of([10, 20], parents) == {11: 10, 12: 10, 21: 20}
    assert descendants_of([11], parents) == {12: 11}
    assert descendants_of([], parents) == {}
    # Read while numbers were used again.
    assert descendants_of([10], {2: 3, 3: 2, 4: 2}) == {}


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection of this process, the client's first."""
    if request.param == "::1" and not has_ipv6():
        pytest.skip("this host has no IPv6")
    family = socket.AF_INET6 if request.param == "::1" else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as listener:
        client = socket.create_connection(listener.getsockname()[:2])
        served, _ = listener.accept()
    with client, served:
        yield client, served


def test_a_connection_of_this_process(pair: tuple[socket.socket, socket.socket]) -> None:
    client, served = pair
    ends = (served.getpeername()[:2], served.getsockname()[:2])
    me = os.getpid()
    assert owners([(5, None, ends)], [me], with_children=False) == {5: me}
    # Of another process, which has nothing to do with it; that there is none is no fault.
    assert owners([(5, None, ends)], [1 << 30], with_children=True) == {}
    client.close()
    assert owners([(5, None, ends)], [me], with_children=True) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_who_was_root_is_hidden() -> None:
    # A process that drops its privileges, has a child, and looks at it.
    program = """
import os, sys
from pelton.system import are_hidden
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    os.close(writer)
    os.read(reader, 1)
    os._exit(0)
print(are_hidden([os.getpid()]), are_hidden([child]))
os.close(writer)
os.waitpid(child, 0)
print(are_hidden([child]))
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert found.stdout.split() == ["False", "True", "False"]


def test_a_connection_of_a_child(pair: tuple[socket.socket, socket.socket]) -> None:
    client, served = pair
    ends = (served.getpeername()[:2], served.getsockname()[:2])
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[client.fileno()]
    ) as child:
        client.close()
        me = os.getpid()
        assert owners([(5, None, ends)], [me], with_children=False) == {}
        assert owners([(5, None, ends)], [me], with_children=True) == {5: me}
        assert owners([(6, child.pid, None)], [me], with_children=True) == {6: me}
        assert owners([(6, child.pid, None)], [me], with_children=False) == {}
        assert owners([(6, child.pid, None)], [child.pid], with_children=False) == {6: child.pid}
        child.communicate(b"\n")


def test_a_table_is_read_piece_by_piece() -> None:
    # Where memory is limited there may be none for a table of many sockets.
    tracemalloc.start()
    try:
        owners([(1, None, (HERE, ("127.0.0.1", 9)))], [os.getpid()], with_children=False)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
