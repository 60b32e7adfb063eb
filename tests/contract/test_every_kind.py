"""The contract suite once more for each worker kind and each place of the front.

In processes of their own: some kinds change the whole interpreter before anything else is imported. What one
of them fails with is in its output, and can be run by hand (`tests/support/kinds.py`).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from pelton.config.worker_kinds import KINDS
from support.kinds import FRONTS, IS_ONE_OF_MANY, exists

ROOT = Path(__file__).parents[2]
HERE = [name for name in KINDS if exists(name)]
# This combination is the run itself.
PLAIN = ("threads", "thread")
# Fewer would mean that files are not collected, or skip themselves.
LEAST = 400
AT_ONCE = 2

pytestmark = pytest.mark.skipif(IS_ONE_OF_MANY, reason="this is one of them")


@pytest.mark.parametrize("name", HERE)
def test_its_library_is_installed_for_the_tests(name: str) -> None:
    # Without it nothing below would be about this kind, so that is a fault and not a reason to skip.
    KINDS[name].require()


def is_worth_it(name: str, front: str) -> bool:
    """Between processes, threads and one kind of greenlets stand for the others: what differs is the link."""
    return front == "thread" or name in ("threads", "gevent")


Runs = dict[tuple[str, str], Future[subprocess.CompletedProcess[str]]]


def run(name: str, front: str) -> subprocess.CompletedProcess[str]:
    """The suite for one combination."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--maxfail=20", "tests/contract"],
        cwd=ROOT,
        env={**os.environ, "PELTON_TEST_KIND": name, "PELTON_TEST_FRONT": front},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=850,
    )


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> Iterator[Runs]:
    """All that were asked for, a few at a time: most of each is waiting for what must not happen."""
    specs = [getattr(item, "callspec", None) for item in request.session.items]
    asked = [spec.params for spec in specs if spec is not None]
    wanted = [(one["name"], one["front"]) for one in asked if {"name", "front"} == one.keys()]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {one: pool.submit(run, *one) for one in wanted}
        pool.shutdown(cancel_futures=True)


# The last one waits for all before it, and the machine may be busy.
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("name", "front"),
    [
        (name, front)
        for name in HERE
        for front in FRONTS
        if (name, front) != PLAIN and is_worth_it(name, front)
    ],
)
def test_the_contract_suite(name: str, front: str, runs: Runs) -> None:
    done = runs[name, front].result()
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= LEAST
