"""Which worker kind, and which place of the front, this run of the tests is about.

The suites run for the kind "threads" with the front in the test's own process, unless two variables say
otherwise: PELTON_TEST_KIND, PELTON_TEST_FRONT. `tests/contract/test_every_kind.py` runs the contract
suite again for each other combination; a person can do the same for one::

    PELTON_TEST_KIND=asyncio PELTON_TEST_FRONT=process pytest tests/contract
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from typing import Any, Final

from pelton.config.settings import Settings
from pelton.config.worker_kinds import KINDS, Concurrency

FRONTS: Final = ("thread", "process")
KIND: Final = os.environ.get("PELTON_TEST_KIND", "threads")
FRONT: Final = os.environ.get("PELTON_TEST_FRONT", "thread")
# Whether this is a run for one combination: what differs neither by kind nor by front is left to the other.
IS_ONE_OF_MANY: Final = "PELTON_TEST_KIND" in os.environ

# What the kinds cannot have in common is settled before anything else is imported.
assert KIND in KINDS, f"PELTON_TEST_KIND: {KIND}"
assert FRONT in FRONTS, f"PELTON_TEST_FRONT: {FRONT}"

if IS_ONE_OF_MANY:
    # For commands that tests start.
    os.environ["PELTON_WORKER_KIND"] = KIND
    # In one process with the tests: their waiting is that of the greenlets, too.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        KINDS[KIND].prepare(Settings())

# The parameters of fixtures that set the same scene in both ways of serving.
WAYS: Final = {"thread": "one process", "process": "workers"}
WAYS_HERE: Final = [WAYS[FRONT]] if IS_ONE_OF_MANY else list(WAYS.values())


def exists(name: str) -> bool:
    """Whether pelton has the kind's runner."""
    return importlib.util.find_spec(KINDS[name].runner.partition(":")[0]) is not None


def settings_of_the_kind(given: dict[str, Any]) -> dict[str, Any]:
    """The settings for a server in the test's process, whose test gives these.

    ``threads`` stands for how many requests run at once, whatever the kind calls it. For sync, more than one
    is gthread, as with gunicorn: such a test is about several at once. A test may also name its kind.
    """
    if "worker_kind" in given:
        return given
    if given.get("threads", 1) > 1 and KIND == "sync":
        return {**given, "worker_kind": "threads"}
    if KINDS[KIND].concurrency is Concurrency.CONNECTIONS:
        return {"worker_connections": given.get("threads", 8), **given, "worker_kind": KIND}
    return {**given, "worker_kind": KIND}
