"""OCSP responses from a file: sent along as openssl sees it, renewed, and left out where they do harm."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from conftest import StartLive
from support.authority import DAY, Authority
from support.certificates import Files
from support.kinds import IS_ONE_OF_MANY
from support.live import Live

APP = Path(__file__).parents[1] / "support" / "tls_app.py"
NONE = "OCSP response: no response sent"

pytestmark = [
    pytest.mark.skipif(IS_ONE_OF_MANY, reason="the front speaks it, whatever the worker kind"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl"),
]


@pytest.fixture
def root(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "root")


@pytest.fixture
def files(root: Authority) -> Files:
    return root.sign("localhost", "localhost", is_client=False)


def start(live: StartLive, files: Files, response: Path) -> Live:
    server: Live = live(APP, *files.arguments, "--ocsp-file", str(response))
    return server


def stapled(server: Live, root: Authority, *options: str) -> str:
    """What openssl prints of it, having verified it."""
    port = server.addresses[0].rpartition(":")[2]
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", "-status"]
    command += ["-CAfile", str(root.file), "-verify_return_error", *options]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=60, check=False)
    assert "Verify return code: 0 (ok)" in done.stdout, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_it_is_sent_along(
    live: StartLive, root: Authority, files: Files, tmp_path: Path, version: str
) -> None:
    response = tmp_path / "response.der"
    response.write_bytes(root.ocsp_response(files))
    server = start(live, files, response)
    text = stapled(server, root, version)
    assert "OCSP Response Status: successful" in text
    assert "Cert Status: good" in text
    assert server.log.all("OCSP") == []


def test_one_that_has_been_renewed(live: StartLive, root: Authority, files: Files, tmp_path: Path) -> None:
    response = tmp_path / "response.der"
    response.write_bytes(root.ocsp_response(files, lifetime=-DAY))
    server = start(live, files, response)
    # Clients would refuse the connection for it.
    server.log.wait_for("response.der: the OCSP response was valid until .*; it is not sent along any more")
    assert NONE in stapled(server, root)
    response.write_bytes(root.ocsp_response(files))
    server.send_signal(signal.SIGHUP)
    server.log.wait_for("new certificates are in force")
    assert "Cert Status: good" in stapled(server, root)
    # What is none leaves everything as it is.
    response.write_text("none")
    server.send_signal(signal.SIGHUP)
    server.log.wait_for("the old certificates stay in force: .*the OCSP response cannot be read")
    assert "Cert Status: good" in stapled(server, root)


def test_one_that_says_revoked(live: StartLive, root: Authority, files: Files, tmp_path: Path) -> None:
    response = tmp_path / "response.der"
    response.write_bytes(root.ocsp_response(files, is_revoked=True))
    server = start(live, files, response)
    server.log.wait_for("does not say that the certificate is in order")
    assert NONE in stapled(server, root)


def test_one_of_another_certificate(live: StartLive, root: Authority, files: Files, tmp_path: Path) -> None:
    response = tmp_path / "response.der"
    response.write_bytes(root.ocsp_response(root.sign("other", is_client=False)))
    server = start(live, files, response)
    assert server.process.wait(30) != 0
    assert "the OCSP response is about another certificate" in server.log.text
