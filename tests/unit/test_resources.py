"""Processors and memory, read from trees of files as different systems have them."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from pelton.process.resources import MEMORY_OF_A_WORKER, automatic_workers
from pelton.system import memory_limit, memory_of, processors

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def eight_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


def tree(root: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return root


def test_nothing_to_read(tmp_path: Path) -> None:
    assert processors(tmp_path) == 8
    assert memory_limit(tmp_path) is None
    assert automatic_workers(tmp_path) == 8


def test_a_container_with_version_2(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/memory.max": f"{1024 * MIB}\n",
        },
    )
    assert processors(tmp_path) == 1.5
    assert memory_limit(tmp_path) == 1024 * MIB
    assert automatic_workers(tmp_path) == 2


def test_the_lowest_limit_of_all_parents_holds(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/user.slice/app.service\n",
            "sys/fs/cgroup/user.slice/app.service/cpu.max": "max 100000\n",
            "sys/fs/cgroup/user.slice/app.service/memory.max": "max\n",
            "sys/fs/cgroup/user.slice/cpu.max": "300000 100000\n",
            "sys/fs/cgroup/user.slice/memory.max": f"{2 * MEMORY_OF_A_WORKER}\n",
            "sys/fs/cgroup/memory.max": f"{9 * MEMORY_OF_A_WORKER}\n",
        },
    )
    assert processors(tmp_path) == 3
    assert automatic_workers(tmp_path) == 2


@pytest.mark.parametrize("path", ["/docker/4711", "/../../other", "/"])
def test_a_path_that_exists_only_outside_the_container(tmp_path: Path, path: str) -> None:
    tree(tmp_path, {"proc/self/cgroup": f"0::{path}\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"})
    assert processors(tmp_path) == 2


def test_version_1(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "proc/self/cgroup": "9:memory:/docker/4711\n4:cpu,cpuacct:/docker/4711\n1:name=systemd:/\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "250000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/docker/4711/memory.limit_in_bytes": f"{512 * MIB}\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert processors(tmp_path) == 2.5
    assert memory_limit(tmp_path) == 512 * MIB
    assert automatic_workers(tmp_path) == 3


def test_version_1_without_limits(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "proc/self/cgroup": "9:memory:/\n4:cpu:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert processors(tmp_path) == 8
    assert memory_limit(tmp_path) is None


def test_both_versions(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "proc/self/cgroup": "4:cpu:/a\n0::/a\n",
            "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "600000\n",
            "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/unified/a/cpu.max": "500000 100000\n",
        },
    )
    assert processors(tmp_path) == 5


@pytest.mark.parametrize("content", ["", "max\n", "100000\n", "x y\n", "100000 0\n", "1 2 3\n"])
def test_nonsense_is_no_limit(tmp_path: Path, content: str) -> None:
    tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/\nnonsense\n\n",
            "sys/fs/cgroup/cpu.max": content,
            "sys/fs/cgroup/memory.max": "lots",
        },
    )
    assert automatic_workers(tmp_path) == 8


def test_a_small_machine(tmp_path: Path) -> None:
    tree(tmp_path, {"proc/meminfo": "MemFree: 1 kB\nMemTotal:  400000 kB\n"})
    assert automatic_workers(tmp_path) == 3


def test_never_less_than_one(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/cpu.max": "10000 100000\n",
            "sys/fs/cgroup/memory.max": f"{MIB}\n",
        },
    )
    assert automatic_workers(tmp_path) == 1


def test_this_machine() -> None:
    assert 1 <= automatic_workers() <= 8


def test_memory_of_a_process(tmp_path: Path) -> None:
    own = memory_of(os.getpid())
    assert own is not None
    assert own > MIB
    tree(tmp_path, {"proc/7/statm": "100 25 3 1 0 9 0\n", "proc/8/statm": "?\n"})
    assert memory_of(7, tmp_path) == 25 * os.sysconf("SC_PAGE_SIZE")
    assert memory_of(8, tmp_path) is None
    assert memory_of(9, tmp_path) is None
