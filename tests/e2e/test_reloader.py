"""The reloader as people meet it: files are saved, pages are asked for, and nothing is ever refused."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.client import Client, request
from support.processes import children_of, runs
from support.scripts import Script
from support.waiting import eventually

APP = """\
import os, threading
from flask import Flask, Response
import second
app = Flask(__name__)

@app.get("/")
def index():
    return second.WORD

@app.get("/pid")
def pid():
    return str(os.getpid())

@app.get("/stream")
def stream():
    def pieces():
        yield "first\\n"
        threading.Event().wait()
    return Response(pieces())

from support.reloaded import serve
serve(app, kind=os.environ.get("KIND", "auto"), extra_files=("settings.txt",))
"""
PAGE = ("Accept", "text/html")

Begin = Callable[..., Script]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "settings.txt").write_text("nothing\n")
    return tmp_path


@pytest.fixture
def begin(project: Path) -> Iterator[Begin]:
    begun: list[Script] = []

    def begin_script(**environment: str) -> Script:
        begun.append(Script("app.py", directory=project, environment=environment))
        return begun[-1]

    save(project, "one")
    yield begin_script
    for one in begun:
        one.__exit__(None, None, None)


def save(project: Path, word: str) -> None:
    # Each word in a file of another size: the interpreter's cache knows sources by size and whole seconds.
    (project / "second.py").write_text(f"WORD = {word!r}\n" + "#" * len(word) * 7)


def eventually_says(script: Script, word: str) -> None:
    said: list[str] = []

    def look() -> bool:
        said[:] = [script.ask(request()).text]
        return said == [word]

    eventually(look, lambda: f"{word!r}, not {said}")


@pytest.mark.parametrize("kind", ["stat", "watchfiles"])
def test_a_save_shows_on_the_next_page(begin: Begin, project: Path, kind: str) -> None:
    script = begin(KIND=kind)
    script.log.wait_for(r"INFO serves")
    assert script.ask(request()).text == "one"
    save(project, "two, too")
    eventually_says(script, "two, too")
    (project / "settings.txt").write_text("something\n")
    script.log.wait_for(r"settings\.txt has changed")
    script.log.wait_for(r"INFO serves", 3)


def test_ten_reloads_refuse_and_fail_nobody(begin: Begin, project: Path) -> None:
    script = begin()
    script.log.wait_for(r"INFO serves")
    address = script.address
    done = threading.Event()
    failures: list[str] = []
    counts = [0, 0, 0]

    def ask_on_new_connections(number: int) -> None:
        while not done.wait(0.01):
            try:
                with Client(address) as client:
                    response = client.ask(request())
                    assert response.status == 200, response.text
                    counts[number] += 1
            except (OSError, AssertionError) as error:
                failures.append(repr(error))

    def ask_on_one_connection(number: int) -> None:
        client = Client(address)
        while not done.wait(0.01):
            try:
                response = client.ask(request())
                assert response.status == 200, response.text
                counts[number] += 1
                if not response.keeps_connection:
                    client.close()
                    client = Client(address)
            except (OSError, AssertionError) as error:
                failures.append(repr(error))
                break
        client.close()

    threads = [
        threading.Thread(target=ask, args=(number,))
        for number, ask in enumerate([ask_on_new_connections] * 2 + [ask_on_one_connection])
    ]
    for thread in threads:
        thread.start()
    try:
        for number in range(10):
            save(project, f"{number}" * (number + 5))
            script.log.wait_for(r"INFO serves", number + 2)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    eventually_says(script, "9" * 14)
    assert failures == []
    assert min(counts) > 10, counts


def test_an_idle_connection_outlives_the_reload(begin: Begin, project: Path) -> None:
    script = begin()
    script.log.wait_for(r"INFO serves")
    with Client(script.address) as client:
        before = client.ask(request(target="/pid")).text
        save(project, "another")
        script.log.wait_for(r"has changed")
        # Sent while perhaps nobody serves: it waits for the new code.
        script.log.wait_for(r"INFO serves", 2)
        after = client.ask(request(target="/pid")).text
        assert after != before
        assert client.ask(request()).text == "another"


def test_a_stream_does_not_hold_up_the_reload(begin: Begin, project: Path) -> None:
    script = begin()
    script.log.wait_for(r"INFO serves")
    with Client(script.address) as client:
        client.send(request(target="/stream")).head()
        assert client.piece() == b"first\n"
        save(project, "while it streams")
        eventually_says(script, "while it streams")


def test_a_syntax_error_is_shown_and_the_next_save_recovers(begin: Begin, project: Path) -> None:
    script = begin()
    script.log.wait_for(r"INFO serves")
    (project / "app.py").write_text("x = (<script>\n" + APP)
    script.log.wait_for(r"SyntaxError")
    script.log.wait_for(r"ended with exit code 1 before it served")
    response = script.ask(request(fields=[PAGE]))
    assert response.status == 500
    assert "SyntaxError" in response.text
    assert "x = (&lt;script&gt;" in response.text
    assert "x = (<script>" not in response.text
    assert "SyntaxError" in script.ask(request()).text
    (project / "app.py").write_text(APP)
    eventually_says(script, "one")


def test_an_error_at_the_import_of_another_module_recovers_too(begin: Begin, project: Path) -> None:
    script = begin()
    script.log.wait_for(r"INFO serves")
    (project / "second.py").write_text("import third_that_is_missing\n")
    script.log.wait_for(r"ModuleNotFoundError")
    script.log.wait_for(r"shows it\. It starts again")
    assert "third_that_is_missing" in script.ask(request()).text
    # Not the file that failed, but the one that it misses.
    (project / "third_that_is_missing.py").write_text("")
    script.log.wait_for(r"INFO serves", 2)
    save(project, "complete")
    eventually_says(script, "complete")


def test_a_killed_child_is_shown_and_the_next_save_starts_another(begin: Begin, project: Path) -> None:
    script = begin()
    script.log.wait_for(r"INFO serves")
    os.kill(int(script.ask(request(target="/pid")).text), signal.SIGKILL)
    script.log.wait_for(r"was killed by SIGKILL")
    assert "SIGKILL" in script.ask(request(fields=[PAGE])).text
    save(project, "alive again")
    eventually_says(script, "alive again")


def test_an_error_after_serving_is_shown_with_its_traceback(begin: Begin, project: Path) -> None:
    script = begin()
    script.log.wait_for(r"INFO serves")
    # What the script's last line waits with; until then it serves.
    breaks = "import pelton.process.signals\npelton.process.signals.Signals.wait = None\n"
    (project / "app.py").write_text(APP.replace("serve(app,", f"{breaks}serve(app,"))
    script.log.wait_for(r"ended with exit code 1; http")
    assert "object is not callable" in script.ask(request(fields=[PAGE])).text
    (project / "app.py").write_text(APP)
    eventually_says(script, "one")


@pytest.mark.parametrize("how", ["group", "parent", "error page"])
def test_the_end_leaves_nobody(begin: Begin, project: Path, how: str) -> None:
    script = begin()
    script.log.wait_for(r"INFO serves")
    if how == "error page":
        (project / "second.py").write_text("WORD = (")
        assert "SyntaxError" in _failing(script)
    children = children_of(script.process.pid)
    assert len(children) == 1
    if how == "parent":
        script.process.send_signal(signal.SIGTERM)
    else:
        script.interrupt()
    assert script.exit_code() == 0
    eventually(lambda: not any(map(runs, children)), "the child has ended")
    script.wait_until_gone()


def _failing(script: Script) -> str:
    script.log.wait_for(r"shows it\. It starts again")
    return script.ask(request()).text


def test_a_killed_parent_takes_the_child_with_it(begin: Begin) -> None:
    script = begin()
    script.log.wait_for(r"INFO serves")
    script.process.kill()
    script.wait_until_gone()


def test_a_reload_is_quick(begin: Begin, project: Path) -> None:
    """Not a measurement, which a busy machine does not allow; but far from any wait of seconds."""
    script = begin()
    script.log.wait_for(r"INFO serves")
    before = time.monotonic()
    save(project, "how quick")
    eventually_says(script, "how quick")
    print(f"from the save to the first answer: {time.monotonic() - before:.3f} s")
