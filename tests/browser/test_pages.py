"""The blog, the shelf and the notice board, with a mouse and a keyboard."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Page, expect

from browser.conftest import Start, Visit
from support.apps import pattern
from support.ways import BLOG, STREAMING, UPLOAD, Way, browsed


def sign_up(page: Page, name: str) -> None:
    page.get_by_role("link", name="Register").click()
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_role("status")).to_have_text(f"Welcome, {name}. You can log in now.")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#visitor")).to_have_text(name)


@pytest.mark.parametrize("way", browsed(BLOG))
def test_the_blog(way: Way, start: Start, visit: Visit, tmp_path: Path) -> None:
    blog = start(BLOG, way, environment={"BLOG_DATABASE": str(tmp_path / "blog.sqlite")})
    page, reader = visit(blog.address), visit(blog.address)
    expect(page.locator("main")).to_have_text("Nothing has been written yet.")
    sign_up(page, "Ada")
    page.get_by_role("link", name="New post").click()
    page.get_by_label("Title").fill("Käse & <Brot>")
    page.get_by_label("Text").fill("line 1\nline 2")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("Published.")

    reader.reload()
    expect(reader.get_by_role("heading")).to_have_text("Käse & <Brot>")
    expect(reader.locator("article p")).to_have_text("line 1\nline 2")
    expect(reader.get_by_role("link", name="Edit")).to_have_count(0)

    page.get_by_role("link", name="Edit").click()
    expect(page.get_by_label("Title")).to_have_value("Käse & <Brot>")
    page.get_by_label("Title").fill("Cheese")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading")).to_have_text("Cheese")

    page.get_by_role("link", name="Edit").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status")).to_have_text("Deleted.")
    expect(page.locator("article")).to_have_count(0)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("link", name="Log in")).to_be_visible()


@pytest.mark.parametrize("way", browsed(UPLOAD))
def test_the_shelf(way: Way, start: Start, visit: Visit, tmp_path: Path) -> None:
    page = visit(start(UPLOAD, way, environment={"SHELF": str(tmp_path / "shelf")}).address)
    files = {"tiny.txt": b"x", "large.bin": pattern(5_000_000), "empty.bin": b""}
    payloads = [
        FilePayload(name=name, mimeType="application/octet-stream", buffer=data)
        for name, data in files.items()
    ]
    page.get_by_label("Files").set_input_files(payloads)
    page.get_by_label("Remark").fill("three at once and ü")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#remark")).to_have_text("three at once and ü")
    for name, data in files.items():
        line = page.get_by_role("listitem").filter(has_text=name)
        expect(line).to_have_text(re.compile(rf"^{re.escape(name)}: {len(data)} bytes"))
    with page.expect_download() as download:
        page.get_by_role("link", name="large.bin").click()
    assert download.value.suggested_filename == "large.bin"
    assert Path(download.value.path()).read_bytes() == files["large.bin"]


@pytest.mark.parametrize("way", browsed(STREAMING))
def test_the_notice_board(way: Way, start: Start, visit: Visit, tmp_path: Path) -> None:
    board = start(STREAMING, way, environment={"NOTICES": str(tmp_path / "notices.txt")})
    page, other = visit(board.address), visit(board.address)
    for one in (page, other):
        expect(one.locator("#state")).to_have_text("connected")
    shown: list[str] = []
    # Each is on both pages before the next is written, so nobody holds the events back.
    for writer, text in ((page, "first"), (other, "zweites: ü"), (page, "third")):
        writer.get_by_label("Notice").fill(text)
        writer.get_by_role("button", name="Put up").click()
        shown.append(text)
        for one in (page, other):
            expect(one.get_by_role("listitem")).to_have_text(shown)
    expect(page.locator("#state")).to_have_text("connected")
