"""`pelton tune` with a real application, for a short time. What it says of times is not looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from pelton.cli.main import main

APPLICATION = str(Path(__file__).parents[1] / "support/tuned_app.py")
# Long enough for a request of each kind in each step, also where this process has a twentieth of a processor.
SHORT = ("--seconds", "3", "--concurrency", "1,2,4,8", "--threads", "4", "--workers", "1")


def tune(*arguments: str) -> Any:
    done = CliRunner().invoke(main, ["tune", APPLICATION, *SHORT, *arguments])
    assert done.exit_code == 0, done.output
    return done


def test_an_application_is_measured(tmp_path: Path) -> None:
    log = tmp_path / "log"
    paths = ["GET /computes/20000", "GET /computes/20001", "GET /waits", "POST /keeps"]
    log.write_text("".join(f'::1 - - [x] "{path} HTTP/1.1" 200 5\n' for path in paths))
    page = tmp_path / "report.html"
    found = json.loads(tune("--log", str(log), "--unsafe-methods", "--json", "-o", str(page)).stdout)
    routes = {one["route"]: one for one in found["routes"]}
    assert set(routes) == {"GET /computes/<int:number>", "GET /waits", "POST /keeps"}
    assert routes["GET /waits"]["waiting_seconds"] >= 0.01
    assert routes["GET /waits"]["where"].startswith(f"{APPLICATION}:")
    assert all(set(one["statuses"]) <= {"200"} for one in routes.values())
    [setting] = found["settings"]
    assert (setting["workers"], setting["threads"], setting["worker_kind"]) == (1, 4, "threads")
    assert [one["concurrency"] for one in setting["steps"]] == [1, 2, 4, 8]
    assert all(one["per_second"] > 0 and one["failed"] == 0 for one in setting["steps"])
    assert len(setting["held_out"]) == 2
    assert found["model"]["held_out_error"] is not None
    assert 0 < found["generator"]["part_of_computing"] < 1
    [kept] = [one for one in found["findings"] if one["kind"] == "memory-kept"]
    assert kept["name"] == "POST /keeps"
    assert page.read_text().startswith("<!doctype html>")


def test_what_cannot_be_measured_is_an_error(tmp_path: Path) -> None:
    def code(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["tune", *arguments, *SHORT])
        return done.exit_code, done.stderr

    broken = tmp_path / "broken.py"
    broken.write_text("import nothing_of_that_name\n")
    status, text = code(str(broken))
    assert (status, "nothing_of_that_name" in text) == (3, True), text
    # The traceback is the application's own, and the error one sentence.
    assert "subject.py" not in text, text
    assert "no such setting" not in text, text
    status, text = code(str(tmp_path / "nowhere.py"))
    assert status == 3, text
    assert "Traceback" not in text, text
    status, text = code(APPLICATION, "--request", "POST /keeps")
    assert (status, "--unsafe-methods" in text) == (2, True), text
    status, text = code(APPLICATION, "--har", str(tmp_path / "none"))
    assert (status, "cannot be read" in text) == (2, True), text
