"""How many threads this machine, or the container in it, has room for.

Owns the limits that a thread counts against and what each thread costs there. Must not know what is needed:
`policy` decides within these bounds. Called once at the start, before anything is forked, so that front and
workers agree; and by ``pelton config``.
"""

from __future__ import annotations

import logging
import os
import resource
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from pelton.config.bounds import Bounds
from pelton.config.settings import Settings
from pelton.config.units import format_bytes
from pelton.config.worker_kinds import Concurrency, kind_of
from pelton.exceptions import ConfigError
from pelton.process.resources import MEMORY_OF_A_WORKER, automatic_workers, has_interpreter_lock
from pelton.system import memory_limit, processes_limit, processors, tasks_of_user

LOGGER = logging.getLogger("pelton")

# A thread that pulls and one that watches it: the scheduler of `crates/link` needs both.
LEAST: Final = 2
# Without any other limit. What it costs when nobody needs it is address space; what it bounds is a fault of
# the application or of a service behind it, which would take every thread there is.
MOST: Final = 512
# The link has twice as many slots at most (MAX_SLOTS in crates/link), of which each thread gets two.
MOST_IN_A_WORKER: Final = 4096

# What one thread with a request takes: its stack as far as Python code uses it, its slot, and what a request
# of Flask's keeps. Measured: see docs/sizing.md.
MEMORY_OF_A_THREAD: Final = 512 * 1024
# Of its slots (two for each thread), which are address space until they are used.
_ADDRESSES_OF_A_THREAD: Final = 2 * 448 * 1024
_DEFAULT_STACK: Final = 8 * 1024 * 1024
# Measured, with one heap for all threads (`pelton.system`): 190 MB with Flask and pelton's own threads.
_ADDRESSES_OF_A_PROCESS: Final = 256 * 1024 * 1024
# A running request can have a connection, a file for its body and one for its response; the same again is
# left for connections that wait.
_DESCRIPTORS_OF_A_THREAD: Final = 6
_DESCRIPTORS_OF_THE_FRONT: Final = 32
# Of processes and threads, what is left to everybody else.
_LEFT_TO_OTHERS: Final = 0.25
# Looking through all processes is only worth it where the limit is one.
_MANY_TASKS: Final = 32_768


class Limit(NamedTuple):
    """So many threads in each worker, and what says so."""

    threads: int
    why: str


class ThreadBounds(NamedTuple):
    """What ``threads`` comes to here. ``why`` names what bounds it."""

    least: int
    most: int
    why: str


def thread_bounds(settings: Settings, root: Path = Path("/")) -> ThreadBounds:
    """How few and how many threads each worker may have. Raises ConfigError for what cannot be."""
    wanted = settings.threads
    if not isinstance(wanted, Bounds):
        if wanted > MOST_IN_A_WORKER:
            raise _too_many(wanted)
        return ThreadBounds(wanted, wanted, "exact")
    if wanted.most is not None:
        if wanted.most > MOST_IN_A_WORKER:
            raise _too_many(wanted.most)
        least = min(LEAST, wanted.most) if wanted.least is None else wanted.least
        return ThreadBounds(least, wanted.most, "as it was said")
    if (wanted.least or 0) > MOST_IN_A_WORKER:
        raise _too_many(wanted.least or 0)
    least = max(1, LEAST if wanted.least is None else wanted.least)
    bound = min(machine_limits(settings, root), key=lambda one: one.threads)
    if bound.threads < least:
        return ThreadBounds(least, least, f"as it was said, although {bound.why} suggests fewer")
    return ThreadBounds(least, bound.threads, bound.why)


def bounded(settings: Settings) -> Settings:
    """The same with numbers in the place of ``auto``, as every process of this server shall use them."""
    settings = _fitting(settings)
    if not isinstance(settings.threads, Bounds):
        thread_bounds(settings)
        return settings
    found = thread_bounds(settings)
    return replace(settings, threads=Bounds(found.least, found.most), threads_bound=found.why)


def _fitting(settings: Settings) -> Settings:
    """With no more connections for each worker of greenlets than a front's address space has slots for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if kind_of(settings).concurrency is not Concurrency.CONNECTIONS or soft == resource.RLIM_INFINITY:
        return settings
    # It has the slots of all workers, and of one that replaces another.
    links = 1 if settings.workers == 0 else worker_bounds(settings).most + 1
    most = max(LEAST, (soft - _ADDRESSES_OF_A_PROCESS) // (links * _ADDRESSES_OF_A_THREAD))
    if settings.worker_connections <= most:
        return settings
    LOGGER.warning(
        "worker_connections: %d instead of %d, since no more fit into the address space (RLIMIT_AS, %s).",
        most,
        settings.worker_connections,
        format_bytes(soft),
    )
    return replace(settings, worker_connections=most)


class WorkerBounds(NamedTuple):
    """What ``workers`` comes to here; 1 where everything is one process. ``why`` names what bounds it."""

    least: int
    most: int
    why: str


def worker_bounds(settings: Settings, root: Path = Path("/")) -> WorkerBounds:
    """How few and how many processes run the application."""
    wanted = settings.workers
    if not isinstance(wanted, Bounds):
        return WorkerBounds(max(1, wanted), max(1, wanted), "exact")
    least = max(1, wanted.least or 1)
    if wanted.most is not None:
        return WorkerBounds(min(least, max(1, wanted.most)), max(1, wanted.most), "as it was said")
    most = automatic_workers(root)
    if most < least:
        return WorkerBounds(least, least, "as it was said, although processors and memory suggest fewer")
    return WorkerBounds(least, most, "processors and memory")


def usable_processors(settings: Settings, root: Path = Path("/")) -> float:
    """How many processors the workers can use together: those that are here, one for each interpreter."""
    here = processors(root)
    if not has_interpreter_lock():
        return here
    return min(here, float(worker_bounds(settings, root).most))


def machine_limits(settings: Settings, root: Path = Path("/")) -> Iterator[Limit]:
    """What bounds the threads of each worker here, one after the other."""
    workers = worker_bounds(settings, root).most
    yield Limit(MOST, "pelton's own limit")
    if settings.max_connections:
        yield Limit(_each(settings.max_connections, workers), f"max_connections ({settings.max_connections})")
    memory = memory_limit(root)
    if memory is not None:
        # Half of what the workers leave: the application wants to have something, too.
        left = max(0, memory - workers * MEMORY_OF_A_WORKER) // 2
        yield Limit(_each(left // MEMORY_OF_A_THREAD, workers), f"memory ({format_bytes(memory)})")
    tasks = processes_limit(root)
    if tasks is not None:
        limit, used = tasks
        yield Limit(_each(_share(limit - used), workers), f"the cgroup's pids limit ({limit})")
    yield from _of_the_process(workers, root)


def _of_the_process(workers: int, root: Path) -> Iterator[Limit]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if os.geteuid() != 0 and soft != resource.RLIM_INFINITY and soft < _MANY_TASKS:
        free = _share(soft - tasks_of_user(os.geteuid(), root))
        yield Limit(_each(free, workers), f"RLIMIT_NPROC ({soft})")
    # The front raises its own limit up to the hard one.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        free = max(0, hard - _DESCRIPTORS_OF_THE_FRONT - 3 * workers) // _DESCRIPTORS_OF_A_THREAD
        yield Limit(_each(free, workers), f"descriptors (RLIMIT_NOFILE, {hard})")
    addresses, _ = resource.getrlimit(resource.RLIMIT_AS)
    if addresses != resource.RLIM_INFINITY:
        left = max(0, addresses - _ADDRESSES_OF_A_PROCESS) // (_stack() + _ADDRESSES_OF_A_THREAD)
        yield Limit(left, f"address space (RLIMIT_AS, {format_bytes(addresses)})")


def _stack() -> int:
    chosen = threading.stack_size()
    if chosen:
        return chosen
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    return _DEFAULT_STACK if soft == resource.RLIM_INFINITY else soft


def _share(free: int) -> int:
    return int(max(0, free) * (1 - _LEFT_TO_OTHERS))


def _each(all_together: int, workers: int) -> int:
    return max(0, all_together) // workers


def _too_many(threads: int) -> ConfigError:
    return ConfigError(
        f"threads: {threads} are more than one worker can have: {MOST_IN_A_WORKER}.",
        "With --workers N each worker has as many.",
    )
