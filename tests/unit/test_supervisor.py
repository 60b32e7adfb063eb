"""The supervisor with real processes that only play their parts (`support.supervised`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]


def play(name: str) -> tuple[dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-m", "support.supervised", name],
        cwd=TESTS,
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        # Its own group: what it does to itself with signals stays there.
        process_group=0,
        check=False,
    )
    print(done.stderr)
    outcome: dict[str, Any] = json.loads(done.stdout)
    assert not outcome["children"], "processes are left"
    assert not outcome["socket"], "the socket file is left"
    return outcome, done.stderr


def test_it_serves_and_ends() -> None:
    outcome, log = play("serves")
    assert (outcome["code"], outcome["what"]) == (0, "")
    said = [one["do"] for one in outcome["heard"]]
    assert said[:2] == ["add", "accept"]
    assert said[-2:] == ["unready", "drain"] or "died" in said
    assert "is ready" in log


def test_an_end_that_comes_just_after_the_look_for_it_is_seen() -> None:
    outcome, _ = play("unseen")
    assert (outcome["code"], outcome["what"]) == (0, "")


def test_the_last_word_of_a_process_is_heard_before_its_end() -> None:
    outcome, _ = play("broken")
    assert (outcome["code"], outcome["what"], outcome["traceback"]) == (3, "It is broken.", "Traceback")


def test_a_worker_that_has_just_loaded_is_not_left_to_be_killed() -> None:
    outcome, _ = play("takes-signals")
    assert outcome["code"] == 0
    assert {"do": "stop", "heard by": 2} in outcome["heard"]


def test_what_cannot_be_started_at_all() -> None:
    outcome, log = play("no-memory")
    assert outcome["code"] == 1
    assert "gives up: 5 starts in a row failed" in log
    assert "Too many open files" in log


def test_a_worker_holds_nothing_of_the_others() -> None:
    outcome, _ = play("curious")
    assert (outcome["code"], outcome["what"]) == (0, "")


def test_a_worker_that_cannot_be_reached_is_replaced() -> None:
    outcome, log = play("deaf")
    assert outcome["code"] == 0
    assert "does not react to the supervisor and is killed" in log
    assert {"do": "died", "worker": 1, "how": "was killed by SIGKILL"} in outcome["heard"]


def test_a_front_that_stands_still_is_replaced() -> None:
    outcome, log = play("numb")
    assert outcome["code"] == 0
    assert "has given no sign of life for 600ms and is killed" in log
    # What there is to know about it.
    assert "stopped by a signal" in log
    assert "was killed by SIGKILL; another one takes over" in log
    assert [one["do"] for one in outcome["heard"]].count("accept") == 1


def test_nonsense_is_told_and_ignored() -> None:
    outcome, log = play("babbling")
    assert outcome["code"] == 0
    assert log.count("says something unknown") >= 4


def test_a_fault_of_the_supervisor_leaves_nothing_behind() -> None:
    outcome, _ = play("faulty")
    assert outcome["error"] == "a fault of the supervisor"
