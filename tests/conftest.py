"""Fixtures of the suites over real sockets. What they give is described in `support`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.live import Live
from support.serving import TRANSPORTS, Belongings, Serve, Server, has_ipv6
from support.waiting import Gate

StartLive = Callable[..., Live]
Start = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts pelton in this process, over TCP unless told otherwise."""
    with contextlib.ExitStack() as stack:
        yield Serve(stack)


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    """Each way to reach a server."""
    name: str = request.param
    if name == "ipv6" and not has_ipv6():
        pytest.skip("this host has no IPv6")
    return name


@pytest.fixture
def start(serve: Serve, transport: str) -> Start:
    """As ``serve``, over each transport in turn. What holds for every server is tested with it."""
    return partial(serve, transport=transport)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that is open when the test is over, so that no thread stays behind."""
    made = Gate()
    yield made
    made.open()


@pytest.fixture
def live() -> Iterator[StartLive]:
    """Starts the command as a process; called with its arguments."""
    with contextlib.ExitStack() as stack:

        def start_live(*arguments: Any, **others: Any) -> Live:
            return stack.enter_context(Live(*arguments, **others))

        yield start_live


@pytest.fixture
def belongings(tmp_path: Path) -> Belongings:
    """Counts what this process holds; its directory is meant to be the spool directory."""
    return Belongings(tmp_path)
