"""The number of workers where it is not exact: when there is one more, when one fewer, and why not."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_plan import Story, started

from pelton.config.settings import settings_from
from pelton.sizing.limits import worker_bounds
from pelton.supervisor.load import Load
from pelton.supervisor.plan import events as ev
from pelton.supervisor.plan import sizing
from pelton.supervisor.rules import rules_from

MIB = 1 << 20


def load(
    story: Story, share: float, *, idle: float = 2.0, memory_left: int | None = None, largest: int = 60 * MIB
) -> ev.LoadMeasured:
    """All workers do the same."""
    shares = tuple((number, share) for number in story.state.workers)
    return ev.LoadMeasured(shares, idle, memory_left, largest)


def measure(story: Story, seconds: float, share: float, **more: float | None) -> list[int]:
    """Once a second; gives the workers that were started for it."""
    new: list[int] = []
    for _ in range(int(seconds)):
        story.now += 1.0
        story.tell(load(story, share, **more))  # type: ignore[arg-type]
        new += started(story)
    return new


@pytest.fixture
def story() -> Story:
    """With one worker, which serves."""
    story = Story(workers=1, most_workers=3)
    story.serve()
    assert story.state.wanted == 1
    return story


def test_busy_workers_get_another_one_while_processors_are_idle(story: Story) -> None:
    assert measure(story, 6, 0.95) == [2]
    assert story.state.wanted == 2
    story.tell(ev.WorkerReady(2))
    assert measure(story, 6, 0.9) == [3]
    story.tell(ev.WorkerReady(3))
    assert measure(story, 20, 0.95) == [], "that is the most"


def test_what_was_started_is_waited_for(story: Story) -> None:
    measure(story, 6, 0.95)
    assert measure(story, 20, 0.95) == [], "worker 2 is not ready"


def test_a_moment_is_no_reason(story: Story) -> None:
    for _ in range(10):
        assert measure(story, 2, 1.0) == []
        assert measure(story, 1, 0.3) == []


def test_without_an_idle_processor_there_is_no_other(story: Story) -> None:
    assert measure(story, 60, 0.95, idle=0.1) == []
    assert story.state.wanted == 1


def test_without_memory_there_is_no_other(story: Story) -> None:
    assert measure(story, 60, 0.95, memory_left=70 * MIB) == []
    assert measure(story, 6, 0.95, memory_left=80 * MIB) == [2]


def test_why_there_is_no_other_is_told_once(story: Story) -> None:
    told = 0
    for _ in range(60):
        story.now += 1.0
        story.tell(load(story, 0.95, idle=0.0))
        told += story.log("no processor is idle")
    assert told == 1


def test_calm_workers_become_fewer_after_minutes(story: Story) -> None:
    measure(story, 6, 0.95)
    story.tell(ev.WorkerReady(2))
    measure(story, sizing.CALM_FOR - 1, 0.1)
    assert story.state.wanted == 2
    measure(story, 3, 0.1)
    assert story.state.wanted == 1
    measure(story, sizing.CALM_FOR * 2, 0.0)
    assert story.state.wanted == 1, "that is the least"


def test_a_load_between_changes_nothing(story: Story) -> None:
    measure(story, 6, 0.95)
    story.tell(ev.WorkerReady(2))
    for share in (0.3, 0.5, 0.7):
        measure(story, sizing.CALM_FOR * 2, share)
        assert story.state.wanted == 2


def test_an_exact_number_stays() -> None:
    story = Story(workers=1)
    story.serve()
    assert measure(story, 60, 1.0) == []
    assert story.state.wanted == 1


def test_what_settings_come_to() -> None:
    assert worker_bounds(settings_from({"workers": 3}))[:2] == (3, 3)
    assert worker_bounds(settings_from({}))[:2] == (1, 1)
    assert worker_bounds(settings_from({"workers": "2:5"}))[:2] == (2, 5)
    found = rules_from(settings_from({"workers": "2:5"}))
    assert (found.workers, found.most_workers) == (2, 5)
    assert rules_from(settings_from({"workers": 4})).most_workers is None


def test_shares_are_measured_from_the_kernels_counts(tmp_path: Path) -> None:
    def write(spent: int, idle: int) -> None:
        (tmp_path / "proc/7").mkdir(parents=True, exist_ok=True)
        fields = ["S", *["0"] * 10, str(spent), "0", *["0"] * 10]
        (tmp_path / "proc/7/stat").write_text(f"7 (a) b) {' '.join(fields)}\n")
        (tmp_path / "proc/stat").write_text(f"cpu  1 2 3 {idle} 0 0 0\n")

    measured = Load(tmp_path)
    write(0, 0)
    assert measured.measure({1: 7}, 100.0) is None
    write(150, 50)
    found = measured.measure({1: 7, 2: 8}, 102.0)
    assert found is not None
    assert found.shares == ((1, 0.75),)
    assert found.idle == pytest.approx(0.25)
