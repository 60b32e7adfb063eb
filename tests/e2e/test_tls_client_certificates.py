"""Certificates of clients that an authority has signed: over HTTP/1.1 and HTTP/2, with curl."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import StartLive
from support.authority import DAY, Authority
from support.certificates import Files, ask, connect, context_for, make_files
from support.kinds import IS_ONE_OF_MANY
from support.live import Live

APP = Path(__file__).parents[1] / "support" / "tls_app.py"
VERSIONS = ("--http1.1", "--http2")
TLS = ("1.2", "1.3")

pytestmark = [
    pytest.mark.skipif(IS_ONE_OF_MANY, reason="the front speaks it, whatever the worker kind"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl"),
]


@dataclass
class Scene:
    """A server, who may come in, and how curl is called."""

    server: Live
    files: Files
    root: Authority

    def curl(self, shown: Files | None, *options: str) -> subprocess.CompletedProcess[str]:
        command = ["curl", "--silent", "--show-error", "--cacert", str(self.files.certificate), *options]
        if shown is not None:
            command += ["--cert", str(shown.certificate), "--key", str(shown.key)]
        address = f"{self.server.addresses[0].replace('127.0.0.1', 'localhost')}/environ"
        return subprocess.run([*command, address], capture_output=True, text=True, timeout=60, check=False)

    def told(self, shown: Files | None, *options: str) -> dict[str, Any]:
        done = self.curl(shown, *options)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def scene_of(live: StartLive, directory: Path, reqs: str, *arguments: str) -> Scene:
    files, root = make_files(directory), Authority(directory, "root")
    asking = ("--ca-certs", str(root.file), "--cert-reqs", reqs, "--log-level", "debug")
    return Scene(live(APP, *files.arguments, *asking, *arguments), files, root)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_one_that_is_required(live: StartLive, tmp_path: Path, workers: str) -> None:
    scene = scene_of(live, tmp_path, "required", "--workers", workers)
    own = scene.root.sign("anna", "anna.example")
    between = Authority(tmp_path, "between", scene.root)
    chained = between.sign("ben")
    for version in VERSIONS:
        for tls in TLS:
            told = scene.told(own, version, "--tlsv1.2", "--tls-max", tls)
            assert told["SSL_CLIENT_VERIFY"] == "SUCCESS"
            assert (told["SSL_CLIENT_S_DN"], told["SSL_CLIENT_I_DN"]) == ("CN=anna", "CN=root")
            assert told["SSL_CLIENT_SAN_DNS_0"] == "anna.example"
            assert told["SSL_PROTOCOL"] == f"TLSv{tls}"
            assert "SSL_CLIENT_CERT_CHAIN_0" not in told
        told = scene.told(chained, version)
        assert (told["SSL_CLIENT_S_DN_CN"], told["SSL_CLIENT_I_DN_CN"]) == ("ben", "between")
        assert told["SSL_CLIENT_CERT_CHAIN_0"] == between.file.read_text()


@pytest.mark.parametrize("reqs", ["required", "optional"])
def test_ones_that_do_not_count(live: StartLive, tmp_path: Path, reqs: str) -> None:
    scene = scene_of(live, tmp_path, reqs)
    stranger = Authority(tmp_path, "stranger")
    refused = {
        "of another authority": stranger.sign("other"),
        "of one that has the right name": Authority(_folder(tmp_path), "root").sign("forged"),
        "expired": scene.root.sign("late", lifetime=-DAY),
        "not valid yet": scene.root.sign("early", is_early=True),
        "for servers": scene.root.sign("server-only", is_client=False),
    }
    for what, shown in refused.items():
        for version in VERSIONS:
            for tls in TLS:
                done = scene.curl(shown, version, "--tls-max", tls)
                assert done.returncode != 0, (what, version, tls, done.stdout)
    scene.server.log.wait_for("a TLS handshake with 127.0.0.1.* has failed: .*certificate")
    if reqs == "required":
        for version in VERSIONS:
            assert scene.curl(None, version).returncode != 0
    else:
        for version in VERSIONS:
            told = scene.told(None, version)
            assert (told["SSL_CLIENT_VERIFY"], "SSL_CLIENT_CERT" in told) == ("NONE", False)
    # Whoever was refused has spoilt nothing.
    assert scene.told(scene.root.sign("anna"))["SSL_CLIENT_S_DN_CN"] == "anna"


def test_a_resumed_session_knows_its_client(live: StartLive, tmp_path: Path) -> None:
    scene = scene_of(live, tmp_path, "required")
    context = context_for(scene.files, scene.root.sign("anna"))
    head = "GET /environ HTTP/1.1\r\nHost: localhost\r\n\r\n"
    session = None
    for is_resumed in (False, True):
        with connect(scene.server.addresses[0], context, session=session) as client:
            told = json.loads(ask(client, head).partition(b"\r\n\r\n")[2])
            assert (client.session_reused, told["SSL_CLIENT_S_DN_CN"]) == (is_resumed, "anna")
            session = client.session


def test_names_in_other_letters(live: StartLive, tmp_path: Path) -> None:
    scene = scene_of(live, tmp_path, "required")
    told = scene.told(scene.root.sign("Jörg, Öl+\nSSL_CLIENT_VERIFY=x", stem="joerg"))
    # As everything in an environ: the bytes of UTF-8, each a character.
    name = told["SSL_CLIENT_S_DN_CN"].encode("latin-1").decode()
    assert name == "Jörg, Öl+SSL_CLIENT_VERIFY=x"
    assert told["SSL_CLIENT_S_DN"].encode("latin-1").decode() == "CN=Jörg\\, Öl\\+\\0ASSL_CLIENT_VERIFY=x"


def _folder(directory: Path) -> Path:
    made = directory / "forged"
    made.mkdir()
    return made
