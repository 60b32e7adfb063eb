"""The envelope in which the access log's descriptor and the form of its lines go to the front."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from penstock.config.errors import ConfigError
from penstock.logs.access import OFF, check_form, open_access_log


def test_the_usual_form_needs_no_envelope(tmp_path: Path) -> None:
    descriptor = open_access_log(str(tmp_path / "log"), "combined")
    os.write(descriptor, b"line\n")
    os.close(descriptor)
    assert (tmp_path / "log").read_text() == "line\n"
    assert open_access_log(None, "json") == OFF


@pytest.mark.parametrize("trust", [False, True])
def test_an_envelope_can_be_looked_at_more_than_once(tmp_path: Path, trust: bool) -> None:
    descriptor = open_access_log(str(tmp_path / "log"), "%(h)s é", trust_request_id=trust)
    with socket.socket(fileno=descriptor) as envelope:
        for _ in range(2):
            text, beside, _, _ = envelope.recvmsg(9000, socket.CMSG_LEN(4), socket.MSG_PEEK)
            ((level, kind, data),) = beside
            assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
            inside = int.from_bytes(data, sys.byteorder)
            assert text.decode().split("\n") == [
                "penstock access log 1",
                "trust-request-id" if trust else "",
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
