"""The contract suite once more for each worker kind and each place of the front.

In processes of their own: some kinds change the whole interpreter before anything else is imported. Each test
that fails there is reported here by its own name, and can be run by hand (`tests/support/kinds.py`).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

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


class Run(NamedTuple):
    """One combination's."""

    exit_code: int
    output: str
    failures: dict[str, str]


Runs = dict[tuple[str, str], Future[Run]]


def failures(report: Path) -> dict[str, str]:
    """By the tests' names, what they failed with."""
    if not report.exists():
        return {}
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        for kind in ("failure", "error"):
            for one in case.iter(kind):
                found[f"{case.get('classname')}.{case.get('name')}"] = one.text or one.get("message") or kind
    return found


def run(name: str, front: str, folder: Path) -> Run:
    """The suite for one combination."""
    report = folder / f"{name}-{front}.xml"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--maxfail=20"),
            *(f"--junitxml={report}", "tests/contract"),
        ],
        cwd=ROOT,
        env={**os.environ, "PELTON_TEST_KIND": name, "PELTON_TEST_FRONT": front},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=850,
    )
    return Run(done.returncode, done.stdout, failures(report))


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """All that were asked for, a few at a time: most of each is waiting for what must not happen."""
    specs = [getattr(item, "callspec", None) for item in request.session.items]
    asked = [spec.params for spec in specs if spec is not None]
    wanted = [(one["name"], one["front"]) for one in asked if {"name", "front"} == one.keys()]
    folder = tmp_path_factory.mktemp("reports")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {one: pool.submit(run, *one, folder) for one in wanted}
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
def test_the_contract_suite(name: str, front: str, runs: Runs, subtests: pytest.Subtests) -> None:
    done = runs[name, front].result()
    for test, text in done.failures.items():
        with subtests.test(test):
            pytest.fail(text, pytrace=False)
    assert done.failures or done.exit_code == 0, done.output
    passed = re.search(r"(\d+) passed", done.output)
    assert passed is not None
    assert int(passed[1]) >= LEAST
