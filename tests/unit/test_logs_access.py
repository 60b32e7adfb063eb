"""The envelope in which the access log's descriptor and the form of its lines go to the front."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from pelton.exceptions import ConfigError, StartError
from pelton.logs.access import OFF, check_form, open_access_log


def test_the_usual_form_needs_no_envelope(tmp_path: Path) -> None:
    descriptor = open_access_log(str(tmp_path / "log"), "combined")
    os.write(descriptor, b"line\n")
    os.close(descriptor)
    assert (tmp_path / "log").read_text() == "line\n"
    assert open_access_log(None, "json") == OFF


def test_a_descriptor_needs_no_file_of_its_name() -> None:
    # The name of a socket's descriptor cannot be opened, with or without /proc.
    ours, theirs = socket.socketpair()
    with ours, theirs:
        descriptor = open_access_log(f"/dev/fd/{theirs.fileno()}")
        try:
            os.write(descriptor, b"a line")
            assert ours.recv(100) == b"a line"
        finally:
            os.close(descriptor)
    with pytest.raises(StartError, match="/dev/fd/999999999"):
        open_access_log("/dev/fd/999999999")


def test_an_envelope_can_be_looked_at_more_than_once(tmp_path: Path) -> None:
    descriptor = open_access_log(str(tmp_path / "log"), "%(h)s é")
    with socket.socket(fileno=descriptor) as envelope:
        for _ in range(2):
            text, beside, _, _ = envelope.recvmsg(9000, socket.CMSG_LEN(4), socket.MSG_PEEK)
            ((level, kind, data),) = beside
            assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
            inside = int.from_bytes(data, sys.byteorder)
            assert text.decode().split("\n") == [
                "pelton access log 1",
                "",
                "%(h)s é",
            ]
            os.write(inside, b"line\n")
            os.close(inside)
    assert (tmp_path / "log").read_text() == "line\n" * 2


@pytest.mark.parametrize(
    ("form", "what"),
    [
        ("", "says nothing"),
        ("jsn", "says nothing"),
        ("%(zz)s", "no atom"),
        ("%({X}x)s", "no atom"),
        ("%(h)x", "no s"),
        ("%(h", "without an atom"),
        ("100% %(h)s", "without an atom"),
        ("%(h)s\n", "cannot be printed"),
        ("%(h)s" * 9000, "too long"),
    ],
)
def test_forms_that_mean_nothing(form: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=what):
        open_access_log(str(tmp_path / "log"), form)
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(
    "form",
    [
        "combined",
        "json",
        '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"',
        "%({X-Thing}i)s %({Server}o)s %({wsgi.version}e)s 100%%",
        "%(queue_time)s %(application_time)s %(first_byte_time)s %(outcome)s %(worker)s %(request_id)s",
    ],
)
def test_forms(form: str) -> None:
    check_form(form)


def test_a_syslog_gets_a_socket_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "syslog"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(path))
        descriptor = open_access_log("syslog", "combined", syslog=f"unix:{path}")
        with socket.socket(fileno=descriptor) as envelope:
            text, descriptors, _, _ = socket.recv_fds(envelope, 9000, 1)
        (inside,) = descriptors
        assert text.decode().split("\n")[1:] == ["datagrams <30>pelton: ", "combined"]
        assert not os.get_blocking(inside)
        os.write(inside, b"line")
        os.close(inside)
        assert syslog.recv(100) == b"line"


def test_a_syslog_has_to_be_named_and_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no syslog"):
        open_access_log("syslog")
    with pytest.raises(StartError, match="Cannot reach the syslog"):
        open_access_log("syslog", syslog=f"unix:{tmp_path}/none")
