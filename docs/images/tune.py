"""Makes the example of docs/tune.md: a real report of `pelton tune`, its picture, and what it printed.

    python docs/images/tune.py

Needs Debian's chromium and two quiet minutes. The application has a page that waits as for a database, one
that computes, and one that does next to nothing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parent
APPLICATION = """\
import time

from flask import Flask

app = Flask(__name__)


@app.get("/")
def index():
    return "hello"


@app.get("/orders")
def orders():
    time.sleep(0.02)  # as if a database thought about it
    return "orders"


@app.get("/report")
def report():
    return str(sum(number * number for number in range(20_000)))
"""
COMMAND = [
    *("tune", "shop:app", "--request", "/", "--request", "/orders", "--request", "/report"),
    *("--threads", "2,16", "--workers", "1,2", "--concurrency", "1,2,4,8,16,32", "--seconds", "90"),
]


def main() -> None:
    """Measure, and write the report, its picture and the text."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "shop.py").write_text(APPLICATION)
        done = subprocess.run(
            [sys.executable, "-m", "pelton", *COMMAND, "-o", "report.html"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        text = done.stdout.replace(f"{folder}/", "")
        report = (folder / "report.html").read_text(encoding="utf-8").replace(f"{folder}/", "")
    (FOLDER / "tune.html").write_text(report, encoding="utf-8")
    (FOLDER / "tune.txt").write_text(f"$ pelton {' '.join(COMMAND)}\n{text}", encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 900, "height": 1000})
        page.goto((FOLDER / "tune.html").as_uri())
        page.screenshot(path=FOLDER / "tune.png")
        browser.close()


if __name__ == "__main__":
    main()
