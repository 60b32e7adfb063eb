"""The notation of addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelton.config.address import (
    Address,
    DescriptorAddress,
    TcpAddress,
    UnixAddress,
    parse_address,
    tcp_address,
)
from pelton.exceptions import ConfigError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8000", TcpAddress("127.0.0.1", 8000)),
        ("localhost:0", TcpAddress("localhost", 0)),
        (":8000", TcpAddress("0.0.0.0", 8000)),
        ("8000", TcpAddress("127.0.0.1", 8000)),
        ("[::1]:8000", TcpAddress("::1", 8000)),
        ("[::]:80", TcpAddress("::", 80)),
        ("unix:/run/x.sock", UnixAddress("/run/x.sock")),
        ("unix:///run/x.sock", UnixAddress("/run/x.sock")),
        ("unix:x.sock", UnixAddress("x.sock")),
        ("fd://3", DescriptorAddress(3)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("localhost", "Write localhost:8000"),
        ("127.0.0.1", "Write 127.0.0.1:8000"),
        ("localhost:", "no port"),
        ("localhost:http", '"http"'),
        ("localhost:65536", "too large"),
        ("localhost:-1", "not a port"),
        ("localhost:٣", "not a port"),
        ("::1", r"Write \[::1\]:8000"),
        ("fe80::1ff:fe23:4567:890a:8000", r"Write \[fe80"),
        ("[::1]", r"Write \[::1\]:8000"),
        ("[x]:80", "not an IPv6"),
        ("[::1:80", "no port after"),
        ("a:b:c", "more than one colon"),
        ("/run/x.sock", "unix:/run/x.sock"),
        ("http://localhost:8000/", r"Write localhost:8000\."),
        ("ftp://x", "not an address"),
        ("unix:", "no file name"),
        ("unix:/run/", "no file name"),
        ("fd://x", "no descriptor number"),
        ("a b:80", "not a host"),
    ],
)
def test_faults_say_what_to_write(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_address(text)


@given(st.text())
def test_every_text_is_an_address_or_an_error(text: str) -> None:
    try:
        address = parse_address(text)
    except ConfigError:
        return
    assert parse_address(str(address)) == address


def test_host_and_port_apart() -> None:
    assert tcp_address("::1", 80) == tcp_address("[::1]", 80) == TcpAddress("::1", 80)
    assert tcp_address("", 80).host == "0.0.0.0"
    for port in (-1, 65536, True):
        with pytest.raises(ConfigError, match="port="):
            tcp_address("localhost", port)
    with pytest.raises(ConfigError, match="bind="):
        tcp_address("unix:/x", 80)
