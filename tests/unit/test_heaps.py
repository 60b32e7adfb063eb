"""One heap for all threads, where the address space has an end: seen from a process of its own."""

import re
import resource
import subprocess
import sys

import pytest

# Threads that allocate while the others do, so that each would get a heap of its own.
SCRIPT = """
import resource, sys, threading
from pathlib import Path
from pelton.system import keep_one_heap_if_limited
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), resource.getrlimit(resource.RLIMIT_AS)[1]))
obeys = keep_one_heap_if_limited()
together = threading.Barrier(9)
def work():
    kept = [bytes(2000) for _ in range(100)]
    together.wait()
    together.wait()
for _ in range(8):
    threading.Thread(target=work).start()
together.wait()
print(obeys, Path("/proc/self/status").read_text())
together.wait()
"""


def test_threads_share_a_heap_only_where_addresses_are_limited() -> None:
    limited, size = _run(2 << 30)
    if not limited:
        pytest.skip("this C library has no such setting")
    obeys, free_size = _run(resource.RLIM_INFINITY)
    assert not obeys
    # Eight heaps of 64 MiB.
    assert free_size - size > 7 * (60 << 10)


def _run(limit: int) -> tuple[bool, int]:
    """Whether it obeyed, and KiB of its address space."""
    out = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(limit)], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"^VmSize:\s+(\d+) kB", out, re.M)
    assert found is not None
    return out.startswith("True"), int(found[1])
