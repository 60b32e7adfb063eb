"""Clients that others have written, over HTTP/2 and TLS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import StartLive
from support.certificates import make_files
from support.kinds import IS_ONE_OF_MANY

SUPPORT = Path(__file__).parents[1] / "support"
NODE = shutil.which("node")
GO = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")

pytestmark = pytest.mark.skipif(IS_ONE_OF_MANY, reason="the front speaks it, whatever the worker kind")


@pytest.mark.skipif(NODE is None, reason="there is no Node; .ci/run installs it")
def test_node(live: StartLive, tmp_path: Path) -> None:
    files = make_files(tmp_path)
    server = live(SUPPORT / "tls_app.py", "--bind", "https://127.0.0.1:0", *files.arguments)
    assert NODE is not None
    command = [NODE, os.fspath(SUPPORT / "client.mjs"), server.addresses[0], os.fspath(files.certificate)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["protocol"], found["ping"]) == ("h2", True)
    fine = {"status": 200, "interim": [], "code": 0}
    assert found["hello"] == found["after"] == {**fine, "bytes": 5, "text": "hello"}
    assert found["head"] == {**fine, "bytes": 0, "text": ""}
    assert {one["bytes"] for one in found["large"]} == {256 * 16384}
    assert {one["status"] for one in found["large"]} == {200}
    assert found["upload"] == {**fine, "bytes": 7, "text": "5000001"}
    assert found["waits"] == {**fine, "bytes": 1, "text": "4", "interim": [100]}
    assert found["stream"]["bytes"] == 8 + 100_000


@pytest.mark.skipif(GO is None, reason="there is no Go")
@pytest.mark.timeout(300)
def test_go(live: StartLive, tmp_path: Path) -> None:
    """Opens windows for each piece that it reads, fifty downloads at once: no flood."""
    files = make_files(tmp_path)
    server = live(SUPPORT / "tls_app.py", "--bind", "https://127.0.0.1:0", *files.arguments)
    assert GO is not None
    command = [GO, "run", os.fspath(SUPPORT / "client.go"), server.addresses[0], os.fspath(files.certificate)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    fine = {"protocol": "HTTP/2.0", "status": 200}
    assert found["hello"] == found["after"] == {**fine, "bytes": 5, "text": "hello"}
    assert found["head"] == {**fine, "bytes": 0, "text": ""}
    assert found["upload"] == {**fine, "bytes": 7, "text": "5000001"}
    assert found["stream"]["bytes"] == 8 + 100_000
    assert found["large"] == 50 * 256 * 16384
