"""Forked processes, each play in an interpreter of its own: there a fork has only one thread to copy."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEGIN = """
import atexit, os, signal, sys, threading, time
from pelton.process.forking import FOR_THE_SUPERVISOR, fork
from pelton.process.signals import Signals
def code_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def run(play: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + play], capture_output=True, text=True, timeout=30, check=False
    )
    print(done.stderr)
    assert done.returncode == 0
    return done.stdout


@pytest.mark.parametrize(
    ("child", "code"),
    [
        ("lambda: 7", 7),
        ("lambda: None", 0),
        ("lambda: sys.exit(4)", 4),
        ("lambda: sys.exit('a text')", 1),
        ("lambda: 1 / 0", 1),
    ],
)
def test_exit_codes(child: str, code: int) -> None:
    run(f"assert code_of(fork({child})) == {code}")


def test_what_is_buffered_is_written_once() -> None:
    assert run("sys.stdout.write('once '); code_of(fork(lambda: None))") == "once "


def test_a_child_runs_its_own_exit_functions_only() -> None:
    play = """
atexit.register(lambda: os.write(1, b"parent "))
def child():
    atexit.register(lambda: os.write(1, b"child "))
code_of(fork(child))
code_of(fork(lambda: None, keeps_exit=True))
"""
    assert run(play) == "child parent parent "


def test_a_child_does_not_wait_for_threads() -> None:
    run("""
def child():
    threading.Thread(target=threading.Event().wait).start()
    return 5
assert code_of(fork(child)) == 5
""")


def test_a_signal_for_the_child_is_none_for_the_parent() -> None:
    run("""
reader, writer = os.pipe()
def child():
    assert all(signal.getsignal(one) is not signal.SIG_DFL for one in FOR_THE_SUPERVISOR)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    for number in FOR_THE_SUPERVISOR:
        signal.raise_signal(number)
    os.write(writer, b"x")
    signal.pause()
with Signals((signal.SIGTERM, signal.SIGHUP)) as signals:
    pid = fork(child, signals)
    os.read(reader, 1)
    assert signals.received() == []
    os.kill(pid, signal.SIGTERM)
    assert code_of(pid) == -signal.SIGTERM
    # The parent's own still work.
    signal.raise_signal(signal.SIGHUP)
    assert signals.received() == [signal.SIGHUP]
""")


def test_random_numbers_differ() -> None:
    first, second = run("""
import random, uuid, ssl
ssl.RAND_bytes(8)
random.random()
def child():
    print(random.random(), uuid.uuid4(), ssl.RAND_bytes(8).hex())
code_of(fork(child))
code_of(fork(child))
""").splitlines()
    assert not set(first.split()) & set(second.split())
