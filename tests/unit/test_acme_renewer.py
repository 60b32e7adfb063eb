"""When an ACME directory is asked: first certificate, advice, failures, a shared folder, a moved clock."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from pelton import _engine
from pelton.tls.acme.renewer import Renewer
from pelton.tls.acme.state import State

DAY = 86400.0
NAMES = ["a.example", "b.example"]


class Directory:
    """Gives certificates that live for ten days, or fails."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.fails: Exception | None = None
        self.obtained = 0
        self.asked = 0
        self.advice: float | None = None
        self.ask_again = 0.0

    def obtain(self, names: list[str], publish: Any) -> None:
        if self.fails is not None:
            raise self.fails
        self.obtained += 1
        self.state.keep_pair(*_engine.make_certificate(names, int(10 * DAY)))
        self.state.keep_order(None)
        self.state.keep_renewal(None)

    def renewal_time(self, certificate: bytes) -> tuple[float | None, float]:
        self.asked += 1
        if self.fails is not None:
            raise self.fails
        return self.advice, self.ask_again


class Clock:
    def __init__(self) -> None:
        self.now = 0.0


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path / "acme", NAMES, "https://directory.example")
    made.make()
    return made


class Scene:
    def __init__(self, state: State) -> None:
        self.directory = Directory(state)
        self.clock = Clock()
        self.changes = 0
        self.renewer = Renewer(
            state,
            NAMES,
            lambda: self.directory,
            str,
            publish=lambda answers: None,
            changed=self.count,
            now=lambda: self.clock.now,
            retry=(1.0, 10.0, 100.0),
        )

    def count(self) -> None:
        self.changes += 1


def issued(state: State) -> Any:
    pair = state.read_pair()
    assert pair is not None
    return _engine.read_certificates(pair)[0]


def test_the_first_one_at_once_and_the_next_in_its_last_third(state: State) -> None:
    scene = Scene(state)
    scene.renewer.step()
    assert (scene.directory.obtained, scene.changes) == (1, 1)
    first = issued(state)
    third = (first.not_after - first.not_before) / 3
    scene.clock.now = first.not_after - third - 60
    scene.renewer.step()
    assert scene.directory.obtained == 1
    scene.clock.now = first.not_after - third + 60
    scene.renewer.step()
    assert (scene.directory.obtained, scene.changes) == (2, 2)
    assert issued(state).serial != first.serial


def test_the_directorys_advice_counts_and_is_kept(state: State) -> None:
    scene = Scene(state)
    scene.renewer.step()
    start = float(issued(state).not_before)
    scene.directory.advice, scene.directory.ask_again = start + 2 * DAY, start + DAY
    scene.clock.now = start + 100
    for _ in range(3):
        scene.renewer.step()
    assert (scene.directory.asked, scene.directory.obtained) == (1, 1)
    # Told earlier on the next day: it was revoked, say.
    scene.clock.now = start + DAY + 1
    scene.directory.advice = start
    scene.renewer.step()
    assert (scene.directory.asked, scene.directory.obtained) == (2, 2)


def test_failures_are_tried_again_more_and_more_rarely(
    state: State, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(state)
    scene.directory.fails = RuntimeError("the directory is down")
    waits = [scene.renewer.step() for _ in range(4)]
    for wait, planned in zip(waits, (1, 10, 100, 100), strict=True):
        assert 0.8 * planned <= wait <= 1.2 * planned
    assert "the directory is down" in caplog.text
    scene.directory.fails = None
    assert scene.renewer.step() > 100
    assert scene.changes == 1


def test_a_directory_that_is_down_does_not_matter_before_it_has_to(state: State) -> None:
    scene = Scene(state)
    scene.renewer.step()
    scene.directory.fails = RuntimeError("down")
    scene.clock.now = float(issued(state).not_before) + DAY
    scene.renewer.step()
    assert scene.directory.obtained == 1
    scene.clock.now = float(issued(state).not_after) + DAY
    scene.renewer.step()
    scene.directory.fails = None
    scene.renewer.step()
    assert scene.directory.obtained == 2


def test_one_server_of_several_renews(state: State, tmp_path: Path) -> None:
    scene = Scene(state)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with State(tmp_path / "acme", NAMES, "https://directory.example").locked() as is_ours:
            assert is_ours
            held.set()
            release.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    scene.renewer.step()
    assert scene.directory.obtained == 0
    release.set()
    thread.join()
    scene.renewer.step()
    assert scene.directory.obtained == 1


def test_what_was_under_way_is_gone_on_with(state: State) -> None:
    scene = Scene(state)
    scene.renewer.step()
    state.keep_order({"address": "x"})
    scene.clock.now = float(issued(state).not_before) + 10
    scene.renewer.step()
    assert scene.directory.obtained == 2


def test_files_are_for_the_owner_only(state: State) -> None:
    state.keep_account({"key": 1})
    state.keep_pair("chain", "key")
    assert state.account() == {"key": 1}
    assert state.read_pair() == b"chain\nkey"
    modes = {one.stat().st_mode & 0o777 for one in state.pair.parent.parent.rglob("*") if one.is_file()}
    assert modes == {0o600}
    assert state.pair.parent.stat().st_mode & 0o777 == 0o700
    state.keep_account(None)
    assert state.account() is None
