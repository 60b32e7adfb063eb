"""The browser: one for all tests of this directory, a profile of its own for each visitor.

Playwright's synchronous interface keeps an event loop on the main thread, so the browser ends with the last
test here, and not with the run. Where no chromium is installed these tests are skipped, in CI they fail.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from support.ways import App, Served, Way

# In milliseconds. Far above what any page needs; a fault fails here and not by pytest's own limit.
_LONGEST_WAIT = 20_000

Visit = Callable[..., Page]
Start = Callable[..., Served]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium without a screen."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        reason = "no chromium is installed (apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}, and CI shall not pass without the tests in a browser")
        pytest.skip(reason)
    expect.set_options(timeout=_LONGEST_WAIT)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=program,
            # Containers run as root, for whom chromium has no sandbox; what it loads is ours.
            args=["--no-sandbox", "--no-proxy-server", "--disable-dev-shm-usage"],
        )
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Opens an address as another visitor: with cookies of his own. A script's error fails the test."""
    opened = []
    errors: list[str] = []

    def open_page(address: str) -> Page:
        context = browser.new_context(ignore_https_errors=True)
        opened.append(context)
        context.set_default_timeout(_LONGEST_WAIT)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        return page

    yield open_page
    for context in opened:
        context.close()
    assert errors == []


@pytest.fixture
def start(browser: Browser, tmp_path: Path) -> Iterator[Start]:
    """Serves an application in a way; not before there is a browser to look at it."""
    running: list[Served] = []

    def begin(app: App, way: Way, **others: Any) -> Served:
        scratch = tmp_path / "copy"
        scratch.mkdir()
        served = Served(app, way, scratch, **others)
        running.append(served)
        return served.__enter__()

    yield begin
    for served in running:
        served.__exit__(None, None, None)
