"""Applications that hold more descriptors than ``select`` can name (1,024): every kind serves, and ends."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from conftest import StartLive
from pelton.config.worker_kinds import KINDS
from support.client import request
from support.kinds import exists

# More than FD_SETSIZE of them are open before pelton makes any of its own.
_HOARD = """
import os, resource
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 4096, hard))
hoard = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(max(hoard)).encode()]
"""


@pytest.fixture
def hoarder(tmp_path: Path) -> Path:
    made = tmp_path / "hoarder.py"
    made.write_text(_HOARD)
    return made


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize("kind", [name for name in KINDS if exists(name)])
def test_more_open_files_than_select_knows(live: StartLive, hoarder: Path, kind: str, workers: str) -> None:
    server = live(hoarder, "-k", kind, "--workers", workers)
    if workers != "0":
        server.ready_workers(1)
    assert int(server.ask(request()).text) > 1024
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    assert not server.log.all("Traceback")
