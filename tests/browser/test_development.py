"""What a developer sees: the debugger's console, and his changes without a click."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet
from playwright.sync_api import Page, expect

from browser.conftest import Start, Visit
from support.ways import BROKEN, DEBUGGER, RELOADER, WAYS, App, Served, Way, parameters

_CHANGING = '''"""Written by a test, and rewritten while it runs."""

from __future__ import annotations

import os

from flask import Flask

app = Flask(__name__)
TEXT = "one"
PAGE = """<!doctype html>
<title>Changing</title>
<link rel="icon" href="data:,">
<p id="text"></p>
<script>
  window.failures = [];
  async function look() {
    try {
      const answer = await fetch("/text");
      const text = await answer.text();
      if (!answer.ok) failures.push(`${answer.status} ${text}`);
      document.getElementById("text").textContent = text;
    } catch (error) {
      failures.push(String(error));
    }
    setTimeout(look, 5);
  }
  look();
</script>
"""


@app.get("/")
def page():
    return PAGE


@app.get("/text")
def text():
    return TEXT


if __name__ == "__main__":
    app.run(port=int(os.environ["PORT"]))
'''


@pytest.fixture
def changing(tmp_path: Path) -> App:
    directory = tmp_path / "changing"
    directory.mkdir()
    (directory / "changing.py").write_text(_CHANGING)
    return App("changing", directory)


def _developed(*names: str) -> list[ParameterSet]:
    ways = [way for way in WAYS if way.name in names]
    return parameters(BROKEN, ways=ways, develops=True, needs=[RELOADER, DEBUGGER])


_DEVELOPED = _developed("python", "one-line", "pelton-run", "flask-serve")
_DEVELOPED_BY_PELTON = _developed("one-line", "pelton-run", "flask-serve")
# The script's own app.run(...) says how many processes there are.
_SCRIPTED_BY_PELTON = _developed("one-line", "pelton-run")


@pytest.mark.parametrize("way", _DEVELOPED)
def test_the_debuggers_console(way: Way, start: Start, visit: Visit) -> None:
    served = start(BROKEN, way, debug=True)
    page = visit(f"{served.address}/fail")
    _open_console(page, served)
    # A variable of this frame, and what an earlier line has left.
    _type(page, "total = sum(prices)")
    _type(page, "f'{total} for {customer}'")
    expect(page.locator(".console .output")).to_contain_text("'42 for Ada <ada@example.org>'")
    # Failing requests and consoles keep nobody out.
    assert visit(served.address).inner_text("body") == "all is well"


@pytest.mark.parametrize("way", _SCRIPTED_BY_PELTON)
def test_the_debuggers_console_of_several_processes(way: Way, start: Start, visit: Visit) -> None:
    """The frame is in one of them, so each line has to get there. Under Werkzeug there is no such console."""
    served = start(BROKEN, way, debug=True, environment={"PROCESSES": "3"})
    page = visit(f"{served.address}/fail")
    _open_console(page, served)
    output = page.locator(".console .output")
    for number in range(10):
        _type(page, f"prices.append({number})")
        _type(page, "sum(prices)")
        expect(output).to_contain_text(str(42 + sum(range(number + 1))))


@pytest.mark.parametrize("way", _DEVELOPED)
def test_a_change_appears_by_itself(way: Way, start: Start, visit: Visit, changing: App) -> None:
    served = start(changing, way, debug=True)
    page = visit(served.address)
    expect(page.locator("#text")).to_have_text("one")
    for before, after in (("one", "two"), ("two", "three")):
        text = served.first_file.read_text()
        served.first_file.write_text(text.replace(f'TEXT = "{before}"', f'TEXT = "{after}"'))
        expect(page.locator("#text")).to_have_text(after)
    if way.is_pelton:
        # Werkzeug drops what is under way when it starts anew.
        assert page.evaluate("failures") == []


@pytest.mark.parametrize("way", _DEVELOPED_BY_PELTON)
def test_a_mistake_and_its_repair(way: Way, start: Start, visit: Visit, changing: App) -> None:
    """The mistake is on the page, and pelton's own page for it looks by itself whether it is repaired."""
    served = start(changing, way, debug=True)
    page = visit(served.address)
    expect(page.locator("#text")).to_have_text("one")
    right = served.first_file.read_text()
    served.first_file.write_text(right.replace("TEXT =", "TEXT = = "))
    _reload_until(page, "SyntaxError")
    served.output.wait_for("SyntaxError")
    served.first_file.write_text(right.replace('"one"', '"repaired"'))
    if way.name == "flask-serve":
        # The command of Flask shows the debugger's page, which waits for a hand.
        _reload_until(page, "repaired")
    expect(page.locator("#text")).to_have_text("repaired")


def _open_console(page: Page, served: Served) -> None:
    """In the frame of ``_total``, with the PIN that the server has written."""
    expect(page.get_by_role("heading", level=1)).to_have_text("EmptyTillError")
    line = page.locator(".frame").filter(has_text="_total").last.locator("pre.current")
    # The icon shows itself to a mouse that is over the line.
    line.hover()
    line.get_by_title("Open an interactive python shell in this frame").click()
    # It fades in frame by frame; a response before its end would make it fade in and out for ever.
    page.wait_for_function("parseFloat(document.querySelector('.pin-prompt').style.opacity) > 0.95")
    page.locator('input[name="pin"]').fill(served.output.wait_for(r"PIN: (\d{3}-\d{3}-\d{3})")[1])
    page.get_by_role("button", name="Confirm Pin").click()
    expect(page.locator(".pin-prompt")).to_be_hidden()


def _type(page: Page, command: str) -> None:
    line = page.locator(".console input")
    line.fill(command)
    line.press("Enter")
    # It is emptied when the response has come.
    expect(line).to_have_value("")


def _reload_until(page: Page, text: str) -> None:
    """Reload by hand. Each time the page must come: a server that refuses is a failure."""
    for _ in range(200):
        response = page.reload()
        assert response is not None
        page.wait_for_timeout(50)
        if text in page.inner_text("body"):
            return
    raise AssertionError(f"{text} never came: {page.inner_text('body')}")
