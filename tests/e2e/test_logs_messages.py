"""Messages of all processes as JSON in a file that is moved away; the file with the supervisor's number."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from conftest import StartLive
from support.live import PROCESS_APP
from support.waiting import eventually


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_json_in_a_file_that_is_moved_away(live: StartLive, tmp_path: Path) -> None:
    path, moved, pid_file = tmp_path / "log", tmp_path / "log.1", tmp_path / "pid"
    server = live(
        *(PROCESS_APP, "--workers", "1", "--error-log", path, "--log-format", "json", "--pid", pid_file),
        *("--bind", f"unix:{tmp_path}/socket"),
    )
    eventually(lambda: any("listens on" in one["body"] for one in records(path)), "the start line")
    assert all({"timestamp", "severity_text", "body", "process.pid"} <= one.keys() for one in records(path))
    pid = int(pid_file.read_text())
    assert {one["process.pid"] for one in records(path)} >= {pid}
    path.rename(moved)
    os.kill(pid, signal.SIGTERM)
    assert server.exit_code() == 0
    assert any("SIGTERM" in one["body"] for one in records(path))
    assert not any("SIGTERM" in one["body"] for one in records(moved))
    assert not pid_file.exists()
