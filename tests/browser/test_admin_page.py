"""The page on the admin listener, in a browser: a person who has only that finds the line."""

from __future__ import annotations

import os
import re
from pathlib import Path

from playwright.sync_api import expect

from browser.conftest import Visit
from conftest import StartLive
from support.client import request

APPLICATION = Path(__file__).parents[1] / "support" / "incident_app.py"


def test_the_page_shows_who_waits_for_whom(visit: Visit, live: StartLive, tmp_path: Path) -> None:
    server = live(
        *(APPLICATION, "--workers", "1", "--threads", "4", "--admin-bind", "127.0.0.1:0"),
        environment={"PELTON_TEST_INCIDENTS": str(tmp_path)},
    )
    server.ready_workers()
    admin = server.log.wait_for(r"health checks are answered on (http://\S+)")[1]
    clients = [server.connect().send(request(target="/convoy")) for _ in range(3)]
    page = visit(admin)
    hosts: list[str] = []
    page.on("request", lambda one: hosts.append(one.url))
    running = page.locator("#running")
    expect(running.get_by_text("GET /convoy")).to_have_count(3)
    expect(running).to_contain_text("incident_app.py:")
    expect(running).to_contain_text("stock")
    expect(page.locator("#workers tbody tr")).to_have_count(1)
    # What was before the page was opened is drawn, too: a step of the server's takes ten seconds.
    expect(page.locator("#p-running path")).to_have_attribute("d", re.compile("^M35"), timeout=60_000)
    # What the threads do is drawn once the samples were asked for.
    expect(page.locator("#flame")).to_contain_text("convoy")
    if folder := os.environ.get("PELTON_SCREENSHOTS"):
        page.set_viewport_size({"width": 1100, "height": 1400})
        page.screenshot(path=Path(folder) / "page.png")
    (tmp_path / "moved").touch()
    for client in clients:
        assert client.response().body == b"moved"
    expect(page.locator("#routes")).to_contain_text("GET /convoy")
    assert all(url.startswith(admin) for url in hosts), hosts
