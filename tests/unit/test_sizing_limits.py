"""What the machine allows, from files as the kernel writes them."""

from __future__ import annotations

import os
import resource
from dataclasses import replace
from pathlib import Path

import pytest

from pelton.config.bounds import AUTOMATIC, Bounds, parse_bounds
from pelton.config.settings import settings_from
from pelton.exceptions import ConfigError
from pelton.sizing import limits
from pelton.sizing.limits import bounded, thread_bounds

GROUP = "sys/fs/cgroup/app"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 64 GiB, no limits, and one cgroup."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    (tmp_path / GROUP).mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/app\n")
    (tmp_path / "proc/meminfo").write_text(f"MemTotal: {64 << 20} kB\n")
    return tmp_path


def limited(monkeypatch: pytest.MonkeyPatch, which: int, value: int) -> None:
    """One of the process' limits."""
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda one: (value, value) if one == which else unlimited)


def test_without_limits_it_is_peltons_own(root: Path) -> None:
    assert thread_bounds(settings_from({}), root) == (2, 512, "pelton's own limit")


def test_memory_of_the_cgroup(root: Path) -> None:
    (root / GROUP / "memory.max").write_text(f"{512 << 20}\n")
    assert thread_bounds(settings_from({}), root) == (2, 384, "memory (512MiB)")
    shared = thread_bounds(settings_from({"workers": 2}), root)
    assert shared == (2, 128, "memory (512MiB)")


def test_the_pids_limit_leaves_some_to_others(root: Path) -> None:
    (root / GROUP / "pids.max").write_text("100\n")
    (root / GROUP / "pids.current").write_text("20\n")
    assert thread_bounds(settings_from({}), root) == (2, 60, "the cgroup's pids limit (100)")


def test_processes_of_the_user(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, resource.RLIMIT_NPROC, 50)
    mine = (root / "proc").stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: mine or 1000)
    monkeypatch.setattr(limits, "tasks_of_user", lambda *_: 10)
    assert thread_bounds(settings_from({}), root) == (2, 30, "RLIMIT_NPROC (50)")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert thread_bounds(settings_from({}), root).most == 512, "root is not held to it"


def test_descriptors(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, resource.RLIMIT_NOFILE, 1024)
    assert thread_bounds(settings_from({}), root) == (2, 164, "descriptors (RLIMIT_NOFILE, 1024)")


def test_address_space(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, resource.RLIMIT_AS, 1 << 30)
    found = thread_bounds(settings_from({}), root)
    assert 60 < found.most < 120
    assert found.why == "address space (RLIMIT_AS, 1GiB)"
    # In half as much there are still some more than there must be.
    limited(monkeypatch, resource.RLIMIT_AS, 512 << 20)
    assert 20 < thread_bounds(settings_from({}), root).most < 40


def test_connections_of_greenlets_fit_into_the_address_space(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    greenlets = settings_from({"worker_kind": "gevent"})
    assert bounded(greenlets).worker_connections == 1000
    limited(monkeypatch, resource.RLIMIT_AS, 512 << 20)
    assert 200 < bounded(greenlets).worker_connections < 300
    assert "instead of 1000" in caplog.text
    assert bounded(replace(greenlets, worker_connections=50)).worker_connections == 50
    # The front sees those of all workers.
    assert bounded(replace(greenlets, workers=2)).worker_connections < 100


def test_connections(root: Path) -> None:
    found = thread_bounds(settings_from({"max_connections": 40}), root)
    assert found == (2, 40, "max_connections (40)")


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("8", (8, 8)),
        ("4:64", (4, 64)),
        (":64", (2, 64)),
        (":1", (1, 1)),
        ("4:", (4, 512)),
        ("auto", (2, 512)),
    ],
)
def test_what_was_said_counts(root: Path, text: str, bounds: tuple[int, int]) -> None:
    assert thread_bounds(settings_from({"threads": text}), root)[:2] == bounds


def test_a_least_that_the_machine_does_not_suggest(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, resource.RLIMIT_NOFILE, 200)
    found = thread_bounds(settings_from({"threads": "100:"}), root)
    assert (found.least, found.most) == (100, 100)
    assert "descriptors" in found.why


@pytest.mark.parametrize("text", ["5000", ":5000", "5000:"])
def test_more_than_a_worker_can_have_is_refused_by_name(root: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="4096 is the most that one worker can run at once"):
        thread_bounds(settings_from({"threads": text}), root)


@pytest.mark.parametrize("text", ["", ":", "4:2", "a:b", "-1", "1.5", "4:64:8"])
def test_what_is_no_bound(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_bounds(text)


@pytest.mark.parametrize("text", ["auto", "4:64", "4:", ":64"])
def test_bounds_read_back(text: str) -> None:
    assert str(parse_bounds(text)) == text


def test_zero_is_too_few() -> None:
    for text in ("0", "0:4", ":0"):
        with pytest.raises(ConfigError, match="too small"):
            settings_from({"threads": text})


def test_bounded_settings_have_numbers() -> None:
    assert settings_from({}).threads == AUTOMATIC
    settled = bounded(settings_from({"threads": "3:20"}))
    assert settled.threads == Bounds(3, 20)
    assert settled.threads_bound
    assert bounded(settled) == settled
    assert bounded(settings_from({"threads": 7})).threads == 7
