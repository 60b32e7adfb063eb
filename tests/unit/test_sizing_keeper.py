"""The keeper of a worker's threads, over a worker that is played by the test."""

from __future__ import annotations

import threading

import pytest

from pelton.sizing import keeper
from pelton.sizing.keeper import Keeper

PATIENCE = 30.0


class PlayedWorker:
    """Three threads, two of which compute all the time; gives two observations, a second apart."""

    def __init__(self) -> None:
        self.now = 0.0
        self.told: list[tuple[int, int, int]] = []
        self.is_seen = threading.Event()
        self.ends = threading.Event()

    def observe(self, *_of_when: float) -> tuple[int, int, int, int, float, float, float]:
        self.now += 1.0
        if self.now > 2:
            self.is_seen.set()
            self.ends.wait(PATIENCE)
        return 3, 1, 2, 0, 0.0, 0.0, 2.0 * self.now

    def dismiss(self, _count: int) -> None:
        """Nobody leaves here."""

    def tell_sized(self, threads: int, computing: int, reason: int) -> None:
        self.told.append((threads, computing, reason))


class PlayedRunner:
    """As many threads as are wanted."""

    bounds = (2, 8)

    def add_threads(self, _count: int) -> None:
        """They come at once."""

    def idents(self) -> list[int]:
        return []


@pytest.mark.parametrize(
    ("has_lock", "per_mille"),
    [
        pytest.param(True, 2000, id="under the lock, of one processor"),
        pytest.param(False, 500, id="without the lock, of four processors"),
    ],
)
def test_computing_is_a_share_of_what_the_interpreter_can_use(
    monkeypatch: pytest.MonkeyPatch, has_lock: bool, per_mille: int
) -> None:
    monkeypatch.setattr(keeper, "has_interpreter_lock", lambda: has_lock)
    monkeypatch.setattr(keeper, "processors", lambda: 4.0)
    worker = PlayedWorker()
    kept = Keeper(worker, PlayedRunner(), name="this", bound="nothing", clock=lambda: worker.now)
    kept.start()
    assert worker.is_seen.wait(PATIENCE)
    kept.stop()
    worker.ends.set()
    assert kept.join(PATIENCE)
    assert {computing for _, computing, _ in worker.told} == {per_mille}
