"""h2spec, which judges servers by the sentences of HTTP/2's standard: all of its tests have to pass."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import StartLive
from support.certificates import make_files
from support.kinds import IS_ONE_OF_MANY

APP = Path(__file__).parents[1] / "support" / "tls_app.py"
# Go's tools put what they install there.
H2SPEC = shutil.which("h2spec") or shutil.which("h2spec", path=os.fspath(Path.home() / "go" / "bin"))

pytestmark = [
    pytest.mark.skipif(IS_ONE_OF_MANY, reason="the front speaks it, whatever the worker kind"),
    pytest.mark.skipif(H2SPEC is None, reason="there is no h2spec; .ci/run installs it where there is Go"),
]


@pytest.mark.parametrize("options", [(), ("-t", "-k")], ids=["h2c", "tls"])
def test_all_pass(live: StartLive, options: tuple[str, ...], tmp_path: Path) -> None:
    files = make_files(tmp_path)
    bind = "https://127.0.0.1:0" if options else "h2c://127.0.0.1:0"
    server = live(APP, "--bind", bind, *(files.arguments if options else ()))
    port = server.addresses[0].rpartition(":")[2]
    assert H2SPEC is not None
    command = [H2SPEC, "--strict", "-h", "127.0.0.1", "-p", port, "-o", "10", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert found[1] == found[2], done.stdout
    assert int(found[1]) > 140, done.stdout
