"""`pelton doctor`: each look, where there is something to be found and where there is not."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pelton.cli import doctor, doctor_server
from pelton.cli.doctor_server import COUNTED
from pelton.cli.findings import Finding, Verdict
from pelton.cli.main import main
from pelton.config.settings import TABLE, Settings

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent


def whats(findings: Any, verdict: Verdict = Verdict.DOUBTFUL) -> list[str]:
    return [one.what for one in findings if one.verdict is verdict]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1min 30s\n", 90.0),
        ("500ms", 0.5),
        ("1h 2min", 3720.0),
        ("infinity", None),
        ("", None),
        ("3 apples", None),
    ],
)
def test_times_of_systemd(text: str, seconds: float | None) -> None:
    assert doctor_server.seconds_of_span(text) == seconds


@pytest.mark.parametrize(("span", "kills"), [("20s", True), ("1min 30s", False), ("infinity", None)])
def test_systemd_gives_as_long_as_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, span: str, kills: bool | None
) -> None:
    program = tmp_path / "systemctl"
    program.write_text(f'#!/bin/sh\n[ "$4" = shop.service ] && echo "TimeoutStopUSec={span}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(doctor_server, "unit_of", lambda pid: "shop.service")
    found = list(doctor_server._stop_time(1, replace(Settings(), graceful_timeout=30.0, drain_delay=5.0)))
    assert [one.verdict is Verdict.DOUBTFUL for one in found] == ([] if kills is None else [kills])
    if kills:
        assert "TimeoutStopSec=40" in found[0].lines[0]


@pytest.mark.parametrize(
    ("kind", "installed", "found"),
    [
        ("gevent", {"psycopg2-binary"}, ["psycopg2-binary"]),
        ("gevent", {"psycopg2", "psycogreen"}, []),
        ("eventlet", {"mysqlclient", "psycogreen"}, ["mysqlclient"]),
        ("threads", {"psycopg2-binary", "mysqlclient"}, []),
        ("gevent", set(), []),
    ],
)
def test_drivers_that_block_a_hub(
    monkeypatch: pytest.MonkeyPatch, kind: str, installed: set[str], found: list[str]
) -> None:
    monkeypatch.setattr(doctor, "_is_installed", lambda package: package in installed)
    settings = replace(Settings(), worker_kind=kind)
    assert [what.partition(" ")[0] for what in whats(doctor._drivers(settings))] == found


@pytest.mark.parametrize(
    ("seconds", "named"), [(5.0, 3), (75.0, 1), (620.0, 0)], ids=["short", "default", "long"]
)
def test_connections_are_kept_longer_than_balancers_keep_them(seconds: float, named: int) -> None:
    settings = replace(Settings(), keep_alive_seconds=seconds, request_timeout=30.0)
    found = list(doctor._time_outs(settings))
    assert sum(one.what.count(" s)") for one in found) == named
    # What it advises is enough.
    for one in found:
        advised = float(one.lines[0].rpartition("--keep-alive ")[2].rstrip("."))
        assert list(doctor._time_outs(replace(settings, keep_alive_seconds=advised))) == []


def test_the_documented_shape_and_an_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(TESTS)
    done = CliRunner().invoke(
        main, ["doctor", "--json", "support.seen_app:app"], env={"XDG_RUNTIME_DIR": str(tmp_path)}
    )
    assert done.exit_code == 0, done.output
    findings = json.loads(done.stdout)["findings"]
    for one in findings:
        assert set(one) == {"verdict", "what", "todo", "kind", "name", "where", "request", "reason"}
    about = {one["kind"]: one for one in findings}
    assert set(about) >= {"versions", "machine", "sizes", "kernel", "settings", "application", "server"}
    assert "can be imported" in about["application"]["what"]
    names = {one["name"] for one in findings if one["kind"] == "time-outs"}
    assert names == {"keep_alive_seconds", "request_timeout"}
    assert about["application"]["name"] == "import"
    wrong = CliRunner().invoke(main, ["doctor", "no.such.module"], env={"XDG_RUNTIME_DIR": str(tmp_path)})
    assert wrong.exit_code == 1
    assert 'There is no module "no"' in wrong.stdout


def named_in_code() -> set[str]:
    """The names of all findings, where they are written; those that are settings are no news."""
    found: set[str] = set()
    for file in (ROOT / "src" / "pelton" / "cli").glob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in (
                *("good", "doubtful", "fault"),
                "(fault if expired else doubtful)",
                "fault if expired else doubtful",
            ):
                name = call.args[0] if len(call.args) > 1 else None
                if isinstance(name, ast.Constant):
                    found.add(str(name.value))
    return found - {row.name for row in TABLE}


def test_every_name_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "seeing.md").read_text()
    table = text.split("**Names of findings**", 1)[1].split("\n\n", 2)[1]
    documented = set(re.findall("`([a-z_]+)`", "\n".join(line.split("|")[2] for line in table.splitlines())))
    settings = {row.name for row in TABLE}
    assert documented - settings - set(COUNTED) == named_in_code() - {"application", "remark"}
    assert set(COUNTED) <= documented


def test_faults_come_last_and_decide() -> None:
    bad, good = Finding(Verdict.FAULT, "one", "bad"), Finding(Verdict.GOOD, "two", "good")
    assert doctor.is_wrong([good, bad])
    assert not doctor.is_wrong([good, Finding(Verdict.DOUBTFUL, "three", "so so")])
