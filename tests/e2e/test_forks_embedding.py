"""Forks of somebody's program in which pelton serves, and the program's own children."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.waiting import DEADLINE

_BEGIN = """\
import os, signal, subprocess, sys, time
import pelton
from urllib.request import urlopen

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"served by %d" % os.getpid()]

def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def run(body: str, directory: Path) -> list[str]:
    """What a program prints that goes on like this."""
    done = subprocess.run(
        [sys.executable, "-c", _BEGIN + body],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=3 * DEADLINE,
        check=False,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "child",
    ["sys.exit(5)", "os._exit(5)", "running.stop(); sys.exit(5)", "running.close(); sys.exit(5)"],
)
def test_a_child_of_the_program_leaves_the_server_alone(tmp_path: Path, child: str) -> None:
    body = f"""
running = pelton.start(app, bind=["127.0.0.1:0", "unix:served"])
if (pid := os.fork()) == 0:
    {child}
print(ended(pid), os.path.exists("served"), running.wait(0))
text = urlopen(running.addresses[0]).read().decode()
print(text == f"served by {{os.getpid()}}")
running.close()
print(os.path.exists("served"))
"""
    assert run(body, tmp_path) == ["5 True False", "True", "False"]


def test_a_child_out_of_the_block(tmp_path: Path) -> None:
    body = """
with pelton.start(app, bind=["127.0.0.1:0", "unix:served"]) as running:
    pid = os.fork()
if pid == 0:
    # Not a moment was waited for a front that is not there.
    print(running.wait(), running.failed, running)
    sys.exit(4)
print(ended(pid))
"""
    lines = run(body, tmp_path)
    assert lines[0].startswith("True False <Running http://127.0.0.1:")
    assert lines[1:] == ["4"]


def test_a_child_may_serve_itself(tmp_path: Path) -> None:
    body = """
running = pelton.start(app, port=0)
if (pid := os.fork()) == 0:
    with pelton.start(app, port=0) as own:
        text = urlopen(own.addresses[0]).read().decode()
    sys.exit(0 if text == f"served by {os.getpid()}" else 1)
print(ended(pid))
print(urlopen(running.addresses[0]).read().decode() == f"served by {os.getpid()}")
running.close()
"""
    assert run(body, tmp_path) == ["0", "True"]


def test_multiprocessing_beside_a_server(tmp_path: Path) -> None:
    body = """
import multiprocessing
context = multiprocessing.get_context("fork")
with pelton.start(app, port=0) as running:
    with context.Pool(2) as pool:
        print(pool.map(abs, [-1, -2]))
    process = context.Process(target=time.sleep, args=(60,))
    process.start()
    process.terminate()
    process.join()
    print(process.exitcode == -signal.SIGTERM, running.wait(0))
"""
    assert run(body, tmp_path) == ["[1, 2]", "True False"]


def test_a_server_of_several_processes_waits_for_its_own_children_only(tmp_path: Path) -> None:
    body = """
import socket, threading
heard = []
signal.signal(signal.SIGCHLD, lambda *_: heard.append(1))
code = "import time; time.sleep(0.5); raise SystemExit(6)"
children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
import logging
logging.getLogger("werkzeug").setLevel(logging.ERROR)
logging.getLogger("pelton").setLevel(logging.ERROR)

free = socket.create_server(("127.0.0.1", 0))
port = free.getsockname()[1]
free.close()

def end():
    while True:
        try:
            urlopen(f"http://127.0.0.1:{port}").read()
            break
        except OSError:
            time.sleep(0.05)
    # They end while it serves, whoever waits for them.
    while any(open(f"/proc/{one.pid}/stat").read().split()[2] != "Z" for one in children):
        time.sleep(0.05)
    urlopen(f"http://127.0.0.1:{port}").read()
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=end, daemon=True).start()
signal.signal(signal.SIGINT, signal.default_int_handler)
pelton.run_simple("127.0.0.1", port, app, processes=2)
print([one.wait() for one in children], bool(heard))
"""
    assert run(body, tmp_path) == ["[6, 6, 6] True"]
