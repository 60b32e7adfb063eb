"""The log of a process with eventlet's greenlets and pelton's own threads: nobody waits for ever.

In a process of its own, for eventlet changes the whole interpreter.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

BEGINNING = """
import logging
from pelton.config.settings import Settings
from pelton.config.worker_kinds import KINDS
from pelton.logs.formats import ForPeople
from pelton.logs.outputs import StandardError
early = logging.StreamHandler()
own = StandardError(ForPeople())
logging.getLogger("pelton").addHandler(own)
KINDS["eventlet"].prepare(Settings())
import eventlet, threading
from pelton.process.native_threads import NativeEvent, NativeThread

class Seen(logging.Handler):
    def emit(self, record):
        print(threading.current_thread().name, record.getMessage(), flush=True)

seen = Seen()
logger = logging.getLogger("some")
logger.addHandler(seen)
"""

THREAD_HAS_IT = """
held, let_go = NativeEvent(), NativeEvent()
def hold():
    with lock:
        held.set()
        assert let_go.wait(10)
NativeThread(hold, name="own").start()
assert held.wait(10)
"""

# The main greenlet waits for the lock by then: it is the only one that can let this one go on.
GREENLET_LETS_IT_GO = THREAD_HAS_IT + "eventlet.spawn(let_go.set)\n"
# Nobody keeps the lock of pelton's own handlers while greenlets run, so its waiter may be the whole thread.
THREAD_LETS_IT_GO = THREAD_HAS_IT + "NativeThread(let_go.set, name='other').start()\n"
GOT_IT = """
with lock:
    # Not because the other one has given up.
    assert let_go.is_set()
    print("got it")
"""

GREENLET_HAS_IT = """
done = NativeEvent()
def write():
    logger.error("from a thread")
    done.set()
with lock:
    NativeThread(write, name="own").start()
    # Others go on while it waits, and while this one has the lock.
    eventlet.sleep(0.05)
    assert not done.is_set()
assert done.wait_with_hub(10)
"""


def run_all(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BEGINNING + code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run(code: str, *arguments: str) -> str:
    done = run_all(code, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("lock", ["seen.lock", "logging._lock", "early.lock", "threading._active_limbo_lock"])
def test_a_greenlet_gets_a_lock_that_a_thread_had(lock: str) -> None:
    assert run(f"lock = {lock}\n{GREENLET_LETS_IT_GO}{GOT_IT}") == "got it\n"


def test_the_lock_of_a_handler_of_pelton_is_free_when_its_thread_lets_it_go() -> None:
    assert run(f"lock = own.lock\n{THREAD_LETS_IT_GO}{GOT_IT}") == "got it\n"


def test_a_greenlet_writes_to_the_log_after_a_thread() -> None:
    output = run(f"lock = seen.lock\n{GREENLET_LETS_IT_GO}logger.error('from a greenlet')")
    assert output.split(" ", 1)[1] == "from a greenlet\n"


def test_a_thread_writes_to_the_log_after_a_greenlet() -> None:
    assert run(f"lock = seen.lock\n{GREENLET_HAS_IT}") == "own from a thread\n"


def test_it_is_taken_more_than_once_by_its_owner_only() -> None:
    code = """
lock = seen.lock
with lock, lock:
    assert not eventlet.spawn(lock.acquire, False).wait()
    assert not eventlet.spawn(lock.acquire, True, 0.01).wait()
    try:
        eventlet.spawn(lock.release).wait()
    except RuntimeError:
        print("no")
assert eventlet.spawn(lambda: lock.acquire(False) and lock.release() is None).wait()
"""
    assert run(code) == "no\n"


def test_a_hub_does_not_wait_for_its_own_greenlet() -> None:
    code = """
from eventlet import hubs
told = []
def in_the_hub():
    try:
        seen.lock.acquire()
    except RuntimeError as error:
        told.append(error)
with seen.lock:
    hubs.get_hub().schedule_call_global(0, in_the_hub)
    eventlet.sleep(0.01)
    print(len(told))
"""
    assert run(code) == "1\n"


def test_the_end_of_the_interpreter_takes_down_handlers_in_silence() -> None:
    done = run_all("logger.handlers.clear(); held = [seen]; held.append(held)")
    assert (done.returncode, done.stderr) == (0, "")
