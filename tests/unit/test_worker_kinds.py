"""The worker kinds by name: ours, other packages', and those whose library is missing."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import StartLive
from pelton.config.settings import settings_from
from pelton.config.worker_kinds import ALIASES, KINDS, Concurrency, kind_of
from pelton.exceptions import ConfigError
from support.client import request

# A package that was never installed by anybody: its directory is on the path, as pip would leave it.
_METADATA = "Metadata-Version: 2.1\nName: made-up-kinds\nVersion: 1.0\n"
_MODULE = """
from pelton.worker.runners.threads import ThreadsRunner
from pelton.config.worker_kinds import Concurrency, Kind

prepared = []
KIND = Kind(
    name="made_up",
    concurrency=Concurrency.ONE,
    runner="made_up_kinds:runner",
    preparation="made_up_kinds:prepare",
    wrapper="made_up_kinds:wrap",
)
NO_KIND = object()


def prepare(settings):
    prepared.append(settings.worker_kind)


def wrap(application, settings):
    def around(environ, start_response):
        return [b"around ", *application(environ, start_response)]

    return around


def runner(worker, settings):
    return ThreadsRunner(worker, 1, kind="made_up")
"""
_APP = """
import made_up_kinds


def app(environ, start_response):
    start_response("200 OK", [])
    return [",".join(made_up_kinds.prepared).encode()]
"""
# Behind -c, with the names that cannot be imported as arguments after the command's own.
_BLOCKED = """
import importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "{library}":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        return None

sys.meta_path.insert(0, Blocked())
from pelton.cli.main import main
main({arguments!r})
"""


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    information = tmp_path / "made_up_kinds-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(_METADATA)
    (information / "entry_points.txt").write_text(
        "[pelton.worker_kinds]\nmade_up = made_up_kinds:KIND\nwrong = made_up_kinds:NO_KIND\n"
        "broken = made_up_kinds:NOT_THERE\n"
    )
    (tmp_path / "made_up_kinds.py").write_text(_MODULE)
    (tmp_path / "shop.py").write_text(_APP)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_names_and_aliases() -> None:
    for name, kind in KINDS.items():
        assert kind_of(settings_from({"worker_kind": name})) is kind
        assert kind.name == name
    for alias, name in ALIASES.items():
        assert kind_of(settings_from({"worker_kind": alias})) is KINDS[name]


def test_how_many_at_once() -> None:
    settings = settings_from({"threads": 3, "worker_connections": 50})
    found = {name: kind.description(settings) for name, kind in KINDS.items()}
    assert found["sync"] == "sync, 1 thread"
    assert found["threads"] == "threads, 3 threads"
    assert found["gevent"] == "gevent, 50 connections"
    assert found["asyncio"] == "asyncio, 3 threads"


def test_an_unknown_name() -> None:
    with pytest.raises(ConfigError) as raised:
        kind_of(settings_from({"worker_kind": "gevnet"}))
    assert str(raised.value).split("\n  ") == [
        'worker_kind: there is no worker kind "gevnet".',
        "Did you mean gevent?",
    ]
    with pytest.raises(ConfigError, match=r"There are: threads, sync, .*tornado"):
        kind_of(settings_from({"worker_kind": "xyzzy"}))


@pytest.mark.usefixtures("made_up")
def test_a_kind_of_another_package() -> None:
    kind = kind_of(settings_from({"worker_kind": "made_up"}))
    assert (kind.name, kind.concurrency) == ("made_up", Concurrency.ONE)
    with pytest.raises(ConfigError, match="made_up_kinds:NO_KIND, which is no worker kind"):
        kind_of(settings_from({"worker_kind": "wrong"}))
    with pytest.raises(ConfigError, match=r"broken.* cannot be loaded: .*NOT_THERE"):
        kind_of(settings_from({"worker_kind": "broken"}))
    with pytest.raises(ConfigError, match=r"There are: .*made_up"):
        kind_of(settings_from({"worker_kind": "xyzzy"}))


@pytest.mark.parametrize("name", ["tornado", "gevent", "eventlet"])
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_missing_library(name: str, workers: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("raise AssertionError('this is not imported')\n")
    arguments = ["shop", "-k", name, "--workers", workers, "--bind", "127.0.0.1:0"]
    done = subprocess.run(
        [sys.executable, "-c", _BLOCKED.format(library=name, arguments=arguments)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.stderr.splitlines()[-2:] == [
        f'Error: worker_kind: "{name}" needs the package {name}, which is not installed here.',
        f"  Type: pip install 'pelton[{name}]'",
    ]
    assert done.returncode == 2


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize("workers", ["0", "1"])
def test_it_serves(live: StartLive, made_up: Path, workers: str) -> None:
    server = live(
        "shop", "-k", "made_up", "--workers", workers, directory=made_up, environment={"PYTHONPATH": "."}
    )
    server.log.wait_for("worker kind: made_up, 1 thread")
    # Prepared before the application was imported, once in its process.
    assert server.ask(request()).text == "around made_up"


def test_a_library_that_is_not_there() -> None:
    kind = replace(KINDS["tornado"], library="no_such_library_anywhere")
    with pytest.raises(ConfigError, match="needs the package no_such_library_anywhere"):
        kind.require()
