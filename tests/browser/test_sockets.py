"""WebSockets opened by a page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from browser.conftest import Start, Visit
from conftest import StartLive
from support.certificates import make_files
from support.ways import CHAT, ECHO, WEBSOCKETS, Way, browsed


@pytest.mark.parametrize("way", browsed(ECHO, needs=[WEBSOCKETS]))
def test_the_echo(way: Way, start: Start, visit: Visit) -> None:
    page = visit(start(ECHO, way).address)
    expect(page.locator("#state")).to_have_text("connected")
    for text in ("hello", "ü" * 70_000, "bye"):
        page.get_by_label("Message").fill(text)
        page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("listitem")).to_have_text(["hello", "ü" * 70_000])
    # Werkzeug writes the rest of an HTTP answer behind the closing frame, a fault to the browser.
    ending = "closed, 1000 good bye" if way.is_pelton else re.compile("^closed, ")
    expect(page.locator("#state")).to_have_text(ending)


@pytest.mark.parametrize("way", browsed(CHAT, needs=[WEBSOCKETS]))
def test_the_chat(way: Way, start: Start, visit: Visit) -> None:
    address = start(CHAT, way).address
    ada, ben, cleo = (visit(address) for _ in range(3))
    for page, room in ((ada, "red"), (ben, "red"), (cleo, "blue")):
        expect(page.locator("#state")).to_have_text("connected")
        page.get_by_label("Room").fill(room)
        page.get_by_role("button", name="Join").click()
        expect(page.locator("#state")).to_have_text(f"in {room}")
    for page, text in ((ada, "hello Ben"), (cleo, "is nobody here?"), (ben, "hello Ada")):
        page.get_by_label("Message").fill(text)
        page.get_by_role("button", name="Say").click()
        expect(page.get_by_role("listitem").last).to_have_text(f"{'blue' if page is cleo else 'red'}: {text}")
    for page in (ada, ben):
        expect(page.get_by_role("listitem")).to_have_text(["red: hello Ben", "red: hello Ada"])
    expect(cleo.get_by_role("listitem")).to_have_text(["blue: is nobody here?"])


@pytest.mark.parametrize("workers", ["0", "2"])
def test_the_echo_over_http2(visit: Visit, live: StartLive, tmp_path: Path, workers: str) -> None:
    """Where the page came by HTTP/2, and the server says that it can, the browser asks for nothing else."""
    files = make_files(tmp_path).arguments
    server = live(ECHO.directory / f"{ECHO.name}.py", *files, "--workers", workers, "--access-log", "-")
    page = visit(server.addresses[0])
    expect(page.locator("#state")).to_have_text("connected")
    for text in ("hello", "ü" * 70_000, "bye"):
        page.get_by_label("Message").fill(text)
        page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("listitem")).to_have_text(["hello", "ü" * 70_000])
    expect(page.locator("#state")).to_have_text("closed, 1000 good bye")
    server.output.wait_for(r'"GET /echo HTTP/2\.0" 200')
